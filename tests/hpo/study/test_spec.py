from __future__ import annotations

from pathlib import Path

import pytest

from hpo.confirmation.contenders import title
from hpo.confirmation.stages import SELECT_OFFSET, TEST_OFFSET
from hpo.study.definition import SplitData, definition_of
from hpo.study.plan import MAX_SEEDS
from hpo.study.rivals import rivals_of
from hpo.study.sampling import make_sampler
from hpo.study.spec import StudySpec, load_spec, shipped_studies
from search_spaces import SPACES
from trainers.data.datasets import load_dataset
from trainers.data.options import ValidationSplit
from trainers.errors import InputError
from trainers.losses import MML

OFFSETS = SELECT_OFFSET, TEST_OFFSET
MINIMAL = "dataset: demo\nspace: {name: mml, n_margins: 3}\n"


@pytest.fixture
def write(tmp_path: Path):
    def file(text: str) -> str:
        path = tmp_path / "mine.yaml"
        path.write_text(text)
        return str(path)

    return file


def test_a_study_has_the_name_of_its_file_or_a_given_one(write):
    assert load_spec(write(MINIMAL)).name == "mine"
    assert load_spec(write(MINIMAL), "other").name == "other"


def test_a_missing_flag_does_not_override_the_file(write):
    spec = load_spec(write(MINIMAL + "search: {trials: 7, epochs: 5}\n"))
    assert spec.override({"search.trials": None, "search.epochs": None, "confirm.top": None}) == spec
    changed = spec.override({"search.trials": 9})
    assert (changed.search.trials, changed.search.epochs) == (9, 5)
    assert spec.search.trials == 7


def test_a_path_to_data_is_relative_to_the_study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The data and the definition do not depend on the working folder, nor on the path to the data."""
    (tmp_path / "clicks.csv").write_text("user,item\na,b\n")
    (tmp_path / "sub").mkdir()
    (tmp_path / "mine.yaml").write_text("dataset: clicks.csv\nspace: {name: mml}\nrivals: [sub/other.yaml]\n")
    (tmp_path / "sub" / "other.yaml").write_text("dataset: ../clicks.csv\nspace: {name: ccl}\n")
    monkeypatch.chdir(tmp_path)
    names = [load_spec(path).dataset for path in ("mine.yaml", str(tmp_path / "mine.yaml"), "sub/other.yaml")]
    assert names == [str(tmp_path / "clicks.csv")] * 3
    assert [rival.name for rival in rivals_of(load_spec("mine.yaml")).specs] == ["other"]
    data = SplitData("sum", ValidationSplit(name="random"), "seen", "held out")
    there = definition_of(load_spec("mine.yaml"), data, "numba")
    assert there.dataset == "clicks.csv"
    monkeypatch.chdir(tmp_path / "sub")
    assert definition_of(load_spec("../mine.yaml"), data, "numba") == there
    assert [rival.name for rival in rivals_of(load_spec("../mine.yaml")).specs] == ["other"]


def test_a_path_to_a_rival_is_relative_to_the_study_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The file may have any suffix."""
    (tmp_path / "sub").mkdir()
    (tmp_path / "mine.yaml").write_text("dataset: demo\nspace: {name: mml}\nrivals: [sub/other, bsl]\n")
    (tmp_path / "sub" / "other").write_text("dataset: demo\nspace: {name: ccl}\n")
    monkeypatch.chdir(tmp_path / "sub")
    assert [rival.name for rival in rivals_of(load_spec("../mine.yaml")).specs] == ["other", "mine_bsl"]


@pytest.mark.parametrize("name", shipped_studies())
def test_a_shown_study_is_a_study_file(write, name: str):
    spec = load_spec(name)
    assert load_spec(write(spec.as_file()), name) == spec


def test_a_stored_spec_is_read_unchanged(write):
    spec = load_spec(write(MINIMAL + "config: {batch_size: 64}\nrivals: [demo_ccl]\n"))
    assert StudySpec.model_validate(spec.model_dump(mode="json")) == spec


