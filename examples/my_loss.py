"""A loss of one's own. It stands in a file of its own so that worker processes and commands can import it."""

from dataclasses import dataclass
from typing import Literal

import torch

from trainers.losses import Loss, Scores


@dataclass(frozen=True, kw_only=True)
class SoftHinge(Loss):
    """A hinge with a round corner: temperature * log(1 + exp((margin + s_uj - s_ui) / temperature)), mean over negatives j."""

    name: Literal["soft_hinge"] = "soft_hinge"
    temperature: float
    margin: float = 0.5

    def rows(self, scores: Scores) -> torch.Tensor:
        """The loss of each row, (B,), of a positive (B,) and its negatives (B, N)."""
        gaps = self.margin + scores.negative - scores.positive[:, None]
        return self.temperature * torch.nn.functional.softplus(gaps / self.temperature).mean(dim=1)
