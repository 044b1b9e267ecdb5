"""Finds datasets by name or path, checks them, and keeps the test split apart from the training data."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pooch
from numpy.typing import NDArray

from trainers.data import Dataset, Interactions, hold_out
from trainers.data.demo import make_demo
from trainers.data.public import PUBLIC, local_or_downloaded
from trainers.data.readers import SUFFIXES, read_pairs
from trainers.errors import InputError, unknown

log = logging.getLogger(__name__)

DATA_DIR_VARIABLE = "HPO_DATA_DIR"
TEST_FRACTION = 0.2  # of each user's pairs, when the user's own data come without a test file
TEST_SEED = 2024


DEMO = "demo"
NAMES = (*PUBLIC, DEMO)  # of data that are not the user's own


def load_dataset(name: str, data_dir: str | Path | None = None) -> Dataset:
    """Training data by name (`demo`, or one of `trainers.data.public`), or by the path of your own folder or file.

    A folder holds `train` and `test` as .txt (NGCF), .csv, .tsv, .inter or .parquet. Of a single file 20 % of each user's
    pairs, at random with a fixed seed, are the test split. A name is looked for in `data_dir` alone if it is given, else in
    `$HPO_DATA_DIR`, then in the user's cache folder, and then downloaded there. A path is tried below `data_dir`, or without it
    below `$HPO_DATA_DIR`, then as it is.

    Raises:
        InputError: not found (where it was looked for), malformed, empty, or not the public dataset that its name says.
    """
    if name == DEMO:
        train, _ = make_demo()
        return Dataset(name, train, np.arange(train.n_users), np.arange(train.n_items))
    dataset, _ = _read_splits(name, *_find(name, data_dir))
    return dataset


def load_test(name: str, data_dir: str | Path | None = None) -> Interactions:
    """The test split, with the ids of `load_dataset(name)`.

    Pairs of users or items unknown to train, and pairs of train, which no ranking of unseen items can hit, are dropped and
    counted.
    """
    if name == DEMO:
        return make_demo()[1]
    dataset, held_out = _read_splits(name, *_find(name, data_dir))
    if held_out is not None:
        return held_out
    path = _find(name, data_dir)[1]
    assert path is not None  # _find gives a second file wherever _read_splits holds nothing out
    users, items = read_pairs(path)
    if not len(users):
        raise InputError(
            f"{path}: holds no interactions to test with; to have a fifth of train split off, give the path of its file alone"
        )
    user, item = _position(dataset.user_ids, users), _position(dataset.item_ids, items)
    known = (user >= 0) & (item >= 0)
    if not known.all():
        log.warning("%s: dropped %d of %d pairs whose user or item is not in train", path, (~known).sum(), len(known))
    if not known.any():
        raise InputError(f"{path}: no test pair has a user and an item of the training data; were the ids mapped anew?")
    user, item = user[known], item[known]
    again = dataset.train.contains(user, item)
    if again.any():
        log.warning("%s: dropped %d of %d pairs that are in train: what is seen is not ranked", path, again.sum(), len(again))
    if again.all():
        raise InputError(f"{path}: all test pairs are in train, whose pairs are not ranked; a test file has new ones")
    test = Interactions.from_pairs(user[~again], item[~again], dataset.n_users, dataset.n_items)
    _check_public(name, "test", test, path)
    return test


def origin_of_test(name: str, data_dir: str | Path | None = None) -> str:
    """Where the test split comes from, in words."""
    if name != DEMO and _find(name, data_dir)[1] is None:
        return f"{100 * TEST_FRACTION:.0f} % of each user's interactions, drawn at random with a fixed seed"
    return "that of the dataset"


def _read_splits(name: str, train_path: Path, test_path: Path | None) -> tuple[Dataset, Interactions | None]:
    """The dataset, and the split-off test pairs where there is no test file."""
    train_path = train_path.resolve()
    state = train_path.stat()
    return _read_version(name, train_path, test_path is None, (state.st_mtime_ns, state.st_size))


@lru_cache(maxsize=2)
def _read_version(name: str, train_path: Path, split: bool, version: tuple[int, int]) -> tuple[Dataset, Interactions | None]:
    """Reads a file once, until it changes: `version` is there to tell the cache."""
    users, items = read_pairs(train_path)
    if not len(users):
        raise InputError(f"{train_path}: holds no interactions; expected lines such as `0 5 17`")
    user_ids, user = np.unique(users, return_inverse=True)
    item_ids, item = np.unique(items, return_inverse=True)
    train = Interactions.from_pairs(user, item, len(user_ids), len(item_ids))
    duplicates = len(users) - len(train)
    if duplicates:
        log.warning("%s: dropped %d duplicate pairs of %d", train_path, duplicates, len(users))
    held_out = None
    if split:
        train, held_out = hold_out(train, TEST_SEED, TEST_FRACTION)
    _check_public(name, "train", train, train_path)
    return Dataset(name, train, user_ids, item_ids), held_out


def _position(known: NDArray[Any], wanted: NDArray[Any]) -> NDArray[np.int64]:
    """Index of each wanted raw id among the sorted known ones, -1 where it is not there."""
    if known.dtype.kind != wanted.dtype.kind:
        known, wanted = known.astype(str), wanted.astype(str)
        order = np.argsort(known)
    else:
        order = np.arange(len(known))
    place = np.minimum(np.searchsorted(known[order], wanted), len(known) - 1)
    return np.where(known[order][place] == wanted, order[place], -1)


def _check_public(name: str, split: str, pairs: Interactions, path: Path) -> None:
    if name in PUBLIC and pairs.checksum != PUBLIC[name].checksums.get(split, pairs.checksum):
        raise InputError(
            f"{path}: is not the public {name} {split} split ({pairs.n_users:,} users, {pairs.n_items:,} items, "
            f"{len(pairs):,} pairs found); give your own data another folder name, or fetch the public files again"
        )


def _find(name: str, data_dir: str | Path | None) -> tuple[Path, Path | None]:
    """Paths of the train and the test file."""
    if name not in PUBLIC:
        return _find_own(name, data_dir)
    looked = [Path(data_dir) / name] if data_dir is not None else _default_folders(name)
    folder = local_or_downloaded(name, looked, download=data_dir is None)
    return _split_file(folder, "train"), _split_file(folder, "test")


def _default_folders(name: str) -> list[Path]:
    cache = Path(pooch.os_cache("mml-hpo")) / name
    variable = os.environ.get(DATA_DIR_VARIABLE)
    return [Path(variable) / name, cache] if variable else [cache]


def _find_own(name: str, data_dir: str | Path | None) -> tuple[Path, Path | None]:
    root = data_dir if data_dir is not None else os.environ.get(DATA_DIR_VARIABLE)
    looked = list(dict.fromkeys([Path(root) / name, Path(name)] if root else [Path(name)]))
    for path in looked:
        if path.is_dir():
            return _split_file(path, "train"), _split_file(path, "test")
        if path.is_file():
            return path, None
    raise InputError(f"{unknown('dataset', name, NAMES)}; nor is there a file or folder {' or '.join(map(str, looked))}")


def _split_file(folder: Path, split: str) -> Path:
    candidates = [folder / f"{split}{suffix}" for suffix in SUFFIXES]
    found = [path for path in candidates if path.is_file()]
    if len(found) != 1:
        state = f"there are {', '.join(path.name for path in found)}" if found else "there is none"
        raise InputError(f"{folder}: needs one file {_names(candidates)}, {state}")
    return found[0]


def _names(paths: Iterable[Path]) -> str:
    return " or ".join(path.name for path in paths)
