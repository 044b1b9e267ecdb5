"""What a fused engine knows of a loss: its line in the table `ROWS`, which names one of a few kinds of row function.

A row function takes one positive score and the scores of its negatives, and gives the loss and its slopes. Each engine has them
in its own language, in `numba_engine.row_functions` and `triton_engine.row_functions`. The torch form in `trainers.losses` is
the definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainers.losses import BCE, BPR, BSL, CCL, CML, MML, MSE, SL, SSM, Contrastive, Hinge, InfoNCE, Loss, SoftmaxCE, Triplet

HINGES, SOFTMAX, PAIR_HINGE, PAIR_LOGISTIC, SQUARES, LOGISTIC, DISTANCES, NEAREST = range(8)

ALL = -math.inf  # the cutoff of a loss in which every negative has a slope


class RowLoss(NamedTuple):
    """A loss as the kernel takes it.

    Attributes:
        kind: which row function.
        settings: its parameters, then the number of items, float32.
        cutoff: negatives that score below have no slope and add nothing to the loss.
        summed: the batch's loss is the sum of its rows' losses, not their mean.
    """

    kind: int
    settings: NDArray[np.float32]
    cutoff: float
    summed: bool


@dataclass(frozen=True)
class RowFunction:
    """Line of the table `ROWS`: the kind, settings and cutoff that a loss gives, and why it has none, if so."""

    kind: int
    settings: Callable[[Any], list[float]]
    cutoff: Callable[[Any], float] = lambda loss: ALL
    why_not: Callable[[Any], str] = lambda loss: ""


def _mml_settings(loss: MML) -> list[float]:
    return [loss.positive_weight, loss.negative_weight, len(loss.margins), *loss.margins, *loss.weights]


def _ccl_settings(loss: CCL) -> list[float]:
    return [1.0, loss.negative_weight, 1, loss.margin, 1.0]


def _softmax_settings(temperature: float, exponent: float = 1.0, mean: bool = False, own: bool = False) -> list[float]:
    return [temperature, exponent, float(mean), float(own)]


def _bsl_settings(loss: BSL) -> list[float]:
    return _softmax_settings(loss.temperature, loss.exponent, mean=loss.mode != "reweight")


def _with_own_positive(loss: InfoNCE | SSM) -> list[float]:
    return _softmax_settings(loss.temperature, own=True)


def _bsl_why_not(loss: BSL) -> str:
    return "bsl mode multi pools positives over the rows of a user, a row function sees one row" if loss.mode == "multi" else ""


def _cml_why_not(loss: CML) -> str:
    return "cml's covariance term needs all vectors, a row function sees one row" if loss.covariance_weight else ""


ROWS: dict[type[Loss], RowFunction] = {
    MML: RowFunction(HINGES, _mml_settings, lambda loss: loss.margins[0]),
    CCL: RowFunction(HINGES, _ccl_settings, lambda loss: loss.margin),
    BSL: RowFunction(SOFTMAX, _bsl_settings, why_not=_bsl_why_not),
    SL: RowFunction(SOFTMAX, lambda loss: _softmax_settings(loss.temperature)),
    InfoNCE: RowFunction(SOFTMAX, _with_own_positive),
    SSM: RowFunction(SOFTMAX, _with_own_positive),
    SoftmaxCE: RowFunction(SOFTMAX, lambda loss: _softmax_settings(1.0, own=True)),
    BPR: RowFunction(PAIR_LOGISTIC, lambda loss: []),
    Hinge: RowFunction(PAIR_HINGE, lambda loss: [loss.margin, 1.0]),
    Triplet: RowFunction(PAIR_HINGE, lambda loss: [loss.margin, 2.0]),  # squared distances differ by twice what cosines do
    MSE: RowFunction(SQUARES, lambda loss: []),
    BCE: RowFunction(LOGISTIC, lambda loss: []),
    Contrastive: RowFunction(DISTANCES, lambda loss: [loss.margin], lambda loss: 1.0 - 0.5 * loss.margin**2),
    CML: RowFunction(NEAREST, lambda loss: [loss.margin, float(loss.rank_weight)], why_not=_cml_why_not),
}


def row_loss_of(loss: Loss, n_items: int) -> RowLoss:
    """The kernel's description of a loss that is in `ROWS`."""
    row = ROWS[type(loss)]
    return RowLoss(row.kind, np.array([*row.settings(loss), n_items], np.float32), row.cutoff(loss), loss.summed)
