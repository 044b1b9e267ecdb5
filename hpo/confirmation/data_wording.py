"""Caveats on data and splits as sentences, and words for splits."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpo.confirmation.caveats import CaveatKind
from hpo.runtime.text import counted

Facts = dict[str, Any]
CHECKSUM_LENGTH = 12  # characters shown of a checksum
LAWS = {
    "random": "drawn at random",
    "last": "the last interactions of each user",
    "leave_one_out": "the last interaction of each user",
    "time": "what came after one moment",
    "popularity": "drawn so that rare items come as often as popular ones",
    "file": "a file of which nobody has said how it was made",
}
SPLIT_REMEDIES = {  # by the validation split that may be more like the test split
    "last": "; the data have an order, so hold out the last interactions (validation: {name: last})",
    "random": "; hold out at random, too (validation: {name: random})",
    "time": "; hold out from one moment on, too (validation: {name: time})",
    "none": "; the data allow no validation that is more like it, so read the figures of the published settings, too",
    "alike": "; both were made in the same way, so this is what the data are like: read the published settings' figures, too",
}


def _data_warning(subject: str, facts: Facts) -> str:
    return f"data: {facts['warning']}"


def _ratings_unused(subject: str, facts: Facts) -> str:
    return (
        "the data have ratings, and every line counts as a positive, low ratings too: to leave low ones out, set min_rating "
        "(data: {min_rating: 4})"
    )


def _test_dropped(subject: str, facts: Facts) -> str:
    return (
        f"{facts['kept_users']:,} of {facts['users']:,} test users are left: of {facts['pairs']:,} test pairs "
        f"{facts['unknown']:,} were dropped because their user or item is not in train, {facts['seen']:,} because they are "
        "in train"
    )


def _few_validation_users(subject: str, facts: Facts) -> str:
    return (
        f"validation has {counted(facts['users'], 'user')}, which every config and the winner were chosen by: what they prefer "
        "says little about others"
    )


def _laws_differ(subject: str, facts: Facts) -> str:
    return (
        f"validation is {LAWS[facts['validation']]}, the test split {LAWS[facts['test']]}: the validation winner need not win "
        f"on test{SPLIT_REMEDIES[facts['remedy']]}"
    )


def _splits_differ(subject: str, facts: Facts) -> str:
    how = "more" if facts["percent"] > 0 else "less"
    return (
        f"items of the test split are {abs(facts['percent']):.0f} % {how} popular than those of validation: they follow "
        f"different distributions; the validation winner need not win on test{SPLIT_REMEDIES[facts['remedy']]}"
    )


def _test_read_again(subject: str, facts: Facts) -> str:
    return (
        f"the test split has been read for {facts['times']} comparisons of this study that differ in winner, rivals, seeds, "
        "epochs or test data: the more of them, the less a verdict means"
    )


def _test_changed(subject: str, facts: Facts) -> str:
    readings = {**facts["before"], facts["now"]: facts["times"]}
    shown = ", ".join(f"{counted(times, 'reading')} of {test[:CHECKSUM_LENGTH]}" for test, times in readings.items())
    return (
        f"the test data are not those that an earlier confirm has read (by checksum: {shown}, the last being what they are "
        "now): figures on other test data are not comparable with these"
    )


def _test_read_for_others(subject: str, facts: Facts) -> str:
    return (
        f"the test split has been read for other studies of these data, too ({', '.join(facts['studies'])}): to "
        "report only the best of these verdicts is selection on the test split"
    )


DATA_WORDING: dict[CaveatKind, Callable[[str, Facts], str]] = {
    CaveatKind.DATA_WARNING: _data_warning,
    CaveatKind.RATINGS_UNUSED: _ratings_unused,
    CaveatKind.TEST_DROPPED: _test_dropped,
    CaveatKind.FEW_VALIDATION_USERS: _few_validation_users,
    CaveatKind.LAWS_DIFFER: _laws_differ,
    CaveatKind.SPLITS_DIFFER: _splits_differ,
    CaveatKind.TEST_READ_AGAIN: _test_read_again,
    CaveatKind.TEST_CHANGED: _test_changed,
    CaveatKind.TEST_READ_FOR_OTHERS: _test_read_for_others,
}
