"""A method in a comparison: figures by user for each run, from any source."""

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
METRICS, RECOMMENDATIONS, RUNS = "metrics", "recommendations", "runs"  # kinds of sides


@dataclass(frozen=True, eq=False)
class RunFigures:
    """One run of a method.

    Attributes:
        seed: the seed in the file, or else the run's number among the method's runs.
        users: the metrics (columns) of each user (index: id as text, each once).
        means: means over all of these users, if known more exactly than from the figures.
        source: the file.
    """

    seed: str
    users: pd.DataFrame
    source: Path
    means: dict[str, float] = field(default_factory=dict)

    def is_whole(self, metric: str) -> bool:
        """Whether each user has a finite figure in a metric."""
        return bool(np.isfinite(self.users[metric].to_numpy(np.float64)).all())

    def mean(self, metric: str, users: pd.Index[str]) -> float:
        """The mean of a metric over some users."""
        if metric in self.means and len(users) == len(self.users):
            return self.means[metric]
        return float(self.by_user(metric, users).mean())

    def with_metric(self, name: str, called: str) -> RunFigures:
        """A copy with metric `name` renamed to `called`."""
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
        kind: METRICS, RECOMMENDATIONS or RUNS: the source of its figures.
        searches: the runs of each of its searches; the runs of files count as one search.
        said: how it was read, in sentences.
        caveats: caveats on its files.
        data: checksum of the test data of runs of this program, which number their users; empty for files.
        is_deterministic: whether the user said that it has no seed; one run of it is enough.
    """

    label: str
    kind: str
    searches: Sequence[Sequence[RunFigures]]
    said: tuple[str, ...] = ()
    caveats: tuple[Caveat, ...] = ()
    data: str = ""
    is_deterministic: bool = False

    @property
    def runs(self) -> list[RunFigures]:
        """The runs of all searches."""
        return [run for runs in self.searches for run in runs]

    @property
    def metrics(self) -> list[str]:
        """The metrics that all of its runs have."""
        first, *others = self.runs
        return [name for name in map(str, first.users.columns) if all(name in run.users.columns for run in others)]

    @property
    def users(self) -> pd.Index[str]:
        """The users that all of its runs have."""
        first, *others = (run.users.index for run in self.runs)
        for index in others:
            first = first if index is first else first.intersection(index)
        return first

    def values(self, metric: str, users: pd.Index[str]) -> list[list[float]]:
        """The means of its runs over some users, a list for each search."""
        return [[run.mean(metric, users) for run in runs] for runs in self.searches]

    def measured(self, metric: str, users: pd.Index[str]) -> Measured:
        """Its figures in a metric on some users, for `hpo.confirmation.statistics`."""
        each = [np.mean([run.by_user(metric, users) for run in runs], axis=0) for runs in self.searches]
        means = [np.array(values) for values in self.values(metric, users)]
        return Measured(self.label, np.mean(each, axis=0), means, self.is_deterministic)

    def with_metric(self, name: str, called: str) -> Side:
        """A copy with metric `name` renamed to `called` in all runs."""
        if name == called:
            return self
        runs = [[run.with_metric(name, called) for run in runs] for runs in self.searches]
        return replace(self, searches=runs)

    def deterministic(self) -> Side:
        """The same as a method without seeds.

        Raises:
            InputError: it has more than one run.
        """
        if len(self.runs) > 1:
            raise InputError(
                f"--deterministic {self.label}: a method without seeds has one run, got {len(self.runs)}; give one file, or "
                "leave the flag out"
            )
        return replace(self, is_deterministic=True)

    def named(self, label: str) -> Side:
        """A copy with another label."""
        caveats = tuple(caveat.model_copy(update={"subject": label}) for caveat in self.caveats)
        return replace(self, label=label, caveats=caveats)


def in_order(users: pd.Index[str]) -> pd.Index[str]:
    """Sort users by number if all ids are whole numbers, else by text. The bootstrap depends on the order."""
    if users.map(str.isdecimal).all() and users.str.len().max() <= 18:
        return users[np.lexsort((users.to_numpy(str), users.astype(np.int64)))]
    return users.sort_values()


def check_seeds(label: str, runs: Sequence[RunFigures]) -> None:
    """Refuse two runs of one seed.

    Raises:
        InputError: two files have the same seed.
    """
    found: dict[str, Path] = {}
    for run in runs:
        if run.seed in found:
            raise InputError(
                f"{label}: each seed may occur once, got seed {run.seed} in {found[run.seed]} and in {run.source}; leave "
                "one of them out, or correct the column seed"
            )
        found[run.seed] = run.source
