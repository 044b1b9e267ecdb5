"""What a command loads before it does anything: each worker process of a search loads the same again."""

from __future__ import annotations

import subprocess
import sys

from .processes import REPOSITORY

# What takes long, and is imported where it is used.
HEAVY = ["torch", "numba", "llvmlite", "joblib", "scipy.stats", "scipy.sparse", "sqlalchemy", "distributed", "triton", "grpc"]
HEAVY += ["plotly", "plotly.basedatatypes", "optuna.visualization", "optuna_dashboard", "torch._dynamo", "sklearn", "pooch"]
# What each command may load beyond what those before it may; imported one after the other, the lightest first.
MAY_LOAD = {
    "proxy": [],
    "recommend": [],
    "train": [],
    "export": [],
    "studies": ["plotly"],  # the part of it that imports the rest late
    "report": [],
    "compare": [],
    "dashboard": ["optuna_dashboard"],
    "run": ["torch", "numba", "llvmlite", "joblib", "scipy.sparse"],
    "confirm": [],
    "replicate": [],
}


def test_what_not_every_run_needs_is_imported_where_it_is_used():
    """They take longer than a small study does, and who lists studies waits for them, too."""
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
