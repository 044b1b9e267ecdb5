"""For mkdocs: pages outside docs/, and links to files that are on no page."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).resolve().parents[2]
OUTSIDE = {"../benchmarks/RESULTS.md": "results.md"}  # as docs/ links to it, and its page on the site
LINK = re.compile(r"\[([^\]]*)\]\((\.\./[^)\s]*)\)")


def on_files(files: Files, config: Any) -> Files:
    """Add the pages outside docs/."""
    for link, page in OUTSIDE.items():
        files.append(File.generated(config, page, abs_src_path=str((ROOT / "docs" / link).resolve())))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turn links to files outside docs/ into links to their pages, or into their names where they have none."""

    def on_site(found: re.Match[str]) -> str:
        text, (target, mark, anchor) = found[1], found[2].partition("#")
        return f"[{text}]({OUTSIDE[target]}{mark}{anchor})" if target in OUTSIDE else f"`{target.removeprefix('../')}`"

    return LINK.sub(on_site, markdown) if page.file.src_uri not in OUTSIDE.values() else markdown
