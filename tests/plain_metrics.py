"""Metrics in plain Python with sets and loops. Tests compare the program's metrics with them."""

from __future__ import annotations

import math


def plain(name: str, ranked: list[int], wanted: set[int], k: int) -> float:
    """The value of one user, straight from the definition: `ranked` is a list of items, `wanted` the set of held-out items."""
    top = ranked[:k]
    hits = [item for item in top if item in wanted]
    if name == "recall":
        return len(hits) / len(wanted)
    if name == "precision":
        return len(hits) / k
    if name == "hit":
        return 1.0 if hits else 0.0
    if name == "mrr":
        return 1.0 / (top.index(hits[0]) + 1) if hits else 0.0
    if name == "map":
        total = 0.0
        for rank in range(1, len(top) + 1):
            if top[rank - 1] in wanted:
                total += len(wanted.intersection(top[:rank])) / rank
        return total / min(len(wanted), k)
    assert name == "ndcg"
    gain = sum(1.0 / math.log2(rank + 1) for rank, item in enumerate(top, start=1) if item in wanted)
    return gain / sum(1.0 / math.log2(rank + 1) for rank in range(1, min(len(wanted), k) + 1))
