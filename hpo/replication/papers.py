"""Tables of papers: configs to train, and the figures that the paper has for them. To add one: rows, a line in `TABLES`."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from trainers.config import TrainConfig
from trainers.early_stopping import Plateau
from trainers.losses import CML, Loss
from trainers.published import PUBLISHED, published_loss

MEAN_POPULARITY = "mean popularity"  # of what is recommended, see `trainers.metrics.beyond_accuracy.summarise`


@dataclass(frozen=True)
class PaperRow:
    """A row of a paper's table: what was trained on what, and what it gave on the test split.

    Attributes:
        name: what the paper calls it.
        fields: of the TrainConfig, without epochs and seed.
        paper: its figures by metric; a table need not have them all.
        plateau: when it stopped before its last epoch, by what it was measured on.
    """

    name: str
    dataset: str
    fields: dict[str, Any]
    paper: dict[str, float]
    plateau: Plateau | None = None

    def config(self, epochs: int, seed: int, count: int | None) -> TrainConfig:
        """What is trained, with another number of negatives where one is given."""
        fields = self.fields | ({"negatives": {"name": "uniform", "count": count}} if count else {})
        return TrainConfig.from_dict({**fields, "epochs": epochs, "seed": seed})


@dataclass(frozen=True)
class PaperTable:
    """A table of a paper.

    Attributes:
        metrics: its columns.
        epochs, count: how long its rows are trained, and on how many uniform negatives; None where they have their own.
        note: what the reader must know to compare.
    """

    rows: tuple[PaperRow, ...]
    metrics: tuple[str, ...]
    epochs: int
    count: int | None
    note: str


# SimpleX's MF, in whose code the MML paper trains MML and CCL, and the BSL authors' drop 10 % of the user vector's units.
SIMPLEX: dict[str, Any] = {"learning_rate": 1.0e-4, "encoder": {"name": "mf", "dim": 64, "dropout": 0.1}}
BATCH = {"yelp2018": 512, "gowalla": 256}


def _published(name: str, dataset: str, encoder: str, negatives: str) -> Loss:
    found = published_loss(name, dataset, encoder, negatives)
    assert found, f"{name} is in a table of this module"
    return found[0]


def _mml_paper(loss: str, dataset: str, recall: float, ndcg: float | None = None, batch_size: int = 0) -> PaperRow:
    fields = SIMPLEX | {"batch_size": batch_size or BATCH[dataset], "loss": PUBLISHED[loss][dataset]}
    return PaperRow(loss, dataset, fields, {"recall@20": recall} | ({} if ndcg is None else {"ndcg@20": ndcg}))


# Ozsoy, arXiv 2405.04614, MF without early stop, 100 negatives, 100 epochs.
MML_MF = (
    _mml_paper("mml", "yelp2018", 0.0702, 0.0580),
    _mml_paper("ccl", "yelp2018", 0.0673, 0.0551),
    _mml_paper("bsl", "yelp2018", 0.0703, 0.0580, batch_size=1024),
    _mml_paper("mml", "gowalla", 0.1816, 0.1435),
    _mml_paper("ccl", "gowalla", 0.1783, 0.1426),
    _mml_paper("bsl", "gowalla", 0.1804, 0.1521, batch_size=1024),
)
# The same paper's comparison of losses, which gives the recall of the classic ones: as SimpleX's code has them, on cosines.
MML_LOSSES = (
    _mml_paper("bpr", "yelp2018", 0.0272),
    _mml_paper("hinge", "yelp2018", 0.0340),
    _mml_paper("softmax_ce", "yelp2018", 0.0309),
    _mml_paper("mse", "yelp2018", 0.0609),
    _mml_paper("bpr", "gowalla", 0.0708),
    _mml_paper("hinge", "gowalla", 0.0758),
    _mml_paper("softmax_ce", "gowalla", 0.0734),
    _mml_paper("mse", "gowalla", 0.1391),
    *MML_MF,
)


# Its table of encoders: MF and SimpleX trained to the end, and MF with early stop, presumably without the cuts of the rate
# that SimpleX's authors have with it (the paper says so of the other rows). SimpleX on Gowalla as they have it (RecZoo): g .8,
# user attention, whole histories (the longest are 811), a history table of its own, a loss of its own. On Yelp2018 their g is
# 1, so that SimpleX is MF. Their monitor is recall, but for SimpleX on Gowalla NDCG.
TOWERS: dict[str, dict[str, Any]] = {
    "yelp2018": {"g": 1.0},
    "gowalla": {"g": 0.8, "aggregation": "user_attention", "max_history": 1000, "history_table": "own"},
}
MONITORS = {("simplex", "gowalla"): "ndcg@20"}  # of encoder and dataset, where it is not recall


def _simplex_paper(name: str, dataset: str, recall: float, ndcg: float) -> PaperRow:
    row = _mml_paper(name, dataset, recall, ndcg)
    own: dict[str, Any] = {"encoder": {"name": "simplex", "dim": 64, "dropout": 0.1, **TOWERS[dataset]}}
    own["loss"] = _published(name, dataset, "simplex", "uniform")
    return replace(row, name=f"{name}-simplex", fields=row.fields | own)


def _plateau(row: PaperRow, cut: float | None) -> Plateau:
    return Plateau(MONITORS.get((row.fields["encoder"]["name"], row.dataset), "recall@20"), cut=cut)


def _stopped(row: PaperRow, figures: dict[str, float]) -> PaperRow:
    return replace(row, name=f"{row.name}-stopped", paper=figures, plateau=_plateau(row, None))


def _cut(row: PaperRow) -> PaperRow:
    """With SimpleX's own schedule, which the MML paper has no figures for."""
    return replace(row, name=f"{row.name}-plateau", paper={}, plateau=_plateau(row, 0.1))


