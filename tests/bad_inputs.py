"""About 250 bad inputs of all kinds. The contract: exit code 2, one message, no traceback, nothing written.

`python -m tests.bad_inputs` prints a table of the answers. tests/hpo/test_bad_inputs.py tests each input.

Each input is given on the command line, in this process, in a new folder with the small study of tests/hpo/conftest.py.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest import mock

from hpo import confirm, dashboard, export, proxy, recommend, replicate, report, run, studies, train

from .hpo.conftest import STUDY, Place, make_place

COMMANDS: dict[str, Any] = {
    module.__name__.removeprefix("hpo."): module
    for module in (confirm, dashboard, export, proxy, recommend, replicate, report, run, studies, train)
}
CONFIG = "loss: {name: mml, margins: [0.6, 0.9], weights: [0.3, 0.7], negative_weight: 400.0}\nepochs: 1\n"

Prepare = Callable[[Place], object]


@dataclass(frozen=True)
class Case:
    """A bad input.

    Attributes:
        entrance: the kind of input: `study file`, `data`, ...
        command: `run`, `train`, ...
        arguments: of the command; `{root}` is replaced by the folder.
        prepare: writes the files.
        environment: environment variables.
        hides: a text that no message may repeat.
    """

    entrance: str
    name: str
    command: str
    arguments: tuple[str, ...]
    prepare: Prepare = lambda place: None
    environment: tuple[tuple[str, str], ...] = ()
    hides: str = "hunter2"

    @property
    def label(self) -> str:
        return f"{self.entrance}: {self.command} {self.name}"


@dataclass(frozen=True)
class Answer:
    """The answer of a command to a bad input."""

    code: int | None
    errors: str
    written: list[str]
    raised: str = ""

    def faults(self, case: Case) -> Iterator[str]:
        """The breaches of the contract."""
        lines = [line for line in self.errors.splitlines() if line.startswith("error: ") or ": error: " in line]
        if self.raised:
            yield f"raised {self.raised}"
        if self.code != 2:
            yield f"exit code {self.code}"
        if len(lines) != 1:
            yield f"{len(lines)} messages"
        if "Traceback" in self.errors:
            yield "a traceback"
        if len(self.errors) > 3_000:
            yield f"a message of {len(self.errors):,} characters"
        if any(ord(sign) < 32 and sign not in "\n\t" for sign in self.errors):
            yield "control characters"
        if self.written:
            yield f"wrote {', '.join(self.written[:3])}"
        if case.hides in self.errors:
            yield f"shows {case.hides}"


def study_file(name: str, old: str, new: str | bytes) -> Case:
    def prepare(place: Place) -> None:
        assert old in STUDY
        place.study.write_bytes(new if isinstance(new, bytes) else STUDY.replace(old, new, 1).encode())

    return Case("study file", name, "run", ("--study", "{root}/tiny_mml.yaml", *WHERE, "--search-only"), prepare)


def config_file(name: str, content: str | bytes) -> Case:
    data = content if isinstance(content, bytes) else content.encode()
    arguments = ("{root}/mine.yaml", "--dataset", "tiny", "--data-dir", "{root}/data", "--output", "{root}/out")
    return Case("config file", name, "train", arguments, lambda place: (place.root / "mine.yaml").write_bytes(data))


def data_file(name: str, file: str, content: bytes | None, options: str = "{}") -> Case:
    def prepare(place: Place) -> None:
        path = place.root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        if content is not None:
            path.write_bytes(content)
        dataset = f"dataset: {place.root}/{file.split('/')[0]}\ndata: {options}"
        place.study.write_text(STUDY.partition("rivals:")[0].replace("dataset: tiny", dataset, 1))

    return Case("data", name, "run", ("--study", "{root}/tiny_mml.yaml", *WHERE, "--search-only"), prepare)


def flag(command: str, name: str, *arguments: str) -> Case:
    return Case("flags", name, command, arguments)


def storage(name: str, url: str, command: str, by_variable: bool = False) -> Case:
    arguments = {
        "run": ("--study", "{root}/tiny_mml.yaml", *WHERE, "--search-only"),
        "studies": ("list", *WHERE[:2]),
        "dashboard": WHERE[:2],
    }.get(command, ("--study", "tiny_mml", *WHERE[:2]))
    if by_variable:
        return Case("storage", f"{name}, by the variable", command, arguments, environment=(("HPO_STORAGE", url),))
    return Case("storage", name, command, (*arguments, "--storage", url))


WHERE = ("--output", "{root}/out", "--data-dir", "{root}/data")
LEVELS = [f"{name}: &{name} [{', '.join(['*' + before] * 9)}]" for before, name in pairwise("abcdefghi")]
BOMB = "\n".join(["a: &a [x, x, x, x, x, x, x, x, x]", *LEVELS])
YAMLS: dict[str, str | bytes] = {
    "an alias bomb": BOMB,
    "an anchor that is never used": "a: &a 1",
    "a tag on nothing": 'a: !!int ""',
    "a tag on text": "a: !!bool abc",
    "a tag of Python": "a: !!python/object:os.system x",
    "an unknown tag": "a: !mine x",
    "2,000 levels": "a: " + "[" * 2000 + "]" * 2000,
    "a huge whole number": "a: " + "9" * 5000,
    "an impossible date": "a: 2026-13-45",
    "binary data": "a: !!binary AAAA",
    "a set": "a: !!set {b, c}",
    "a key twice": "a: 1\na: 2",
    "a tab": "a:\n\t- b",
    "two documents": "a: 1\n---\nb: 2",
    "a bracket that stays open": "a: [1, 2",
    "a list": "- 1\n- 2",
    "a number": "7",
    "nothing": "",
    "keys that are numbers": "1: 2",
    "NUL": b"a: \x00",
    "Latin-1": b"a: \xe9t\xe9",
    "UTF-16": "a: 1".encode("utf-16"),
    "an escape": 'a: "\\e[2J"',
    "a merge key": "b: {<<: {a: 1}}",
}
STUDY_EDITS = {
    "unknown space": ("name: mml", "name: mmll"),
    "no space": ("space: {name: mml, n_margins: 2}\n", ""),
    "a space that is text": ("{name: mml, n_margins: 2}", "mml"),
    "unknown key": ("trials: 4", "trails: 4"),
    "unknown key of config": ("learning_rate:", "learning_rat:"),
    "a key that the space decides": ("batch_size: 64", "batch_size: 64, epochs: 3"),
    "unknown rival": ("tiny_ccl.yaml", "yelp_cc"),
    "a rival that is a mapping": ("tiny_ccl.yaml", "{a: b}"),
    "unknown encoder": ("{name: mf,", "{name: mff,"),
    "unknown negatives": ("{name: uniform,", "{name: unifrom,"),
    "no trials": ("trials: 4", "trials: 0"),
    "negative trials": ("trials: 4", "trials: -4"),
    "trials that are text": ("trials: 4", "trials: many"),
    "trials that are true": ("trials: 4", "trials: true"),
    "trials that are half": ("trials: 4", "trials: 4.5"),
    "trials without end": ("trials: 4", "trials: .inf"),
    "no epochs": ("  epochs: 3", "  epochs: 0"),
    "a huge seed": ("  epochs: 3", "  epochs: 3\n  seed: 99999999999999999999"),
    "looked at without a pause": ("interval_steps: 1", "interval_steps: 0"),
    "objective misspelt": ("dataset: tiny", "dataset: tiny\nobjective: ndgc@20"),
    "objective at 0": ("dataset: tiny", "dataset: tiny\nobjective: ndcg@0"),
    "objective of too many items": ("dataset: tiny", "dataset: tiny\nobjective: ndcg@999999"),
    "unknown dataset": ("dataset: tiny", "dataset: tinny"),
    "a dataset that is a list": ("dataset: tiny", "dataset: [tiny]"),
    "a dataset of 300 letters": ("dataset: tiny", f"dataset: {'x' * 300}"),
    "a dataset with NUL": ("dataset: tiny", 'dataset: "a\\0b"'),
    "a path that is not there": ("dataset: tiny", "dataset: ./absent.csv"),
    "batch_size 0": ("batch_size: 64", "batch_size: 0"),
    "learning rate that is no number": ("1.0e-2", "nan"),
    "learning rate below 0": ("1.0e-2", "-1.0"),
    "dropout of all": ("dim: 8", "dim: 8, dropout: 1.0"),
    "also something unknown": ("n_margins: 2", "n_margins: 2, also: [learning_rat]"),
    "no margins": ("n_margins: 2", "n_margins: 0"),
    "unknown sampler": ("trials: 4", "sampler: {name: tpee}\n  trials: 4"),
    "unknown pruner": ("{name: median,", "{name: mediann,"),
    "unknown validation": ("dataset: tiny", "dataset: tiny\nvalidation: {name: lasst}"),
    "validation of everything": ("dataset: tiny", "dataset: tiny\nvalidation: {name: random, fraction: 1.0}"),
    "confirm of no epochs": ("seeds: 2, epochs: 4", "seeds: 2, epochs: 0"),
    "data options of a public name": ("dataset: tiny", "dataset: demo\ndata: {min_rating: 4}"),
}
CONFIG_EDITS = {
    "unknown loss": ("name: mml", "name: mmll"),
    "unknown key": ("epochs: 1", "epoch: 1"),
    "unknown key of loss": ("margins:", "margin:"),
    "margins unsorted": ("[0.6, 0.9]", "[0.9, 0.6]"),
    "a margin of 1": ("[0.6, 0.9]", "[0.6, 1.0]"),
    "a margin below 0": ("[0.6, 0.9]", "[-0.1, 0.9]"),
    "weights that fall": ("[0.3, 0.7]", "[0.7, 0.3]"),
    "weights of more than 1": ("[0.3, 0.7]", "[0.3, 0.9]"),
    "fewer weights": ("[0.3, 0.7]", "[1.0]"),
    "a weight that is text": ("[0.3, 0.7]", "[0.3, x]"),
    "a weight that is true": ("negative_weight: 400.0", "negative_weight: true"),
    "a weight without end": ("negative_weight: 400.0", "negative_weight: .inf"),
    "epochs of half": ("epochs: 1", "epochs: 1.5"),
    "a huge dim": ("epochs: 1", "epochs: 1\nencoder: {name: mf, dim: 99999999}"),
    "a loss that is a list": (CONFIG.split("\n")[0], "loss: [mml]"),
}
LINES = b"user,item,rating,time\n" + b"".join(b"%d,%d,5,%d\n" % (n % 7, n % 11, n) for n in range(70))
DATA: dict[str, tuple[str, bytes | None, str]] = {
    "an empty csv": ("a.csv", b"", "{}"),
    "a header alone": ("a.csv", b"user,item\n", "{}"),
    "one column": ("a.csv", b"user\n1\n2\n", "{}"),
    "columns without a name that is known": ("a.csv", b"foo,bar\n1,2\n3,4\n", "{}"),
    "a line too short": ("a.csv", LINES + b"3\n", "{}"),
    "a line too long": ("a.csv", LINES + b"1,2,3,4,5,6\n", "{}"),
    "a rating that is text": ("a.csv", LINES + b"1,2,good,7\n", "{min_rating: 4}"),
    "a time that is text": ("a.csv", LINES + b"1,2,5,noon\n", "{}"),
    "a user that is missing": ("a.csv", LINES + b",2,5,7\n", "{}"),
    "binary": ("a.csv", bytes(range(256)) * 4, "{}"),
    "another compression": ("a.csv.gz", LINES, "{}"),
    "a gzip that is cut": ("a.csv.gz", b"\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x03\x4b", "{}"),
    "an ending that nobody knows": ("a.xlsx", LINES, "{}"),
    "a parquet that is none": ("a.parquet", b"PAR1" + LINES, "{}"),
    "JSON lines that are none": ("a.jsonl", b'{"user": 1\n', "{}"),
    "JSON lines without items": ("a.jsonl", b'{"user": 1}\n{"user": 2}\n', "{}"),
    "a column that is not there": ("a.csv", LINES, "{columns: {user: usr}}"),
    "a column number that is not there": ("a.csv", LINES, "{columns: {user: 9, item: 1}}"),
    "one column for two": ("a.csv", LINES, "{columns: {user: item, item: item}}"),
    "an unknown option": ("a.csv", LINES, "{min_ratting: 4}"),
    "a rating that nobody gives": ("a.csv", LINES, "{min_rating: 9}"),
    "a core that nobody has": ("a.csv", LINES, "{k_core: 1000}"),
    "an encoding that nobody knows": ("a.csv", LINES, "{encoding: utf-9}"),
    "a test split that nobody knows": ("a.csv", LINES, "{test: {name: lasst}}"),
    "a test split of everything": ("a.csv", LINES, "{test: {name: random, fraction: 1.0}}"),
    "a folder without files": ("d/readme.md", b"x", "{}"),
    "a folder without a test file": ("d/train.txt", b"0 1 2\n1 2 3\n", "{}"),
    "ids below 0": ("d/train.txt", b"0 1 -2\n", "{}"),
    "ids that are text": ("d/train.txt", b"0 1 two\n", "{}"),
    "a huge id": ("d/train.txt", b"0 99999999999999999999\n", "{}"),
    "a user of no items": ("d/train.txt", b"0\n1\n", "{}"),
}
URLS = {
    "refused": "postgresql+psycopg://me:hunter2@127.0.0.1:1/db",
    "no driver": "mysql+nothing://me:hunter2@127.0.0.1/db",
    "no such scheme": "postgrs://me:hunter2@127.0.0.1/db",
    "a port that is text": "postgresql://me:hunter2@127.0.0.1:port/db",
    "one slash": "postgresql+psycopg:/me:hunter2@127.0.0.1/db",
    "no colon": "postgresql//me:hunter2@127.0.0.1/db",
    "no slash": "postgresql:me:hunter2@127.0.0.1/db",
    "in capitals, one slash": "POSTGRESQL:/me:hunter2@127.0.0.1/db",
    "quoted": "'postgresql://me:hunter2@127.0.0.1/db'",
}


def cases() -> list[Case]:
    """All bad inputs."""
    found = [study_file(name, STUDY, text) for name, text in YAMLS.items()]
    found += [study_file(name, *edit) for name, edit in STUDY_EDITS.items()]
    found += [config_file(name, text) for name, text in YAMLS.items()]
    found += [config_file(name, CONFIG.replace(*edit, 1)) for name, edit in CONFIG_EDITS.items()]
    found += [data_file(name, *content) for name, content in DATA.items()]
    for name, url in URLS.items():
        found += [storage(name, url, command) for command in ("run", "studies", "dashboard")]
        found += [storage(name, url, command, by_variable=True) for command in ("export", "report", "confirm")]
    return [*found, *_flags(), *_paths()]


def _flags() -> Iterator[Case]:
    study = ("--study", "{root}/tiny_mml.yaml", *WHERE)
    for name, value in (("0", "0"), ("below 0", "-1"), ("half", "1.5"), ("text", "many"), ("empty", "")):
        yield flag("run", f"--trials {name}", *study, "--trials", value)
        yield flag("run", f"--timeout {name}", *study, "--timeout", value if name != "half" else "nan")
        yield flag("run", f"--workers {name}", *study, "--workers", value)
        yield flag("run", f"--max-memory {name}", *study, "--max-memory", value if name != "half" else "0.05")
    for command in COMMANDS:
        yield flag(command, "with a flag that nobody knows", "--colour", "red")
        if command not in ("dashboard", "proxy"):
            yield flag(command, "without arguments")
    yield flag("run", "--engine unknown", *study, "--engine", "numbaa")
    yield flag("run", "--scheduler without --backend", *study, "--scheduler", "tcp://127.0.0.1:1")
    yield flag("run", "--backend without --scheduler", *study, "--backend", "dask")
    yield flag("run", "--search-only with flags of confirm", *study, "--search-only", "--top", "3")
    yield flag("run", "--search-only with --max-memory", *study, "--search-only", "--max-memory", "3")
    yield flag("run", "--rival-seeds of no rival", *study, "--rival-seeds", "bpr=1")
    yield flag("run", "--rival-seeds that are text", *study, "--rival-seeds", "bsl=x")
    yield flag("run", "--checkpoint-every below 0", *study, "--checkpoint-every", "-1")
    yield flag("run", "--stale-after nothing", *study, "--stale-after", "0")
    yield flag("run", "--study-name of a folder", *study, "--study-name", "../x")
    yield flag("run", "a study that is not shipped", "--study", "yelp_mm", *WHERE)
    yield flag("dashboard", "a port beyond the last", *WHERE[:2], "--port", "99999")
    yield flag("replicate", "a table that nobody knows", "mml_fm", *WHERE)
    yield flag("replicate", "rows that nobody knows", "mml_mf", "--only", "x", *WHERE)
    yield flag("replicate", "negatives that are text", "mml_mf", "--negatives", "x", *WHERE)
    yield flag("studies", "show of nothing", "show", "nothing")


def _paths() -> Iterator[Case]:
    config = ("--dataset", "tiny", "--data-dir", "{root}/data", "--output", "{root}/out")
    journal = ("--study", "{root}/tiny_mml.yaml", *WHERE, "--storage")

    def fifo(place: Place) -> None:
        os.mkfifo(place.root / "pipe.yaml")

    yield Case("paths", "a study file that is a pipe", "run", ("--study", "{root}/pipe.yaml", *WHERE), fifo)
    yield Case("paths", "a config that is a pipe", "train", ("{root}/pipe.yaml", *config), fifo)
    yield Case("paths", "a config that is a folder", "train", ("{root}", *config))
    yield Case("paths", "a config that is not there", "train", ("{root}/absent.yaml", *config))
    yield Case("paths", "a model that is not there", "recommend", ("{root}/absent.npz",))
    yield Case("paths", "a model that is a config", "recommend", ("{root}/tiny_mml.yaml",))
    yield Case(
        "paths",
        "a journal that is a pipe",
        "run",
        (*journal, "{root}/pipe.yaml"),
        fifo,
    )
    yield Case("paths", "a journal that is a folder", "run", (*journal, "{root}"))
    yield Case(
        "paths",
        "a journal that is a study file",
        "run",
        (*journal, "{root}/tiny_mml.yaml"),
    )
    yield Case("paths", "a journal that is a device", "run", (*journal, "/dev/null"))
    for command in ("confirm", "export", "report"):
        yield Case("paths", "no journal", command, ("--study", "tiny_mml", *WHERE[:2]))


def answered(case: Case, root: Path) -> Answer:
    """Run a case in an empty folder."""
    place = make_place(root)
    case.prepare(place)
    before = _files(root)
    arguments = [argument.replace("{root}", str(root)) for argument in case.arguments]
    out, errors = io.StringIO(), io.StringIO()
    raised, code = "", None
    with (
        mock.patch.dict(os.environ, dict(case.environment)),
        contextlib.redirect_stdout(out),
        contextlib.redirect_stderr(errors),
    ):
        try:
            code = COMMANDS[case.command].main(arguments)
        except SystemExit as exit_:
            code = exit_.code if isinstance(exit_.code, int) else None
        except BaseException as error:
            raised = f"{type(error).__name__}: {error}"
    written = sorted(str(path) for path in _files(root).items() - before.items())
    return Answer(code, out.getvalue() + errors.getvalue(), written, raised)


def _files(root: Path) -> dict[str, int]:
    """All files and folders with their times of change."""
    return {str(path.relative_to(root)): 0 if path.is_dir() else path.lstat().st_mtime_ns for path in root.rglob("*")}


def main() -> int:
    """Run all cases, and print a table."""
    counts: dict[str, list[int]] = {}
    for case in cases():
        with tempfile.TemporaryDirectory(prefix="bad-") as folder:
            faults = list(answered(case, Path(folder)).faults(case))
        count = counts.setdefault(case.entrance, [0, 0])
        count[0] += 1
        count[1] += not faults
        if faults:
            print(f"{case.label}: {'; '.join(faults)}", file=sys.stderr)
    print(f"{'entrance':16}{'inputs':>8}{'exit code 2, one message, nothing written':>48}")
    for entrance, (inputs, right) in counts.items():
        print(f"{entrance:16}{inputs:>8}{right:>48}")
    print(f"{'all':16}{sum(n for n, _ in counts.values()):>8}{sum(n for _, n in counts.values()):>48}")
    return int(any(inputs != right for inputs, right in counts.values()))


if __name__ == "__main__":
    raise SystemExit(main())
