"""Forged files with a valid checksum: every command that reads one succeeds or ends with one message."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from hpo import confirm, export, recommend, report, studies, train
from hpo.confirmation.outcome import Confirmation
from hpo.reporting.overview import Overview
from hpo.reporting.pages import markdown, page
from hpo.runs import tables
from hpo.runs.baselines import MEASURED, TUNING
from hpo.runs.sealed import CHECKSUM, checksum_of
from trainers.errors import InputError
from trainers.yaml_files import read_yaml, sealed, to_yaml

from .conftest import Place
from .outcomes import opened

Content = dict[str, Any]
Forge = Callable[[Content], object]
ODD: list[Any] = [None, True, -1, 10**39, 1e308, float("nan"), "", "\x1b[2J<b>|[/x]", [], {}, [{}], {"a": 1}, {1: {"a": 1}}]


@pytest.fixture(scope="module")
def whole(confirmed_once: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A confirmed study and a saved model. No test changes them."""
    root = tmp_path_factory.mktemp("whole")
    shutil.copytree(confirmed_once.root, root, dirs_exist_ok=True)
    place = Place(root)
    best = str(place.output / "tiny_mml" / "best.yaml")
    assert train.main([best, "--data-dir", str(root / "data"), "--save", str(root / "model.npz")]) == 0
    return place


@pytest.fixture
def forged(whole: Place, tmp_path: Path) -> Place:
    """A copy without the report, which a test may change."""
    shutil.copytree(whole.root, tmp_path, dirs_exist_ok=True, ignore=shutil.ignore_patterns("report.*", "artifacts"))
    return Place(tmp_path)


@pytest.fixture
def call(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str]]:
    """Call a command and return its exit code, 0 or 2, and its errors. Code 2 needs exactly one message."""

    def run(command: ModuleType, *arguments: str) -> tuple[int, str]:
        capsys.readouterr()
        code, shown = command.main(list(arguments)), capsys.readouterr()
        assert code in (0, 2), shown.err
        assert shown.err.count("error: ") == (1 if code else 0)
        assert "Traceback" not in shown.out + shown.err
        return code, shown.err

    return run


