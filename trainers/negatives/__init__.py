"""Sampling of negatives. To add a method, add a frozen dataclass of settings, a sampler, and a line in `NEGATIVES`.

Draws depend only on (seed, epoch, row) and, for samplers that follow the model, on the model.
"""

from trainers.negatives.adaptive import Hard, TwoStage
from trainers.negatives.base import Negatives, Sampler, ScoredStep, Step
from trainers.negatives.static import InBatch, NoNegatives, Popularity, Uniform, Unseen, UnseenSampler

NEGATIVES: dict[str, type[Negatives]] = {
    "uniform": Uniform,
    "unseen": Unseen,
    "popularity": Popularity,
    "in_batch": InBatch,
    "hard": Hard,
    "two_stage": TwoStage,
    "none": NoNegatives,
}

__all__ = [
    "NEGATIVES",
    "Hard",
    "InBatch",
    "Negatives",
    "NoNegatives",
    "Popularity",
    "Sampler",
    "ScoredStep",
    "Step",
    "TwoStage",
    "Uniform",
    "Unseen",
    "UnseenSampler",
]
