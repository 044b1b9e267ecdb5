"""The digest of the code of a loss changes with all code that may change its numbers, and with nothing else."""

from __future__ import annotations

import importlib
import linecache
import sys
from pathlib import Path
from types import ModuleType

import pytest

from trainers.losses import BPR
from trainers.losses.source import digest_of

HELPER = "def gap(x):\n    return 2 * x\n"
SOURCE = '''"""A module."""
from dataclasses import dataclass

import helpers
from helpers import gap

SCALE = 2.0
OTHER = 3.0


def bend(x):
    """What it does."""
    return x * SCALE


class Base:
    power = 2


@dataclass(frozen=True)
class Mine(Base):
    """A class."""

    width: float = 1.0

    def rows(self, scores):
        # a comment
        return [bend(gap(each)) ** self.power for each in scores]
'''


@pytest.fixture
def modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "helpers.py").write_text(HELPER)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    return tmp_path


def digest(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str = SOURCE, helper: str = HELPER) -> str:
    """The digest of class Mine in another process."""
    (folder / "my_module.py").write_text(source)
    (folder / "helpers.py").write_text(helper)
    for name in ("my_module", "helpers"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    importlib.invalidate_caches()
    linecache.clearcache()
    return digest_of(importlib.import_module("my_module").Mine)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("** self.power", "+ self.power"),
        ("x * SCALE", "x + SCALE"),
        ("SCALE = 2.0", "SCALE = 2.5"),
        ("power = 2", "power = 3"),
        ("width: float = 1.0", "width: float = 2.0"),
    ],
)
def test_what_changes_numbers_changes_it(modules: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str):
    assert old in SOURCE
    assert digest(modules, monkeypatch, SOURCE.replace(old, new)) != digest(modules, monkeypatch)


def test_so_does_a_function_of_another_module_of_the_users(modules: Path, monkeypatch: pytest.MonkeyPatch):
    before = digest(modules, monkeypatch)
    assert digest(modules, monkeypatch, helper=HELPER.replace("2 * x", "3 * x")) != before
    by_module = SOURCE.replace("bend(gap(each))", "bend(helpers.gap(each))")
    before = digest(modules, monkeypatch, by_module)
    assert digest(modules, monkeypatch, by_module, HELPER.replace("2 * x", "3 * x")) != before


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("# a comment", "# another"),
        ('"""A class."""', '"""What it is for."""'),
        ('"""What it does."""', '"""Bends."""'),
        ("x * SCALE", "(x   *  SCALE)"),
        ("OTHER = 3.0", "OTHER = 4.0"),
        ("from helpers import gap\n", "from helpers import gap\n\n\n\n"),
    ],
)
def test_nothing_else_does(modules: Path, monkeypatch: pytest.MonkeyPatch, old: str, new: str):
    assert old in SOURCE
    assert digest(modules, monkeypatch, SOURCE.replace(old, new)) == digest(modules, monkeypatch)


def in_a_cell(monkeypatch: pytest.MonkeyPatch, source: str, name: str, readable: bool = True) -> str:
    """The digest of class Mine from a cell of a notebook. Its lines are known, but there is no file."""
    module = ModuleType("__main__")
    monkeypatch.setitem(sys.modules, "__main__", module)
    if readable:
        linecache.cache[name] = (len(source), None, source.splitlines(keepends=True), name)
    exec(compile(source, name, "exec"), vars(module))
    return digest_of(module.Mine)


def test_a_cell_of_a_notebook_has_one(modules: Path, monkeypatch: pytest.MonkeyPatch):
    before = in_a_cell(monkeypatch, SOURCE, "<cell 1>")
    assert not before.startswith("unknown")
    assert in_a_cell(monkeypatch, SOURCE.replace("# a comment", "# another"), "<cell 2>") == before
    for old, new in (("SCALE = 2.0", "SCALE = 2.5"), ("** self.power", "+ self.power"), ("float = 1.0", "float = 2.0")):
        assert in_a_cell(monkeypatch, SOURCE.replace(old, new), f"<cell {old}>") != before


