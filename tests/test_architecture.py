"""Imports run one way, hpo -> search_spaces -> trainers and down the packages of hpo; the test split has few readers; modules
and functions stay small."""

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
OURS = {*MAY_USE, "tests"}
OPTUNA, MAY_IMPORT_OPTUNA = {"optuna", "optuna_dashboard", "optuna_integration"}, {"hpo", "search_spaces"}
TORCH, MAY_IMPORT_TORCH = {"torch"}, {"trainers"}
MEASURES = {"benchmarks"}  # run by hand, so it may import anything
# The packages of hpo. Each imports only from those before it. The commands come last.
HPO_ORDER = [
    "runtime",
    "storage",
    "study",
    "search",
    "runs",
    "confirmation",
    "replication",
    "reporting",
    "comparison",
    "cli",
    "pipeline",
    "outcomes",
    "calls",
    "api",
]
COMMANDS = ["run", "confirm", "export", "train", "studies", "report", "dashboard", "replicate", "proxy", "recommend", "compare"]
# Others use these modules without this program. So they import nothing else of it, and no library that takes seconds to load.
STANDALONE = {
    "hpo/confirmation/evidence.py": {"numpy", "scipy", "pydantic"},
    "hpo/confirmation/statistics.py": {"numpy", "scipy", "pydantic", "hpo.confirmation.evidence"},
}
# The modules that may read test data, and the names that give access to them.
TEST_READERS = [
    "hpo/confirmation/stages.py",  # measures the models of stage 2
    "hpo/comparison/truth.py",  # scores lists of other programs against a file that the user names
    "hpo/replicate.py",  # trains published configs
    "hpo/train.py",  # --all-data trains on it, and measures nothing
    "hpo/pipeline.py",  # checks the file before a search
    "hpo/study/draft.py",  # counts its users for a new study file, and measures nothing
    "hpo/study/split_files.py",  # writes it to a file for other programs, and measures nothing
    "trainers/__init__.py",  # passes load_test on
    "trainers/data/datasets.py",  # reads the files and makes the splits
    "benchmarks/baselines.py",  # measures a baseline that was tuned on validation
    "benchmarks/unexplained_rows.py",  # measures changes of rows of papers that do not come out
    "benchmarks/carry_over.py",  # measures whether validation puts configs in the order of the test split
]
TEST_DATA = {
    "load_test",
    "load_all",
    "read_test",
    "make_demo",
    "read_interactions",
    "prepare",
    "adopt",
    "_read_version",
    "_read_like",
}
MODULE_LINES, FUNCTION_LINES, TEST_MODULE_LINES = 320, 60, 500


def imports(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, module) of every import: at the top, in functions, under TYPE_CHECKING, relative, or by importlib."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, _source(path, node)
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__"):
                yield node.lineno, str(node.args[0].value)


def _source(path: str, node: ast.ImportFrom) -> str:
    """The module that `from ... import` imports from, as an absolute name."""
    package = path.split("/")[:-1]
    above = package[: len(package) - node.level + 1] if node.level else []
    return ".".join([*above, *([node.module] if node.module else [])])


def parts_of_hpo(path: str, tree: ast.Module) -> Iterator[tuple[int, str]]:
    """(line, package or module directly in hpo) of every import from hpo."""
    for line, module in imports(path, tree):
        if module.startswith("hpo."):
            yield line, module.split(".")[1]
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and _source(path, node) == "hpo":
            yield from ((node.lineno, alias.name) for alias in node.names)


def out_of_order(path: str, tree: ast.Module) -> Iterator[str]:
    """Imports of a module of hpo from a package above its own, or from a command."""
    package = path.split("/")[1].removesuffix(".py")
    for line, part in parts_of_hpo(path, tree):
        if part in COMMANDS:
            yield f"{path}:{line}: {part} is a command, which nobody imports"
        elif part not in HPO_ORDER:
            yield f"{path}:{line}: {part} is not in HPO_ORDER"
        elif package in HPO_ORDER and HPO_ORDER.index(part) > HPO_ORDER.index(package):
            yield f"{path}:{line}: {package} must not import {part}, which is above it"
    if package not in [*HPO_ORDER, *COMMANDS, "__init__"]:
        yield f"{path}: {package} is neither in HPO_ORDER nor in COMMANDS"


