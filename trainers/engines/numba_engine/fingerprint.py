"""A number that identifies the code of a compiled kernel. Numba itself checks only the source file of the kernel.

The walk starts at the function that builds the kernel. It follows names, through imports of this package, to all functions
and constants that may end up in the machine code. Their code is hashed without comments, docstrings and annotations: so editing
a comment, or a line of a table that no kernel uses, does not recompile a kernel.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]  # the folder of the package
PACKAGE = __name__.partition(".")[0]


def fingerprint(build: Callable[..., Any]) -> int:
    """The fingerprint of a function and of everything that it uses; never 0.

    Args:
        build: a function at the top level of a module of this package.

    Raises:
        ValueError: it is not at the top level, or the walk cannot follow an import.
    """
    return fingerprint_of(ROOT, build.__module__, build.__qualname__)


def fingerprint_of(root: Path, module: str, name: str) -> int:
    """The fingerprint of the function `name` of a module, for a copy of the package in the folder `root`; see `fingerprint`."""
    used = reached(root, module, name)
    if (module, name) not in used:
        raise ValueError(f"a kernel is built by a function at the top of a module of {PACKAGE}, got {module}.{name}")
    codes = [f"{owner}.{symbol} {code}" for (owner, symbol), code in sorted(used.items())]
    return int.from_bytes(sha256("\n".join(codes).encode()).digest()[:6], "big") + 1


def reached(root: Path, module: str, name: str) -> dict[tuple[str, str], str]:
    """The code of the function `name` of a module and of everything that it uses, by (module, name)."""
    found: dict[tuple[str, str], str] = {}
    queue = [(module, name)]
    while queue:
        owner, symbol = queue.pop()
        source = _source(root, owner)
        if source is None or (owner, symbol) in found:
            continue
        statements = source.get(symbol, [])
        found[owner, symbol] = " ".join(ast.dump(one) for one in statements if not isinstance(one, ast.ImportFrom | ast.Import))
        for statement in statements:
            queue += _used(root, owner, symbol, statement)
    return {key: code for key, code in found.items() if code}


def _used(root: Path, module: str, name: str, statement: ast.stmt) -> Iterator[tuple[str, str]]:
    """(module, name) of everything that a statement may use: names of its module, and attributes of imported modules."""
    if isinstance(statement, ast.Import) and any(alias.name.partition(".")[0] == PACKAGE for alias in statement.names):
        raise ValueError(f"{module}: write `from {PACKAGE} import ...`, the walk cannot follow `import` of {name}")
    if isinstance(statement, ast.ImportFrom):
        if statement.level:
            raise ValueError(f"{module}: write `from {PACKAGE} import ...`, the walk cannot follow a relative import of {name}")
        origin = next(alias.name for alias in statement.names if (alias.asname or alias.name) == name)
        yield str(statement.module), origin
        return
    names = _source(root, module) or {}
    for node in ast.walk(statement):
        if isinstance(node, ast.Name) and node.id in names:
            yield module, node.id
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name):
            for imported in names.get(node.value.id, []):
                if isinstance(imported, ast.ImportFrom):
                    origin = next(alias.name for alias in imported.names if (alias.asname or alias.name) == node.value.id)
                    yield f"{imported.module}.{origin}", node.attr


@cache
def _source(root: Path, module: str) -> dict[str, list[ast.stmt]] | None:
    """The statements that define each name of a module of the package; None for a module of another package."""
    parts = module.split(".")
    if parts[0] != PACKAGE:
        return None
    paths = root.joinpath(*parts).with_suffix(".py"), root.joinpath(*parts, "__init__.py")
    path = next((path for path in paths if path.is_file()), None)
    if path is None:
        return None
    names: dict[str, list[ast.stmt]] = {}
    for statement in _top(_Bare().visit(ast.parse(path.read_text(encoding="utf-8"))).body):
        for name in _defined(statement):
            names.setdefault(name, []).append(statement)
    return names


def _top(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """The statements at the top level of a module, including those in if, try and with."""
    for statement in body:
        if isinstance(statement, ast.If | ast.Try | ast.With):
            for inner in ("body", "orelse", "finalbody"):
                yield from _top(getattr(statement, inner, []))
        else:
            yield statement


def _defined(statement: ast.stmt) -> list[str]:
    """The names that a statement defines."""
    if isinstance(statement, ast.FunctionDef | ast.ClassDef):
        return [statement.name]
    if isinstance(statement, ast.Import | ast.ImportFrom):
        return [alias.asname or alias.name.partition(".")[0] for alias in statement.names]
    return [node.id for node in ast.walk(statement) if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store)]


class _Bare(ast.NodeTransformer):
    """Removes docstrings and annotations, which are not compiled."""

    def visit_Expr(self, node: ast.Expr) -> ast.Expr | ast.Pass:
        self.generic_visit(node)
        is_text = isinstance(node.value, ast.Constant) and isinstance(node.value.value, str)
        return ast.Pass() if is_text else node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.FunctionDef:
        self.generic_visit(node)
        node.returns = None
        node.body = _without_pass(node.body)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.ClassDef:
        self.generic_visit(node)
        node.body = _without_pass(node.body)
        return node

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.stmt:
        self.generic_visit(node)
        if node.value is None:
            return node  # a field of a named tuple: its type is compiled
        return ast.Assign(targets=[node.target], value=node.value)


def _without_pass(body: list[ast.stmt]) -> list[ast.stmt]:
    """A body without `pass`, so that a removed docstring leaves no trace."""
    return [statement for statement in body if not isinstance(statement, ast.Pass)] or [ast.Pass()]