def paths(content: Any, before: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths of all values in nested mappings and lists. Only the first entry of a list is used."""
    for key, value in content.items() if isinstance(content, dict) else enumerate(content[:1]):
        yield (*before, key)
        if isinstance(value, dict | list):
            yield from paths(value, (*before, key))


def with_value(content: Any, path: tuple[Any, ...], value: Any) -> Any:
    """A copy with another value at this path. It shares all other values."""
    key, *rest = path
    changed = copy.copy(content)
    changed[key] = with_value(content[key], tuple(rest), value) if rest else value
    return changed


def without(content: Any, path: tuple[Any, ...]) -> Any:
    """A copy without the value at this path. It shares all other values."""
    key, *rest = path
    changed = copy.copy(content)
    if rest:
        changed[key] = without(content[key], tuple(rest))
    else:
        del changed[key]
    return changed


def reported(contents: Iterable[Content], overview: Overview) -> Iterator[Confirmation | None]:
    """The confirmation that each content of confirm.yaml holds, whose reports are made here; None for one that is refused."""
    for content in contents:
        try:
            confirmed = Confirmation.from_dict(content, "confirm.yaml", "delete it")
        except InputError:
            yield None
            continue
        view = replace(overview, confirmed=confirmed)
        assert markdown(view)
        assert page(view, {})
        yield confirmed


def test_a_confirmation_that_can_be_read_can_be_shown(whole: Place):
    """Each value is replaced by two odd ones in turn, and left out."""
    content = read_yaml(whole.output / "tiny_mml" / "confirm.yaml", is_sealed=True)

    def forged() -> Iterator[Content]:
        for number, path in enumerate(paths(content)):
            yield from (with_value(content, path, ODD[(number * 2 + turn) % len(ODD)]) for turn in range(2))
            yield without(content, path)

    is_shown = [one is not None for one in reported(forged(), opened(whole))]
    assert is_shown.count(True) > 50
    assert is_shown.count(False) > 500


def _drop(*names: str) -> Forge:
    return lambda content: [content.pop(name) for name in names]


CONFIRMATIONS: dict[str, Forge] = {
    "no methods": lambda c: c.update(methods=[], comparisons=[]),
    "a method without seeds": lambda c: c["methods"][0].update(by_seed={}),
    "a method with other metrics": lambda c: c["methods"][0].update(by_seed={201: {"hit@20": 0.5}}),
    "no finalists": lambda c: c.update(validated={}),
    "an empty list of finalists": lambda c: c["validated"].update({"MML tuned": []}),
    "finalists that all diverged": lambda c: [one.update(failure="nan") for one in c["validated"]["MML tuned"]],
    "a caveat without its facts": lambda c: [caveat.update(facts={}) for caveat in c["caveats"]],
    "a caveat with other facts": lambda c: [caveat.update(facts={"details": 7}) for caveat in c["caveats"]],
    "a baseline without metrics": lambda c: c["baselines"][0].update(metrics={}),
    "an unknown test split": lambda c: c["data"]["facts"].update(test_split="chance"),
    "dropped below nothing": lambda c: c["data"]["facts"].update(below_rating=3),
    "dropped from the test split below nothing": lambda c: c["data"]["about_test"].update(below_rating=3),
    "another objective": lambda c: c["definition"].update(objective="hit@5"),
    "text that a terminal obeys": lambda c: c["methods"][0].update(label="\x1b[2J<b>|[/x]\n"),
    "a long text": lambda c: c["methods"][0].update(failure="x" * 100_000),
    "another format": lambda c: c.update(format=10**30),
    "without a format": _drop("format"),
}


@pytest.mark.parametrize("case", CONFIRMATIONS)
def test_reports_on_forged_confirmations_succeed_or_explain(forged: Place, call: Callable[..., tuple[int, str]], case: str):
    path = forged.output / "tiny_mml" / "confirm.yaml"
    content = read_yaml(path, is_sealed=True)
    CONFIRMATIONS[case](content)
    path.write_text(sealed(to_yaml(content)))
    _, errors = call(report, "--study", "tiny_mml", "--output", str(forged.output))
    assert len(errors) < 1000
    if case in ("no methods", "another objective"):
        for command in (export, confirm):
            call(command, "--study", "tiny_mml", *forged.where)
        assert call(studies, "list", "--output", str(forged.output))[0] == 0
        assert call(studies, "show", "tiny_mml", "--output", str(forged.output))[0] == 0
        call(studies, "delete", "tiny_mml", "--yes", "--output", str(forged.output))


CONFIGS: dict[str, Forge] = {
    "a list for a config": lambda c: c.update(config=[]),
    "no loss": lambda c: c["config"].pop("loss"),
    "a huge number": lambda c: c["config"].update(batch_size=10**39),
    "a huge width": lambda c: c["config"]["encoder"].update(dim=10**39),
    "not a number": lambda c: c["config"].update(learning_rate=float("nan")),
    "no data": _drop("data"),
    "data with a control": lambda c: c["data"].update(dataset="a\0\x1b[2J"),
    "data of a long name": lambda c: c["data"].update(dataset="x" * 4000),
    "another engine": lambda c: c["data"].update(engine="\x1b[2J"),
    "a list of options": lambda c: c["data"].update(options=[1]),
    "a split of nothing": lambda c: c["data"].update(validation={}),
    "figures that are text": lambda c: c.update(validation={"ndcg@20": "high"}),
    "no figures": lambda c: c.update(validation={}),
    "an objective that is none": lambda c: c.update(objective="x" * 1000),
    "a key too many": lambda c: c.update(more=1),
    "a large trial": lambda c: c.update(trial=10**39),
}


@pytest.mark.parametrize("case", CONFIGS)
def test_forged_configs_are_read_or_refused(forged: Place, call: Callable[..., tuple[int, str]], case: str):
    path = forged.output / "tiny_mml" / "best.yaml"
    content = read_yaml(path)
    CONFIGS[case](content)
    path.write_text(to_yaml(content))
    _, errors = call(train, str(path), "--data-dir", str(forged.root / "data"), "--engine", "torch")
    assert len(errors) < 2000
    if case in ("no data", "a large trial"):
        call(report, "--study", "tiny_mml", "--output", str(forged.output))
        call(export, "--study", "tiny_mml", *forged.where)


def npz(**arrays: Any) -> bytes:
    buffer = BytesIO()
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _table(change: Callable[[dict[str, Any]], object]) -> Callable[[bytes], bytes]:
    """The arrays of a run, changed."""

    def changed(table: bytes) -> bytes:
        with np.load(BytesIO(table), allow_pickle=False) as loaded:
            arrays = {name: loaded[name] for name in loaded.files}
        change(arrays)
        return npz(**arrays)

    return changed


TABLES: dict[str, Callable[[bytes], bytes]] = {
    "no table": lambda table: b"",
    "no zip file": lambda table: b"x" * 1000,
    "half of it": lambda table: table[: len(table) // 2],
    "pickled objects": _table(lambda a: a.update(user=np.array([{}] * 48, dtype=object))),
    "a metric too few": _table(lambda a: a.pop("recall@20")),
    "a metric too many": _table(lambda a: a.update({"hit@3": a["ndcg@20"]})),
    "no users": _table(lambda a: a.pop("user")),
    "other users": _table(lambda a: a.update(user=a["user"] + 1)),
    "fewer users": _table(lambda a: a.update({name: array[:-1] for name, array in a.items()})),
    "columns of other lengths": _table(lambda a: a.update({"ndcg@20": a["ndcg@20"][:3]})),
    "two dimensions": _table(lambda a: a.update({name: array[:, None] for name, array in a.items()})),
    "another type": _table(lambda a: a.update({"ndcg@20": a["ndcg@20"].astype("U8")})),
    "not a number": _table(lambda a: a.update({"ndcg@20": np.full(48, np.nan, np.float32)})),
    "gigabytes": _table(lambda a: a.update({"ndcg@20": np.zeros(10**7, np.float32)})),
}
RECORDS: dict[str, Forge] = {
    "no metrics": lambda c: c.update(metrics={}),
    "other metrics": lambda c: c.update(metrics={"hit@3": 0.5}),
    "a huge metric": lambda c: c["metrics"].update({"ndcg@20": 1e308}),
    "a metric of many digits": lambda c: c["metrics"].update({"ndcg@20": 10**400}),
    "nothing beyond accuracy": lambda c: c.update(beyond=None),
    "fewer groups": lambda c: c["beyond"].update(groups=[]),
    "lists of another length": lambda c: c["beyond"].update(k=7),
    "other shares": lambda c: c.update(gradient={"a": 1.0}),
    "huge seconds": lambda c: c.update(seconds=1e308),
    "measured in nothing": lambda c: c.update(measured_in=[]),
    "measured in what is no metric": lambda c: c.update(measured_in=["x"]),
    "half a sign": lambda c: c["trained_by"].update(device="\ud800"),
    "no failure and no text": lambda c: c.update(failure=None),
    "without a format": _drop("format"),
}


def a_test_run(place: Place) -> Path:
    """The file of a run that stage 2 of confirm reads."""
    runs = sorted((place.output / "tiny_mml" / "runs").glob("*.json"))
    return next(path for path in runs if json.loads(path.read_text())["config"]["seed"] == 201)


def seal(path: Path, record: Content, table: bytes) -> None:
    path.with_suffix(".npz").write_bytes(table)
    path.write_text(json.dumps({**record, CHECKSUM: checksum_of(record, table)}))


@pytest.mark.parametrize("case", [*TABLES, *RECORDS])
def test_forged_runs(forged: Place, call: Callable[..., tuple[int, str]], monkeypatch: pytest.MonkeyPatch, case: str):
    monkeypatch.setattr(tables, "MOST_BYTES", 10**7)
    path = a_test_run(forged)
    record, table = json.loads(path.read_text()), path.with_suffix(".npz").read_bytes()
    del record[CHECKSUM]
    if case in TABLES:
        table = TABLES[case](table)
    else:
        RECORDS[case](record)
    seal(path, record, table)
    code, errors = call(confirm, "--study", "tiny_mml", *forged.where)
    assert code == 2
    assert str(path) in errors
    assert "delete it to make it again" in errors
    assert len(errors) < 1000


@pytest.mark.parametrize(
    ("folder", "change"),
    [
        (MEASURED, {"metrics": {}}),
        (MEASURED, {"metrics": {"ndcg@20": 1e308}}),
        (MEASURED, {"beyond": []}),
        (MEASURED, {"seconds": "long"}),
        (MEASURED, {"settings": {}}),
        (MEASURED, {"settings": {"l2": "x", "max_items": 8000}}),
        (MEASURED, {"settings": {"l2": 1.0, "k": 3}}),
        (TUNING, {"name": "ials"}),
        (TUNING, {"evaluations": [{"settings": {}, "value": None}]}),
        (TUNING, {"evaluations": [{"settings": {"l2": 1.0}, "value": 1e308}]}),
    ],
)
def test_forged_baselines(forged: Place, call: Callable[..., tuple[int, str]], folder: str, change: Content):
    path = next((forged.output / "tiny_mml" / "runs" / folder).glob("ease-*.json"))
    record, arrays = json.loads(path.read_text()) | change, path.with_suffix(".npz")
    del record[CHECKSUM]
    table = arrays.read_bytes() if arrays.exists() else b""
    path.write_text(json.dumps({**record, CHECKSUM: checksum_of(record, table)}))
    code, errors = call(confirm, "--study", "tiny_mml", *forged.where)
    assert code == 2
    assert str(path) in errors
    assert "delete it to make it again" in errors
    assert errors.count("\n") == 1, "one message"


def test_a_deep_record_is_refused(forged: Place, call: Callable[..., tuple[int, str]]):
    path = a_test_run(forged)
    path.write_text("[" * 100_000)
    assert call(confirm, "--study", "tiny_mml", *forged.where)[0] == 2


MODELS: dict[str, Callable[[dict[str, Any]], object]] = {
    "no facts": lambda a: a.pop("facts"),
    "facts of another shape": lambda a: a.update(facts=np.array("1")),
    "another format": lambda a: a.update(facts=np.array(["\x1b[2J" * 1000, "", ""])),
    "trained on something else": lambda a: a.update(facts=np.array([*a["facts"][:2], "maybe"])),
    "an array too many": lambda a: a.update(more=a["users"]),
    "pickled ids": lambda a: a.update(user_ids=np.array([{}] * 48, dtype=object)),
    "ids of another length": lambda a: a.update(user_ids=a["user_ids"][:-1]),
    "ids in a square": lambda a: a.update(item_ids=a["item_ids"].reshape(2, -1)),
    "ids that are fractions": lambda a: a.update(item_ids=a["item_ids"].astype(float)),
    "no ids": lambda a: a.update(user_ids=a["user_ids"][:0], users=a["users"][:0], seen_indptr=np.zeros(1, np.int64)),
    "vectors that are text": lambda a: a.update(users=a["users"].astype("U8")),
    "vectors of one dimension": lambda a: a.update(users=a["users"][:, 0]),
    "vectors of other widths": lambda a: a.update(users=a["users"][:, :3]),
    "vectors that are not finite": lambda a: a.update(users=a["users"] * np.nan),
    "seen items that do not exist": lambda a: a.update(seen_items=a["seen_items"] + 10**6),
    "seen items below zero": lambda a: a.update(seen_items=-a["seen_items"] - 1),
    "fewer seen items": lambda a: a.update(seen_items=a["seen_items"][:-1]),
    "offsets that fall": lambda a: a.update(seen_indptr=a["seen_indptr"][::-1]),
    "offsets below zero": lambda a: a.update(seen_indptr=a["seen_indptr"] - 1),
    "gigabytes": lambda a: a.update(users=np.zeros((48, 600_000), np.float32)),
}


@pytest.mark.parametrize("case", MODELS)
def test_forged_models(whole: Place, tmp_path: Path, call: Callable[..., tuple[int, str]], case: str):
    path = tmp_path / "model.npz"
    with np.load(whole.root / "model.npz", allow_pickle=False) as loaded:
        arrays = {name: loaded[name] for name in loaded.files}
    MODELS[case](arrays)
    path.write_bytes(npz(**arrays))
    code, errors = call(recommend, str(path))
    assert code == 2
    assert str(path) in errors
    assert "give a file that hpo.train --save wrote" in errors
    assert len(errors) < 600
