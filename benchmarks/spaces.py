"""Which space gives better searches? `python -m benchmarks.spaces STUDY STUDY ... --output runs`.

It prints the best value of finished studies after 10, 20, ... trials, without and with the config that was queued first. That
config is the published one, or the one nearest to it. Judge the search by the figures without it.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from hpo.cli.console import table
from hpo.storage.open import open_storage
from hpo.study.attributes import FINISHED, stands_for_published
from hpo.study.stored import find_study
from hpo.study.trials import tally

STEP = 10  # trials


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("studies", nargs="+", metavar="STUDY")
    parser.add_argument("--output", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    storage = open_storage(str(arguments.output / "journal.log"), create=False, to_write=False)
    trials = {name: find_study(storage, name).get_trials(states=FINISHED) for name in arguments.studies}
    counts = range(STEP, min(map(len, trials.values())) + 1, STEP)
    header = ["study", "epochs", "queued first", *(f"best of {count}" for count in counts), "all with the queued one"]
    Console().print(table("validation ndcg@20", header, [_row(name, trials[name], counts) for name in trials]))


def _row(name: str, trials: Sequence[FrozenTrial], counts: range) -> list[str]:
    queued = [trial for trial in trials if stands_for_published(trial)]
    epochs = sum(trial.user_attrs["epochs_trained"] for trial in trials)
    found = [[trial for trial in trials[:count] if trial not in queued] for count in counts]
    pruned = sum(trial.state == TrialState.PRUNED for trial in trials)
    return [f"{name} ({pruned} of {len(trials)} pruned)", str(epochs), *map(_best, (queued, *found, trials))]


def _best(trials: Sequence[FrozenTrial]) -> str:
    best = tally(trials).best
    return "" if best is None else f"{best:.4f}"


if __name__ == "__main__":
    main()
