"""The recorded figures of finished runs and baselines, in golden.json (see `tests.golden`).

The program compares stored figures with new ones. So a change must be noticed if it alters the metrics by user, the figures
beyond accuracy, the gradient shares or the lists of a baseline.
"""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from hpo.runs.store import FinishedRun, RunStore
from hpo.runs.train import FullRuns
from hpo.runtime.signals import Stopper
from hpo.study.objective import DEFAULT_OBJECTIVE, measured_at_full_budget
from trainers import Interactions, TrainConfig, hold_out, rng
from trainers.baselines import BASELINES, EASE
from trainers.engines.cache_versions import BASELINE_VERSION, FIGURES_VERSION
from trainers.errors import InputError
from trainers.rng import Purpose
from trainers.scores import SCORES

from ...golden import VERSION, Golden
from ...loss_cases import LOSS_CASES

N_USERS, N_ITEMS, DIM = 60, 90, 8
MADE = {name: baseline() for name, baseline in BASELINES.items()} | {"ease of few items": EASE(max_items=40)}
USUAL = measured_at_full_budget(DEFAULT_OBJECTIVE)
OTHERS = ("map@5", "hit@5", "precision@5", "mrr@5")
CHANGES: dict[str, dict[str, Any]] = {
    "mml uniform": {},
    "mml, other metrics": {},
    "ssm in_batch": {"loss": LOSS_CASES["ssm"], "negatives": {"name": "in_batch"}},
    "bsl two_stage": {"loss": LOSS_CASES["bsl"], "negatives": {"name": "two_stage", "count": 12, "candidates": 20}},
    "cml euclidean": {"loss": LOSS_CASES["cml"], "score": "euclidean"},
}
CASES = [*(f"figures, {name}" for name in CHANGES), *(f"baseline, {name}" for name in MADE)]


class NoProgress:
    """A progress display that shows nothing."""

    def run(self, label: str, epochs: int, unit: str = "epoch") -> Any:
        return nullcontext(lambda: None)


def full_runs(name: str) -> FullRuns:
    """The object that measures the runs of a case. It stores none."""
    metrics = OTHERS if name.endswith("other metrics") else USUAL
    return FullRuns(RunStore(Path("nowhere")), NoProgress(), Stopper(), metrics)


def some_pairs() -> Interactions:
    """Random pairs, with popular items more often."""
    drawn = rng.uniform(rng.key(1, Purpose.DEMO), np.arange(2000, dtype=np.uint64)).reshape(2, -1)
    users, items = (drawn[0] * N_USERS).astype(int), (drawn[1] ** 2 * N_ITEMS).astype(int)
    return Interactions.from_pairs(users, items, N_USERS, N_ITEMS)


def some_vectors(config: TrainConfig) -> tuple[Any, Any]:
    """Vectors of length about 1 in multiples of 1 / 16. So inner products are the same on every machine."""
    of_users, of_items = (Purpose.INIT_USERS, N_USERS), (Purpose.INIT_ITEMS, N_ITEMS)
    tables = [rng.normal(rng.key(2, purpose), (n, DIM)) for purpose, n in (of_users, of_items)]
    users, items = (torch.from_numpy(np.round(6.0 * table) / 16.0).float() for table in tables)
    if config.score == "euclidean":
        users, items = SCORES[config.score].ranking(users, items)
    return users.numpy(), items.numpy()


def measured(case: str) -> dict[str, Any]:
    """The figures of a run with random vectors, or the lists of a baseline."""
    kind, _, name = case.partition(", ")
    seen, held_out = hold_out(some_pairs(), seed=1)
    if kind == "baseline":
        lists = MADE[name].fit(seen).recommend(np.flatnonzero(held_out.per_user), full_runs(name).longest)
        return {VERSION: BASELINE_VERSION, "digest": digest(lists), "lists": lists[:10, :10].tolist()}
    base = {"loss": LOSS_CASES["mml"], "encoder": {"name": "mf", "dim": DIM}, "batch_size": 128, "epochs": 1, "seed": 3}
    config = TrainConfig.from_dict(base | CHANGES[name])
    run = full_runs(name)._with_figures(FinishedRun(config, {}, None, 0.0), some_vectors(config), seen, held_out)
    assert run.per_user is not None
    assert run.beyond is not None
    return {
        VERSION: FIGURES_VERSION,
        "metrics": run.metrics,
        "by user": {name: digest(values.to_numpy()) for name, values in run.per_user.items()},
        "users": {name: values.astype(float).head(10).tolist() for name, values in run.per_user.items()},
        "beyond": run.beyond.model_dump(mode="json", exclude={"k"}),  # k comes from the key of the run
        "gradient": run.gradient,
    }


def digest(array: Any) -> str:
    return sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def is_close(case: str, then: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether figures are close.

    Scores are the same on all machines, and only sums are rounded differently. But the scores of EASE differ, so two items may
    swap ranks.
    """
    if case.startswith("baseline"):
        pairs = [(set(before), set(after)) for before, after in zip(then["lists"], now["lists"], strict=True)]
        return sum(len(before & after) for before, after in pairs) >= 0.9 * sum(len(before) for before, _ in pairs)
    same = [now[part] == pytest.approx(then[part], rel=1e-5) for part in ("metrics", "gradient")]
    same += [now["users"][name] == pytest.approx(values, rel=1e-5) for name, values in then["users"].items()]
    before, after = dict(then["beyond"]), dict(now["beyond"])
    groups = zip(before.pop("groups"), after.pop("groups"), strict=True)
    return all([*same, after == pytest.approx(before, rel=1e-5), *(b == pytest.approx(a, rel=1e-5) for a, b in groups)])


GOLDEN = Golden(
    Path(__file__).with_name("golden.json"),
    ("numba", "numpy", "scipy", "torch"),
    CASES,
    measured,
    is_close,
    "FIGURES_VERSION or BASELINE_VERSION",
)


@pytest.mark.parametrize("case", CASES)
def test_figures_are_the_recorded_ones(case: str):
    GOLDEN.check(case)


def test_every_case_has_a_record_and_every_record_a_case():
    GOLDEN.check_cases()


@pytest.mark.parametrize("case", CASES)
def test_is_close_accepts_rounding_and_no_other_formula(case: str):
    """Another machine may round a sum differently."""
    then = GOLDEN.read()["numbers"][case]
    assert is_close(case, then, then)
    if case.startswith("baseline"):
        assert not is_close(case, then, then | {"lists": [[item + 1 for item in row] for row in then["lists"]]})
        return
    for part in ("metrics", "gradient", "beyond"):
        name = next(iter(then[part]))
        assert is_close(case, then, then | {part: then[part] | {name: then[part][name] * (1.0 + 1e-9)}})
        assert not is_close(case, then, then | {part: then[part] | {name: then[part][name] + 0.01}})


def test_other_figures_are_not_recorded_under_an_old_version(tmp_path: Path):
    golden = replace(GOLDEN, file=tmp_path / "golden.json", cases=CASES[:1])
    golden.update(write=True)
    before = golden.read()
    changed = replace(golden, measured=lambda case: measured(case) | {"metrics": {"ndcg@20": 0.5}})
    with pytest.raises(InputError, match=r"may not change under version .* raise FIGURES_VERSION or BASELINE_VERSION"):
        changed.update(write=True)
    assert golden.read() == before
