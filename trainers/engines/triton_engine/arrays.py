"""The arrays on the device that the kernels of `step` share, and the columns of those that tell them about a lane."""

from __future__ import annotations

from typing import NamedTuple

from torch import Tensor

SHUFFLE, NEGATIVES, DROPOUT, THRESHOLD, COUNT, STEPS, BEFORE, SUMMED, N_NUMBERS = range(9)  # columns of Lanes.numbers
FACTOR, L2, SCALE, N_FACTORS = range(4)  # columns of Lanes.factors


class Data(NamedTuple):
    """The training pairs, int32 (n_rows,), and the sizes."""

    users: Tensor
    items: Tensor
    n_rows: int
    n_items: int
    half_bits: int
    batch_size: int


class Lanes(NamedTuple):
    """What lanes are told for an epoch, and what they count.

    Attributes:
        numbers: int64 (L, N_NUMBERS): keys of the draws, threshold of dropout, negatives per row, steps of this epoch (0 for a
            free lane), steps of earlier epochs, 1 for a loss that is summed over the batch.
        factors: float32 (L, N_FACTORS): of the units that dropout keeps, l2, units of the gradients' sums.
        settings: float32 (L, N_SETTINGS) of the loss, see `row_losses.RowLoss`.
        rates: float64 (L, n_rates, 4), see `lazy_adam.rates`.
        n_rates: the most steps of an epoch.
        keep, other: int64 (L, n_items), tables of `rng.alias_table`, where lanes draw by weight.
        power: float64 (3, N_POWERS), see `lazy_adam.powers`.
        users, items: int32 (L, n_rows), the epoch's pairs in order.
        ticks: int32 (2, L).
        counts: int32 (2, 2, L, PROGRAMS): how many rows of users and items each list has, for even and odd steps.
        losses: float64 (L, batch_size), summed over the epoch.
    """

    numbers: Tensor
    factors: Tensor
    settings: Tensor
    rates: Tensor
    n_rates: int
    keep: Tensor
    other: Tensor
    power: Tensor
    users: Tensor
    items: Tensor
    ticks: Tensor
    counts: Tensor
    losses: Tensor


class EmbeddingTable(NamedTuple):
    """The users' or the items' rows of all lanes: float32 (L, n, width), where nothing else is said.

    Attributes:
        rows: as of the row's last gradient.
        mean, square: Adam's moments, as of then.
        direction: along which a row without gradient moves on.
        last: int32 (L, n), the step of the row's last gradient, 0 for never.
        ahead: float64 (L, n), how many directions the row had then still to go.
        sums: int64 (L, n, width), the step's gradients.
        stamps: int32 (L, n), the last step in which the row was listed.
        work: int32 (L, PROGRAMS, room), the lists of rows with a gradient.
        n: rows per lane.
        room: rows per list.
    """

    rows: Tensor
    mean: Tensor
    square: Tensor
    direction: Tensor
    last: Tensor
    ahead: Tensor
    sums: Tensor
    stamps: Tensor
    work: Tensor
    n: int
    room: int


class Scratch(NamedTuple):
    """Of each row of the batch its negatives: (L, batch_size, block).

    Attributes:
        ids: int32, items; first of all of them, then of those with a gradient.
        ways: float32, how many directions their rows have gone since their last gradient.
        scores: float32, scores, then gradients.
    """

    ids: Tensor
    ways: Tensor
    scores: Tensor
