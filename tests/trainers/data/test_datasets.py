"""Datasets are found, checked, split and downloaded. The demo dataset."""

from __future__ import annotations

import functools
import gc
import hashlib
import http.server
import logging
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainers import InputError, Interactions, load_dataset, load_test
from trainers.data import datasets
from trainers.data.datasets import load_all, read_test
from trainers.data.public import PUBLIC

from .own_files import folder, refused

Pairs = set[tuple[object, object]]

TRAIN = "0 1 2\n1 0 5\n2 5\n"
TEST = "0 5\n1 1 2\n"


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Tests use neither the real cache folder nor $HPO_DATA_DIR, a proxy or the checkout."""
    monkeypatch.delenv("HPO_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path


def pairs_of(interactions: Interactions) -> Pairs:
    return set(zip(interactions.users.tolist(), interactions.items.tolist(), strict=True))


def raw_pairs(name: str, interactions: Interactions) -> Pairs:
    dataset = load_dataset(name)
    users, items = dataset.user_ids[interactions.users], dataset.item_ids[interactions.items]
    return set(zip(users.tolist(), items.tolist(), strict=True))


@pytest.fixture(autouse=True)
def heard(caplog: pytest.LogCaptureFixture) -> None:
    """Restore the log. Commands in other tests of this process turn it off."""
    caplog.set_level(logging.WARNING, logger="trainers.data.datasets")


class TestOwnData:
    def test_two_files(self, tmp_path: Path) -> None:
        name = str(folder(tmp_path / "own", train_txt="10 4 9\n9 10\n7 4\n", test_txt="7 10\n10 10\n"))
        dataset = load_dataset(name)
        assert (dataset.name, dataset.n_users, dataset.n_items) == (name, 3, 3)
        assert dataset.user_ids.tolist() == [7, 9, 10], "9 comes before 10"
        assert dataset.item_ids.tolist() == [4, 9, 10]
        assert raw_pairs(name, dataset.train) == {(10, 4), (10, 9), (9, 10), (7, 4)}
        assert raw_pairs(name, load_test(name)) == {(7, 10), (10, 10)}
        assert dataset.checksum == dataset.train.checksum

    def test_mixed_formats_and_string_ids(self, tmp_path: Path) -> None:
        csv, inter = "user,item\nzoe,9\nadam,10\nadam,9\n", "user_id:token\titem_id:token\nzoe\t10\n"
        name = str(folder(tmp_path / "own", train_csv=csv, test_inter=inter))
        assert load_dataset(name).user_ids.tolist() == ["adam", "zoe"]
        assert load_dataset(name).item_ids.tolist() == [9, 10]
        assert raw_pairs(name, load_test(name)) == {("zoe", 10)}

    def test_ids_may_be_numbers_in_one_file_and_text_in_the_other(self, tmp_path: Path) -> None:
        """All users of train are numbers, and test has a text, too. Equal ids still match."""
        train, test = "user,item\n10,1\n9,2\n", "user,item\n10,2\nx,1\n9,1\n"
        name = str(folder(tmp_path / "own", train_csv=train, test_csv=test))
        assert raw_pairs(name, load_test(name)) == {(10, 2), (9, 1)}

    def test_duplicates_are_dropped_and_counted(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        name = str(folder(tmp_path / "own", train_txt="0 1 2 1\n0 2\n1 2\n", test_txt=TEST))
        assert len(load_dataset(name).train) == 3
        assert "dropped 2 of 5 interactions: repeated pairs of user and item" in caplog.text

    def test_without_duplicates_nothing_is_logged(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        name = str(folder(tmp_path / "own", train_txt=TRAIN, test_txt=TEST))
        load_dataset(name)
        load_test(name)
        assert not [record for record in caplog.records if record.levelno >= logging.WARNING]

    def test_unknown_test_pairs_are_dropped_and_counted(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        name = str(folder(tmp_path / "own", train_txt=TRAIN, test_txt="0 5 77\n8 1 2\n1 1\n"))
        assert raw_pairs(name, load_test(name)) == {(0, 5), (1, 1)}
        assert "dropped 3 of 5 test pairs, whose user or item is not in train" in caplog.text

    def test_test_pairs_of_train_are_dropped_and_counted(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """Seen items are masked. No list could have them, so every recall would be lower."""
        name = str(folder(tmp_path / "own", train_txt="0 1 2\n1 2\n", test_txt="0 2\n1 1 2\n"))
        assert raw_pairs(name, load_test(name)) == {(1, 1)}
        assert "dropped 2 of 3 test pairs, which are in train" in caplog.text
        nothing_new = str(folder(tmp_path / "other", train_txt="0 1 2\n1 2\n", test_txt="0 1\n"))
        refused(lambda: load_test(nothing_new), "test.txt", "must have pairs that are not in train")

    def test_a_test_file_with_only_unknown_users_is_refused(self, tmp_path: Path) -> None:
        name = str(folder(tmp_path / "own", train_txt=TRAIN, test_txt="77 88\n"))
        refused(lambda: load_test(name), "test.txt", "test pairs must have users and items")

    def test_the_test_file_is_not_read_for_training(self, tmp_path: Path) -> None:
        name = str(folder(tmp_path / "own", train_txt=TRAIN, test_txt="broken"))
        assert len(load_dataset(name).train) == 5
        refused(lambda: load_test(name), "test.txt, line 1", "'broken'")

    def test_a_single_file_always_gives_the_same_split(self, tmp_path: Path) -> None:
        lines = [f"{user} " + " ".join(str((user * 7 + k) % 40) for k in range(user % 9 + 1)) for user in range(30)]
        path = folder(tmp_path, own_txt="\n".join(lines)) / "own.txt"
        dataset, test = load_dataset(str(path)), load_test(str(path))
        everything = {(user, (user * 7 + k) % 40) for user in range(30) for k in range(user % 9 + 1)}
        assert not pairs_of(dataset.train) & pairs_of(test), "disjoint"
        lost = everything - raw_pairs(str(path), dataset.train) - raw_pairs(str(path), test)
        assert not {item for _, item in lost} & set(dataset.item_ids.tolist()), "only items without a training pair are dropped"
        assert read_test(dataset).facts.unknown == len(lost) == 2
        sizes = np.array([user % 9 + 1 for user in range(30)])
        held_out = np.minimum(np.ceil(sizes * 0.2), sizes - 1).astype(int)
        for user, _ in lost:
            held_out[user] -= 1
        assert test.per_user.tolist() == held_out.tolist()
        datasets._read_version.cache_clear()
        assert load_test(str(path)).checksum == test.checksum, "deterministic"

    def test_users_whose_only_test_item_has_no_training_pair_are_not_test_users(self, tmp_path: Path) -> None:
        """The last item of each user is held out. Item 7 of user 2 is in no other line."""
        path = folder(tmp_path, own_txt="0 1 2 3\n1 1 3 2\n2 2 3 7\n") / "own.txt"
        dataset = load_dataset(str(path), format="lines", ordered=True, test={"name": "leave_one_out"})
        test = read_test(dataset)
        assert dataset.item_ids[test.pairs.items].tolist() == [3, 2]
        assert (test.facts.pairs, test.facts.users, test.facts.unknown, test.facts.kept_users) == (3, 3, 1, 2)

    def test_an_edited_file_is_read_again(self, tmp_path: Path) -> None:
        at = folder(tmp_path / "own", train_txt=TRAIN, test_txt=TEST)
        assert len(load_dataset(str(at)).train) == 5
        folder(at, train_txt=TRAIN + "3 1\n")
        assert len(load_dataset(str(at)).train) == 6

    def test_a_relative_path_means_the_current_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        for number, text in enumerate([TRAIN, "0 1\n"]):
            folder(tmp_path / str(number) / "own", train_txt=text, test_txt=TEST)
            monkeypatch.chdir(tmp_path / str(number))
            assert len(load_dataset("own").train) == [5, 1][number]

    def test_data_dir_comes_before_the_current_folder(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder(tmp_path / "work/own", train_txt="0 1\n", test_txt=TEST)
        folder(tmp_path / "other/own", train_txt="0 1 2\n", test_txt=TEST)
        folder(tmp_path / "third/own", train_txt="0 1 2 3\n", test_txt=TEST)
        assert len(load_dataset("own").train) == 1
        assert len(load_dataset("own", data_dir=tmp_path / "other").train) == 2
        monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path / "third"))
        assert len(load_dataset("own").train) == 3
        assert len(load_dataset("own", data_dir=tmp_path / "other").train) == 2

    def test_an_unknown_name_is_refused(self, tmp_path: Path) -> None:
        refused(
            lambda: load_dataset("yelp2081"),
            "unknown dataset 'yelp2081'",
            "did you mean 'yelp2018'?",
            "gowalla",
            "file or folder",
        )
        refused(lambda: load_dataset("own", data_dir=tmp_path / "there"), str(tmp_path / "there/own"))

    @pytest.mark.parametrize("load", [load_dataset, load_test])
    @pytest.mark.parametrize(
        ("files", "words"),
        [
            ({}, ["must have a file train.txt, or train with another ending", "got none"]),
            ({"train_txt": TRAIN}, ["must have a file test.txt", "got none"]),
            ({"test_txt": TEST}, ["must have a file train.txt", "got none"]),
            ({"train_txt": TRAIN, "train_csv": "user,item\n0,1\n", "test_txt": TEST}, ["got train.txt, train.csv"]),
            ({"train_txt": "", "test_txt": TEST}, ["train.txt", "holds no interactions"]),
            ({"train_csv": "user,item\n", "test_txt": TEST}, ["train.csv", "holds no interactions"]),
            ({"train_txt": "0 1\n0 x\n", "test_txt": TEST}, ["train.txt, line 2", "'0 x'"]),
        ],
    )
    def test_broken_folders_are_refused(
        self, files: dict[str, str], words: list[str], load: Callable[[str], object], tmp_path: Path
    ) -> None:
        at = folder(tmp_path / "own", **files)
        refused(lambda: load(str(at)), str(at), *words)

    def test_a_test_file_without_pairs_is_refused(self, tmp_path: Path) -> None:
        at = folder(tmp_path / "own", train_txt=TRAIN, test_csv="user,item\n")
        refused(lambda: load_test(str(at)), "test.csv", "holds no interactions to test with")

    def test_a_folder_with_the_name_of_a_file_is_refused(self, tmp_path: Path) -> None:
        at = folder(tmp_path / "own", test_txt=TEST)
        (at / "train.txt").mkdir()
        refused(lambda: load_dataset(str(at)), str(at), "got none")

    def test_single_users_cannot_be_split(self, tmp_path: Path) -> None:
        path = folder(tmp_path, own_txt="0 1\n1 2\n") / "own.txt"
        refused(lambda: load_dataset(str(path)), "some user must have two interactions")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path, list[str]]]:
    """A web server for a folder: its URL, the folder, and the requested paths."""
    asked: list[str] = []

    class Handler(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            asked.append(self.path)

    root = folder(tmp_path / "www", train_txt=TRAIN, test_txt=TEST)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(root))) as web:
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        yield f"http://127.0.0.1:{web.server_address[1]}/", root, asked
        web.shutdown()
        thread.join()


def public(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace gowalla with a public dataset of TRAIN and TEST. Items 0, 1, 2 and 5 become 0, 1, 2 and 3."""
    train = Interactions.from_pairs(np.array([0, 0, 1, 1, 2]), np.array([1, 2, 0, 3, 3]), 3, 4)
    test = Interactions.from_pairs(np.array([0, 1, 1]), np.array([3, 1, 2]), 3, 4)
    entry = replace(
        PUBLIC["gowalla"],
        url=url,
        md5={"train": hashlib.md5(TRAIN.encode()).hexdigest(), "test": hashlib.md5(TEST.encode()).hexdigest()},
        checksums={"train": train.checksum, "test": test.checksum},
    )
    monkeypatch.setitem(PUBLIC, "gowalla", entry)