def test_code_that_cannot_be_read_is_like_no_other(modules: Path, monkeypatch: pytest.MonkeyPatch):
    """Such code may have changed. So finished runs of other code must not be used."""
    first, second = (in_a_cell(monkeypatch, SOURCE, "<stdin>", readable=False) for _ in range(2))
    assert first.startswith("unknown-")
    assert first != second


def test_this_programs_own_code_has_versions_instead():
    class Mine(BPR):
        pass

    assert digest_of(BPR) == digest_of(BPR)
    assert digest_of(Mine) != digest_of(BPR)


USING = """import functools
from dataclasses import dataclass
from typing import ClassVar

import helpers

WEIGHTS, TABLE, KINDS = [0.5, 1.0], {{"a": [1.0]}}, frozenset({{"a", "b", "c", "d"}})
START = 1.0


def doubled(method):
    @functools.wraps(method)
    def call(self, x):
        return 2 * method(self, x)

    return call


class Bend:
    def __init__(self, by):
        self.by = by


BEND = Bend(3.0)
HALF = functools.partial(helpers.gap, x=4.0)


@dataclass(frozen=True)
class Mine:
    start: ClassVar[float] = START

    @doubled
    def rows(self, x):
        return {used}
"""


@pytest.mark.parametrize(
    ("used", "old", "new"),
    [
        ("x * WEIGHTS[0]", "[0.5, 1.0]", "[0.7, 1.0]"),
        ("x * TABLE['a'][0]", '{"a": [1.0]}', '{"a": [2.0]}'),
        ("x * len(KINDS)", '"c", "d"', '"c", "e"'),
        ("x * BEND.by", "Bend(3.0)", "Bend(4.0)"),
        ("HALF()", "x=4.0", "x=5.0"),
        ("x * self.start", "START = 1.0", "START = 2.0"),
        ("x", "return 2 * method", "return 3 * method"),
    ],
)
def test_what_is_used_in_other_ways_than_by_a_call_changes_it(
    modules: Path, monkeypatch: pytest.MonkeyPatch, used: str, old: str, new: str
):
    source = USING.format(used=used)
    assert old in source
    assert digest(modules, monkeypatch, source.replace(old, new)) != digest(modules, monkeypatch, source)


def test_a_helper_in_a_package_without_an_init_counts(modules: Path, monkeypatch: pytest.MonkeyPatch):
    (modules / "mine_pack").mkdir()
    source = "import mine_pack.deep\n\nclass Mine:\n    def rows(self, x):\n        return mine_pack.deep.gap(x)\n"
    found = []
    for helper in (HELPER, HELPER.replace("2", "3")):
        (modules / "mine_pack" / "deep.py").write_text(helper)
        for name in ("mine_pack", "mine_pack.deep"):
            monkeypatch.delitem(sys.modules, name, raising=False)
        found.append(digest(modules, monkeypatch, source))
    assert found[0] != found[1]


@pytest.mark.parametrize("name", ["profile", "site-packages/installed_loss"])
def test_code_in_an_installed_package_or_in_a_module_named_like_one_of_python_counts(
    modules: Path, monkeypatch: pytest.MonkeyPatch, name: str
):
    path = modules / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    monkeypatch.syspath_prepend(path.parent)
    found = []
    for power in (2, 3):
        path.write_text(
            f"def bend(x):\n    return x**{power}\n\n\nclass Mine:\n    def rows(self, x):\n        return bend(x)\n"
        )
        monkeypatch.delitem(sys.modules, path.stem, raising=False)
        importlib.invalidate_caches()
        linecache.clearcache()
        found.append(digest_of(importlib.import_module(path.stem).Mine))
        del sys.modules[path.stem]
    assert found[0] != found[1]


def test_a_value_of_the_function_around_a_class_counts(modules: Path, monkeypatch: pytest.MonkeyPatch):
    around = """def made(power):
    class Mine:
        def rows(self, x):
            return x**power

    return Mine


Mine = made({})
"""
    assert digest(modules, monkeypatch, around.format(2)) == digest(modules, monkeypatch, around.format("1 + 1"))
    digest(modules, monkeypatch, around.format(2))
    made = sys.modules["my_module"].made
    assert digest_of(made(1)) != digest_of(made(3))


