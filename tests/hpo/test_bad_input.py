"""Bad input of every kind ends with one message and exit code 2."""

from __future__ import annotations

import socket
from collections.abc import Callable
from pathlib import Path

import optuna
import pytest

from hpo import confirm, dashboard, export, recommend, replicate, report, run, studies, train
from hpo.storage.open import open_storage
from hpo.study.definition import DEFINITION

from .conftest import STUDY, Place
from .processes import free_port

CONFIG = "loss: {name: mml, margins: [0.6, 0.9], weights: [0.3, 0.7], negative_weight: 400.0}\nepochs: 1\n"
READERS = {"confirm": confirm, "export": export, "report": report}

# changes of a valid study file, and a part of the message
STUDY_FILES = {
    "unknown space": ("name: mml", "name: mmll", "unknown space 'mmll'; did you mean 'mml'"),
    "unknown key": ("trials: 4", "trails: 4", "trails"),
    "unknown key of config": ("learning_rate:", "learning_rat:", "learning_rat"),
    "unknown rival": ("tiny_ccl.yaml", "yelp_cc", "study tiny_mml: unknown rival 'yelp_cc'; did you mean 'yelp_ccl'"),
    "misspelt rival": ("tiny_ccl.yaml", "cccl", "unknown rival 'cccl'; did you mean 'ccl'? known: spaces (bce, "),
    "all among rivals": ("tiny_ccl.yaml", "all", "all must stand alone, not in a list of rivals; write `rivals: all`"),
    "unknown encoder": ("{name: mf,", "{name: mff,", "mff"),
    "unknown negatives": ("{name: uniform,", "{name: unifrom,", "unifrom"),
    "syntax": ("rivals: [", "rivals: [[", "tiny_mml.yaml"),
    "duplicate key": ("dataset: tiny", "dataset: tiny\ndataset: tiny", "line 2"),
    "no trials": ("trials: 4", "trials: 0", "search.trials"),
    "negative trials": ("trials: 4", "trials: -4", "search.trials"),
    "trials not a number": ("trials: 4", "trials: many", "search.trials"),
    "trials a bool": ("trials: 4", "trials: true", "search.trials"),
    "no epochs": ("  epochs: 3", "  epochs: 0", "search.epochs"),
    "huge seed": ("  epochs: 3", "  epochs: 3\n  seed: 99999999999999999999", "search.seed"),
    "objective misspelt": ("dataset: tiny", "dataset: tiny\nobjective: ndgc@20", "did you mean 'ndcg@20'?"),
    "objective without a cut-off": ("dataset: tiny", "dataset: tiny\nobjective: ndcg", "objective: a metric must be one of"),
    "objective at 0": ("dataset: tiny", "dataset: tiny\nobjective: ndcg@0", "a whole cut-off from 1"),
    "objective at half an item": ("dataset: tiny", "dataset: tiny\nobjective: ndcg@20.5", "got 'ndcg@20.5'"),
    "objective a number": ("dataset: tiny", "dataset: tiny\nobjective: 20", "objective: must be text"),
    "objective of more items than there are": (
        "dataset: tiny",
        "dataset: tiny\nobjective: ndcg@999999",
        "may not exceed the 40 items of tiny, got ndcg@999999; give a smaller cut-off, such as ndcg@20",
    ),
    "dataset missing": ("dataset: tiny", "dataset: ./absent", "absent"),
    "batch_size": ("batch_size: 64", "batch_size: 0", "batch_size"),
    "learning rate": ("1.0e-2", "nan", "learning_rate"),
    "dropout": ("dim: 8", "dim: 8, dropout: 1.0", "dropout"),
    "also": ("n_margins: 2", "n_margins: 2, also: [learning_rat]", "learning_rat"),
    "margins": ("n_margins: 2", "n_margins: 0", "n_margins"),
}

CONFIG_FILES = {
    "unknown loss": ("name: mml", "name: mmll", "unknown loss 'mmll'; did you mean 'mml'"),
    "unknown key": ("epochs: 1", "epoch: 1", "epoch"),
    "unknown key of loss": ("margins:", "margin:", "margin"),
    "margins unsorted": ("[0.6, 0.9]", "[0.9, 0.6]", "ascending"),
    "margin too large": ("[0.6, 0.9]", "[0.6, 1.0]", "margins"),
    "margin negative": ("[0.6, 0.9]", "[-0.1, 0.9]", "margins"),
    "weights not monotone": ("[0.3, 0.7]", "[0.7, 0.3]", "weights"),
    "weights do not sum to 1": ("[0.3, 0.7]", "[0.3, 0.9]", "weights"),
    "weights of another length": ("[0.3, 0.7]", "[1.0]", "weights"),
    "weight not a number": ("[0.3, 0.7]", "[0.3, x]", "weights"),
    "syntax": ("[0.3, 0.7]", "[0.3, 0.7", "mine.yaml"),
    "duplicate key": ("epochs: 1", "epochs: 1\nepochs: 2", "line 3"),
    "binary": ("loss", "\x00", "mine.yaml"),
    "not a mapping": (CONFIG, "- 1\n", "mapping"),
    "empty": (CONFIG, "", "mine.yaml"),
}


