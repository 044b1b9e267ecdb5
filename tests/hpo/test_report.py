"""Report and dashboard at all stages of a study. All views show the same."""

from __future__ import annotations

import re
from collections.abc import Callable
from html import unescape

import optuna
import pytest
from optuna_dashboard import get_note

from hpo import confirm, dashboard, export, report, run
from hpo.api import load_study
from hpo.reporting.figures import CURVES, SHAPE, pictures
from hpo.search.claims import this_worker
from hpo.storage.open import open_storage
from hpo.study.attributes import WORKER
from trainers.errors import InputError
from trainers.yaml_files import SEAL, read_yaml, sealed

from .conftest import Place
from .outcomes import confirmed, files, opened


@pytest.mark.pictures
def test_the_report_of_an_unfinished_study_has_its_progress(place: Place):
    place.run("--search-only", "--trials", "2")
    place.edit("trials: 4", "trials: 40")
    place.run("--search-only", "--trials", "3")
    overview = opened(place)
    assert overview.progress().startswith("3 of 3 trials finished")
    place.run("--search-only", "--trials", "2")
    assert opened(place).progress().startswith("3 trials finished (2 asked for)")
    place.run("--search-only", "--trials", "9", "--timeout", "0.000001")
    assert opened(place).progress().startswith("Not finished yet: 3 of 9 trials finished")
    for text in files(place):
        assert "No verdict yet" in text
        assert "Not finished yet" in text
    assert SHAPE in pictures(opened(place))
    assert CURVES not in pictures(opened(place)), "curves need a confirmation"


def test_a_trial_of_a_killed_worker_is_not_shown_as_running(place: Place):
    """A report only reads. The next run ends the trial."""
    place.run("--search-only", "--trials", "2")
    study, journal = opened(place).study, place.output / "journal.log"
    study.ask().set_user_attr(WORKER, this_worker())
    study.ask().set_user_attr(WORKER, {**this_worker(), "boot": "another"})
    before = journal.read_bytes()
    assert report.main(["--study", "tiny_mml", "--output", str(place.output)]) == 0
    assert journal.read_bytes() == before
    for text in files(place):
        assert "1 running, 1 lost with a process that was killed, which hpo.run runs again" in text


@pytest.mark.confirmed
def test_all_views_have_the_verdict(place: Place):
    outcome = confirmed(place)
    study = opened(place).study
    note = get_note(study)
    markdown, html = files(place)
    shown_in_html = unescape(html)
    assert len(outcome.statements()) >= len(outcome.comparisons) == 3
    assert read_yaml(place.output / "tiny_mml" / "confirm.yaml")["in_words"]["statements"] == outcome.statements()
    for sentence in [*outcome.statements(), *outcome.sentences()]:
        assert sentence in unescape(note)
        assert sentence in unescape(markdown)
        assert sentence in shown_in_html
    assert markdown.startswith(note)
    for comparison, method in zip(outcome.comparisons, outcome.methods[1:], strict=True):
        assert comparison.rival == method.label
        shown = f"{method.mean('ndcg@20'):.4f} ± {method.sd('ndcg@20'):.4f}"
        assert shown in markdown
        assert shown in html
        assert f"MML tuned {comparison.word}" in html
    assert "48 users with test interactions" in markdown


@pytest.mark.pictures
def test_the_page_needs_no_network_and_has_its_pictures(place: Place):
    place.run()
    html = files(place)[1]
    assert not re.findall(r"<(?:script|img|link|iframe)[^>]+(?:src|href)=", html)
    assert len(re.findall("<html", html)) == 1
    assert html.count("Plotly.newPlot(") == len(re.findall('id="figure-', html)) >= 6
    for key in ("shape", "confirm-curves", "popularity", "history", "best-so-far", "curves", "effects"):
        assert f'id="figure-{key}"' in html


@pytest.mark.pictures
def test_a_study_without_a_complete_trial_has_a_page(place: Place):
    assert place.run("--search-only", "--timeout", "0.000001", "--trials", "1") == 1, "there is no config to export"
    assert report.main(["--study", "tiny_mml", "--output", str(place.output)]) == 0
    for text in files(place):
        assert "Not finished yet: 0 of 1 trials finished" in text
        assert "No trial is complete yet." in text