@pytest.mark.parametrize(
    ("extra", "message"),
    [
        ("serch: {trials: 3}\n", "unknown key 'serch'; did you mean 'search'"),
        ("search: {trails: 3}\n", "search: unknown key 'trails'; did you mean 'trials'"),
        ("search: {trials: 0}\n", "search.trials: must be greater than or equal to 1, got 0"),
        ("search: {trials: many}\n", "search.trials: must be a whole number, got 'many'"),
        ("search: {pruner: {name: medain}}\n", "search.pruner.name"),
        (
            "search: {pruner: {percentile: 20}}\n",
            "search.pruner.percentile: has no effect with name median, got 20.0; remove it, or choose another pruner",
        ),
        (
            "search: {sampler: {name: random, n_startup_trials: 7}}\n",
            "search.sampler.n_startup_trials: has no effect with name random, got 7; remove it, or choose another sampler",
        ),
        ("search: {sampler: {name: qmc, n_startup_trials: 7}}\n", "n_startup_trials: has no effect with name qmc"),
        ("config: {learning_rat: 1.0}\n", "unknown key 'learning_rat'; did you mean 'learning_rate'"),
        ("config: {negatives: {name: uniform, cont: 3}}\n", "unknown key 'cont'; did you mean 'count'"),
        ("config: {loss: {name: ccl}}\n", "config.loss is decided by space"),
        ("config: {epochs: 3}\n", "config.epochs is decided by search.epochs"),
        ("validation: {name: random, seed: -1}\n", "validation.seed: must be greater than or equal to 0, got -1"),
        ("name: x\n", "unknown key 'name'"),
        ("dataset: demo\n", "line 3"),
        ("confirm: [1, 2\n", "line"),
    ],
)
def test_bad_files_are_explained(write, extra: str, message: str):
    with pytest.raises(InputError) as error:
        load_spec(write(MINIMAL + extra))
    assert message in str(error.value)
    assert "mine.yaml" in str(error.value)


def test_keys_without_effect_are_read_where_a_study_is_stored_or_they_have_their_defaults(write):
    spec = load_spec(write(MINIMAL + "search: {pruner: {name: percentile, percentile: 20}, sampler: {name: qmc}}\n"))
    assert load_spec(write(spec.as_file()), spec.name) == spec
    stored = spec.model_dump(mode="json")
    stored["search"]["pruner"]["name"] = "median"
    assert StudySpec.model_validate(stored).search.pruner.percentile == 20.0


def test_the_message_about_an_empty_file_has_the_remedy(write):
    with pytest.raises(InputError, match=r"the file is empty; write one with python -m hpo\.studies new DATA"):
        load_spec(write("\n"))


@pytest.mark.parametrize(
    ("also", "config", "message"),
    [
        ("dropout", "score: euclidean, ", "encoder.dropout must be 0, got 0.5"),
        ("negatives", "negatives: {name: in_batch}, ", "leave count out"),
    ],
)
def test_searched_fields_must_fit_the_fixed_ones(write, also: str, config: str, message: str):
    """The error comes when the file is read, before the first trial."""
    with pytest.raises(InputError, match=message):
        load_spec(write(f"dataset: demo\nspace: {{name: cml, also: [{also}]}}\nconfig: {{{config}batch_size: 64}}\n"))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ("{name: mmml}", "unknown space 'mmml'; did you mean 'mml'"),
        ("{name: mml, n_margin: 3}", "space: unknown key 'n_margin'; did you mean 'n_margins'"),
        ("{name: mml, n_margins: 0}", "space.n_margins"),
        ("{name: mml, also: [lr]}", "space.also.0"),
        ("mml", "must be a mapping with a name"),
        (
            "{name: mml, n_margins: 1, ranges: {margin_drop: [0.1, 0.5], weight_ratio: [0.1, 0.5]}}",
            "ranges: margin_drop is not searched with one margin, since it relates a margin to the next one; remove its range, "
            "or set n_margins to 2 or more",
        ),
        ("{name: mml, n_margins: 1, ranges: {weight_ratio: [0.1, 0.5]}}", "weight_ratio is not searched with one margin"),
        ("{name: mml, ranges: [1, 20]}", "space.ranges: must be a mapping, {name: value}, got [1, 20]"),
        ("{name: mml, ranges: {negative_ratio: 5}}", "space.ranges.negative_ratio: must be a list, [value, value], got 5"),
    ],
)
def test_bad_spaces_are_explained(write, space: str, message: str):
    with pytest.raises(InputError) as error:
        load_spec(write(f"dataset: demo\nspace: {space}\n"))
    assert message in str(error.value)


