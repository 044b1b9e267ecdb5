from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from optuna.trial import TrialState

from hpo.study.attributes import NEAREST_MARK, PUBLISHED_MARK, RETRY_OF
from hpo.study.rivals import rivals_of
from hpo.study.spec import load_spec, shipped_studies
from hpo.study.starts import enqueue_starts
from hpo.study.trials import trial_config
from hpo.study.workspace import Workspace
from trainers.config import TrainConfig
from trainers.engines.row_losses import ROW_FUNCTIONS, THRESHOLD_ROWS
from trainers.errors import InputError
from trainers.losses import LOSSES, MML
from trainers.published import published_loss

SHAPES = ["gowalla_mml_shape", "yelp_mml_shape"]
SAMPLERS = [f"{data}_mml_{sampler}" for data in ("gowalla", "yelp") for sampler in ("popularity", "two_stage")]


ENCODERS = [
    f"{data}_{study}"
    for data in ("gowalla", "yelp")
    for study in ("mml_simplex", "mml_lightgcn", "ssm_lightgcn", "bsl_lightgcn")
]
# Only MML is shipped for these. Their rivals are named by spaces.
IR_BENCHMARK = ("electronic_popularity", "electronic_random", "electronic_temporal", "gowalla_random", "health_random")
SMALL = [f"{data}_mml" for data in (*IR_BENCHMARK, "lastfm", "ml-1m")]
LEAGUES = [f"league_{data}" for data in ("health", *(f"electronic{split}" for split in ("", "_popularity", "_temporal")))]
LEAGUES += ["league_gowalla", "league_yelp"]


def test_the_list_of_shipped_studies():
    demo = [f"demo_{loss}" for loss in ("bsl", "ccl", "mml")]
    fused = [name for name, loss in LOSSES.items() if loss in ROW_FUNCTIONS]
    losses = [f"{data}_{loss}" for data in ("gowalla", "yelp") for loss in fused]
    assert shipped_studies() == sorted([*demo, *SHAPES, *SAMPLERS, *ENCODERS, *SMALL, *LEAGUES, *losses])


def in_a_paper(name: str) -> bool:
    spec = load_spec(name)
    return published_loss(spec.space.loss_name, str(spec.dataset), *spec.model) is not None


@pytest.mark.parametrize("name", [name for name in shipped_studies() if name not in SHAPES and in_a_paper(name)])
def test_every_study_starts_with_its_published_config(name: str):
    spec = load_spec(name)
    published = spec.published(spec.search.epochs, spec.search.seed)
    assert published is not None
    config, label = published
    elsewhere = {
        "demo": "Yelp2018",
        "mml_popularity": "uniform negatives",
        "mml_two_stage": "uniform negatives",
        "mml_lightgcn": "MF",
        "yelp_mml_simplex": "MF",
    }
    elsewhere |= dict.fromkeys([*SMALL, "league_health", "league_electronic"], "Yelp2018")
    other = next((what for part, what in elsewhere.items() if part in name), None)
    assert label == (f"published settings of {other}" if other else "published settings")
    params = spec.space.params(config)
    assert spec.space.config(params, spec.fields(spec.search.epochs, spec.search.seed)) == config


@pytest.mark.parametrize(
    "name", [name for name in shipped_studies() if not name.endswith(("_mml", "_shape")) and name not in LEAGUES]
)
def test_every_rival_has_the_budget_of_mml(name: str):
    rival, ours = load_spec(name), load_spec(f"{name.split('_')[0]}_mml")
    assert (rival.dataset, rival.validation, rival.search, rival.confirm) == (
        ours.dataset,
        ours.validation,
        ours.search,
        ours.confirm,
    )
    # A loss may have the batch size of its authors and a learning rate for it. CML may have its metric-learning settings.
    own = {"batch_size"}
    own |= {"learning_rate"} if rival.config["batch_size"] > ours.config["batch_size"] else set()
    own |= {"negatives"} if name in SAMPLERS else set()
    own |= {"encoder"} if name in ENCODERS else set()
    own |= {"score", "negatives", "learning_rate", "l2"} if name.endswith("_lightgcn") else set()
    own |= {"score", "encoder", "negatives", "learning_rate"} if name.endswith("_cml") else set()
    theirs, mine = ({key: value for key, value in spec.config.items() if key not in own} for spec in (rival, ours))
    assert theirs == mine


