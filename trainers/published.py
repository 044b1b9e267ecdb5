"""Loss settings taken from papers: what a study tries first and what confirm compares with. Sources beside each."""

from __future__ import annotations

from trainers.losses import BPR, BSL, CCL, CML, MML, MSE, SL, Hinge, Loss, SoftmaxCE

# MML: Ozsoy, arXiv 2405.04614, section 4 (MF, 100 negatives). CCL: the SimpleX authors' MF configs, which the MML paper
# keeps. BSL and SL: the BSL authors' MF runs (temperature and exponent per dataset). CML: BARS'
# runs of its authors' program.
# The others: as SimpleX's code has them, untuned, which is what the MML paper compares with.
PUBLISHED: dict[str, dict[str, Loss]] = {
    "mml": {
        "yelp2018": MML(margins=(0.6, 0.7, 0.8, 0.9), weights=(0.05, 0.15, 0.2, 0.6), negative_weight=400.0),
        "gowalla": MML(margins=(0.7, 0.8, 0.9), weights=(0.1, 0.15, 0.75), negative_weight=700.0),
    },
    "ccl": {
        "yelp2018": CCL(margin=0.9, negative_weight=150.0),
        "gowalla": CCL(margin=0.9, negative_weight=150.0),
    },
    "bsl": {
        "yelp2018": BSL(temperature=0.11, exponent=1.1),
        "gowalla": BSL(temperature=0.08, exponent=1.22),
    },
    "sl": {"yelp2018": SL(temperature=0.11), "gowalla": SL(temperature=0.08)},
    "bpr": {"yelp2018": BPR(), "gowalla": BPR()},
    "hinge": {"yelp2018": Hinge(margin=1.0), "gowalla": Hinge(margin=1.0)},
    "softmax_ce": {"yelp2018": SoftmaxCE(), "gowalla": SoftmaxCE()},
    "cml": {"yelp2018": CML(margin=1.9), "gowalla": CML(margin=1.9)},
    "mse": {"yelp2018": MSE(), "gowalla": MSE()},
}
FALLBACK = "yelp2018"  # for data that no paper has settings for


def published_loss(name: str, dataset: str) -> tuple[Loss, str] | None:
    """(settings, the dataset they were published for); data that no paper covers get Yelp2018's. None if never published."""
    by_dataset = PUBLISHED.get(name)
    if by_dataset is None:
        return None
    source = dataset if dataset in by_dataset else FALLBACK
    return by_dataset[source], source
