"""Writes the training and test pairs of a dataset as CSV, for other programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from hpo.runtime.text import counted
from trainers import Dataset, Interactions, load_dataset
from trainers.data.datasets import read_test
from trainers.data.options import DataOptions, ValidationSplit
from trainers.errors import InputError
from trainers.files import write_text, writing
from trainers.yaml_files import to_yaml

TRAIN, TEST = "train.csv", "test.csv"
EXACT = 2.0**53  # below this a float that is whole is the same number as an integer


@dataclass(frozen=True)
class SplitFiles:
    """The written files.

    Attributes:
        train, test: the pairs in them.
        options: how the folder is read as a dataset, so that each user's pairs have the same order.
        same_numbers: whether the folder as a dataset has the same checksums. If not, its users and items have other numbers.
    """

    folder: Path
    train: Interactions
    test: Interactions
    options: DataOptions
    same_numbers: bool

    def said(self, validation: ValidationSplit) -> Iterator[str]:
        """What was written, and the keys of a study file that has the same split.

        Args:
            validation: how the study holds out validation.
        """
        yield f"wrote {self.folder / TRAIN}: {len(self.train):,} interactions to train on, those of validation included"
        users = counted(self.test.n_users_with_pairs, "user")
        yield f"wrote {self.folder / TEST}: {len(self.test):,} held-out items of {users}, for hpo.compare --truth"
        if not self.same_numbers:
            yield (
                "as a dataset the folder numbers users and items in another way, so it counts as other data than those of the "
                "study; lists and --truth are not affected, since they have ids"
            )
            return
        keys: dict[str, Any] = {"dataset": str(self.folder)}
        if options := self.options.given():
            keys["data"] = options
        same = "the same training and test pairs, and no valid file"
        if validation.name != "file":
            keys["validation"] = validation.model_dump()
            same = "the same split"
        yield f"a study file with these keys has {same}:\n{to_yaml(keys).rstrip()}"


def write_split(dataset: Dataset, folder: Path) -> SplitFiles:
    """Write all training pairs, those of validation included, and all test pairs, with the ids of the data.

    Each user's pairs are in the order of the data, with their times if the data have times.

    Raises:
        InputError: the folder holds files or cannot be written, or the test split cannot be read.
    """
    with writing(folder):
        if folder.exists() and any(folder.iterdir()):
            raise InputError(f"{folder}: must be a new or empty folder, got one with files in it; give another folder")
    train, test = dataset.train, read_test(dataset).pairs
    for name, pairs in ((TRAIN, train), (TEST, test)):
        write_text(folder / name, _table(dataset, pairs).to_csv(index=False))
    options = DataOptions(ordered=train.order is not None and train.times is None)
    again = load_dataset(folder.resolve(), **options.given())
    same = (again.checksum, read_test(again).pairs.checksum) == (train.checksum, test.checksum)
    return SplitFiles(folder, train, test, options, same)


def _table(dataset: Dataset, pairs: Interactions) -> pd.DataFrame:
    """A row for each pair, sorted by user, then in the order of the data."""
    rows = np.arange(len(pairs)) if pairs.order is None else np.lexsort((pairs.order, pairs.users))
    columns = {"user": dataset.user_ids[pairs.users[rows]], "item": dataset.item_ids[pairs.items[rows]]}
    if pairs.times is not None:
        times = pairs.times[rows]
        is_whole = bool((np.abs(times) < EXACT).all() and (times % 1 == 0).all())
        columns["time"] = times.astype(np.int64) if is_whole else times
    return pd.DataFrame(columns)
