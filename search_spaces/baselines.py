"""What is tuned of the baselines: the ranges of their settings, and the points at which they are tried."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import scipy  # scipy.stats is imported at first use: that takes a second, and reading a study file does not need it
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from search_spaces.parameters import AtEnd, Choice, Parameter, Searched

DIGITS = 4  # significant ones of a number that is tried: machines differ in the last digits of a logarithm
POINTS = 12  # at most for each searched number, unless the study says how many

# By the names of `trainers.baselines.BASELINES`. Other settings have their defaults.
# RP3beta, ItemKNN: Ferrari Dacrema, Boglio, Cremonesi and Jannach (ACM TOIS 39(2), 2021, arXiv 1911.07698), without their other
# similarities. iALS: a factor of 20 or more beyond what Rendle et al. (RecSys 2022, arXiv 2110.14037) use for four datasets, l2
# 0.002 to 0.02 and unobserved weight 0.007 to 0.3. EASE: Steck (WWW 2019, arXiv 1905.03375) found 200 to 1,000.
BASELINE_RANGES: dict[str, Searched] = {
    "most_popular": {},
    "item_knn": {
        "k": Parameter(5, 1000, log=True, whole=True, limits=(1, 1_000_000)),
        "similarity": Choice(("cosine", "dot")),
        "shrinkage": Parameter(0.0, 1000.0, limits=(0.0, 1e9)),
    },
    "rp3beta": {
        "k": Parameter(5, 1000, log=True, whole=True, limits=(1, 1_000_000)),
        "alpha": Parameter(0.0, 2.0, limits=(0.0, 100.0)),
        "beta": Parameter(0.0, 2.0, limits=(0.0, 100.0)),
        "normalise": Choice((False, True), bool),
    },
    "ials": {
        "l2": Parameter(1e-4, 1.0, log=True, limits=(1e-9, 1e9)),
        "unobserved_weight": Parameter(1e-3, 10.0, log=True, limits=(1e-9, 1e9)),
    },
    "ease": {"l2": Parameter(1.0, 10_000.0, log=True, limits=(1e-9, 1e12))},
}


def ranges_of(baseline: str, n_items: int) -> Searched:
    """The ranges of a baseline for data with `n_items` items. The number of neighbours, k, is at most `n_items`."""
    found = dict(BASELINE_RANGES[baseline])
    k = found.get("k")
    if isinstance(k, Parameter):
        most = max(int(k.low) + 1, n_items)
        found["k"] = replace(k, high=min(int(k.high), most), limits=(1, most))
    return found


def most_points(baseline: str) -> int:
    """How many points are worth trying: POINTS for each number; 1, the default settings, where nothing is searched."""
    return max(1, POINTS * sum(isinstance(each, Parameter) for each in BASELINE_RANGES[baseline].values()))


def points(baseline: str, count: int, seed: int, n_items: int) -> list[dict[str, Any]]:
    """The first `count` points of a scrambled Halton sequence over the ranges; more points begin with the same ones."""
    searched = ranges_of(baseline, n_items)
    if not searched or count < 1:
        return []
    drawn = scipy.stats.qmc.Halton(len(searched), scramble=True, rng=seed).random(count)
    return [{name: _at(each, float(u)) for (name, each), u in zip(searched.items(), row, strict=True)} for row in drawn]


def _at(parameter: Parameter | Choice, u: float) -> Any:
    """The value at a share `u` of a range, 0 <= u < 1."""
    box = parameter.box()
    if isinstance(box, CategoricalDistribution):
        return box.choices[int(u * len(box.choices))]
    assert isinstance(box, FloatDistribution | IntDistribution)  # what parameters make
    low, high = (math.log(end) if box.log else end for end in (box.low, box.high))
    value = math.exp(low + u * (high - low)) if box.log else low + u * (high - low)
    return round(value) if isinstance(box, IntDistribution) else float(f"{value:.{DIGITS}g}")


def at_ends(baseline: str, settings: Mapping[str, Any], n_items: int) -> list[AtEnd]:
    """The settings that are at an end of their range, or beyond it, where another range might hold better ones."""
    found = []
    unused = {"shrinkage"} if settings.get("similarity") == "dot" else set()  # see `ItemKNN`
    for name, parameter in ranges_of(baseline, n_items).items():
        if isinstance(parameter, Parameter) and name not in unused and (end := parameter.end(parameter.box(), settings[name])):
            found.append(AtEnd(name, name, settings[name], parameter.low, parameter.high, end))
    return found
