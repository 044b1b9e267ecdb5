"""Every rule of the contract on bad input, at every entrance that it can come through: one message, exit code 2."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from hpo import confirm, dashboard, export, replicate, report, run, studies, train

from .conftest import STUDY, Place

CONFIG = "loss: {name: mml, margins: [0.6, 0.9], weights: [0.3, 0.7], negative_weight: 400.0}\nepochs: 1\n"
READERS = {"confirm": confirm, "export": export, "report": report}

# what is edited into a valid study file -> what the message must say
STUDY_FILES = {
    "unknown space": ("name: mml", "name: mmll", "unknown space 'mmll'; did you mean 'mml'"),
    "unknown key": ("trials: 4", "trails: 4", "trails"),
    "unknown key of config": ("learning_rate:", "learning_rat:", "learning_rat"),
    "unknown rival": ("tiny_ccl.yaml", "yelp_cc", "study tiny_mml: unknown rival 'yelp_cc'; did you mean 'yelp_ccl'"),
    "misspelt rival": ("tiny_ccl.yaml", "cccl", "unknown rival 'cccl'; did you mean 'ccl'? known: spaces (bce, "),
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
def test_study_files(place: Place, fails: Callable[[int], str], case: str):
    old, new, message = STUDY_FILES[case]
    place.study.write_text(STUDY.replace(old, new, 1))
    assert place.study.read_text() != STUDY
    assert message in fails(place.run("--search-only"))
    assert not (place.output / "journal.log").exists(), "nothing was begun"


@pytest.mark.parametrize("case", CONFIG_FILES)
def test_config_files(place: Place, fails: Callable[[int], str], case: str):
    old, new, message = CONFIG_FILES[case]
    path = place.root / "mine.yaml"
    path.write_text(CONFIG.replace(old, new, 1))
    assert path.read_text() != CONFIG
    assert message in fails(train.main([str(path), "--dataset", "tiny", "--data-dir", str(place.root / "data")]))


def test_a_sound_config_file_is_not_refused(place: Place):
    path = place.root / "mine.yaml"
    path.write_text(CONFIG)
    assert train.main([str(path), "--dataset", "tiny", "--data-dir", str(place.root / "data")]) == 0


@pytest.mark.parametrize("verb", READERS)
def test_studies_that_do_not_exist(place: Place, fails: Callable[[int], str], verb: str):
    where = ["--output", str(place.output)]
    assert "there is no journal" in fails(READERS[verb].main(["--study", "tiny_mml", *where]))
    assert place.run("--search-only", "--trials", "1") == 0
    assert "did you mean 'tiny_mml'" in fails(READERS[verb].main(["--study", "tiny_mlm", *where]))
    assert "unknown study '../x'" in fails(READERS[verb].main(["--study", "../x", *where]))


UNREACHABLE = {
    "refused": "postgresql+psycopg://me:hunter2@127.0.0.1:1/db",
    "no driver": "mysql+nothing://me:hunter2@127.0.0.1/db",
    "no such scheme": "postgrs://me:hunter2@127.0.0.1/db",
    "not a URL": "postgresql://me:hunter2@127.0.0.1:port/db",
}


@pytest.mark.parametrize("by", ["flag", "variable"])
@pytest.mark.parametrize("case", UNREACHABLE)
def test_unreachable_storages(place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, case: str, by: str):
    flags = ["--storage", UNREACHABLE[case]] if by == "flag" else []
    if by == "variable":
        monkeypatch.setenv("HPO_STORAGE", UNREACHABLE[case])
    where = ["--output", str(place.output)]
    messages = [fails(place.run("--search-only", *flags))]
    messages += [fails(verb.main(["--study", "tiny_mml", *where, *flags])) for verb in READERS.values()]
    messages += [fails(studies.main(["list", *where, *flags])), fails(dashboard.main([*where, *flags]))]
    for message in messages:
        assert "cannot be opened" in message
        assert "hunter2" not in message
    assert not place.output.exists() or not list(place.output.rglob("*.log"))


@pytest.mark.parametrize("flag", ["--engine", "--device"])
def test_unknown_engines_and_devices(place: Place, fails: Callable[[int], str], flag: str):
    config = place.root / "mine.yaml"
    config.write_text(CONFIG)
    for code in (
        lambda: place.run(flag, "numbaa"),
        lambda: train.main([str(config), "--dataset", "tiny", flag, "numbaa"]),
        lambda: replicate.main(["mml_mf", flag, "numbaa"]),
    ):
        assert "invalid choice: 'numbaa'" in fails(code())


@pytest.mark.skipif("__import__('torch').cuda.is_available()", reason="this machine has CUDA")
def test_cuda_asked_for_and_absent(place: Place, fails: Callable[[int], str], tmp_path: Path):
    config = place.root / "mine.yaml"
    config.write_text(CONFIG)
    data = ["--data-dir", str(place.root / "data")]
    for code in (
        lambda: place.run("--device", "cuda"),
        lambda: train.main([str(config), "--dataset", "tiny", *data, "--device", "cuda"]),
        lambda: replicate.main(["mml_mf", "--device", "cuda", "--output", str(tmp_path)]),
    ):
        assert "finds no CUDA device" in fails(code())


@pytest.mark.parametrize("entrance", ["study", "config", "flag", "replicate"])
def test_datasets_that_are_not_there(
    place: Place, fails: Callable[[int], str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, entrance: str
):
    config = place.root / "mine.yaml"
    config.write_text(CONFIG)
    monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path / "nowhere"))
    if entrance == "study":
        place.study.write_text(STUDY.replace("dataset: tiny", "dataset: tin", 1).partition("rivals:")[0])
        code = place.run("--search-only")
    elif entrance == "config":
        code = train.main([str(config), "--dataset", "./absent.csv"])
    elif entrance == "flag":
        code = place.run("--data-dir", str(tmp_path / "nowhere"))
    else:
        code = replicate.main(["mml_mf", "--data-dir", str(tmp_path / "nowhere"), "--output", str(tmp_path / "out")])
    message = fails(code)
    assert any(word in message for word in ("tin", "absent.csv", "nowhere"))
    assert not (place.output / "journal.log").exists()


@pytest.mark.parametrize("verb", [run, export, confirm, report])
def test_an_output_folder_that_cannot_be_written(place: Place, fails: Callable[[int], str], verb: object):
    assert place.run("--search-only", "--trials", "1") == 0
    folder = place.output / "tiny_mml"
    for path in sorted(folder.rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    folder.rmdir()
    folder.write_text("a file in its place")
    if verb is run:
        code = place.run("--trials", "2")
    else:
        where = ["--output", str(place.output)] if verb is report else place.where
        code = verb.main(["--study", "tiny_mml", *where])  # type: ignore[attr-defined]
    assert "cannot be written" in fails(code)
