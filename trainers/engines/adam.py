"""The optimiser's settings, shared by all engines: Adam (Kingma and Ba, arXiv 1412.6980) as in torch.optim.Adam."""

from __future__ import annotations

from trainers.config import TrainConfig

BETAS = (0.9, 0.999)
EPSILON = 1e-8


def learning_rate_at(config: TrainConfig, step: int, n_rows: int) -> float:
    """The rate of step number `step` (from 0): constant, or falling linearly to zero over the config's epochs."""
    if config.schedule == "constant":
        return config.learning_rate
    n_steps = config.epochs * -(-n_rows // config.batch_size)
    return config.learning_rate * (1.0 - step / n_steps)
