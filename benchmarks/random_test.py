"""Would the verdict be the same on a random test split? `python -m benchmarks.random_test STUDY --output runs`.

It trains the methods that confirm compared on four fifths of the training data of each user, and measures them on the last
fifth. That fifth is drawn in the same way as the test split of a single file. The public test split is not read.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from hpo.cli.flags import positive
from hpo.confirmation.outcome import confirmation
from hpo.storage.open import open_storage
from hpo.study.stored import find_study, stored_spec
from trainers import Interactions, TrainConfig, hold_out, load_dataset, train


def main() -> None:
    """Print a line for each run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("study", metavar="STUDY", help="a study that has been confirmed")
    parser.add_argument("--seeds", type=positive, default=2, metavar="N", help="%(default)s")
    parser.add_argument("--data-dir", metavar="DIR")
    parser.add_argument("--output", type=Path, default=Path("runs"))
    arguments = parser.parse_args()
    study = find_study(open_storage(str(arguments.output / "journal.log"), create=False, to_write=False), arguments.study)
    confirmed = confirmation(arguments.output / arguments.study, study)
    if confirmed is None:
        parser.error(f"{arguments.study} has not been confirmed")
    data = load_dataset(stored_spec(study).dataset, arguments.data_dir).train
    seen, test = hold_out(data, fraction=0.2)
    print(f"{len(seen):,} interactions to train on, {len(test):,} for the test")
    for method in confirmed.methods:
        for seed, value in _runs(method.config, confirmed.objective, arguments.seeds, seen, test):
            print(f"{method.label}, seed {seed}: {confirmed.objective} {value:.4f}", flush=True)


def _runs(
    config: TrainConfig, objective: str, seeds: int, seen: Interactions, test: Interactions
) -> Iterator[tuple[int, float]]:
    for seed in range(config.seed, config.seed + seeds):
        every = config.epochs
        result = train(config.replace(seed=seed), seen, test, evaluate_every=every, metrics=[objective]).finish()
        assert result.metrics is not None  # measured at the last epoch
        yield seed, result.metrics[objective]


if __name__ == "__main__":
    main()
