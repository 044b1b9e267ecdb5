"""The page of the report as HTML."""

from __future__ import annotations

import base64
import hashlib
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser
from pathlib import Path

import optuna
import plotly.graph_objects as go
import pytest
from jinja2 import UndefinedError

from hpo.reporting.figures import Picture
from hpo.reporting.overview import Overview
from hpo.reporting.pages import _environment, _fenced, markdown, page
from hpo.runs.provenance import provenance
from hpo.study.definition import DEFINITION, SplitData, definition_of
from hpo.study.spec import StudySpec, load_spec
from trainers.data.options import ValidationSplit

from ..conftest import Place
from ..outcomes import opened


class Elements(HTMLParser):
    """The elements of a page in order, and its text."""

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


def overview_of(spec: StudySpec, folder: Path) -> Overview:
    """The overview of a study without trials."""
    study = optuna.create_study()
    data = SplitData("sum", ValidationSplit(name="random"), "seen", "held out")
    study.set_user_attr(DEFINITION, definition_of(spec, data, "numba").to_dict())
    return Overview.of(spec, study, folder)


def page_of(spec: StudySpec, folder: Path) -> Elements:
    """The page of a study without trials."""
    return Elements(page(overview_of(spec, folder), {}))


def test_names_on_the_page_are_escaped(tmp_path: Path):
    """The name of the data is that of their folder."""
    spec = load_spec("demo_mml").model_copy(update={"dataset": 'a"b<script>alert(1)<b>'})
    shown = page_of(spec, tmp_path)
    assert 'Data: a"b<script>alert(1)<b>;' in shown.text
    assert "script" not in shown.tags
    assert "b" not in shown.tags
    assert shown.open == [], "every element is closed"


def test_foreign_text_of_a_confirmation_is_escaped(tmp_path: Path):
    """A confirmation may be altered and sealed again. It also has values from the command line."""
    odd = "<img src=x onerror=alert(1)>\x1b[2J\n```\n# x ![](http://x/y)"
    spec = load_spec("demo_mml").model_copy(update={"dataset": odd})
    overview = overview_of(spec, tmp_path)
    html, text = page(overview, {}), markdown(overview)
    for shown in (html, text, overview.note()):
        assert "<img" not in shown
        assert "\x1b" not in shown
    assert "](http" not in text
    assert "\n# x" not in text


def test_yaml_in_markdown_cannot_end_its_fence():
    assert _fenced("a: `````\nb: ```\n") == ["``````yaml", "a: `````\nb: ```", "``````"]
    assert _fenced("a: 1\n") == ["```yaml", "a: 1", "```"]


def test_a_page_runs_only_its_own_scripts(tmp_path: Path):
    """Its policy has the digests of its scripts, and forbids to load anything."""
    figure = Picture("t", "c", go.Figure(layout={"title": "</script><script>alert(1)</script>"}))
    overview = overview_of(load_spec("demo_mml"), tmp_path)
    html = page(overview, {"one": figure, "two": figure})
    policy = unescape(re.findall('http-equiv="Content-Security-Policy" content="([^"]*)"', html)[0])
    scripts = re.findall("<script[^>]*>(.*?)</script>", html, re.DOTALL)
    assert len(scripts) >= 3
    assert "alert(1)</script>" not in html
    for script in scripts:
        assert f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'" in policy
    assert policy.startswith("default-src 'none'; script-src 'sha256-")
    assert "unsafe" not in policy.partition("style-src")[0]
    assert "script-src &#39;none&#39;" in page(overview, {})


def test_the_page_of_a_study_without_trials_has_no_empty_sections(tmp_path: Path):
    shown = page_of(load_spec("demo_mml"), tmp_path)
    assert shown.tags.count("h1") == 1
    assert "table" not in shown.tags
    titles = re.findall("<h2>(.*?)</h2>", page(overview_of(load_spec("demo_mml"), tmp_path), {}))
    assert titles == ["The verdict in full", "The search", "How it was done", "Made by"]
    assert "No verdict yet" in shown.text


@pytest.mark.confirmed
def test_the_page_says_who_computed_the_figures_and_who_wrote_it(place: Place):
    """A later version may write the page of an older verdict."""
    overview = opened(place)
    assert overview.confirmed is not None
    older = overview.confirmed.provenance.model_copy(update={"version": "0.0.1"})
    view = replace(overview, confirmed=overview.confirmed.model_copy(update={"provenance": older}))
    for text in (markdown(view), unescape(page(view, {}))):
        made = text[text.index("Made by") :]
        figures, _, written = made.partition("\npage:\n")
        assert "figures:\n  version: 0.0.1\n" in figures
        assert f"  version: {provenance().version}\n" in written
    assert "figures:" not in markdown(replace(overview, confirmed=None)).partition("## Made by")[2]


def test_an_unknown_name_in_a_template_is_an_error():
    with pytest.raises(UndefinedError):
        _environment().from_string("{{ overview.verdicts }}").render(overview=object())


@pytest.mark.confirmed
def test_a_report_begins_with_the_result_in_words_then_the_picture_then_the_table(place: Place):
    overview = opened(place)
    html = unescape(page(overview, {}))
    first, *others = overview.headlines()
    assert f"<h1>{first}</h1>" in html
    assert all(f"<li>{sentence}</li>" in html for sentence in others)
    parts = ["<header>", '<section class="forest"', "<h2>All methods", "<h2>The verdict in full", "<h2>The search"]
    places = [html.index(part) for part in parts]
    assert places == sorted(places)
    rows = re.findall('<div class="who">([^<]+)</div>.*?<span class="word">(.*?)</span>', html, re.DOTALL)
    compared = [*overview.confirmed.comparisons, *overview.confirmed.against_baselines]
    assert sorted(rows) == sorted((one.rival, str(one.word)) for one in compared)
    assert html.count('class="detectable"') == sum(one.detectable is not None for one in compared)
    assert all(f"<li>{sentence}</li>" in html for sentence in overview.baselines())


def test_the_page_has_no_inner_scroll_bars_and_colours_for_both_schemes(tmp_path: Path):
    """Cells have the name of their column. It is shown on narrow screens, where rows become cards."""
    html = page(overview_of(load_spec("demo_mml"), tmp_path), {})
    style = html[html.index("<style>") : html.index("</style>")]
    assert "scroll" not in style
    assert "overflow-x" not in style
    assert "@media (prefers-color-scheme: dark)" in style
    shown = _environment().from_string(
        '{% from "parts.html.jinja" import table %}{{ table("T", ["method", "p"], [["A", "1"]]) }}'
    )
    assert '<td data-name="p" class="short">1</td>' in shown.render()
