"""Shared by the tests of fused engines: losses with a row function, small data, and the comparison of engines."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers import Interactions, TrainConfig
from trainers.engines.row_losses import ROW_FUNCTIONS, THRESHOLD_ROWS

from ...loss_cases import LOSS_CASES

MML, CCL, BSL, CML = (LOSS_CASES[name] for name in ("mml", "ccl", "bsl", "cml"))
CONTRASTIVE, UNWEIGHTED = LOSS_CASES["contrastive"], LOSS_CASES["cml unweighted"]


def data(n_users: int, n_items: int, n_pairs: int, seed: int = 0) -> Interactions:
    rng = np.random.default_rng(seed)
    return Interactions.from_pairs(rng.integers(0, n_users, n_pairs), rng.integers(0, n_items, n_pairs), n_users, n_items)


def config(
    loss: dict[str, Any], count: int = 7, dim: int = 8, dropout: float = 0.0, init_std: float = 0.1, **other: Any
) -> TrainConfig:
    encoder = {"name": "mf", "dim": dim, "dropout": dropout, "init_std": init_std}
    fields = {"learning_rate": 1e-3, "batch_size": 32, "epochs": 4, "seed": 5} | other
    fields = {"negatives": {"name": "uniform", "count": count}} | fields
    return TrainConfig.from_dict({"loss": loss, "encoder": encoder, **fields})


def is_fused(loss: dict[str, Any]) -> bool:
    """Whether fused engines have a row function for the loss."""
    formula = config(loss).loss
    return type(formula) in ROW_FUNCTIONS and not ROW_FUNCTIONS[type(formula)].why_not(formula)


ALL_LOSSES = [loss for loss in LOSS_CASES.values() if is_fused(loss)]
THRESHOLD_LOSSES = [loss for loss in LOSS_CASES.values() if type(config(loss).loss) in THRESHOLD_ROWS]  # on numba only


def started(engine: type[Any], seen: Interactions, settings: TrainConfig, **arguments: Any) -> Any:
    one = engine(seen, **({"held_out": None} | arguments))
    one.start(0, settings)
    return one


def assert_close(
    name: str, ours: NDArray[Any], theirs: NDArray[Any], tolerance: float, relative: bool = False, share: float = 1.0
) -> None:
    """Check the largest difference in this share of the rows."""
    scale = max(float(np.abs(theirs).max()), 1e-30) if relative else 1.0
    difference = float(np.quantile(np.abs(ours - theirs).max(1), share)) / scale
    assert difference <= tolerance, f"{name}: largest difference {difference:.3g}, allowed {tolerance:.3g}"
