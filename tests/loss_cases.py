"""The tested losses: a line of `CASES` for each loss and variant, with its value and gradient by hand.

Every test of losses takes its cases from here: losses learn, they work with scores and engines, and engines agree on them.
With these settings a loss has gradients on random vectors, which have cosines near 0.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

# The scores for the values by hand, with B = 3 rows and N = 4 negatives. Rows 0 and 2 have the same user. One positive is
# above 1, as after dropout. No score is at a kink of a loss.
POSITIVE = [0.3, 1.2, -0.4]
NEGATIVE = [[0.95, 0.65, -0.25, 0.75], [0.1, 0.85, 0.55, -0.9], [0.62, 0.99, 0.0, 0.91]]
USERS = [11, 5, 11]
ITEMS = [2, 7, 9]
B, N = 3, 4
N_ITEMS = 40

Row = tuple[float, float, list[float]]  # the loss, its gradient by the positive score, its gradients by the negative scores
ByHand = Callable[[Any, float, list[float]], Row]  # arguments: the loss, the positive score, the negative scores


@dataclass(frozen=True)
class Case:
    """A loss with settings.

    Attributes:
        by_hand: its value and gradients in plain Python, without torch. None if the loss of a row depends on other rows;
            `tests.trainers.losses.test_uniformity` has the losses without negatives.
    """

    settings: dict[str, Any]
    by_hand: ByHand | None


def sigmoid(x: float) -> float:
    return 1.0 / (1.0 + math.exp(-x))


def mml_row(loss: Any, positive: float, negatives: list[float]) -> Row:
    hinges = list(zip(loss.margins, loss.weights, strict=True))
    share = loss.negative_weight / N
    value = loss.positive_weight * max(0.0, 1.0 - positive)
    value += share * sum(weight * max(0.0, score - margin) for score in negatives for margin, weight in hinges)
    gradients = [share * sum(weight for margin, weight in hinges if score > margin) for score in negatives]
    return value, -loss.positive_weight if positive < 1.0 else 0.0, gradients


def ccl_row(loss: Any, positive: float, negatives: list[float]) -> Row:
    share = loss.negative_weight / N
    value = max(0.0, 1.0 - positive) + share * sum(max(0.0, score - loss.margin) for score in negatives)
    return value, -1.0 if positive < 1.0 else 0.0, [share if score > loss.margin else 0.0 for score in negatives]


def softmax_row(own: bool, mean: bool = False) -> ByHand:
    """-log of the positive over the sum (or mean) of the negatives to the power of `exponent`.

    `own`: the sum has the positive.
    """

    def row(loss: Any, positive: float, negatives: list[float]) -> Row:
        temperature, exponent = getattr(loss, "temperature", 1.0), getattr(loss, "exponent", 1.0)
        exps = [math.exp(score / temperature) for score in negatives]
        one = math.exp(positive / temperature)
        total = sum(exps) + (one if own else 0.0)
        value = exponent * math.log(total / N if mean else total) - math.log(one)
        gradient = exponent * (one / total if own else 0.0) - 1.0
        return value, gradient / temperature, [exponent * part / total / temperature for part in exps]

    return row


def psl_row(loss: Any, positive: float, negatives: list[float]) -> Row:
    """log of the sum of (1 + activation(d))^(1 / t). The chain rule gives the gradient of each power."""
    activation = {"tanh": math.tanh, "relu": lambda gap: max(gap, -1.0), "atan": math.atan}[loss.activation]
    derivative = {
        "tanh": lambda gap: 1.0 / math.cosh(gap) ** 2,
        "relu": lambda gap: 1.0,
        "atan": lambda gap: 1.0 / (1.0 + gap**2),
    }
    gaps, power = [0.5 * (score - positive) for score in negatives], 1.0 / loss.temperature
    bases = [1.0 + activation(gap) for gap in gaps]
    total = sum(base**power for base in bases)
    rises = [power * base ** (power - 1.0) * derivative[loss.activation](gap) for base, gap in zip(bases, gaps, strict=True)]
    gradients = [0.5 * rise / total for rise in rises]
    return math.log(total), -sum(gradients), gradients


def bsl_paper_row(loss: Any, positive: float, negatives: list[float]) -> Row:
    """-s_ui / p + t / p log sum_j exp(s_uj / t)."""
    t, p = loss.temperature, loss.positive_temperature
    exps = [math.exp(score / t) for score in negatives]
    value = -positive / p + t / p * math.log(sum(exps))
    return value, -1.0 / p, [part / sum(exps) / p for part in exps]


def slatk_row(loss: Any, positive: float, negatives: list[float], threshold: float = 0.0) -> Row:
    """The product rule applies, because the weight has a gradient, too."""
    weight = sigmoid((positive - threshold) / loss.weight_temperature)
    exps = [math.exp((score - positive) / loss.temperature) for score in negatives]
    log_sum = math.log(sum(exps))
    gradient = weight * (1.0 - weight) / loss.weight_temperature * log_sum - weight / loss.temperature
    return weight * log_sum, gradient, [weight * part / sum(exps) / loss.temperature for part in exps]


def talos_row(loss: Any, positive: float, negatives: list[float], threshold: float = 0.0) -> Row:
    """-log of a ratio of powers of sigmoids. The derivative of log sigmoid(x) is sigmoid(-x)."""
    power = 1.0 / loss.temperature
    parts = [sigmoid(score - threshold) ** power for score in negatives]
    value = -math.log(sigmoid(positive - threshold) ** power / sum(parts))
    gradients = [power * part / sum(parts) * sigmoid(threshold - score) for part, score in zip(parts, negatives, strict=True)]
    return value, -power * sigmoid(threshold - positive), gradients


def drrl_row(loss: Any, positive: float, negatives: list[float], threshold: float = 0.0) -> Row:
    """A hinge, plus the power mean over the hinges of the negatives."""
    p = loss.omega / (loss.omega - 1.0)
    heights = [loss.epsilon + loss.negative_weight * max(0.0, score - threshold) for score in negatives]
    mean = (sum(height**p for height in heights) / N) ** (1.0 / p)
    gradients = [
        loss.negative_weight * (height / mean) ** (p - 1.0) / N if score > threshold else 0.0
        for height, score in zip(heights, negatives, strict=True)
    ]
    return max(0.0, 1.0 - positive) + mean + threshold, -1.0 if positive < 1.0 else 0.0, gradients


def bpr_row(loss: Any, positive: float, negatives: list[float]) -> Row:
    gradients = [(1.0 - sigmoid(positive - score)) / N for score in negatives]
    return -sum(math.log(sigmoid(positive - score)) for score in negatives) / N, -sum(gradients), gradients


def hinge_row(loss: Any, positive: float, negatives: list[float]) -> Row:
    heights = [loss.margin + score - positive for score in negatives]
    gradients = [1.0 / N if height > 0 else 0.0 for height in heights]
    return sum(max(0.0, height) for height in heights) / N, -sum(gradients), gradients


def mse_row(loss: Any, positive: float, negatives: list[float]) -> Row:
    return (positive - 1.0) ** 2 / 2 + sum(score**2 for score in negatives) / 2, positive - 1.0, negatives


def bce_row(loss: Any, positive: float, negatives: list[float]) -> Row:
    value = -math.log(sigmoid(positive)) - sum(math.log(1.0 - sigmoid(score)) for score in negatives)
    return value, sigmoid(positive) - 1.0, [sigmoid(score) for score in negatives]


def square(cosine: float) -> float:
    """|u - v|^2 of unit vectors u and v."""
    return 2.0 - 2.0 * cosine


def contrastive_row(loss: Any, positive: float, negatives: list[float]) -> Row:
    distances = [math.sqrt(square(score)) for score in negatives]
    value = square(positive) + sum(max(0.0, loss.margin - distance) ** 2 for distance in distances) / N
    gradients = [2.0 * max(0.0, loss.margin - distance) / distance / N for distance in distances]
    return value, -2.0, gradients


def triplet_row(loss: Any, positive: float, negatives: list[float]) -> Row:
    heights = [square(positive) - square(score) + loss.margin for score in negatives]
    gradients = [2.0 / N if height > 0 else 0.0 for height in heights]
    return sum(max(0.0, height) for height in heights) / N, -sum(gradients), gradients


def cml_row(loss: Any, positive: float, negatives: list[float]) -> Row:
    gaps = [loss.margin + square(positive) - square(score) for score in negatives]
    worst = max(gaps)
    weight = math.log(N_ITEMS * sum(gap > 0 for gap in gaps) / N + 1) if loss.rank_weight else 1.0
    gradient = 2.0 * weight if worst > 0 else 0.0
    return weight * max(0.0, worst), -gradient, [gradient if gap == worst else 0.0 for gap in gaps]


MML = {"name": "mml", "margins": [0.1, 0.3, 0.5], "weights": [0.2, 0.3, 0.5], "positive_weight": 1.5, "negative_weight": 40.0}
BSL = {"name": "bsl", "temperature": 0.15, "exponent": 1.2}

CASES: dict[str, Case] = {
    "mml": Case(MML, mml_row),
    "ccl": Case({"name": "ccl", "margin": 0.2, "negative_weight": 30.0}, ccl_row),
    "bsl": Case(BSL, softmax_row(own=False)),
    "bsl multi": Case({"name": "bsl", "temperature": 0.2, "exponent": 0.9, "mode": "multi"}, None),
    "bsl single": Case({"name": "bsl", "temperature": 0.2, "mode": "single"}, softmax_row(own=False, mean=True)),
    "bsl paper": Case({"name": "bsl", "temperature": 0.2, "mode": "paper", "positive_temperature": 0.5}, bsl_paper_row),
    "sl": Case({"name": "sl", "temperature": 0.2}, softmax_row(own=False)),
    "psl": Case({"name": "psl", "temperature": 0.1}, psl_row),
    "psl relu": Case({"name": "psl", "temperature": 0.1, "activation": "relu"}, psl_row),
    "psl atan": Case({"name": "psl", "temperature": 0.1, "activation": "atan"}, psl_row),
    "slatk": Case({"name": "slatk", "temperature": 0.2, "weight_temperature": 2.5, "k": 3, "refresh": 2}, slatk_row),
    "talos": Case({"name": "talos", "temperature": 0.1, "k": 3}, talos_row),
    "drrl": Case({"name": "drrl", "omega": 2.0, "negative_weight": 3.0, "margin": 0.2}, drrl_row),
    "ssm": Case({"name": "ssm", "temperature": 0.2}, softmax_row(own=True)),
    "infonce": Case({"name": "infonce", "temperature": 0.2}, softmax_row(own=True)),
    "bpr": Case({"name": "bpr"}, bpr_row),
    "hinge": Case({"name": "hinge", "margin": 1.0}, hinge_row),
    "softmax_ce": Case({"name": "softmax_ce"}, softmax_row(own=True)),
    "mse": Case({"name": "mse"}, mse_row),
    "bce": Case({"name": "bce"}, bce_row),
    "contrastive": Case({"name": "contrastive", "margin": 1.3}, contrastive_row),
    "triplet": Case({"name": "triplet", "margin": 1.0}, triplet_row),
    "cml": Case({"name": "cml", "margin": 0.8}, cml_row),
    "cml unweighted": Case({"name": "cml", "margin": 0.8, "rank_weight": False}, cml_row),
    "cml spread": Case({"name": "cml", "margin": 0.7, "covariance_weight": 0.1}, cml_row),
    "directau": Case({"name": "directau", "gamma": 0.3}, None),
    "mawu": Case({"name": "mawu", "gamma_user": 0.15, "gamma_item": 0.1}, None),
}
LOSS_CASES: dict[str, dict[str, Any]] = {name: case.settings for name, case in CASES.items()}
