"""The encoders as torch modules, for the reference engine."""

from trainers.encoders.modules.base import EncoderModule
from trainers.encoders.modules.lightgcn import LightGCNModule
from trainers.encoders.modules.mf import MFModule
from trainers.encoders.modules.simplex import SimpleXModule

__all__ = ["EncoderModule", "LightGCNModule", "MFModule", "SimpleXModule"]
