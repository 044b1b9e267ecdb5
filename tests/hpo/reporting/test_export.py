"""Exported files are never written over results of another study."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from hpo.reporting.export import check_owner, trials_table
from hpo.study.definition import STUDY_ID, name_metrics
from hpo.study.stored import EVALUATED_ON
from trainers.errors import InputError

from ..conftest import Place


@pytest.mark.parametrize("name", ["best.yaml", "winner.yaml", "best-bsl.yaml", "best_trial.yaml", "confirm.yaml"])
def test_an_unreadable_file_counts_as_that_of_another_study(tmp_path: Path, name: str):
    study = optuna.create_study()
    study.set_user_attr(STUDY_ID, "ours")
    check_owner(tmp_path, study)
    (tmp_path / name).write_text("winner: {\n")
    for one in (study, None):
        check_owner(tmp_path, one, to_overwrite=False)
        with pytest.raises(InputError) as caught:
            check_owner(tmp_path, one)
        assert str(caught.value) == (
            f"{tmp_path / name} cannot be read: it is damaged, of another version, or another study's, and results of others "
            "are never overwritten; move it away or delete it, then run the same command again (finished runs are kept)"
        )


def test_a_search_continues_after_the_unreadable_file_is_deleted(place: Place, fails: Callable[[int], str]):
    few = ["--search-only", "--trials"]
    assert place.run(*few, "1") == 0
    best = place.output / "tiny_mml" / "best.yaml"
    best.write_text("loss: {\n")
    assert f"{best} cannot be read" in fails(place.run(*few, "2"))
    assert best.read_text() == "loss: {\n"
    best.unlink()
    assert place.run(*few, "2") == 0
    assert best.exists()


def test_parameters_keep_names_that_begin_like_a_prefix_of_optuna():
    """Optuna names the columns `params_value_weight` and `value_map@5`. One prefix is removed from each."""
    study = optuna.create_study()
    name_metrics(study, ["map@5"])
    study.set_user_attr(EVALUATED_ON, [10, 10])
    trial = study.ask()
    names = ("weight", "value_weight", "params_weight", "user_attrs_weight")
    given = {name: trial.suggest_float(name, number, number) for number, name in enumerate(names)}
    trial.set_user_attr("params_depth", 9.0)
    study.tell(trial, 0.5)
    (row,) = trials_table(study).to_dict("records")
    expected = {**given, "params_depth": 9.0, "map@5": 0.5}
    assert {name: row[name] for name in expected} == expected
