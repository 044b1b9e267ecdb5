"""Report and dashboard: what they show of a study at any stage, and that all faces show the same."""

from __future__ import annotations

import re
from html import escape

import numpy as np
import optuna
import pytest
from optuna.artifacts import get_all_artifact_meta
from optuna_dashboard import get_note

from hpo import dashboard, report
from hpo.reporting.dashboard_sync import artifact_store
from hpo.reporting.figures import CURVES, SHAPE, penalty, pictures
from hpo.reporting.overview import Overview, markdown_table
from hpo.storage.open import open_storage
from hpo.study.definition import SPEC
from hpo.study.spec import StudySpec
from trainers.losses import BSL, CCL, MML
from trainers.yaml_files import read_yaml, sealed, to_yaml

from .conftest import Place


def opened(place: Place, name: str = "tiny_mml") -> Overview:
    study = optuna.load_study(study_name=name, storage=open_storage(str(place.output / "journal.log")))
    return Overview.of(StudySpec.model_validate(study.user_attrs[SPEC]), study, place.output / name)


def files(place: Place) -> tuple[str, str]:
    folder = place.output / "tiny_mml"
    return (folder / "report.md").read_text(), (folder / "report.html").read_text()


def test_a_half_finished_study_says_so(place: Place):
    place.run("--search-only", "--trials", "2")
    place.edit("trials: 4", "trials: 40")
    place.run("--search-only", "--trials", "3")
    overview = opened(place)
    assert overview.progress().startswith("3 of 3 trials finished")
    place.run("--search-only", "--trials", "9", "--timeout", "0.000001")
    assert opened(place).progress().startswith("Half finished: 3 of 9 trials finished")
    for text in files(place):
        assert "No verdict yet" in text
        assert "Half finished" in text
    assert SHAPE in pictures(opened(place))
    assert CURVES not in pictures(opened(place)), "drawn from confirm"


def test_all_faces_show_the_verdict(place: Place):
    place.run()
    confirmed = read_yaml(place.output / "tiny_mml" / "confirm.yaml")
    study = opened(place).study
    note = get_note(study)
    markdown, html = files(place)
    assert len(confirmed["statements"]) >= len(confirmed["verdict"]) == 3
    for sentence in confirmed["statements"] + confirmed["caveats"]:
        assert sentence in note
        assert sentence in markdown
        assert escape(sentence) in html
    assert markdown.startswith(note)
    for comparison, method in zip(confirmed["verdict"], confirmed["test"][1:], strict=True):
        assert comparison["rival"] == method["method"]
        shown = f"{method['ndcg@20']['mean']:.4f} ± {method['ndcg@20']['sd']:.4f}"
        assert shown in markdown
        assert shown in html
        assert f"MML tuned {comparison['verdict']}" in html