def uses_of_test_data(tree: ast.Module) -> Iterator[int]:
    """Lines that import a name of TEST_DATA, or use it as an attribute or as text."""
    for node in ast.walk(tree):
        imported = isinstance(node, ast.ImportFrom) and any(alias.name in TEST_DATA for alias in node.names)
        from_all = isinstance(node, ast.ImportFrom) and (node.module or "").startswith("trainers") and node.names[0].name == "*"
        reached = isinstance(node, ast.Attribute) and node.attr in TEST_DATA
        named = isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value in TEST_DATA
        if imported or from_all or reached or named:
            yield node.lineno


def breaches(path: str, source: str) -> list[str]:
    """The breaches of rules in a module of the project. `path` is relative to the repository."""
    package, tree = path.split("/")[0], ast.parse(source)
    found = []
    for line, module in imports(path, tree):
        target = module.split(".")[0]
        if target in OURS and target not in MAY_USE[package]:
            found.append(f"{path}:{line}: {package} must not import {target}")
        if target in OPTUNA and package not in MAY_IMPORT_OPTUNA | MEASURES:
            found.append(f"{path}:{line}: only {' and '.join(sorted(MAY_IMPORT_OPTUNA))} import {target}")
        if target in TORCH and package not in MAY_IMPORT_TORCH | MEASURES:
            found.append(f"{path}:{line}: only trainers imports {target}")
    if path in STANDALONE:
        modules = {module for _, module in imports(path, tree)} - STANDALONE[path]
        others = {module.split(".")[0] for module in modules} - STANDALONE[path] - sys.stdlib_module_names
        found += [f"{path}: is used without this program, and must not import {', '.join(sorted(others))}"] if others else []
    if package == "hpo":
        found += out_of_order(path, tree)
    if path not in TEST_READERS:
        found += [
            f"{path}:{line}: is not in TEST_READERS, who alone may read the test split" for line in uses_of_test_data(tree)
        ]
    return found


def oversized(path: str, source: str, module_lines: int = MODULE_LINES) -> list[str]:
    """Modules and functions above the allowed length."""
    found = []
    n_lines = len(source.splitlines())
    if n_lines > module_lines:
        found.append(f"{path}: {n_lines} lines, {module_lines} are allowed")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            if length > FUNCTION_LINES:
                found.append(f"{path}:{node.lineno}: {node.name} has {length} lines, {FUNCTION_LINES} are allowed")
    return found


def modules() -> list[tuple[str, str]]:
    return [
        (file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8"))
        for package in MAY_USE
        for file in sorted((ROOT / package).rglob("*.py"))
    ]


def test_the_checked_modules_exist() -> None:
    paths = {path for path, _ in modules()}
    assert {"trainers/train.py", "trainers/losses/margins.py", "benchmarks/engines.py"} <= paths
    assert {*TEST_READERS, *STANDALONE} <= paths
    assert {*HPO_ORDER, *COMMANDS} == {path.split("/")[1].removesuffix(".py") for path in paths if path[:4] == "hpo/"} - {
        "__init__"
    }


def test_every_package_has_an_init_with_a_docstring() -> None:
    """Without the file setuptools does not find the package, and the wheel lacks it."""
    for folder in {(ROOT / path).parent for path, _ in modules() if path.split("/")[0] != "benchmarks"}:
        assert ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))), folder


def test_imports_run_one_way() -> None:
    found = [breach for path, source in modules() for breach in breaches(path, source)]
    assert not found, "\n".join(found)


