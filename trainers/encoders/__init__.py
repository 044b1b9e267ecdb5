"""From ids to vectors. An encoder is a dataclass of settings and a torch module; to add one, both, and a line in `ENCODERS`.

The settings are part of a config; the modules, in `trainers.encoders.modules`, serve the reference engine.
"""

from trainers.encoders.base import Encoder
from trainers.encoders.lightgcn import LightGCN
from trainers.encoders.mf import MF
from trainers.encoders.simplex import SimpleX

ENCODERS: dict[str, type[Encoder]] = {"mf": MF, "simplex": SimpleX, "lightgcn": LightGCN}

__all__ = ["ENCODERS", "MF", "Encoder", "LightGCN", "SimpleX"]