class TestPublicData:
    def cached(self, tmp_path: Path) -> list[str]:
        """All files in the cache folder and below."""
        cache = tmp_path / "cache"
        return sorted(str(path.relative_to(cache)) for path in cache.rglob("*") if path.is_file())

    def test_download_once(self, server: tuple[str, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        url, _, asked = server
        public(url, monkeypatch)
        assert raw_pairs("gowalla", load_dataset("gowalla").train) == {(0, 1), (0, 2), (1, 0), (1, 5), (2, 5)}
        assert raw_pairs("gowalla", load_test("gowalla")) == {(0, 5), (1, 1), (1, 2)}
        assert sorted(asked) == ["/test.txt", "/train.txt"], "each file is fetched once"
        assert self.cached(tmp_path) == ["mml-hpo/gowalla/test.txt", "mml-hpo/gowalla/train.txt"]

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_damaged_download(
        self, split: str, server: tuple[str, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url, root, _ = server
        public(url, monkeypatch)
        good = (root / f"{split}.txt").read_text()
        (root / f"{split}.txt").write_text(good + "2 0\n")
        refused(lambda: load_dataset("gowalla"), "'gowalla'", "could not be downloaded", "hash", "--data-dir")
        assert self.cached(tmp_path) == [], "a failed download must leave no file"
        assert not (tmp_path / "cache/mml-hpo/gowalla").exists()
        (root / f"{split}.txt").write_text(good)
        assert len(load_dataset("gowalla").train) == 5, "the next attempt works"

    @pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # pooch does not close the response
    def test_file_missing_on_the_server(
        self, server: tuple[str, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        url, root, _ = server
        public(url, monkeypatch)
        (root / "test.txt").unlink()
        refused(lambda: load_dataset("gowalla"), "could not be downloaded", "404")
        assert self.cached(tmp_path) == []
        gc.collect()

    def test_unreachable_server(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with http.server.HTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler) as web:
            port = web.server_address[1]
        public(f"http://127.0.0.1:{port}/", monkeypatch)
        monkeypatch.setenv("HPO_DATA_DIR", str(tmp_path / "mine"))
        looked = [str(tmp_path / "mine/gowalla"), str(tmp_path / "cache/mml-hpo/gowalla")]
        refused(lambda: load_dataset("gowalla"), *looked, "could not be downloaded", "put train.txt and test.txt", "--data-dir")
        assert not (tmp_path / "cache/mml-hpo/gowalla").exists()

    def test_unwritable_cache(
        self, server: tuple[str, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        public(server[0], monkeypatch)
        (tmp_path / "cache").write_text("a file where the cache folder should be")
        refused(lambda: load_dataset("gowalla"), "could not be downloaded", "--data-dir")

    def test_data_dir_comes_first_then_the_variable_then_the_cache(
        self, server: tuple[str, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A broken file in each folder shows which one is read."""
        public(server[0], monkeypatch)
        places = [tmp_path / "given", tmp_path / "variable", tmp_path / "cache/mml-hpo"]
        for place in places:
            folder(place / "gowalla", train_txt="broken", test_txt=TEST)
        refused(lambda: load_dataset("gowalla"), str(places[2]))
        monkeypatch.setenv("HPO_DATA_DIR", str(places[1]))
        refused(lambda: load_dataset("gowalla"), str(places[1]))
        refused(lambda: load_dataset("gowalla", data_dir=places[0]), str(places[0]))
        assert server[2] == [], "nothing is downloaded if a folder exists"

    def test_variable_without_the_dataset_falls_through(
        self, server: tuple[str, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        public(server[0], monkeypatch)
        monkeypatch.setenv("HPO_DATA_DIR", str(folder(tmp_path / "variable")))
        assert len(load_dataset("gowalla").train) == 5

    def test_missing_in_data_dir_is_not_downloaded(
        self, server: tuple[str, Path, list[str]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        public(server[0], monkeypatch)
        refused(lambda: load_dataset("gowalla", tmp_path), str(tmp_path / "gowalla"), "train.txt", "leave out --data-dir")
        assert server[2] == []

    @pytest.mark.parametrize("name", ["yelp2018", "gowalla"])
    def test_a_public_name_with_other_data_is_refused(self, name: str, tmp_path: Path) -> None:
        folder(tmp_path / name, train_txt=TRAIN, test_txt=TEST)
        for load in (load_dataset, load_test):
            words = [
                str(tmp_path / name / "train.txt"),
                f"must be the public {name} train split",
                "5 pairs",
                "another folder name",
            ]
            refused(lambda load=load: load(name, tmp_path), *words)

    def test_a_public_name_with_another_test_split_is_refused(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        public("http://127.0.0.1:9/", monkeypatch)
        folder(tmp_path / "gowalla", train_txt=TRAIN, test_txt="0 5\n")
        assert len(load_dataset("gowalla", tmp_path).train) == 5
        for load in (load_test, load_all):
            refused(lambda load=load: load("gowalla", tmp_path), "test.txt", "must be the public gowalla test split", "1 pairs")

    def test_order_of_lines_does_not_matter(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        public("http://127.0.0.1:9/", monkeypatch)
        folder(tmp_path / "gowalla", train_txt="2 5\n1 5 0\n0 2 1\n", test_txt="1 2 1\n0 5\n")
        assert len(load_dataset("gowalla", tmp_path).train) == 5
        assert len(load_test("gowalla", tmp_path)) == 3


class TestDemo:
    def test_sizes(self) -> None:
        dataset, test = load_dataset("demo"), load_test("demo")
        assert (dataset.n_users, dataset.n_items) == (2_000, 1_500)
        assert 40_000 <= len(dataset.train) + len(test) <= 60_000
        assert (test.n_users, test.n_items) == (dataset.n_users, dataset.n_items)
        assert dataset.train.per_user.min() >= 1
        share = len(test) / (len(dataset.train) + len(test))
        assert 0.19 < share < 0.23, f"test has a share of {share:.3f}, expected 20 % rounded up"
        assert len(dataset.user_ids) == 2_000
        assert len(dataset.item_ids) == 1_500

    def test_train_and_test_are_disjoint(self) -> None:
        assert not pairs_of(load_dataset("demo").train) & pairs_of(load_test("demo"))

    def test_deterministic(self) -> None:
        assert load_dataset("demo").checksum == load_dataset("demo").checksum
        assert load_test("demo").checksum == load_test("demo").checksum

    def test_popularity_is_skewed(self) -> None:
        counts = np.sort(load_dataset("demo").train.per_item)[::-1]
        top = counts[:150].sum() / counts.sum()
        assert 0.25 < top < 0.8, f"the most popular tenth of the items has {top:.2f} of the pairs"

    def test_there_is_more_to_learn_than_popularity(self) -> None:
        """Two users with a common item have more common items than chance and popularity explain."""
        train = load_dataset("demo").train
        matrix = np.zeros((train.n_users, train.n_items), np.float32)
        matrix[train.users, train.items] = 1
        together = matrix.T @ matrix
        np.fill_diagonal(together, 0)
        expected = np.outer(train.per_item, train.per_item) / train.n_users
        np.fill_diagonal(expected, 0)
        ratio = float(np.square(together - expected).sum() / expected.sum())
        assert ratio > 1.5, f"variance of co-occurrence over its mean: {ratio:.2f}, independence gives about 1"


def test_the_share_of_training_pairs_later_than_test_pairs(tmp_path: Path) -> None:
    """The test pairs have times 3 and 13. Of the training times 1, 2, 11 and 12 two and none are later."""
    rows = "0,0,1\n0,1,2\n0,2,3\n1,0,11\n1,2,12\n1,1,13\n"
    name = str(folder(tmp_path / "own", pairs_csv="user,item,time\n" + rows) / "pairs.csv")
    assert read_test(load_dataset(name)).facts.later == 0.25
    pairs = str(folder(tmp_path / "none", pairs_csv="user,item\n" + "".join(f"0,{i}\n1,{i}\n" for i in range(4))) / "pairs.csv")
    assert read_test(load_dataset(pairs)).facts.later is None


class TestMessages:
    def test_a_file_that_cannot_be_split_is_named(self, tmp_path: Path) -> None:
        name = str(folder(tmp_path / "own", one_txt="0 3\n1 5\n2 5\n") / "one.txt")
        refused(lambda: load_dataset(name, format="lines"), "one.txt", "no test split", "some user must have two interactions")

    def test_the_message_about_equal_times(self, tmp_path: Path) -> None:
        text = "user,item,time\n1,1,7\n1,2,7\n2,1,7\n"
        name = str(folder(tmp_path / "own", one_csv=text) / "one.csv")
        refused(lambda: load_dataset(name, test={"name": "time"}), "one.csv", "all 3 have the time 7; use another split")

    def test_the_message_about_filters_that_leave_no_pair(self, tmp_path: Path) -> None:
        name = str(folder(tmp_path / "own", train_txt=TRAIN, test_txt=TEST))
        refused(lambda: load_dataset(name, k_core=50, min_item=60), "at least 50 of each user and 60 of each item")

    def test_the_message_about_a_name_that_is_no_path(self) -> None:
        refused(lambda: load_dataset("a" * 5000), "unknown dataset")


class TestTestFile:
    def test_its_layout_and_the_dropped_pairs_are_stored(self, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
        """A test file without a header may be read differently from the train file. The facts must show it."""
        train = "user,item,rating\n1,1,5\n1,2,5\n2,1,5\n2,NA,4\n"
        name = str(folder(tmp_path / "own", train_csv=train, test_csv="1,NA,5\n2,2,5\n1,2,1\n"))
        facts = read_test(load_dataset(name, min_rating=4)).facts
        assert facts.read.startswith("read 3 ratings: user=0, item=1, rating=2; no header; comma")
        assert facts.warnings == ("1 line has the item id NA, which counts as an id like any other",)
        assert (facts.below_rating, facts.pairs, facts.kept_users) == (1, 2, 2)
        assert "test.csv: dropped 1 test interaction with a low rating" in caplog.text


class TestOptions:
    def test_options_must_be_a_mapping(self, tmp_path: Path) -> None:
        name = str(folder(tmp_path / "own", train_txt=TRAIN, test_txt=TEST))
        refused(
            lambda: load_dataset(name, test="last"), "test: must be a mapping with keys of fraction, name, seed, got 'last'"
        )

    def test_a_separator_that_the_file_lacks_is_refused(self, tmp_path: Path) -> None:
        name = str(folder(tmp_path / "own", one_csv="user,item\n1,2\n1,3\n") / "one.csv")
        refused(lambda: load_dataset(name, separator=";"), "';' is not in the first line", "it seems to be ','")


def test_a_dataset_has_a_name_or_a_path(tmp_path: Path) -> None:
    for load in (load_dataset, load_test):
        with pytest.raises(InputError, match="a dataset must be given by its name or path, got None"):
            load(None)  # type: ignore[arg-type]
    (tmp_path / "a.csv").write_text("user,item\n" + "".join(f"{pair % 3},{pair}\n" for pair in range(12)))
    assert load_dataset(tmp_path / "a.csv").checksum == load_dataset(str(tmp_path / "a.csv")).checksum
    assert load_test(tmp_path / "a.csv").checksum == load_test(str(tmp_path / "a.csv")).checksum