@pytest.mark.parametrize("name", shipped_studies())
def test_every_study_trains_on_the_fused_engine(name: str, tmp_path: Path):
    work = Workspace.open(load_spec(name), tmp_path, None, "auto", "cpu")
    assert work.choice.name == ("torch" if name.endswith("_lightgcn") else "numba"), work.choice.reason


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_study_starts_with_the_nearest_config_to_the_published_one(name: str):
    spec = load_spec(name)
    found = spec.published(spec.search.epochs, spec.search.seed)
    assert found is not None, "confirm compares with it"
    published, label = found
    assert label == "published settings"
    study = optuna.create_study(direction="maximize")
    for _ in range(2):  # the second call does not queue it again
        assert enqueue_starts(study, spec).endswith("the nearest config inside them is tried first")
    trial = study.ask(fixed_distributions=spec.space.boxes())
    assert trial.user_attrs == {NEAREST_MARK: "published settings"}
    assert PUBLISHED_MARK not in trial.user_attrs, "it may be pruned"
    study.tell(trial, state=TrialState.FAIL)
    enqueue_starts(study, spec)
    enqueue_starts(study, spec)
    assert len(study.trials) == 6, "a lost one is queued again"
    assert study.trials[5].user_attrs == {NEAREST_MARK: "published settings", RETRY_OF: 0}
    nearest = trial_config(study.trials[0], spec)
    assert isinstance(nearest.loss, MML)
    assert isinstance(published.loss, MML)
    assert nearest.loss.weights == pytest.approx(published.loss.weights, abs=0.06)
    assert nearest.replace(loss=published.loss) == published
    both_but_weights = [{**vars(loss), "weights": ()} for loss in (nearest.loss, published.loss)]
    assert both_but_weights[0] == both_but_weights[1]


@pytest.mark.parametrize("name", SHAPES)
def test_a_shape_study_differs_only_in_its_space(name: str):
    shape, plain = load_spec(name), load_spec(name.removesuffix("_shape"))
    assert shape.model_dump(exclude={"name", "space"}) == plain.model_dump(exclude={"name", "space"})


def test_the_second_space_of_a_loss_is_no_rival_of_the_first(tmp_path: Path):
    path = tmp_path / "mine.yaml"
    path.write_text("dataset: gowalla\nspace: {name: mml_shape}\nrivals: [gowalla_mml]\n", encoding="utf-8")
    with pytest.raises(InputError, match=r"must have another loss than the study, and rival .* has the same, mml"):
        rivals_of(load_spec(str(path)))


@pytest.mark.parametrize("name", [name for name in shipped_studies() if "_mml" in name])
def test_rivals_are_searched_at_equal_budget(name: str):
    spec = load_spec(name)
    assert len(spec.rivals) == 2
    for rival in rivals_of(spec).specs:
        assert rival.dataset == spec.dataset
        assert rival.validation == spec.validation
        assert rival.search == spec.search
        assert rival.space.also == spec.space.also
        ours, theirs = (
            TrainConfig.from_dict({**s.config, "loss": {"name": "ccl", "margin": 0.5, "negative_weight": 1.0}})
            for s in (spec, rival)
        )
        of_its_authors = "batch_size", "learning_rate", "negatives", "l2"
        assert ours.replace(**{key: theirs.to_dict()[key] for key in of_its_authors}) == theirs
        same_negatives = name not in SAMPLERS and not name.endswith("_lightgcn")
        assert (ours.negatives == theirs.negatives) == same_negatives


@pytest.mark.parametrize("name", LEAGUES)
def test_all_losses_of_a_league_are_tuned_alike(name: str):
    spec = load_spec(name)
    assert spec.is_league
    assert (spec.search.trials, spec.search.starts, spec.confirm.seeds) == (40, 0, 5)
    rivals = rivals_of(spec)
    assert rivals.left_out == {}
    for rival in rivals.specs:
        asked = rival.with_budget_of(spec)
        assert (asked.search, asked.validation, asked.config) == (spec.search, spec.validation, spec.config)
        assert asked.space.also == spec.space.also == ("learning_rate",)
        assert asked.space.ranges == spec.space.ranges


def test_the_losses_of_the_leagues():
    def losses(name: str) -> set[str]:
        return {rival.space.loss_name for rival in rivals_of(load_spec(name)).specs} | {"mml"}

    assert losses("league_health") == {*LOSSES}
    fused = {**ROW_FUNCTIONS, **THRESHOLD_ROWS}
    assert losses("league_electronic") == {name for name, loss in LOSSES.items() if loss in fused}
    for split in ("popularity", "temporal"):
        assert losses(f"league_electronic_{split}") == {"mml", "ccl", "bsl", "sl", "psl", "slatk"}
