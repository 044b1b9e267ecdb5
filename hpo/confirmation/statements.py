"""Every sentence that a confirmation says but its caveats: who wins, the verdict, and what each search brought.

tests/hpo/confirmation/wording.txt holds each of them once.
"""

from __future__ import annotations

import statistics
from collections.abc import Collection, Iterator, Sequence

from hpo.confirmation.advice import ALL_ALIKE, BASELINES, CONFIRM, LEAGUE, PAIRS_WITH_BASELINES, Command, PlannedSeeds, too_few
from hpo.confirmation.evidence import ALPHA, Evidence
from hpo.confirmation.repeats import Repeats, repeats_by_pair
from hpo.confirmation.results import PARTS, BestSoFar, Method
from hpo.confirmation.statistics import MIN_SEARCHES, Comparison, Word
from hpo.confirmation.tuning import Tuning
from hpo.confirmation.winner import Decision
from hpo.runs.baseline_results import BaselineResult
from hpo.runtime.text import counted, listed
from hpo.study.names import WINNER
from hpo.study.plan import MIN_TEST_USERS

FEW_SEEDS = 3  # up to which errors are so uncertain that the power is far below its nominal value
FEW_TRIALS = 10  # with fewer, the last third of the trials is too short to find that it brought nothing
STILL_PAYS = 1.0  # percent of the best value, in the last third of the trials


def winner_said(decision: Decision, objective: str, methods: int) -> str:
    """Who wins, and why; or why nobody does.

    Args:
        methods: the number of methods, those that diverged included.
    """
    best, finalist = decision.best, decision.finalist
    if best is None or finalist is None:
        return f"there is no winner, and no {WINNER}: no method trained to the end on both splits"
    why = "no other method trained to the end" if methods > 1 else "there is no other method to choose from"
    why = f"the highest of {decision.compared} methods" if decision.compared > 1 else why
    value = f"validation {objective} {decision.value:.4f}"
    on_test = f"on the test split, which did not choose, it has {decision.test:.4f}"
    if decision.search:
        value += f" on average over its {len(best.searches)} searches"
        of_best = f"its best search, {decision.search.study}, has {finalist.mean(objective):.4f} on validation"
        on_test = f"{of_best} and {decision.test:.4f} on the test split, which did not choose"
    if not decision.ahead:
        return f"the winner is {best.label} ({WINNER}): {value}, {why}; {on_test}"
    ahead = listed(f"{other.label} ({other.validation:.4f})" for other in decision.ahead)
    baselines, are = ("baseline", "is") if len(decision.ahead) == 1 else ("baselines", "are")
    return (
        f"there is no winner, and no {WINNER}: the {baselines} {ahead} {are} ahead on validation; {best.label} has {value}, "
        f"{why}; {on_test}"
    )


def tuning_said(tuning: Tuning, objective: str) -> str:
    """What a search brought on validation and on test, and whether its last trials still paid."""
    return f"{_gain_said(tuning, objective)}; {late_said(tuning.searches)}"


def _gain_said(tuning: Tuning, objective: str) -> str:
    validation, test, over = tuning.validation_percent, tuning.test_percent, tuning.over
    if validation is None:
        unknown = f"what its search gained over {over or 'its first trial'} is not known"
        return f"{tuning.label}: {unknown}, since that diverged or found nothing on validation"
    if tuning.is_same:
        return f"{tuning.label}: its search found nothing that is better on validation than {over}, which it chose"
    error = tuning.test_error_percent
    on_test = f"{test or 0.0:+.1f} %" if error is None else f"{test or 0.0:+.1f} ± {error:.1f} % (95 %)"
    if tuning.is_overtuned:
        gained = f"its search gained {validation:+.1f} % on validation {objective} over {over}"
        return f"{tuning.label} is overtuned: {gained}, and {on_test} came of it on test"
    if validation <= 0:
        better = f"its search found nothing that is better on validation {objective} than {over} ({validation:+.1f} %"
        return f"{tuning.label}: {better}{')' if test is None else f'; {on_test} on test)'}"
    also = "; what it gained on test was not measured" if test is None else f" and {on_test} on test"
    return f"{tuning.label}: its search gained {validation:+.1f} % on validation {objective} over {over}{also}"


