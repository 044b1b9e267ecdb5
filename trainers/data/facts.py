"""Facts about the data, for reports: what was read, dropped and guessed."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, model_validator

from trainers.data.options import TestSplit
from trainers.text import counted
from trainers.validation import SETTINGS

SplitMethod = Literal["random", "last", "leave_one_out", "time", "popularity", "file"]
FROZEN = SETTINGS | {"frozen": True}


class DataFacts(BaseModel):
    """How a dataset was made.

    Attributes:
        read: a sentence per file on how it was read.
        warnings: warnings about the files, for readers of results.
        interactions: number of lines or pairs in train and valid files, before any was dropped.
        min_rating: the lowest rating that counts as a positive; None without one.
        below_rating: number of interactions dropped because of a lower rating.
        duplicates: number of repeated pairs that were dropped.
        rare_users, rare_items: numbers of users and items dropped by `k_core`, `min_user`, `min_item`.
        rare: number of their pairs.
        unused_ratings: whether there are ratings and no `min_rating`, so that a low rating counts like a high one.
        ratings: the lowest and the highest rating; None without ratings.
        stars: whether all ratings are whole or half steps from 0 to 10.
        ordered: whether a user's interactions have an order.
        timed: whether interactions have times.
        test_split: how the test split was made: `random`, `last`, `leave_one_out`, `time`, `popularity`, or `file` if unknown.
        made: how the test split of a single file was made.
    """

    model_config = FROZEN
    read: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    interactions: int = 0
    min_rating: float | None = None
    below_rating: int = 0
    duplicates: int = 0
    rare_users: int = 0
    rare_items: int = 0
    rare: int = 0
    unused_ratings: bool = False
    ratings: tuple[float, float] | None = None
    stars: bool = False
    ordered: bool = False
    timed: bool = False
    test_split: SplitMethod = "file"
    made: TestSplit | None = None

    @model_validator(mode="after")
    def _rated_below_something(self) -> DataFacts:
        if self.below_rating and self.min_rating is None:
            raise ValueError("below_rating needs a min_rating")
        return self

    def said(self) -> list[str]:
        """All facts as sentences."""
        ratings = ["every rating counts as a positive; data: {min_rating: ...} drops low ones"] if self.unused_ratings else []
        return [*self.read, *self.warnings, *(f"dropped {phrase}" for phrase in self.dropped()), *ratings]

    def dropped(self) -> list[str]:
        """A phrase for each kind of dropped interactions; each counts from what the one before left."""
        said, left = [], counted(self.interactions, "interaction")
        if self.below_rating:
            said.append(f"{self.below_rating:,} of {left}, rated below {self.min_rating:g}")
            left = f"the remaining {counted(self.interactions - self.below_rating, 'interaction')}"
        if self.duplicates:
            said.append(f"{self.duplicates:,} of {left}: repeated pairs of user and item")
            left = f"the remaining {counted(self.interactions - self.below_rating - self.duplicates, 'interaction')}"
        if self.rare:
            whose = f"{counted(self.rare_users, 'user')} and {counted(self.rare_items, 'item')}"
            said.append(f"{self.rare:,} of {left}, of {whose} with too few interactions")
        return said


class TestFacts(BaseModel):
    """How the test split was made.

    Attributes:
        read: how the test file was read; empty if the split was made from a single file.
        warnings: warnings about the file, for readers of results.
        below_rating: number of lines dropped because of a low rating.
        pairs: number of distinct pairs, before the following were dropped.
        users: number of their users.
        unknown: number of pairs dropped because their user or item is not in train.
        seen: number of pairs dropped because they are in train: seen items are not ranked.
        kept_users: number of remaining users.
        moment: start of the split in the unit of the data's times; None unless split by `time`.
        tied: number of users whose first test pair has the time of their last training pair, as `Split.tied`.
        later: share of the training pairs that are later than a test pair, the mean over test pairs; None without times, and
            where a test file was given.
    """

    __test__ = False  # for pytest
    model_config = FROZEN
    read: str = ""
    warnings: tuple[str, ...] = ()
    below_rating: int = 0
    pairs: int
    users: int
    unknown: int = 0
    seen: int = 0
    kept_users: int
    moment: float | None = None
    tied: int = 0
    later: float | None = None

    def dropped(self) -> list[str]:
        """A phrase for each kind of dropped interactions; each counts from what the one before left."""
        said, left = [], f"{self.pairs:,} test pairs"
        if self.below_rating:
            said.append(f"{counted(self.below_rating, 'test interaction')} with a low rating")
        if self.unknown:
            said.append(f"{self.unknown:,} of {left}, whose user or item is not in train")
            left = f"the remaining {self.pairs - self.unknown:,} test pairs"
        if self.seen:
            said.append(f"{self.seen:,} of {left}, which are in train: seen items are not ranked")
        return said


def dropped_said(unknown: int, left: int) -> str:
    """How many held-out pairs were dropped, if `left` pairs remain; empty if none."""
    return f"{unknown:,} of {left + unknown:,} pairs dropped whose user or item is in no training pair" if unknown else ""


def tied_times(split: str, tied: int, users: int) -> str:
    """How many users have equal times where a split begins.

    Args:
        split: `test` or `validation`.
    """
    return (
        f"for {tied:,} of {users:,} {split} users, the first {split} interaction and the last one before it have the same "
        "time, so the order of the lines in the file decided between them"
    )
