"""The tables of a replay, in Markdown, and their result in words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.stats import spearmanr

from benchmarks.replay.recordings import EVERYBODY
from benchmarks.replay.simulate import BUDGETS, MEDIANS, NONE, Group, Median, Outcome

SHOWN_EPOCHS = (1, 3, 6, 9, 12, 15, 18, 21, 24, 27)
JUDGED = (0, 1)  # indices of BUDGETS; with more than a half, pruners run out of recorded configs
Cells = Sequence[object]


def markdown(header: Cells, rows: Sequence[Cells]) -> str:
    """A table in Markdown."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell) for cell in line)} |" for line in lines)


def report(groups: Sequence[Group]) -> str:
    """All tables, the pooled ones first."""
    parts = [
        "### Recordings",
        recordings(groups),
        "### How early the order is known: rank correlation with the final value, all / better half, place of the final best",
        order(groups),
        "### All recordings pooled (mean ± standard error over recordings)",
        policies(groups),
        verdict(groups),
        "### Decisions on a sample of users (against all users)",
        samples(groups),
    ]
    for group in groups:
        orders = len(next(iter(group.outcomes.values())).spent)
        parts += [f"### {group.recording.label} (mean ± standard error over {orders} orders)", policies([group])]
    return "\n\n".join(part for part in parts if part)


def recordings(groups: Sequence[Group]) -> str:
    """The table of the recordings."""
    rows = []
    for group in groups:
        recording, pool = group.recording, group.pool
        failed = len(recording.curves) - len(pool)
        evaluating = (pool.fetch + pool.rank).mean(axis=1)
        quantiles = np.quantile(pool.final, [0.0, 0.5, 1.0])
        rows.append(
            [
                *(recording.label, f"{len(pool)}" + (f", {failed} failed" if failed else ""), f"{recording.header.users:,}"),
                " / ".join(f"{value:.4f}" for value in quantiles),
                f"{pool.trained[:, -1].min():.1f} to {pool.trained[:, -1].max():.1f}",
                f"{evaluating.mean():.2f} ({100 * (evaluating / pool.train.mean(axis=1)).mean():.0f} %)",
            ]
        )
    header = [
        "recording",
        "configs",
        "users",
        "worst / median / best",
        "s of training",
        "s an evaluation (of an epoch's training)",
    ]
    return markdown(header, rows)


def order(groups: Sequence[Group]) -> str:
    """How well the order of the configs after an epoch agrees with the final order."""
    epochs = [epoch for epoch in SHOWN_EPOCHS if all(epoch < group.pool.epochs for group in groups)]
    lengths = sorted(groups[0].pool.curves[0].short)
    rows = []
    for group in groups:
        curves = group.pool.curves
        early = [[curve.values[EVERYBODY][epoch - 1] for curve in curves] for epoch in epochs]
        short = [[curve.short[length].value for curve in curves] for length in lengths]
        rows.append([group.recording.label, *(agreement(np.array(values), group.pool.final) for values in [*early, *short])])
    return markdown(["recording", *(f"epoch {epoch}" for epoch in epochs), *(f"{n} to rate 0" for n in lengths)], rows)


def agreement(early: NDArray[np.float64], final: NDArray[np.float64]) -> str:
    """The rank correlations of early and final values, and the early rank of the config that is finally the best, from 1."""
    better = final >= np.median(final)
    both = [spearmanr(early[chosen], final[chosen]).statistic for chosen in (np.ones_like(better), better)]
    rank = 1 + int((early > early[final.argmax()]).sum())
    return f"{both[0]:.2f} / {both[1]:.2f}, {rank}."


COLUMNS: dict[str, Callable[[Outcome], NDArray[Any]]] = {
    "seconds": lambda found: found.spent,
    "seconds after start-up": lambda found: found.after_startup,
    "not completed": lambda found: found.pruned,
    "best lost": lambda found: np.where(found.at_risk, found.lost, np.nan),
    "regret, all 40": lambda found: found.regret,
    "regret at 25 %": lambda found: found.regrets[:, 0],
    "at 50 %": lambda found: found.regrets[:, 1],
    "at 75 %": lambda found: found.regrets[:, 2],
}


