"""Sentences of a verdict that README and tutorial quote are those of the program, except for names and figures."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from hpo.reporting.overview import BEST_TRIALS_TITLE, BROUGHT_TITLE, CAVEATS_TITLE, VERDICT_TITLE

ROOT = Path(__file__).resolve().parents[2]
WORDING = ROOT / "tests" / "hpo" / "confirmation" / "wording.txt"  # each sentence of the program once
SPOKEN = re.compile(r"^(- )?(the winner is|the highest|[A-Z]{3} |MML tuned|a method that)")
LOSS = r"\b[A-Z]{3}\b( tuned| published| \(published settings of Yelp2018\))?"


def masked(line: str) -> str:
    """A sentence without names of methods, their number, and figures, because these differ between studies."""
    line = line.removeprefix("- ").removesuffix("; it is not compared at all")
    line = re.sub(rf"{LOSS}(, {LOSS})*( and {LOSS})*", "METHODS", line)
    line = re.sub(r"\b\w+_(mml|ccl|bsl)\b", "STUDY", line)
    line = re.sub(r"(?<!@)[+-]?\d*\.?\d+\b", "#", line).replace("p < #", "p #")
    line = re.sub(r"#((, #)*( and |, )#)+", "#", line)
    return re.sub(r"\b(is|are)\b", "IS", re.sub(r"\b(its|their)\b", "ITS", line))


def test_every_section_of_the_report_is_explained() -> None:
    """The names are those in the templates and pictures."""
    folder, page = ROOT / "hpo" / "reporting", (ROOT / "docs" / "outputs.md").read_text(encoding="utf-8")
    sources = folder / "templates" / "report.html.jinja", folder / "figures.py"
    source = "".join(path.read_text(encoding="utf-8") for path in sources)
    found = re.findall(r'<h2>(\w[^{<]*)<|\b(?:table|listing|Picture)\(\s*"([^"]+)"', source)
    named = [first or second for first, second in found]
    named += [CAVEATS_TITLE, BROUGHT_TITLE, VERDICT_TITLE, BEST_TRIALS_TITLE]
    assert len(named) > 15
    assert [name for name in named if name not in page] == []


@pytest.mark.parametrize("page", ["README.md", "docs/tutorial.md"])
def test_quoted_sentences_are_those_of_the_program(page):
    known = {masked(line.partition(": ")[2]) for line in WORDING.read_text(encoding="utf-8").splitlines()}
    blocks = re.findall(r"^```text\n(.*?)^```", (ROOT / page).read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    quoted = [line for block in blocks for line in block.splitlines() if SPOKEN.match(line)]
    assert len(quoted) > 7
    assert [line for line in quoted if masked(line) not in known] == []
