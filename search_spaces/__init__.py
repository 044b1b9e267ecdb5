"""Search spaces: from an optuna trial to a TrainConfig, and back."""

from search_spaces.base import Space
from search_spaces.own import register_loss
from search_spaces.spaces import SPACES

__all__ = ["SPACES", "Space", "register_loss"]
