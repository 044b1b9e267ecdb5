"""What configs train to, kept in golden.json: moving code must not change a bit of it.

On the CPU and the libraries that they were recorded on, every bit is compared. Elsewhere sums are rounded in another
order, so they need only be close. Whoever changes the numbers on purpose raises the version of the engine or of the loss in
trainers/engines/cache_versions.py, so that finished runs are trained again, records the numbers again,

    python -m tests.trainers.engines.test_golden --record

and says in the commit why. Without `--record` it prints what would change, and writes nothing. It refuses to record
other numbers under the version that they had.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import version
from pathlib import Path
from typing import Any

import llvmlite.binding
import numpy as np
import pytest
import torch

from trainers import Interactions, TrainConfig, hold_out
from trainers.engines import ENGINES, EngineChoice, make_engine
from trainers.engines.cache_versions import ENGINE_VERSIONS, LOSS_VERSIONS, ROUNDING_LIBRARIES, cache_version
from trainers.errors import InputError

from .cases import ALL_LOSSES, CCL, MML, data

VERSION = "cache_version"
RECORD = "python -m tests.trainers.engines.test_golden --record"
GOLDEN = Path(__file__).with_name("golden.json")
EPOCHS = 2
CLOSE = 1e-5  # relative, on another CPU
CLOSE_OF_CML = 1e-2  # which negative is nearest may turn on rounding, and the gradients have all one size
BASE = {
    "encoder": {"name": "mf", "dim": 8, "init_std": 0.1},
    "negatives": {"name": "uniform", "count": 7},
    "learning_rate": 1e-2,
    "batch_size": 32,
    "epochs": EPOCHS,
    "seed": 5,
}
# what else changes the numbers; torch trains all of it, numba some
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
}


def label(loss: dict[str, Any]) -> str:
    return " ".join([loss["name"], *(f"{key}={loss[key]}" for key in ("mode", "rank_weight") if key in loss)])


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


def made_on() -> dict[str, str]:
    """What the last bits depend on besides the code."""
    cpu = {"cpu": llvmlite.binding.get_host_cpu_name(), "torch on cpu": torch.backends.cpu.get_cpu_capability()}
    return cpu | {package: version(package) for package in ("llvmlite", "numba", "numpy", "torch")}


def measured(case: str, pairs: Interactions) -> dict[str, Any]:
    """Loss by epoch and the last metrics; of the users' and items' vectors the digest, and sums that another CPU comes near."""
    name, _, engine_name = case.partition(" / ")
    seen, held_out = hold_out(pairs, seed=1)
    engine = make_engine(EngineChoice(engine_name, "cpu", "named"), seen, held_out, evaluate_every=EPOCHS)
    engine.start(0, CONFIGS[name])
    epochs = [engine.epoch()[0] for _ in range(EPOCHS)]
    vectors = engine.vectors(0)
    return {
        VERSION: cache_version(engine_name, CONFIGS[name].loss.name),
        "losses": [epoch.loss for epoch in epochs],
        "metrics": epochs[-1].metrics,
        "sums": [float(np.abs(table.astype(np.float64)).sum()) for table in vectors],
        "digests": [sha256(np.ascontiguousarray(table).tobytes()).hexdigest() for table in vectors],
    }


def some_pairs() -> Interactions:
    return data(60, 50, 700)


def read() -> dict[str, Any]:
    return json.loads(GOLDEN.read_text(encoding="utf-8"))


def changes(case: str, then: dict[str, Any], now: dict[str, Any]) -> Iterator[str]:
    """A line for each number that is another one."""
    for key in now:
        if then.get(key) != now[key]:
            yield f"{case}: {key} was {then.get(key)}, is {now[key]}"


def close_to(case: str, then: dict[str, Any], now: dict[str, Any]) -> bool:
    """Whether numbers differ as those of another CPU may."""
    close = CLOSE_OF_CML if case.startswith("cml") else CLOSE
    same = [now[key] == pytest.approx(then[key], rel=close) for key in ("losses", "sums")]
    return all(same) and now["metrics"] == pytest.approx(then["metrics"], rel=0.05)  # two items may swap ranks


def numbers_of(record: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in record.items() if key != VERSION}


def check_versions(then: dict[str, Any], now: dict[str, Any]) -> None:
    """Look whether a new golden file has other numbers only under a higher version.

    Raises:
        InputError: a case whose numbers have changed and whose version has not risen.
    """
    same_machine = then["made on"] == now["made on"]
    for case, record in now["numbers"].items():
        before = then["numbers"].get(case)
        if before is None or record[VERSION] > before[VERSION]:
            continue
        is_same = numbers_of(before) == numbers_of(record) if same_machine else close_to(case, before, record)
        if not is_same or record[VERSION] < before[VERSION]:
            raise InputError(
                f"{case}: its numbers may not change under version {before[VERSION]}, which finished runs were stored under, "
                f"and no version may fall (now {record[VERSION]}); raise that of the engine or of the loss in "
                "trainers/engines/cache_versions.py"
            )


@pytest.mark.parametrize("case", CASES)
def test_a_config_trains_to_the_numbers_that_were_recorded(case: str):
    golden = read()
    assert case in golden["numbers"], f"nothing is recorded: {RECORD}"
    then, now = golden["numbers"][case], measured(case, some_pairs())
    assert then[VERSION] == now[VERSION], f"the version has been raised: {RECORD}"
    if golden["made on"] == made_on():
        assert then == now, "to the bit; else raise the version in trainers/engines/cache_versions.py"
        return
    assert close_to(case, then, now)


def a_record(version: int, loss: float) -> dict[str, Any]:
    case = {VERSION: version, "losses": [loss], "sums": [1.0, 2.0], "metrics": {"ndcg@20": 0.5}, "digests": [str(loss)]}
    return {"made on": {"cpu": "a"}, "numbers": {"mml / numba": case}}


def test_other_numbers_need_a_higher_version():
    check_versions(a_record(1, 0.5), a_record(1, 0.5))
    check_versions(a_record(1, 0.5), a_record(2, 0.6))
    check_versions(a_record(1, 0.5), {**a_record(1, 0.5), "numbers": {"new / numba": {}}})
    for number, loss in ((1, 0.6), (1, 0.5 + 1e-9), (0, 0.5)):
        with pytest.raises(InputError, match="mml / numba: its numbers may not change under version 1"):
            check_versions(a_record(1, 0.5), a_record(number, loss))


def test_another_machine_may_round_otherwise():
    elsewhere = {"made on": {"cpu": "b"}}
    check_versions(a_record(1, 0.5), a_record(1, 0.5 + 1e-9) | elsewhere)
    with pytest.raises(InputError, match="raise that of the engine or of the loss"):
        check_versions(a_record(1, 0.5), a_record(1, 0.6) | elsewhere)


def test_a_version_never_falls_when_a_loss_gets_its_own(monkeypatch: pytest.MonkeyPatch):
    before = cache_version("numba", "mml")
    monkeypatch.setitem(LOSS_VERSIONS, ("numba", "mml"), LOSS_VERSIONS.get(("numba", "mml"), 0) + 1)
    assert cache_version("numba", "mml") == before + 1
    assert cache_version("torch", "mml") == before
    assert set(ENGINE_VERSIONS) == set(ENGINES) == set(ROUNDING_LIBRARIES), "a new engine has a line in each table"


def test_there_is_a_record_of_every_case_and_of_no_other():
    assert sorted(read()["numbers"]) == sorted(CASES), RECORD


def main() -> None:
    """Print what has changed since the numbers were recorded, and record them again on demand."""
    parser = argparse.ArgumentParser(prog="python -m tests.trainers.engines.test_golden", description=main.__doc__)
    parser.add_argument("--record", action="store_true", help="write the numbers of this code on this machine")
    record = parser.parse_args().record
    torch.set_num_threads(1)  # as in the tests
    then = read() if GOLDEN.exists() else {"made on": {}, "numbers": {}}
    now = {"made on": made_on(), "numbers": {case: measured(case, some_pairs()) for case in CASES}}
    pairs = [("made on", then["made on"], now["made on"])]
    pairs += [(case, then["numbers"].get(case, {}), found) for case, found in now["numbers"].items()]
    lines = [line for pair in pairs for line in changes(*pair)]
    lines += [f"{case}: is no longer measured" for case in then["numbers"] if case not in now["numbers"]]
    print("\n".join(lines) or "nothing has changed")
    if record:
        check_versions(then, now)
        GOLDEN.write_text(json.dumps(now, indent=1) + "\n", encoding="utf-8")
        print(f"wrote {GOLDEN}")


if __name__ == "__main__":
    main()
