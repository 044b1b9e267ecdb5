"""docs/images/gradient-NAME.svg: how hard each loss with negatives pushes a negative down, by the negative's score."""

from __future__ import annotations

import torch

from docs.generators.svg import chart
from trainers.errors import InputError
from trainers.losses import BCE, LOSSES, PSL, Contrastive, DrRL, InfoNCE, Loss, Scores, SLatK, Talos, Triplet
from trainers.published import published_loss

POSITIVE = 0.5  # the score of the row's positive
OTHERS = 31  # negatives beside the one whose score varies
OTHER = 0.0  # their score
POINTS, LAST = 400, 0.995  # at a score of 1 the gradient of a distance has no limit
# Settings for the losses that no paper has settings for on Yelp2018; the others have those of the paper.
EXAMPLES: dict[str, Loss] = {
    "infonce": InfoNCE(temperature=0.1),
    "psl": PSL(temperature=0.05),
    "slatk": SLatK(temperature=0.1),
    "talos": Talos(temperature=0.05),
    "drrl": DrRL(omega=2.0, negative_weight=10.0),
    "bce": BCE(),
    "contrastive": Contrastive(),
    "triplet": Triplet(),
}


def example(name: str) -> Loss:
    """The settings that a picture is drawn with.

    Raises:
        InputError: no paper has settings for the loss, and `EXAMPLES` has no line for it.
    """
    published = published_loss(name, "yelp2018") or published_loss(name, "yelp2018", "lightgcn", "in_batch")
    if published:
        return published[0]
    if name not in EXAMPLES:
        raise InputError(
            f"a loss needs settings for its picture, and no paper has some for {name!r}; add a line to EXAMPLES of "
            "docs/generators/gradients.py"
        )
    return EXAMPLES[name]


def gradient(loss: Loss) -> list[tuple[float, float]]:
    """(score, derivative of the row's loss by that score) of one negative, scaled to a highest value of 1."""
    swept = torch.linspace(-1.0, LAST, POINTS, dtype=torch.float64)
    negative = torch.cat([swept[:, None], torch.full((POINTS, OTHERS), OTHER, dtype=torch.float64)], dim=1)
    negative.requires_grad_()
    positive = torch.full((POINTS,), POSITIVE, dtype=torch.float64)
    ids = torch.arange(POINTS)
    loss.rows(Scores(positive=positive, negative=negative, users=ids, items=ids, n_items=1000)).sum().backward()  # type: ignore[no-untyped-call]
    assert negative.grad is not None
    gradients = negative.grad[:, 0]
    return list(zip(swept.tolist(), (gradients / gradients.abs().max()).tolist(), strict=True))


def pictures() -> dict[str, str]:
    """The SVG of each loss with negatives by the name of its file."""
    return {
        f"gradient-{name}": chart(
            gradient(example(name)), "score of a negative", "gradient, highest = 1", f"Gradient of {name} by score"
        )
        for name, loss in LOSSES.items()
        if loss.needs_negatives
    }
