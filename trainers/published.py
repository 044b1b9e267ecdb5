"""Loss settings from papers: a study tries them first, and confirm compares with them. Comments give the sources."""

from __future__ import annotations

from trainers.losses import BPR, BSL, CCL, CML, MML, MSE, PSL, SL, SSM, Hinge, Loss, SLatK, SoftmaxCE

ByLoss = dict[str, dict[str, Loss]]  # by name and dataset

# On MF with uniform negatives. MML: Ozsoy, arXiv 2405.04614, section 4 (100 negatives). CCL: the SimpleX authors' MF
# configs, which the MML paper uses, too. BSL and SL: the BSL authors' MF runs (temperature and exponent per dataset). CML:
# BARS' runs of its authors' program. SL, BSL, PSL and SL@K on random splits: IR-Benchmark, with 1,000 negatives. The others:
# untuned, as in SimpleX's code; the MML paper compares with them.
PUBLISHED: ByLoss = {
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
        # IR-Benchmark has the paper's form, which is SL times a factor
        "health_random": BSL(temperature=0.2, exponent=1.0),
        "electronic_random": BSL(temperature=0.2, exponent=1.0),
        "gowalla_random": BSL(temperature=0.1, exponent=1.0),
    },
    "sl": {
        "yelp2018": SL(temperature=0.11),
        "gowalla": SL(temperature=0.08),
        "health_random": SL(temperature=0.2),
        "electronic_random": SL(temperature=0.2),
        "gowalla_random": SL(temperature=0.1),
    },
    "psl": {
        "health_random": PSL(temperature=0.1),
        "electronic_random": PSL(temperature=0.1),
        "gowalla_random": PSL(temperature=0.05),
    },
    # settings for other data recompute thresholds every 20 of 200 epochs, which is once in a search of 30 epochs
    "slatk": {"health_random": SLatK(temperature=0.2, weight_temperature=2.5, refresh=5)},
    "bpr": {"yelp2018": BPR(), "gowalla": BPR()},
    "hinge": {"yelp2018": Hinge(margin=1.0), "gowalla": Hinge(margin=1.0)},
    "softmax_ce": {"yelp2018": SoftmaxCE(), "gowalla": SoftmaxCE()},
    "cml": {"yelp2018": CML(margin=1.9), "gowalla": CML(margin=1.9)},
    "mse": {"yelp2018": MSE(), "gowalla": MSE()},
}
USUAL = "mf", "uniform"
# By encoder and negatives. CML's authors draw unseen items. SimpleX on Gowalla: the configs of its authors and of the MML
# paper, which uses the margins of MF; on Yelp2018 both only have MF. LightGCN: the runs of the authors of BSL and of SSM
# (Wu et al., arXiv 2201.02327).
BY_MODEL: dict[tuple[str, str], ByLoss] = {
    USUAL: PUBLISHED,
    ("mf", "unseen"): {"cml": PUBLISHED["cml"]},
    ("simplex", "uniform"): {
        "mml": {"gowalla": PUBLISHED["mml"]["gowalla"]},
        "ccl": {"gowalla": CCL(margin=0.9, negative_weight=250.0)},
    },
    ("lightgcn", "in_batch"): {
        "bsl": {"yelp2018": BSL(temperature=0.15, exponent=1.12), "gowalla": BSL(temperature=0.12, exponent=0.84)},
        "sl": {"yelp2018": SL(temperature=0.15), "gowalla": SL(temperature=0.12)},
        "ssm": {"yelp2018": SSM(temperature=0.14), "gowalla": SSM(temperature=0.12)},
    },
}
NAMES = {"mf": "MF", "yelp2018": "Yelp2018", "gowalla": "Gowalla"}  # names in papers
FALLBACK = "yelp2018"  # its settings are used for data without published settings
# Datasets with interactions in common: settings for one were chosen on test pairs of the other.
SAME_INTERACTIONS = {
    "gowalla_random": "gowalla",
    **dict.fromkeys(("electronic_random", "electronic_popularity", "electronic_temporal"), "electronic"),
}


def published_loss(name: str, dataset: str, encoder: str = USUAL[0], negatives: str = USUAL[1]) -> tuple[Loss, str] | None:
    """(settings, other): the published settings of a loss, and the model or data that they were published for; `other` is empty
    if these are the given ones. None if there are no settings.

    Without settings for the encoder and negatives, those of MF with uniform negatives are used; without settings for the data,
    those for Yelp2018.
    """
    model = encoder, negatives
    for other, data in ((model, dataset), (USUAL, dataset), (model, FALLBACK), (USUAL, FALLBACK)):
        loss = BY_MODEL.get(other, {}).get(name, {}).get(data)
        if loss:
            unlike = [USUAL[0] if encoder != USUAL[0] else f"{USUAL[1]} negatives"] if other != model else []
            return loss, " on ".join([*unlike, *([data] if data != dataset else [])])
    return None


def published_elsewhere(name: str, dataset: str, encoder: str = USUAL[0], negatives: str = USUAL[1]) -> list[tuple[Loss, str]]:
    """(settings, data): settings that were published for other data, with this encoder and negatives, or else with MF and
    uniform negatives. Data that share interactions with `dataset` are left out.
    """
    taken = _interactions_of(dataset)
    for model in ((encoder, negatives), USUAL):
        found = [
            (loss, data) for data, loss in BY_MODEL.get(model, {}).get(name, {}).items() if _interactions_of(data) != taken
        ]
        if found:
            return found
    return []


def settings_of(other: str) -> str:
    """The name of published settings, such as `published settings of Yelp2018`.

    Args:
        other: see `published_loss`.
    """
    return (
        f"published settings of {' '.join(NAMES.get(word, word) for word in other.split())}" if other else "published settings"
    )


def _interactions_of(dataset: str) -> str:
    """A name that datasets with interactions in common share."""
    return SAME_INTERACTIONS.get(dataset, dataset)
