"""Text and tables in Markdown."""

from __future__ import annotations

from trainers.text import visible


def plain(text: str) -> str:
    """A text, escaped for a line of Markdown: it makes no HTML, no link, no picture and no new line."""
    one_line = visible(" ".join(text.splitlines()))
    return one_line.replace("&", "&amp;").replace("<", "&lt;").replace("](", "]\\(").replace("][", "]\\[")


def markdown_table(header: list[str], rows: list[list[str]]) -> list[str]:
    """The lines of a Markdown table."""
    ruler = ["---", *("---:" for _ in header[1:])]
    return ["| " + " | ".join(plain(cell).replace("|", "\\|") for cell in row) + " |" for row in (header, ruler, *rows)]
