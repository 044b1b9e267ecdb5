"""What trains configs: one contract, one room per engine, one place that decides which."""

from trainers.engines.protocol import Engine, EpochResult
from trainers.engines.registry import ENGINES, EngineChoice, choose_engine, engine_for, make_engine

__all__ = ["ENGINES", "Engine", "EngineChoice", "EpochResult", "choose_engine", "engine_for", "make_engine"]
