"""Baselines: methods without gradient descent, which a trained model should beat.

>>> import numpy as np
>>> from trainers import load_dataset, load_test
>>> from trainers.metrics.accuracy import evaluate_lists
>>> from trainers.baselines import EASE
>>> train, test = load_dataset("demo").train, load_test("demo")
>>> lists = EASE(l2=500.0).fit(train).recommend(np.flatnonzero(test.per_user), k=50)
>>> table = evaluate_lists(lists, held_out=test)
"""

from trainers.baselines.base import Baseline, Ranking
from trainers.baselines.ease import EASE
from trainers.baselines.ials import IALS
from trainers.baselines.neighbours import ItemKNN, RP3beta
from trainers.baselines.popularity import MostPopular

BASELINES: dict[str, type[Baseline]] = {
    "most_popular": MostPopular,
    "item_knn": ItemKNN,
    "rp3beta": RP3beta,
    "ials": IALS,
    "ease": EASE,
}

__all__ = ["BASELINES", "EASE", "IALS", "Baseline", "ItemKNN", "MostPopular", "RP3beta", "Ranking"]
