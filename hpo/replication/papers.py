"""Tables of papers: configs to train and the paper's figures. To add a table, add its rows and a line in `TABLES`."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hpo.replication.ir_benchmark import IR_BENCHMARK
from hpo.replication.rows import MEAN_POPULARITY, PaperGain, PaperRow, PaperTable
from trainers.early_stopping import Plateau
from trainers.losses import CML, Loss
from trainers.published import PUBLISHED, published_loss

# The MF of SimpleX's code, in which the MML paper trains MML and CCL, and the BSL authors' MF drop 10 % of the user vector.
SIMPLEX: dict[str, Any] = {"learning_rate": 1.0e-4, "encoder": {"name": "mf", "dim": 64, "dropout": 0.1}}
BATCH = {"yelp2018": 512, "gowalla": 256}


def _published(name: str, dataset: str, encoder: str, negatives: str) -> Loss:
    found = published_loss(name, dataset, encoder, negatives)
    assert found, f"{name} is in a table of this module"
    return found[0]


def _mml_paper(loss: str, dataset: str, recall: float, ndcg: float | None = None, batch_size: int = 0) -> PaperRow:
    fields = SIMPLEX | {"batch_size": batch_size or BATCH[dataset], "loss": PUBLISHED[loss][dataset]}
    return PaperRow(loss, dataset, fields, {"recall@20": recall} | ({} if ndcg is None else {"ndcg@20": ndcg}))


# Ozsoy, arXiv 2405.04614, MF without early stopping, 100 negatives, 100 epochs.
MML_MF = (
    _mml_paper("mml", "yelp2018", 0.0702, 0.0580),
    _mml_paper("ccl", "yelp2018", 0.0673, 0.0551),
    _mml_paper("bsl", "yelp2018", 0.0703, 0.0580, batch_size=1024),
    _mml_paper("mml", "gowalla", 0.1816, 0.1435),
    _mml_paper("ccl", "gowalla", 0.1783, 0.1426),
    _mml_paper("bsl", "gowalla", 0.1804, 0.1521, batch_size=1024),
)
# Of its figure 3, the recall and NDCG by number of negatives, only these values are in its text.
MML_GAINS = (
    PaperGain("mml", "ccl", "yelp2018", 10, {"recall@20": 0.195, "ndcg@20": 0.201}),
    PaperGain("mml", "ccl", "gowalla", 10, {"recall@20": 0.130, "ndcg@20": 0.151}),
)
# The same paper's comparison of losses gives the recall of the classic losses, computed on cosines as in SimpleX's code.
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


# The paper's table of encoders: MF and SimpleX trained to the end, and MF with early stopping, presumably without SimpleX's
# cuts of the learning rate (the paper says so for the other rows). SimpleX on Gowalla has the settings of its authors (RecZoo):
# g 0.8, user attention, whole histories (the longest have 811 items), its own history table, its own loss. On Yelp2018 their g
# is 1, so SimpleX is MF. They monitor recall, except for SimpleX on Gowalla, where they monitor NDCG.
TOWERS: dict[str, dict[str, Any]] = {
    "yelp2018": {"g": 1.0},
    "gowalla": {"g": 0.8, "aggregation": "user_attention", "max_history": 1000, "history_table": "own"},
}
MONITORS = {("simplex", "gowalla"): "ndcg@20"}  # by encoder and dataset, if not recall


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
    """The row with SimpleX's own schedule, for which the MML paper has no figures."""
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
    *(_stopped(row, {}) for row in _SIMPLEX),  # the paper gives their last epochs, but no figures
)
# SSM on LightGCN (Wu et al., arXiv 2201.02327, and its program): cosines for training, inner products for ranking, in-batch
# negatives. Its embeddings start from a uniform distribution of about this standard deviation. It stops by recall on test.
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


# Tran et al., SIGIR 2019, arXiv 1909.10912, and its program: CML without rank weights, one negative per positive, a batch 16
# times as large for uniform negatives; vectors of length 1 for 2-stage only. Its popularity is the mean over users of the
# median of 50 items.
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
    "the paper chose these settings on the test split; its rows are single runs and probably the best epochs on the test "
    "split, while ours are last epochs"
)
RECZOO = "; its program also clips the gradient norm at 10 and has l2 1e-9 (Yelp2018) or 1e-8 (Gowalla), ours does not"
MF_THERE = "; on Yelp2018 SimpleX has g 1, the value of its authors, which makes it MF: the same numbers"
STOPPED = (
    "; rows with early stopping or a plateau used the test split for that, a leak: they reproduce the paper and are no estimate"
)
SECOND_HAND = (
    "; these figures are second-hand, not read in the paper; its program trains up to 1,000 epochs, stops by recall on the "
    "test split, and applies l2 to the rows of the batch only"
)
TABLES = {
    "ir_benchmark": IR_BENCHMARK,
    "mml_encoders": PaperTable(MML_ENCODERS, ("recall@20", "ndcg@20"), 100, 100, CHOSEN_ON_TEST + RECZOO + MF_THERE + STOPPED),
    "ssm_lightgcn": PaperTable(SSM_LIGHTGCN, ("recall@20", "ndcg@20"), 100, None, CHOSEN_ON_TEST + SECOND_HAND),
    "mml_mf": PaperTable(MML_MF, ("recall@20", "ndcg@20"), 100, 100, CHOSEN_ON_TEST + RECZOO, MML_GAINS),
    "mml_losses": PaperTable(MML_LOSSES, ("recall@20", "ndcg@20"), 100, 100, CHOSEN_ON_TEST + RECZOO),
    "two_stage": PaperTable(
        TWO_STAGE,
        ("ndcg@50", MEAN_POPULARITY),
        50,
        None,
        "the paper's figures are for other data (Echonest); an epoch of its program has 2,000 batches or a multiple, of any "
        "size, so its uniform row has ten times as many steps as ours; its popular negatives exclude the user's own items; its "
        "popularity is a median of 50 items: compare the order of the rows only",
    ),
}
