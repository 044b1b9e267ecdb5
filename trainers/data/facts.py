"""What was read, dropped and guessed on the way from files to interactions; it stands in every report."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, model_validator

from trainers.data.options import TestSplit
from trainers.validation import SETTINGS

Law = Literal["random", "last", "leave_one_out", "time", "popularity", "file"]
FROZEN = SETTINGS | {"frozen": True}


class DataFacts(BaseModel):
    """How a dataset came about.

    Attributes:
        read: a sentence per file: what was taken for what.
        warnings: what a reader of results should know about the files.
        interactions: number of lines or pairs read, before anything was dropped; train and valid files together.
        min_rating: the lowest rating that counts as a positive; None without one.
        below_rating: dropped because of a lower rating.
        duplicates: pairs that were there more than once, and were dropped but for the first.
        rare_users, rare_items: dropped by `k_core`, `min_user`, `min_item`.
        rare: number of their pairs.
        unused_ratings: there is a column of ratings and no `min_rating`, so a low rating counts like a high one.
        ratings: the lowest and the highest; None without a column of ratings.
        ordered: whether a user's interactions have an order.
        timed: whether they have times.
        law: how the test split was made: `random`, `last`, `leave_one_out`, `time`, `popularity`, or `file`: unknown.
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
    ordered: bool = False
    timed: bool = False
    law: Law = "file"
    made: TestSplit | None = None

    @model_validator(mode="after")
    def _rated_below_something(self) -> DataFacts:
        if self.below_rating and self.min_rating is None:
            raise ValueError("below_rating counts what is below min_rating, which is not given")
        return self

    def said(self) -> list[str]:
        """All of it, a sentence each: what was read, dropped and guessed."""
        ratings = ["every rating counts as a positive; data: {min_rating: ...} drops low ones"] if self.unused_ratings else []
        return [*self.read, *self.warnings, *(f"dropped {phrase}" for phrase in self.dropped()), *ratings]

    def dropped(self) -> list[str]:
        """What was dropped, a phrase each; empty when nothing was."""
        said = []
        if self.below_rating:
            said.append(f"{self.below_rating:,} of {self.interactions:,} interactions, rated below {self.min_rating:g}")
        if self.duplicates:
            said.append(f"{self.duplicates:,} duplicate pairs of {self.interactions - self.below_rating:,}")
        if self.rare:
            said.append(
                f"{self.rare:,} pairs of {self.rare_users:,} users and {self.rare_items:,} items with too few interactions"
            )
        return said


class TestFacts(BaseModel):
    """What became of the test split.

    Attributes:
        read: how the test file was read; empty where the split was made here.
        warnings: what a reader of results should know about the file.
        below_rating: lines of the file that were dropped because of a low rating.
        pairs: number of different pairs that are left of the file, or were split off.
        users: number of their users.
        unknown: pairs that were dropped because their user or item is not in train.
        seen: pairs that were dropped because they are in train: what is seen is not ranked.
        kept_users: users that are left.
        moment: when it begins, in the unit of the data's times; None unless split by `time`.
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
