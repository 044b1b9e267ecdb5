"""The recorded numbers of trained configs, in golden.json (see `tests.golden`)."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainers import TrainConfig, hold_out
from trainers.engines import ENGINES, EngineChoice, make_engine
from trainers.engines.cache_versions import ENGINE_VERSIONS, LOSS_VERSIONS, ROUNDING_LIBRARIES, cache_version
from trainers.errors import InputError

from ...golden import VERSION, Golden
from ...loss_cases import LOSS_CASES
from .cases import ALL_LOSSES, CCL, MML, data

EPOCHS = 2
CLOSE = 1e-5  # relative, on another CPU
CLOSE_OF_CML = 1e-2  # rounding may decide which negative is nearest, and all gradients have the same size
BASE = {
    "encoder": {"name": "mf", "dim": 8, "init_std": 0.1},
    "negatives": {"name": "uniform", "count": 7},
    "learning_rate": 1e-2,
    "batch_size": 32,
    "epochs": EPOCHS,
    "seed": 5,
}
# Other settings that change the numbers. torch trains all of them, numba some.
OTHERS: dict[str, dict[str, Any]] = {
    "mml dropout l2 linear": {
        "loss": MML,
        "encoder": {"name": "mf", "dim": 8, "init_std": 0.1, "dropout": 0.2},
        "l2": 1e-3,
        "schedule": "linear",
    },
    "mml popularity": {"loss": MML, "negatives": {"name": "popularity", "count": 7, "beta": 0.5}},
    "mml unseen": {"loss": MML, "negatives": {"name": "unseen", "count": 7}},
    "mml simplex": {"loss": MML, "encoder": {"name": "simplex", "dim": 8, "init_std": 0.1}},
    "mml two_stage": {"loss": MML, "negatives": {"name": "two_stage", "candidates": 20, "count": 5}},
    "ccl hard": {"loss": CCL, "negatives": {"name": "hard", "pool": 8, "count": 5}},
    "ccl inner_product": {"loss": CCL, "score": "inner_product"},
    "ssm lightgcn": {"loss": {"name": "ssm", "temperature": 0.2}, "encoder": {"name": "lightgcn", "dim": 8, "init_std": 0.1}},
    "ssm in_batch": {"loss": {"name": "ssm", "temperature": 0.2}, "negatives": {"name": "in_batch"}},
    "cml euclidean": {"loss": {"name": "cml", "margin": 0.8}, "score": "euclidean"},
    "cml spread": {"loss": {"name": "cml", "margin": 0.7, "covariance_weight": 0.1}},
    "bsl multi": {"loss": {"name": "bsl", "temperature": 0.2, "exponent": 0.9, "mode": "multi"}},
    **{name: {"loss": LOSS_CASES[name]} for name in ("slatk", "talos", "drrl", "mawu")},  # they keep thresholds
    "directau": {"loss": LOSS_CASES["directau"]},
}


def label(loss: dict[str, Any]) -> str:
    return " ".join([loss["name"], *(f"{key}={loss[key]}" for key in ("mode", "activation", "rank_weight") if key in loss)])


CONFIGS = {
    name: TrainConfig.from_dict(BASE | fields)
    for name, fields in [*((label(x), {"loss": x}) for x in ALL_LOSSES), *OTHERS.items()]
}
CASES = [
    f"{name} / {engine}"
    for name, config in CONFIGS.items()
    for engine in ("numba", "torch")
    if not ENGINES[engine].refuses(config, "cpu")
]


def measured(case: str) -> dict[str, Any]:
    """Losses by epoch, the last metrics, and the digest and sums of the vectors. The sums are close on another CPU."""
    name, _, engine_name = case.partition(" / ")
    seen, held_out = hold_out(data(60, 50, 700), seed=1)
    engine = make_engine(EngineChoice(engine_name, "cpu", "named"), seen, held_out)
    return trained(engine, engine_name, CONFIGS[name])


def trained(engine: Any, name: str, config: TrainConfig) -> dict[str, Any]:
    """The numbers of a config that this engine trains."""
    engine.start(0, config)
    epochs = [engine.epoch()[0] for _ in range(config.epochs)]
    vectors = engine.vectors(0)
    return {
        VERSION: cache_version(name, config.loss.name, config.negatives.name),
        "losses": [epoch.loss for epoch in epochs],
        "metrics": epochs[-1].metrics,
        "sums": [float(np.abs(table.astype(np.float64)).sum()) for table in vectors],
        "digests": [sha256(np.ascontiguousarray(table).tobytes()).hexdigest() for table in vectors],
    }


def is_close(case: str, then: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether numbers differ no more than those of two CPUs."""
    close = CLOSE_OF_CML if case.startswith("cml") else CLOSE
    same = [now[key] == pytest.approx(then[key], rel=close) for key in ("losses", "sums")]
    return all(same) and now["metrics"] == pytest.approx(then["metrics"], rel=0.05)  # two items may swap ranks


