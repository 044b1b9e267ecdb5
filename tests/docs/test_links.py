"""Every link of README and docs/ to a file or a heading has a target. Pages on the web are not requested."""

from __future__ import annotations

import re
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
LINK = re.compile(r"\[[^\]\[]*\]\(([^)\s]+)\)")
PICTURE_TEXT = re.compile(r"!\[([^\]]*)\]\(")


def prose(path: Path) -> str:
    """The text of a page without its blocks of code."""
    return re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)


def slug(heading: str) -> str:
    """The anchor that GitHub and mkdocs give to a heading."""
    plain = LINK.sub(lambda found: found[0][1 : found[0].index("]")], heading).replace("`", "")
    return re.sub(r"\s", "-", re.sub(r"[^\w\s-]", "", plain).strip().lower())


@cache
def anchors(path: Path) -> list[str]:
    return [slug(line.lstrip("#")) for line in prose(path).splitlines() if re.match(r"#+ ", line)]


def broken(path: Path) -> list[str]:
    """The links of a page that have no target."""
    found = []
    for target in LINK.findall(prose(path)):
        if re.match(r"(https?|mailto):", target):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        if not file.exists():
            found.append(f"{target}: there is no such file")
        elif anchor and anchor not in anchors(file):
            found.append(f"{target}: no heading of {file.name} has this anchor")
    return found


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_has_a_target(page):
    assert broken(page) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_the_headings_of_a_page_differ_and_its_pictures_have_a_text(page):
    assert [name for name, times in Counter(anchors(page)).items() if times > 1] == []
    assert all(PICTURE_TEXT.findall(prose(page)))


def test_a_broken_link_is_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# Two words\n[a](#two-words) [b](#three) [c](gone.md) [d](https://nowhere.invalid)\n```\n[e](code.md)\n```\n"
    )
    assert [line.split(":")[0] for line in broken(page)] == ["#three", "gone.md"]


def test_every_page_is_in_the_menu_of_the_site():
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    menu = YAML(typ="safe").load(text)["nav"]
    pages = {page for entry in menu for value in entry.values() for page in _files(value)}
    assert pages == {path.name for path in (ROOT / "docs").glob("*.md")} | {"results.md"}  # see docs/generators/hooks.py
    assert "font: false" in text  # a page loads nothing from the network


def _files(value: Any) -> list[str]:
    if isinstance(value, str):
        return [value]
    return [file for entry in value for inner in entry.values() for file in _files(inner)]
