"""report.md and report.html (one file, needs no network) of a study at any stage."""

from __future__ import annotations

from html import escape
from pathlib import Path

from hpo.reporting.figures import Picture
from hpo.reporting.overview import BEYOND_COLUMNS, CAVEATS_TITLE, GRADIENT_COLUMNS, METHOD_COLUMNS, Overview, markdown_table
from hpo.runs.provenance import provenance
from hpo.runtime.text import CHANGE_OUTPUT_HINT
from trainers.files import write_text
from trainers.yaml_files import to_yaml

MARKDOWN, HTML = "report.md", "report.html"

STYLE = """
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #222; background: #fff; max-width: 68rem; margin: 0 auto; padding: 1rem; }
h1 { font-size: 1.6rem; margin: .5rem 0; } h2 { font-size: 1.2rem; margin: 2rem 0 .5rem; }
.verdict { border-left: .4rem solid #1f77b4; background: #f2f7fb; padding: .6rem 1rem .6rem 2rem; }
.verdict li { margin: .3rem 0; }
.wide { overflow-x: auto; } table { border-collapse: collapse; font-size: .9rem; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid #ddd; text-align: right; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
pre { background: #f6f6f6; padding: .8rem; overflow-x: auto; font-size: .85rem; }
figure { margin: 0; } figcaption { color: #555; font-size: .85rem; }
""".strip()


def write_report(overview: Overview, drawn: dict[str, Picture], folder: Path) -> list[Path]:
    """Write both files; returns their paths."""
    write_text(folder / MARKDOWN, markdown(overview), CHANGE_OUTPUT_HINT)
    write_text(folder / HTML, page(overview, drawn), CHANGE_OUTPUT_HINT)
    return [folder / MARKDOWN, folder / HTML]


def markdown(overview: Overview) -> str:
    """The report without pictures, in Markdown."""
    lines = [overview.note(), "## How it was done", "", *(f"- {fact}" for fact in overview.facts()), ""]
    if overview.beyond():
        lines += ["## Beyond accuracy", "", *markdown_table(BEYOND_COLUMNS, overview.beyond()), ""]
    if overview.gradients():
        lines += ["## Which negatives get the gradient", "", *markdown_table(GRADIENT_COLUMNS, overview.gradients()), ""]
    columns, rows = overview.settings()
    if rows:
        lines += ["## What was trained", "", *markdown_table(columns, rows), ""]
    if overview.best_yaml():
        lines += ["## Best config", "", "```yaml", overview.best_yaml().rstrip(), "```", ""]
    return "\n".join([*lines, "## Made by", "", "```yaml", _origin().rstrip(), "```", ""])


def _origin() -> str:
    """Of the report; where the numbers come from stands in confirm.yaml and with each run."""
    return to_yaml(provenance().to_dict())


def page(overview: Overview, drawn: dict[str, Picture]) -> str:
    """The report as one HTML file: verdict, table, pictures, config, origin."""
    name = escape(overview.spec.name)
    parts = [
        f"<h1>{name}</h1>",
        f'<ul class="verdict">{_items(overview.verdict())}</ul>',
        _table(METHOD_COLUMNS, overview.methods(), "Test split"),
        f"<h2>{CAVEATS_TITLE}</h2><ul>{_items(overview.caveats())}</ul>" if overview.caveats() else "",
        f"<p>{escape(overview.progress())} {escape(overview.best_trial())}</p>",
        "".join(_figure(key, picture, first=number == 0) for number, (key, picture) in enumerate(drawn.items())),
        _table(BEYOND_COLUMNS, overview.beyond(), "Beyond accuracy"),
        _table(GRADIENT_COLUMNS, overview.gradients(), "Which negatives get the gradient"),
        f"<h2>How it was done</h2><ul>{_items(overview.facts())}</ul>",
        _table(*overview.settings(), "What was trained"),
        _pre("Best config", overview.best_yaml()),
        _pre("Made by", _origin()),
    ]
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1"><title>{name}</title>'
    body = "\n".join(part for part in parts if part)
    return f'<!doctype html>\n<html lang="en"><head>{head}<style>{STYLE}</style></head>\n<body>\n{body}\n</body></html>\n'


def _items(sentences: list[str]) -> str:
    return "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences)


def _table(header: list[str], rows: list[list[str]], title: str) -> str:
    if not rows:
        return ""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    table = f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"
    return f'<h2>{escape(title)}</h2><div class="wide">{table}</div>'


def _figure(key: str, picture: Picture, first: bool) -> str:
    """A picture; the first one brings the drawing library with it."""
    drawing = picture.figure.to_html(
        full_html=False,
        include_plotlyjs=first,
        div_id=f"figure-{key}",
        config={"responsive": True, "displayModeBar": False},
        default_height="360px" if picture.figure.layout.height is None else f"{picture.figure.layout.height}px",
    )
    caption = f"<figcaption>{escape(picture.caption)}</figcaption>"
    return f"<h2>{escape(picture.title)}</h2><figure>{drawing}{caption}</figure>"


def _pre(title: str, text: str) -> str:
    return f"<h2>{escape(title)}</h2><pre>{escape(text)}</pre>" if text else ""
