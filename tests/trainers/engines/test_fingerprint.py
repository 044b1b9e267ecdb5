"""The fingerprint of a kernel changes with its code in any file, and with nothing else."""

from __future__ import annotations

import runpy
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from trainers.engines.numba_engine import kernels
from trainers.engines.numba_engine.fingerprint import ROOT, fingerprint, fingerprint_of, reached
from trainers.engines.numba_engine.simplex import histories, row_access
from trainers.engines.numba_engine.thresholds import kernel as thresholds

ENGINE = "trainers/engines/numba_engine"
SPARSE = "trainers.engines.numba_engine.kernels", "_build_sparse"
DENSE = "trainers.engines.numba_engine.kernels", "_build_dense"
LOOKUP = "trainers.engines.numba_engine.simplex.row_access", "_build"
POOLING = "trainers.engines.numba_engine.simplex.histories", "_build_backward"
THRESHOLDS = "trainers.engines.numba_engine.thresholds.kernel", "_build"


def edited(tmp_path: Path, edits: dict[str, tuple[str, str]]) -> Path:
    """A copy of the package. In each given file one text is replaced."""
    root = tmp_path / str(len(list(tmp_path.iterdir())))
    shutil.copytree(ROOT / "trainers", root / "trainers", ignore=shutil.ignore_patterns("__pycache__"))
    for name, (old, new) in edits.items():
        path = root / name
        text = path.read_text(encoding="utf-8")
        assert text.count(old) == 1, f"{old!r} occurs {text.count(old)} times in {name}"
        path.write_text(text.replace(old, new), encoding="utf-8")
    return root


# machine code knows the fields of a named tuple by their positions
SWAPPED = "    negatives: np.uint64\n    dropout: np.uint64\n", "    dropout: np.uint64\n    negatives: np.uint64\n"
BOTH, ONE, OTHER = {"sparse", "dense"}, {"sparse"}, {"dense"}
CODE = [
    (f"{ENGINE}/kernels.py", "n_work = distinct_positives(", "n_work = 1 + distinct_positives(", ONE),
    (f"{ENGINE}/kernels.py", "n_work = order_slots(", "n_work = 1 + order_slots(", OTHER),
    (f"{ENGINE}/step_passes.py", "ROW_PREFETCH = 4", "ROW_PREFETCH = 5", BOTH),
    (f"{ENGINE}/prefilter.py", "CODE_PREFETCH = 12", "CODE_PREFETCH = 13", ONE),
    (f"{ENGINE}/slots.py", "SLOT_PREFETCH = 8", "SLOT_PREFETCH = 9", OTHER),
    (f"{ENGINE}/row_functions.py", "gap = positive - np.float32(1.0)", "gap = positive - np.float32(2.0)", BOTH),
    (f"{ENGINE}/table.py", "CODE_MAX, CODE_ZERO = 127, 128", "CODE_MAX, CODE_ZERO = 126, 128", BOTH),
    (f"{ENGINE}/batch.py", "UPDATE_BLOCK = 32", "UPDATE_BLOCK = 64", BOTH),
    (f"{ENGINE}/kernels.py", *SWAPPED, BOTH),
    (f"{ENGINE}/table.py", "    last_step: NDArray[np.int32]\n", "    other: int\n    last_step: NDArray[np.int32]\n", BOTH),
    (f"{ENGINE}/intrinsics.py", '"nsz", "arcp"', '"arcp"', BOTH),
    ("trainers/engines/row_losses.py", "PAIR_SOFTMAX = range(9)", "PAIR_SOFTMAX = range(1, 10)", BOTH),
    ("trainers/engines/lazy_adam.py", "EPSILON = 1e-8", "EPSILON = 1e-7", BOTH),
    ("trainers/losses/distances.py", "SMALLEST = 1e-12", "SMALLEST = 1e-13", BOTH),
    ("trainers/scores.py", "NORM_FLOOR = 1e-12", "NORM_FLOOR = 1e-13", BOTH),
    ("trainers/rng.py", "def below(", "@whatever\ndef below(", BOTH),
    ("trainers/jit.py", '{"_nrt": False, **options}', "{**options}", BOTH),
]


