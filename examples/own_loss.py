"""Search and confirm a loss of one's own on a pandas table.

Run it in the folder of my_loss.py, as a script or cell by cell. It takes some minutes; run again, it continues.
"""

# %% Data: a pandas table with a row per interaction. Here it is made up: two tastes, and a few interactions off them.
import numpy as np
import pandas as pd
from my_loss import SoftHinge

from hpo.api import Dataset, confirm, register_loss, search

rng = np.random.default_rng(1)
rows = []
for user in range(300):
    weights = np.where(np.arange(120) % 2 == user % 2, 1.0, 0.05) / np.arange(5, 125)
    for time, item in enumerate(rng.choice(120, size=20, replace=False, p=weights / weights.sum())):
        rows.append((f"user {user}", f"item {item}", time))
frame = pd.DataFrame(rows, columns=["user", "item", "time"])
dataset = Dataset.from_frame(frame, user="user", item="item", time="time", name="two_tastes")

# %% The loss: which of its fields are searched, and where. `"log"` draws the logarithm uniformly.
register_loss(SoftHinge, ranges={"temperature": (0.02, 1.0, "log"), "margin": (0.0, 1.0)})

# %% Search it, and the rivals with the same budget. What is not given here is as `hpo.studies new` suggests for such data.
study = search(
    dataset=dataset,
    space="soft_hinge",
    rivals=["mml", "bsl"],
    name="my_study",
    trials=20,
    epochs=10,
    tune_rivals=True,
    config={"encoder": {"name": "mf", "dim": 16, "init_std": 0.1}},
)
print(study.best_config.loss, study.best_value)

# %% Is it better?
verdict = confirm(study, epochs=20)
print(verdict.comparisons)

# %% The data and the place of the loss are kept with the study: `python -m hpo.confirm --study my_study`, in the folder of
# my_loss.py, gives the same verdict.
print(sorted(path.name for path in study.folder.iterdir() if path.is_file()))
