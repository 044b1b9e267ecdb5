"""Does the search improve on the published config? `python -m benchmarks.search_pays --study demo_mml`.

It runs the search of the study, unless it has run. It then trains the best config, the published one and random ones of the
same space with new seeds. It prints the means on validation with standard errors.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

import optuna
from rich.console import Console

from hpo.pipeline import search_study as search
from hpo.runtime.signals import Stopper
from hpo.search.job import SearchJob
from hpo.storage.open import open_storage
from hpo.study.spec import load_spec
from hpo.study.trials import best_trials, trial_config
from hpo.study.workspace import Workspace
from trainers import TrainConfig
from trainers.engines import make_engine
from trainers.train import Run

FIRST_SEED = 301


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--study", default="demo_mml")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--random", type=int, default=9, help="random configs")
    parser.add_argument("--output", type=Path, default=Path("runs"))
    parser.add_argument("--data-dir")
    arguments = parser.parse_args()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    work = Workspace.open(load_spec(arguments.study), arguments.output, arguments.data_dir, "auto", "auto")
    job = SearchJob(work, str(arguments.output / "journal.log"))
    study = work.study(open_storage(job.storage))
    with Stopper().catching() as stopper:
        search(job, study, Console(), stopper)
    best = trial_config(best_trials(study, 1)[0], work.spec)
    published = work.spec.published(work.spec.search.epochs, 0)
    seeds = range(FIRST_SEED, FIRST_SEED + arguments.seeds)
    objective = work.spec.objective
    _show("best found", objective, _values(work, best, seeds))
    if published is not None:
        _show("published", objective, _values(work, published[0], seeds))
    random = [_values(work, config, seeds) for config in _random_configs(work, arguments.random)]
    _show("median random", objective, sorted(random, key=statistics.fmean)[len(random) // 2])


def _random_configs(work: Workspace, count: int) -> list[TrainConfig]:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    boxes, fields = work.spec.space.boxes(), work.spec.fields(work.spec.search.epochs, 0)
    return [work.spec.space.config(study.ask(fixed_distributions=boxes).params, fields) for _ in range(count)]


def _values(work: Workspace, config: TrainConfig, seeds: range) -> list[float]:
    seen, validation = work.split
    results = []
    for seed in seeds:
        engine = make_engine(work.choice, seen, validation, metrics=work.spec.measured)
        metrics = Run(engine, config.replace(seed=seed)).finish().metrics
        assert metrics is not None  # there is a validation split
        results.append(metrics[work.spec.objective])
    return results


def _show(label: str, objective: str, values: list[float]) -> None:
    error = statistics.stdev(values) / len(values) ** 0.5
    print(
        f"{label:14} {objective} {statistics.fmean(values):.4f} ± {error:.4f} (standard error, {len(values)} seeds)", flush=True
    )


if __name__ == "__main__":
    main()