@pytest.mark.parametrize("name", ["", "x.yaml", "x.yml", "../evil", "a/b", ".hidden", "x" * 101, "a b", "-x"])
def test_a_name_cannot_leave_the_output_folder(write, name: str):
    for study in (write(MINIMAL), "demo_mml"):
        with pytest.raises(InputError, match="study's name"):
            load_spec(study, name)


def test_unknown_studies_and_missing_files():
    with pytest.raises(InputError, match="unknown study 'yelp_mmll'; did you mean 'yelp_mml'"):
        load_spec("yelp_mmll")
    with pytest.raises(InputError, match=r"nowhere/mine.yaml: cannot be read"):
        load_spec("nowhere/mine.yaml")


def test_published_settings_for_unknown_data_are_those_of_yelp2018():
    spec = StudySpec.model_validate({"name": "x", "dataset": "demo", "space": {"name": "mml"}})
    published = spec.published(epochs=5, seed=1)
    assert published is not None
    config, label = published
    assert (label, config.epochs, config.seed) == ("published settings of Yelp2018", 5, 1)
    assert spec.published_label(config.replace(seed=7, epochs=9)) == label
    assert spec.published_label(config.replace(learning_rate=2 * config.learning_rate)) is None
    assert isinstance(config.loss, MML)
    assert config.loss.negative_weight == 400.0


@pytest.mark.parametrize("name", sorted(set(SPACES) - {"mml_shape"}))
def test_every_loss_is_a_rival_and_its_space_has_the_published_settings(name: str):
    ours = "ccl" if name == "mml" else "mml"
    spec = StudySpec.model_validate({"name": "x", "dataset": "gowalla", "space": {"name": ours}, "rivals": [name]})
    (rival,) = rivals_of(spec).specs
    assert rival.with_budget_of(spec).space == rival.space, "the space is searched unchanged"
    assert set(rival.space.also) <= {"learning_rate"}
    published = rival.published(epochs=5, seed=1)
    assert published is None or rival.space.params(published[0])


def test_a_rival_that_needs_no_negatives_has_none():
    """It counts as a model with the usual negatives, and searches all that the study does but their number."""
    space = {"name": "mml", "also": ["negatives", "l2"], "ranges": {"negatives": [5, 9]}}
    content = {"name": "x", "dataset": "gowalla", "space": space, "rivals": ["directau"]}
    spec = StudySpec.model_validate(content | {"config": {"negatives": {"name": "unseen", "count": 7}}})
    (rival,) = rivals_of(spec).specs
    assert (rival.space.also, rival.space.ranges) == (("l2",), {})
    assert rival.probe.negatives.name == "none"
    assert (spec.model, rival.model) == (("mf", "unseen"), ("mf", "uniform"))
    assert (title(spec), title(rival)) == ("MML (unseen negatives)", "DirectAU")
    assert rival.with_budget_of(spec).space == rival.space


def test_a_shipped_rival_without_settings_keeps_its_searched_learning_rate():
    spec = StudySpec.model_validate({"name": "x", "dataset": "gowalla", "space": {"name": "mml"}, "rivals": ["gowalla_bpr"]})
    (rival,) = rivals_of(spec).specs
    assert rival.with_budget_of(spec).space.also == ("learning_rate",)


