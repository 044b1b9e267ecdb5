"""The users of the test split, who decide whether there can be a verdict."""

from __future__ import annotations

from hpo.runtime.text import counted
from hpo.study.plan import MIN_TEST_USERS
from trainers.data.facts import DataFacts, TestFacts, tied_times
from trainers.errors import InputError

MUCH_TIED = 0.1  # share of the users of a split


def said_of_test_split(test: TestFacts, data: DataFacts) -> list[str]:
    """How many users the test split has and what was dropped from it; and a warning if they are too few for a verdict."""
    lost = "".join(f"; dropped {phrase}" for phrase in test.dropped())
    said = [f"test split: {counted(test.kept_users, 'user')}{lost}"]
    if is_much_tied(test.tied, test.kept_users):
        said.append(f"WARNING: {tied_times('test', test.tied, test.kept_users)}")
    if test.kept_users < MIN_TEST_USERS:
        why = f"it needs at least {MIN_TEST_USERS} test users"
        said.append(f"WARNING: there will be no verdict, since {why}; {more_test_users(test, data)}")
    return said


def is_much_tied(tied: int, users: int) -> bool:
    """Whether equal times where a split begins concern many of its users."""
    return tied > MUCH_TIED * users


def check_test_users(study: str, test: TestFacts, data: DataFacts, remedy: str = "") -> None:
    """Refuse a test split without users.

    Args:
        study: the study's name.
        remedy: another remedy, such as `; or ...`.

    Raises:
        InputError: it has no user.
    """
    if test.kept_users == 0:
        raise InputError(
            f"study {study}: the test split must have a user with training and test interactions, got none; "
            f"{more_test_users(test, data)}{remedy}"
        )


def more_test_users(test: TestFacts, data: DataFacts) -> str:
    """How a study can have more users with test interactions."""
    if test.read:
        return "use a test file with more users and items of the training data"
    if data.test_split == "time":  # others give nearly every user some test interactions
        return "split the test data at random (data: {test: {name: random}}), or use more data"
    return "use more data"
