"""Definitions of the metrics: functions of the ranks of a user's held-out items in the list of k recommended items."""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainers.errors import InputError
from trainers.text import shown
from trainers.validation import INTEGERS

Floats = NDArray[np.float64]

MAX_K = 10**9 - 1  # ranks are counted in 32 bits
CUT_OFF = "[1-9][0-9]{0,8}"
NAME = re.compile(f"([a-z]+)@({CUT_OFF})")


@dataclass(frozen=True)
class Found:
    """The ranks of the held-out items of some users in their lists.

    Attributes:
        ranks: rank of every held-out item, from 0, int64 (n_pairs,), one user after another; a miss has a rank of k or more.
        n_held_out: number of held-out items of each user, int64 (n_users,), each at least 1.
    """

    ranks: NDArray[np.int64]
    n_held_out: NDArray[np.int64]

    @cached_property
    def starts(self) -> NDArray[np.int64]:
        """The index of each user's first item, (n_users,)."""
        return np.concatenate([[0], np.cumsum(self.n_held_out)[:-1]])

    def by_user(self, values: Floats) -> Floats:
        """Sums over each user's items, (n_users,), of values (n_pairs,)."""
        return np.add.reduceat(values, self.starts)

    def hits(self, k: int) -> Floats:
        """The number of each user's items among the first k, (n_users,)."""
        return self.by_user((self.ranks < k).astype(np.float64))


def recall(found: Found, k: int) -> Floats:
    """hits / |held out|, as in NGCF (Wang et al., SIGIR 2019)."""
    return found.hits(k) / found.n_held_out


def ndcg(found: Found, k: int) -> Floats:
    """DCG@k / ideal DCG@k with binary gains, the ideal over min(|held out|, k) items (Järvelin and Kekäläinen, TOIS 2002)."""
    gains = np.where(found.ranks < k, discount(np.minimum(found.ranks, k)), 0.0)
    return found.by_user(gains) / ideal_dcg(found.n_held_out, k)


def hit(found: Found, k: int) -> Floats:
    """1 if any held-out item is among the first k, else 0 (the hit ratio of NCF, He et al., WWW 2017)."""
    return np.minimum(found.hits(k), 1.0)


def precision(found: Found, k: int) -> Floats:
    """hits / k, even if a list is shorter than k (Manning et al., Introduction to Information Retrieval, 2008, 8.4)."""
    return found.hits(k) / k


def average_precision(found: Found, k: int) -> Floats:
    """Sum of the precision at each hit's rank / min(|held out|, k) (McFee et al., Million Song Dataset Challenge, WWW 2012)."""
    user = np.repeat(np.arange(len(found.n_held_out)), found.n_held_out)
    ranks = found.ranks[np.lexsort((found.ranks, user))]  # ascending within each user
    nth = np.arange(len(ranks)) - found.starts[user] + 1
    return found.by_user(np.where(ranks < k, nth / (ranks + 1.0), 0.0)) / np.minimum(found.n_held_out, k)


def reciprocal_rank(found: Found, k: int) -> Floats:
    """1 / rank of the first hit, counted from 1; 0 if there is no hit among the first k (Voorhees, TREC-8, 1999)."""
    first = np.minimum.reduceat(found.ranks, found.starts)
    return np.where(first < k, 1.0 / (first + 1.0), 0.0)


def discount(ranks: NDArray[np.integer[Any]]) -> Floats:
    """Gain of a hit at each rank (from 0): 1 / log2(rank + 2)."""
    return np.asarray(1.0 / np.log2(ranks + 2.0))


def ideal_dcg(n_held_out: NDArray[np.int64], k: int) -> Floats:
    """DCG@k of a list that starts with all held-out items, for each number of held-out items."""
    wanted = np.minimum(n_held_out, k)
    return np.concatenate([[0.0], np.cumsum(discount(np.arange(wanted.max(initial=0))))])[wanted]


# Each returns the figures of users, (n_users,), from 0 to 1, higher is better. The metric is their mean.
METRICS: dict[str, Callable[[Found, int], Floats]] = {
    "ndcg": ndcg,
    "recall": recall,
    "hit": hit,
    "precision": precision,
    "map": average_precision,
    "mrr": reciprocal_rank,
}


@dataclass(frozen=True)
class Metric:
    """A metric of the table METRICS at a cut-off, such as `ndcg@20`.

    Attributes:
        k: the cut-off, at least 1: the number of recommended items that count.

    Raises:
        InputError: a name that is not in the table, or a cut-off below 1.
    """

    name: str
    k: int

    def __post_init__(self) -> None:
        if self.name not in METRICS or not isinstance(self.k, INTEGERS) or not 1 <= self.k <= MAX_K:
            raise _refusal(str(self))

    @classmethod
    def parse(cls, text: str) -> Metric:
        """The metric of a text such as `ndcg@20`.

        Raises:
            InputError: the text is no metric; the message gives the rule and the nearest name.
        """
        parts = NAME.fullmatch(text)
        if parts is None:
            raise _refusal(text)
        return cls(parts[1], int(parts[2]))

    def __str__(self) -> str:
        return f"{self.name}@{self.k}"

    def by_user(self, found: Found) -> Floats:
        """The figure of each user, (n_users,)."""
        return METRICS[self.name](found, self.k)


def metrics_at(names: Iterable[str | Metric], ks: Sequence[int] = ()) -> tuple[Metric, ...]:
    """The requested metrics, each once: `ndcg` at each of the cut-offs `ks`, `ndcg@5` only at 5.

    Raises:
        InputError: no metric, an unknown name, no cut-off, one below 1 or no whole number, or one value instead of a list.
    """
    texts, ks = [str(name) for name in _listed("metrics", names, "[ndcg@20]")], _listed("ks, the cut-offs,", ks, "[20, 50]")
    bare = [text for text in texts if "@" not in text]
    if bare and not ks:
        raise InputError(f"a metric needs a cut-off, got {', '.join(bare)}; write {bare[0]}@20")
    if bare and any(isinstance(k, INTEGERS) and k < 1 for k in ks):
        raise InputError(f"cut-offs must be at least 1, got {ks} for {', '.join(bare)}; give larger ones")
    requested = [Metric(name, int(k) if isinstance(k, INTEGERS) else k) for k in ks for name in bare] + [
        Metric.parse(text) for text in texts if "@" in text
    ]
    if not requested:
        raise InputError("metrics must not be empty; give some, such as ndcg@20")
    return tuple(dict.fromkeys(requested))


def _listed(what: str, values: Any, example: str) -> list[Any]:
    try:
        if not isinstance(values, str):
            return list(values)
    except TypeError:
        pass
    raise InputError(f"{what} must be a list, got {shown(values)}; write {example}")


def largest_cut_off(metrics: Iterable[Metric]) -> int:
    """The largest cut-off of some metrics."""
    return max(metric.k for metric in metrics)


def _refusal(text: str) -> InputError:
    name, _, k = text.lower().partition("@")
    near, number = difflib.get_close_matches(name, METRICS, n=1), re.match(CUT_OFF, k)
    hint = f"; did you mean '{near[0]}@{number[0] if number else 20}'?" if near else ""
    rule = f"a metric must be one of {', '.join(sorted(METRICS))} at a whole cut-off from 1 to {MAX_K}, such as ndcg@20"
    return InputError(f"{rule}, got {shown(text)}{hint}")
