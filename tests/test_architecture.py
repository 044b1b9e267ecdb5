"""Imports run one way, hpo -> search_spaces -> trainers, and modules and functions stay small."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
MAY_USE = {
    "hpo": {"hpo", "search_spaces", "trainers", "studies"},
    "search_spaces": {"search_spaces", "trainers"},
    "trainers": {"trainers"},
    "studies": set(),
    "benchmarks": {"benchmarks", "hpo", "search_spaces", "trainers"},
}
HOUSE = {*MAY_USE, "tests"}
OPTUNA, OPTUNA_ROOMS = {"optuna", "optuna_dashboard", "optuna_integration"}, {"hpo", "search_spaces"}
TORCH, TORCH_ROOMS = {"torch"}, {"trainers"}
MEASURES = {"benchmarks"}  # what is run by hand may import anything
TEST_READERS = {"hpo/confirmation/stages.py", "hpo/replicate.py", "hpo/pipeline.py"}
MODULE_LINES, FUNCTION_LINES = 320, 60


def imports(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, module) of every import: at the top, in functions, under TYPE_CHECKING, relative, or by importlib."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = path.split("/")[:-1]
            above = package[: len(package) - node.level + 1] if node.level else []
            yield node.lineno, ".".join([*above, *([node.module] if node.module else [])])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                yield node.lineno, str(node.args[0].value)


def load_test_uses(tree: ast.Module) -> Iterator[int]:
    """Lines that import `load_test` by name or reach for it as an attribute or by its name as text."""
    for node in ast.walk(tree):
        imported = isinstance(node, ast.ImportFrom) and any(alias.name in ("load_test", "*") for alias in node.names)
        reached = isinstance(node, ast.Attribute) and node.attr == "load_test"
        named = isinstance(node, ast.Constant) and node.value == "load_test"
        if imported or reached or named:
            yield node.lineno


def breaches(path: str, source: str) -> list[str]:
    """Every rule that a module of the house breaks; `path` is relative to the repository."""
    room, tree = path.split("/")[0], ast.parse(source)
    found = []
    for line, module in imports(path, tree):
        target = module.split(".")[0]
        if target in HOUSE and target not in MAY_USE[room]:
            found.append(f"{path}:{line}: {room} must not import {target}")
        if target in OPTUNA and room not in OPTUNA_ROOMS | MEASURES:
            found.append(f"{path}:{line}: only {' and '.join(sorted(OPTUNA_ROOMS))} import {target}")
        if target in TORCH and room not in TORCH_ROOMS | MEASURES:
            found.append(f"{path}:{line}: only trainers imports {target}")
    if room != "trainers" and path not in TEST_READERS:
        found += [f"{path}:{line}: only confirm and replicate may read the test split" for line in load_test_uses(tree)]
    return found


def oversized(path: str, source: str) -> list[str]:
    """Modules and functions that are longer than they may be."""
    found = []
    n_lines = len(source.splitlines())
    if n_lines > MODULE_LINES:
        found.append(f"{path}: {n_lines} lines, {MODULE_LINES} are allowed")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                found.append(f"{path}:{node.lineno}: {node.name} has {length} lines, {FUNCTION_LINES} are allowed")
    return found


def modules() -> list[tuple[str, str]]:
    return [
        (file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8"))
        for room in MAY_USE
        for file in sorted((ROOT / room).rglob("*.py"))
    ]


def test_there_is_something_to_check() -> None:
    paths = {path for path, _ in modules()}
    assert {"trainers/train.py", "trainers/losses/margins.py", "benchmarks/engines.py"} <= paths


def test_imports_run_one_way() -> None:
    found = [breach for path, source in modules() for breach in breaches(path, source)]
    assert not found, "\n".join(found)


def test_modules_and_functions_are_small() -> None:
    found = [one for path, source in modules() for one in oversized(path, source)]
    assert not found, "\n".join(found)


def test_what_is_imported_is_declared() -> None:
    """Also what would come along with another package."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    known = {_plain(re.split(r"[^\w.-]", line)[0]) for group in groups for line in group}
    known |= {module for module, packages in packages_distributions().items() if known & set(map(_plain, packages))}
    known |= HOUSE | sys.stdlib_module_names
    found = [
        f"{path}:{line}: {module} is in no dependency of pyproject.toml"
        for path, source in modules()
        for line, module in imports(path, ast.parse(source))
        if module.split(".")[0] not in known
    ]
    assert not found, "\n".join(found)


