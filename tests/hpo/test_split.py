"""Lists for a comparison with other programs: `hpo.studies split`, and `hpo.train --with-validation --seed N`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo import compare, recommend, studies, train
from hpo.comparison.outcome import Compared
from hpo.study.split_files import write_split
from trainers import Dataset, load_dataset, load_test
from trainers.recommender import Recommender
from trainers.yaml_files import parse_yaml, read_yaml

from .conftest import Place

ODD = ["a,b", 'say "hi"', "x;y", "7", "007", "NA", "user", "é", "t\tab", "'"]


def split(place: Place, study: str) -> tuple[int, Path]:
    folder = place.root / "split"
    return studies.main(["split", study, str(folder), *place.where]), folder


def same_pairs(folder: Path, dataset: Dataset, **options: object) -> bool:
    """Whether the folder as a dataset has the training and test pairs of another one."""
    again = load_dataset(folder, **options)
    return (again.checksum, load_test(again).checksum) == (dataset.checksum, load_test(dataset).checksum)


@pytest.mark.confirmed
def test_lists_of_a_study_have_the_figures_of_its_confirmation(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    """Split, train with each seed, recommend, compare: every figure is that of the test stage, to the last digit."""
    monkeypatch.setattr(compare, "write_page", lambda outcome, folder: folder / "compare.html")
    code, folder = split(place, "tiny_mml")
    assert code == 0
    assert f"wrote {folder}/train.csv: 576 interactions to train on, those of validation included" in capsys.readouterr().out
    config = place.output / "tiny_mml" / "best.yaml"
    by_seed = read_yaml(config)["test_by_seed"]
    seen, lists = pd.read_csv(folder / "train.csv"), []
    for seed in by_seed:
        model, path = place.root / f"{seed}.npz", place.root / f"{seed}.csv"
        flags = ["--with-validation", "--seed", str(seed), "--save", str(model), *place.where]
        assert train.main([str(config), *flags]) == 0
        shown = capsys.readouterr().out
        assert "training on 576 interactions, validation pairs included and test pairs left out: nothing is measured" in shown
        assert "ndcg" not in shown
        assert recommend.main([str(model), "--output", str(path)]) == 0
        assert pd.read_csv(path).merge(seen, on=["user", "item"]).empty, "training and validation pairs are left out"
        lists.append(str(path))
    popular = place.root / "popular.csv"
    ranked = seen["item"].value_counts().index
    known = [set(items) for _, items in seen.groupby("user")["item"]]
    left = [[item for item in ranked if item not in items][:20] for items in known]
    rows = [(user, item, rank) for user, items in enumerate(left) for rank, item in enumerate(items)]
    pd.DataFrame(rows, columns=["user", "item", "rank"]).to_csv(popular, index=False)
    methods = [f"MML={','.join(lists)}", str(popular), "--truth", str(folder / "test.csv")]
    assert compare.main([*methods, "--deterministic", "popular", "--output", str(place.root / "compared")]) == 0
    found = Compared.read(place.root / "compared" / "compare.yaml").methods[0].values
    for metric in ("ndcg@20", "recall@20"):
        assert list(found[metric][0]) == [figures[metric] for figures in by_seed.values()]


@pytest.mark.confirmed
def test_exported_figures_are_not_shown_for_another_seed(place: Place, capsys: pytest.CaptureFixture[str]):
    config = place.output / "tiny_mml" / "best.yaml"
    for seed, is_shown in ((101, True), (102, False)):
        assert train.main([str(config), "--seed", str(seed), *place.where]) == 0
        shown = capsys.readouterr().out
        assert "training on 480 interactions; left out for validation: 96 (10 % of each user's" in shown
        assert ("exported: validation" in shown) == is_shown


@pytest.mark.parametrize("layout", ["times", "ordered", "neither"])
def test_the_split_of_a_single_file_is_a_dataset_with_the_same_pairs(
    place: Place, capsys: pytest.CaptureFixture[str], layout: str
):
    """Low ratings and rare users are left out of both, and the printed keys give the same validation pairs."""
    rng = np.random.default_rng(4)
    lines = [
        f"u{user},{item},{rng.integers(1, 6)},{rng.integers(0, 9) / 4}" for user in range(40) for item in rng.permutation(25)
    ]
    (place.root / "own.csv").write_text("\n".join(["user,item,rating,time", *lines]) + "\n")
    options = {"min_rating": 2, "k_core": 3}
    if layout != "times":
        options |= {"columns": {"user": 0, "item": 1, "rating": 2, "time": "none"}, "ordered": layout == "ordered"}
    data = str(options).replace("'", "").replace("True", "true").replace("False", "false")
    place.edit("dataset: tiny", f"dataset: {place.root / 'own.csv'}\ndata: {data}")
    code, folder = split(place, str(place.study))
    assert code == 0
    dataset = load_dataset(place.root / "own.csv", **options)
    keys = parse_yaml(capsys.readouterr().out.partition("the same split:\n")[2], "keys")
    assert same_pairs(folder, dataset, **keys.get("data", {}))
    again = load_dataset(keys["dataset"], **keys.get("data", {}))
    how = dataset.default_validation()
    assert keys["validation"] == how.model_dump()
    assert how.name == ("random" if layout == "neither" else "last")
    assert again.hold_out(how).held_out.checksum == dataset.hold_out(how).held_out.checksum


def test_ids_with_any_signs_are_written_and_read_back(tmp_path: Path):
    frame = pd.DataFrame([(user, item) for user in ODD for item in ODD if user != item], columns=["user", "item"])
    dataset = Dataset.from_frame(frame, "user", "item")
    assert write_split(dataset, tmp_path / "split").same_numbers
    again = load_dataset(tmp_path / "split")
    assert again.user_ids.tolist() == sorted(ODD) == again.item_ids.tolist()


def test_other_numbers_are_said(tmp_path: Path):
    """The one user whose id is no number is too rare, so that the ids in the files are all numbers."""
    rows = [(str(user), str(item)) for user in range(8, 12) for item in range(5)] + [("ann", "1")]
    dataset = Dataset.from_frame(pd.DataFrame(rows, columns=["user", "item"]), "user", "item", min_user=2)
    files = write_split(dataset, tmp_path / "split")
    assert not files.same_numbers
    assert "the folder numbers users and items in another way" in [*files.said(dataset.default_validation())][-1]


def test_a_folder_with_files_is_refused(place: Place, fails: Callable[[int], str]):
    """The folder of the data themselves would be one."""
    folder = place.root / "data" / "tiny"
    message = fails(studies.main(["split", str(place.study), str(folder), *place.where]))
    assert f"{folder}: must be a new or empty folder, got one with files in it; give another folder" in message
    assert sorted(path.name for path in folder.iterdir()) == ["test.txt", "train.txt"]
    file = folder / "test.txt"
    assert "cannot be written: Not a directory" in fails(studies.main(["split", str(place.study), str(file), *place.where]))


def test_a_valid_file_is_part_of_the_training_pairs(place: Place, capsys: pytest.CaptureFixture[str]):
    """It may not be written beside them: with it the folder would be read as having fewer training pairs."""
    (place.root / "data" / "tiny" / "valid.txt").write_text("0 1 3\n1 0 2\n")
    code, folder = split(place, str(place.study))
    assert code == 0
    said = capsys.readouterr().out
    assert "has the same training and test pairs, and no valid file:" in said
    assert "validation" not in said.partition("no valid file:")[2]
    assert same_pairs(folder, load_dataset("tiny", place.root / "data"))


def test_a_model_with_low_ratings_is_measured_as_in_the_confirmation(place: Place):
    """Its lists leave out the training data alone. A low rating may come later than the training data."""
    lines = [f"{user},{item},{1 if item % 5 == 0 else 5},{item}" for user in range(40) for item in range(20)]
    lines += [f"{user},{item},5,30" for user in range(40, 44) for item in range(20)]
    (place.root / "own.csv").write_text("\n".join(["user,item,rating,time", *lines]) + "\n")
    config = place.root / "config.yaml"
    config.write_text("loss: {name: bsl, temperature: 0.2}\nencoder: {name: mf, dim: 8}\nepochs: 1\n")
    command = [str(config), "--dataset", str(place.root / "own.csv"), "--data", "{min_rating: 3}"]
    found = {}
    for flags in ((), ("--with-validation",)):
        assert train.main([*command, *flags, "--save", str(place.root / "model.npz")]) == 0
        found[flags] = set(Recommender.load(place.root / "model.npz").recommend([0])["item"].tolist())
    assert not {0, 5, 10, 15} & found[()]
    assert {0, 5, 10, 15} <= found["--with-validation",]