def policies(groups: Sequence[Group]) -> str:
    """A row for each policy, in percent.

    Standard errors of regrets are over recordings, or over the orders of one recording.
    """
    rows = []
    for name in groups[0].outcomes:
        cells = []
        for column, measure in COLUMNS.items():
            by_group = [measure(group.outcomes[name]).astype(np.float64) for group in groups]
            by_group = [one[~np.isnan(one)] for one in by_group]
            means = by_group[0] if len(groups) == 1 else np.array([one.mean() for one in by_group if len(one)])
            digits = 2 if "regret" in column or column.startswith("at") else 0
            cells.append(percent(means, digits, with_error=digits > 0))
        rows.append([name, *cells])
    return markdown(["policy", *COLUMNS], rows)


def percent(values: NDArray[np.float64], digits: int, with_error: bool) -> str:
    """A mean in percent, on request with its standard error."""
    if not len(values):
        return ""
    mean = f"{100 * values.mean():.{digits}f}"
    return f"{mean} ± {100 * standard_error(values):.{digits}f}" if with_error and len(values) > 1 else mean


def standard_error(values: NDArray[np.float64]) -> float:
    """The standard error of the mean."""
    return float(values.std(ddof=1) / np.sqrt(len(values)))


def judged(name: str, groups: Sequence[Group]) -> NDArray[np.float64]:
    """The mean regret within the judged budgets: for each recording, or for each order of a single recording."""
    found = [group.outcomes[name].regrets[:, JUDGED].mean(axis=1) for group in groups]
    return found[0] if len(groups) == 1 else np.array([one.mean() for one in found])


def winner(groups: Sequence[Group]) -> tuple[Median, Median, list[Median]]:
    """Compare the settings of the median pruner by their regret at equal budget.

    Returns:
        The setting with the lowest regret, the setting to take, and all settings within a standard error of the difference to
        the lowest. Of these the one that prunes latest is taken, then the one that decides least often, then the one with the
        longest start-up.
    """
    lowest = min(MEDIANS, key=lambda setting: float(judged(setting.name, groups).mean()))
    reference = judged(lowest.name, groups)
    equal = []
    for setting in MEDIANS:
        difference = judged(setting.name, groups) - reference
        if len(difference) == 1 or difference.mean() <= standard_error(difference):
            equal.append(setting)
    return lowest, max(equal, key=lambda one: (one.warm_up, one.interval, one.startup)), equal


def verdict(groups: Sequence[Group]) -> str:
    """Which setting of the median pruner to take."""
    lowest, taken, equal = winner(groups)
    shares = " and ".join(f"{100 * BUDGETS[one]:.0f} %" for one in JUDGED)

    def said(name: str) -> str:
        return percent(judged(name, groups), 2, with_error=True)

    return (
        f"Regret at equal budget (mean of {shares} of what all configs need): lowest of the median pruner's settings is "
        f"`{lowest.name}`, {said(lowest.name)} %. {len(equal)} of {len(MEDIANS)} settings are within one standard error of the "
        f"difference to it. The latest of these, then the simplest: **{taken.name}**, {said(taken.name)} %. Without pruning: "
        f"{said(NONE)} %. n_min_trials changes nothing up to n_startup_trials: every complete trial has a value at each epoch "
        "that decides."
    )


def samples(groups: Sequence[Group]) -> str:
    """The effect of decisions on fewer users."""
    rows = list(_sample_rows(groups))
    header = ["setting", "users", "recordings", "fates changed", "seconds", "best lost", "regret, all 40", *_budget_names()]
    return markdown(header, rows) if rows else ""


def _budget_names() -> list[str]:
    return [f"regret at {100 * BUDGETS[one]:.0f} %" for one in JUDGED]


def _sample_rows(groups: Sequence[Group]) -> Iterator[Cells]:
    for setting, size in dict.fromkeys(key for group in groups for key in group.samples):
        found = [group.samples[setting, size] for group in groups if (setting, size) in group.samples]
        changes = [[one.regret for one in found], *([one.regrets[:, budget] for one in found] for budget in JUDGED)]
        means = [one[0] if len(one) == 1 else np.array([values.mean() for values in one]) for one in changes]
        yield [
            *(setting.name, f"{size:,}", len(found), f"{100 * np.mean([one.changed for one in found]):.1f} %"),
            *(f"{100 * np.mean(values):+.1f}" for values in ([one.spent for one in found], [one.lost for one in found])),
            *(percent(values, 2, with_error=True) for values in means),
        ]
