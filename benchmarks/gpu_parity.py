"""Compares the CUDA engine with recorded numbers of the numba engine. So no CPU kernel is compiled on the GPU machine.

    python -m benchmarks.gpu_parity record FILE [--data-dir D]      on any machine: trains every loss, and D's yelp2018
    python -m benchmarks.gpu_parity check FILE [--kinds] [--data-dir D]

`check` prints a line for each config, with the largest differences:

- after one step: of the loss (relative), and of the gradients of the rows of users and items (relative to the largest one);
- after four epochs with dropout, l2 and a falling learning rate: of the loss (relative), and of the unit vectors (absolute).

`--kinds` checks one loss for each kind of row function. If a difference exceeds its tolerance, the exit code is 1. The
traceback of the first error is printed. Without a CUDA device the kernels run under Triton's interpreter.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
import traceback
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainers import Interactions, TrainConfig, hold_out, load_dataset
from trainers.engines import EpochResult
from trainers.engines.row_losses import ROW_FUNCTIONS
from trainers.published import published_loss

Numbers = dict[str, NDArray[Any]]

LOSSES: list[dict[str, Any]] = [
    {"name": "mml", "margins": [0.1, 0.3, 0.5], "weights": [0.2, 0.3, 0.5], "positive_weight": 1.5, "negative_weight": 40.0},
    {"name": "ccl", "margin": 0.2, "negative_weight": 30.0},
    {"name": "bsl", "temperature": 0.15, "exponent": 1.2},
    {"name": "bsl", "temperature": 0.2, "mode": "single"},
    {"name": "bsl", "temperature": 0.2, "mode": "paper", "positive_temperature": 0.5},
    *({"name": "psl", "temperature": 0.1, "activation": activation} for activation in ("tanh", "relu", "atan")),
    *({"name": name, "temperature": 0.2} for name in ("sl", "ssm", "infonce")),
    *({"name": name} for name in ("bpr", "hinge", "softmax_ce", "mse", "bce", "triplet")),
    {"name": "contrastive", "margin": 1.3},
    {"name": "cml", "margin": 0.8},
    {"name": "cml", "margin": 0.8, "rank_weight": False},
]
PUBLISHED = ("mml", "ccl", "bsl")  # trained on the dataset for an epoch, with the published settings
SPLIT_SEED = 2024

# Gradients of cml and contrastive may cancel, or consist of rounding errors near a margin. Adam then enlarges the rest.
LOOSE = {"contrastive": 5.0, "cml": 10.0}
TOLERANCES = {"loss": 1e-5, "users' gradient": 2e-5, "items' gradient": 2e-5, "last loss": 1e-4, "users": 2e-4, "items": 2e-4}
SHARE = 0.99  # of the rows; .9 for cml: rounding may decide which negative is nearest
DATASET_TOLERANCES = {"loss": 1e-4, "ndcg@20": 4e-4}


@dataclass(frozen=True)
class Scale:
    """The sizes of the small data and their configs."""

    n_users: int
    n_items: int
    n_pairs: int
    batch_size: int
    count: int
    dim: int


FULL = Scale(50, 80, 300, 32, 7, 64)
TINY = Scale(12, 25, 28, 10, 5, 8)  # Triton's interpreter needs some 50 ms for a row of a batch


def small_data(scale: Scale) -> Interactions:
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, scale.n_users, scale.n_pairs), rng.integers(0, scale.n_items, scale.n_pairs)
    return Interactions.from_pairs(users, items, scale.n_users, scale.n_items)


def configs(loss: dict[str, Any], scale: Scale, n_pairs: int) -> tuple[TrainConfig, TrainConfig]:
    """A config for one step on all pairs at once, and one for four epochs with all features of the engine."""
    plain = {"loss": loss, "negatives": {"name": "uniform", "count": scale.count}, "learning_rate": 1e-3, "seed": 5}
    encoder = {"name": "mf", "dim": scale.dim, "init_std": 0.1}
    step = TrainConfig.from_dict({**plain, "encoder": encoder, "batch_size": n_pairs, "epochs": 1})
    more = {"encoder": {**encoder, "dropout": 0.3}, "l2": 0.0 if loss["name"] == "cml" else 1e-2, "schedule": "linear"}
    return step, TrainConfig.from_dict({**plain, **more, "batch_size": scale.batch_size, "epochs": 4})


def dataset_config(name: str) -> TrainConfig:
    published = published_loss(name, "yelp2018")
    assert published is not None  # each loss of PUBLISHED is
    rate = 5e-4 if name == "bsl" else 1e-4
    return TrainConfig(loss=published[0], learning_rate=rate, epochs=1, seed=3)


def numbers_of(engine: Any, first: EpochResult, gradients: list[NDArray[Any]]) -> Numbers:
    """The numbers that are compared after an engine has trained one step."""
    return {"loss": np.array(first.loss), "users' gradient": gradients[0], "items' gradient": gradients[1]}


def trained(engine: Any, config: TrainConfig) -> EpochResult:
    engine.start(0, config)
    for _ in range(config.epochs):
        (result,) = engine.epoch()
    assert isinstance(result, EpochResult)
    return result


def numba_numbers(loss: dict[str, Any], scale: Scale) -> Numbers:
    from trainers.engines.numba_engine import NumbaEngine

    seen = small_data(scale)
    step, epochs = configs(loss, scale, len(seen))
    engine = NumbaEngine(seen, None)
    first = trained(engine, step)
    moments = [table.state[:, : scale.dim] for table in engine.tables().values()]
    gradients = [moment / np.float32(0.1) for moment in moments]  # a moment is (1 - b1) of the gradient
    found = numbers_of(engine, first, gradients)
    found["last loss"] = np.array(trained(engine, epochs).loss)
    found["users"], found["items"] = engine.vectors(0)
    return found


def triton_numbers(loss: dict[str, Any], scale: Scale, device: str) -> Numbers:
    from trainers.engines.triton_engine.engine import TritonEngine

    seen = small_data(scale)
    step, epochs = configs(loss, scale, len(seen))
    engine = TritonEngine(seen, None, (), device)
    first = trained(engine, step)
    lanes = engine.pools[engine.running[0].shape]
    gradients = [table.mean[0].cpu().numpy()[:, : scale.dim] / np.float32(0.1) for table in (lanes.users, lanes.items)]
    found = numbers_of(engine, first, gradients)
    found["last loss"] = np.array(trained(engine, epochs).loss)
    found["users"], found["items"] = engine.vectors(0)
    return found


def key_of(loss: dict[str, Any]) -> str:
    return json.dumps(loss, sort_keys=True)


def record(file: str, data_dir: str | None) -> None:
    """Train all configs on the numba engine, and record the numbers that `check` compares."""
    from trainers.engines.numba_engine import NumbaEngine

    kept: Numbers = {}
    for scale in (FULL, TINY):
        for loss in LOSSES:
            found = numba_numbers(loss, scale)
            kept |= {f"{scale.n_users} {key_of(loss)} {name}": values for name, values in found.items()}
    if data_dir:
        seen, held_out = hold_out(load_dataset("yelp2018", data_dir).train, seed=SPLIT_SEED)
        for name in PUBLISHED:
            result = trained(NumbaEngine(seen, held_out), dataset_config(name))
            assert result.metrics is not None  # after the last epoch
            kept |= {f"yelp2018 {name} loss": np.array(result.loss)}
            kept |= {f"yelp2018 {name} ndcg@20": np.array(result.metrics["ndcg@20"])}
            print(f"yelp2018 {name}: loss {result.loss:.6f}, {result.metrics}")
    np.savez_compressed(file, **kept)  # type: ignore[arg-type]
    print(f"{file}: {len(kept)} arrays, {os.path.getsize(file) / 1024:.0f} KiB")


def difference(name: str, ours: NDArray[Any], theirs: NDArray[Any], share: float) -> float:
    """The largest difference in this share of the rows: relative for losses and gradients, absolute for unit vectors."""
    if ours.ndim == 0:
        return float(abs(ours - theirs) / max(abs(theirs), 1e-30))
    largest = float(np.abs(theirs).max()) if "gradient" in name else 1.0
    return float(np.quantile(np.abs(ours - theirs).max(1), share)) / max(largest, 1e-30)


def check_loss(loss: dict[str, Any], kept: Numbers, scale: Scale, device: str) -> bool:
    """Print a line, and return whether all differences are within their tolerances."""
    found = triton_numbers(loss, scale, device)
    loose = LOOSE.get(loss["name"], 1.0)
    share = 0.9 if loss["name"] == "cml" else SHARE
    differences = {
        name: difference(name, values, kept[f"{scale.n_users} {key_of(loss)} {name}"], share) for name, values in found.items()
    }
    good = all(value <= loose * TOLERANCES[name] for name, value in differences.items())
    details = [str(value) for key, value in loss.items() if key in ("mode", "rank_weight")]
    parts = "".join(f"  {name} {value:.1e}" for name, value in differences.items())
    print(f"{'ok  ' if good else 'FAIL'} {' '.join([loss['name'], *details]):<20}{parts}", flush=True)
    return good


def check_dataset(name: str, kept: Numbers, data_dir: str, device: str) -> bool:
    """As `check_loss`, for an epoch on the dataset."""
    from trainers.engines.triton_engine.engine import TritonEngine

    seen, held_out = hold_out(load_dataset("yelp2018", data_dir).train, seed=SPLIT_SEED)
    result = trained(TritonEngine(seen, held_out, (), device), dataset_config(name))
    assert result.metrics is not None  # after the last epoch
    found = {"loss": result.loss, "ndcg@20": result.metrics["ndcg@20"]}
    theirs = {part: float(kept[f"yelp2018 {name} {part}"]) for part in found}
    differences = {"loss": abs(found["loss"] / theirs["loss"] - 1.0), "ndcg@20": abs(found["ndcg@20"] - theirs["ndcg@20"])}
    good = all(differences[part] <= DATASET_TOLERANCES[part] for part in differences)
    parts = "".join(f"  {part} {found[part]:.6f} (numba {theirs[part]:.6f})" for part in found)
    print(f"{'ok  ' if good else 'FAIL'} yelp2018 {name:<11}{parts}", flush=True)
    return good


def check(file: str, kinds_only: bool, data_dir: str | None) -> int:
    """Exit code 0 if all configs agree. A config that cannot be trained counts as a failure, and the others are checked."""
    device = "cuda" if torch.cuda.is_available() else "cpu"
    scale = FULL if device == "cuda" else TINY
    with np.load(file, allow_pickle=False) as arrays:
        kept = dict(arrays)
    losses = one_per_kind() if kinds_only else LOSSES
    calls: list[Any] = [lambda loss=loss: check_loss(loss, kept, scale, device) for loss in losses]
    if data_dir and device == "cuda":
        calls += [lambda name=name: check_dataset(name, kept, data_dir, device) for name in PUBLISHED]
    good, errors, started = 0, 0, time.perf_counter()
    for call in calls:
        try:
            good += call()
        except Exception as error:
            errors += 1
            if errors == 1:
                traceback.print_exc()
            else:
                print(f"FAIL {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", flush=True)
    print(f"parity with numba: {good} of {len(calls)} agree on {device}, {time.perf_counter() - started:.0f} s", flush=True)
    return 0 if good == len(calls) else 1


def one_per_kind() -> list[dict[str, Any]]:
    kinds: dict[int, dict[str, Any]] = {}
    for loss in LOSSES:
        kind = ROW_FUNCTIONS[type(TrainConfig.from_dict({"loss": loss}).loss)].kind
        kinds.setdefault(kind, loss)
    return list(kinds.values())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("record", "check"))
    parser.add_argument("file")
    parser.add_argument("--kinds", action="store_true", help="check: one loss per kind of row function")
    parser.add_argument("--data-dir", help="a folder with yelp2018")
    arguments = parser.parse_args()
    if arguments.action == "record":
        record(arguments.file, arguments.data_dir)
    else:
        sys.exit(check(arguments.file, arguments.kinds, arguments.data_dir))


if __name__ == "__main__":
    if not torch.cuda.is_available():
        os.environ["TRITON_INTERPRET"] = "1"  # read when the module of a kernel is imported
    main()
