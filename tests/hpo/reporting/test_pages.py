"""The report's page as HTML."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

import optuna
import pytest
from jinja2 import UndefinedError

from hpo.reporting.overview import Overview
from hpo.reporting.pages import _environment, page
from hpo.study.definition import DEFINITION, SplitData, definition_of
from hpo.study.spec import StudySpec, load_spec
from trainers.data.options import ValidationSplit


class Elements(HTMLParser):
    """The elements of a page in their order, and its text."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.open: list[str] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attributes: object) -> None:
        self.tags.append(tag)
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data


def page_of(spec: StudySpec, folder: Path) -> Elements:
    """The page of a study without trials."""
    study = optuna.create_study()
    data = SplitData("sum", ValidationSplit(name="random"), "seen", "held out")
    study.set_user_attr(DEFINITION, definition_of(spec, data, "numba").to_dict())
    return Elements(page(Overview.of(spec, study, folder), {}))


def test_what_a_name_holds_is_text(tmp_path: Path):
    """Data are called as their folder is."""
    spec = load_spec("demo_mml").model_copy(update={"dataset": 'a"b<script>alert(1)<b>'})
    shown = page_of(spec, tmp_path)
    assert 'Data: a"b<script>alert(1)<b>;' in shown.text
    assert "script" not in shown.tags
    assert "b" not in shown.tags
    assert shown.open == [], "every element is closed"


def test_a_page_of_a_study_without_trials_has_no_empty_parts(tmp_path: Path):
    shown = page_of(load_spec("demo_mml"), tmp_path)
    assert shown.tags.count("h1") == 1
    assert "table" not in shown.tags
    assert shown.tags.count("h2") == shown.tags.count("pre") + 1 == 2, "how it was done, and made by"
    assert "No verdict yet" in shown.text


def test_a_name_that_a_template_gets_wrong_is_an_error():
    with pytest.raises(UndefinedError):
        _environment().from_string("{{ overview.verdicts }}").render(overview=object())
