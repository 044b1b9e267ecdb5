"""Versions of the numbers that the code computes. Finished runs with an older version are trained again.

Raise a version if a change of the code alters what a config trains to. `tests.golden` compares numbers with its JSON files, and
refuses to record other numbers under an old version. The files have: for numba and torch every loss with a row function, and
some further configs of torch; for triton its kernels under the interpreter, which rounds differently from a GPU; the figures of
finished runs; the lists of baselines.
"""

from __future__ import annotations

# By engine, for all losses: raise it if shared code changes (draws, Adam, negatives, encoders, evaluation).
ENGINE_VERSIONS = {"torch": 2, "numba": 1, "triton": 1}

# By (engine, loss), added to the engine's version: raise it if only this loss changes. A new loss needs no line.
LOSS_VERSIONS = {("torch", "psl"): 1, ("numba", "psl"): 2, ("triton", "psl"): 1, ("torch", "drrl"): 1}

# By (engine, negatives), added likewise: raise it if only these negatives change.
NEGATIVES_VERSIONS = {("torch", "hard"): 1, ("torch", "two_stage"): 1, ("numba", "two_stage"): 1}

BASELINE_VERSION = 2  # for the lists of `trainers.baselines`

FIGURES_VERSION = 1  # for figures of a finished run's vectors or of a baseline's lists, see `hpo.runs.train`

# The libraries whose versions affect the rounding of an engine; runs record these versions.
ROUNDING_LIBRARIES = {"torch": ("torch",), "numba": ("numba", "llvmlite"), "triton": ("triton", "torch")}


def cache_version(engine: str, loss: str, negatives: str) -> int:
    """The version of the numbers that an engine computes with a loss and negatives, by their names; it never decreases.

    Raises:
        KeyError: an engine without a line in ENGINE_VERSIONS.
    """
    return ENGINE_VERSIONS[engine] + LOSS_VERSIONS.get((engine, loss), 0) + NEGATIVES_VERSIONS.get((engine, negatives), 0)
