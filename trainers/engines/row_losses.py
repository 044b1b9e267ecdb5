"""The losses that fused engines can train, as lines of the table `ROW_FUNCTIONS`. Each line names a kind of row function.

A row function takes one positive score and the scores of its negatives, and returns the loss and its gradients. Each engine has
its own in `numba_engine.row_functions` and `triton_engine.row_functions`. The torch form in `trainers.losses` is the
definition. To add a loss, add a line. For a new kind, add its name here and a row function in each engine, too.
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
    DrRL,
    Hinge,
    InfoNCE,
    Loss,
    SLatK,
    SoftmaxCE,
    Talos,
    Triplet,
)
from trainers.losses.distances import SMALLEST
from trainers.losses.softmax import SMALLEST_BASE

# The kinds of row functions: numbers for the kernels.
HINGES, SOFTMAX, PAIR_HINGE, PAIR_LOGISTIC, SQUARES, LOGISTIC, DISTANCES, NEAREST, PAIR_SOFTMAX = range(9)

# The indices in the settings of each kind. After its N margins, HINGES has N weights.
HINGES_POSITIVE_WEIGHT, HINGES_NEGATIVE_WEIGHT, HINGES_N_MARGINS, HINGES_MARGINS = range(4)
SOFTMAX_TEMPERATURE, SOFTMAX_EXPONENT, SOFTMAX_MEAN, SOFTMAX_WITH_POSITIVE, SOFTMAX_SCALE = range(5)
PAIR_HINGE_MARGIN, PAIR_HINGE_FACTOR = range(2)
DISTANCES_MARGIN = 0
NEAREST_MARGIN, NEAREST_RANK_WEIGHT, NEAREST_N_ITEMS = range(3)
PAIR_SOFTMAX_TEMPERATURE, PAIR_SOFTMAX_ACTIVATION = range(2)
TANH, RELU, ATAN = range(3)  # values of PAIR_SOFTMAX_ACTIVATION
ACTIVATIONS = {"tanh": TANH, "relu": RELU, "atan": ATAN}

# The kinds of row functions with a threshold, numbers of their own, and the indices in their settings.
SLATK, TALOS, DRRL = range(3)
SLATK_TEMPERATURE, SLATK_WEIGHT_TEMPERATURE = range(2)
TALOS_TEMPERATURE, TALOS_K, TALOS_N_ITEMS = range(3)
DRRL_POWER, DRRL_NEGATIVE_WEIGHT, DRRL_EPSILON = range(3)

NO_CUTOFF = -math.inf  # the cutoff of a loss in which every negative has a gradient


class RowLoss(NamedTuple):
    """A loss as the kernels take it.

    Attributes:
        kind: the kind of row function.
        settings: float32, its parameters and then the number of items.
        cutoff: negatives with a lower score have no gradient and add nothing to the loss.
        summed: whether the batch's loss is the sum of its rows' losses instead of their mean.
    """

    kind: int
    settings: NDArray[np.float32]
    cutoff: float
    summed: bool


class RowSize(NamedTuple):
    """What the gradient bound of a row depends on, apart from its loss.

    Attributes:
        negatives: number of the row's negatives.
        n_items: number of items in the catalogue.
        max_score: the largest absolute score; above 1 with dropout.
    """

    negatives: int
    n_items: int
    max_score: float


@dataclass(frozen=True)
class RowFunction:
    """A line of the table `ROW_FUNCTIONS`.

    Attributes:
        kind: the kind of row function.
        settings: the parameters of a loss, in the order of the indices above.
        gradient_bound: an upper bound on the sum of |dL/dscore| over a row's scores. Engines that sum gradients as whole
            numbers derive their unit from it. A bound that is far too high costs precision.
        cutoff: negatives with a lower score have no gradient.
        why_not: why a loss with these settings has no row function after all; empty if it has one.
    """

    kind: int
    settings: Callable[[Any], list[float]]
    gradient_bound: Callable[[Any, RowSize], float]
    cutoff: Callable[[Any], float] = lambda loss: NO_CUTOFF
    why_not: Callable[[Any], str] = lambda loss: ""


def _mml_settings(loss: MML) -> list[float]:
    return [loss.positive_weight, loss.negative_weight, len(loss.margins), *loss.margins, *loss.weights]


def _softmax(
    temperature: Callable[[Any], float] = lambda loss: loss.temperature,
    exponent: Callable[[Any], float] = lambda loss: 1.0,
    mean: Callable[[Any], bool] = lambda loss: False,
    with_positive: bool = False,
    scale: Callable[[Any], float] = lambda loss: 1.0,
    why_not: Callable[[Any], str] = lambda loss: "",
) -> RowFunction:
    """The line of a softmax loss.

    Args:
        mean: whether the exponentials are averaged over the negatives instead of summed.
        with_positive: whether the positive is in the denominator, too.
        scale: factor of the whole loss.
    """
    return RowFunction(
        SOFTMAX,
        lambda loss: [temperature(loss), exponent(loss), float(mean(loss)), float(with_positive), scale(loss)],
        gradient_bound=lambda loss, size: scale(loss) * (2.0 * exponent(loss) + 1.0) / temperature(loss),
        why_not=why_not,
    )


def _bsl_why_not(loss: BSL) -> str:
    return "bsl mode multi pools positives over the rows of a user, a row function sees one row" if loss.mode == "multi" else ""


def _cml_why_not(loss: CML) -> str:
    return "cml's covariance term needs all vectors, a row function sees one row" if loss.covariance_weight else ""


ROW_FUNCTIONS: dict[type[Loss], RowFunction] = {
    MML: RowFunction(
        HINGES,
        _mml_settings,
        gradient_bound=lambda loss, size: loss.positive_weight + loss.negative_weight,
        cutoff=lambda loss: loss.margins[0],
    ),
    CCL: RowFunction(
        HINGES,
        lambda loss: [1.0, loss.negative_weight, 1, loss.margin, 1.0],
        gradient_bound=lambda loss, size: 1.0 + loss.negative_weight,
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
        lambda loss: [loss.temperature, float(ACTIVATIONS[loss.activation])],
        # tanh: |1 - tanh| <= 2; the others: 1 / base
        gradient_bound=lambda loss, size: (2.0 if loss.activation == "tanh" else 1.0 / SMALLEST_BASE) / loss.temperature,
    ),
    InfoNCE: _softmax(with_positive=True),
    SSM: _softmax(with_positive=True),
    SoftmaxCE: _softmax(temperature=lambda loss: 1.0, with_positive=True),
    BPR: RowFunction(PAIR_LOGISTIC, lambda loss: [], gradient_bound=lambda loss, size: 2.0),
    Hinge: RowFunction(PAIR_HINGE, lambda loss: [loss.margin, 1.0], gradient_bound=lambda loss, size: 2.0),
    # a difference of squared distances is twice the difference of cosines
    Triplet: RowFunction(PAIR_HINGE, lambda loss: [loss.margin, 2.0], gradient_bound=lambda loss, size: 4.0),
    MSE: RowFunction(SQUARES, lambda loss: [], gradient_bound=lambda loss, size: (size.negatives + 1.0) * size.max_score + 1.0),
    BCE: RowFunction(LOGISTIC, lambda loss: [], gradient_bound=lambda loss, size: size.negatives + 1.0),
    Contrastive: RowFunction(
        DISTANCES,
        lambda loss: [loss.margin],
        gradient_bound=lambda loss, size: 2.0 + 2.0 * loss.margin / math.sqrt(SMALLEST),
        cutoff=lambda loss: 1.0 - 0.5 * loss.margin**2,
    ),
    CML: RowFunction(
        NEAREST,
        lambda loss: [loss.margin, float(loss.rank_weight)],  # NEAREST_N_ITEMS: `row_loss_of` appends it
        gradient_bound=lambda loss, size: 4.0 * max(1.0, math.log1p(size.n_items)),
        why_not=_cml_why_not,
    ),
}


@dataclass(frozen=True)
class ThresholdRow:
    """A line of the table `THRESHOLD_ROWS`.

    Attributes:
        kind: the kind of row function with a threshold.
        settings: the parameters of a loss, in the order of the indices above.
    """

    kind: int
    settings: Callable[[Any], list[float]]


# The losses with a threshold for each user that the numba engine trains, see `numba_engine.thresholds`.
THRESHOLD_ROWS: dict[type[Loss], ThresholdRow] = {
    SLatK: ThresholdRow(SLATK, lambda loss: [loss.temperature, loss.weight_temperature]),
    Talos: ThresholdRow(TALOS, lambda loss: [loss.temperature, loss.k]),  # TALOS_N_ITEMS: `row_loss_of` appends it
    DrRL: ThresholdRow(DRRL, lambda loss: [loss.omega / (loss.omega - 1.0), loss.negative_weight, loss.epsilon]),
}


def row_loss_of(loss: Loss, n_items: int) -> RowLoss:
    """The kernels' form of a loss.

    Raises:
        KeyError: the loss is neither in `ROW_FUNCTIONS` nor in `THRESHOLD_ROWS`.
    """
    if type(loss) in THRESHOLD_ROWS:
        kept = THRESHOLD_ROWS[type(loss)]
        return RowLoss(kept.kind, np.array([*kept.settings(loss), n_items], np.float32), NO_CUTOFF, loss.summed)
    row = ROW_FUNCTIONS[type(loss)]
    return RowLoss(row.kind, np.array([*row.settings(loss), n_items], np.float32), row.cutoff(loss), loss.summed)
