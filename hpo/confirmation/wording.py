"""Every caveat as a sentence; `hpo.confirmation.statements` has the others.

tests/hpo/confirmation/wording.txt holds each of them once.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hpo.confirmation.caveats import Caveat, CaveatKind
from hpo.runtime.text import counted

Facts = dict[str, Any]
RETRAIN = "to train them again, delete the folder runs of every study in the output folder: they lend each other runs"
CHECKSUM_LENGTH = 12  # characters shown of a checksum
REVISION_LENGTH = 12  # characters shown of a git revision
WHY_NOT_TUNED = {
    "has not run": "has not run",
    "no complete trial": "has no complete trial",
    "diverged": "has only finalists that diverge at full epochs",
    "cannot be searched": "cannot be searched with this study's budget and data: {details}",
    "differs": "was searched with other settings: {details}",
}
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
UNFINISHED = "; its training may not have been finished: try more epochs (--confirm-epochs) or a higher learning rate"


def sentence(caveat: Caveat, objective: str) -> str:
    """A caveat of a study with this objective, in one sentence."""
    return WORDING[caveat.kind](caveat.subject, caveat.facts | {"objective": objective})


def _not_tuned(subject: str, facts: Facts) -> str:
    details = ", ".join(detail if isinstance(detail, str) else _searched_with(*detail) for detail in facts["details"])
    why = WHY_NOT_TUNED[facts["reason"]].format(details=details)
    lost = "" if facts["compared"] else "; it is not compared at all"
    return f"{subject} is not tuned: its study {facts['study']} {why}{lost}"


def _searched_with(key: str, before: object, after: object) -> str:
    says = "study file says" if key.split(".")[0] in ("config", "space") else "this study has"
    return f"{key} (searched with {before}, {says} {after})"


def _untuned_rivals(subject: str, facts: Facts) -> str:
    first = ""
    if facts["to_delete"]:
        first = f", after those with other settings are deleted (hpo.studies delete {' '.join(facts['to_delete'])})"
    return (
        f"{subject} against a loss that is not tuned is no fair comparison of losses: hpo.run --tune-rivals searches the "
        f"rivals with the same budget{first}"
    )


def _found_published(subject: str, facts: Facts) -> str:
    which = f"{subject} is the config of {facts['published']}"
    if "trial" not in facts:
        return f"{which}: its search found no better one"
    then = f"it diverged at full epochs ({facts['failure']})"
    if not facts["failure"]:
        then = f"not at full epochs ({facts['value']:.4f} against {facts['chosen_value']:.4f})"
    return (
        f"{which}: trial {facts['trial']} was ahead of it in the search (validation {facts['objective']} "
        f"{facts['search_value']:.4f} against {facts['chosen_search_value']:.4f}), but {then}"
    )


def _paper_settings(subject: str, facts: Facts) -> str:
    return (
        "a method that is not tuned has a paper's settings of the loss; encoder, negatives, batch size, learning rate, "
        "schedule and epochs are those of the study here: it is not the paper's whole recipe"
    )


def _different_settings(subject: str, facts: Facts) -> str:
    differ = "also differs" if len(facts["methods"]) == 1 else "also differ"
    settings = "; ".join(f"{key} ({theirs} vs {ours})" for key, theirs, ours in facts["differences"])
    return f"{' and '.join(facts['methods'])} {differ} from {subject} in {settings}"


def _short_search(subject: str, facts: Facts) -> str:
    return (
        f"the search of {facts['trials']} trials is no longer than the {facts['random_trials']} that sampler {subject} draws "
        "at random before it learns: search longer before you trust a comparison of tuned methods"
    )


def _not_searched_by_all(subject: str, facts: Facts) -> str:
    fields = ", ".join(facts["fields"])
    return f"{fields}: searched for tuned methods only; the others have the values of their study file (see the report)"


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


def _tuning_gain(subject: str, facts: Facts) -> str:
    validation, test = (f"{facts[f'{split}_percent']:+.1f} % on {split}" for split in ("validation", "test"))
    return f"{subject} against {facts['over']}: {validation} (used to choose it), {test}"


def _curve_rises(subject: str, facts: Facts) -> str:
    span = f"from epoch {facts['from_epoch']} to {facts['to_epoch']}"
    return f"{subject}: validation {facts['objective']} still rose by {facts['percent']:.1f} % {span}{UNFINISHED}"


def _longer_training_helped(subject: str, facts: Facts) -> str:
    before = f"{facts['search_value']:.4f} when trained for {facts['search_epochs']} epochs"
    after = f"{facts['value']:.4f} for {facts['epochs']}"
    return f"{subject}: validation {facts['objective']} was {before} and {after}{UNFINISHED}"


def _other_revisions(subject: str, facts: Facts) -> str:
    then, now = facts["then"], _revision(facts["now"])
    by = ", ".join(f"{count} by {_revision(program)}" for program, count in then.items())
    another = "another revision" if len(then) == 1 else "other revisions"
    return (
        f"{sum(then.values())} of the {facts['runs']} runs behind these figures were trained or measured by {another} of the "
        f"program ({by}) than the one that gives them out ({now}): what has changed in between is not in them; {RETRAIN}"
    )


def _revision(program: str) -> str:
    """A revision, shortened; `dirty` stays."""
    revision, _, dirty = program.partition(" ")
    return f"{revision[:REVISION_LENGTH]} {dirty}".strip()


def _mixed_machines(subject: str, facts: Facts) -> str:
    machines = f"{len(facts['found'])} kinds of machine ({', '.join(facts['found'])})"
    return f"these runs were trained on {machines}, whose figures differ in their last digits"


def _mixed_libraries(subject: str, facts: Facts) -> str:
    return (
        f"runs of engine {subject} were trained with different libraries ({'; '.join(facts['found'])}), which may round "
        f"differently; {RETRAIN}"
    )


def _baseline_ahead(subject: str, facts: Facts) -> str:
    values = f"{facts['objective']} {facts['value']:.4f} and {facts['winner_value']:.4f}"
    return (
        f"{subject}, without training, is ahead of {facts['winner']}: {values}; try more epochs or another learning rate "
        "before you compare losses"
    )


WORDING: dict[CaveatKind, Callable[[str, Facts], str]] = {
    CaveatKind.NOT_TUNED: _not_tuned,
    CaveatKind.UNTUNED_RIVALS: _untuned_rivals,
    CaveatKind.FOUND_PUBLISHED: _found_published,
    CaveatKind.PAPER_SETTINGS: _paper_settings,
    CaveatKind.DIFFERENT_SETTINGS: _different_settings,
    CaveatKind.SHORT_SEARCH: _short_search,
    CaveatKind.NOT_SEARCHED_BY_ALL: _not_searched_by_all,
    CaveatKind.DATA_WARNING: _data_warning,
    CaveatKind.RATINGS_UNUSED: _ratings_unused,
    CaveatKind.TEST_DROPPED: _test_dropped,
    CaveatKind.LAWS_DIFFER: _laws_differ,
    CaveatKind.SPLITS_DIFFER: _splits_differ,
    CaveatKind.TEST_READ_AGAIN: _test_read_again,
    CaveatKind.TEST_CHANGED: _test_changed,
    CaveatKind.TEST_READ_FOR_OTHERS: _test_read_for_others,
    CaveatKind.TUNING_GAIN: _tuning_gain,
    CaveatKind.CURVE_RISES: _curve_rises,
    CaveatKind.LONGER_TRAINING_HELPED: _longer_training_helped,
    CaveatKind.OTHER_REVISIONS: _other_revisions,
    CaveatKind.MIXED_MACHINES: _mixed_machines,
    CaveatKind.MIXED_LIBRARIES: _mixed_libraries,
    CaveatKind.BASELINE_AHEAD: _baseline_ahead,
}
