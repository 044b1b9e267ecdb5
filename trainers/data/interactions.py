"""Interactions of users with items, as CSR arrays."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from functools import cached_property
from operator import index
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.errors import InputError

Ids = NDArray[np.integer[Any]]
RawIds = NDArray[Any]  # whole numbers or text, as in the user's files


@dataclass(frozen=True, eq=False)
class Interactions:
    """A set of (user, item) pairs without duplicates, sorted by user, then item.

    Attributes:
        n_users, n_items: ids are 0 .. n - 1; a user or item may have no pair.
        indptr: int64 (n_users + 1,); user u's items are `items[indptr[u]:indptr[u + 1]]`, ascending.
        items: int32 (n_pairs,).
        order: int64 (n_pairs,); among a user's pairs, earlier ones have lower numbers. None if the data have no order.
        times: float64 (n_pairs,), the time of each pair in the unit of the data; None if the data have no times.
    """

    n_users: int
    n_items: int
    indptr: NDArray[np.int64]
    items: NDArray[np.int32]
    order: NDArray[np.int64] | None = None
    times: NDArray[np.float64] | None = None

    @classmethod
    def from_pairs(
        cls,
        users: Ids,
        items: Ids,
        n_users: int,
        n_items: int,
        *,
        ordered: bool = False,
        times: NDArray[Any] | None = None,
    ) -> Interactions:
        """Sort pairs and drop duplicates. `n_users` and `n_items` may be whole numbers of any type, numpy's too.

        Args:
            users, items: (n,).
            ordered: whether each user's pairs are given from the earliest to the latest.
            times: (n,), the time of each pair; equal times are in the given order. Of repeated pairs the earliest is kept.

        Raises:
            InputError: users, items and times of different lengths, an id that is no whole number or outside 0 .. n - 1, or a
                time that is not finite.
        """
        n_users, n_items = index(n_users), index(n_items)
        users, items, times = np.asarray(users), np.asarray(items), None if times is None else np.asarray(times)
        shapes = [each.shape for each in (users, items, times) if each is not None]
        if any(len(shape) != 1 or shape != shapes[0] for shape in shapes):
            raise InputError(
                "users, items and times must have one value for each pair, got arrays of the shapes "
                f"{', '.join(map(str, shapes))}; give lists of one length"
            )
        for kind, ids, n in (("user", users, n_users), ("item", items, n_items)):
            if len(ids) and ids.dtype.kind not in "iu":
                raise InputError(f"{kind} ids must be whole numbers, got {ids.dtype} values")
            if len(ids) and not 0 <= ids.min() <= ids.max() < n:
                raise InputError(f"{kind} ids must be between 0 and {n - 1}, got {ids.min()} to {ids.max()}")
        keys = _keys(users, items, n_items)
        given = np.arange(len(keys))
        if times is not None:
            if times.dtype.kind == "M" and np.isnat(times).any():
                raise InputError("times must be dates, got NaT; drop these pairs")
            times = times.astype(np.float64)
            if not np.isfinite(times).all():
                raise InputError(f"times must be finite numbers, got {times[~np.isfinite(times)][0]}")
            given = np.argsort(times, kind="stable")
        pairs, first = np.unique(keys[given], return_index=True)  # the first of equal ones
        per_user = np.bincount(pairs // n_items, minlength=n_users) if n_items else np.zeros(n_users, np.int64)
        return cls(
            n_users,
            n_items,
            np.concatenate([[0], np.cumsum(per_user)]).astype(np.int64),
            (pairs % max(n_items, 1)).astype(np.int32),
            first.astype(np.int64) if ordered or times is not None else None,
            None if times is None else times[given][first],
        )

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

    @property
    def n_users_with_pairs(self) -> int:
        """Number of users who have a pair."""
        return int((self.per_user > 0).sum())

    def knows(self, users: Ids, items: Ids) -> NDArray[np.bool_]:
        """Whether the user and the item of each (user, item) both have a pair, not necessarily with each other; (n,)."""
        known: NDArray[np.bool_] = (self.per_user > 0)[users] & (self.per_item > 0)[items]
        return known

    def union(self, other: Interactions) -> Interactions:
        """The pairs of both, which have the same ids; without order and times."""
        users, items = np.concatenate([self.users, other.users]), np.concatenate([self.items, other.items])
        return Interactions.from_pairs(users, items, self.n_users, self.n_items)

    def contains(self, users: Ids, items: Ids) -> NDArray[np.bool_]:
        """Whether each (user, item) is one of the pairs; any shape, the same for both."""
        return self.indices_of(users, items) < len(self)

    def indices_of(self, users: Ids, items: Ids) -> NDArray[np.int64]:
        """The index of each (user, item) among the pairs, `len(self)` if it is none; any shape, the same for both."""
        wanted = _keys(users, items, self.n_items)
        if not len(self):
            return np.zeros(wanted.shape, np.int64)
        index = np.minimum(np.searchsorted(self.keys, wanted), len(self) - 1)
        return np.where(self.keys[index] == wanted, index, len(self))

    @cached_property
    def keys(self) -> NDArray[np.int64]:
        """One number per pair, user * n_items + item, ascending, (n_pairs,)."""
        return _keys(self.users, self.items, self.n_items)

    def where(self, chosen: NDArray[np.bool_]) -> Interactions:
        """The pairs for which `chosen` (n_pairs,) is true, with the same ids, order and times."""
        per_user = np.bincount(self.users[chosen], minlength=self.n_users)
        return replace(
            self,
            indptr=np.concatenate([[0], np.cumsum(per_user)]).astype(np.int64),
            items=self.items[chosen],
            order=None if self.order is None else self.order[chosen],
            times=None if self.times is None else self.times[chosen],
        )

    def restricted_to(self, users: Ids, items: Ids) -> Interactions:
        """The pairs of some users and items, which get new ids in ascending order of the old ones.

        Args:
            users, items: ids, ascending, each once.
        """
        new_user, new_item = np.full(self.n_users, -1, np.int64), np.full(self.n_items, -1, np.int64)
        new_user[users], new_item[items] = np.arange(len(users)), np.arange(len(items))
        left = self.where((new_user[self.users] >= 0) & (new_item[self.items] >= 0))
        indptr = np.concatenate([[0], np.cumsum(left.per_user[users])]).astype(np.int64)
        renumbered = new_item[left.items].astype(np.int32)
        return replace(left, n_users=len(users), n_items=len(items), indptr=indptr, items=renumbered)


def _keys(users: Ids, items: Ids, n_items: int) -> NDArray[np.int64]:
    keys: NDArray[np.int64] = users.astype(np.int64) * n_items + items.astype(np.int64)
    return keys