@pytest.mark.parametrize("case", STUDY_FILES)
def test_bad_study_files_are_refused(place: Place, fails: Callable[[int], str], case: str):
    old, new, message = STUDY_FILES[case]
    place.study.write_text(STUDY.replace(old, new, 1))
    assert place.study.read_text() != STUDY
    assert message in fails(place.run("--search-only"))
    assert not (place.output / "journal.log").exists(), "nothing has begun"


@pytest.mark.parametrize("case", CONFIG_FILES)
def test_bad_config_files_are_refused(place: Place, fails: Callable[[int], str], case: str):
    old, new, message = CONFIG_FILES[case]
    path = place.root / "mine.yaml"
    path.write_text(CONFIG.replace(old, new, 1))
    assert path.read_text() != CONFIG
    assert message in fails(train.main([str(path), "--dataset", "tiny", "--data-dir", str(place.root / "data")]))


def test_a_sound_config_file_is_accepted(place: Place):
    path = place.root / "mine.yaml"
    path.write_text(CONFIG)
    assert train.main([str(path), "--dataset", "tiny", "--data-dir", str(place.root / "data")]) == 0


@pytest.mark.parametrize("command", READERS)
def test_unknown_studies_are_refused(place: Place, fails: Callable[[int], str], command: str):
    where = ["--output", str(place.output)]
    assert "there is no journal" in fails(READERS[command].main(["--study", "tiny_mml", *where]))
    assert place.run("--search-only", "--trials", "1") == 0
    assert "did you mean 'tiny_mml'" in fails(READERS[command].main(["--study", "tiny_mlm", *where]))
    assert "unknown study 'x'" in fails(READERS[command].main(["--study", "../x", *where]))  # the name is the stem of the path


UNREACHABLE = {
    "refused": "postgresql+psycopg://me:hunter2@127.0.0.1:1/db",
    "no driver": "mysql+nothing://me:hunter2@127.0.0.1/db",
    "no such scheme": "postgrs://me:hunter2@127.0.0.1/db",
    "not a URL": "postgresql://me:hunter2@127.0.0.1:port/db",
}


@pytest.mark.parametrize("by", ["flag", "variable"])
@pytest.mark.parametrize("case", UNREACHABLE)
def test_unreachable_storages_are_refused(
    place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, case: str, by: str
):
    flags = ["--storage", UNREACHABLE[case]] if by == "flag" else []
    if by == "variable":
        monkeypatch.setenv("HPO_STORAGE", UNREACHABLE[case])
    where = ["--output", str(place.output)]
    messages = [fails(place.run("--search-only", *flags))]
    messages += [fails(command.main(["--study", "tiny_mml", *where, *flags])) for command in READERS.values()]
    messages.append(fails(studies.main(["list", *where, *flags])))
    messages.append(fails(dashboard.main([*where, *flags, "--port", str(free_port())])))
    for message in messages:
        assert "cannot be opened" in message
        assert "hunter2" not in message
    assert not place.output.exists() or not list(place.output.rglob("*.log"))


@pytest.mark.parametrize("flag", ["--engine", "--device"])
def test_unknown_engines_and_devices_are_refused(place: Place, fails: Callable[[int], str], flag: str):
    config = place.root / "mine.yaml"
    config.write_text(CONFIG)
    for code in (
        lambda: place.run(flag, "numbaa"),
        lambda: train.main([str(config), "--dataset", "tiny", flag, "numbaa"]),
        lambda: replicate.main(["mml_mf", flag, "numbaa"]),
    ):
        assert "invalid choice: 'numbaa'" in fails(code())


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has CUDA")
def test_cuda_is_refused_without_a_device(place: Place, fails: Callable[[int], str], tmp_path: Path):
    config = place.root / "mine.yaml"
    config.write_text(CONFIG)
    data = ["--data-dir", str(place.root / "data")]
    for code in (
        lambda: place.run("--device", "cuda"),
        lambda: train.main([str(config), "--dataset", "tiny", *data, "--device", "cuda"]),
        lambda: replicate.main(["mml_mf", "--device", "cuda", "--output", str(tmp_path)]),
    ):
        assert "finds no CUDA device" in fails(code())


