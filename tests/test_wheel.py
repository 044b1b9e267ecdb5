"""The wheel is installed into a new environment. Its commands run in another folder.

The libraries are those of the environment that runs the tests. So nothing is downloaded.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
import venv
import zipfile
from dataclasses import dataclass
from pathlib import Path

import pytest

from .kernel_cache import ROOT, cache_folder, share_kernels, user_folder

PACKAGES = ("hpo", "search_spaces", "studies", "trainers")
SOURCES = ("pyproject.toml", "README.md", "LICENSE", *PACKAGES)
NO_DATA = ("__pycache__", "results")


def run(*command: str | Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """Run a command in a folder, without the environment variables that lead to the sources."""
    environment = {key: value for key, value in os.environ.items() if not key.startswith("PYTHON")}
    return subprocess.run([*map(str, command)], cwd=folder, env=environment | variables, capture_output=True, text=True)


@dataclass(frozen=True)
class Installed:
    """An environment with the wheel."""

    home: Path
    site: Path

    def python(self, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
        cache = cache_folder(self.site, user_folder())
        return run(self.home / "bin" / "python", *arguments, folder=folder, NUMBA_CACHE_DIR=str(cache))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel is built from a copy, because setuptools leaves files in the source folders."""
    source, made = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, source / name, ignore=shutil.ignore_patterns(*NO_DATA))
        else:
            shutil.copy(ROOT / name, source)
    built = run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--no-index", "-w", made, source, folder=made
    )
    assert built.returncode == 0, built.stdout + built.stderr
    (path,) = made.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """A new environment. The libraries come after the wheel on its path."""
    home = tmp_path_factory.mktemp("environment")
    venv.create(home, symlinks=True)
    python = home / "bin" / "python"
    done = run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, folder=home)
    assert done.returncode == 0, done.stdout + done.stderr
    (site,) = home.glob("lib/python*/site-packages")
    (site / "libraries.pth").write_text(sysconfig.get_path("purelib") + "\n")
    share_kernels(site, user_folder())
    return Installed(home, site)


def test_the_wheel_has_all_needed_files_and_no_others(wheel: Path) -> None:
    """It has every module, the studies, the template of the report, and the marker files of typed packages."""
    with zipfile.ZipFile(wheel) as opened:
        inside = {name for name in opened.namelist() if ".dist-info/" not in name}
        (metadata,) = [opened.read(name).decode() for name in opened.namelist() if name.endswith(".dist-info/METADATA")]
    modules = {path.relative_to(ROOT).as_posix() for package in PACKAGES for path in (ROOT / package).rglob("*.py")}
    studies = {path.relative_to(ROOT).as_posix() for path in (ROOT / "studies").glob("*.yaml")}
    others = {f"{package}/py.typed" for package in PACKAGES if package != "studies"}
    others |= {path.relative_to(ROOT).as_posix() for path in (ROOT / "hpo" / "reporting" / "templates").iterdir()}
    assert studies
    assert inside == modules | studies | others
    required = [line for line in metadata.splitlines() if line.startswith("Requires-Dist:") and "extra ==" not in line]
    assert any("optuna" in line for line in required)
    assert not any("pytest" in line for line in required), "only the tests import pytest"


def test_installed_commands_run_in_another_folder(installed: Installed, tmp_path: Path) -> None:
    page = "import hpo.reporting.pages as p; print(p.__file__, p._environment().get_template(p.TEMPLATE).filename)"
    found = installed.python("-c", page, folder=tmp_path)
    assert found.stdout.count(str(installed.site)) == 2, found.stdout + found.stderr
    listed = installed.python("-m", "hpo.studies", "list", folder=tmp_path)
    assert listed.returncode == 0, listed.stderr
    assert "yelp_mml" in listed.stdout
    tried = installed.python("-m", "hpo.run", "--study", "demo_mml", "--dry-run", "--engine", "torch", folder=tmp_path)
    assert tried.returncode == 0, tried.stderr
    assert "dry run: nothing was written" in tried.stdout
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("hidden", ["trainers.py", "trainers/__init__.py", "search_spaces/__init__.py", "studies.py"])
def test_a_file_that_hides_a_package_is_named_before_it_is_imported(installed: Installed, tmp_path: Path, hidden: str) -> None:
    file = tmp_path / hidden
    file.parent.mkdir(exist_ok=True)
    file.write_text("raise RuntimeError('imported')\n")
    refused = installed.python("-m", "hpo.studies", "list", folder=tmp_path)
    assert refused.returncode == 2
    assert refused.stderr.startswith(f"error: {file} hides the package {hidden.partition('/')[0].removesuffix('.py')} of this")
    assert "run it in another folder, or as `python -P -m hpo.studies`" in refused.stderr
    assert "Traceback" not in refused.stderr
    imported = installed.python("-c", "import hpo", folder=tmp_path)
    assert f"ImportError: {file} hides" in imported.stderr, "in a user's own program it is an ordinary error"


def test_the_remedy_of_the_message_works(installed: Installed, tmp_path: Path) -> None:
    (tmp_path / "trainers.py").write_text("raise RuntimeError('imported')\n")
    assert installed.python("-P", "-m", "hpo.studies", "list", folder=tmp_path).returncode == 0


def test_a_folder_without_modules_hides_nothing(installed: Installed, tmp_path: Path) -> None:
    """Folders with study files or data may have the name of a package."""
    for name in ("studies", "trainers"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "mine.yaml").write_text("dataset: demo\n")
    assert installed.python("-m", "hpo.studies", "list", folder=tmp_path).returncode == 0


SCRIPT = """\
import pandas as pd
from hpo.api import Dataset, confirm, register_loss, search
from my_loss import Soft

register_loss(Soft, ranges={"temperature": (0.05, 1.0, "log")})
rows = [(f"u{user}", item, (7 * item + 4 * user) % 30) for user in range(40) for item in range(user % 2, 30, 2)]
dataset = Dataset.from_frame(pd.DataFrame(rows, columns=["user", "item", "time"]), user="user", item="item", time="time")
asked = {"trials": 2, "epochs": 1, "workers": 2, "engine": "torch", "output": "out", "progress": False}
study = search(dataset=dataset, space="soft", rivals=[], name="mine", **asked)
print(study)
"""
LOSS = """\
from dataclasses import dataclass
from typing import Literal
import torch
from trainers.losses import Loss

@dataclass(frozen=True, kw_only=True)
class Soft(Loss):
    name: Literal["soft"] = "soft"
    temperature: float

    def rows(self, scores):
        return torch.nn.functional.softplus((scores.negative - scores.positive[:, None]) / self.temperature).mean(1)
"""


def test_python_searches_in_another_folder(installed: Installed, tmp_path: Path) -> None:
    """Its workers import the loss. They do not run the script again, though it has no `if __name__ == "__main__"`."""
    (tmp_path / "mine.py").write_text(SCRIPT)
    (tmp_path / "my_loss.py").write_text(LOSS)
    done = installed.python("mine.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("Study mine: 2 of 2 trials finished, "), "printed once, and nothing else is printed"
    assert not done.stderr
    assert {path.name for path in tmp_path.iterdir()} == {"mine.py", "my_loss.py", "out", "__pycache__"}