def test_a_set_counts_alike_in_every_process(modules: Path, monkeypatch: pytest.MonkeyPatch):
    """Hash seeds are simulated by orders of insertion: numbers that collide in a set keep that order."""
    source = "KINDS = {{0, 8, 16}}\n\nclass Mine:\n    def rows(self, x):\n        return len(KINDS)\n"
    orders = ("{0, 8, 16}", "{16, 8, 0}", "{8, 0, 16}")
    assert len({repr(eval(order)) for order in orders}) > 1
    assert len({digest(modules, monkeypatch, source.replace("{{0, 8, 16}}", order)) for order in orders}) == 1


def test_a_file_edited_after_its_import_does_not_change_the_code_that_is_loaded(modules: Path, monkeypatch: pytest.MonkeyPatch):
    before = digest(modules, monkeypatch)
    loaded = sys.modules["my_module"].Mine
    (modules / "my_module.py").write_text(SOURCE.replace("** self.power", "+ self.power"))
    linecache.clearcache()
    assert digest_of(loaded) == before


WRAPPED = """import functools
import operator

import numpy
import torch


class Scaled:
    def __init__(self, by):
        self.func = by

    def __call__(self, x):
        return self.func * x


{decorator}
def bend(x: float) -> float:
    return 2.0 * x


class Mine:
    def rows(self, x: dict[str, float]):
        return bend(x["a"]) + numpy.exp(0.0) + torch.exp(x) + torch.nn.functional.softplus(x)
"""


@pytest.mark.parametrize(
    "decorator",
    ["@functools.cache", "@functools.lru_cache(maxsize=2)", "@torch.jit.script", "@torch.no_grad()", "@numpy.vectorize"],
)
@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
def test_a_wrapped_helper_counts(modules: Path, monkeypatch: pytest.MonkeyPatch, decorator: str):
    source = WRAPPED.format(decorator=decorator)
    before = digest(modules, monkeypatch, source)
    assert not before.startswith("unknown")
    assert digest(modules, monkeypatch, source) == before
    assert digest(modules, monkeypatch, source.replace("2.0 * x", "3.0 * x")) != before


@pytest.mark.parametrize(
    "line",
    [
        "bend = Scaled(2.0)",
        "bend = Scaled(2.0).__call__",
        "bend = torch.nn.Threshold(2.0, 1.0)",
        "bend = operator.itemgetter(2.0)",
    ],
)
def test_so_do_a_bound_method_and_the_values_of_a_callable_object(modules: Path, monkeypatch: pytest.MonkeyPatch, line: str):
    source = WRAPPED.format(decorator="").replace("class Mine", f"{line}\n\n\nclass Mine")
    before = digest(modules, monkeypatch, source)
    assert not before.startswith("unknown")
    assert digest(modules, monkeypatch, source.replace("(2.0", "(3.0")) != before


def test_a_cached_method_in_a_cell_counts(monkeypatch: pytest.MonkeyPatch):
    source = "import functools\n\nclass Mine:\n    @functools.cache\n    def rows(self, x):\n        return 2 * x\n"
    before = in_a_cell(monkeypatch, source, "<cached 1>")
    assert in_a_cell(monkeypatch, source.replace("2 * x", "3 * x"), "<cached 2>") != before


def test_compiled_functions_of_numpy_may_have_short_names(modules: Path, monkeypatch: pytest.MonkeyPatch):
    source = WRAPPED.format(decorator="").replace("class Mine", "from numpy import where as bend\n\n\nclass Mine")
    before = digest(modules, monkeypatch, source)
    assert not before.startswith("unknown")
    assert digest(modules, monkeypatch, source) == before


def test_a_callable_whose_code_cannot_be_known_is_like_no_other(modules: Path, monkeypatch: pytest.MonkeyPatch):
    line = "bend = numpy.frompyfunc(lambda x: 2 * x, 1, 1)"
    source = WRAPPED.format(decorator="").replace("class Mine", f"{line}\n\n\nclass Mine")
    assert digest(modules, monkeypatch, source).startswith("unknown-")
