"""`python -m docs.generators`: write every generated file of docs/."""

from __future__ import annotations

from docs.generators.all import DOCS, files

for name, text in files().items():
    path = DOCS / name
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")
        print(f"wrote {path}")
