"""Who is a negative. A way to choose them is a frozen dataclass of settings and a sampler; to add one, both, and a line in
`NEGATIVES`. What is drawn depends on (seed, epoch, row) and, where a sampler follows the model, on the model; on nothing else.
"""

from trainers.negatives.adaptive import Hard, TwoStage
from trainers.negatives.base import Negatives, Sampler, ScoredStep, Step
from trainers.negatives.static import InBatch, Popularity, Uniform, Unseen

NEGATIVES: dict[str, type[Negatives]] = {
    "uniform": Uniform,
    "unseen": Unseen,
    "popularity": Popularity,
    "in_batch": InBatch,
    "hard": Hard,
    "two_stage": TwoStage,
}

__all__ = [
    "NEGATIVES",
    "Hard",
    "InBatch",
    "Negatives",
    "Popularity",
    "Sampler",
    "ScoredStep",
    "Step",
    "TwoStage",
    "Uniform",
    "Unseen",
]
