"""Caveats on data and splits as sentences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpo.confirmation.caveats import CaveatKind
from hpo.runtime.text import counted
from trainers.data.facts import tied_times

Facts = dict[str, Any]
CHECKSUM_LENGTH = 12  # characters shown of a checksum
TEST_SPLITS = {
    "random": "drawn at random",
    "last": "the last interactions of each user",
    "leave_one_out": "the last interaction of each user",
    "time": "all interactions after one moment",
    "popularity": "drawn so that rare items come as often as popular ones",
    "file": "a file that was made in an unknown way",
}
SPLIT_REMEDIES = {  # by the result of `hpo.confirmation.data_caveats._remedy`
    "last": "; the data have an order, so hold out the last interactions (validation: {name: last})",
    "random": "; hold out at random, too (validation: {name: random})",
    "time": "; hold out all interactions after one moment, too (validation: {name: time})",
    "none": "; the data allow no validation split that is more like it, so also read the figures of the published settings",
    "unknown": "; how the two files were made is not known: also read the figures of the published settings",
    "alike": "; both were made in the same way, so another split is no remedy: also read the figures of the published settings",
}


def _data_warning(subject: str, facts: Facts) -> str:
    return f"data: {facts['warning']}"


def _ratings_unused(subject: str, facts: Facts) -> str:
    return (
        "the data have ratings, and every rating counts as a positive, even a low one; set min_rating to leave low ratings out "
        "(data: {min_rating: 4})"
    )


def _validation_dropped(subject: str, facts: Facts) -> str:
    return (
        f"{facts['unknown']:,} of {facts['pairs']:,} validation pairs were dropped, since their user or item is in no training "
        "pair: configs were chosen on the others alone"
    )


def _test_dropped(subject: str, facts: Facts) -> str:
    return (
        f"{facts['kept_users']:,} of {facts['users']:,} test users are left: of {facts['pairs']:,} test pairs, "
        f"{facts['unknown']:,} were dropped because train lacks their user or item, and {facts['seen']:,} because train has "
        "the same pair"
    )


def _tied_times(subject: str, facts: Facts) -> str:
    said = tied_times(facts["split"], facts["tied"], facts["users"])
    return (
        f"{said}; give exact times, sort the lines of equal times as they happened, or hold out both test and validation at "
        "random (data: {test: {name: random}}, validation: {name: random})"
    )


def _few_validation_users(subject: str, facts: Facts) -> str:
    return (
        f"validation has only {counted(facts['users'], 'user')}, and every config and the winner were chosen on it: the choice "
        "may not hold for other users"
    )


def _split_methods_differ(subject: str, facts: Facts) -> str:
    return (
        f"validation and test were made in different ways (validation: {TEST_SPLITS[facts['validation']]}; test: "
        f"{TEST_SPLITS[facts['test']]}), so the validation winner need not win on test{SPLIT_REMEDIES[facts['remedy']]}"
    )


def _popularity_differs(subject: str, facts: Facts) -> str:
    how = "more" if facts["percent"] > 0 else "less"
    return (
        f"items of the test split are {abs(facts['percent']):.0f} % {how} popular than items of validation: the two splits "
        f"follow different distributions, and the validation winner need not win on test{SPLIT_REMEDIES[facts['remedy']]}"
    )


def _test_read_again(subject: str, facts: Facts) -> str:
    return (
        f"this study has read the test split for {facts['times']} different comparisons (other winner, rivals, baselines, "
        "seeds, epochs or test data): each further comparison weakens the verdict"
    )


def _test_changed(subject: str, facts: Facts) -> str:
    readings = {**facts["before"], facts["now"]: facts["times"]}
    shown = ", ".join(f"{counted(times, 'reading')} of {test[:CHECKSUM_LENGTH]}" for test, times in readings.items())
    return (
        f"an earlier confirm read other test data (by checksum: {shown}; the last one is the current data): figures on other "
        "test data are not comparable with these"
    )


def _test_read_for_others(subject: str, facts: Facts) -> str:
    return (
        f"other studies of these data have read the test split, too ({', '.join(facts['studies'])}): to report only the best "
        "of their verdicts is selection on the test split"
    )


DATA_WORDING: dict[CaveatKind, Callable[[str, Facts], str]] = {
    CaveatKind.DATA_WARNING: _data_warning,
    CaveatKind.RATINGS_UNUSED: _ratings_unused,
    CaveatKind.VALIDATION_DROPPED: _validation_dropped,
    CaveatKind.TEST_DROPPED: _test_dropped,
    CaveatKind.TIED_TIMES: _tied_times,
    CaveatKind.FEW_VALIDATION_USERS: _few_validation_users,
    CaveatKind.SPLIT_METHODS_DIFFER: _split_methods_differ,
    CaveatKind.POPULARITY_DIFFERS: _popularity_differs,
    CaveatKind.TEST_READ_AGAIN: _test_read_again,
    CaveatKind.TEST_CHANGED: _test_changed,
    CaveatKind.TEST_READ_FOR_OTHERS: _test_read_for_others,
}
