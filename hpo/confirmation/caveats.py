"""What limits a verdict, as data; `hpo.confirmation.wording` makes sentences of it."""

from __future__ import annotations

import math
import statistics
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from enum import StrEnum

from pydantic import BaseModel, JsonValue

from hpo.confirmation.results import Finalist, Method, chosen_of
from hpo.runs.store import BaselineResult
from trainers.validation import SETTINGS

MOST_POPULAR = "MostPop"  # the label of that baseline
STILL_RISING = 0.01  # of a validation curve between its last two points, or by twice the epochs


class CaveatKind(StrEnum):
    """What a caveat is about; its facts are named in `hpo.confirmation.wording`."""

    NOT_TUNED = "not tuned"  # a rival, and why
    UNTUNED_RIVALS = "untuned rivals"  # what to do about all of them
    SEARCHES_MISSING = "searches missing"  # repeats of a search that were asked for and are not used
    FOUND_PUBLISHED = "found published"  # a search chose the published config
    PAPER_SETTINGS = "paper settings"  # of methods that are not tuned
    DIFFERENT_SETTINGS = "different settings"  # methods that differ in more than their loss
    SHORT_SEARCH = "short search"  # the sampler never learned
    AT_RANGE_END = "at range end"  # the best of a search stand where what lies beyond was not tried
    DIVERGED = "diverged"  # of what validation chose from
    NOT_SEARCHED_BY_ALL = "not searched by all"  # settings that untuned methods have from their file
    DATA_WARNING = "data warning"  # about the files
    RATINGS_UNUSED = "ratings unused"  # a low one counts like a high one
    TEST_DROPPED = "test dropped"  # pairs or users of the test split
    FEW_VALIDATION_USERS = "few validation users"
    LAWS_DIFFER = "laws differ"  # how validation and test were drawn
    SPLITS_DIFFER = "splits differ"  # validation and test, in popularity
    TEST_READ_AGAIN = "test read again"
    TEST_CHANGED = "test changed"  # the test data are others than those of an earlier confirm
    TEST_READ_FOR_OTHERS = "test read for others"
    CURVE_RISES = "curve rises"  # at the end of the training
    LONGER_TRAINING_HELPED = "longer training helped"
    OTHER_REVISIONS = "other revisions"  # of the program trained or measured what is taken from the store
    MIXED_MACHINES = "mixed machines"
    MIXED_LIBRARIES = "mixed libraries"
    BELOW_POPULARITY = "below popularity"  # less than what needs no user's taste
    BASELINE_AHEAD = "baseline ahead"
    # Of files of other programs, `hpo.compare`:
    USERS_MISSING = "users missing"  # of a method, that others have
    USERS_UNSERVED = "users unserved"  # without a list; they count 0
    USERS_UNKNOWN = "users unknown"  # with a list, and not in the truth
    SHORT_LISTS = "short lists"
    TIED_SCORES = "tied scores"
    RUNS_DIFFER = "runs differ"  # in number, from method to method
    RUNS_ALIKE = "runs alike"  # all runs of a method have the same figures
    OUTSIDE_UNIT = "outside unit"  # figures that are not between 0 and 1
    CONSTANT = "constant"  # one figure for all users
    SAME_FIGURES = "same figures"  # of two methods
    MIXED_SOURCES = "mixed sources"  # some figures were read, some computed


class Caveat(BaseModel):
    """One thing to know.

    Attributes:
        subject: whom it is about: a method's label, a study, a sampler.
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
) -> list[Caveat]:
    """What the figures of every method give rise to: what diverged, looks unfinished, was mixed, or is below a baseline.

    Args:
        methods: all of them, ours first.
        validated: what validation chose from, for each method, by its label.
        search_epochs: of a trial of the search.
    """
    found = {label: chosen_of(finalists, objective) for label, finalists in validated.items()}
    chosen = {label: finalist for label, finalist in found.items() if finalist is not None}
    unfinished = (_unfinished(label, finalist, search_epochs, objective) for label, finalist in chosen.items())
    return [
        *(caveat for label, finalists in validated.items() if (caveat := _diverged(label, finalists)) is not None),
        *(caveat for caveat in unfinished if caveat is not None),
        *_mixed(methods),
        *_below_baselines(methods, baselines, objective),
    ]


def _diverged(label: str, finalists: Sequence[Finalist]) -> Caveat | None:
    """What of a method diverged on validation; there the others are left to be chosen."""
    failed = [finalist for finalist in finalists if finalist.failure]
    if not failed:
        return None
    first = failed[0]
    lost = sum(not metrics for metrics in first.by_seed.values())
    facts: dict[str, JsonValue] = {"failed": len(failed), "of": len(finalists), "trial": first.trial, "failure": first.failure}
    return Caveat(kind=CaveatKind.DIVERGED, subject=label, facts=facts | {"lost_seeds": lost, "seeds": len(first.by_seed)})


def _unfinished(label: str, chosen: Finalist, search_epochs: int, objective: str) -> Caveat | None:
    """What shows that a method's training was not finished.

    At a constant rate that is the end of its validation curve. A rate that falls to zero flattens the end of every curve,
    finished or not: there, and where a curve has a single point, it is what the longer training of confirm has gained over that
    of the search.
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
    """A caveat where figures come of runs that another revision of the program has trained or measured.

    What has changed since is not in them, or the key of a run would have told (`hpo.runs.store.RunKey`).

    Args:
        subject: whose figures they are.
        programs: of each run, the revision that made it.
        now: the revision that gives the figures out.
    """
    others = Counter(program for program in programs if program != now)
    if not others:
        return []
    facts: dict[str, JsonValue] = {"now": now, "then": {**dict(sorted(others.items()))}, "runs": len(programs)}
    return [Caveat(kind=CaveatKind.OTHER_REVISIONS, subject=subject, facts=facts)]


def _mixed(methods: Sequence[Method]) -> Iterator[Caveat]:
    """Where the methods' runs do not come from one kind of machine, or from one version of the libraries."""
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


def _below_baselines(methods: Sequence[Method], baselines: Sequence[BaselineResult], objective: str) -> Iterator[Caveat]:
    """Methods that popularity alone is ahead of, and others that the best baseline is ahead of."""
    popular = next((other for other in baselines if other.label == MOST_POPULAR), None)
    best = max(baselines, key=lambda other: other.metrics[objective], default=None)
    for method in methods:
        for kind, other in ((CaveatKind.BELOW_POPULARITY, popular), (CaveatKind.BASELINE_AHEAD, best)):
            if other and not method.failure and method.mean(objective) < other.metrics[objective]:
                facts: dict[str, JsonValue] = {"baseline": other.label, "baseline_value": other.metrics[objective]}
                yield Caveat(kind=kind, subject=method.label, facts=facts | {"value": method.mean(objective)})
                break
