"""Encoders map ids to vectors. To add one, add a dataclass of settings, a torch module, and a line in `ENCODERS`.

The settings are part of a config; the reference engine uses the modules in `trainers.encoders.modules`.
"""

from trainers.encoders.base import Encoder
from trainers.encoders.lightgcn import LightGCN
from trainers.encoders.mf import MF
from trainers.encoders.simplex import SimpleX

ENCODERS: dict[str, type[Encoder]] = {"mf": MF, "simplex": SimpleX, "lightgcn": LightGCN}

__all__ = ["ENCODERS", "MF", "Encoder", "LightGCN", "SimpleX"]
