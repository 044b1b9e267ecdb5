"""Which numbers the code computes: raised by whoever changes what a config trains to, so that finished runs are trained again.

tests/trainers/engines/golden.json holds numbers of numba and torch for each loss that has a row function, and of torch for some
more, with the version under which they were recorded; the test fails, and `--record` refuses, where numbers change and the
version does not. Triton's numbers are not in it, since a GPU gives them: whoever changes its kernels raises its version.
"""

from __future__ import annotations

# Of all losses of an engine: raise it for a change of what they share (draws, Adam, negatives, encoders, evaluation).
ENGINE_VERSIONS = {"torch": 1, "numba": 1, "triton": 1}

# Added to that for a loss whose numbers alone have changed, by (engine, loss). A new loss needs no line.
LOSS_VERSIONS: dict[tuple[str, str], int] = {}

BASELINE_VERSION = 1  # of the figures of `trainers.baselines`

# The libraries whose versions decide how an engine rounds; each is recorded with a run.
ROUNDING_LIBRARIES = {"torch": ("torch",), "numba": ("numba", "llvmlite"), "triton": ("triton", "torch")}


def cache_version(engine: str, loss: str) -> int:
    """The version of the numbers that an engine computes with a loss; it only ever rises.

    Raises:
        KeyError: an engine without a line in ENGINE_VERSIONS.
    """
    return ENGINE_VERSIONS[engine] + LOSS_VERSIONS.get((engine, loss), 0)