def late_said(searches: Sequence[BestSoFar]) -> str:
    """Whether the last trials of a search, or of several on average, still paid."""
    rises = [rise for search in searches if (rise := search.late_percent) is not None]
    trials = max((search.trials for search in searches), default=0)
    of_several = f" (mean of {len(rises)} searches)" if len(rises) > 1 else ""
    if not rises and any(max(search.rises, default=0) > search.trials - search.trials // PARTS for search in searches):
        first = "its first complete trial with a value above 0 came in the last third"
        return f"{first} of {counted(trials, 'trial')}; more trials may find better ones"
    if not rises or (max(rises) == 0 and trials < FEW_TRIALS):
        return f"{counted(trials, 'trial')} {'is' if trials == 1 else 'are'} too few to tell whether more would help"
    if max(rises) == 0:
        return f"its best value did not rise in the last third of {counted(trials, 'trial')}{of_several}"
    rise = statistics.fmean(rises)
    more = "; more trials may find better ones (--trials)" if rise >= STILL_PAYS else ""
    return f"its best value rose by {rise:.1f} % in the last third of {counted(trials, 'trial')}{of_several}{more}"


def statements(
    methods: Sequence[Method],
    comparisons: Sequence[Comparison],
    baselines: Sequence[BaselineResult],
    test_users: int,
    objective: str,
    against_baselines: Sequence[Comparison] = (),
    is_league: bool = False,
) -> list[str]:
    """Who has the highest figure; the verdict, a sentence per rival, tuned ones first, and per baseline; who could not be
    judged.

    Args:
        is_league: whether the comparisons are the named pairs of a league.
    """
    sound = [method for method in methods if not method.failure]
    said = []
    if len(sound) > 1:
        said.append(_highest(sound, baselines, objective))
    if test_users < MIN_TEST_USERS:
        said.append(too_few_users(test_users))
    tuned = {method.label for method in methods if method.is_tuned}
    tuned_first = sorted(comparisons, key=lambda comparison: comparison.rival not in tuned)
    repeats = repeats_by_pair(comparisons, {method.label: method.values(objective) for method in sound})
    command, seeds = LEAGUE if is_league else CONFIRM, PlannedSeeds.of(methods)
    said += [verdict(each, objective, repeats.get((each.ours, each.rival)), command, seeds=seeds) for each in tuned_first]
    said += _about_baselines(against_baselines, sound, baselines, objective, seeds)
    said += _about_searches(sound) if comparisons or against_baselines else []
    return said + [_failed(method) for method in methods if method.failure]


def _about_baselines(
    comparisons: Sequence[Comparison],
    sound: Sequence[Method],
    baselines: Sequence[BaselineResult],
    objective: str,
    seeds: PlannedSeeds,
) -> list[str]:
    """The verdict on each baseline; in a league also those of the leader."""
    command = BASELINES if len({each.ours for each in comparisons}) < 2 else PAIRS_WITH_BASELINES
    values = {method.label: method.values(objective) for method in sound}
    values |= {each.label: [each.values(objective)] for each in baselines}
    repeats = repeats_by_pair(comparisons, values)
    fixed = [each.label for each in baselines if not each.by_seed]
    return [verdict(each, objective, repeats.get((each.ours, each.rival)), command, fixed, seeds) for each in comparisons]


def baseline_said(baseline: BaselineResult, objective: str) -> str:
    """How a baseline ranks, and how its settings were found."""
    tried = len(baseline.evaluations)
    best = f"the best of {tried} points: " if tried > 1 else ""
    said = f"{baseline.label}: {baseline.note}; {best}validation {objective} {baseline.validation:.4f}"
    return said + (f"; {counted(baseline.failed, 'point')} failed" if baseline.failed else "")


def too_few_users(users: int, in_common: bool = False) -> str:
    """Why there is no verdict on users so few, of the test split or that methods have in common."""
    if in_common:
        return f"no verdict: the methods have {counted(users, 'user')} in common, and {MIN_TEST_USERS} are needed"
    has = f"the test split has {counted(users, 'user')}, and {MIN_TEST_USERS} are needed"
    return f"no verdict: {has}; use more data or another test split"


def highest_said(labels: Sequence[str], value: float, methods: int, users: int, objective: str) -> str:
    """Which of some methods of other programs has the highest figure, or which ones share it."""
    what = f"the highest {objective} of {methods} methods on {counted(users, 'user')}"
    return f"{listed(labels)} share {what}, {value:.4f}" if len(labels) > 1 else f"{what} is that of {labels[0]}, {value:.4f}"


def deterministic_said(labels: Sequence[str]) -> str:
    """What a verdict on methods without seeds takes for granted."""
    have, runs = ("have", "runs of them") if len(labels) > 1 else ("has", "runs of it")
    return f"{listed(labels)} {have} no seed, as --deterministic says: other {runs} would give the same figures"


def _failed(method: Method) -> str:
    lost = sum(not metrics for metrics in method.by_seed.values())
    seeds = f" in {lost} of {counted(len(method.by_seed), 'seed')}" if lost else ""
    return f"{method.label} diverged on train + validation{seeds}: {method.failure}"


def _about_searches(sound: Sequence[Method]) -> Iterator[str]:
    """Whether the verdicts are about methods or about configs: what is known of how much searches vary."""
    counts = {method.label: len(method.searches) for method in sound if method.searches}
    several = [f"{label} ({count} searches)" for label, count in counts.items() if count >= MIN_SEARCHES]
    single = [label for label, count in counts.items() if count == 1]
    if several:
        yield (
            f"{listed(several)}: how much searches vary is in the verdict, which is about what one search of this budget finds"
        )
    if single:
        found, these = ("were", "these configs") if len(single) > 1 else ("was", "this config")
        yield (
            f"{listed(single)} {found} found by one search{' each' if len(single) > 1 else ''}: the verdict is about {these}; "
            f"another search may find another config; --searches {MIN_SEARCHES} shows how much that matters"
        )


def _highest(methods: Sequence[Method], baselines: Sequence[BaselineResult], objective: str) -> str:
    """Which trained method is first on test, or which ones are, and which baselines are ahead of it all the same."""
    value = max(method.mean(objective) for method in methods)
    first = [method.label for method in methods if method.mean(objective) == value]
    ahead = [f"{other.label} {other.metrics[objective]:.4f}" for other in baselines if other.metrics[objective] > value]
    if ahead:
        have = "share" if len(first) > 1 else "has"
        return (
            f"of the trained losses {listed(first)} {have} the highest {objective} on the test split, {value:.4f}; "
            f"these baselines are higher: {listed(ahead)}"
        )
    if len(first) > 1:
        return f"{listed(first)} share the highest {objective} on the test split, {value:.4f}"
    return f"the highest {objective} on the test split is that of {first[0]}, {value:.4f}"


def verdict(
    comparison: Comparison,
    objective: str,
    repeats: Repeats | None = None,
    command: Command = CONFIRM,
    deterministic: Collection[str] = (),
    seeds: PlannedSeeds = ALL_ALIKE,
) -> str:
    """The verdict on one rival.

    Args:
        repeats: how many seeds it rests on, and how many would do; None where that is not known, or nothing can be repeated.
        deterministic: the methods that have no seed.
        seeds: the seeds that were planned.
    """
    ours, rival, word = comparison.ours, comparison.rival, comparison.word
    found = f"{objective} {shown(comparison, comparison.difference)}"
    if comparison.both is None:
        pairs = zip((ours, rival), repeats.counts if repeats else (1, 1), strict=True)
        single = [label for label, count in pairs if count == 1 and label not in deterministic]
        of = f" of {listed(single)}" if repeats and single else ""
        each = " each" if len(single) > 1 else ""
        remedy = command.one_seed.format(flags=seeds.flags(single, 3, command))
        why = f"one seed{of}{each if of else ''} does not show how much training runs vary; {remedy}"
        if any(1 < searches < MIN_SEARCHES for searches in comparison.searches):
            why = f"two searches do not show how much searches vary; confirm with {MIN_SEARCHES} or more, or with one"
        span = interval(comparison, comparison.users)
        return f"no verdict on {ours} and {rival}: {found} (95 % interval over users {span}), but {why}"
    start, limit = f"{ours} is {word} than {rival}", ""
    if word is Word.UNDECIDED:
        start = f"{ours} and {rival} are {word}"
        detectable = shown(comparison, comparison.detectable or 0.0, "")
        limit = f"{undecided_since(comparison)}; minimum detectable effect about {detectable} ({_power_said(repeats)})"
        limit += "" if repeats is None else f"; {too_few(comparison, repeats, command, seeds)}"
        limit += "; only more test users could settle it" if {ours, rival} <= {*deterministic} and comparison.difference else ""
    over = f" after Holm for {counted(comparison.family, *command.family)}" if comparison.family > 1 else ""
    span = interval(comparison, comparison.both)
    return f"{start}: {found} (95 % interval of this pair {span}; p {p_said(comparison.p)}{over}){limit}"


def _power_said(repeats: Repeats | None) -> str:
    """The power of the minimum detectable effect, see benchmarks/RESULTS.md."""
    few = repeats is not None and any(
        kind == "seed" and count <= FEW_SEEDS for kind, count in zip(repeats.kinds, repeats.counts, strict=True)
    )
    return "80 % power at most" + ("; 53 to 79 % with 2 or 3 seeds" if few else "")


def undecided_since(comparison: Comparison) -> str:
    """Which part of the evidence is not enough, where the interval alone would be."""
    both, runs, users = comparison.both, comparison.runs, comparison.users
    if both is None or runs is None or both.low <= 0.0 <= both.high:
        return ""
    repeats = "searches" if max(comparison.searches) > 1 else "seeds"
    tests = {"users": users.p, repeats: runs.p, f"users and {repeats} together": both.p}
    weak = {name: p for name, p in tests.items() if p > ALPHA}
    if weak:
        failed = listed(f"the test over {name} (p {p_said(p)})" for name, p in weak.items())
        return f"; the interval excludes 0, but {failed} {'do' if len(weak) > 1 else 'does'} not reject"
    name, p = max(tests.items(), key=lambda test: test[1])
    among = counted(comparison.family, "comparison")
    small = f"p {p_said(p)} of the test over {name} is not small enough"
    return f"; the interval of this pair alone excludes 0, but with {among} {small}"


def shown(comparison: Comparison, difference: float, sign: str = "+") -> str:
    """A difference as text: in percent of the rival's mean, or as a plain number if that mean is 0."""
    percent = comparison.percent(difference)
    return f"{difference:{sign}.4f}" if percent is None else f"{percent_said(percent, sign)} %"


def percent_said(percent: float, sign: str = "+") -> str:
    """A percentage as text, with one digit below .05 % in place of none; below .0001 % it is 0."""
    if abs(percent) < 1e-4:
        percent = 0.0
    return f"{percent:{sign}.1g}" if 0 < abs(percent) < 0.05 else f"{percent:{sign}.1f}"


def interval(comparison: Comparison, evidence: Evidence) -> str:
    """An interval as text, `+0.3 to +2.1 %`."""
    return f"{shown(comparison, evidence.low).removesuffix(' %')} to {shown(comparison, evidence.high)}"


def p_said(p: float) -> str:
    """A p as text, with more digits where two would show the level itself."""
    if p < 0.001:
        return "< .001"
    return next((text for digits in range(2, 9) if float(text := f"{p:.{digits}g}") != ALPHA), f"{p:.2g}")