MML_SPACE = "\nspace: {name: mml}\n"
TEXTS = {
    "longer than a file system allows": (f"dataset: {'x' * 300}{MML_SPACE}", "unknown dataset 'xxx"),
    "many folders": (f"dataset: {'x/' * 2000}{MML_SPACE}", "unknown dataset 'x/x"),
    "longer than any path": (
        f"dataset: {'x' * 5000}{MML_SPACE}",
        "dataset: must be a name or path of at most 4,096 characters",
    ),
    "NUL": (f'dataset: "a\\0b"{MML_SPACE}', r"got 'a\x00b'"),
    "a line end": (f'dataset: "a\\nb"{MML_SPACE}', r"got 'a\nb'"),
    "half a sign": (f'dataset: "\\ud800"{MML_SPACE}', "line 1: cannot be read: 'utf-8' codec can't encode"),
    "a rival with NUL": (f'dataset: demo\nrivals: ["a/\\0.yaml"]{MML_SPACE}', "rivals.0: must be a name or path of at most"),
    "a mapping as a rival": (f"dataset: demo\nrivals: [{{a/b: c}}]{MML_SPACE}", "rivals.0: must be text"),
    "a long rival": (f"dataset: demo\nrivals: [{'x' * 300}.yaml]{MML_SPACE}", "cannot be read: File name too long"),
    "many rivals": (f"dataset: demo\nrivals: [{'ccl, ' * 101}]{MML_SPACE}", "rivals: Tuple should have at most 100 items"),
    "a rival twice": (
        f"dataset: demo\nrivals: [ccl, ccl]{MML_SPACE}",
        "each rival must have another loss, and two of ccl, ccl have ccl",
    ),
    "an unknown baseline": (
        f"dataset: demo\nbaselines: [ease, EASE]{MML_SPACE}",
        "baselines: unknown baseline 'EASE'; did you mean 'ease'? known: ease, ials, item_knn, most_popular, rp3beta",
    ),
    "a baseline twice": (
        f"dataset: demo\nbaselines: [ease, ials, ease]{MML_SPACE}",
        "baselines: each baseline may occur once, and ease is repeated; remove one of them",
    ),
    "a baseline without a list": (f"dataset: demo\nbaselines: ease{MML_SPACE}", "baselines: must be a list, [value, value]"),
    "many fields": (f"dataset: demo\nspace: {{name: ccl, also: [{'l2, ' * 5000}]}}", "may occur once, l2 is repeated"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_impossible_names_and_too_long_lists_are_refused(write, tmp_path: Path, case: str):
    text, message = TEXTS[case]

    def used() -> None:
        spec = load_spec(write(text))
        rivals_of(spec)
        load_dataset(spec.dataset, str(tmp_path))

    with pytest.raises(InputError) as caught:
        used()
    assert message in str(caught.value)
    assert len(str(caught.value)) < 1500


def test_a_repeat_has_another_name_and_seeds_of_its_own(write):
    """No two searches share a seed, neither for their trials nor for the maximal number of seeds in confirm."""
    spec = load_spec(write(MINIMAL + "search: {seed: 7}\nconfirm: {searches: 20}\n"))
    repeats = spec.repeats(20)
    assert repeats[0] is spec
    assert [repeats[1].name, repeats[19].name] == [f"{spec.name}-search2", f"{spec.name}-search20"]
    used = [{one.search.seed} | {one.search.seed + first + k for first in OFFSETS for k in range(MAX_SEEDS)} for one in repeats]
    assert len(set.union(*used)) == 20 * (1 + 2 * MAX_SEEDS)
    assert {one.confirm.searches for one in repeats[1:]} == {1}
    back = {"name": spec.name, "search.seed": 7, "confirm.searches": 20}
    assert all(one.override(back) == spec for one in repeats)


def test_the_seeds_of_all_repeats_fit_a_sampler(write):
    """Samplers refuse higher seeds with a traceback."""
    last = 2**32 - 1
    for name in ("tpe", "qmc"):
        file = write(MINIMAL + f"search: {{seed: {last - 19_000}, sampler: {{name: {name}}}}}\nconfirm: {{searches: 20}}\n")
        late = load_spec(file).repeats(20)[-1]
        assert late.search.seed == last
        make_sampler(late.search)
    message = f"study mine: search.seed: must be at most {last - 19_000} with 20 in confirm.searches, since each .*, got {last}"
    with pytest.raises(InputError, match=message):
        load_spec(file).override({"search.seed": last})
    message = rf"search\.seed: must be less than or equal to {last}, got {last + 1}"
    with pytest.raises(InputError, match=message):
        load_spec(write(MINIMAL + f"search: {{seed: {last + 1}}}\n"))
    with pytest.raises(InputError, match=message):
        load_spec(write(MINIMAL)).override({"search.seed": last + 1})
