"""Interactions and datasets: who consumed what, as CSR arrays, and the split that a study searches on."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers import rng
from trainers.errors import InputError
from trainers.rng import Purpose

Ids = NDArray[np.integer[Any]]


@dataclass(frozen=True, eq=False)
class Interactions:
    """A set of (user, item) pairs without duplicates, sorted by user, then item.

    Attributes:
        n_users, n_items: ids are 0 .. n - 1; a user or item may have no pair.
        indptr: int64 (n_users + 1,); user u's items are `items[indptr[u]:indptr[u + 1]]`, ascending.
        items: int32 (n_pairs,).
    """

    n_users: int
    n_items: int
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]

    @classmethod
    def from_pairs(cls, users: Ids, items: Ids, n_users: int, n_items: int) -> Interactions:
        """Sort pairs and drop duplicates. `n_users` and `n_items` may be whole numbers of any type, numpy's too.

        Raises:
            InputError: an id outside 0 .. n - 1.
        """
        n_users, n_items = index(n_users), index(n_items)
        for kind, ids, n in (("user", users, n_users), ("item", items, n_items)):
            if len(ids) and not 0 <= ids.min() <= ids.max() < n:
                raise InputError(f"{kind} ids must lie between 0 and {n - 1}, got {ids.min()} to {ids.max()}")
        pairs = np.unique(_keys(users, items, n_items))
        per_user = np.bincount(pairs // n_items, minlength=n_users) if n_items else np.zeros(n_users, np.int64)
        indptr = np.concatenate([[0], np.cumsum(per_user)]).astype(np.int64)
        return cls(n_users, n_items, indptr, (pairs % max(n_items, 1)).astype(np.int32))

    def __len__(self) -> int:
        return len(self.items)

    @cached_property
    def users(self) -> NDArray[np.int32]:
        """The user of each pair, int32 (n_pairs,)."""
        return np.repeat(np.arange(self.n_users, dtype=np.int32), np.diff(self.indptr))

    @cached_property
    def per_user(self) -> NDArray[np.int64]:
        """Number of pairs of each user, (n_users,)."""
        return np.diff(self.indptr)

    @cached_property
    def per_item(self) -> NDArray[np.int64]:
        """Number of pairs of each item, (n_items,)."""
        return np.bincount(self.items, minlength=self.n_items).astype(np.int64)

    @cached_property
    def checksum(self) -> str:
        """SHA-256 over sizes and pairs, hex; independent of file format and line order."""
        digest = hashlib.sha256(f"{self.n_users} {self.n_items} {len(self)}".encode())
        digest.update(self.indptr.astype("<i8").tobytes())
        digest.update(self.items.astype("<i4").tobytes())
        return digest.hexdigest()

    def contains(self, users: Ids, items: Ids) -> NDArray[np.bool_]:
        """Whether each (user, item) is one of the pairs; any shape, the same for both."""
        return self.indices_of(users, items) < len(self)

    def indices_of(self, users: Ids, items: Ids) -> NDArray[np.int64]:
        """Where each (user, item) stands among the pairs, `len(self)` where it is none; any shape, the same for both."""
        wanted = _keys(users, items, self.n_items)
        if not len(self):
            return np.zeros(wanted.shape, np.int64)
        place = np.minimum(np.searchsorted(self.keys, wanted), len(self) - 1)
        return np.where(self.keys[place] == wanted, place, len(self))

    @cached_property
    def keys(self) -> NDArray[np.int64]:
        """One number per pair, user * n_items + item, ascending, (n_pairs,)."""
        return _keys(self.users, self.items, self.n_items)

    def where(self, chosen: NDArray[np.bool_]) -> Interactions:
        """The pairs for which `chosen` (n_pairs,) is true; ids keep their meaning."""
        return Interactions.from_pairs(self.users[chosen], self.items[chosen], self.n_users, self.n_items)


def _keys(users: Ids, items: Ids, n_items: int) -> NDArray[np.int64]:
    keys: NDArray[np.int64] = users.astype(np.int64) * n_items + items.astype(np.int64)
    return keys


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training data of a named dataset. The test split is not in it: see `trainers.data.datasets.load_test`.

    Attributes:
        name: as given to `load_dataset`.
        train: all training pairs.
        user_ids, item_ids: the raw id of each user and item.
    """

    name: str
    train: Interactions
    user_ids: NDArray[Any]
    item_ids: NDArray[Any]

    @property
    def n_users(self) -> int:
        return self.train.n_users

    @property
    def n_items(self) -> int:
        return self.train.n_items

    @property
    def checksum(self) -> str:
        return self.train.checksum


def hold_out(train: Interactions, seed: int, fraction: float = 0.1) -> tuple[Interactions, Interactions]:
    """Split off ceil(fraction) of each user's pairs, at random; at least one pair per user stays.

    Returns:
        (seen, held_out), both with the ids of `train`.

    Raises:
        InputError: unless 0 < fraction < 1, or if no user has two pairs.
    """
    if not 0.0 < fraction < 1.0:
        raise InputError(f"the fraction held out must lie between 0 and 1, got {fraction}")
    lot = rng.bits(rng.key(seed, Purpose.HOLD_OUT), train.keys.astype(np.uint64))
    order = np.lexsort((lot, train.users))  # keeps users together, so places are those of the CSR
    place = np.empty(len(train), np.int64)
    place[order] = np.arange(len(train)) - train.indptr[train.users]
    wanted = np.minimum(np.ceil(train.per_user * fraction - 1e-9).astype(np.int64), train.per_user - 1)
    held = place < wanted[train.users]
    if not held.any():
        raise InputError(f"nothing can be held out: no user has two interactions ({len(train)} pairs, {train.n_users} users)")
    return train.where(~held), train.where(held)