LIBRARIES = ("llvmlite", "numba", "numpy", "torch")
WHICH = "the version of the engine or of the loss"
GOLDEN = Golden(Path(__file__).with_name("golden.json"), LIBRARIES, CASES, measured, is_close, WHICH)


@pytest.mark.parametrize("case", CASES)
def test_a_config_trains_to_the_numbers_that_were_recorded(case: str):
    GOLDEN.check(case)


def test_there_is_a_record_of_every_case_and_of_no_other():
    GOLDEN.check_cases()


def test_no_two_losses_share_a_name_under_which_they_are_recorded():
    assert len({label(loss) for loss in ALL_LOSSES}) == len(ALL_LOSSES), "else the last one replaces the others"


def a_record(version: int, loss: float) -> dict[str, Any]:
    case = {VERSION: version, "losses": [loss], "sums": [1.0, 2.0], "metrics": {"ndcg@20": 0.5}, "digests": [str(loss)]}
    return {"made on": {"cpu": "a"}, "numbers": {"mml / numba": case}}


def test_other_numbers_need_a_higher_version():
    GOLDEN.check_versions(a_record(1, 0.5), a_record(1, 0.5))
    GOLDEN.check_versions(a_record(1, 0.5), a_record(2, 0.6))
    GOLDEN.check_versions(a_record(1, 0.5), {**a_record(1, 0.5), "numbers": {"new / numba": {}}})
    for number, loss in ((1, 0.6), (1, 0.5 + 1e-9), (0, 0.5)):
        with pytest.raises(InputError, match="mml / numba: its numbers may not change under version 1"):
            GOLDEN.check_versions(a_record(1, 0.5), a_record(number, loss))


def test_another_machine_may_round_otherwise():
    elsewhere = {"made on": {"cpu": "b"}}
    GOLDEN.check_versions(a_record(1, 0.5), a_record(1, 0.5 + 1e-9) | elsewhere)
    with pytest.raises(InputError, match="raise the version of the engine or of the loss"):
        GOLDEN.check_versions(a_record(1, 0.5), a_record(1, 0.6) | elsewhere)


def test_other_numbers_under_an_old_version_are_not_recorded(tmp_path: Path):
    golden = replace(GOLDEN, file=tmp_path / "golden.json", cases=["mml / numba"])

    def of(version: int, loss: float) -> Golden:
        return replace(golden, measured=lambda case: a_record(version, loss)["numbers"][case])

    of(1, 0.5).update(write=True)
    before = golden.read()
    assert before["numbers"] == a_record(1, 0.5)["numbers"]
    assert len(of(1, 0.6).update(write=False)) == 2, "its loss and its digest"
    with pytest.raises(InputError, match="may not change under version 1"):
        of(1, 0.6).update(write=True)
    assert golden.read() == before
    of(2, 0.6).update(write=True)
    assert golden.read()["numbers"] == a_record(2, 0.6)["numbers"]


def test_a_version_never_falls_when_a_loss_gets_its_own(monkeypatch: pytest.MonkeyPatch):
    before, of_torch = cache_version("numba", "mml", "uniform"), cache_version("torch", "mml", "uniform")
    monkeypatch.setitem(LOSS_VERSIONS, ("numba", "mml"), LOSS_VERSIONS.get(("numba", "mml"), 0) + 1)
    assert cache_version("numba", "mml", "uniform") == before + 1
    assert cache_version("torch", "mml", "uniform") == of_torch
    assert cache_version("torch", "mml", "hard") == of_torch + 1, "hard negatives have changed once"
    assert set(ENGINE_VERSIONS) == set(ENGINES) == set(ROUNDING_LIBRARIES), "a new engine has a line in each table"
