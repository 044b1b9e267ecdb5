"""Engines train configs: the protocol, the implementations, and a registry that chooses one for a config."""

from trainers.engines.protocol import Engine, EpochResult
from trainers.engines.registry import ENGINES, EngineChoice, choose_engine, engine_for, make_engine

__all__ = ["ENGINES", "Engine", "EngineChoice", "EpochResult", "choose_engine", "engine_for", "make_engine"]
