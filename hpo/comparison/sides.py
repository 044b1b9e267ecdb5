"""A method as it was measured, whatever it was read from: figures by user for each run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpo.confirmation.caveats import Caveat
from hpo.confirmation.statistics import Measured
from trainers.errors import InputError

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class RunFigures:
    """One run of a method.

    Attributes:
        seed: as its file has it; else its number among the method's runs.
        users: the metrics (columns) of each user (index: id as text, each once).
        means: over all of these users, where they are known more exactly than the figures.
        source: what it was read from.
    """

    seed: str
    users: pd.DataFrame
    source: Path
    means: dict[str, float] = field(default_factory=dict)

    def is_whole(self, metric: str) -> bool:
        """Whether each user has a figure in it."""
        return bool(np.isfinite(self.users[metric].to_numpy(np.float64)).all())

    def mean(self, metric: str, users: pd.Index[str]) -> float:
        """Over some users."""
        if metric in self.means and len(users) == len(self.users):
            return self.means[metric]
        return float(self.by_user(metric, users).mean())

    def with_metric(self, name: str, called: str) -> RunFigures:
        """The same with a metric under another name."""
        means = {called if metric == name else metric: value for metric, value in self.means.items()}
        users = self.users.drop(columns=called, errors="ignore").rename(columns={name: called})
        return replace(self, users=users, means=means)

    def by_user(self, metric: str, users: pd.Index[str]) -> Floats:
        """The figures of some users, in their order."""
        return np.asarray(self.users[metric].reindex(users), dtype=np.float64)


@dataclass(frozen=True, eq=False)
class Side:
    """A method.

    Attributes:
        kind: `metrics`, `recommendations` or `runs`: what its figures were made of.
        searches: the runs of each of its searches; a single one, too, where files do not tell of any.
        said: how it was read, in sentences.
        caveats: what its files give rise to.
        data: the test data of runs of this program, whose users have no ids of their own; empty for files.
    """

    label: str
    kind: str
    searches: Sequence[Sequence[RunFigures]]
    said: tuple[str, ...] = ()
    caveats: tuple[Caveat, ...] = ()
    data: str = ""

    @property
    def runs(self) -> list[RunFigures]:
        """Of all searches."""
        return [run for runs in self.searches for run in runs]

    @property
    def metrics(self) -> list[str]:
        """What all of its runs were measured in."""
        first, *others = self.runs
        return [name for name in map(str, first.users.columns) if all(name in run.users.columns for run in others)]

    @property
    def users(self) -> pd.Index[str]:
        """Whom all of its runs were measured on."""
        first, *others = (run.users.index for run in self.runs)
        for index in others:
            first = first if index is first else first.intersection(index)
        return first

    def values(self, metric: str, users: pd.Index[str]) -> list[list[float]]:
        """The means of its runs over some users, a list for each search."""
        return [[run.mean(metric, users) for run in runs] for runs in self.searches]

    def measured(self, metric: str, users: pd.Index[str]) -> Measured:
        """It in a metric, on some users."""
        each = [np.mean([run.by_user(metric, users) for run in runs], axis=0) for runs in self.searches]
        return Measured(self.label, np.mean(each, axis=0), [np.array(means) for means in self.values(metric, users)])

    def with_metric(self, name: str, called: str) -> Side:
        """The same with a metric under another name in all its runs."""
        if name == called:
            return self
        runs = [[run.with_metric(name, called) for run in runs] for runs in self.searches]
        return replace(self, searches=runs)

    def named(self, label: str) -> Side:
        """The same under another name."""
        caveats = tuple(caveat.model_copy(update={"subject": label}) for caveat in self.caveats)
        return replace(self, label=label, caveats=caveats)


def in_order(users: pd.Index[str]) -> pd.Index[str]:
    """By number where all ids are whole numbers, else by text: the order decides what a bootstrap draws."""
    if users.map(str.isdecimal).all() and users.str.len().max() <= 18:
        return users[np.lexsort((users.to_numpy(str), users.astype(np.int64)))]
    return users.sort_values()


def check_seeds(label: str, runs: Sequence[RunFigures]) -> None:
    """Refuse two runs of one seed.

    Raises:
        InputError: a seed that two files have.
    """
    found: dict[str, Path] = {}
    for run in runs:
        if run.seed in found:
            raise InputError(
                f"{label}: each seed may be there once, got seed {run.seed} in {found[run.seed]} and in {run.source}; leave "
                "one of them out, or mend the column seed"
            )
        found[run.seed] = run.source
