"""What a command loads before it does anything: each worker process of a search loads the same again."""

from __future__ import annotations

import subprocess
import sys

from .processes import REPOSITORY

LATE = ["scipy.stats", "sqlalchemy", "plotly.basedatatypes", "optuna_dashboard", "distributed", "triton", "torch._dynamo"]


def test_what_not_every_run_needs_is_imported_where_it_is_used():
    """They take longer than a small study does."""
    code = f"import sys, hpo.run; print([name for name in {LATE} if name in sys.modules])"
    shown = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True)
    assert shown.stdout.strip() == "[]", shown.stderr
