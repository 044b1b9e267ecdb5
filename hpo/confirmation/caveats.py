"""Caveats of a verdict, as data. `hpo.confirmation.wording` turns them into sentences."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum

from pydantic import BaseModel, JsonValue

from hpo.confirmation.results import Finalist, Method, chosen_of, on_validation
from hpo.runs.baseline_results import BaselineResult
from trainers.validation import SETTINGS

MOST_POPULAR = "most_popular"  # name of the popularity baseline
RATE_SEARCHED = "rate_searched"  # fact of a caveat whose remedy would otherwise be another learning rate
STILL_RISING = 0.01  # relative rise of a validation curve between its last two points, or per doubling of the epochs


class CaveatKind(StrEnum):
    """The kind of a caveat. `hpo.confirmation.wording` names the facts of each kind."""

    NOT_TUNED = "not tuned"  # a rival has no tuned config, and why
    UNTUNED_RIVALS = "untuned rivals"  # how to tune all of these rivals
    SEARCHES_MISSING = "searches missing"  # repeats of a search that were asked for and are not used
    FOUND_PUBLISHED = "found published"  # a search chose the published config
    PAPER_SETTINGS = "paper settings"  # untuned methods have the settings of their papers
    DIFFERENT_SETTINGS = "different settings"  # methods differ in more than their loss
    SHORT_SEARCH = "short search"  # the sampler never learned
    AT_RANGE_END = "at range end"  # the best trials of a search, or the settings of a baseline, are at the end of a range
    DIVERGED = "diverged"  # some finalists diverged on validation
    NOT_SEARCHED_BY_ALL = "not searched by all"  # untuned methods take these settings from their file
    DATA_WARNING = "data warning"  # from reading the files
    RATINGS_UNUSED = "ratings unused"  # a low rating counts like a high one
    VALIDATION_DROPPED = "validation dropped"  # many validation pairs were dropped
    TEST_DROPPED = "test dropped"  # many pairs or users of the test split were dropped
    TIED_TIMES = "tied times"  # many users have equal times where a split begins
    FEW_VALIDATION_USERS = "few validation users"
    SPLIT_METHODS_DIFFER = "split methods differ"  # validation and test were drawn in different ways
    POPULARITY_DIFFERS = "popularity differs"  # validation and test items differ in popularity
    TEST_READ_AGAIN = "test read again"
    TEST_CHANGED = "test changed"  # an earlier confirm read other test data
    TEST_READ_FOR_OTHERS = "test read for others"
    CURVE_RISES = "curve rises"  # at the end of the training
    LONGER_TRAINING_HELPED = "longer training helped"
    OTHER_REVISIONS = "other revisions"  # another revision of the program made some stored runs
    MIXED_MACHINES = "mixed machines"
    MIXED_LIBRARIES = "mixed libraries"
    BELOW_POPULARITY = "below popularity"  # a method is below the popularity baseline on validation
    BASELINE_AHEAD = "baseline ahead"  # a method is below the best baseline on validation
    BASELINES_NOT_TUNED = "baselines not tuned"
    BASELINE_FAILED = "baseline failed"  # no settings of it could be fitted
    # Caveats of `hpo.compare`, about files of other programs:
    USERS_MISSING = "users missing"  # a method lacks users that others have
    USERS_UNSERVED = "users unserved"  # users without a list, who count 0
    USERS_UNKNOWN = "users unknown"  # users with a list who have no held-out items
    SHORT_LISTS = "short lists"
    TIED_SCORES = "tied scores"
    RUNS_DIFFER = "runs differ"  # methods have different numbers of runs
    RUNS_ALIKE = "runs alike"  # all runs of a method have the same figures
    OUTSIDE_UNIT = "outside unit"  # figures that are not between 0 and 1
    CONSTANT = "constant"  # one figure for all users
    SAME_FIGURES = "same figures"  # two methods have the same figures
    MIXED_SOURCES = "mixed sources"  # some figures were read, some computed


class Caveat(BaseModel):
    """One caveat.

    Attributes:
        subject: the label of a method, a study, a sampler or an engine.
        facts: plain values by name.
    """

    model_config = SETTINGS | {"frozen": True}
    kind: CaveatKind
    subject: str
    facts: dict[str, JsonValue] = {}


def caveats_of(
    methods: Sequence[Method],
    validated: Mapping[str, Sequence[Finalist]],
    baselines: Sequence[BaselineResult],
    search_epochs: int,
    objective: str,
    rate_searched: Collection[str] = (),
) -> list[Caveat]:
    """Caveats on the figures of the methods: divergence, unfinished training, mixed machines or libraries, strong baselines.

    Args:
        methods: all methods, ours first.
        validated: the finalists of each method, by its label.
        search_epochs: epochs of a trial of the search.
        rate_searched: the labels of methods whose learning rate a search chose, which need another remedy.
    """
    found = {label: chosen_of(finalists, objective) for label, finalists in validated.items()}
    chosen = {label: finalist for label, finalist in found.items() if finalist is not None}
    unfinished = (_unfinished(label, finalist, search_epochs, objective) for label, finalist in chosen.items())
    found_by_search: dict[str, JsonValue] = {RATE_SEARCHED: True}
    remediable = [*(each for each in unfinished if each is not None), *_below_baselines(validated, baselines, objective)]
    remediable = [
        each.model_copy(update={"facts": each.facts | found_by_search}) if each.subject in rate_searched else each
        for each in remediable
    ]
    return [
        *(caveat for label, finalists in validated.items() if (caveat := _diverged(label, finalists)) is not None),
        *remediable,
        *_mixed(methods),
    ]


def _diverged(label: str, finalists: Sequence[Finalist]) -> Caveat | None:
    """A caveat if some finalists of a method diverged on validation. The others remain to choose from."""
    failed = [finalist for finalist in finalists if finalist.failure]
    if not failed:
        return None
    first = failed[0]
    lost = sum(not metrics for metrics in first.by_seed.values())
    facts: dict[str, JsonValue] = {"failed": len(failed), "of": len(finalists), "trial": first.trial, "failure": first.failure}
    return Caveat(kind=CaveatKind.DIVERGED, subject=label, facts=facts | {"lost_seeds": lost, "seeds": len(first.by_seed)})


def _unfinished(label: str, chosen: Finalist, search_epochs: int, objective: str) -> Caveat | None:
    """A caveat if a method's training was not finished.

    With a constant learning rate the end of the validation curve shows it. A rate that falls to zero flattens the end of every
    curve. Then, and if a curve has a single point, the gain of confirm's longer training over the search shows it.
    """
    epochs, value = chosen.config.epochs, chosen.mean(objective)
    curves = [sorted(curve.items())[-2:] for curve in chosen.curves.values()]
    if chosen.config.schedule == "constant" and curves and all(len(ends) == 2 and ends[0][1] > 0 for ends in curves):
        rise = statistics.fmean(end / start - 1 for (_, start), (_, end) in curves)
        (before, _), (last, _) = curves[0]
        kind, facts = CaveatKind.CURVE_RISES, {"percent": 100 * rise, "from_epoch": before, "to_epoch": last}
    elif 0 < search_epochs < epochs and min(chosen.search_value, value) > 0:
        rise = (value / chosen.search_value) ** (1 / math.log2(epochs / search_epochs)) - 1
        then: dict[str, float] = {"search_value": chosen.search_value, "search_epochs": search_epochs}
        kind, facts = CaveatKind.LONGER_TRAINING_HELPED, {**then, "value": value, "epochs": epochs}
    else:
        return None
    return Caveat(kind=kind, subject=label, facts={**facts}) if rise > STILL_RISING else None


def other_revisions(subject: str, programs: Collection[str], now: str) -> list[Caveat]:
    """A caveat if another revision of the program made some of the runs.

    The key of a run (`hpo.runs.store.RunKey`) rules out known changes of the numbers, not unknown ones.

    Args:
        subject: the label of the method or study.
        programs: the revision that made each run.
        now: the current revision.
    """
    others = Counter(program for program in programs if program != now)
    if not others:
        return []
    facts: dict[str, JsonValue] = {"now": now, "then": {**dict(sorted(others.items()))}, "runs": len(programs)}
    return [Caveat(kind=CaveatKind.OTHER_REVISIONS, subject=subject, facts=facts)]


def _mixed(methods: Sequence[Method]) -> Iterator[Caveat]:
    """Caveats if the runs come from several kinds of machine, or from several versions of the libraries."""
    machines = {machine for method in methods for machine in method.trained_on}
    if len(machines) > 1:
        yield Caveat(kind=CaveatKind.MIXED_MACHINES, subject=methods[0].label, facts={"found": [*sorted(machines)]})
    by_engine: dict[str, set[str]] = {}
    for method in methods:
        for engine, libraries in method.trained_with.items():
            by_engine.setdefault(engine, set()).update(libraries)
    for engine, versions in by_engine.items():
        if len(versions) > 1:
            yield Caveat(kind=CaveatKind.MIXED_LIBRARIES, subject=engine, facts={"found": [*sorted(versions)]})


def _below_baselines(
    validated: Mapping[str, Sequence[Finalist]], baselines: Sequence[BaselineResult], objective: str
) -> Iterator[Caveat]:
    """A caveat for each method that is below the popularity baseline, or below the best baseline, on validation.

    The figures are those of validation, because the remedy changes the training. The verdict is about the test split.
    """
    popular = next((other for other in baselines if other.name == MOST_POPULAR), None)
    best = max(baselines, key=lambda other: other.validation, default=None)
    for label, finalists in validated.items():
        value = on_validation(finalists, objective)
        for kind, other in ((CaveatKind.BELOW_POPULARITY, popular), (CaveatKind.BASELINE_AHEAD, best)):
            if other and value is not None and value < other.validation:
                facts: dict[str, JsonValue] = {"baseline": other.label, "baseline_value": other.validation, "value": value}
                yield Caveat(kind=kind, subject=label, facts=facts | {"split": "validation"})
                break
