"""Search parameters: default ranges, and the limits within which a study may change them."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution

from trainers.text import shown

Range = tuple[Any, ...]
"""(low, high) of a number, or the values of a choice."""

MOST_WIDENED = 10.0  # factor by which an end of a range on a log scale moves at most
NEAR_END = 0.05  # values within this share of a range's length from an end count as being at the end


@dataclass(frozen=True)
class Parameter:
    """A searched number.

    Attributes:
        low, high: its default range.
        log: whether its logarithm is sampled uniformly.
        whole: whether it is a whole number.
        limits: the limits of every range. Values outside are invalid, or have the same effect as a limit.
        is_scale: whether it multiplies the whole loss. Adam is invariant to that, so a value at an end of the range has no
            meaning.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False
    limits: tuple[float, float] = (-math.inf, math.inf)
    is_scale: bool = False

    @property
    def _lowest(self) -> float:
        """The lowest low end. The logarithm of a whole number starts at 1."""
        return max(self.limits[0], 1) if self.whole and self.log else self.limits[0]

    def box(self, given: Range | None = None) -> BaseDistribution:
        """The range as an Optuna distribution."""
        low, high = given or (self.low, self.high)
        return IntDistribution(low, high, log=self.log) if self.whole else FloatDistribution(low, high, log=self.log)

    def checked(self, name: str, given: Range) -> Range:
        """A range from a study file, checked.

        Raises:
            ValueError: it is invalid, or beyond the limits.
        """
        numbers = "two whole numbers" if self.whole else "two numbers"
        if len(given) != 2 or not all(_is_number(value, self.whole) for value in given):
            raise ValueError(f"ranges.{name}: must be {numbers}, low and high, got {shown(list(given))}")
        if not given[0] < given[1]:
            raise ValueError(f"ranges.{name}: low must be below high, got {shown(list(given))}")
        if given[0] < self.limits[0] or given[1] > self.limits[1]:
            raise ValueError(
                f"ranges.{name}: must lie in [{self.limits[0]:.10g}, {self.limits[1]:.10g}], got {shown(list(given))}"
            )
        if self.log and given[0] <= 0:
            raise ValueError(f"ranges.{name}: low must be above 0 for a logarithm, got {shown(list(given))}")
        return given if self.whole else tuple(float(value) for value in given)

    def end(self, box: BaseDistribution, value: float) -> Literal["low", "high"] | None:
        """The end of the range at which a value is, if the range can be widened there; else None."""
        assert isinstance(box, FloatDistribution | IntDistribution)  # what `box` makes
        if self.is_scale:
            return None
        low, high, value = ((math.log(each) if self.log else each) for each in (box.low, box.high, value))
        near = NEAR_END * (high - low)
        if value <= low + near and box.low > self._lowest:
            return "low"
        return "high" if value >= high - near and box.high < self.limits[1] else None

    def widened(self, box: BaseDistribution, end: Literal["low", "high"]) -> Range:
        """The range made twice as long towards one end, within the limits. On a log scale its end moves by a factor of 10 at
        most: default ranges span four decades, and twice as many would hold rates of 1,000.
        """
        assert isinstance(box, FloatDistribution | IntDistribution)  # what `box` makes
        if self.log:
            length = min(box.high / box.low, MOST_WIDENED)
            low, high = box.low / length, box.high * length
        else:
            length = box.high - box.low
            low, high = box.low - length, box.high + length
        low, high = _rounded(low, math.floor), _rounded(high, math.ceil)
        if self.whole:
            low, high = math.floor(low), math.ceil(high)
        low, high = max(low, self._lowest), min(high, self.limits[1])
        if self.whole:  # limits may be no whole numbers
            low, high = math.ceil(low), math.floor(high)
        return (low, box.high) if end == "low" else (box.low, high)


