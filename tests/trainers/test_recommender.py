"""A model with the user's own ids: its lists, its file, and the data that it may be measured on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from trainers import InputError, Interactions, evaluate, load_test
from trainers.data.datasets import Dataset, load_all, load_dataset, read_test
from trainers.recommender import Recommender, TrainedOn

# ann has tea and cake, bob has tea and ale, cy has milk. Each pair occurs once.
FRAME = pd.DataFrame({"who": ["ann", "ann", "bob", "bob", "cy"], "what": ["tea", "cake", "tea", "ale", "milk"]})


def made(directory: Path, text: str = "user,item\nann,tea\nann,cake\nbob,tea\nbob,ale\ncy,milk\n") -> Dataset:
    directory.mkdir(exist_ok=True)
    (directory / "train.csv").write_text(text)
    (directory / "test.csv").write_text("user,item\nann,ale\nbob,milk\ndan,tea\n")
    return load_dataset(str(directory))


@pytest.fixture
def model(tmp_path: Path) -> Recommender:
    """Items by id are ale, cake, milk, tea.

    Ann ranks them in this order, bob in the reverse order, cy as cake, ale, milk, tea.
    """
    dataset = made(tmp_path / "own")
    assert dataset.item_ids.tolist() == ["ale", "cake", "milk", "tea"]
    items = np.eye(4)
    users = np.array([[4.0, 3.0, 2.0, 1.0], [1.0, 2.0, 3.0, 4.0], [3.0, 4.0, 2.0, 1.0]])
    return Recommender.of(dataset, users, items)


def lists(model: Recommender, *users: str, k: int = 20) -> list[tuple[str, str, int, float]]:
    return list(model.recommend(users, k).itertuples(index=False, name=None))


def test_lists_have_the_users_own_ids_and_nothing_seen(model: Recommender) -> None:
    assert lists(model, "bob", "ann") == [
        ("bob", "milk", 1, 3.0),
        ("bob", "cake", 2, 2.0),
        ("ann", "ale", 1, 4.0),
        ("ann", "milk", 2, 2.0),
    ]
    assert lists(model, "cy", k=1) == [("cy", "cake", 1, 4.0)]
    assert model.recommend(k=1)["user"].tolist() == ["ann", "bob", "cy"]


def test_unknown_users_are_named(model: Recommender) -> None:
    with pytest.raises(InputError, match=r"unknown users dan, eve; the model knows 3 users, such as ann, bob, cy"):
        model.recommend(["ann", "dan", "eve"])


def test_numeric_ids_may_be_given_as_numbers_and_as_text(tmp_path: Path) -> None:
    dataset = made(tmp_path / "own", "user,item\n7,1\n10,2\n")
    model = Recommender.of(dataset, np.ones((2, 1)), np.ones((2, 1)))
    for user in (10, "10", np.int64(10)):
        assert model.recommend([user], 5)["item"].tolist() == [1]


def test_a_saved_model_is_read_unchanged(model: Recommender, tmp_path: Path) -> None:
    model.save(tmp_path / "model.npz")
    again = Recommender.load(tmp_path / "model.npz")
    pd.testing.assert_frame_equal(again.recommend(), model.recommend())
    assert (again.data, again.trained_on) == (model.data, "unknown")
    with np.load(tmp_path / "model.npz", allow_pickle=False) as arrays:
        assert all(arrays[name].dtype != object for name in arrays.files)


def test_other_files_are_refused(model: Recommender, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ends in \.npz, got model.txt"):
        model.save("model.txt")
    with pytest.raises(InputError, match=r"missing.npz: cannot be read: No such file"):
        Recommender.load(tmp_path / "missing.npz")
    model.save(tmp_path / "model.npz")
    whole = (tmp_path / "model.npz").read_bytes()
    for damaged in (b"", whole[: len(whole) // 2], b"PK" + bytes(100)):
        (tmp_path / "cut.npz").write_bytes(damaged)
        with pytest.raises(
            InputError, match=r"cut.npz: is damaged or another file \(.+\); give a file that hpo.train --save wrote"
        ):
            Recommender.load(tmp_path / "cut.npz")
    np.savez(tmp_path / "other.npz", users=np.ones(3))
    with pytest.raises(InputError, match=r"other.npz: is damaged or another file"):
        Recommender.load(tmp_path / "other.npz")


def test_metrics_equal_those_of_evaluate(model: Recommender, tmp_path: Path) -> None:
    dataset = load_dataset(str(tmp_path / "own"))
    test = load_test(dataset)
    assert model.evaluate(dataset, test, ks=(1,)) == evaluate(
        model.users, model.items, seen=dataset.train, held_out=test, ks=(1,)
    )


def test_a_model_that_was_trained_on_the_test_pairs_is_not_measured(tmp_path: Path) -> None:
    part = made(tmp_path / "own")
    whole = load_all(str(tmp_path / "own"))
    assert len(whole.train) == 8, "five pairs of train and three of test"
    assert whole.user_ids.tolist() == ["ann", "bob", "cy", "dan"], "users of the test file are included"
    model = Recommender.of(whole, np.ones((4, 1)), np.ones((4, 1)))
    with pytest.raises(InputError, match=r"was trained on all interactions of .*own, test pairs included"):
        model.evaluate(part, load_test(part))
    with pytest.raises(InputError, match=r"so it has no test split"):
        read_test(whole)
    model.save(tmp_path / "model.npz")
    assert Recommender.load(tmp_path / "model.npz").trained_on == "with test"


@pytest.mark.parametrize("trained_on", ["without validation", "with validation", "unknown"])
def test_a_file_says_what_its_model_was_trained_on(tmp_path: Path, trained_on: TrainedOn) -> None:
    dataset = made(tmp_path / "own")
    vectors = np.ones((dataset.n_users, 1)), np.ones((dataset.n_items, 1))
    Recommender.of(dataset, *vectors, trained_on=trained_on).save(tmp_path / "model.npz")
    assert Recommender.load(tmp_path / "model.npz").trained_on == trained_on


def test_other_data_are_refused(model: Recommender, tmp_path: Path) -> None:
    other = made(tmp_path / "other", "user,item\nann,tea\nbob,ale\n")
    with pytest.raises(InputError, match=r"was trained on other data"):
        model.evaluate(other, load_test(other))


def test_vectors_must_fit_the_data(tmp_path: Path) -> None:
    dataset = made(tmp_path / "own")
    with pytest.raises(InputError, match=r"vectors must be \(3, d\) and \(4, d\)"):
        Recommender.of(dataset, np.ones((2, 1)), np.ones((4, 1)))


def test_users_may_come_from_an_iterator(model: Recommender) -> None:
    users = [*model.user_ids.tolist()[:2]]
    pd.testing.assert_frame_equal(model.recommend(iter(users), k=2), model.recommend(users, k=2))  # type: ignore[arg-type]
    assert len(model.recommend(users, k=2)) > 0


def test_pairs_that_the_model_was_trained_on_are_not_measured(model: Recommender, tmp_path: Path) -> None:
    dataset = load_dataset(str(tmp_path / "own"))
    with pytest.raises(InputError, match="held-out pairs are seen"):
        model.evaluate(dataset, dataset.hold_out().held_out)


@pytest.mark.parametrize("user", ["12", 12])
def test_a_single_id_instead_of_a_list_is_refused(user: object) -> None:
    """Else the text `12` would mean the users 1 and 2."""
    train = Interactions.from_pairs(np.array([0, 1]), np.array([0, 1]), 2, 3)
    dataset = Dataset("made", train, np.array([1, 2]), np.array([7, 8, 9]))
    model = Recommender.of(dataset, np.ones((2, 4), np.float32), np.ones((3, 4), np.float32))
    with pytest.raises(InputError, match="users must be a list of ids"):
        model.recommend(user)  # type: ignore[arg-type]


@pytest.mark.parametrize("all_data", [False, True])
def test_items_with_a_low_rating_of_the_user_are_not_recommended(tmp_path: Path, all_data: bool) -> None:
    """Ann has rated tea 5 and ale 1. Bob rates ale high, so the model knows it. Dan has only a low rating and is unknown."""
    rows = ["ann,tea,5", "ann,cake,5", "ann,ale,1", "bob,ale,5", "bob,tea,4", "bob,milk,4", "dan,milk,1", "ann,rum,2"]
    (tmp_path / "own.csv").write_text("\n".join(["user,item,rating", *rows]) + "\n")
    options = {"min_rating": 4, "test": {"name": "random", "fraction": 0.01}}
    dataset = (load_all if all_data else load_dataset)(str(tmp_path / "own.csv"), **options)
    model = Recommender.of(dataset, np.ones((dataset.n_users, 1)), np.ones((dataset.n_items, 1)))
    assert "rum" not in model.item_ids, "no user has a high rating for it"
    assert not {"tea", "cake", "ale"} & set(model.recommend(["ann"])["item"]) - {
        item
        for item in ("tea", "cake")
        if not all_data  # one of them is the test pair
    }
    assert "ale" not in set(model.recommend(["ann"])["item"])
    measured = Recommender.of(dataset, model.users, model.items, without_disliked=False)
    assert "ale" in set(measured.recommend(["ann"])["item"]), "a measurement ranks all that is not in the training data"


def test_lists_may_be_asked_for_longer_than_any(model: Recommender) -> None:
    pd.testing.assert_frame_equal(model.recommend(k=1_000_000_000), model.recommend(k=20))
    with pytest.raises(InputError, match=r"k must be a whole number, got 2.5"):
        model.recommend(k=2.5)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", [object, np.uint8, "S1"])
def test_a_model_of_a_dataset_made_by_hand_can_be_read_again(kind: object, tmp_path: Path) -> None:
    train = Interactions.from_pairs(np.array([0, 1]), np.array([0, 1]), 2, 2)
    dataset = Dataset("mine", train, np.array([7, 9]).astype(kind), np.array([1, 2]).astype(object))  # type: ignore[call-overload]
    model = Recommender.of(dataset, np.eye(2), np.eye(2))
    model.save(tmp_path / "model.npz")
    again = Recommender.load(tmp_path / "model.npz")
    assert again.recommend(again.user_ids.tolist()[:1])["item"].tolist() == ["2"]
    assert len(again.recommend()) == len(model.recommend())


def test_a_model_that_cannot_be_read_is_not_saved(model: Recommender, tmp_path: Path) -> None:
    broken = replace(model, user_ids=np.array(["a", "b", "\ud800"]))
    with pytest.raises(InputError, match=r"a model must be whole to be saved: .*; make it with Recommender.of"):
        broken.save(tmp_path / "model.npz")
    assert not (tmp_path / "model.npz").exists()


def test_all_data_count_test_pairs_for_the_limits_too(tmp_path: Path) -> None:
    """As docs/own-data.md says: ale has one pair in train and one in test."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "train.csv").write_text("user,item\nann,tea\nbob,tea\nann,milk\nbob,milk\nann,ale\n")
    (tmp_path / "own" / "test.csv").write_text("user,item\nbob,ale\ncy,tea\n")
    assert load_dataset(str(tmp_path / "own"), min_item=2).item_ids.tolist() == ["milk", "tea"]
    every = load_all(str(tmp_path / "own"), min_item=2)
    assert every.item_ids.tolist() == ["ale", "milk", "tea"]
    assert every.user_ids.tolist() == ["ann", "bob", "cy"]
