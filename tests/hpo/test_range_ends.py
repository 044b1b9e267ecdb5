"""On data like these the best trials were once at the ends of too narrow ranges. Now none is at an end without a caveat.

The data have low rank and popularity, and 400 users x 298 items or 1,500 x 866. MML was 60 % better with a weight over
negatives of 4 than with 53, and no search could go below 50.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo import run
from hpo.confirmation.caveats import CaveatKind
from hpo.confirmation.outcome import CONFIRM, Confirmation
from hpo.storage.open import open_storage
from hpo.study.stored import find_study, stored_spec

STUDY = """\
dataset: data.csv
data: {test: {name: random, fraction: 0.2}}
validation: {name: random, fraction: 0.1}
space: {name: mml, n_margins: 3, also: [learning_rate]}
config: {encoder: {name: mf, dim: 32, init_std: 0.1}, negatives: {name: uniform, count: 50}, schedule: linear, batch_size: 512}
search: {trials: TRIALS, epochs: EPOCHS, starts: 2, sampler: {name: tpe, n_startup_trials: 6}}
confirm: {top: 2, select_seeds: 1, seeds: 2, epochs: EPOCHS}
rivals: [ccl, bsl]
baselines: []
"""


def write_data(path: Path, n_users: int, n_items: int) -> None:
    """Each user takes the items with the highest utility: a product of six factors, plus popularity, plus noise."""
    rng = np.random.default_rng(n_users)
    users, items = rng.standard_normal((n_users, 6)), rng.standard_normal((n_items, 6))
    popularity = -0.8 * np.log(1.0 + rng.permutation(n_items))
    utility = 1.2 * users @ items.T + popularity + rng.gumbel(size=(n_users, n_items))
    taken = [np.argsort(-row)[: max(8, rng.poisson(30))] for row in utility]
    pairs = [(user, item) for user, those in enumerate(taken) for item in those]
    pd.DataFrame(pairs, columns=["user", "item"]).to_csv(path, index=False)


@pytest.mark.parametrize(("n_users", "n_items", "trials", "epochs"), [(400, 298, 14, 10), (1500, 866, 10, 6)])
def test_a_method_at_the_end_of_a_range_has_a_caveat(tmp_path: Path, n_users: int, n_items: int, trials: int, epochs: int):
    write_data(tmp_path / "data.csv", n_users, n_items)
    study = tmp_path / "walls.yaml"
    study.write_text(STUDY.replace("TRIALS", str(trials)).replace("EPOCHS", str(epochs)))
    output = tmp_path / "out"
    assert run.main(["--study", str(study), "--tune-rivals", "--output", str(output)]) == 0
    found = Confirmation.read(output / "walls" / CONFIRM)
    reported = {
        (caveat.subject, end["name"], end["end"])  # type: ignore[call-overload, index]
        for caveat in found.caveats
        if caveat.kind == CaveatKind.AT_RANGE_END
        for end in caveat.facts["ends"]  # type: ignore[union-attr]
    }
    storage = open_storage(str(output / "journal.log"), create=False)
    tuned = {"MML tuned": "walls", "CCL tuned": "walls_ccl", "BSL tuned": "walls_bsl"}
    configs = {method.label: method.config for method in found.methods if method.label in tuned}
    assert set(configs) == set(tuned)
    for label, config in configs.items():
        space = stored_spec(find_study(storage, tuned[label])).space
        at_ends = {(label, each.name, each.end) for each in space.at_ends(space.params(config))}
        assert at_ends <= reported, f"{label} is at the end of a range"