def changed(root: Path) -> set[str]:
    """The kernels of the step that differ from ours: sparse, dense, both or none."""
    kinds = {"sparse": (SPARSE, kernels._build_sparse), "dense": (DENSE, kernels._build_dense)}
    return {kind for kind, (build, ours) in kinds.items() if fingerprint_of(root, *build) != fingerprint(ours)}


def name_of(value: object) -> str:
    return value.rpartition("/")[2][:20] if isinstance(value, str) else ""


@pytest.mark.parametrize(("file", "old", "new", "kinds"), CODE, ids=name_of)
def test_code_changes_it(tmp_path: Path, file: str, old: str, new: str, kinds: set[str]) -> None:
    assert changed(edited(tmp_path, {file: (old, new)})) == kinds


OTHERWISE = [
    (f"{ENGINE}/kernels.py", '"""The fused training step', '"""The training step'),
    (f"{ENGINE}/step_passes.py", "ROW_PREFETCH = 4  # rows between", "ROW_PREFETCH = 4  # how many rows between"),
    (f"{ENGINE}/step_passes.py", '"""The pair at a position of the shuffled epoch."""', ""),
    (f"{ENGINE}/intrinsics.py", "    total = np.float32(0.0)\n", "\n    # from here on\n    total = np.float32( 0.0 )\n"),
    (f"{ENGINE}/table.py", "def put_rows(table: EmbeddingTable", "def put_them(table: EmbeddingTable"),
    ("trainers/engines/row_losses.py", "    SL: _softmax(),", "    SL: _softmax(with_positive=True),"),
    ("trainers/engines/lazy_adam.py", "n_rows: int) -> Any:", "n_rows: float) -> float:"),
    ("trainers/losses/distances.py", "gaps = torch.relu(", "gaps = torch.abs("),
    (f"{ENGINE}/simplex/row_access.py", "updates = False", "updates = True"),
    (f"{ENGINE}/simplex/histories.py", "n = 0", "n = 1"),
    (f"{ENGINE}/thresholds/passes.py", "user, n = batch.users[b], 0", "user, n = batch.users[b], 1"),
    (f"{ENGINE}/thresholds/row_functions.py", "    total += part\n        gradients", "    total -= part\n        gradients"),
    ("trainers/engines/row_losses.py", "DRRL = range(3)", "DRRL = range(1, 4)"),
]


@pytest.mark.parametrize(("file", "old", "new"), OTHERWISE, ids=name_of)
def test_comments_and_what_no_kernel_uses_do_not(tmp_path: Path, file: str, old: str, new: str) -> None:
    assert not changed(edited(tmp_path, {file: (old, new)}))


def test_each_kernel_has_its_own(tmp_path: Path) -> None:
    root = edited(tmp_path, {f"{ENGINE}/simplex/row_access.py": ("updates = False", "updates = True")})
    assert fingerprint_of(root, *LOOKUP) != fingerprint(row_access._build)
    assert fingerprint_of(root, *POOLING) == fingerprint(histories._build_backward)
    root = edited(tmp_path, {f"{ENGINE}/simplex/histories.py": ("mean = np.float32(0.0)", "mean = np.float32(1.0)")})
    assert fingerprint_of(root, *LOOKUP) == fingerprint(row_access._build)
    assert fingerprint_of(root, *POOLING) != fingerprint(histories._build_backward)
    root = edited(tmp_path, {f"{ENGINE}/slots.py": ("SLOT_PREFETCH = 8", "SLOT_PREFETCH = 9")})
    assert fingerprint_of(root, *LOOKUP) == fingerprint(row_access._build)
    assert fingerprint_of(root, *POOLING) == fingerprint(histories._build_backward)


