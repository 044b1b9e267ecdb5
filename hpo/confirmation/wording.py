"""Caveats as sentences; those on data are in `data_wording`, on files in `file_wording`, the verdict is in `statements`.

tests/hpo/confirmation/wording.txt holds each of them once.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence

from hpo.confirmation.caveats import RATE_SEARCHED, Caveat, CaveatKind
from hpo.confirmation.data_wording import DATA_WORDING, Facts
from hpo.confirmation.file_wording import FILE_WORDING
from hpo.runtime.text import counted, listed

RETRAIN = "to train them again, delete the folder runs of every study in the output folder, since studies share their runs"
REVISION_LENGTH = 12  # characters shown of a git revision
WHY_NOT_TUNED = {
    "has not run": "has not run",
    "no complete trial": "has no complete trial",
    "diverged": "has only finalists that diverge when confirm trains them",
    "cannot be searched": "cannot be searched with this study's budget and data: {details}",
    "differs": "was searched with other settings: {details}",
    "budget": "has {details}",
}


# Caveats that several methods may have are said once, with all of them, where these facts are the same.
TOGETHER: dict[CaveatKind, tuple[str, ...]] = {
    CaveatKind.SHORT_SEARCH: ("sampler", "random_trials"),
    CaveatKind.CURVE_RISES: ("from_epoch", "to_epoch", RATE_SEARCHED),
    CaveatKind.LONGER_TRAINING_HELPED: ("search_epochs", "epochs", RATE_SEARCHED),
    CaveatKind.BELOW_POPULARITY: ("baseline", RATE_SEARCHED),
    CaveatKind.BASELINE_AHEAD: ("baseline", RATE_SEARCHED),
}
FEW = 4  # methods whose figures are all said


def sentences(caveats: Iterable[Caveat], objective: str) -> list[str]:
    """The caveats of a study with this objective in words; those that several methods have, see TOGETHER, in one sentence."""
    groups: dict[Hashable, list[Caveat]] = {}
    for number, caveat in enumerate(caveats):
        same = TOGETHER.get(caveat.kind)
        key = number if same is None else (caveat.kind, *(str(caveat.facts.get(name)) for name in same))
        groups.setdefault(key, []).append(caveat)
    said = []
    for first, *others in groups.values():
        together = {"objective": objective, "each": [caveat.facts for caveat in (first, *others)]}
        said.append(WORDING[first.kind](_subject([caveat.subject for caveat in (first, *others)]), first.facts | together))
    return said


def _subject(methods: Sequence[str]) -> str:
    return listed(methods) if len(methods) <= FEW else f"{len(methods)} methods ({listed(methods)})"


def sentence(caveat: Caveat, objective: str) -> str:
    """One caveat of a study with this objective, in one sentence."""
    return sentences([caveat], objective)[0]


def _each(facts: Facts, name: str, form: str = ".4f") -> str:
    """A fact of all methods that a sentence is about; of many methods the lowest and the highest."""
    values = [each[name] for each in facts["each"]]
    if len(values) <= FEW:
        return listed(format(value, form) for value in values)
    low, high = min(values), max(values)
    return f"{low:{form}}" if low == high else f"{low:{form}} to {high:{form}}"


def _not_tuned(subject: str, facts: Facts) -> str:
    lost = "" if facts["compared"] else "; it is not compared at all"
    return f"{subject} is not tuned: its study {_why_unused(facts)}{lost}"


def _why_unused(facts: Facts) -> str:
    """A study, and why nothing is taken from it."""
    details = ", ".join(detail if isinstance(detail, str) else _searched_with(*detail) for detail in facts["details"])
    return f"{facts['study']} {WHY_NOT_TUNED[facts['reason']].format(details=details)}"


def _searches_missing(subject: str, facts: Facts) -> str:
    studies = "; ".join(_why_unused(study) for study in facts["studies"])
    return (
        f"{subject}: {facts['used']} of {facts['asked']} searches used, since {studies}; `hpo.run --searches "
        f"{facts['asked']}`, for rivals with `--tune-rivals`, searches what is missing (delete first what has other settings)"
    )


def _searched_with(key: str, before: object, after: object) -> str:
    says = "study file says" if key.split(".")[0] in ("config", "space") else "this study has"
    return f"{key} (searched with {before}, {says} {after})"


def _untuned_rivals(subject: str, facts: Facts) -> str:
    first = ""
    if facts["to_delete"]:
        first = f", after those with other settings are deleted (hpo.studies delete {' '.join(facts['to_delete'])})"
    return (
        f"to compare {subject} with a loss that is not tuned is not fair: `hpo.run --tune-rivals` searches the rivals with the "
        f"same budget{first}"
    )


def _found_published(subject: str, facts: Facts) -> str:
    which = f"{subject} is the config of {facts['published']}"
    if "trial" not in facts:
        return f"{which}: its search found no better one"
    then = f"it diverged when confirm trained it again ({facts['failure']})"
    if not facts["failure"]:
        then = f"not when confirm trained both again ({facts['value']:.4f} against {facts['chosen_value']:.4f})"
    return (
        f"{which}: trial {facts['trial']} was ahead of it in the search (validation {facts['objective']} "
        f"{facts['search_value']:.4f} against {facts['chosen_search_value']:.4f}), but {then}"
    )


def _paper_settings(subject: str, facts: Facts) -> str:
    return (
        "a method that is not tuned takes the settings of its loss from a paper; encoder, negatives, batch size, learning rate "
        "and schedule from the study of its loss; and epochs from this study: it is not the paper's whole recipe"
    )


def _different_settings(subject: str, facts: Facts) -> str:
    differ = "also differs" if len(facts["methods"]) == 1 else "also differ"
    settings = "; ".join(f"{key} ({theirs} vs {ours})" for key, theirs, ours in facts["differences"])
    return f"{' and '.join(facts['methods'])} {differ} from {subject} in {settings}"


def _short_search(subject: str, facts: Facts) -> str:
    searches, are = ("search", "is") if len(facts["each"]) == 1 else ("searches", "are")
    trials = "trial" if [each["trials"] for each in facts["each"]] == [1] else "trials"
    kind = "complete " if facts.get("complete") else ""
    counts = f"{_each(facts, 'trials', 'd')} {kind}{trials}"
    return (
        f"the {searches} of {subject}, with {counts}, {are} too short: sampler {facts['sampler']} begins to learn after "
        f"{facts['random_trials']} {kind}trials, which are starts or drawn at random; search longer before you trust a "
        "comparison of tuned methods"
    )


def _at_range_end(subject: str, facts: Facts) -> str:
    ends = "; ".join(_end(subject, **end) for end in facts["ends"])
    if "command" not in facts:
        return f"{ends}: better settings of this baseline may be outside"
    ranges = "wider ranges" if len(facts["ends"]) > 1 else "a wider range"
    where = "(with the `--output`, `--storage` and `--data-dir` of this study, if any)"
    return f"{ends}: a better config may be outside; search {ranges}: `{facts['command']}` {where}"


def _end(
    subject: str, name: str, value: float, low: float, high: float, end: str, trials: int, of: int, is_chosen: bool
) -> str:
    where = f"at the {end} end of its range ({_number(low)} to {_number(high)})"
    if is_chosen:
        others = f", as in {trials} of the best {counted(of, 'trial')}" if trials > 1 else ""
        return f"{name} of {subject} is {_number(value)}, {where}{others}"
    return f"{name} of {trials} of the best {counted(of, 'trial')} of {subject} is {where}, such as {_number(value)}"


def _number(value: float) -> str:
    """`10,000`, `0.0125`, `1e-05`."""
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"


def _diverged(subject: str, facts: Facts) -> str:
    seeds = f"in {facts['lost_seeds']} of {counted(facts['seeds'], 'seed')}" if facts["seeds"] else "there"
    if facts["trial"] is None:
        return f"{subject} diverged on validation when confirm trained it, {seeds} ({facts['failure']}), so it cannot win"
    return (
        f"{subject} was chosen from {facts['of']} configs, and {facts['failed']} of them diverged when confirm trained them, "
        f"such as trial {facts['trial']}, {seeds} ({facts['failure']})"
    )


def _not_searched_by_all(subject: str, facts: Facts) -> str:
    fields = ", ".join(facts["fields"])
    return f"{fields}: searched for tuned methods only; the others have the values of their study file (see the report)"


def _curve_rises(subject: str, facts: Facts) -> str:
    rise = f"still rose by {_each(facts, 'percent', '.1f')} % from epoch {facts['from_epoch']} to {facts['to_epoch']}"
    return f"{subject}: validation {facts['objective']} {rise}{_unfinished(facts)}"


def _longer_training_helped(subject: str, facts: Facts) -> str:
    before = f"{_each(facts, 'search_value')} when trained for {counted(facts['search_epochs'], 'epoch')}"
    after = f"{_each(facts, 'value')} for {facts['epochs']}"
    return f"{subject}: validation {facts['objective']} was {before} and {after}{_unfinished(facts)}"


def _unfinished(facts: Facts) -> str:
    its = "its" if len(facts["each"]) == 1 else "their"
    other = "more trials (--trials)" if facts.get(RATE_SEARCHED) else "a higher learning rate"
    return f"; {its} training may not have been finished: try more epochs (--confirm-epochs) or {other}"


def _other_revisions(subject: str, facts: Facts) -> str:
    then, now = facts["then"], _revision(facts["now"])
    by = ", ".join(f"{count} by {_revision(program)}" for program, count in then.items())
    another = "another revision" if len(then) == 1 else "other revisions"
    return (
        f"{sum(then.values())} of the {facts['runs']} runs behind these figures were trained or measured by {another} of the "
        f"program ({by}; this is {now}): they lack what has changed since then; {RETRAIN}"
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


def _below(subject: str, facts: Facts) -> str:
    """Who is below which baseline, with figures."""
    are = "is" if len(facts["each"]) == 1 else "are"
    figures = f"{facts['objective']} {_each(facts, 'value')} against {facts['baseline_value']:.4f}"
    split = facts.get("split", "test")  # earlier confirmations have figures on test
    return f"{subject} {are} below the baseline {facts['baseline']} on {split}: {figures}"


def _below_popularity(subject: str, facts: Facts) -> str:
    first = "the trials (--trials)" if facts.get(RATE_SEARCHED) else "the learning rate"
    return (
        f"{_below(subject, facts)}; to show everybody the same popular items is better, so a comparison says nothing about the "
        f"loss: look at {first} and the epochs first"
    )


def _baseline_ahead(subject: str, facts: Facts) -> str:
    other = "more trials (--trials)" if facts.get(RATE_SEARCHED) else "another learning rate"
    return f"{_below(subject, facts)}; try more epochs or {other} before you compare losses"


def _baselines_not_tuned(subject: str, facts: Facts) -> str:
    are, have, their = ("is", "has", "its") if facts["count"] == 1 else ("are", "have", "their")
    return (
        f"{subject} {are} not tuned and {have} {their} default settings, so {their} figures may be too low; give "
        "--baseline-trials a higher number"
    )


def _baseline_failed(subject: str, facts: Facts) -> str:
    points = counted(facts["points"], "point")
    return f"the baseline {subject} is not compared, since its {points} cannot be fitted: {facts['failure']}"


WORDING: dict[CaveatKind, Callable[[str, Facts], str]] = {
    **DATA_WORDING,
    **FILE_WORDING,
    CaveatKind.NOT_TUNED: _not_tuned,
    CaveatKind.UNTUNED_RIVALS: _untuned_rivals,
    CaveatKind.SEARCHES_MISSING: _searches_missing,
    CaveatKind.FOUND_PUBLISHED: _found_published,
    CaveatKind.PAPER_SETTINGS: _paper_settings,
    CaveatKind.DIFFERENT_SETTINGS: _different_settings,
    CaveatKind.SHORT_SEARCH: _short_search,
    CaveatKind.AT_RANGE_END: _at_range_end,
    CaveatKind.DIVERGED: _diverged,
    CaveatKind.NOT_SEARCHED_BY_ALL: _not_searched_by_all,
    CaveatKind.CURVE_RISES: _curve_rises,
    CaveatKind.LONGER_TRAINING_HELPED: _longer_training_helped,
    CaveatKind.OTHER_REVISIONS: _other_revisions,
    CaveatKind.MIXED_MACHINES: _mixed_machines,
    CaveatKind.MIXED_LIBRARIES: _mixed_libraries,
    CaveatKind.BELOW_POPULARITY: _below_popularity,
    CaveatKind.BASELINE_AHEAD: _baseline_ahead,
    CaveatKind.BASELINES_NOT_TUNED: _baselines_not_tuned,
    CaveatKind.BASELINE_FAILED: _baseline_failed,
}
