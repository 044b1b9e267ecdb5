"""What is said of the test split before a search."""

from __future__ import annotations

import pytest

from hpo.study.verdict_users import said_of_test_split
from trainers.data.facts import DataFacts, TestFacts


@pytest.mark.parametrize(("tied", "is_said"), [(0, False), (20, False), (21, True)])
def test_equal_times_where_the_split_begins_are_said_before_the_search(tied: int, is_said: bool):
    """The limit is a tenth of 200 users."""
    first, *warnings = said_of_test_split(TestFacts(pairs=400, users=200, kept_users=200, tied=tied), DataFacts())
    assert first == "test split: 200 users"
    expected = f"WARNING: for {tied} of 200 test users, the first test interaction and the last one before it have"
    assert [warning.startswith(expected) for warning in warnings] == [True] * is_said


def test_few_test_users_are_said_before_the_search():
    _, warning = said_of_test_split(TestFacts(pairs=40, users=29, kept_users=29), DataFacts())
    assert warning.startswith("WARNING: there will be no verdict, since it needs at least 30 test users; use more data")