def test_the_page_needs_no_network_and_has_its_pictures(place: Place):
    place.run()
    html = files(place)[1]
    assert not re.findall(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=", html)
    assert len(re.findall("<html", html)) == 1
    assert html.count("Plotly.newPlot(") == len(re.findall('id="figure-', html)) >= 6
    for key in ("shape", "confirm-curves", "popularity", "history", "curves", "effects"):
        assert f'id="figure-{key}"' in html


def test_the_claims_about_hard_negatives_and_the_loss(place: Place, monkeypatch: pytest.MonkeyPatch):
    """Which negatives get the gradient, and whether the objective follows the loss: from the runs of confirm."""
    monkeypatch.setattr("hpo.confirmation.stages.CURVE_EVERY", 1)
    place.run()
    confirmed = read_yaml(place.output / "tiny_mml" / "confirm.yaml")
    markdown, html = files(place)
    for method in confirmed["test"]:
        assert 0 < method["gradient"]["hardest 1 %"] <= method["gradient"]["hardest 10 %"] <= 1
        row = f"{100 * method['gradient']['active']:.1f} %"
        assert any(line.startswith(f"| {method['method']} | {row}") for line in markdown.splitlines())
    assert "Which negatives get the gradient" in html
    for candidate in confirmed["validation"]:
        losses = next(iter(candidate["training loss by epoch"].values()))
        assert sorted(map(int, losses)) == [1, 2, 3, 4]
    assert 'id="figure-loss-and-objective"' in html
    assert "Rank correlation over the epochs: -" in html


def test_a_confirmation_from_before_there_were_gradients_and_counts(place: Place):
    place.run()
    path = place.output / "tiny_mml" / "confirm.yaml"
    content = read_yaml(path)
    assert "users with test interactions: 48" in files(place)[0]
    del content["data"]
    for method in content["test"]:
        del method["gradient"]
    for candidate in content["validation"]:
        del candidate["training loss by epoch"]
    path.write_text(sealed(to_yaml(content)))
    assert report.main(["--study", "tiny_mml", "--output", str(place.output)]) == 0
    assert "Which negatives" not in files(place)[0]
    assert "loss-and-objective" not in files(place)[1]
    assert content["statements"][0] in files(place)[0]


def test_what_was_trained_has_each_setting_that_only_one_method_has(place: Place):
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(
        rival.read_text()
        .replace("{name: mf, dim: 8}", "{name: simplex, dim: 8, g: 0.7}")
        .replace("batch_size: 64", "batch_size: 64, score: inner_product")
    )
    place.run()
    columns, rows = opened(place).settings()
    assert columns[:2] == ["method", "loss"]
    assert {"score", "encoder.name", "encoder.g"} <= set(columns)
    assert "batch_size" not in columns, "the same for all"
    by_method = {row[0]: dict(zip(columns, row, strict=True)) for row in rows}
    assert by_method["MML tuned"]["score"] == "cosine"
    assert by_method["MML tuned"]["encoder.g"] == ""
    (ccl,) = [found for method, found in by_method.items() if method.startswith("CCL (simplex)")]
    assert (ccl["score"], ccl["encoder.g"]) == ("inner_product", "0.7")
    assert ccl["loss"] == "ccl, margin 0.9, negative_weight 150"


def test_a_study_without_a_complete_trial_has_a_page(place: Place):
    assert place.run("--search-only", "--timeout", "0.000001", "--trials", "1") == 1, "there is nothing to export"
    assert report.main(["--study", "tiny_mml", "--output", str(place.output)]) == 0
    for text in files(place):
        assert "Half finished: 0 of 1 trials finished" in text
        assert "No trial is complete yet." in text


def test_the_report_needs_no_data(place: Place, capsys: pytest.CaptureFixture[str]):
    place.run("--search-only", "--trials", "2")
    (place.root / "data").rename(place.root / "elsewhere")
    (place.output / "tiny_mml" / "report.md").unlink()
    assert report.main(["--study", "tiny_mml", "--output", str(place.output)]) == 0
    assert "report.md" in capsys.readouterr().out
    assert "2 of 2 trials finished" in files(place)[0]


def test_an_edited_verdict_counts_as_none(place: Place, capsys: pytest.CaptureFixture[str]):
    place.run()
    path = place.output / "tiny_mml" / "confirm.yaml"
    path.write_text(re.sub(r"\d\.\d %", "99.9 %", path.read_text(), count=1))
    assert report.main(["--study", "tiny_mml", "--output", str(place.output)]) == 0
    assert "does not match its checksum" in capsys.readouterr().err
    assert "No verdict yet" in files(place)[0]


@pytest.mark.parametrize("content", ["study: tiny_mml\n", "[]\n", "winner: {\n"])
def test_a_damaged_confirmation_counts_as_none(place: Place, capsys: pytest.CaptureFixture[str], content: str):
    place.run("--search-only", "--trials", "2")
    (place.output / "tiny_mml" / "confirm.yaml").write_text(content)
    assert report.main(["--study", "tiny_mml", "--output", str(place.output)]) == 0
    assert "until hpo.confirm is run again" in capsys.readouterr().err
    assert "No verdict yet" in files(place)[0]


def test_a_confirmation_of_an_earlier_state_says_so(place: Place):
    place.run()
    place.run("--search-only", "--trials", "6")
    assert "This was confirmed after 4 trials; 2 more have finished since then" in files(place)[0]


def test_a_confirmation_of_another_study_of_this_name_is_not_shown(place: Place, capsys: pytest.CaptureFixture[str]):
    place.run()
    (place.output / "journal.log").unlink()
    place.edit("n_margins: 2", "n_margins: 3")
    place.run("--search-only")
    assert "is of another study of this name" in capsys.readouterr().err
    assert "No verdict yet" in files(place)[0]


def test_a_dashboard_elsewhere_leaves_notes_alone(place: Place, monkeypatch: pytest.MonkeyPatch):
    """On another machine the results do not lie in the output folder: the note there must not become `no verdict yet`."""
    place.run()
    note = get_note(opened(place).study)
    monkeypatch.setattr(dashboard, "run_server", lambda *args, **kwargs: None)
    elsewhere = ["--storage", str(place.output / "journal.log"), "--output", str(place.root / "elsewhere")]
    assert dashboard.main(elsewhere) == 0
    assert get_note(opened(place).study) == note


def test_beyond_accuracy_adds_up(place: Place):
    place.run()
    for method in read_yaml(place.output / "tiny_mml" / "confirm.yaml")["test"]:
        groups = method["beyond"]["groups"]
        for metric in ("recall", "ndcg"):
            assert sum(group[metric] for group in groups) == pytest.approx(method[f"{metric}@20"]["mean"], abs=1e-6)
        assert 0.0 < method["beyond"]["coverage"] <= 1.0


def test_costs_are_those_of_the_trials(place: Place):
    place.run()
    overview = opened(place)
    spent = [trial.user_attrs["epochs_trained"] for trial in overview.study.trials]
    assert overview.cost.epochs == sum(spent) > 0
    tuned, published = overview.methods()[:2]
    assert tuned[4:6] == ["4", str(sum(spent) + 2 * 2 * 4)], "two candidates, two seeds, four epochs in stage 1"
    assert published[4:6] == ["", ""], "nothing was searched for it"


def test_the_dashboard_has_note_graphs_and_current_files(place: Place):
    place.run()
    overview = opened(place)
    storage, folder = open_storage(str(place.output / "journal.log")), place.output / "tiny_mml"
    attached = {meta.filename: meta.artifact_id for meta in get_all_artifact_meta(overview.study, storage=storage)}
    assert set(attached) == {"best.yaml", "report.html"}
    (folder / "best.yaml").write_text("changed: true\n")
    dashboard.publish(overview.spec, overview.study, storage, place.output)
    metas = get_all_artifact_meta(overview.study, storage=storage)
    assert sorted(meta.filename for meta in metas) == ["best.yaml", "report.html"], "replaced, not added"
    with artifact_store(place.output).open_reader(attached["best.yaml"]) as file:
        assert file.read() == b"changed: true\n"
    stored = storage.get_study_system_attrs(overview.study._study_id)
    for key in (SHAPE, CURVES):
        assert any(key in name for name in stored), f"graph {key}"


def test_penalty_by_hand():
    """At .9: 2 x (.25 x .4 + .75 x .1) = .35, slope 2 x 1; at .6 one hinge is active: 2 x .25 x .1 = .05, slope .5."""
    loss = MML(margins=(0.5, 0.8), weights=(0.25, 0.75), positive_weight=2.0, negative_weight=4.0)
    cost, slope = penalty(loss, np.array([0.4, 0.6, 0.9]))
    assert cost == pytest.approx([0.0, 0.05, 0.35])
    assert slope == pytest.approx([0.0, 0.5, 2.0])
    assert penalty(CCL(margin=0.5, negative_weight=3.0), np.array([0.7]))[0] == pytest.approx([0.6])
    with pytest.raises(ValueError, match="bsl has no margins"):
        penalty(BSL(temperature=0.1, exponent=1.0), np.array([0.7]))


def test_a_markdown_cell_cannot_break_the_table():
    assert markdown_table(["a"], [["x|y"]]) == ["| a |", "| --- |", "| x\\|y |"]
