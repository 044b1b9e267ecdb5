"""Search spaces: from an optuna trial to a TrainConfig, and back."""

from search_spaces.spaces import SPACES, Space

__all__ = ["SPACES", "Space"]
