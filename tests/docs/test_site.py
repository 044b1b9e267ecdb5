"""The site of docs/ is built without a warning, and its pages load nothing from other sites."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
LOADED = re.compile(r"<(?:script|img|link)[^>]*\s(?:src|href)=\"(https?://[^\"]+)\"")


def test_the_site_is_built(tmp_path: Path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(tmp_path)]
    quiet = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, env=quiet, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    pages = sorted(tmp_path.glob("*.html"))
    assert {"index.html", "tutorial.html", "compare.html", "python.html", "results.html"} <= {page.name for page in pages}
    loaded = {address for page in pages for address in LOADED.findall(page.read_text(encoding="utf-8"))}
    assert loaded <= {"https://squidfunk.github.io/mkdocs-material/"}, "a link to the makers of the theme, which is not loaded"