@pytest.mark.parametrize(
    ("entrance", "message"),
    [
        ("study", "error: unknown dataset 'tin'; "),
        ("config", "error: unknown dataset './absent.csv'; "),
        ("data-dir", "/nowhere/tiny or tiny\n"),
        ("replicate", "error: dataset 'yelp2018' is not in "),
    ],
)
def test_missing_datasets_are_refused(
    place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, entrance: str, message: str
):
    config = place.root / "mine.yaml"
    config.write_text(CONFIG)
    monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path / "elsewhere"))
    nowhere = ["--data-dir", str(tmp_path / "nowhere")]
    if entrance == "study":
        place.study.write_text(STUDY.replace("dataset: tiny", "dataset: tin", 1).partition("rivals:")[0])
        code = place.run("--search-only")
    elif entrance == "config":
        code = train.main([str(config), "--dataset", "./absent.csv", "--save", str(tmp_path / "v.npz")])
    elif entrance == "data-dir":
        code = place.run(*nowhere)
    else:
        code = replicate.main(["mml_mf", *nowhere, "--output", str(tmp_path / "out")])
    assert message in fails(code)
    assert not place.output.exists()
    assert not (tmp_path / "v.npz").exists()


def test_an_invalid_file_for_vectors_is_refused(place: Place, fails: Callable[[int], str]):
    config, folder = place.root / "mine.yaml", place.root / "v.npz"
    config.write_text(CONFIG)
    folder.mkdir()
    command = [str(config), "--dataset", "tiny", "--data-dir", str(place.root / "data"), "--save"]
    assert "--save must be a file that ends in .npz, got v.txt" in fails(train.main([*command, "v.txt"]))
    assert f"{folder}: cannot be written: Is a directory" in fails(train.main([*command, str(folder)]))
    assert "/proc/v.npz: cannot be written" in fails(train.main([*command, "/proc/v.npz"])), "a folder without new files"


@pytest.mark.parametrize("flags", [["--validation", "last"], ["--evaluate-every", "5"]])
@pytest.mark.parametrize("trained_on", ["--all-data", "--with-validation"])
def test_flags_about_measuring_are_refused_where_nothing_is_measured(
    place: Place, fails: Callable[[int], str], flags: list[str], trained_on: str
):
    """5 is the default, too: it is refused all the same."""
    config = place.root / "mine.yaml"
    config.write_text(CONFIG)
    command = [str(config), "--dataset", "tiny", "--data-dir", str(place.root / "data"), trained_on]
    assert f"leave {' '.join(flags)} out" in fails(train.main([*command, *flags]))
    both = "--with-validation and --all-data exclude each other; give --all-data to train on the test pairs, too"
    assert both in fails(train.main([*command, "--with-validation", "--all-data"]))


def test_a_huge_seed_of_a_training_is_refused(place: Place, fails: Callable[[int], str]):
    config = place.root / "mine.yaml"
    config.write_text(CONFIG)
    assert "--seed: seed: must be less than or equal to" in fails(train.main([str(config), "--seed", "9" * 20]))


def test_a_huge_seed_of_validation_is_refused(place: Place, fails: Callable[[int], str]):
    config = place.root / "mine.yaml"
    config.write_text(CONFIG)
    command, huge = [str(config), "--dataset", "tiny", "--data-dir", str(place.root / "data")], "99999999999999999999"
    message = fails(train.main([*command, "--validation", f"{{name: random, seed: {huge}}}"]))
    assert "--validation: seed: must be less than or equal to" in message
    assert huge in message


def test_invalid_and_used_ports_are_refused(place: Place, fails: Callable[[int], str]):
    where = ["--output", str(place.output)]
    assert "--port: must be at most 65535, got 99999" in fails(dashboard.main([*where, "--port", "99999"]))
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"cannot listen on 127.0.0.1:{port}: Address already in use" in fails(dashboard.main([*where, "--port", port]))
    assert "cannot listen on nowhere.invalid:8080" in fails(dashboard.main([*where, "--host", "nowhere.invalid"]))


