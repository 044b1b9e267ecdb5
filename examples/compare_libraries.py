"""Is one library's model better than another's? From the lists that both wrote to a verdict.

Run it as a script, or cell by cell. It takes seconds. Here this script writes the lists itself, with two simple recommenders;
yours come from RecBole, Elliot, LensKit, Cornac, RecTools or your own code. docs/compare.md has their layouts.
"""

# %% A split, as both libraries had it: users of two groups, 16 items to learn from and 4 held out.
from pathlib import Path

import numpy as np
import pandas as pd

from hpo import compare
from hpo.comparison.outcome import COLUMNS, Compared

rng = np.random.default_rng(5)
n_users, n_items = 250, 100
likes = np.where(np.arange(n_items) % 2 == np.arange(n_users)[:, None] % 2, 1.0, 0.2) / np.arange(8, n_items + 8)
taken = np.array([rng.choice(n_items, size=20, replace=False, p=row / row.sum()) for row in likes])
seen = np.zeros((n_users, n_items))
np.put_along_axis(seen, taken[:, :16], 1.0, axis=1)
held_out = [(f"user{user}", f"item{item}") for user in range(n_users) for item in taken[user, 16:]]
pd.DataFrame(held_out, columns=["user", "item"]).to_csv("test.csv", index=False)


# %% The lists: a file for each run, with its own column names for each library.
def write_lists(scores: np.ndarray, path: str, names: list[str]) -> None:
    """The 20 items of highest score that a user has not seen."""
    best = np.argsort(-np.where(seen > 0, -np.inf, scores), axis=1, kind="stable")[:, :20]
    rows = [(f"user{user}", f"item{item}", rank) for user in range(n_users) for rank, item in enumerate(best[user], start=1)]
    pd.DataFrame(rows, columns=names).to_csv(path, index=False)


popularity, alike = seen.sum(0), seen.T @ seen
for seed in (1, 2, 3):
    noise = np.random.default_rng(seed).normal(size=(n_users, n_items))  # what a seed changes in a trained model
    write_lists(popularity + noise, f"popular_{seed}.csv", ["user_id", "item_id", "rank"])
    write_lists(seen @ alike + 20.0 * noise, f"neighbours_{seed}.csv", ["USER", "ITEM", "RANK"])

# %% The verdict. The same as
# python -m hpo.compare neighbours='neighbours_*.csv' popular='popular_*.csv' --truth test.csv --objective ndcg@20
methods = [f"{name}={name}_*.csv" for name in ("neighbours", "popular")]
code = compare.main([*methods, "--truth", "test.csv", "--objective", "ndcg@20", "--output", "compared"])

# %% Its numbers, for your own tables and plots.
found = Compared.read(Path("compared/compare.yaml"))
print(pd.DataFrame(found.comparison_rows(), columns=COLUMNS))
