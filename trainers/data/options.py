"""Options for reading, filtering and splitting your own data: the key `data` of a study file, keywords of `load_dataset`."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from trainers.config import MAX_SEED
from trainers.data.readers import Layout
from trainers.data.splits import SEED
from trainers.validation import SETTINGS, Count, Real, Switch, Whole

FROZEN = SETTINGS | {"frozen": True}
Fraction = Annotated[Real, Field(gt=0.0, lt=1.0)]
Seed = Annotated[Whole, Field(ge=0, le=MAX_SEED)]


class _NamedSplit(BaseModel):
    """A split of interactions, given by the name of its kind."""

    model_config = FROZEN
    name: str
    fraction: Fraction
    seed: Seed = SEED

    def said(self) -> str:
        """The split in words, such as `the last 20 % of each user's interactions, rounded up`."""
        percent = f"{100 * self.fraction:g} %"
        return {
            "random": f"{percent} of each user's interactions, rounded up, drawn at random with seed {self.seed}",
            "last": f"the last {percent} of each user's interactions, rounded up",
            "leave_one_out": "the last interaction of each user",
            "time": f"the last {percent} of all interactions, from one moment on",
            "file": "the valid file",
        }[self.name]


class TestSplit(_NamedSplit):
    """How the test split is made from a single file.

    Attributes:
        name: `random`: random interactions of each user; `last`: the last ones of each user; `leave_one_out`: the last one of
            each user; `time`: all interactions after one moment.
        fraction: share of each user's interactions, or with `time` of all interactions.
        seed: seed of `random`.
    """

    __test__ = False  # for pytest
    name: Literal["random", "last", "leave_one_out", "time"]
    fraction: Fraction = 0.2


class DataOptions(Layout):
    """How to read your own data, with the fields of `Layout`. Fields that are None are detected.

    Attributes:
        ordered: whether each user's items are ordered from the earliest to the latest, in a line of NGCF text or in a table
            without times.
        min_rating: interactions with a lower rating are dropped.
        k_core: users and items with fewer interactions are dropped repeatedly, until none has fewer.
        min_user, min_item: the same for users only and for items only.
        test: how the test split is made from a single file; by default `last` if there are times or the data are `ordered`,
            else `random`.
    """

    model_config = FROZEN
    ordered: Switch = False
    min_rating: Real | None = None
    k_core: Count = 1
    min_user: Count = 1
    min_item: Count = 1
    test: TestSplit | None = None

    def given(self) -> dict[str, Any]:
        """The options that are not the defaults, as keywords of `load_dataset`."""
        return self.model_dump(exclude_defaults=True)

    @property
    def fewest(self) -> tuple[int, int]:
        """The smallest number of interactions that a user and an item may have."""
        return max(self.k_core, self.min_user), max(self.k_core, self.min_item)


class ValidationSplit(_NamedSplit):
    """How validation is held out of the training data: the key `validation` of a study file.

    Attributes:
        name: `random`: random interactions of each user; `last`: the last ones of each user; `time`: all interactions after one
            moment; `file`: the pairs of the valid file.
        fraction: share of each user's interactions, or with `time` of all interactions; not used by `file`.
        seed: seed of `random`.
    """

    name: Literal["random", "last", "time", "file"]
    fraction: Fraction = 0.1
