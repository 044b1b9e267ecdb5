"""Loads datasets by name or path, checks them, and separates the test split from the training data."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from trainers.data.demo import make_demo
from trainers.data.facts import DataFacts, TestFacts
from trainers.data.frames import OtherColumn, options_of_frame, raw_of_frame
from trainers.data.interactions import Interactions, RawIds
from trainers.data.options import DataOptions, ValidationSplit
from trainers.data.prepare import Prepared, TestData, adopt, prepare, together
from trainers.data.readers import RawInteractions, read_interactions
from trainers.data.readers.binary import arrays_of, read_saved, saved
from trainers.data.sources import DEMO, Files, check_public, find_files
from trainers.data.splits import Split, known_only, split
from trainers.errors import InputError
from trainers.files import write_bytes
from trainers.text import shown
from trainers.validation import checked

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class _Table:
    """A table in memory, as the origin of a dataset."""

    raw: RawInteractions
    options: DataOptions


@dataclass(frozen=True, eq=False)
class Dataset:
    """Training data of a dataset, without the test split: see `load_test`.

    Attributes:
        name: the name given to `load_dataset`.
        train: all pairs to train on, including those of a valid file.
        user_ids, item_ids: the raw id of each user and item.
        valid: the pairs of a valid file, which are part of `train`; None without one.
        facts: what was read, dropped and guessed.
        disliked: pairs that were dropped because of a low rating, of known users and items; None if there are none.
        whole_of: for a result of `load_all` the checksum of the training data without test pairs; else empty.
    """

    name: str
    train: Interactions = field(repr=False)
    user_ids: RawIds = field(repr=False)
    item_ids: RawIds = field(repr=False)
    valid: Interactions | None = field(default=None, repr=False)
    facts: DataFacts = field(default_factory=DataFacts)
    disliked: Interactions | None = field(default=None, repr=False)
    origin: Files | _Table | None = field(default=None, repr=False)
    whole_of: str = ""

    @classmethod
    def from_frame(
        cls,
        frame: pd.DataFrame,
        user: str,
        item: str,
        rating: OtherColumn = None,
        time: OtherColumn = None,
        name: str = "frame",
        **options: Any,
    ) -> Dataset:
        """Training data from a pandas table with a row per interaction; `load_test(dataset)` gives its test split.

        Args:
            frame: the table, which is not changed.
            user, item: names of its columns.
            rating, time: names of its columns; False: there is none; None: found by its name, as in a file.
            name: the name of the dataset.
            options: `DataOptions` without the layout of files: min_rating, k_core, min_user, min_item, ordered, test.

        Raises:
            InputError: a missing column, a value that cannot be read, or unknown options.
        """
        origin = _Table(raw_of_frame(frame, user, item, rating, time), options_of_frame(options))
        return _dataset(name, prepare(name, origin.raw, None, origin.options, alone=True), origin)

    @property
    def options(self) -> DataOptions:
        """How the data were read, filtered and split."""
        return DataOptions() if self.origin is None else self.origin.options

    @property
    def is_table(self) -> bool:
        """Whether it was made from a table in memory, see `from_frame`."""
        return isinstance(self.origin, _Table)

    def save(self, path: str | Path) -> None:
        """Write the interactions of the dataset's table, including test pairs, to an .npz file.

        `load_dataset(path, **dataset.options.given())` gives the same dataset.

        Raises:
            InputError: it was not made from a table, the path names no file, or the file cannot be written.
        """
        if not Path(path).name:
            raise InputError(f"path must name a file, got {shown(str(path))}")
        write_bytes(Path(path), saved(self._table.raw))

    def is_of(self, path: str | Path) -> bool:
        """Whether a file has the content that `save` would write.

        Raises:
            InputError: the dataset was not made from a table, or the file cannot be read or is damaged.
        """
        found = read_saved(Path(path))
        ours, theirs = arrays_of(self._table.raw), {} if found is None else arrays_of(found)
        return ours.keys() == theirs.keys() and all(np.array_equal(array, theirs[name]) for name, array in ours.items())

    @property
    def _table(self) -> _Table:
        if not isinstance(self.origin, _Table):
            raise InputError(f"only a dataset made by Dataset.from_frame can be saved, got {shown(self.name)}")
        return self.origin

    @property
    def n_users(self) -> int:
        return self.train.n_users

    @property
    def n_items(self) -> int:
        return self.train.n_items

    @property
    def checksum(self) -> str:
        return self.train.checksum

    def default_validation(self) -> ValidationSplit:
        """The default way to hold out validation: like the test split, if the data allow it."""
        if self.valid is not None:
            return ValidationSplit(name="file")
        test_split, declared = self.facts.test_split, not self.facts.timed
        if test_split == "time" and self.facts.timed:
            return ValidationSplit(name="time")
        if self.facts.ordered and (test_split in ("last", "leave_one_out", "time") or (test_split == "file" and declared)):
            return ValidationSplit(name="last")
        return ValidationSplit(name="random")

    def hold_out(self, how: ValidationSplit | None = None) -> Split:
        """Split the training data into training and validation pairs.

        As in the test split, validation pairs whose user or item has no training pair are dropped.

        Raises:
            InputError: see `trainers.data.splits.split`; `file` without a valid file; no validation pair is left.
        """
        how = how or self.default_validation()
        if how.name != "file":
            parts = known_only(split(self.train, how.name, how.fraction, how.seed))
            if not len(parts.held_out):
                raise InputError(
                    f"{self.name}: validation pairs must have items with training pairs, got none among {parts.unknown:,}; use "
                    "more data, or another split"
                )
            return parts
        if self.valid is None:
            raise InputError(
                f"validation 'file' needs a file valid.* next to train and test, and {self.name} has none; add one, or use "
                "another validation"
            )
        return _by_file(self.train, self.valid, self.name)


def load_dataset(name: str | Path, data_dir: str | Path | None = None, **options: Any) -> Dataset:
    """Training data by name (`yelp2018`, `gowalla`, `demo`, ...), or by the path of your own folder or file.

    A folder has files `train` and `test` and may have `valid`, in any format of `trainers.data.readers`. Part of a single file
    becomes the test split: the last interactions of each user if there are times or the data are `ordered`, else random ones.

    A named dataset is searched in `data_dir`, or without it in `$HPO_DATA_DIR`, then in the user's cache folder, and then
    downloaded there. A path is tried below `data_dir`, or without it below `$HPO_DATA_DIR`, and then unchanged.

    Args:
        options: options for your own data, see `DataOptions`: min_rating=4, k_core=5, test={"name": "last"}, ...

    Raises:
        InputError: the data are not found (the message lists the places), malformed or empty, differ from the public dataset of
            that name, or have unknown options.
    """
    if not isinstance(name, str | Path):
        raise InputError(f"a dataset must be given by its name or path, got {shown(name)}; give one such as 'demo'")
    name = str(name)
    given = checked(DataOptions, options, f"data of {name}")
    if name == DEMO:
        if given != DataOptions():
            raise InputError(f"dataset demo has no options, got {', '.join(options)}; leave them out")
        train, _ = make_demo()
        return Dataset(name, train, np.arange(train.n_users), np.arange(train.n_items), facts=DataFacts(test_split="random"))
    files = find_files(name, data_dir, given)
    return _dataset(name, _read_version(files, files.version), files)


def load_all(name: str | Path, data_dir: str | Path | None = None, **options: Any) -> Dataset:
    """All interactions, including the test split, to train the final model after all measurements.

    With train and test files the limits k_core, min_user and min_item count test pairs, too, so that it may have more users and
    items than `load_dataset`.

    Args:
        name, data_dir, options: see `load_dataset`.

    Raises:
        InputError: see `load_dataset`.
    """
    part = load_dataset(name, data_dir, **options)
    if isinstance(part.origin, Files):
        if part.origin.public is not None:
            read_test(part)  # refuses other data
        raws = [read_interactions(part.origin.train, part.origin.options)]
        others = [path for path in (part.origin.valid, part.origin.test) if path is not None]
        raws += [_read_like(raws[0], path, part.origin.options) for path in others]
        content = prepare(part.name, together(raws), None, part.origin.options, alone=False)
        return replace(_dataset(part.name, content, part.origin), whole_of=part.checksum)
    return replace(part, train=part.train.union(read_test(part).pairs), whole_of=part.checksum)


def load_test(dataset: str | Path | Dataset, data_dir: str | Path | None = None, **options: Any) -> Interactions:
    """The test split, with the ids of `load_dataset(name)`; `read_test` also gives what was dropped.

    Args:
        dataset: a dataset, or its name or path.
        data_dir, options: as given to `load_dataset`.

    Raises:
        InputError: see `load_dataset` and `read_test`.
    """
    if not isinstance(dataset, Dataset):
        dataset = load_dataset(dataset, data_dir, **options)
    return read_test(dataset).pairs


def read_test(dataset: Dataset) -> TestData:
    """The test split of a dataset.

    Pairs whose user or item is not in train are dropped, and pairs that are in train, which a ranking of unseen items cannot
    contain. They are counted.

    Raises:
        InputError: a file is missing or malformed, no pair is left, or the data have changed since.
    """
    origin = dataset.origin
    if dataset.whole_of:
        raise InputError(f"all interactions of {dataset.name} are used for training, so it has no test split; use load_dataset")
    if origin is None:
        if dataset.name != DEMO:
            raise InputError(f"dataset {dataset.name!r} was made by hand and has no test split; see Dataset.from_frame")
        test = make_demo()[1]
        users = test.n_users_with_pairs
        return TestData(test, TestFacts(pairs=len(test), users=users, kept_users=users))
    if isinstance(origin, _Table):
        found = prepare(dataset.name, origin.raw, None, origin.options, alone=True)
        assert found.test is not None
        return found.test
    found = _read_version(origin, origin.version)
    if found.train.checksum != dataset.checksum:
        raise InputError(f"{origin.train}: has changed since it was read; load the dataset again")
    if found.test is not None:
        return found.test
    assert origin.test is not None  # a single file has its test split from `prepare`
    raw = _read_like(found, origin.test, origin.options)
    adopted = adopt(str(origin.test), raw, origin.options, dataset.user_ids, dataset.item_ids, dataset.train)
    _say_what_is_dropped(str(origin.test), adopted.facts)
    check_public(origin, "test", raw, adopted.pairs)
    return adopted


def _dataset(name: str, content: Prepared, origin: Files | _Table) -> Dataset:
    ids = content.user_ids, content.item_ids
    return Dataset(name, content.train, *ids, content.valid, content.facts, content.disliked, origin)


@lru_cache(maxsize=2)
def _read_version(files: Files, version: tuple[tuple[int, int], ...]) -> Prepared:
    """Read a dataset's files; cached until they change, since `version` is part of the cache key."""
    train = read_interactions(files.train, files.options)
    valid = None if files.valid is None else _read_like(train, files.valid, files.options)
    found = prepare(str(files.train), train, valid, files.options, alone=files.test is None)
    if files.public is not None and files.test is not None:
        found = replace(found, facts=found.facts.model_copy(update={"test_split": files.public.test_split}))
    for sentence in (*found.facts.warnings, *(f"dropped {phrase}" for phrase in found.facts.dropped())):
        log.warning("%s: %s", files.train, sentence)
    check_public(files, "train", train, found.train)
    return found


def _read_like(train: RawInteractions | Prepared, path: Path, options: DataOptions) -> RawInteractions:
    """Read the file of another split. If the train file is NGCF text, other .txt files are read as NGCF text, too."""
    as_lines = train.in_lines and ".txt" in path.suffixes and options.format is None
    return read_interactions(path, options.model_copy(update={"format": "lines"}) if as_lines else options)


def _by_file(train: Interactions, valid: Interactions, name: str) -> Split:
    if not len(valid):
        raise InputError(
            f"{name}: the valid file must have pairs that are not in the train file, got none; correct it, or use another "
            "validation than 'file'"
        )
    parts = known_only(Split(train.where(~valid.contains(train.users, train.items)), valid))
    if not len(parts.held_out):
        raise InputError(
            f"{name}: pairs of the valid file must have users and items of the train file, got none; use the same ids in both"
        )
    return parts


def _say_what_is_dropped(where: str, facts: TestFacts) -> None:
    for sentence in (*facts.warnings, *(f"dropped {phrase}" for phrase in facts.dropped())):
        log.warning("%s: %s", where, sentence)
