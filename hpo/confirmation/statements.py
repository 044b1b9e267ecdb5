"""Every sentence that a confirmation says but its caveats: who wins, and the verdict.

tests/hpo/confirmation/wording.txt holds each of them once.
"""

from __future__ import annotations

from collections.abc import Sequence

from hpo.confirmation.results import Method
from hpo.confirmation.statistics import MIN_TEST_USERS, Comparison, Evidence, Word
from hpo.confirmation.winner import Decision
from hpo.runs.store import BaselineResult
from hpo.runtime.text import counted, listed

WINNER = "winner.yaml"


def winner_said(decision: Decision, objective: str) -> str:
    """Who wins, and why; or why nobody does."""
    best, finalist = decision.best, decision.finalist
    if best is None or finalist is None:
        return f"there is no winner, and no {WINNER}: no method trained to the end on both splits"
    value, test = f"validation {objective} {finalist.mean(objective):.4f}", f"{best.mean(objective):.4f}"
    why = f"the highest of {decision.compared} methods" if decision.compared > 1 else "no other method trained to the end"
    if not decision.ahead:
        return f"the winner is {best.label} ({WINNER}): {value}, {why}; on the test split, which did not choose, it has {test}"
    ahead = listed(f"{other.label} ({other.metrics[objective]:.4f})" for other in decision.ahead)
    return (
        f"there is no winner, and no {WINNER}: without training {ahead} {'is' if len(decision.ahead) == 1 else 'are'} ahead on "
        f"the test split, where {best.label} has {objective} {test}, the best of what was trained ({value}, {why})"
    )


def statements(
    methods: Sequence[Method],
    comparisons: Sequence[Comparison],
    baselines: Sequence[BaselineResult],
    test_users: int,
    objective: str,
) -> list[str]:
    """Who has the highest figure; the verdict, a sentence per rival, tuned ones first; who could not be judged."""
    sound = [method for method in methods if not method.failure]
    said = []
    if len(sound) > 1:
        best = max(sound, key=lambda method: method.mean(objective))
        said.append(_highest(best, baselines, objective))
    if test_users < MIN_TEST_USERS:
        said.append(
            f"no verdict: the test split has {test_users} users, and {MIN_TEST_USERS} are needed; use more data or "
            "another test split"
        )
    tuned = {method.label for method in methods if method.is_tuned}
    tuned_first = sorted(comparisons, key=lambda comparison: comparison.rival not in tuned)
    said += [verdict(comparison, objective) for comparison in tuned_first]
    return said + [_failed(method) for method in methods if method.failure]


def _failed(method: Method) -> str:
    lost = sum(not metrics for metrics in method.by_seed.values())
    seeds = f" in {lost} of {counted(len(method.by_seed), 'seed')}" if lost else ""
    return f"{method.label} diverged on train + validation{seeds}: {method.failure}"


def _highest(best: Method, baselines: Sequence[BaselineResult], objective: str) -> str:
    """Which trained method is first on test, and which baselines are ahead of it all the same."""
    value = best.mean(objective)
    ahead = [f"{other.label} {other.metrics[objective]:.4f}" for other in baselines if other.metrics[objective] > value]
    if not ahead:
        return f"the highest {objective} on the test split is that of {best.label}, {value:.4f}"
    return (
        f"of the trained losses {best.label} has the highest {objective} on the test split, {value:.4f}; without training, "
        f"{listed(ahead)}"
    )


def verdict(comparison: Comparison, objective: str) -> str:
    """The verdict on one rival."""
    ours, rival, word = comparison.ours, comparison.rival, comparison.word
    found = f"{objective} {shown(comparison, comparison.difference)}"
    if comparison.both is None:
        return (
            f"no verdict on {ours} and {rival}: {found} (95 % interval over users {_interval(comparison, comparison.users)}), "
            "but one seed does not show how much training runs vary; confirm with more seeds"
        )
    start, limit = f"{ours} is {word} than {rival}", ""
    if word is Word.UNDECIDED:
        start = f"{ours} and {rival} are {word}"
        limit = f"; minimum detectable effect about {shown(comparison, comparison.detectable or 0.0, '')} (80 % power)"
    over = f" after Holm for {comparison.family} rivals" if comparison.family > 1 else ""
    interval = _interval(comparison, comparison.both)
    return f"{start}: {found} (95 % interval of this pair {interval}; p {_p(comparison.p)}{over}){limit}"


def shown(comparison: Comparison, difference: float, sign: str = "+") -> str:
    """A difference as text: in percent of the rival's mean, as it stands when that is 0."""
    percent = comparison.percent(difference)
    return f"{difference:{sign}.4f}" if percent is None else f"{percent:{sign}.1f} %"


def _interval(comparison: Comparison, evidence: Evidence) -> str:
    return f"{shown(comparison, evidence.low).removesuffix(' %')} to {shown(comparison, evidence.high)}"


def _p(p: float) -> str:
    return f"{p:.2g}" if p >= 0.001 else "< .001"