def test_the_report_needs_no_data(place: Place, capsys: pytest.CaptureFixture[str]):
    place.run("--search-only", "--trials", "2")
    (place.root / "data").rename(place.root / "elsewhere")
    (place.output / "tiny_mml" / "report.md").unlink()
    assert report.main(["--study", "tiny_mml", "--output", str(place.output)]) == 0
    assert "report.md" in capsys.readouterr().out
    assert "2 of 2 trials finished" in files(place)[0]


def _changed(text: str) -> dict[str, str]:
    """The text of a confirm.yaml that cannot be shown any more, by a part of the message about it."""
    body = text.rpartition(SEAL)[0]
    return {
        "does not match its checksum": text.replace("MML tuned", "MML best", 1),
        "this version reads format 5, got 4": sealed(body.replace("format: 5", "format: 4", 1)),
        "must be of study 'tiny_mml', and is of another one": sealed(body.replace("n_margins: 2", "n_margins: 3", 1)),
        "expected the node content": sealed("winner: {\n"),
    }


@pytest.mark.confirmed
def test_a_verdict_that_cannot_be_read_leaves_report_and_note_as_they_are(
    place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """The report that lies there is a good one. One without the verdict would say that nothing was confirmed."""
    path, before, of_optuna = place.output / "tiny_mml" / "confirm.yaml", files(place), opened(place).study
    note = get_note(of_optuna)
    monkeypatch.setattr(dashboard, "serve", lambda application, host, port: None)
    study = load_study("tiny_mml", output=place.output)
    remedy = "; delete it and run hpo.confirm again; finished runs are kept"
    for why, text in _changed(path.read_text()).items():
        path.write_text(text)
        message = fails(report.main(["--study", "tiny_mml", "--output", str(place.output)]))
        assert f"error: {path}" in message
        assert why in message
        assert message.count(remedy) == 1
        assert str(path) in fails(export.main(["--study", "tiny_mml", *place.where, "--bundle", str(place.root / "b.zip")]))
        with pytest.raises(InputError, match=re.escape(why)):
            study.report()
        assert dashboard.main(["--output", str(place.output)]) == 0, "it shows the other studies"
        assert why in capsys.readouterr().err
        assert files(place) == before
        assert get_note(of_optuna) == note


def test_the_report_warns_of_a_confirmation_of_an_earlier_state(place: Place):
    place.run()
    place.run("--search-only", "--trials", "6")
    markdown, html = files(place)
    assert "This was confirmed after 4 trials; 2 more have finished since then" in markdown
    box = [
        "2 trials finished after this verdict: confirm again",
        "CCL and BSL are not tuned, so a comparison with them is not fair",
    ]
    assert all(f"\n- {line}\n" in markdown.partition("| method")[0] for line in box)
    assert all(f"<li>{line}</li>" in html.partition("</header>")[0] for line in box)


def test_results_of_another_study_of_this_name_are_neither_shown_nor_overwritten(place: Place, fails: Callable[[int], str]):
    """The other study is in another storage or in a deleted one. Its definition may be the same."""
    place.run()
    folder, other = place.output / "tiny_mml", ["--storage", f"sqlite:///{place.root}/x.db"]
    before = {path.name: path.read_bytes() for path in folder.glob("*.*")}
    message = f"{folder} holds the results of another study"
    assert message in fails(place.run("--search-only", *other))
    assert optuna.get_all_study_names(open_storage(other[1])) == [], "no study was made there"
    elsewhere = ["--study", str(place.study), "--data-dir", str(place.root / "data"), "--output", str(place.root / "out2")]
    assert run.main([*elsewhere, *other, "--search-only"]) == 0
    for command in (report, export, confirm):
        where = place.where[:2] if command is report else place.where
        assert message in fails(command.main(["--study", "tiny_mml", *where, *other]))
    assert {path.name: path.read_bytes() for path in folder.glob("*.*")} == before
    (place.output / "journal.log").unlink()
    assert message in fails(place.run("--search-only"))
