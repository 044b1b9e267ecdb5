"""The losses, as formulas over one batch of scores. The torch form here is the definition; fused engines must agree with it.

Each loss is a frozen dataclass whose fields are its hyperparameters. To add one, add a class in a module of this package and a
line in `LOSSES`, see docs/extending.md.
"""

from trainers.losses.base import Loss, Scores
from trainers.losses.classic import BCE, BPR, MSE, Hinge, SoftmaxCE
from trainers.losses.distances import CML, Contrastive, Triplet
from trainers.losses.margins import CCL, MML
from trainers.losses.softmax import BSL, PSL, SL, SSM, InfoNCE
from trainers.losses.thresholds import DrRL, SLatK, Talos
from trainers.losses.uniformity import MAWU, DirectAU

LOSSES: dict[str, type[Loss]] = {
    "mml": MML,
    "ccl": CCL,
    "bsl": BSL,
    "sl": SL,
    "psl": PSL,
    "slatk": SLatK,
    "talos": Talos,
    "drrl": DrRL,
    "ssm": SSM,
    "infonce": InfoNCE,
    "bpr": BPR,
    "hinge": Hinge,
    "softmax_ce": SoftmaxCE,
    "mse": MSE,
    "bce": BCE,
    "contrastive": Contrastive,
    "triplet": Triplet,
    "cml": CML,
    "directau": DirectAU,
    "mawu": MAWU,
}

__all__ = [
    "BCE",
    "BPR",
    "BSL",
    "CCL",
    "CML",
    "LOSSES",
    "MAWU",
    "MML",
    "MSE",
    "PSL",
    "SL",
    "SSM",
    "Contrastive",
    "DirectAU",
    "DrRL",
    "Hinge",
    "InfoNCE",
    "Loss",
    "SLatK",
    "Scores",
    "SoftmaxCE",
    "Talos",
    "Triplet",
]
