"""Popularity: the same ranking for every user."""

from __future__ import annotations

from typing import Literal

import numpy as np
from pydantic.dataclasses import dataclass

from trainers.baselines.base import Baseline, Ranking
from trainers.data import Interactions
from trainers.metrics.ranking import inner_products
from trainers.stopping import ShouldStop, never
from trainers.validation import SETTINGS


@dataclass(frozen=True, kw_only=True, config=SETTINGS)
class MostPopular(Baseline):
    """Unseen items in descending order of their number of training interactions."""

    name: Literal["most_popular"] = "most_popular"

    def fit(self, seen: Interactions, should_stop: ShouldStop = never) -> Ranking:
        score = inner_products(np.ones((seen.n_users, 1)), seen.per_item[:, None])
        return Ranking.of_all_items("MostPop", "most training interactions first", seen, score)