_MF = [replace(row, name=f"{row.name}-mf") for row in MML_MF if row.name != "bsl"]
_MF_STOPPED = {
    ("mml-mf", "yelp2018"): {"recall@20": 0.0674, "ndcg@20": 0.0550},
    ("ccl-mf", "yelp2018"): {"recall@20": 0.0601, "ndcg@20": 0.0490},
    ("mml-mf", "gowalla"): {"recall@20": 0.1756, "ndcg@20": 0.1370},
    ("ccl-mf", "gowalla"): {"recall@20": 0.1632, "ndcg@20": 0.1279},
}
_SIMPLEX = (
    _simplex_paper("mml", "yelp2018", 0.0706, 0.0578),
    _simplex_paper("ccl", "yelp2018", 0.0679, 0.0555),
    _simplex_paper("mml", "gowalla", 0.1787, 0.1412),
    _simplex_paper("ccl", "gowalla", 0.1663, 0.1319),
)
MML_ENCODERS = (
    *_MF,
    *(_stopped(row, _MF_STOPPED[row.name, row.dataset]) for row in _MF),
    *(_cut(row) for row in _MF),
    *_SIMPLEX,
    *(_stopped(row, {}) for row in _SIMPLEX),  # the paper says when they ended, not where
)
# SSM on LightGCN (Wu et al., arXiv 2201.02327, its program): cosines train, inner products rank, in-batch negatives.
# Its embeddings are drawn from a uniform law of about this standard deviation; it stops by recall on the test split.
SSM_LIGHTGCN = tuple(
    PaperRow(
        "ssm-lightgcn",
        dataset,
        {
            "loss": _published("ssm", dataset, "lightgcn", "in_batch"),
            "encoder": {"name": "lightgcn", "dim": 64, "layers": 1, "init_std": 0.008},
            "score": "cosine_in_training",
            "negatives": {"name": "in_batch"},
            "learning_rate": 1.0e-3,
            "l2": 1.0e-5,
            "batch_size": 2048,
        },
        {"recall@20": recall, "ndcg@20": ndcg},
    )
    for dataset, recall, ndcg in (("yelp2018", 0.0737, 0.0609), ("gowalla", 0.1869, 0.1571))
)


def _two_stage_paper(name: str, ndcg: float, popularity: float, **fields: Any) -> PaperRow:
    loss = CML(margin=1.0, rank_weight=False)
    encoder = {"name": "mf", "dim": 128, "init_std": 0.1}
    return PaperRow(
        name,
        "gowalla",
        {"loss": loss, "encoder": encoder, "learning_rate": 1.0e-4, **fields},
        {"ndcg@50": ndcg, MEAN_POPULARITY: popularity},
    )


# Tran et al., SIGIR 2019, arXiv 1909.10912, and its authors' program: CML without the rank's weight, one negative per positive,
# a batch 16 times as large for uniform negatives; vectors of length 1 for 2-stage alone. Its popularity is another: the mean
# over users of the median of 50 items.
CANDIDATES = 627  # of 40,981 items, in proportion to the paper's 2,000 of 130,791
TWO_STAGE = (
    _two_stage_paper("uniform", 0.0678, 358.5, score="euclidean", negatives={"name": "unseen", "count": 1}, batch_size=4096),
    _two_stage_paper(
        "popularity", 0.0819, 30.8, score="euclidean", negatives={"name": "popularity", "count": 1}, batch_size=256
    ),
    _two_stage_paper(
        "two_stage", 0.0918, 146.3, negatives={"name": "two_stage", "count": 1, "candidates": CANDIDATES}, batch_size=256
    ),
)

CHOSEN_ON_TEST = (
    "the paper chose these settings on the test split; its rows are single runs, and probably their best epochs on the test "
    "split, where these are last epochs"
)
RECZOO = "; its program also clips the gradient's norm at 10 and has an l2 of 1e-9 (Yelp2018) or 1e-8 (Gowalla): not here"
MF_THERE = "; on Yelp2018 SimpleX has g 1, as its authors have it, and is MF: the same numbers"
STOPPED = "; rows that stop early or on a plateau were stopped by the test split, a leak: they say what the paper saw, not more"
SECOND_HAND = (
    "; these figures are second-hand, not read in the paper; its program trains up to 1,000 epochs, stops by recall on the "
    "test split, and adds l2 to the rows of the batch only"
)
TABLES = {
    "mml_encoders": PaperTable(MML_ENCODERS, ("recall@20", "ndcg@20"), 100, 100, CHOSEN_ON_TEST + RECZOO + MF_THERE + STOPPED),
    "ssm_lightgcn": PaperTable(SSM_LIGHTGCN, ("recall@20", "ndcg@20"), 100, None, CHOSEN_ON_TEST + SECOND_HAND),
    "mml_mf": PaperTable(MML_MF, ("recall@20", "ndcg@20"), 100, 100, CHOSEN_ON_TEST + RECZOO),
    "mml_losses": PaperTable(MML_LOSSES, ("recall@20", "ndcg@20"), 100, 100, CHOSEN_ON_TEST + RECZOO),
    "two_stage": PaperTable(
        TWO_STAGE,
        ("ndcg@50", MEAN_POPULARITY),
        50,
        None,
        "the paper's figures are of other data (Echonest); an epoch of its program is 2,000 batches or a multiple, whatever "
        "their size, so that its uniform row has ten times the steps of this one; its popular negatives are not the user's "
        "own; its popularity is a median of 50 items: compare the order of the rows",
    ),
}