@dataclass(frozen=True)
class Choice:
    """A searched choice among a few values, such as the widths that kernels are compiled for.

    Attributes:
        values: its default values.
        limits: the limits of whole numbers that a study may name instead.
    """

    values: Range
    kind: type = str
    limits: tuple[float, float] = (-math.inf, math.inf)

    def box(self, given: Range | None = None) -> BaseDistribution:
        """The values as an Optuna distribution."""
        return CategoricalDistribution(given or self.values)

    def checked(self, name: str, given: Range) -> Range:
        """Values from a study file, checked.

        Raises:
            ValueError: fewer than two different values, or a value of another kind or beyond the limits.
        """
        is_kind = all(isinstance(value, self.kind) and not isinstance(value, bool) for value in given)
        is_kind = is_kind and (self.kind is int or set(given) <= set(self.values))
        if len(given) < 2 or not is_kind or len(set(given)) != len(given):
            raise ValueError(
                f"ranges.{name}: must be two or more different values, such as {list(self.values)}, got {shown(list(given))}"
            )
        if self.kind is int and not self.limits[0] <= min(given) <= max(given) <= self.limits[1]:
            raise ValueError(
                f"ranges.{name}: must lie in [{self.limits[0]:.10g}, {self.limits[1]:.10g}], got {shown(list(given))}"
            )
        return tuple(sorted(given))

    def end(self, box: BaseDistribution, value: Any) -> Literal["low", "high"] | None:
        """The end at which a whole number is, if a value can be added there; None for others."""
        assert isinstance(box, CategoricalDistribution)  # what `box` makes
        if self.kind is not int:
            return None
        if value == box.choices[0] and self.widened(box, "low")[0] < value:
            return "low"
        return "high" if value == box.choices[-1] and self.widened(box, "high")[-1] > value else None

    def widened(self, box: BaseDistribution, end: Literal["low", "high"]) -> Range:
        """The values and one more within the limits: half of the lowest, or twice the highest."""
        assert isinstance(box, CategoricalDistribution)  # what `box` makes
        values = [value for value in box.choices if isinstance(value, int)]
        low, high = max(values[0] // 2, self.limits[0], 1), min(2 * values[-1], self.limits[1])
        return tuple(sorted({*values, math.ceil(low) if end == "low" else math.floor(high)}))


Searched = Mapping[str, Parameter | Choice]


@dataclass(frozen=True)
class AtEnd:
    """A value at an end of its range.

    Attributes:
        name: the name of the parameter, such as `margin_drop_2`.
        range_name: the name of its range in a study file, such as `margin_drop`.
        low, high: the range.
    """

    name: str
    range_name: str
    value: float
    low: float
    high: float
    end: Literal["low", "high"]


def hull(one: Range, other: Range) -> Range:
    """The shortest range of a number that contains both."""
    return min(one[0], other[0]), max(one[1], other[1])


def _rounded(value: float, outwards: Callable[[float], float]) -> float:
    """The value rounded outwards to two significant digits."""
    if value == 0.0:
        return 0.0
    digits = 1 - math.floor(math.log10(abs(value)))
    scaled = value * 10.0**digits
    exact = round(scaled)
    return float(f"{(exact if abs(exact - scaled) < 1e-6 else outwards(scaled)) * 10.0**-digits:.12g}")


def _is_number(value: object, whole: bool) -> bool:
    try:
        return isinstance(value, int if whole else int | float) and not isinstance(value, bool) and math.isfinite(value)
    except OverflowError:  # an integer that is too large for a float
        return False


def plain(box: BaseDistribution) -> dict[str, Any]:
    """A range as plain data."""
    if isinstance(box, CategoricalDistribution):
        return {"values": list(box.choices)}
    assert isinstance(box, FloatDistribution | IntDistribution)  # what parameters make
    return {"low": box.low, "high": box.high, "log": box.log}


def said(box: BaseDistribution) -> str:
    """A range in words, such as `1 to 10,000 (log)`."""
    if isinstance(box, CategoricalDistribution):
        return " or ".join(map(str, box.choices))
    assert isinstance(box, FloatDistribution | IntDistribution)  # what parameters make
    return f"{_number(box.low)} to {_number(box.high)}" + (" (log)" if box.log else "")


def _number(value: float) -> str:
    return f"{value:,.10g}" if value == 0 or 1e-3 <= abs(value) < 1e7 else f"{value:.10g}"
