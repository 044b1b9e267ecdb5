"""The fused CPU engine: matrix factorisation and SimpleX, with any loss that has a row function."""

from trainers.engines.numba_engine.engine import NumbaEngine, why_not

__all__ = ["NumbaEngine", "why_not"]
