"""The definition of a study, which may not change, and the differences between two definitions."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
import pytest

from hpo import confirm, export, report
from hpo.runtime.typed_files import Stored
from hpo.storage.open import open_storage
from hpo.study.definition import (
    DEFINITION,
    MAY_CHANGE,
    SPEC,
    STUDY_ID,
    Definition,
    SplitData,
    StoredStudy,
    definition_of,
    differences,
    differences_said,
    name_metrics,
    open_study,
    order_differs,
)
from hpo.study.rivals import rivals_of
from hpo.study.spec import StudySpec
from trainers.data.options import ValidationSplit
from trainers.engines.cache_versions import ENGINE_VERSIONS
from trainers.errors import InputError

from ..conftest import Place
from ..outcomes import confirmed

SPEC_OF_DEMO = StudySpec.model_validate({"name": "x", "dataset": "demo", "space": {"name": "mml"}})
DATA = SplitData("sum", ValidationSplit(name="random"), "seen", "held out")
# Another value for every key of a study file.
OTHER_VALUES: dict[str, Any] = {
    "name": "y",
    "dataset": "gowalla",
    "space": {"name": "mml", "n_margins": 3},
    "config": {"batch_size": 64},
    "objective": "map@5",
    "data": {"k_core": 2},
    "validation": {"name": "random", "seed": 1},
    "search.trials": 9,
    "search.epochs": 9,
    "search.seed": 9,
    "search.starts": 9,
    "search.sampler": {"name": "random"},
    "search.pruner": {"name": "none"},
    "confirm": {"epochs": 1},
    "rivals": ["ccl"],
    "baselines": ["ease"],
}


def test_two_processes_that_create_a_study_agree_on_its_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The second one starts while the first has created the study and not yet written its definition."""
    ours, names = definition_of(SPEC_OF_DEMO, DATA, "numba"), []
    others: list[threading.Thread] = []
    parts = optuna.samplers.RandomSampler(), optuna.pruners.NopPruner()

    def opened() -> None:
        names.append(open_study(open_storage(str(tmp_path / "journal.log")), "x", ours, *parts).user_attrs[STUDY_ID])

    def late(study: optuna.Study, metrics: Sequence[str]) -> None:
        if not others:
            others.append(threading.Thread(target=opened))
            others[0].start()
            time.sleep(0.5)
        name_metrics(study, metrics)

    monkeypatch.setattr("hpo.study.definition.name_metrics", late)
    opened()
    others[0].join()
    assert len(names) == 2
    assert names[0] == names[1]


def test_a_refused_definition_leaves_the_names_of_the_metrics(tmp_path: Path):
    """The study has no trial yet, and another objective is asked for."""
    storage, parts = open_storage(str(tmp_path / "journal.log")), (optuna.samplers.RandomSampler(), optuna.pruners.NopPruner())
    study = open_study(storage, "x", definition_of(SPEC_OF_DEMO, DATA, "numba"), *parts)
    before = study.metric_names
    other = SPEC_OF_DEMO.override({"objective": "map@5"})
    with pytest.raises(InputError, match="exists with another definition"):
        open_study(storage, "x", definition_of(other, DATA, "numba"), *parts)
    assert study.metric_names == before == ["ndcg@20"]


def test_checksums_are_left_out_where_another_key_explains_them():
    """A lower min_rating changes three checksums, which would hide it."""
    before = definition_of(SPEC_OF_DEMO, DATA, "numba")
    pairs = replace(DATA, checksum="a", seen="b", held_out="c")
    assert differences_said(differences(before, definition_of(SPEC_OF_DEMO, pairs, "numba"))) == (
        "the training or validation pairs have changed"
    )
    rated = definition_of(SPEC_OF_DEMO, pairs, "numba").model_copy(update={"data": {"min_rating": 3.0}})
    assert differences_said(differences(before, rated)) == "data.min_rating: was None, now 3.0"
    last = {"validation": ValidationSplit(name="last"), "seen": "b", "held_out": "c"}
    how = differences(before, definition_of(SPEC_OF_DEMO, replace(DATA, **last), "numba"))
    assert differences_said(how) == "validation.name: was 'random', now 'last'"
    how = differences(before, definition_of(SPEC_OF_DEMO, replace(DATA, checksum="a", **last), "numba"))
    assert differences_said(how).endswith("now 'last'; the training or validation pairs have changed")
    other = definition_of(SPEC_OF_DEMO.override({"objective": "map@5"}), pairs, "numba")
    assert differences_said(differences(before, other)) == (
        "objective: was 'ndcg@20', now 'map@5'; the training or validation pairs have changed"
    )


