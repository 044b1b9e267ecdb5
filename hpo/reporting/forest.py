"""The forest plot: the difference of each comparison, its 95 % interval and its minimum detectable effect, on an axis with 0.

The page draws it as SVG in percent of the width. So it fits a phone, follows the colours of the page and needs no script.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from hpo.confirmation.headlines import by_importance
from hpo.confirmation.results import Method
from hpo.confirmation.statements import interval, shown
from hpo.confirmation.statistics import Comparison, Word
from trainers.text import clipped

SHOWN_NAME = 22  # characters of a method's name below the axis
TINY = 1e-100  # an axis that is not longer holds a single value, and is drawn with a length of its own
PAD = 0.04  # of the axis, left free at each end
TICKS = 5  # at most, so that a phone has room for their labels
CLASSES = {Word.BETTER: "better", Word.WORSE: "worse", Word.UNDECIDED: "undecided", Word.NO_VERDICT: "none"}
KEY = (
    "Point: the difference. Line: its 95 % interval over users and runs, or over users alone where there is no verdict. "
    "Grey band: the minimum detectable effect. Differences inside the band are too small to be found reliably with this "
    "number of users and seeds. It is for a power of 80 % at most; with 2 or 3 seeds the power is 53 to 79 %."
)


@dataclass(frozen=True)
class Row:
    """A row of the plot: one comparison.

    Attributes:
        name: the label of the row, such as that of the rival.
        figures: difference and interval as text.
        difference, low, high: the difference and the ends of its interval, in the unit of the axis.
        detectable: the minimum detectable effect, in the unit of the axis; None if it is not known.
    """

    name: str
    word: Word
    figures: str
    difference: float
    low: float
    high: float
    detectable: float | None

    @property
    def style(self) -> str:
        """The CSS class of the verdict, which colours the row."""
        return CLASSES[self.word]


@dataclass(frozen=True)
class Forest:
    """Comparisons on one axis.

    Attributes:
        sides: the method that is higher to the left of 0, and the one that is higher to the right of 0.
        unit: the title of the axis.
        percent: whether the axis is in percent.
    """

    title: str
    sides: tuple[str, str]
    unit: str
    percent: bool
    rows: Sequence[Row]

    @property
    def ends(self) -> tuple[float, float]:
        """The ends of the axis. It holds 0 and all values of every row."""
        reach = [0.0, *(each for row in self.rows for each in (row.low, row.high, row.difference))]
        reach += [sign * row.detectable for row in self.rows if row.detectable is not None for sign in (-1, 1)]
        low, high = min(reach), max(reach)
        pad = PAD * (high - low if high - low > TINY else 1.0)
        return low - pad, high + pad

    def place(self, value: float) -> str:
        """A value as a place on the axis, in percent of its length."""
        low, high = self.ends
        return f"{100 * (value - low) / (high - low):.2f}%"

    def width(self, value: float) -> str:
        """A difference as a length on the axis, in percent of its length."""
        low, high = self.ends
        return f"{100 * value / (high - low):.2f}%"

    @property
    def ticks(self) -> list[tuple[str, str]]:
        """(place, label) of each tick, at round values."""
        low, high = self.ends
        size = 10.0 ** math.floor(math.log10((high - low) / TICKS))
        step = next(size * factor for factor in (1, 2, 5, 10, 20) if (high - low) / (size * factor) <= TICKS)
        numbers = range(math.ceil(low / step), math.floor(high / step) + 1)
        return [(self.place(number * step), self._label(number * step)) for number in numbers]

    def _label(self, value: float) -> str:
        return f"{value:+g} %" if self.percent and value else "0" if not value else f"{value:+.4g}"


def forest(
    title: str,
    comparisons: Iterable[Comparison],
    objective: str,
    sides: tuple[str, str] = ("the second method", "the first method"),
    name: Callable[[Comparison], str] = lambda one: one.rival,
) -> Forest | None:
    """The plot of some comparisons; None if there are none.

    Differences are in percent of the second method's mean. If one of these means is 0, they are plain numbers.

    Args:
        sides: see `Forest`.
        name: returns the label of a comparison's row.
    """
    comparisons = [*comparisons]
    if not comparisons:
        return None
    percent = all(one.percent(one.difference) is not None for one in comparisons)
    unit = f"difference in {objective}" + (f", % of the mean of {sides[0]}" if percent else "")
    rows = [_row(one, percent, name(one)) for one in comparisons]
    return Forest(title, (clipped(sides[0], SHOWN_NAME), clipped(sides[1], SHOWN_NAME)), unit, percent, rows)


def _row(one: Comparison, percent: bool, name: str) -> Row:
    evidence, unit = one.both or one.users, 100 / abs(one.base) if percent else 1.0
    figures = f"{shown(one, one.difference)} ({interval(one, evidence)})"
    detectable = None if one.detectable is None else unit * one.detectable
    return Row(name, one.word, figures, unit * one.difference, unit * evidence.low, unit * evidence.high, detectable)


def forests(
    comparisons: Sequence[Comparison],
    methods: Sequence[Method],
    objective: str,
    against_baselines: Sequence[Comparison] = (),
) -> list[Forest]:
    """The plots of a study: for tuned rivals, for published settings, and for baselines. A plot without rows is left out.

    Each has an axis of its own, since some differences are far larger than others. The most important comparison is first.
    """
    tuned = {method.label for method in methods if method.is_tuned}
    ours = next((one.ours for one in (*comparisons, *against_baselines)), methods[0].label)  # in a league it may be the leader
    ordered = by_importance(comparisons, {method.label: method for method in methods})
    parts = (
        (f"{ours} against tuned methods", [one for one in ordered if one.rival in tuned]),
        (f"{ours} against published settings", [one for one in ordered if one.rival not in tuned]),
        (f"{ours} against baselines", by_importance(against_baselines)),
    )
    drawn = (forest(title, those, objective, ("the other method", ours)) for title, those in parts)
    return [each for each in drawn if each is not None]
