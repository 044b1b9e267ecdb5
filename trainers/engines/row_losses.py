"""What a fused engine knows of a loss: its line in the table `ROWS`, which names one of a few kinds of row function. To add a
loss, a line there; of a new kind, a name for the kind and a row function for each engine, too.

A row function takes one positive score and the scores of its negatives, and gives the loss and its gradients. Each engine has
them in its own language, in `numba_engine.row_functions` and `triton_engine.row_functions`. The torch form in `trainers.losses`
is the definition.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainers.losses import (
    BCE,
    BPR,
    BSL,
    CCL,
    CML,
    MML,
    MSE,
    PSL,
    SL,
    SSM,
    Contrastive,
    Hinge,
    InfoNCE,
    Loss,
    SoftmaxCE,
    Triplet,
)
from trainers.losses.distances import SMALLEST
from trainers.losses.softmax import SMALLEST_BASE

# The kinds of row function, as the kernels tell them apart.
HINGES, SOFTMAX, PAIR_HINGE, PAIR_LOGISTIC, SQUARES, LOGISTIC, DISTANCES, NEAREST, PAIR_SOFTMAX = range(9)
ACTIVATIONS = ("tanh", "relu", "atan")  # of PSL, by their number in its settings

ALL = -math.inf  # the cutoff of a loss in which every negative has a gradient


class RowLoss(NamedTuple):
    """A loss as the kernel takes it.

    Attributes:
        kind: which row function.
        settings: its parameters, then the number of items, float32.
        cutoff: negatives that score below have no gradient and add nothing to the loss.
        summed: the batch's loss is the sum of its rows' losses, not their mean.
    """

    kind: int
    settings: NDArray[np.float32]
    cutoff: float
    summed: bool


class Size(NamedTuple):
    """What a row's steepest gradient depends on besides its loss.

    Attributes:
        negatives: per row.
        n_items: of the catalogue.
        reach: the largest absolute score; above 1 with dropout.
    """

    negatives: int
    n_items: int
    reach: float


@dataclass(frozen=True)
class RowFunction:
    """Line of the table `ROWS`: all that fused engines know of a loss.

    Attributes:
        kind: which row function.
        settings: its parameters.
        steepest: a bound on the sum, over a row's scores, of |d loss / d score|: engines that sum gradients as whole numbers
            choose their unit by it. A bound that is far too high costs precision.
        cutoff: negatives that score below have no gradient.
        why_not: why a loss with these settings has no row function after all; empty if it has one.
    """

    kind: int
    settings: Callable[[Any], list[float]]
    steepest: Callable[[Any, Size], float]
    cutoff: Callable[[Any], float] = lambda loss: ALL
    why_not: Callable[[Any], str] = lambda loss: ""


def _mml_settings(loss: MML) -> list[float]:
    return [loss.positive_weight, loss.negative_weight, len(loss.margins), *loss.margins, *loss.weights]


def _softmax(
    temperature: Callable[[Any], float] = lambda loss: loss.temperature,
    exponent: Callable[[Any], float] = lambda loss: 1.0,
    mean: Callable[[Any], bool] = lambda loss: False,
    own: bool = False,
    scale: Callable[[Any], float] = lambda loss: 1.0,
    why_not: Callable[[Any], str] = lambda loss: "",
) -> RowFunction:
    """A line of a softmax loss: `mean` in place of the sum over negatives, `own`: the positive is among them, `scale` times the
    whole."""
    return RowFunction(
        SOFTMAX,
        lambda loss: [temperature(loss), exponent(loss), float(mean(loss)), float(own), scale(loss)],
        steepest=lambda loss, size: scale(loss) * (2.0 * exponent(loss) + 1.0) / temperature(loss),
        why_not=why_not,
    )


def _bsl_why_not(loss: BSL) -> str:
    return "bsl mode multi pools positives over the rows of a user, a row function sees one row" if loss.mode == "multi" else ""


def _cml_why_not(loss: CML) -> str:
    return "cml's covariance term needs all vectors, a row function sees one row" if loss.covariance_weight else ""


ROWS: dict[type[Loss], RowFunction] = {
    MML: RowFunction(
        HINGES,
        _mml_settings,
        steepest=lambda loss, size: loss.positive_weight + loss.negative_weight,
        cutoff=lambda loss: loss.margins[0],
    ),
    CCL: RowFunction(
        HINGES,
        lambda loss: [1.0, loss.negative_weight, 1, loss.margin, 1.0],
        steepest=lambda loss, size: 1.0 + loss.negative_weight,
        cutoff=lambda loss: loss.margin,
    ),
    BSL: _softmax(
        exponent=lambda loss: loss.exponent,
        mean=lambda loss: loss.mode in ("single", "multi"),
        scale=lambda loss: loss.scale,
        why_not=_bsl_why_not,
    ),
    SL: _softmax(),
    PSL: RowFunction(
        PAIR_SOFTMAX,
        lambda loss: [loss.temperature, float(ACTIVATIONS.index(loss.activation))],
        # tanh: |1 - tanh| <= 2; the others: 1 / base
        steepest=lambda loss, size: (2.0 if loss.activation == "tanh" else 1.0 / SMALLEST_BASE) / loss.temperature,
    ),
    InfoNCE: _softmax(own=True),
    SSM: _softmax(own=True),
    SoftmaxCE: _softmax(temperature=lambda loss: 1.0, own=True),
    BPR: RowFunction(PAIR_LOGISTIC, lambda loss: [], steepest=lambda loss, size: 2.0),
    Hinge: RowFunction(PAIR_HINGE, lambda loss: [loss.margin, 1.0], steepest=lambda loss, size: 2.0),
    # squared distances differ by twice what cosines do
    Triplet: RowFunction(PAIR_HINGE, lambda loss: [loss.margin, 2.0], steepest=lambda loss, size: 4.0),
    MSE: RowFunction(SQUARES, lambda loss: [], steepest=lambda loss, size: (size.negatives + 1.0) * size.reach + 1.0),
    BCE: RowFunction(LOGISTIC, lambda loss: [], steepest=lambda loss, size: size.negatives + 1.0),
    Contrastive: RowFunction(
        DISTANCES,
        lambda loss: [loss.margin],
        steepest=lambda loss, size: 2.0 + 2.0 * loss.margin / math.sqrt(SMALLEST),
        cutoff=lambda loss: 1.0 - 0.5 * loss.margin**2,
    ),
    CML: RowFunction(
        NEAREST,
        lambda loss: [loss.margin, float(loss.rank_weight)],
        steepest=lambda loss, size: 4.0 * max(1.0, math.log1p(size.n_items)),
        why_not=_cml_why_not,
    ),
}


def row_loss_of(loss: Loss, n_items: int) -> RowLoss:
    """The kernel's description of a loss that is in `ROWS`."""
    row = ROWS[type(loss)]
    return RowLoss(row.kind, np.array([*row.settings(loss), n_items], np.float32), row.cutoff(loss), loss.summed)
