"""Everything that is loaded before commands are forked (forked.py). No thread may start here."""

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

cpu_target.typing_context.refresh()  # numba does this before it reads its first kernel from the cache
cpu_target.target_context.refresh()
