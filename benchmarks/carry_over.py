"""Is the best config on validation the best on the test split? `python -m benchmarks.carry_over DATASET ... --data-dir DIR`.

There are two validation splits: a random tenth, and either the last tenth of each user (ordered data) or the valid file (data
that have one). For each dataset 16 configs, four of each loss, are trained once, on the pairs that neither split holds out.
Each model is then measured on both validation splits and on the test split. So the test split is read 16 times for each
dataset. Each pair of losses has eight configs. The table says which rank the best of them on validation has on the test split.

Finished runs are kept in the output folder. The same command continues.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from scipy.stats import spearmanr

from hpo.cli.console import table
from trainers import Dataset, Interactions, TrainConfig, evaluate, load_dataset, load_test, train
from trainers.data.options import ValidationSplit
from trainers.errors import InputError
from trainers.yaml_files import parse_yaml

METRIC = "ndcg@20"
LARGE = ("gowalla", "yelp2018")
MARGINS = {"wide": [0.6, 0.7, 0.8, 0.9], "high": [0.7, 0.8, 0.9], "low": [0.4, 0.5, 0.6]}
WEIGHTS = {"wide": [0.05, 0.15, 0.2, 0.6], "high": [0.1, 0.15, 0.75], "low": [0.1, 0.15, 0.75]}


def _mml(margins: str, negative_weight: float) -> dict[str, Any]:
    chosen = {"margins": MARGINS[margins], "weights": WEIGHTS[margins]}
    return {"name": "mml", **chosen, "negative_weight": negative_weight}


def _ccl(margin: float, negative_weight: float) -> dict[str, Any]:
    return {"name": "ccl", "margin": margin, "negative_weight": negative_weight}


def _bsl(temperature: float, exponent: float) -> dict[str, Any]:
    return {"name": "bsl", "temperature": temperature, "exponent": exponent}


def _sl(temperature: float) -> dict[str, Any]:
    return {"name": "sl", "temperature": temperature}


# The large datasets have settings near those of papers. The small ones need weaker negatives.
LOSSES = {
    "large": [
        *(_mml("wide", 400.0), _mml("high", 700.0), _mml("high", 200.0), _mml("low", 300.0)),
        *(_ccl(0.9, 150.0), _ccl(0.8, 150.0), _ccl(0.7, 300.0), _ccl(0.9, 700.0)),
        *(_bsl(0.08, 1.22), _bsl(0.11, 1.1), _bsl(0.12, 1.22), _bsl(0.08, 1.4)),
        *(_sl(0.06), _sl(0.08), _sl(0.11), _sl(0.15)),
    ],
    "small": [
        *(_mml("wide", 40.0), _mml("high", 100.0), _mml("low", 4.0), _mml("low", 20.0)),
        *(_ccl(0.9, 100.0), _ccl(0.7, 30.0), _ccl(0.5, 4.0), _ccl(0.3, 10.0)),
        *(_bsl(0.1, 1.22), _bsl(0.15, 1.1), _bsl(0.2, 0.9), _bsl(0.3, 1.0)),
        *(_sl(0.08), _sl(0.12), _sl(0.2), _sl(0.3)),
    ],
}
HINGE = ("mml", "ccl")


@dataclass(frozen=True)
class Run:
    """The NDCG@20 of a config: the mean on each validation split, and the value of each test user (n,)."""

    loss: str
    validation: dict[str, float]
    test: np.ndarray


def configs(dataset: str) -> Iterator[TrainConfig]:
    """The 16 configs of a dataset."""
    kind = "large" if dataset in LARGE else "small"
    for loss in LOSSES[kind]:
        settings: dict[str, Any] = {"loss": loss, "negatives": {"name": "uniform", "count": 100}, "schedule": "linear"}
        hinge = loss["name"] in HINGE
        if kind == "small":
            settings |= {"learning_rate": 1e-2, "batch_size": 1024, "epochs": 20, "encoder": {"name": "mf", "init_std": 0.1}}
        elif dataset == "gowalla":
            settings |= {"learning_rate": 5e-4 if hinge else 1e-3, "batch_size": 256 if hinge else 1024, "epochs": 15}
        else:
            settings |= {"learning_rate": 3e-4 if hinge else 6e-4, "batch_size": 512 if hinge else 1024, "epochs": 15}
        yield TrainConfig.from_dict(settings)


def splits(dataset: Dataset) -> tuple[dict[str, Interactions], Interactions, Interactions]:
    """The validation splits by name, the pairs that none of them holds out, and all training data."""
    names = ["random"] + (["file"] if dataset.valid is not None else ["last"] if dataset.facts.ordered else [])
    parts = {how: dataset.hold_out(ValidationSplit(name=how)) for how in names}
    left = np.ones(len(dataset.train), np.bool_)
    for part in parts.values():
        left &= part.seen.contains(dataset.train.users, dataset.train.items)
    return {how: part.held_out for how, part in parts.items()}, dataset.train.where(left), dataset.train


def runs_of(name: str, dataset: Dataset, output: Path) -> list[Run]:
    """The runs of a dataset. Those that are missing are trained."""
    held, seen, whole = splits(dataset)
    test = load_test(dataset)
    found = []
    for number, config in enumerate(configs(name)):
        path = output / f"{name}-{number:02d}.npz"
        if not path.exists():
            run = train(config, seen)
            result = run.finish()
            vectors = run.vectors()
            values = {how: _mean(vectors, whole, part) for how, part in held.items()}
            by_user = evaluate(*vectors, seen=whole, held_out=test, ks=(20,), per_user=True)[METRIC]
            np.savez_compressed(path, test=by_user.to_numpy(np.float32), facts=json.dumps(values | {"loss": result.loss}))
            print(f"{name} {number} {config.loss}: {values}, test {by_user.mean():.4f}", flush=True)
        with np.load(path, allow_pickle=False) as kept:
            facts = json.loads(str(kept["facts"]))
            found.append(Run(config.loss.name, {how: facts[how] for how in held}, kept["test"].astype(np.float64)))
    return found


def _mean(vectors: tuple[np.ndarray, np.ndarray], whole: Interactions, part: Interactions) -> float:
    seen = whole.where(~part.contains(whole.users, whole.items))
    return evaluate(*vectors, seen=seen, held_out=part, ks=(20,))[METRIC]


def summary(name: str, runs: list[Run]) -> list[dict[str, Any]]:
    """A row for each validation split: the rank correlation over distinct configs, and the result for the pairs of losses."""
    means = np.array([run.test.mean() for run in runs])
    _, distinct = np.unique(means, return_index=True)  # of two equal configs, as BSL with exponent 1 and SL, one counts
    losses = list(dict.fromkeys(run.loss for run in runs))
    rows = []
    for how in runs[0].validation:
        values = np.array([run.validation[how] for run in runs])
        cells = [_cell(runs, values, pair) for pair in combinations(losses, 2)]
        rows.append(
            {
                "dataset": name,
                "validation": how,
                "rank correlation": round(float(spearmanr(values[distinct], means[distinct]).statistic), 2),
                "pairs of losses": len(cells),
                "first is first": sum(lost == 0.0 for lost, _ in cells),
                "first or within 1 SE": sum(close for _, close in cells),
                "lost on test": f"{100 * np.mean([lost for lost, _ in cells]):.1f} %",
                "validation / test": round(float(np.median(values / means)), 2),
                "test readings": len(runs),
            }
        )
    return rows


def _cell(runs: list[Run], values: np.ndarray, losses: tuple[str, ...]) -> tuple[float, bool]:
    """Two configs of a pair of losses are compared on the test split: the best on validation and the best on test.

    Returns:
        The relative loss of the first, and whether it is within one standard error of the paired difference of the two.
    """
    pool = [number for number, run in enumerate(runs) if run.loss in losses]
    chosen = runs[max(pool, key=lambda number: values[number])].test
    best = max((runs[number].test for number in pool), key=lambda test: float(test.mean()))
    lead = best - chosen
    error = float(lead.std(ddof=1)) / np.sqrt(len(lead))
    return float(lead.mean() / best.mean()), bool(lead.mean() <= error)


def main() -> None:
    """Train the missing runs, and print a row for each dataset and validation split."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("datasets", nargs="+", metavar="DATASET")
    parser.add_argument("--data-dir", metavar="DIR")
    parser.add_argument("--data", default="{}", metavar="YAML", help="how data of your own are read: '{min_rating: 4}'")
    parser.add_argument("--output", type=Path, default=Path("runs/carry_over"))
    arguments = parser.parse_args()
    arguments.output.mkdir(parents=True, exist_ok=True)
    rows, figures = [], []
    for name in arguments.datasets:
        try:
            dataset = load_dataset(name, arguments.data_dir, **parse_yaml(arguments.data, "--data"))
            runs = runs_of(Path(name).name, dataset, arguments.output)
        except InputError as error:
            parser.error(str(error))
        rows += summary(Path(name).name, runs)
        figures += [{"dataset": Path(name).name, "loss": run.loss, "test": run.test.mean(), **run.validation} for run in runs]
    found = pd.DataFrame(rows)
    found.to_csv(arguments.output / "summary.csv", index=False)
    pd.DataFrame(figures).round(5).to_csv(arguments.output / "runs.csv", index=False)
    Console(width=140).print(
        table(f"validation against test, {METRIC}", list(found.columns), found.astype(str).to_numpy().tolist())
    )


if __name__ == "__main__":
    main()