def test_the_dashboard_starts_with_a_damaged_study(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    """It shows the other studies. The server itself is not started here."""
    assert place.run("--search-only", "--trials", "1") == 0
    assert place.run("--search-only", "--trials", "1", study="tiny_ccl.yaml") == 0
    storage = open_storage(str(place.output / "journal.log"))
    optuna.load_study(study_name="tiny_ccl", storage=storage).set_user_attr(DEFINITION, "damaged")
    note = place.output / "tiny_mml" / "report.md"
    note.unlink()
    served: list[int] = []
    monkeypatch.setattr("hpo.dashboard.serve", lambda application, host, port: served.append(port))
    assert dashboard.main(["--output", str(place.output), "--port", (port := str(free_port()))]) == 0
    assert served == [int(port)]
    assert note.exists()
    assert "study 'tiny_ccl' is damaged" in capsys.readouterr().err


def test_a_refused_storage_leaves_no_files(place: Place, fails: Callable[[int], str]):
    file = place.root / "a.txt"
    file.write_text("not a journal\n")
    assert "must be an Optuna journal" in fails(place.run("--storage", str(file)))
    assert "several workers cannot share SQLite" in fails(
        place.run("--workers", "2", "--storage", f"sqlite:///{place.root}/x.db")
    )
    assert not place.output.exists()


def test_negatives_that_do_not_fit_the_data_are_refused_before_a_study_is_made(place: Place, fails: Callable[[int], str]):
    two_stage = "{{name: two_stage, count: 7, candidates: {}}}"
    place.edit("{name: uniform, count: 7}", two_stage.format(41))  # there are 40 items
    assert "candidates must be at most the 40 items" in fails(place.run())
    place.edit("41}", "40}")
    assert place.run("--search-only", "--trials", "1") == 0, "an existing study would refuse this other definition"
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(rival.read_text().replace("{name: uniform, count: 7}", two_stage.format(41)))
    assert "candidates must be at most the 40 items" in fails(place.run("--study-name", "other"))


def test_a_dry_run_takes_as_many_pairs_as_its_negatives_need(place: Place):
    place.edit("batch_size: 64", "batch_size: 2")  # 4 steps have 8 pairs, which are items of one user
    place.edit("{name: uniform, count: 7}", "{name: two_stage, count: 7, candidates: 40}")
    assert place.run("--dry-run") == 0


@pytest.mark.parametrize("command", [run, export, confirm, report])
def test_an_output_folder_without_write_access_is_refused(place: Place, fails: Callable[[int], str], command: object):
    assert place.run("--search-only", "--trials", "1") == 0
    folder = place.output / "tiny_mml"
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    folder.rmdir()
    folder.write_text("a file in its place")
    if command is run:
        code = place.run("--trials", "2")
    else:
        where = ["--output", str(place.output)] if command is report else place.where
        code = command.main(["--study", "tiny_mml", *where])  # type: ignore[attr-defined]
    assert "cannot be written" in fails(code)


LONG = "x" * 300  # longer than a file system allows
PATH_FLAGS = {
    "run, output": (run, ["--study", "demo_mml", "--output"]),
    "run, data": (run, ["--study", "yelp_mml", "--dry-run", "--data-dir"]),
    "run, storage": (run, ["--study", "demo_mml", "--search-only", "--storage"]),
    "report": (report, ["--study", "x", "--output"]),
    "export": (export, ["--study", "x", "--storage"]),
    "list": (studies, ["list", "--output"]),
    "new": (studies, ["new", "x.csv", "--data-dir"]),
    "delete": (studies, ["delete", "x", "--yes", "--output"]),
    "replicate": (replicate, ["mml_mf", "--data-dir", "nowhere", "--output"]),
    "replicate, data": (replicate, ["mml_mf", "--data-dir"]),
    "recommend": (recommend, ["nowhere.npz", "--users-file"]),
}


@pytest.mark.parametrize("path", ["", " ", "a\0b", "y" * 5000, LONG])
@pytest.mark.parametrize("case", PATH_FLAGS)
def test_invalid_paths_are_refused(
    fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, case: str, path: str
):
    monkeypatch.chdir(tmp_path)
    command, arguments = PATH_FLAGS[case]
    code = command.main([*arguments, path])
    if case == "list" and path == LONG:  # no study has run there
        assert code == 0
    else:
        assert ("must be a path or URL of 1 to 4,096 printable" in fails(code)) == (path != LONG)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["HPO_STORAGE", "HPO_DATA_DIR"])
def test_blank_variables_are_refused(place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, name: str):
    monkeypatch.chdir(place.root / "data")
    command = ["--study", str(place.study), "--output", str(place.output), "--search-only", "--trials", "1"]
    monkeypatch.setenv(name, "  ")
    assert f"{name} must hold more than spaces" in fails(run.main(command))
    assert not place.output.exists()
    monkeypatch.setenv(name, "")
    assert run.main(command) == 0
