"""Top-N lists from the command line, from a config to a CSV file."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo import recommend, train
from trainers import Dataset, load_dataset, load_test
from trainers.recommender import Recommender

from .conftest import Place

CONFIG = "loss: {name: ccl, margin: 0.5, negative_weight: 10.0}\nencoder: {name: mf, dim: 8}\nlearning_rate: 0.05\nepochs: 10\n"


@pytest.fixture
def trained(place: Place) -> Callable[..., Path]:
    def train_it(*flags: str) -> Path:
        (place.root / "config.yaml").write_text(CONFIG)
        path = place.root / "model.npz"
        data = ["--dataset", "tiny", "--data-dir", str(place.root / "data")]
        assert train.main([str(place.root / "config.yaml"), *data, "--save", str(path), *flags]) == 0
        return path

    return train_it


def seen_of(place: Place, user: int) -> set[int]:
    dataset = load_dataset("tiny", place.root / "data")
    return set(dataset.item_ids[dataset.train.items[dataset.train.users == user]].tolist())


def best_by_hand(path: Path, user: int, seen: set[int]) -> list[int]:
    """The five unseen items with the highest inner product, from the arrays of the file. Raw ids are rows here."""
    with np.load(path) as arrays:
        scores = arrays["items"] @ arrays["users"][user]
    return [item for item in np.argsort(-scores).tolist() if item not in seen][:5]


def test_lists_of_users_have_their_best_unseen_items(
    place: Place, trained: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path, output = trained(), place.root / "top.csv"
    capsys.readouterr()
    assert recommend.main([str(path), "--users", "3,1", "-k", "5", "--output", str(output)]) == 0
    assert "10 recommendations for 2 users" in capsys.readouterr().out
    lists = pd.read_csv(output)
    assert lists.columns.tolist() == ["user", "item", "rank", "score"]
    assert lists["user"].tolist() == [3] * 5 + [1] * 5
    assert lists["rank"].tolist() == [1, 2, 3, 4, 5] * 2
    for user in (3, 1):
        items = set(lists[lists["user"] == user]["item"])
        assert len(items) == 5
        assert not items & seen_of(place, user), "validation pairs are seen, too"
        assert lists[lists["user"] == user]["item"].tolist() == best_by_hand(path, user, seen_of(place, user))
    assert recommend.main([str(path), "-k", "1"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 49, "a header and a line for each user"


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        ((), "the model was trained without the validation pairs; to compare with another library, train with --with-valida"),
        (("--with-validation",), "the model was trained on all training pairs, those of validation included"),
        (("--all-data",), "the model was trained on the test pairs, too: do not measure these lists"),
    ],
)
def test_the_pairs_that_a_model_was_trained_on_are_said(
    place: Place, trained: Callable[..., Path], capsys: pytest.CaptureFixture[str], flags: tuple[str, ...], said: str
) -> None:
    path = trained(*flags)
    capsys.readouterr()
    assert recommend.main([str(path), "--output", str(place.root / "top.csv")]) == 0
    assert capsys.readouterr().err.startswith(said)
    assert recommend.main([str(path)]) == 0
    printed = capsys.readouterr()
    assert printed.err.startswith(said)
    assert printed.out == (place.root / "top.csv").read_text(), "the lists alone, so that a pipe gets a CSV"


def test_users_may_come_from_a_file(place: Place, trained: Callable[..., Path], capsys: pytest.CaptureFixture[str]) -> None:
    path = trained()
    (place.root / "users.txt").write_text("4\n\n 2 \n", encoding="utf-8-sig")  # as Excel saves it
    capsys.readouterr()
    assert recommend.main([str(path), "--users-file", str(place.root / "users.txt"), "-k", "1"]) == 0
    assert [line.split(",")[0] for line in capsys.readouterr().out.splitlines()[1:]] == ["4", "2"]


def test_all_data_includes_the_test_pairs(
    place: Place, trained: Callable[..., Path], capsys: pytest.CaptureFixture[str]
) -> None:
    path = trained("--all-data")
    shown = capsys.readouterr().out
    assert "training on all 720 interactions, test pairs included: nothing can be measured" in shown
    assert "ndcg" not in shown
    model = Recommender.load(path)
    assert len(model.seen) == 48 * 15
    dataset = load_dataset("tiny", place.root / "data")
    test = load_test(dataset)
    for user in (0, 7):
        items = set(model.recommend([user], 40)["item"])
        assert not items & set(dataset.item_ids[test.items[test.users == user]].tolist()), "test items are known, too"


def test_all_data_of_a_single_file_includes_the_test_pairs(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """A fifth is split off as test data, and is trained on, too."""
    path = place.root / "ratings.csv"
    lines = [f"u{user},i{(user * 3 + step) % 40},{step}" for user in range(40) for step in range(10)]
    path.write_text("\n".join(["user,item,timestamp", *lines]) + "\n")
    (place.root / "config.yaml").write_text(CONFIG)
    flags = ["--dataset", str(path), "--all-data", "--save", str(place.root / "model.npz")]
    assert train.main([str(place.root / "config.yaml"), *flags]) == 0
    assert "training on all 400 interactions" in capsys.readouterr().out
    assert len(Recommender.load(place.root / "model.npz").seen) == 400


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--users", "1,99"], "unknown users 99"),
        (["--users", " , "], "there must be at least one user"),
        (["--users", "1", "--users-file", "x"], "--users and --users-file exclude each other"),
        (["--users-file", "missing.txt"], "missing.txt: cannot be read"),
        (["-k", "0"], "must be at least 1, got 0"),
    ],
)
def test_bad_input_is_refused(trained: Callable[..., Path], fails: Callable[[int], str], flags: list[str], words: str) -> None:
    path = trained()
    assert words in fails(recommend.main([str(path), *flags]))


def test_a_file_that_is_no_model_is_refused(place: Place, fails: Callable[[int], str]) -> None:
    place.study.with_suffix(".npz").write_text("nothing")
    assert "is damaged or another file (File is not a zip file); give a file that hpo.train --save wrote" in fails(
        recommend.main([str(place.study.with_suffix(".npz"))])
    )
    os.mkfifo(place.root / "pipe.npz")  # opening it would block
    assert "pipe.npz: is a named pipe; give a regular file" in fails(recommend.main([str(place.root / "pipe.npz")]))


def test_stored_options_are_not_used_for_another_path_with_a_message(
    place: Place, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The same file under another name would be read with its low ratings, so a message is needed."""
    lines = "".join(f"{u},{(u + s) % 30},{1 + s}\n" for u in range(40) for s in range(5))
    for name in ("here.csv", "there.csv"):
        (place.root / name).write_text("user,item,rating\n" + lines)
    monkeypatch.chdir(place.root)
    alone = place.study.read_text().partition("rivals:")[0]
    place.study.write_text(alone.replace("dataset: tiny", "dataset: here.csv\ndata: {min_rating: 3}"))
    assert place.run("--search-only") == 0
    best = str(place.output / "tiny_mml" / "best.yaml")
    capsys.readouterr()
    assert train.main([best, "--dataset", "there.csv"]) == 0
    message = "there.csv is read without the data options of here.csv (min_rating); give some with --data YAML"
    assert message in " ".join(capsys.readouterr().out.split())
    assert train.main([best, "--dataset", "there.csv", "--data", "{min_rating: 3}"]) == 0
    assert "is read without" not in capsys.readouterr().out


@pytest.mark.parametrize("terminal", [False, True])
def test_ids_are_unchanged_in_a_file_and_escaped_on_a_terminal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, terminal: bool):
    """The terminal may have any encoding."""
    frame = pd.DataFrame({"user": ["ü\x1b[2J", "ü\x1b[2J", "b", "b", "b"], "item": [1, 2, 2, 3, 4]})
    dataset = Dataset.from_frame(frame, "user", "item")
    Recommender.of(dataset, np.ones((dataset.n_users, 1)), np.ones((dataset.n_items, 1))).save(tmp_path / "model.npz")
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")
    monkeypatch.setattr(out, "isatty", lambda: terminal)
    monkeypatch.setattr(sys, "stdout", out)
    assert recommend.main([str(tmp_path / "model.npz"), "-k", "1"]) == 0
    out.flush()
    shown = out.buffer.getvalue()  # type: ignore[attr-defined]
    assert (b"\\xfc\\x1b[2J," if terminal else "ü\x1b[2J,".encode()) in shown
