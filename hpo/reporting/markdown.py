"""Text and tables in Markdown."""

from __future__ import annotations

from trainers.text import visible


def plain(text: str) -> str:
    """Text in a line of Markdown: it holds neither HTML, links nor pictures, and does not end the line."""
    one_line = visible(" ".join(text.splitlines()))
    return one_line.replace("&", "&amp;").replace("<", "&lt;").replace("](", "]\\(").replace("][", "]\\[")


def markdown_table(header: list[str], rows: list[list[str]]) -> list[str]:
    """Lines of a Markdown table."""
    ruler = ["---", *("---:" for _ in header[1:])]
    return ["| " + " | ".join(plain(cell).replace("|", "\\|") for cell in row) + " |" for row in (header, ruler, *rows)]