@pytest.mark.parametrize(
    ("file", "old", "new"),
    [
        (f"{ENGINE}/thresholds/passes.py", "user, n = batch.users[b], 0", "user, n = batch.users[b], 1"),
        (f"{ENGINE}/thresholds/passes.py", "    rate: float\n", "    other: int\n    rate: float\n"),
        (f"{ENGINE}/dense.py", "total = find_score_gradients(", "total = 1 + find_score_gradients("),
        (f"{ENGINE}/slots.py", "SLOT_PREFETCH = 8", "SLOT_PREFETCH = 9"),
        ("trainers/engines/row_losses.py", "DRRL = range(3)", "DRRL = range(1, 4)"),
    ],
    ids=name_of,
)
def test_what_changes_the_kernel_with_thresholds(tmp_path: Path, file: str, old: str, new: str) -> None:
    unused = old.startswith("total = find")  # the row functions of other losses are not in it
    assert (fingerprint_of(edited(tmp_path, {file: (old, new)}), *THRESHOLDS) == fingerprint(thresholds._build)) == unused


KERNELS = ["sparse", "dense"]


@pytest.mark.parametrize(("build", "own"), [(SPARSE, {"prefilter"}), (DENSE, {"prefilter", "dense", "slots"})], ids=KERNELS)
def test_the_walk_reaches_every_file_of_the_step_and_no_loss(build: tuple[str, str], own: set[str]) -> None:
    used = reached(ROOT, *build)
    modules = {module.removeprefix("trainers.").removeprefix("engines.numba_engine.") for module, _ in used}
    engine = {"kernels", "step_passes", "row_functions", "table", "batch", "intrinsics"} | own
    assert modules == engine | {
        "rng",
        "jit",
        "scores",
        "losses.distances",
        "losses.softmax",
        "engines.lazy_adam",
        "engines.row_losses",
    }
    assert not {"ROW_FUNCTIONS", "CML", "learning_rate_at"} & {name for _, name in used}


@pytest.mark.parametrize("line", ["from .other import x", "import trainers.other as other"])
def test_what_the_walk_cannot_follow_is_an_error(tmp_path: Path, line: str) -> None:
    package = tmp_path / "trainers"
    package.mkdir()
    name = line.split()[-1]
    (package / "one.py").write_text(f"{line}\n\n\ndef build():\n    return {name}\n", encoding="utf-8")
    with pytest.raises(ValueError, match="the walk cannot follow"):
        fingerprint_of(tmp_path, "trainers.one", "build")


def test_a_builder_inside_a_function_is_an_error() -> None:
    def build() -> None:
        """A builder that cannot be found by its name."""

    with pytest.raises(ValueError, match="at the top of a module"):
        fingerprint(build)
    with pytest.raises(ValueError, match=r"got trainers\.rng\.bitz"):
        fingerprint_of(ROOT, "trainers.rng", "bitz")


SCRIPT = """
from trainers.jit import compiled

def build(version):
    @compiled(version)
    def twice(x):
        return 2 * x if version else 0
    return twice

for version in {versions}:
    function = build(version)
    function(1)
    print(sum(function.stats.cache_hits.values()))
"""


def test_a_fresh_checkout_reads_what_is_compiled(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The file has another time and the same code. With another version a second kernel is compiled, and the first is kept.

    Another process compiles the first kernel.
    """
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setattr(numba.config, "CACHE_DIR", str(tmp_path / "cache"))
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(versions="[7]"), encoding="utf-8")
    compiled = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, check=True)
    hits = [compiled.stdout.split()]
    for versions in ("[7]", "[8]", "[7]"):
        script.write_text(SCRIPT.format(versions=versions) + "#" * len(hits), encoding="utf-8")
        runpy.run_path(str(script))
        hits.append(capsys.readouterr().out.split())
    assert hits == [["0"], ["1"], ["0"], ["1"]]
