"""Splits interactions into two parts: at random, the last of each user, or at one moment for all users."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainers import rng
from trainers.data.interactions import Interactions
from trainers.errors import InputError, unknown
from trainers.rng import Purpose
from trainers.text import shown
from trainers.validation import whole

log = logging.getLogger(__name__)

How = Literal["random", "last", "leave_one_out", "time"]
SEED = 2024
MOST_EQUAL = 0.5  # if more of a user's successive times are equal, they do not order the data
MOST_SORTED = 0.95  # if more users have ascending items, the data were sorted by id and have no order of time
SORTED_AT_LEAST = 3  # users with fewer items are not counted for that

NEEDS_ORDER = (
    "the data have no order: give a time column (data: {columns: {time: ...}}), or say that lines are in order (ordered: true)"
)


@dataclass(frozen=True, eq=False)
class Split:
    """Interactions in two parts, with the same ids.

    Attributes:
        seen: the first part, to train on.
        held_out: the second part, to measure on.
        unknown: number of pairs dropped because their user or item is not in `seen`, see `known_only`.
        moment: start of `held_out` in the unit of the data's times; None unless split by `time`.
        tied: number of users whose first held-out pair has the time of their last seen one, so that the order of the lines
            decided; 0 unless split by `last` or `leave_one_out`, and without times.
    """

    seen: Interactions
    held_out: Interactions
    unknown: int = 0
    moment: float | None = None
    tied: int = 0


def hold_out(
    train: Interactions, how: How = "random", fraction: float = 0.1, seed: int = SEED
) -> tuple[Interactions, Interactions]:
    """Split off a part of the interactions, see `split`.

    Pairs of items that are not in `seen` are kept; `Dataset.hold_out` drops them.

    Returns:
        (seen, held_out), both with the ids of `train`.

    Raises:
        InputError: see `split`.
    """
    found = split(train, how, fraction, seed)
    if found.unknown:
        log.warning("held out by time: dropped %d pairs whose user or item has no earlier pair", found.unknown)
    return found.seen, found.held_out


def split(train: Interactions, how: How = "random", fraction: float = 0.1, seed: int = SEED) -> Split:
    """Split off a part of the interactions.

    Args:
        how: `random`: ceil(fraction * n) random pairs of each user with n pairs; `last`: the latest ceil(fraction * n) pairs of
            each user; `leave_one_out`: the latest pair of each user. At least one pair of each user remains in `seen`. `time`:
            all pairs from one moment on, chosen so that their share is nearest to `fraction`; pairs whose user or item has no
            earlier pair are dropped.
        fraction: share of the pairs, between 0 and 1.
        seed: seed of `random`.

    Raises:
        InputError: an unknown `how`, a fraction or a seed out of range, data without the order or the times that `how` needs,
            or no pair that can be held out.
    """
    if how not in get_args(How):
        raise InputError(unknown("split", how, get_args(How)))
    if not isinstance(fraction, (int, float, np.floating)) or not 0.0 < fraction < 1.0:
        raise InputError(f"the fraction held out must be a number between 0 and 1, got {shown(fraction)}; give one such as 0.1")
    seed = whole("seed", seed, least=0)
    if how == "time":
        return _at_one_moment(train, fraction)
    rank = _from_the_end(train, how) if how != "random" else _shuffled(train, seed)
    wanted = (
        np.ceil(train.per_user * fraction - 1e-9).astype(np.int64)
        if how != "leave_one_out"
        else np.ones(train.n_users, np.int64)
    )
    parts = _first_of(train, rank, wanted)
    return parts if how == "random" else replace(parts, tied=_tied(parts))


def known_only(parts: Split) -> Split:
    """Drop the held-out pairs whose user or item is not in `seen`, and count them: no model can rank such items."""
    known = parts.seen.knows(parts.held_out.users, parts.held_out.items)
    left = replace(parts, held_out=parts.held_out.where(known), unknown=parts.unknown + int((~known).sum()))
    return replace(left, tied=_tied(left)) if parts.tied else left


def hold_out_counts(train: Interactions, counts: NDArray[np.int64], seed: int = SEED) -> tuple[Interactions, Interactions]:
    """Split off a given number of random pairs of each user. At least one pair of each user remains in `seen`.

    Args:
        counts: the number of pairs by user, (n_users,).

    Returns:
        (seen, held_out), both with the ids of `train`.

    Raises:
        InputError: no pair can be held out, or a negative seed.
    """
    found = _first_of(train, _shuffled(train, whole("seed", seed, least=0)), counts)
    return found.seen, found.held_out


def check_order(interactions: Interactions) -> None:
    """Check that each user's interactions have an order of time.

    Raises:
        InputError: they have no order, or are sorted by id, because there are no times or most of them are equal.
    """
    if interactions.order is None:
        raise InputError(NEEDS_ORDER)
    equal = share_of_equal_times(interactions)
    if equal > MOST_EQUAL and (share := share_sorted(interactions)) > MOST_SORTED:
        times = "" if interactions.times is None else f", {100 * equal:.0f} % of a user's successive times are equal"
        raise InputError(
            f"the data must be in the order of time{times}, and {100 * share:.0f} % of the users have their items sorted by "
            "id; use the original files, or split at random"
        )


def share_of_equal_times(interactions: Interactions) -> float:
    """The share of a user's successive pairs with the same time; 1 without times."""
    if interactions.times is None or interactions.order is None:
        return 1.0
    by_time = np.lexsort((interactions.order, interactions.users))
    users, times = interactions.users[by_time], interactions.times[by_time]
    of_one = users[1:] == users[:-1]
    return float((times[1:] == times[:-1])[of_one].mean()) if of_one.any() else 0.0


