"""winner.yaml and the other files with configs: each has the right method, trains, and belongs to the study."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from hpo import dashboard, studies, train
from hpo.confirmation.outcome import Confirmation
from hpo.confirmation.results import Finalist
from hpo.reporting.dashboard_sync import ATTACHED, study_attributes
from hpo.reporting.export import check_owner, export_confirmed
from hpo.reporting.pages import markdown
from hpo.storage.open import open_storage
from hpo.study.spec import load_spec
from hpo.study.workspace import Workspace
from trainers.yaml_files import read_yaml

from .conftest import Place
from .outcomes import BSL_OF_YELP, MML_OF_YELP, confirmed, opened


def work_of(place: Place) -> Workspace:
    return Workspace.open(load_spec(str(place.study)), place.output, place.root / "data", "numba", "cpu")


def won_by(outcome: Confirmation, label: str) -> Confirmation:
    """An outcome in which one method is the best on validation, because all others have 0."""

    def none(finalist: Finalist) -> Finalist:
        return replace(finalist, by_seed={seed: dict.fromkeys(found, 0.0) for seed, found in finalist.by_seed.items()})

    nowhere = {other: [*map(none, finalists)] for other, finalists in outcome.validated.items() if other != label}
    return outcome.model_copy(update={"validated": outcome.validated | nowhere, "baselines": []})


def held(place: Place) -> dict[str, str]:
    """The method of each file with a config."""
    paths = [path for path in (place.output / "tiny_mml").glob("*.yaml") if path.name.startswith(("best", "winner"))]
    return {path.name: read_yaml(path)["method"] for path in sorted(paths)}


def test_winner_yaml_has_the_winning_method_and_trains(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The winner may have another engine than the study (in-batch negatives need torch), and may have no search."""
    rival = place.root / "tiny_bsl.yaml"
    rival.write_text(rival.read_text().replace("{name: uniform, count: 7}", "{name: in_batch}"))
    assert place.run("--tune-rivals", "--trials", "2") == 0
    outcome, work, folder = confirmed(place), work_of(place), place.output / "tiny_mml"
    bsl = "BSL (in_batch negatives) tuned"
    found, tuned = held(place), {"best.yaml": "MML tuned", "best-ccl.yaml": "CCL tuned", "best-bsl.yaml": bsl}
    winner = outcome.decision.winner
    assert found == tuned | ({"winner.yaml": winner.label} if winner else {})
    assert all(f"{folder / name} ({label})" in capsys.readouterr().out for name, label in [*found.items()][:1])
    (ours,) = [method for method in outcome.methods if method.label == MML_OF_YELP]
    for label, study in ((bsl, "tiny_bsl"), ("MML tuned", None), (ours.label, None)):
        won = won_by(outcome, label)
        export_confirmed(work, won)
        assert held(place) == tuned | {"winner.yaml": label}
        content = read_yaml(folder / "winner.yaml")
        assert content["chosen"] == won.statements()[0]
        assert content["chosen"].startswith(f"the winner is {label} (winner.yaml)")
        assert (content.get("searched_in"), "trial" in content) == (study, label.endswith("tuned"))
        assert content["config"]["epochs"] == 4
        capsys.readouterr()
        assert train.main([str(folder / "winner.yaml"), "--data-dir", str(place.root / "data"), *place.where[:2]]) == 0
        shown = capsys.readouterr().out
        assert shown.startswith("engine torch" if label == bsl else "engine numba")
        assert f"exported: validation ndcg@20 {content['validation']['ndcg@20']:.6f}" in shown
        assert f"validation ndcg@20 {content['validation']['ndcg@20']:.6f}" in shown.splitlines()[-2]
    (folder / "winner.yaml").unlink()
    assert train.main([str(folder / "winner.yaml")]) == 2
    assert f"the study has no winner (its report says why, such as a baseline that is ahead on validation); train {folder}" in (
        capsys.readouterr().err
    )


@pytest.mark.confirmed
def test_the_report_has_the_config_of_the_winner(place: Place) -> None:
    overview = opened(place)
    text = markdown(replace(overview, confirmed=won_by(confirmed(place), BSL_OF_YELP)))
    assert f"- the winner is {BSL_OF_YELP} (winner.yaml): validation ndcg@20 " in text
    assert f"- Configs: winner.yaml holds {BSL_OF_YELP}; best.yaml holds MML tuned." in text
    first, second = (
        text.index(f"## Config of {BSL_OF_YELP}, the winner (winner.yaml)"),
        text.index("## Config of MML tuned (best.yaml)"),
    )
    assert first < second
    assert "name: bsl" in text[first:second]


@pytest.mark.confirmed
def test_files_of_an_earlier_confirm_are_deleted(place: Place) -> None:
    """There is no winner now, and no tuned rival. The dashboard does not offer the deleted files."""
    work, folder, outcome = work_of(place), place.output / "tiny_mml", confirmed(place)
    overview, storage = opened(place), open_storage(str(place.output / "journal.log"))

    def offered() -> set[str]:
        dashboard.publish(overview.spec, overview.study, storage, place.output)
        found = [
            json.loads(value) for key, value in study_attributes(overview.study, storage).items() if key.startswith(ATTACHED)
        ]
        return {meta["filename"] for meta in found if meta}

    export_confirmed(work, won_by(outcome, "MML tuned"))
    (folder / "best-ccl.yaml").write_text((folder / "best.yaml").read_text())
    assert offered() == {"winner.yaml", "best.yaml", "report.html"}
    n_files = len(list((place.output / "artifacts").iterdir()))
    far_ahead = [outcome.baselines[0].model_copy(update={"validation": 1.0})]
    export_confirmed(work, outcome.model_copy(update={"baselines": far_ahead}))
    assert held(place) == {"best.yaml": "MML tuned"}
    assert offered() == {"best.yaml", "report.html"}
    assert len(list((place.output / "artifacts").iterdir())) == n_files - 1


@pytest.mark.confirmed
@pytest.mark.parametrize("name", ["winner.yaml", "best-bsl.yaml"])
def test_a_file_of_another_study_is_neither_overwritten_nor_deleted(
    place: Place, fails: Callable[[int], str], name: str
) -> None:
    folder, study = place.output / "tiny_mml", opened(place).study
    text = (folder / "best.yaml").read_text()
    (folder / name).write_text(text)
    check_owner(folder, study)
    (folder / name).write_text(text.replace(confirmed(place).study_id, "f" * 32))
    where = ["--output", str(place.output)]
    assert f"holds the results of another study ({name} says so)" in fails(place.run("--search-only"))
    assert studies.main(["delete", "tiny_mml", "--yes", *where]) == 0
    assert Path(folder / name).exists()
    assert not (folder / "best.yaml").exists()
