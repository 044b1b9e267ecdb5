"""Every command in README and tutorial is run here, on small studies, or has a reason why not."""

from __future__ import annotations

import contextlib
import csv
import io
import re
import shlex
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest

from hpo import report
from hpo.reporting import dashboard_sync

ROOT = Path(__file__).resolve().parents[2]
PAGES = ["README.md", "docs/tutorial.md"]
BLOCK = re.compile(r"^```bash\n(.*?)^```", re.DOTALL | re.MULTILINE)
INDENTED = re.compile(r"^    python -m", re.MULTILINE)

NOT_RUN = {
    "python3 -m venv .venv": "makes an environment: tests/test_wheel.py makes one",
    ". .venv/bin/activate": "belongs to the line before it",
    "pip install -c constraints.txt -e .": "needs the network; CI installs so",
    "python -m hpo.dashboard": "serves until it is stopped: tests/hpo/test_dashboard.py starts it",
}
# The commands have the fewest trials, epochs and seeds that give a verdict, and a width with compiled kernels. Every list has
# all items, and the objective is recall. So no baseline is ahead, and there is a winner.
FEWER = shlex.split("--trials 2 --epochs 1 --confirm-epochs 1 --confirm-seeds 2 --select-seeds 1 --top 1")
STUDY = """\
dataset: ratings.csv
space: {name: LOSS}
objective: recall@20
config: {encoder: {name: mf, dim: 8}, negatives: {name: uniform, count: 5}, learning_rate: 0.01, batch_size: 64}
search: {trials: 2, epochs: 1, starts: 1}
"""
N_ITEMS, RATED = 20, 10


def commands(page: str) -> list[str]:
    """The commands of a page, without comments."""
    text = (ROOT / page).read_text(encoding="utf-8")
    lines = [re.split(r"\s+#", line)[0].strip() for block in BLOCK.findall(text) for line in block.splitlines()]
    return [line for line in lines if line]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with small forms of the demo's studies, and with ratings."""
    monkeypatch.chdir(tmp_path)
    for module in (dashboard_sync, report):  # pictures take longer to draw than these studies to train
        monkeypatch.setattr(module, "pictures", lambda overview: {})
    for loss in ("mml", "ccl", "bsl"):
        rivals = "rivals: [demo_ccl.yaml, demo_bsl.yaml]\n" if loss == "mml" else ""
        (tmp_path / f"demo_{loss}.yaml").write_text(STUDY.replace("LOSS", loss) + rivals)
    draws = np.random.default_rng(3)
    with (tmp_path / "ratings.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["user", "item", "rating", "timestamp"])
        for user in ["alice", "bob", *range(38)]:
            table.writerows([user, item, 5, when] for when, item in enumerate(draws.permutation(N_ITEMS)[:RATED]))
    return tmp_path


def run(line: str) -> None:
    """Run a command of a page on the small studies, with fewer trials. `>` writes the output to a file."""
    words, target = shlex.split(line), None
    if ">" in words:
        words, target = words[: words.index(">")], words[-1]
    assert words[:2] == ["python", "-m"], f"{line}: run it here, or give a reason in NOT_RUN"
    argv = [f"{word}.yaml" if word == "demo_mml" else word for word in words[3:]]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        code = import_module(words[2]).main([*argv, *(FEWER if words[2] == "hpo.run" else [])])
    print(printed.getvalue())
    assert code == 0, f"{line} ended with exit code {code}"
    if target:
        text = printed.getvalue().replace("dim: 64", "dim: 8").replace("rivals: [ccl, bsl, sl]", "rivals: [ccl]")
        Path(target).write_text(re.sub(r"objective: \S+", "objective: recall@20", text))


@pytest.mark.parametrize("page", PAGES)
def test_the_commands_of_a_page_work_in_their_order(page, folder):
    lines = commands(page)
    assert len(lines) > 4
    for line in lines:
        if line not in NOT_RUN:
            run(line)
    made = {path.name for path in folder.rglob("*") if path.is_file()}
    assert {"winner.yaml", "best.yaml", "confirm.yaml", "trials.csv", "report.html", "report.md", "model.npz"} <= made


def test_every_reason_belongs_to_a_command_of_a_page():
    assert NOT_RUN.keys() <= {line for page in PAGES for line in commands(page)}


@pytest.mark.parametrize("page", PAGES)
def test_no_command_is_in_an_indented_block(page):
    assert not INDENTED.search((ROOT / page).read_text(encoding="utf-8"))
