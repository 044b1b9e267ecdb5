"""Writes report.md and report.html of a study at any stage. The page is one file that needs no network."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import Path

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from hpo.confirmation.standings import LEAGUE_TITLE, PAIRS_NOTE, PAIRS_TITLE
from hpo.reporting.figures import HEIGHT, Picture
from hpo.reporting.forest import KEY
from hpo.reporting.markdown import markdown_table, plain
from hpo.reporting.method_tables import COST_NOTE, GRADIENT_COLUMNS, SEARCH_COLUMNS
from hpo.reporting.overview import (
    BASELINES_TITLE,
    BEST_TRIALS_TITLE,
    BROUGHT_TITLE,
    CAVEATS_TITLE,
    SEARCHES_COLUMNS,
    SEARCHES_NOTE,
    VERDICT_TITLE,
    Overview,
)
from hpo.runs.provenance import Provenance, provenance
from hpo.runtime.text import CHANGE_OUTPUT_HINT
from trainers.files import write_text
from trainers.text import visible
from trainers.yaml_files import to_yaml

MARKDOWN, HTML = "report.md", "report.html"

TEMPLATE = "report.html.jinja"  # in templates/
SCRIPT = re.compile(r"<script[^>]*>(.*?)</script>", re.DOTALL)


def write_report(overview: Overview, drawn: dict[str, Picture], folder: Path) -> list[Path]:
    """Write both files into the folder, which must exist; returns their paths."""
    write_text(folder / MARKDOWN, markdown(overview), CHANGE_OUTPUT_HINT, make_folder=False)
    write_text(folder / HTML, page(overview, drawn), CHANGE_OUTPUT_HINT, make_folder=False)
    return [folder / MARKDOWN, folder / HTML]


def markdown(overview: Overview) -> str:
    """The report without pictures, in Markdown."""
    league = overview.standings
    lines = [overview.note()]
    if league:
        lines += [f"## {LEAGUE_TITLE}", "", *markdown_table(league.columns(overview.k), league.cells()), ""]
        if league.league.pairs:
            lines += [f"## {PAIRS_TITLE}", "", plain(PAIRS_NOTE), "", *markdown_table(*league.pairs()), ""]
    lines += ["## How it was done", "", *(f"- {plain(fact)}" for fact in overview.facts()), ""]
    if overview.methods():
        took = [[row[0], *row[-len(SEARCH_COLUMNS) :]] for row in overview.methods()]
        lines += ["## What it took", "", *markdown_table(["method", *SEARCH_COLUMNS], took), "", COST_NOTE, ""]
    if overview.search_rows():
        lines += ["## Searches", "", *markdown_table(SEARCHES_COLUMNS, overview.search_rows()), "", SEARCHES_NOTE, ""]
    if overview.beyond():
        lines += ["## Beyond accuracy", "", *markdown_table(overview.beyond_columns, overview.beyond()), ""]
    if overview.gradients():
        lines += ["## Which negatives get the gradient", "", *markdown_table(GRADIENT_COLUMNS, overview.gradients()), ""]
    columns, rows = overview.settings()
    if rows:
        lines += ["## What was trained", "", *markdown_table(columns, rows), ""]
    if overview.baselines():
        lines += [f"## {BASELINES_TITLE}", "", *(f"- {plain(sentence)}" for sentence in overview.baselines()), ""]
    for title, text in overview.configs():
        lines += [f"## {plain(title)}", "", *_fenced(text), ""]
    return "\n".join([*lines, "## Made by", "", *_fenced(_origin(overview.made_by)), ""])


def _fenced(text: str) -> list[str]:
    """The lines of a block of YAML in Markdown. Backticks in the text do not end the block."""
    fence = "`" * max(3, 1 + max((len(run) for run in re.findall("`+", text)), default=0))
    return [f"{fence}yaml", text.rstrip(), fence]


def _origin(figures: Provenance | None) -> str:
    """The versions that computed the figures and those that wrote the page, as YAML. Each run has those that trained it."""
    computed = {} if figures is None else {"figures": figures.to_dict()}
    return to_yaml({**computed, "page": provenance().to_dict()})


def page(overview: Overview, drawn: dict[str, Picture]) -> str:
    """The report as one HTML file: verdict, table, pictures, config, origin."""
    return rendered(
        TEMPLATE,
        drawn,
        overview.made_by,
        name=overview.spec.name,
        key=KEY,
        overview=overview,
        league=overview.standings,
        searches_columns=SEARCHES_COLUMNS,
        searches_note=SEARCHES_NOTE,
        gradient_columns=GRADIENT_COLUMNS,
        brought_title=BROUGHT_TITLE,
        best_trials_title=BEST_TRIALS_TITLE,
        verdict_title=VERDICT_TITLE,
        caveats_title=CAVEATS_TITLE,
        league_title=LEAGUE_TITLE,
        pairs_title=PAIRS_TITLE,
        pairs_note=PAIRS_NOTE,
        baselines_title=BASELINES_TITLE,
    )


def rendered(template: str, drawn: Mapping[str, Picture], made_by: Provenance | None, **content: object) -> str:
    """The page of a template in templates/, with pictures and with the versions that made it.

    Args:
        made_by: the versions that computed the verdict; None before there is one.
    """
    figures = [
        {
            "title": picture.title,
            "caption": picture.caption,
            "drawing": _drawing(key, picture, first=number == 0),
            "of_search": picture.of_search,
            "of_league": picture.of_league,
        }
        for number, (key, picture) in enumerate(drawn.items())
    ]
    policy = _policy(str(figure["drawing"]) for figure in figures)
    return _environment().get_template(template).render(policy=policy, figures=figures, origin=_origin(made_by), **content)


def _policy(drawings: Iterable[str]) -> str:
    """The content security policy of a page: it may run its own scripts and no others, and load nothing."""
    scripts = [script for drawing in drawings for script in SCRIPT.findall(drawing)]
    digests = (base64.b64encode(hashlib.sha256(script.encode()).digest()).decode() for script in scripts)
    allowed = " ".join(f"'sha256-{digest}'" for digest in digests) or "'none'"
    return f"default-src 'none'; script-src {allowed}; style-src 'unsafe-inline'; img-src data: blob:"


@cache
def _environment() -> Environment:
    """The settings of templates: all values are escaped, control characters included, and an unknown name is an error."""
    return Environment(
        loader=PackageLoader("hpo.reporting"),
        autoescape=True,
        finalize=lambda value: visible(value) if type(value) is str else value,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )


def _drawing(key: str, picture: Picture, first: bool) -> Markup:
    """The HTML of a picture. The first one of a page includes the drawing library."""
    return Markup(
        picture.figure.to_html(
            full_html=False,
            include_plotlyjs=first,
            div_id=f"figure-{key}",
            config={"responsive": True, "displayModeBar": False},
            default_height=f"{picture.figure.layout.height or HEIGHT}px",
        )
    )