def test_a_study_whose_creator_died_is_taken_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("hpo.study.definition.SECONDS_FOR_DEFINITION", 0.1)
    storage = open_storage(str(tmp_path / "journal.log"))
    optuna.create_study(study_name="x", storage=storage, direction="maximize")
    ours = definition_of(SPEC_OF_DEMO, DATA, "numba")
    study = open_study(storage, "x", ours, optuna.samplers.RandomSampler(), optuna.pruners.NopPruner())
    assert {STUDY_ID, DEFINITION} <= set(study.user_attrs)


def test_every_key_of_a_file_may_change_or_belongs_to_the_definition():
    """A new key must be added to one of the two lists."""
    keys = [key for key in StudySpec.model_fields if key != "search"]
    keys += [f"search.{key}" for key in type(SPEC_OF_DEMO.search).model_fields]
    assert sorted(OTHER_VALUES) == sorted(keys)
    now = definition_of(SPEC_OF_DEMO, DATA, "numba")
    for key, value in OTHER_VALUES.items():
        spec = SPEC_OF_DEMO.override({key: value})
        found = differences(now, definition_of(spec, replace(DATA, validation=spec.validation or DATA.validation), "numba"))
        assert (found == []) == (key in MAY_CHANGE), key


def test_data_and_engine_belong_to_the_definition():
    now = definition_of(SPEC_OF_DEMO, DATA, "numba")
    assert [each.key for each in differences(now, definition_of(SPEC_OF_DEMO, replace(DATA, checksum="other"), "torch"))] == [
        "checksum",
        "engine",
        "numbers_version",
    ]
    assert differences(now, definition_of(SPEC_OF_DEMO, DATA, "torch"), leaving_out=("engine", "numbers_version")) == []


def test_data_in_another_order_differ_from_other_data():
    now = definition_of(SPEC_OF_DEMO, DATA, "numba")
    for other, is_order in [
        (replace(DATA, held_out="others"), False),
        (replace(DATA, seen="others"), True),
        (DATA, False),
        (replace(DATA, held_out="others", checksum="other"), False),
        (replace(DATA, held_out="others", validation=ValidationSplit(name="last")), False),
    ]:
        assert order_differs(now, definition_of(SPEC_OF_DEMO, other, "numba")) == is_order, other


def test_the_order_of_further_searched_fields_has_no_effect():
    one, other = (
        definition_of(SPEC_OF_DEMO.override({"space": {"name": "mml", "also": also}}), DATA, "numba")
        for also in (["l2", "dropout"], ["dropout", "l2"])
    )
    assert differences(one, other) == []


def test_differences_include_the_keys_of_both_sides():
    now = definition_of(SPEC_OF_DEMO, DATA, "numba")

    def of(config: dict[str, Any]) -> Definition:
        return now.model_copy(update={"config": config})

    old, new = of({"x": 1, "y": {"z": 2}, "gone": 0}), of({"x": 1, "y": {"z": 3}, "come": 5})
    assert [str(each) for each in differences(old, new)] == [
        "config.come: was None, now 5",
        "config.gone: was 0, now None",
        "config.y.z: was 2, now 3",
    ]


def test_a_stored_study_is_read_unchanged():
    rivals = tuple(rivals_of(SPEC_OF_DEMO.override({"rivals": ["ccl", "bsl"]})).specs)
    stored = StoredStudy(spec=SPEC_OF_DEMO, rivals=rivals)
    assert StoredStudy.from_dict(stored.to_dict(), "here", "remedy") == stored
    definition = definition_of(SPEC_OF_DEMO, DATA, "numba")
    assert differences(Definition.from_dict(definition.to_dict(), "here", "remedy"), definition) == []


