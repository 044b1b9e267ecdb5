"""What a process loads that commands are copies of (forked.py), and what each of them would do again. No thread may start."""

# ruff: noqa: F401
from __future__ import annotations

import distributed
import optuna.samplers._tpe.sampler
import optuna.storages._rdb.storage
import scipy.stats
import sqlalchemy.dialects.postgresql.psycopg
from numba.core.registry import cpu_target

import hpo.confirm
import hpo.run
import hpo.search.dask
import hpo.train
import trainers.engines.numba_engine
import trainers.engines.torch_engine

cpu_target.typing_context.refresh()  # what numba does before it takes a first kernel from its cache
cpu_target.target_context.refresh()