def _plain(package: str) -> str:
    return re.sub(r"[-_.]+", "-", package).lower()


@pytest.mark.parametrize(
    ("path", "source", "words"),
    [
        ("trainers/a.py", "import hpo", "trainers must not import hpo"),
        ("trainers/a.py", "from hpo.spec import Study", "trainers must not import hpo"),
        ("trainers/a.py", "import numpy, search_spaces.ordered as o", "trainers must not import search_spaces"),
        ("trainers/a.py", "def f():\n    from search_spaces import SPACES", "a.py:2: trainers must not import search_spaces"),
        ("trainers/a.py", "if TYPE_CHECKING:\n    from hpo import x", "trainers must not import hpo"),
        ("trainers/a.py", "importlib.import_module('hpo.run')", "trainers must not import hpo"),
        ("trainers/a.py", "import tests.conftest", "trainers must not import tests"),
        ("search_spaces/a.py", "from hpo import spec", "search_spaces must not import hpo"),
        ("hpo/a.py", "from benchmarks import table", "hpo must not import benchmarks"),
        ("studies/__init__.py", "import trainers", "studies must not import trainers"),
        ("trainers/a.py", "import optuna", "only hpo and search_spaces import optuna"),
        ("trainers/engines/a.py", "from optuna.trial import Trial", "only hpo and search_spaces import optuna"),
        ("trainers/a.py", "__import__('optuna')", "only hpo and search_spaces import optuna"),
        ("hpo/a.py", "import torch.nn as nn", "only trainers imports torch"),
        ("search_spaces/a.py", "from torch import Tensor", "only trainers imports torch"),
        ("hpo/a.py", "from trainers import load_dataset, load_test", "may read the test split"),
        ("hpo/scheduler.py", "from trainers.datasets import load_test as t", "may read the test split"),
        ("hpo/a.py", "import trainers\ntrainers.load_test('demo')", "a.py:2: only confirm and replicate"),
        ("hpo/a.py", "getattr(trainers, 'load_test')", "may read the test split"),
        ("hpo/a.py", "from trainers import *", "may read the test split"),
        ("search_spaces/a.py", "from trainers import load_test", "may read the test split"),
        ("benchmarks/a.py", "from trainers import evaluate, load_test", "may read the test split"),
        ("benchmarks/a.py", "from tests.conftest import LOSS_CASES", "benchmarks must not import tests"),
    ],
)
def test_a_planted_breach_is_caught(path: str, source: str, words: str) -> None:
    found = breaches(path, source)
    assert len(found) == 1, found
    assert words in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("hpo/a.py", "import optuna\nimport search_spaces\nfrom trainers import train, load_dataset\nfrom . import spec"),
        ("search_spaces/a.py", "from optuna import Trial\nfrom trainers.config import TrainConfig\nfrom .ordered import x"),
        ("trainers/engines/a.py", "import torch\nfrom ..config import TrainConfig\nfrom trainers.datasets import load_test"),
        ("hpo/confirmation/stages.py", "from trainers import load_test"),
        ("hpo/replicate.py", "from trainers import load_test"),
        ("benchmarks/a.py", "import optuna, torch, benchmarks.plain\nfrom hpo import replicate\nfrom trainers import hold_out"),
        ("trainers/a.py", "import optunalike, torchvision_not\n'import hpo'  # hpo"),
    ],
)
def test_what_is_allowed_passes(path: str, source: str) -> None:
    assert breaches(path, source) == []


def test_relative_imports_are_followed() -> None:
    """Even one that climbs out of its package, which Python would refuse."""
    assert [module for _, module in imports("hpo/sub/a.py", ast.parse("from ..spec import x\nfrom . import y"))] == [
        "hpo.spec",
        "hpo.sub",
    ]


def test_planted_giants_are_caught() -> None:
    body = "\n".join(["    x = 1"] * FUNCTION_LINES)
    assert "f has 61 lines" in oversized("hpo/a.py", f"def f():\n{body}")[0]
    assert "g has 61 lines" in oversized("hpo/a.py", f"async def g():\n{body}")[0]
    assert oversized("hpo/a.py", "def f():\n" + "\n".join(["    x = 1"] * (FUNCTION_LINES - 1))) == []
    assert "321 lines" in oversized("hpo/a.py", "x = 1\n" * 321)[0]
    assert oversized("hpo/a.py", "x = 1\n" * 320) == []