def share_sorted(interactions: Interactions) -> float:
    """The share of users with ascending items, among users with at least 3 items; 0 without such users or without an order."""
    if interactions.order is None:
        return 0.0
    many = interactions.per_user >= SORTED_AT_LEAST
    ends = interactions.indptr[1:-1]
    falls = np.diff(interactions.order) < 0  # items ascend within a user, so an order by id does, too
    falls[ends[(ends > 0) & (ends < len(interactions))] - 1] = False  # from one user to the next
    per_user = np.bincount(interactions.users[1:][falls], minlength=interactions.n_users)
    return float((per_user[many] == 0).mean()) if many.any() else 0.0


def _first_of(train: Interactions, rank: NDArray[np.int64], wanted: NDArray[np.int64]) -> Split:
    """Hold out each user's pairs with the lowest ranks: `wanted` (n_users,), but not all of them."""
    held = rank < np.minimum(wanted, train.per_user - 1)[train.users]
    if not held.any():
        raise InputError(
            f"to hold out pairs, some user must have two interactions, got {len(train)} pairs of {train.n_users} users; use "
            "more data"
        )
    return Split(train.where(~held), train.where(held))


def _shuffled(train: Interactions, seed: int) -> NDArray[np.int64]:
    order = rng.bits(rng.key(seed, Purpose.HOLD_OUT), train.keys.astype(np.uint64))
    return _rank_within_user(train, order)


def _from_the_end(train: Interactions, how: str) -> NDArray[np.int64]:
    try:
        check_order(train)
    except InputError as error:
        raise InputError(f"split {how!r} needs an order: {error}") from None
    assert train.order is not None
    return _rank_within_user(train, -train.order)


def _tied(parts: Split) -> int:
    """The number of users whose first held-out pair has the time of their last seen one; 0 without times."""
    if parts.seen.times is None or parts.held_out.times is None:
        return 0
    last, first = np.full(parts.seen.n_users, -np.inf), np.full(parts.seen.n_users, np.inf)
    np.maximum.at(last, parts.seen.users, parts.seen.times)
    np.minimum.at(first, parts.held_out.users, parts.held_out.times)
    return int((first == last).sum())


def _rank_within_user(train: Interactions, by: NDArray[np.integer]) -> NDArray[np.int64]:
    """The rank of each pair (n_pairs,) among its user's pairs, from 0, in ascending order of `by`."""
    order = np.lexsort((by, train.users))  # keeps users together, so positions are those of the CSR
    rank = np.empty(len(train), np.int64)
    rank[order] = np.arange(len(train)) - train.indptr[train.users]
    return rank


def _at_one_moment(train: Interactions, fraction: float) -> Split:
    if train.times is None:
        raise InputError("split 'time' needs times: give a time column (data: {columns: {time: ...}}), or use another split")
    moments, first = np.unique(np.sort(train.times), return_index=True)
    if len(moments) < 2:
        raise InputError(
            f"split 'time' needs interactions of different times, all {len(train)} have the time "
            f"{', '.join(f'{each:.15g}' for each in moments)}; use another split"
        )
    held = len(train) - first[1:]  # for each moment but the first
    moment = float(moments[1:][np.argmin(np.abs(held - fraction * len(train)))])
    late = train.times >= moment
    parts = known_only(Split(train.where(~late), train.where(late), moment=moment))
    if not len(parts.held_out):
        raise InputError(
            f"split 'time' needs later pairs of users and items with earlier pairs, got none among the {parts.unknown} pairs "
            f"from {moment:g} on; use another fraction, or split 'last'"
        )
    return parts