def test_modules_and_functions_are_small() -> None:
    found = [one for path, source in modules() for one in oversized(path, source)]
    for file in sorted((ROOT / "tests").rglob("*.py")):
        found += oversized(file.relative_to(ROOT).as_posix(), file.read_text(encoding="utf-8"), TEST_MODULE_LINES)
    assert not found, "\n".join(found)


def test_every_import_is_a_declared_dependency() -> None:
    """A dependency of another dependency must be declared, too."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]
    known = {_plain(re.split(r"[^\w.-]", line)[0]) for group in groups for line in group}
    known |= {module for module, packages in packages_distributions().items() if known & set(map(_plain, packages))}
    known |= OURS | sys.stdlib_module_names
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
        ("trainers/a.py", "from hpo.study.spec import Study", "trainers must not import hpo"),
        ("trainers/a.py", "import numpy, search_spaces.ordered as o", "trainers must not import search_spaces"),
        ("trainers/a.py", "def f():\n    from search_spaces import SPACES", "a.py:2: trainers must not import search_spaces"),
        ("trainers/a.py", "if TYPE_CHECKING:\n    from hpo import x", "trainers must not import hpo"),
        ("trainers/a.py", "importlib.import_module('hpo.run')", "trainers must not import hpo"),
        ("trainers/a.py", "import tests.conftest", "trainers must not import tests"),
        ("search_spaces/a.py", "from hpo import spec", "search_spaces must not import hpo"),
        ("hpo/run.py", "from benchmarks import table", "hpo must not import benchmarks"),
        ("studies/__init__.py", "import trainers", "studies must not import trainers"),
        ("trainers/a.py", "import optuna", "only hpo and search_spaces import optuna"),
        ("trainers/engines/a.py", "from optuna.trial import Trial", "only hpo and search_spaces import optuna"),
        ("trainers/a.py", "__import__('optuna')", "only hpo and search_spaces import optuna"),
        ("hpo/run.py", "import torch.nn as nn", "only trainers imports torch"),
        ("search_spaces/a.py", "from torch import Tensor", "only trainers imports torch"),
        ("hpo/run.py", "from trainers import load_dataset, load_test", "may read the test split"),
        ("hpo/search/scheduler.py", "from trainers.data.datasets import load_test as t", "may read the test split"),
        ("hpo/run.py", "import trainers\ntrainers.load_test('demo')", "run.py:2: is not in TEST_READERS"),
        ("hpo/run.py", "getattr(trainers, 'load_test')", "may read the test split"),
        ("hpo/run.py", "from trainers import *", "may read the test split"),
        ("hpo/run.py", "from trainers.data.demo import make_demo", "may read the test split"),
        (
            "hpo/study/spec.py",
            "from trainers.data import datasets\ndatasets._read_version(files, ())",
            "spec.py:2: is not in TEST_READERS",
        ),
        ("trainers/train.py", "from trainers.data.datasets import load_test", "may read the test split"),
        ("hpo/run.py", "from trainers.data.datasets import read_test", "may read the test split"),
        ("hpo/study/workspace.py", "from trainers.data.datasets import _read_like", "may read the test split"),
        ("hpo/run.py", "from trainers.data.readers import read_interactions", "may read the test split"),
        ("trainers/data/splits.py", "from trainers.data.prepare import prepare", "may read the test split"),
        ("trainers/data/splits.py", "from trainers.data import prepare\nprepare", "may read the test split"),
        ("trainers/data/sources.py", "from .prepare import adopt", "may read the test split"),
        ("trainers/baselines/ease.py", "from trainers.data.demo import make_demo", "may read the test split"),
        ("search_spaces/a.py", "from trainers import load_test", "may read the test split"),
        ("benchmarks/a.py", "from trainers import evaluate, load_test", "may read the test split"),
        ("hpo/storage/open.py", "from hpo.study.objective import measured", "storage must not import study, which is above it"),
        ("hpo/search/dask.py", "def f():\n    import hpo.cli.console", "dask.py:2: search must not import cli, which is above"),
        ("hpo/study/stored.py", "from hpo import runs", "study must not import runs, which is above it"),
        ("hpo/runs/store.py", "from ..confirmation.results import Method", "runs must not import confirmation"),
        ("hpo/runs/store.py", "from .. import confirmation", "runs must not import confirmation"),
        ("hpo/cli/entry.py", "if TYPE_CHECKING:\n    from hpo import pipeline", "cli must not import pipeline"),
        ("hpo/reporting/pages.py", "from hpo.report import main", "report is a command, which nobody imports"),
        ("hpo/run.py", "from hpo import confirm", "confirm is a command, which nobody imports"),
        ("hpo/run.py", "from hpo.helpers import x", "helpers is not in HPO_ORDER"),
        ("hpo/helpers.py", "x = 1", "helpers is neither in HPO_ORDER nor in COMMANDS"),
        ("hpo/helpers/a.py", "x = 1", "helpers is neither in HPO_ORDER nor in COMMANDS"),
        ("benchmarks/a.py", "from tests.conftest import LOSS_CASES", "benchmarks must not import tests"),
        ("hpo/confirmation/statistics.py", "from trainers.validation import SETTINGS", "must not import trainers"),
        ("hpo/confirmation/statistics.py", "def f():\n    import pandas", "without this program, and must not import pandas"),
        ("hpo/confirmation/statistics.py", "import optuna", "without this program, and must not import optuna"),
    ],
)
def test_a_planted_breach_is_caught(path: str, source: str, words: str) -> None:
    found = breaches(path, source)
    assert len(found) == 1, found
    assert words in found[0]


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("hpo/run.py", "import optuna\nimport search_spaces\nfrom trainers import train, load_dataset\nfrom . import pipeline"),
        (
            "hpo/study/a.py",
            "import hpo.study.spec\nfrom hpo.storage.open import x\nfrom . import spec\nfrom ..runtime import text",
        ),
        ("hpo/pipeline.py", "from hpo.cli.console import say\nfrom hpo.confirmation import stages"),
        ("search_spaces/a.py", "from optuna import Trial\nfrom trainers.config import TrainConfig\nfrom .ordered import x"),
        (
            "trainers/engines/a.py",
            "import torch\nfrom ..config import TrainConfig\nfrom trainers.data.datasets import load_dataset",
        ),
        ("hpo/confirmation/stages.py", "from trainers import load_test"),
        ("hpo/replicate.py", "from trainers import load_test"),
        ("benchmarks/a.py", "import optuna, torch, benchmarks.plain\nfrom hpo import replicate\nfrom trainers import hold_out"),
        ("trainers/a.py", "import optunalike, torchvision_not\n'import hpo'  # hpo"),
    ],
)
def test_an_allowed_import_passes(path: str, source: str) -> None:
    assert breaches(path, source) == []


def test_relative_imports_are_followed() -> None:
    """The names of relative imports are made absolute."""
    source = ast.parse("from ..study.spec import x\nfrom . import y")
    assert [module for _, module in imports("hpo/runs/a.py", source)] == ["hpo.study.spec", "hpo.runs"]


def test_long_functions_and_modules_are_caught() -> None:
    body = "\n".join(["    x = 1"] * FUNCTION_LINES)
    assert "f has 61 lines" in oversized("hpo/a.py", f"def f():\n{body}")[0]
    assert "g has 61 lines" in oversized("hpo/a.py", f"async def g():\n{body}")[0]
    assert oversized("hpo/a.py", "def f():\n" + "\n".join(["    x = 1"] * (FUNCTION_LINES - 1))) == []
    assert "321 lines" in oversized("hpo/a.py", "x = 1\n" * 321)[0]
    assert oversized("hpo/a.py", "x = 1\n" * 320) == []
