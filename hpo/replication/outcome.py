"""The rows of a paper's table and the runs that replicate them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from pydantic import BaseModel

from hpo.replication.rows import MEAN_POPULARITY, PaperGain, PaperRow, PaperTable
from hpo.runs.provenance import Provenance
from hpo.runs.store import FinishedRun
from hpo.runtime.typed_files import Stored
from trainers.config import TrainConfig
from trainers.early_stopping import Plateau
from trainers.validation import SETTINGS
from trainers.yaml_files import read_yaml


class ReplicatedRow(BaseModel):
    """A paper's figures and ours.

    Attributes:
        measured: our figures on the test split; empty if the run diverged.
        validation: whether a part of train was held out to choose the epoch.
        failure: why the run diverged; None if it did not.
        stopped_by: the rule of early stopping; None without.
        trained_by: the revision of the program that trained it.
    """

    model_config = SETTINGS | {"frozen": True}
    name: str
    dataset: str
    paper: dict[str, float]
    measured: dict[str, float]
    failure: str | None = None
    validation: bool = False
    stopped_by: Plateau | None = None
    epochs_trained: int
    seconds: float
    trained_by: str | None = None
    config: TrainConfig

    @property
    def identity(self) -> tuple[str, TrainConfig, Plateau | None, bool]:
        """Dataset, config and early stopping. A newer row with the same identity replaces an older one."""
        return self.dataset, self.config, self.stopped_by, self.validation


class ReplicatedTable(Stored):
    """The file that hpo.replicate writes for a table."""

    FORMAT: ClassVar[int] = 1
    runs: list[ReplicatedRow]
    provenance: Provenance

    @classmethod
    def read(cls, path: Path) -> ReplicatedTable:
        """Read the file.

        Raises:
            InputError: it is damaged or has another format.
        """
        return cls.from_dict(read_yaml(path), str(path), "delete it; finished runs are kept in other files")


@dataclass(frozen=True)
class Outcome:
    """A paper's row and the run that replicates it.

    Attributes:
        share: the share of the users that have a test item; means over all users are this much lower.
    """

    row: PaperRow
    run: FinishedRun
    share: float = 1.0

    def measured(self) -> dict[str, float]:
        """The run's figures by metric; empty if it diverged."""
        factor = self.share if self.row.over_all_users else 1.0
        figures = {name: value * factor for name, value in self.run.metrics.items()}
        return figures | ({MEAN_POPULARITY: self.run.beyond.mean_popularity} if self.run.beyond else {})

    def cells(self, paper_table: PaperTable) -> list[str]:
        """Cells of a table row: our figures and, if the run has the paper's negatives and epochs, the paper's figures and the
        relative difference."""
        config, measured = self.run.config, self.measured()
        as_in_paper = config.epochs == paper_table.epochs and paper_table.count in (
            None,
            config.negatives.per_row(config.batch_size),
        )
        ended = f", {len(self.run.losses)} epochs" if self.row.plateau else ""
        cells = [f"{self.row.name} {self.row.dataset}{ended}", str(config.negatives.per_row(config.batch_size))]
        for metric in paper_table.metrics:
            paper = self.row.paper.get(metric) if as_in_paper else None
            ours = measured.get(metric)
            digits = 1 if metric == MEAN_POPULARITY else 4
            change = "" if paper is None or ours is None else f"{100 * (ours / paper - 1):+.1f} %"
            cells += ["diverged" if ours is None else f"{ours:.{digits}f}"]
            cells += ["" if paper is None else f"{paper:.{digits}f}", change]
        return cells

    def is_of(self, name: str, gain: PaperGain, epochs: int) -> bool:
        """Whether this is the row `name` of a gain, with as many negatives and epochs."""
        config = self.run.config
        found = self.row.name, self.row.dataset, config.negatives.per_row(config.batch_size), config.epochs
        return found == (name, gain.dataset, gain.count, epochs) and not self.run.failure

    def to_row(self) -> ReplicatedRow:
        """The row for the file."""
        return ReplicatedRow(
            name=self.row.name,
            dataset=self.row.dataset,
            paper=self.row.paper,
            measured=self.measured(),
            failure=self.run.failure or None,
            validation=self.row.validation,
            stopped_by=self.row.plateau,
            epochs_trained=self.run.epochs_trained,
            seconds=self.run.seconds,
            trained_by=self.run.trained_by.program if self.run.trained_by else None,
            config=self.run.config,
        )


def diverged_lines(outcomes: Sequence[Outcome]) -> Iterator[str]:
    """A line for each row that diverged: why."""
    for one in outcomes:
        if one.run.failure:
            yield f"{one.row.name} {one.row.dataset} diverged: {one.run.failure}"


def gain_lines(outcomes: Sequence[Outcome], paper_table: PaperTable) -> Iterator[str]:
    """A line for each gain of the table whose two rows were trained."""
    for gain in paper_table.gains:
        ours = [one.measured() for one in outcomes if one.is_of(gain.name, gain, paper_table.epochs)]
        others = [one.measured() for one in outcomes if one.is_of(gain.over, gain, paper_table.epochs)]
        for measured, other in zip(ours, others, strict=False):
            figures = [
                f"{metric} {100 * (measured[metric] / other[metric] - 1):+.1f} % (paper {100 * paper:+.1f} %)"
                for metric, paper in gain.paper.items()
                if other[metric]
            ]
            if figures:
                yield f"{gain.name} over {gain.over} on {gain.dataset} with {gain.count} negatives: {', '.join(figures)}"
