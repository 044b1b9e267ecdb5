"""The source must not unpickle, evaluate text, run shells, or build objects from YAML."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

from trainers.errors import InputError
from trainers.yaml_files import read_yaml

from .test_architecture import ROOT

PACKAGES = ("hpo", "search_spaces", "trainers", "benchmarks")
FORBIDDEN_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "yaml"}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "torch.load", "os.system", "os.popen", "pd.read_pickle", "joblib.load"}


def breaches(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else [node.module or ""]
            yield from (f"line {node.lineno}: imports {name}" for name in names if name.split(".")[0] in FORBIDDEN_MODULES)
        if isinstance(node, ast.Call):
            called = ast.unparse(node.func)
            options = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            if called in FORBIDDEN_CALLS or options.get("shell") == "True":
                yield f"line {node.lineno}: calls {called}"
            if called == "np.load" and options.get("allow_pickle") != "False":
                yield f"line {node.lineno}: np.load without allow_pickle=False"


def test_the_source_has_no_breach() -> None:
    found = [
        f"{path.relative_to(ROOT)}, {breach}"
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        for breach in breaches(path.read_text(encoding="utf-8"))
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize(
    "source",
    [
        "import pickle",
        "from yaml import load",
        "eval(x)",
        "torch.load(f)",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "subprocess.run(x, shell=True)",
    ],
)
def test_a_planted_breach_is_caught(source: str) -> None:
    assert len(list(breaches(source))) == 1


def test_allowed_calls_pass() -> None:
    assert not list(breaches("import json\nnp.load(f, allow_pickle=False)\nre.compile(x)\nsubprocess.run([x])"))


@pytest.mark.parametrize("tag", ["!!python/object/apply:os.system ['touch {}']", "!!python/name:os.system", "!custom {{a: 1}}"])
def test_yaml_builds_no_objects(tmp_path: Path, tag: str) -> None:
    trace, path = tmp_path / "trace", tmp_path / "x.yaml"
    path.write_text(f"dataset: {tag.format(trace)}\n")
    try:
        content = read_yaml(path)
    except InputError:
        content = {}
    assert not trace.exists()
    assert all(type(value) in (str, list, dict, int, float, bool, type(None)) for value in content.values())
