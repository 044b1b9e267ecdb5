"""From a CSV file of ratings to a verdict and to lists for users.

Run it as a script, or cell by cell. It takes some minutes; run again, it continues.
"""

# %% The file. Yours has other columns and ids: they are found by their names. Here one is made up, with two groups of users.
import csv
from pathlib import Path

import numpy as np

from hpo.api import confirm, search

rng = np.random.default_rng(3)
with Path("ratings.csv").open("w", newline="") as file:
    write = csv.writer(file)
    write.writerow(["userId", "movieId", "rating", "timestamp"])
    for user in range(200):
        likes = np.where(np.arange(90) % 2 == user % 2, 1.0, 0.1) / np.arange(4, 94)
        for time, movie in enumerate(rng.choice(90, size=16, replace=False, p=likes / likes.sum())):
            write.writerow([f"u{user}", f"m{movie}", rng.choice([3, 4, 5]), 1_600_000_000 + 1000 * user + time])

# %% Ratings of 4 and 5 count as positive. The last fifth of each user's interactions is the test split.
data = {"min_rating": 4, "test": {"name": "last", "fraction": 0.2}}
study = search(
    dataset="ratings.csv", data=data, space="mml", rivals=["ccl", "bsl"], name="ratings_mml", trials=30, tune_rivals=True
)

# %% Does MML beat its rivals on these data?
verdict = confirm(study)
print(verdict)

# %% The model for use is trained on all interactions:
print(f"python -m hpo.train {study.folder / 'best.yaml'} --all-data --save model.npz")
print("python -m hpo.recommend model.npz --users u1,u2 -k 10")
