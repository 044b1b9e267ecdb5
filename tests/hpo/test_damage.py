"""Randomly damaged files: a reader gives its result or one clear message, and never a traceback."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hpo import confirm, export, report, studies
from hpo.run import main as run
from hpo.runs.baselines import MEASURED, TUNING
from hpo.runs.store import RunKey, RunStore
from hpo.storage.journal import JOURNAL_START
from hpo.storage.open import open_storage
from hpo.study.rivals import rivals_of
from hpo.study.spec import load_spec
from hpo.train import read_config_file
from trainers import TrainConfig, load_dataset, load_test
from trainers.errors import InputError

from .conftest import STUDY, Place, draw_nothing, write_tiny

MANY = settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
HALF = settings(MANY, max_examples=50)
FEW = settings(MANY, max_examples=16)
FEWER = settings(MANY, max_examples=4)


@dataclass(frozen=True)
class Edit:
    """Replaces bytes of a file. The offset is a share of the length of the file."""

    share: float
    length: int
    new: bytes

    def apply(self, content: bytes) -> bytes:
        start = int(self.share * len(content))
        return content[:start] + self.new + content[start + self.length :]


SNIPPETS = [
    b"",
    b"\n",
    b"\x00",
    b"\xff",
    b"-1",
    b"1e999",
    b"nan",
    b"null",
    b"[",
    b"}",
    b":",
    b"'",
    b"!!python/name:os.system",
    b"&a *a",
]
EDITS = st.lists(
    st.builds(
        Edit,
        st.floats(0, 1, exclude_max=True),
        st.integers(0, 40),
        st.one_of(st.sampled_from(SNIPPETS), st.binary(max_size=6), st.text("0123456789abcxyz.,-", max_size=4).map(str.encode)),
    ),
    min_size=1,
    max_size=3,
)


def damaged(content: bytes, edits: list[Edit]) -> bytes:
    for edit in edits:
        content = edit.apply(content)
    return content


def reads_or_explains(read: Callable[[], object]) -> None:
    with contextlib.suppress(InputError):
        read()


CONFIG = """\
encoder: {name: mf, dim: 8, dropout: 0.1, init_std: 1.0e-4}
loss: {name: mml, margins: [0.6, 0.9], weights: [0.3, 0.7], positive_weight: 1.0, negative_weight: 400.0}
negatives: {name: uniform, count: 7}
learning_rate: 1.0e-4
schedule: linear
l2: 0.0
batch_size: 64
epochs: 3
seed: 0
"""


@MANY
@given(EDITS)
def test_config_files(tmp_path: Path, edits: list[Edit]):
    path = tmp_path / "config.yaml"
    path.write_bytes(damaged(CONFIG.encode(), edits))
    reads_or_explains(lambda: read_config_file(str(path)))


@MANY
@given(EDITS)
def test_study_files(place: Place, edits: list[Edit]):
    place.study.write_bytes(damaged(STUDY.encode(), edits))
    reads_or_explains(lambda: rivals_of(load_spec(str(place.study))).specs)


TABLES = {
    "ratings.csv": "user,item,rating\n" + "".join(f"u{n % 7},i{n % 11},{n}\n" for n in range(60)),
    "ratings.tsv": "user\titem\n" + "".join(f"{n % 7}\t{n % 11}\n" for n in range(60)),
    "ratings.inter": "user_id:token\titem_id:token\n" + "".join(f"a{n % 7}\tb{n % 11}\n" for n in range(60)),
}


@MANY
@given(st.sampled_from(sorted(TABLES)), EDITS)
def test_tables(tmp_path: Path, name: str, edits: list[Edit]):
    path = tmp_path / name
    path.write_bytes(damaged(TABLES[name].encode(), edits))
    reads_or_explains(lambda: (load_dataset(str(path)), load_test(str(path))))


@MANY
@given(st.sampled_from(["train", "test"]), EDITS)
def test_ngcf_text(tmp_path: Path, split: str, edits: list[Edit]):
    folder = tmp_path / "tiny"
    if not folder.exists():
        write_tiny(folder)
        shutil.copytree(folder, tmp_path / "sound")
    (folder / f"{split}.txt").write_bytes(damaged((tmp_path / "sound" / f"{split}.txt").read_bytes(), edits))
    reads_or_explains(lambda: (load_dataset("tiny", str(tmp_path)), load_test("tiny", str(tmp_path))))


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """A study with a finished search and confirmation."""
    root = tmp_path_factory.mktemp("sound")
    write_tiny(root / "data" / "tiny")
    (root / "tiny_mml.yaml").write_text(STUDY.partition("rivals:")[0])
    place = Place(root)
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        assert place.run() == 0
    return place


def copied(sound: Place, root: Path) -> Place:
    shutil.rmtree(root / "out", ignore_errors=True)
    shutil.copytree(sound.output, root / "out")
    if not (root / "data").exists():
        shutil.copytree(sound.root / "data", root / "data")
        shutil.copy(sound.study, root)
    return Place(root)


LINE_EDITS = st.lists(
    st.tuples(st.sampled_from(["delete", "twice", "cut", "digit", "word"]), st.floats(0, 1, exclude_max=True)),
    min_size=1,
    max_size=3,
)


def with_odd_lines(content: bytes, edits: list[tuple[str, float]]) -> bytes:
    """Damage that leaves most lines valid JSON: lines are lost or doubled, or a digit or key is changed."""
    lines = content.splitlines(keepends=True)
    for kind, share in edits:
        at = int(share * len(lines))
        line = lines[at]
        digit = next((n for n in range(int(share * 97) % len(line), len(line)) if line[n : n + 1].isdigit()), None)
        if kind == "digit" and digit is not None:
            line = line[:digit] + b"7" + line[digit + 1 :]
        elif kind == "word":
            line = line.replace(b"_", b"-", 1 + int(share * 31) % 3)
        new = {"delete": [], "twice": [line, line], "cut": [line[: len(line) // 2] + b"\n"]}.get(kind, [line])
        lines[at : at + 1] = new
    return b"".join(lines)


@HALF
@given(LINE_EDITS)
def test_journals_with_odd_lines(sound: Place, tmp_path: Path, edits: list[tuple[str, float]]):
    place = copied(sound, tmp_path)
    journal = place.output / "journal.log"
    journal.write_bytes(with_odd_lines(journal.read_bytes(), edits))
    assert studies.main(["list", "--output", str(place.output)]) in (0, 2)
    assert export.main(["--study", "tiny_mml", *place.where]) in (0, 2)


@FEW
@given(st.one_of(LINE_EDITS, EDITS))
def test_repaired_journals(sound: Place, tmp_path: Path, edits: list[Any]):
    """They can be read after any loss."""
    journal = copied(sound, tmp_path).output / "journal.log"
    damage: Any = damaged if isinstance(edits[0], Edit) else with_odd_lines
    journal.write_bytes(damage(journal.read_bytes(), edits))
    if journal.read_bytes().startswith(JOURNAL_START):
        assert studies.main(["repair", "--storage", str(journal)]) == 0
        assert optuna.get_all_study_names(open_storage(str(journal)))


@HALF
@given(EDITS)
def test_journals(sound: Place, tmp_path: Path, edits: list[Edit]):
    place = copied(sound, tmp_path)
    journal = place.output / "journal.log"
    journal.write_bytes(damaged(journal.read_bytes(), edits))
    assert studies.main(["list", "--output", str(place.output)]) in (0, 2)
    assert export.main(["--study", "tiny_mml", *place.where]) in (0, 2)


@pytest.mark.pictures
@FEW
@given(EDITS)
def test_a_run_on_a_damaged_journal(sound: Place, tmp_path: Path, edits: list[Edit]):
    place = copied(sound, tmp_path)
    journal = place.output / "journal.log"
    journal.write_bytes(damaged(journal.read_bytes(), edits))
    command = ["--study", str(place.study), *place.where, "--search-only", "--trials", "5"]
    assert run(command) in (0, 2)


RESULTS = st.sampled_from(["confirm.yaml", "best.yaml"])


def report_on_damaged(sound: Place, root: Path, name: str, edits: list[Edit]) -> None:
    place = copied(sound, root)
    path = place.output / "tiny_mml" / name
    path.write_bytes(damaged(path.read_bytes(), edits))
    assert report.main(["--study", "tiny_mml", "--output", str(place.output)]) in (0, 2)


@FEW
@given(RESULTS, EDITS)
def test_reports_on_damaged_results(sound: Place, tmp_path: Path, name: str, edits: list[Edit]):
    report_on_damaged(sound, tmp_path, name, edits)


@pytest.mark.pictures
@FEWER
@given(RESULTS, EDITS)
def test_reports_with_pictures_on_damaged_results(sound: Place, tmp_path: Path, name: str, edits: list[Edit]):
    """They are the same whatever the damage, because a damaged result is not shown. So a few examples are enough."""
    report_on_damaged(sound, tmp_path, name, edits)


@MANY
@given(st.integers(0, 100), EDITS)
def test_stored_runs(sound: Place, tmp_path: Path, number: int, edits: list[Edit]):
    folder = tmp_path / "runs"
    shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(sound.output / "tiny_mml" / "runs", folder)
    kept = sorted(path for path in folder.glob("*") if path.is_file())
    path = kept[number % len(kept)]
    record = json.loads(path.with_suffix(".json").read_bytes())
    where = record["seen"], record["held_out"], record["engine"], record["device"]
    key = RunKey(TrainConfig.from_dict(record["config"]), *where, tuple(record["measured_in"]))
    whole = RunStore(folder).load(key)
    path.write_bytes(damaged(path.read_bytes(), edits))
    try:
        run = RunStore(folder).load(key)
    except InputError:
        return
    assert run is not None
    assert whole is not None
    assert run.metrics == whole.metrics  # a run that is read has the stored values
    pd.testing.assert_frame_equal(run.per_user, whole.per_user)


@FEW
@given(EDITS, st.sampled_from([MEASURED, TUNING]), st.integers(0, 3))
def test_stored_baselines(sound: Place, tmp_path: Path, edits: list[Edit], folder: str, number: int):
    place = copied(sound, tmp_path)
    path = sorted((place.output / "tiny_mml" / "runs" / folder).iterdir())[number]
    path.write_bytes(damaged(path.read_bytes(), edits))
    assert confirm.main(["--study", "tiny_mml", *place.where]) in (0, 2)
