"""What finished runs and baselines reach, kept in golden.json, see `tests.golden`.

Stored figures are compared with new ones. So a change of a metric by user, of a figure beyond accuracy, of the gradient's
shares or of a baseline's lists must not go unnoticed.
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
    """Shown to nobody."""

    def run(self, label: str, epochs: int, unit: str = "epoch") -> Any:
        return nullcontext(lambda: None)


def full_runs(name: str) -> FullRuns:
    """What measures the runs of a case; nothing is kept."""
    metrics = OTHERS if name.endswith("other metrics") else USUAL
    return FullRuns(RunStore(Path("nowhere")), NoProgress(), Stopper(), metrics)


def some_pairs() -> Interactions:
    """Popular items are drawn more often."""
    drawn = rng.uniform(rng.key(1, Purpose.DEMO), np.arange(2000, dtype=np.uint64)).reshape(2, -1)
    users, items = (drawn[0] * N_USERS).astype(int), (drawn[1] ** 2 * N_ITEMS).astype(int)
    return Interactions.from_pairs(users, items, N_USERS, N_ITEMS)


def some_vectors(config: TrainConfig) -> tuple[Any, Any]:
    """Of length 1 or so, in multiples of 1 / 16: inner products are the same on every machine."""
    of_users, of_items = (Purpose.INIT_USERS, N_USERS), (Purpose.INIT_ITEMS, N_ITEMS)
    tables = [rng.normal(rng.key(2, purpose), (n, DIM)) for purpose, n in (of_users, of_items)]
    users, items = (torch.from_numpy(np.round(6.0 * table) / 16.0).float() for table in tables)
    if config.score == "euclidean":
        users, items = SCORES[config.score].ranking(users, items)
    return users.numpy(), items.numpy()


def measured(case: str) -> dict[str, Any]:
    """A run's figures from vectors that nobody has trained, or a baseline's lists."""
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
        "beyond": run.beyond.model_dump(mode="json", exclude={"k"}),  # which the run's key decides
        "gradient": run.gradient,
    }


def digest(array: Any) -> str:
    return sha256(np.ascontiguousarray(array).tobytes()).hexdigest()


def is_close(case: str, then: dict[str, Any], now: dict[str, Any]) -> bool:
    """Scores are the same everywhere, so only sums round otherwise; EASE's are not, so two items may swap ranks."""
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
def test_figures_are_those_that_were_recorded(case: str):
    GOLDEN.check(case)


def test_there_is_a_record_of_every_case_and_of_no_other():
    GOLDEN.check_cases()


@pytest.mark.parametrize("case", CASES)
def test_what_is_close(case: str):
    """Another machine may round a sum otherwise; another formula is noticed there, too."""
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
