"""Which numbers the code computes: raised by whoever changes what a config trains to, so that finished runs are trained again.

`tests.golden` compares numbers with those of its JSON files, and refuses to record others under an old version: what numba and
torch train for each loss that has a row function, and torch some more; what triton's kernels do under its interpreter, which a
GPU rounds otherwise; the figures of finished runs; the lists of baselines.
"""

from __future__ import annotations

# Of all losses of an engine: raise it for a change of what they share (draws, Adam, negatives, encoders, evaluation).
ENGINE_VERSIONS = {"torch": 1, "numba": 1, "triton": 1}

# Added to that for a loss whose numbers alone have changed, by (engine, loss). A new loss needs no line.
LOSS_VERSIONS = {(engine, "psl"): 1 for engine in ENGINE_VERSIONS}

BASELINE_VERSION = 2  # of the lists of `trainers.baselines`

FIGURES_VERSION = 1  # of what is measured with the vectors of a finished run, or the lists of a baseline: `hpo.runs.train`

# The libraries whose versions decide how an engine rounds; each is recorded with a run.
ROUNDING_LIBRARIES = {"torch": ("torch",), "numba": ("numba", "llvmlite"), "triton": ("triton", "torch")}


def cache_version(engine: str, loss: str) -> int:
    """The version of the numbers that an engine computes with a loss; it only ever rises.

    Raises:
        KeyError: an engine without a line in ENGINE_VERSIONS.
    """
    return ENGINE_VERSIONS[engine] + LOSS_VERSIONS.get((engine, loss), 0)
