"""The arrays on the device that the kernels of `step` share."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

# columns of Lanes.int_params
SHUFFLE, NEGATIVES, DROPOUT, DROPOUT_THRESHOLD, N_NEGATIVES, N_STEPS, STEPS_BEFORE, SUMMED, N_INT_PARAMS = range(9)
# columns of Lanes.float_params
DROPOUT_FACTOR, L2, GRADIENT_SCALE, N_FLOAT_PARAMS = range(4)


class Data(NamedTuple):
    """The training pairs, int32 (n_rows,), and sizes."""

    users: Tensor
    items: Tensor
    n_rows: int
    n_items: int
    half_bits: int
    batch_size: int


class Lanes(NamedTuple):
    """The parameters of L lanes for an epoch, and their progress and results.

    Attributes:
        int_params: int64 (L, N_INT_PARAMS): keys of the draws of pairs, negatives and dropout; threshold of dropout; negatives
            per row; steps of this epoch (0 for a free lane); steps of earlier epochs; 1 if the loss is summed over the batch.
        float_params: float32 (L, N_FLOAT_PARAMS): factor of the units that dropout keeps; l2; units of the gradient sums per 1.
        settings: float32 (L, N_SETTINGS) of the loss, see `row_losses.RowLoss`.
        rates: float64 (L, n_rates, 4), see `lazy_adam.rates`.
        n_rates: the largest number of steps of an epoch.
        alias_prob, alias: int64 (L, n_items), results of `rng.alias_table` for lanes that draw negatives by weight.
        powers: float64 (3, N_POWERS), see `lazy_adam.powers`.
        users, items: int32 (L, n_rows), the epoch's pairs in shuffled order.
        progress: int32 (2, L), the number of finished steps of this epoch, see `step`.
        counts: int32 (2, 2, L, PROGRAMS), the number of rows in each work list of users and items, for even and odd steps.
        losses: float64 (L, batch_size), the loss of each row of the batch, summed over the epoch.
    """

    int_params: Tensor
    float_params: Tensor
    settings: Tensor
    rates: Tensor
    n_rates: int
    alias_prob: Tensor
    alias: Tensor
    powers: Tensor
    users: Tensor
    items: Tensor
    progress: Tensor
    counts: Tensor
    losses: Tensor


class EmbeddingTable(NamedTuple):
    """The users' or the items' rows of all lanes, float32 (L, n, width) unless noted.

    Attributes:
        rows: parameters as of the row's last gradient.
        mean, square: Adam's first and second moments, as of then.
        direction: the direction in which a row without gradient moves.
        last_step: int32 (L, n), the step of the row's last gradient, 0 for none.
        pending: float64 (L, n), the row's pending displacement as of then, in multiples of its direction.
        sums: int64 (L, n, width), the step's gradients.
        listed_step: int32 (L, n), the last step in which the row was put into a work list.
        work: int32 (L, PROGRAMS, capacity), the lists of rows with a gradient.
        n: rows per lane.
        capacity: rows per list.
    """

    rows: Tensor
    mean: Tensor
    square: Tensor
    direction: Tensor
    last_step: Tensor
    pending: Tensor
    sums: Tensor
    listed_step: Tensor
    work: Tensor
    n: int
    capacity: int


class Scratch(NamedTuple):
    """The negatives of each row of the batch, (L, batch_size, block).

    Attributes:
        ids: int32, item ids: first of all negatives, then of those with a gradient.
        displacements: float32, the displacement of their rows since the last gradient, in multiples of their direction.
        scores: float32, scores, then gradients.
    """

    ids: Tensor
    displacements: Tensor
    scores: Tensor
