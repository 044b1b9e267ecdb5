"""Caveats on the data: how they were read, what was dropped, and how the splits were made."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from hpo.confirmation.caveats import Caveat, CaveatKind
from hpo.study.plan import MIN_TEST_USERS
from hpo.study.verdict_users import is_much_tied
from hpo.study.workspace import Workspace
from trainers import Interactions
from trainers.data import Split
from trainers.data.facts import DataFacts, TestFacts

SHIFT_PERCENT = 10  # difference in item popularity between validation and test
MUCH_DROPPED = 0.1  # share of the pairs of a split, or of the users of test


def data_caveats(work: Workspace, test: Interactions, about_test: TestFacts) -> Iterator[Caveat]:
    """All caveats on the data of a study."""
    name, facts = work.spec.name, work.dataset.facts
    for warning in (*facts.warnings, *(f"test file: {warning}" for warning in about_test.warnings)):
        yield Caveat(kind=CaveatKind.DATA_WARNING, subject=name, facts={"warning": warning})
    if facts.unused_ratings:
        yield Caveat(kind=CaveatKind.RATINGS_UNUSED, subject=name)
    users = work.split[1].n_users_with_pairs
    if users < MIN_TEST_USERS:
        yield Caveat(kind=CaveatKind.FEW_VALIDATION_USERS, subject=name, facts={"users": users})
    yield from _dropped_from_validation(name, work.parts)
    yield from _dropped_from_test(name, about_test)
    yield from _tied(name, "test", about_test.tied, about_test.kept_users)
    yield from _tied(name, "validation", work.parts.tied, users)
    yield from _other_split_method(name, work.validation.name, facts)
    yield from distribution_shift(name, *work.split, work.dataset.train, test, _remedy(work.validation.name, facts))


def distribution_shift(
    study: str, seen: Interactions, validation: Interactions, train: Interactions, test: Interactions, remedy: str = "none"
) -> Iterator[Caveat]:
    """A caveat if the held-out items of test and of validation differ in popularity, counted in the training data of each.

    Args:
        remedy: a result of `_remedy`.
    """
    chosen_by = float(seen.per_item[validation.items].mean()) / len(seen)
    tested_by = float(train.per_item[test.items].mean()) / len(train)
    percent = 100 * (tested_by / chosen_by - 1) if chosen_by else 0.0
    if abs(percent) >= SHIFT_PERCENT:
        yield Caveat(kind=CaveatKind.POPULARITY_DIFFERS, subject=study, facts={"percent": percent, "remedy": remedy})


def _dropped_from_validation(study: str, parts: Split) -> Iterator[Caveat]:
    pairs = len(parts.held_out) + parts.unknown
    if parts.unknown > MUCH_DROPPED * pairs:
        yield Caveat(kind=CaveatKind.VALIDATION_DROPPED, subject=study, facts={"pairs": pairs, "unknown": parts.unknown})


def _dropped_from_test(study: str, about: TestFacts) -> Iterator[Caveat]:
    lost_pairs, lost_users = about.unknown + about.seen, about.users - about.kept_users
    if lost_pairs > MUCH_DROPPED * about.pairs or lost_users > MUCH_DROPPED * about.users:
        counts = about.model_dump(include={"pairs", "users", "unknown", "seen", "kept_users"})
        yield Caveat(kind=CaveatKind.TEST_DROPPED, subject=study, facts=counts)


def _tied(study: str, split: str, tied: int, users: int) -> Iterator[Caveat]:
    if is_much_tied(tied, users):
        yield Caveat(kind=CaveatKind.TIED_TIMES, subject=study, facts={"split": split, "tied": tied, "users": users})


def _other_split_method(study: str, validation: str, facts: DataFacts) -> Iterator[Caveat]:
    """A caveat if validation was drawn in another way than the test split, or may have been."""
    remedy = _remedy(validation, facts)
    if remedy == "alike" or validation == "file" or (facts.test_split == "file" and remedy != "last"):
        return
    values: dict[str, JsonValue] = {"validation": validation, "test": facts.test_split, "remedy": remedy}
    yield Caveat(kind=CaveatKind.SPLIT_METHODS_DIFFER, subject=study, facts=values)


def _remedy(validation: str, facts: DataFacts) -> str:
    """The name of a validation split that is more like the test split.

    Returns:
        `alike` if the current one is most like it, `unknown` if nobody knows how the two files were made, `none` if the data
        allow no better one.
    """
    if facts.test_split == validation == "file":
        return "unknown"
    if facts.test_split == validation or (facts.test_split == "leave_one_out" and validation == "last"):
        return "alike"
    if facts.test_split == "time" and facts.timed:
        return "time"
    if facts.test_split == "random":
        return "random"
    if facts.ordered and facts.test_split in ("last", "leave_one_out"):
        return "last"
    return "last" if facts.ordered and facts.test_split != "popularity" and validation == "random" else "none"
