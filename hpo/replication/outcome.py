"""A paper's row beside the run that replicates it."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from hpo.replication.papers import MEAN_POPULARITY, PaperRow, PaperTable
from hpo.runs.store import FinishedRun


@dataclass(frozen=True)
class Outcome:
    """A paper's row and the run that replicates it."""

    row: PaperRow
    run: FinishedRun

    def measured(self) -> dict[str, float]:
        """The run's figures by metric, empty where it diverged."""
        return self.run.metrics | ({MEAN_POPULARITY: self.run.beyond.mean_popularity} if self.run.beyond else {})

    def cells(self, paper_table: PaperTable) -> list[str]:
        """Measured beside the paper's with the relative difference, where the run has the paper's negatives and epochs."""
        config, measured = self.run.config, self.measured()
        as_in_paper = config.epochs == paper_table.epochs and paper_table.count in (
            None,
            config.negatives.per_row(config.batch_size),
        )
        ended = f", {len(self.run.losses)} epochs" if self.row.plateau else ""
        cells = [f"{self.row.name} {self.row.dataset}{ended}", str(config.negatives.per_row(config.batch_size))]
        for metric in paper_table.metrics:
            paper = self.row.paper.get(metric) if as_in_paper else None
            ours = measured.get(metric, float("nan"))
            digits = 1 if metric == MEAN_POPULARITY else 4
            beside = ["", ""] if paper is None else [f"{paper:.{digits}f}", f"{100 * (ours / paper - 1):+.1f} %"]
            cells += [f"{ours:.{digits}f}", *beside]
        return cells

    def to_dict(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "name": self.row.name,
            "dataset": self.row.dataset,
            "paper": self.row.paper,
            "measured": {"failure": self.run.failure} if self.run.failure else self.measured(),
            **({"stopped by": asdict(self.row.plateau), "after epochs": len(self.run.losses)} if self.row.plateau else {}),
            "seconds": round(self.run.seconds, 3),  # as it is stored
            "trained_by": self.run.trained_by.program if self.run.trained_by else "unknown",
            "config": self.run.config.to_dict(),
        }
