"""The modules that a command loads at its start. Each worker process of a search loads them again."""

from __future__ import annotations

import subprocess
import sys

from .processes import REPOSITORY

# These libraries take long to load, and are imported only in the functions that use them.
HEAVY = ["torch", "numba", "llvmlite", "joblib", "scipy.stats", "scipy.sparse", "sqlalchemy", "distributed", "triton", "grpc"]
HEAVY += ["plotly", "plotly.basedatatypes", "optuna.visualization", "optuna_dashboard", "torch._dynamo", "sklearn", "pooch"]
# The libraries that each command may load in addition to those before it. The commands are imported in this order.
MAY_LOAD = {
    "proxy": [],
    "recommend": [],
    "train": [],
    "export": [],
    "studies": ["plotly"],  # only the part that imports the rest late
    "report": [],
    "compare": [],
    "dashboard": ["optuna_dashboard"],
    "run": ["torch", "numba", "llvmlite", "joblib", "scipy.sparse"],
    "confirm": [],
    "replicate": [],
}


def test_slow_libraries_are_loaded_only_by_the_commands_that_need_them():
    """To load them takes longer than a small study, and delays even a list of studies."""
    each = f"importlib.import_module('hpo.' + name); print(name, *[one for one in {HEAVY} if one in sys.modules])"
    code = f"import importlib, sys\nfor name in {[*MAY_LOAD]}: {each}"
    done = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    loaded = {name: found for name, *found in map(str.split, done.stdout.splitlines())}
    assert loaded.keys() == {path.stem for path in (REPOSITORY / "hpo").glob("*.py") if "__main__" in path.read_text()}
    allowed: set[str] = set()
    for name, more in MAY_LOAD.items():
        allowed |= set(more)
        assert set(loaded[name]) <= allowed, name
