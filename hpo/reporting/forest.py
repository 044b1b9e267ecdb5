"""The forest plot: each comparison with its 95 % interval, beside the zero line and what could have been found.

The page draws it as SVG in percent of the width, so that it fits a phone, follows the colours of the page and needs no script.
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

SHOWN_NAME = 22  # characters of a method below the axis
TINY = 1e-100  # an axis so short has no ticks
PAD = 0.04  # of the axis, left free at each end
TICKS = 5  # at most, so that a phone has room for their labels
CLASSES = {Word.BETTER: "better", Word.WORSE: "worse", Word.UNDECIDED: "undecided", Word.NO_VERDICT: "none"}
KEY = (
    "Point: the difference. Line: its 95 % interval over users and runs, or over users alone where there is no verdict. "
    "Grey band: the minimum detectable effect. Differences inside the band are too small to be found reliably with this "
    "number of users and seeds."
)


@dataclass(frozen=True)
class Row:
    """A comparison.

    Attributes:
        name: what it is with.
        figures: difference and interval as text.
        difference, low, high, detectable: in the unit of the axis; `detectable` is None where it is not known.
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
        """The class that colours it."""
        return CLASSES[self.word]


@dataclass(frozen=True)
class Forest:
    """Comparisons on one axis.

    Attributes:
        sides: who is better to the left of zero, and to the right of it.
        unit: what the axis shows.
        percent: whether that is percent.
    """

    title: str
    sides: tuple[str, str]
    unit: str
    percent: bool
    rows: Sequence[Row]

    @property
    def ends(self) -> tuple[float, float]:
        """Of the axis: all of each row and zero are on it."""
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
        """A length on the axis."""
        low, high = self.ends
        return f"{100 * value / (high - low):.2f}%"

    @property
    def ticks(self) -> list[tuple[str, str]]:
        """(place, label) of round values."""
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
    sides: tuple[str, str] = ("second", "first"),
    name: Callable[[Comparison], str] = lambda one: one.rival,
) -> Forest | None:
    """The plot of some comparisons, None without any. Differences are in percent of the second method's mean where none is 0.

    Args:
        name: of a row.
    """
    comparisons = [*comparisons]
    if not comparisons:
        return None
    percent = all(one.percent(one.difference) is not None for one in comparisons)
    unit = f"difference in {objective}" + (f", % of the {sides[0]} method's mean" if percent else "")
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
    """Those with tuned rivals, with others and with baselines, each with an axis of its own: some differences are far larger
    than others. The most important comparison comes first."""
    tuned = {method.label for method in methods if method.is_tuned}
    ours = next((one.ours for one in (*comparisons, *against_baselines)), methods[0].label)  # in a league also the leader
    ordered = by_importance(comparisons, {method.label: method for method in methods})
    parts = (
        (f"{ours} against tuned methods", [one for one in ordered if one.rival in tuned]),
        (f"{ours} against published settings", [one for one in ordered if one.rival not in tuned]),
        (f"{ours} against baselines", by_importance(against_baselines)),
    )
    drawn = (forest(title, those, objective, ("other", ours)) for title, those in parts)
    return [each for each in drawn if each is not None]
