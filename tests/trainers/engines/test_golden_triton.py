"""The recorded numbers of the triton engine under Triton's interpreter, in golden_triton.json (see `tests.golden`).

A GPU rounds differently. But a change of a kernel also changes the numbers of the interpreter. Every kernel runs, and a loss
of each kind of row function. The interpreter needs about 35 ms for a row of a batch, so the data are small.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

pytest.importorskip("triton", reason="needs triton")

from trainers.engines.row_losses import ROW_FUNCTIONS
from trainers.engines.triton_engine.engine import TritonEngine

from ...golden import Golden
from ...interpreter import quick_interpreter
from .cases import ALL_LOSSES, MML, config, data
from .test_golden import WHICH, is_close, label, trained

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="kernels are compiled here, not interpreted")

SMALL = {"batch_size": 7, "epochs": 1, "learning_rate": 1e-2}
OTHER_KERNELS = "mml popularity dropout l2 linear"
CONFIGS = {
    OTHER_KERNELS: config(
        MML,
        dropout=0.3,
        l2=1e-2,
        schedule="linear",
        negatives={"name": "popularity", "count": 9, "beta": 0.5},
        **SMALL | {"epochs": 2},
    ),
    **{label(loss): config(loss, count=5, **SMALL) for loss in ALL_LOSSES},
}
# A loss of each kind of row function, and the paper form of BSL, which has a factor.
LOSSES = (
    "bsl mode=single",
    "bsl mode=paper",
    "psl activation=atan",
    "bpr",
    "hinge",
    "mse",
    "bce",
    "contrastive",
    "cml rank_weight=False",
)
CASES = {name: CONFIGS[name] for name in (OTHER_KERNELS, *LOSSES)}


def measured(case: str) -> dict[str, Any]:
    with quick_interpreter():
        engine = TritonEngine(data(8, 24, 12), data(8, 24, 12, seed=1), (), "cpu")
        return trained(engine, "triton", CASES[case])


GOLDEN = Golden(
    Path(__file__).with_name("golden_triton.json"), ("numpy", "torch", "triton"), list(CASES), measured, is_close, WHICH
)


@pytest.mark.parametrize("case", CASES)
def test_a_config_trains_to_the_numbers_that_were_recorded(case: str):
    GOLDEN.check(case)


def test_there_is_a_record_of_every_case_and_of_no_other():
    GOLDEN.check_cases()


def test_every_kind_of_row_function_takes_part():
    assert {ROW_FUNCTIONS[type(settings.loss)].kind for settings in CASES.values()} == {
        row.kind for row in ROW_FUNCTIONS.values()
    }