@pytest.mark.parametrize(("attribute", "kind"), [(SPEC, StoredStudy), (DEFINITION, Definition)])
@pytest.mark.parametrize("format_", [0, 99, None])
def test_a_study_of_another_format_is_refused(
    place: Place, fails: Callable[[int], str], attribute: str, kind: type[Stored], format_: int | None
):
    place.run("--search-only", "--trials", "1")
    study = optuna.load_study(study_name="tiny_mml", storage=open_storage(str(place.output / "journal.log")))
    study.set_user_attr(attribute, {**study.user_attrs[attribute], "format": format_})
    message = fails(export.main(["--study", "tiny_mml", *place.where]))
    has = "none" if format_ is None else format_
    assert f"study 'tiny_mml': this version reads format {kind.FORMAT}, got {has}; " in message
    assert "or delete the study" in message


def test_confirm_uses_the_rivals_as_they_were_when_the_study_ran(place: Place):
    """Days may pass between the search and its confirmation."""
    place.run("--search-only")
    for loss in ("ccl", "bsl"):
        (place.root / f"tiny_{loss}.yaml").unlink()
    few = ["--select-seeds", "1", "--confirm-seeds", "1"]
    assert confirm.main(["--study", "tiny_mml", *place.where, *few, "--rival-seeds", "bsl=1"]) == 0
    assert [method.label.split()[0] for method in confirmed(place).methods] == ["MML", "MML", "CCL", "BSL"]
    assert place.run() == 2, "a new run reads the files"


def test_the_order_of_also_makes_no_other_study():
    """The order of parameters is that of their proposals, so the space sorts it."""
    one, other = (
        StudySpec.model_validate({"name": "x", "dataset": "demo", "space": {"name": "mml", "also": also}})
        for also in (["learning_rate", "l2"], ["l2", "learning_rate"])
    )
    assert one == other
    assert [*one.space.boxes()][-2:] == [*other.space.boxes()][-2:] == ["l2", "learning_rate"]


def test_a_study_is_not_continued_with_other_numbers(monkeypatch: pytest.MonkeyPatch):
    """A change of an engine may change what a config trains to, so old and new trials cannot be ranked together."""
    storage, parts = optuna.storages.InMemoryStorage(), (optuna.samplers.RandomSampler(), optuna.pruners.NopPruner())
    open_study(storage, "x", definition_of(SPEC_OF_DEMO, DATA, "numba"), *parts)
    with pytest.raises(InputError, match=r"\(engine: was 'numba', now 'torch'; .*\); continue it with --engine numba, or"):
        open_study(storage, "x", definition_of(SPEC_OF_DEMO, DATA, "torch"), *parts)
    monkeypatch.setitem(ENGINE_VERSIONS, "numba", 7)
    with pytest.raises(InputError, match=r"\(numbers_version: was 1, now 7\); give this one another name"):
        open_study(storage, "x", definition_of(SPEC_OF_DEMO, DATA, "numba"), *parts)


@pytest.mark.confirmed
@pytest.mark.parametrize("changed", ["the engine's numbers", "the rule of evaluation"])
def test_a_study_of_an_earlier_version_is_still_read(
    place: Place, monkeypatch: pytest.MonkeyPatch, fails: Callable[[int], str], changed: str
):
    """Its results remain. Only new trials are refused."""
    if changed == "the engine's numbers":
        for engine in ENGINE_VERSIONS:
            monkeypatch.setitem(ENGINE_VERSIONS, engine, 7)
    else:
        monkeypatch.setattr("hpo.study.plan.SAMPLE_RULE", 7)
    assert report.main(["--study", "tiny_mml", *place.where]) == 0
    assert export.main(["--study", "tiny_mml", *place.where]) == 0
    assert "exists with another definition" in fails(place.run("--trials", "9"))


def test_a_study_with_other_validation_pairs_is_not_confirmed(place: Place, fails: Callable[[int], str]):
    """An earlier version of the program held them out."""
    assert place.run("--search-only", "--trials", "1") == 0
    study = optuna.load_study(study_name="tiny_mml", storage=open_storage(str(place.output / "journal.log")))
    study.set_user_attr(DEFINITION, {**study.user_attrs[DEFINITION], "held_out": "other"})
    message = fails(confirm.main(["--study", "tiny_mml", *place.where]))
    assert "was searched by another version of this program, which measured on other validation pairs; use that" in message
    assert report.main(["--study", "tiny_mml", *place.where]) == 0
