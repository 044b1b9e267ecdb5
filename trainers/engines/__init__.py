"""What trains configs: one contract, one room per engine, one place that decides which."""

from trainers.engines.contract import ENGINES, Engine, EngineChoice, EpochResult, choose_engine, engine_for, make_engine

__all__ = ["ENGINES", "Engine", "EngineChoice", "EpochResult", "choose_engine", "engine_for", "make_engine"]
