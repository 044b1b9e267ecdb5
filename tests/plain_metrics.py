"""Metrics in plain Python, sets and loops: what the program's are compared with."""

from __future__ import annotations

import math


def plain(name: str, ranked: list[int], wanted: set[int], k: int) -> float:
    """One user's figure, the definition read aloud: a list of items, the set of those to be found."""
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
        for place in range(1, len(top) + 1):
            if top[place - 1] in wanted:
                total += len(wanted.intersection(top[:place])) / place
        return total / min(len(wanted), k)
    assert name == "ndcg"
    gain = sum(1.0 / math.log2(place + 1) for place, item in enumerate(top, start=1) if item in wanted)
    return gain / sum(1.0 / math.log2(place + 1) for place in range(1, min(len(wanted), k) + 1))
