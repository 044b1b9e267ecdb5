"""A trained model for use: vectors for ranking with the ids of the data, in memory or in a file."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any, Literal, cast, get_args

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers.data import Interactions, RawIds
from trainers.data.datasets import Dataset
from trainers.errors import InputError, first_line
from trainers.files import check_regular, read_arrays, write_bytes
from trainers.metrics.accuracy import evaluate
from trainers.text import SHOWN, clipped, shown
from trainers.validation import whole
from trainers.vectors import check_vectors

FORMAT = 2
TrainedOn = Literal["unknown", "without validation", "with validation", "with test"]
MOST_USERS = 5  # unknown users in a message
ENDING = ".npz"
ARRAYS = {"users", "items", "user_ids", "item_ids", "seen_indptr", "seen_items", "facts"}  # arrays of a file
MOST_UNPACKED = 100_000_000, 50  # largest decompressed size: bytes, plus multiples of the file's size


@dataclass(frozen=True, eq=False)
class Recommender:
    """Ranking vectors, the ids of users and items, and what each user has seen.

    Attributes:
        users, items: float32 (n_users, d) and (n_items, d); their inner products are the scores.
        user_ids, item_ids: the raw id of each row.
        seen: pairs that are not recommended: all training data, including validation pairs, and, unless `without_disliked` was
            false, pairs with a low rating.
        data: checksum of the training data of its dataset.
        trained_on: whether it was trained without the validation pairs, with them, or with the test pairs, too.
    """

    users: NDArray[np.float32]
    items: NDArray[np.float32]
    user_ids: RawIds
    item_ids: RawIds
    seen: Interactions
    data: str
    trained_on: TrainedOn = "unknown"

    @classmethod
    def of(
        cls,
        dataset: Dataset,
        users: NDArray[Any],
        items: NDArray[Any],
        without_disliked: bool = True,
        trained_on: TrainedOn = "unknown",
    ) -> Recommender:
        """A model of a dataset.

        Args:
            users, items: a result of `Run.vectors()`, trained on `dataset.train` or a part of it.
            without_disliked: whether lists leave out pairs that were dropped because of a low rating, too. A measurement on the
                test split does not, since some of these ratings may be later than the training data.
            trained_on: whether they were trained on `dataset.train` without validation pairs or with them. A result of
                `load_all` says itself that test pairs are among its data.

        Raises:
            InputError: vectors that do not fit the dataset, or are not finite.
        """
        check_vectors(users, items, dataset.train)
        disliked = dataset.disliked if without_disliked else None
        seen = dataset.train if disliked is None else dataset.train.union(disliked)
        vectors = users.astype(np.float32), items.astype(np.float32)
        ids = dataset.user_ids, dataset.item_ids
        if dataset.whole_of:
            return cls(*vectors, *ids, seen, dataset.whole_of, "with test")
        return cls(*vectors, *ids, seen, dataset.checksum, trained_on)

    def recommend(self, users: Sequence[object] | RawIds | None = None, k: int = 20) -> pd.DataFrame:
        """The k best unseen items of users.

        Args:
            users: raw ids, in any order; all users if None.
            k: length of the lists, >= 1; shorter if a user has fewer unseen items.

        Returns:
            A row per recommendation with columns user, item (raw ids), rank (from 1) and score, users in the given order.

        Raises:
            InputError: unknown users, a single id instead of a list, or k that is no whole number of at least 1.
        """
        users = [*users] if isinstance(users, Iterator) else users
        if users is not None and (isinstance(users, str) or not isinstance(users, Iterable)):
            raise InputError(f"users must be a list of ids, got {shown(users)}; for one user give [{shown(users)}]")
        chosen = np.arange(len(self.user_ids)) if users is None else self._rows(users)
        from trainers.metrics.ranking import recommend  # loads numba and torch, which takes seconds

        k = min(whole("k", k), len(self.item_ids))  # no list is longer
        lists = recommend(self.users, self.items, seen=self.seen, users=chosen, k=k)
        row, rank = np.nonzero(lists >= 0)
        item = lists[row, rank]
        scores = np.einsum("nd,nd->n", self.users[chosen[row]], self.items[item])
        return pd.DataFrame(
            {"user": self.user_ids[chosen[row]], "item": self.item_ids[item], "rank": rank + 1, "score": scores}
        )

    def evaluate(self, dataset: Dataset, held_out: Interactions, ks: Sequence[int] = (20, 50)) -> dict[str, float]:
        """Metrics on held-out pairs of its dataset, see `trainers.evaluate`.

        Raises:
            InputError: another dataset, pairs of its training data, or a model that was trained on its test pairs.
        """
        if self.data != dataset.checksum:
            raise InputError(f"the model was trained on other data than {dataset.name}; train it on these data")
        if self.trained_on == "with test":
            raise InputError(
                f"the model was trained on all interactions of {dataset.name}, test pairs included (--all-data), so it cannot "
                "be measured; train without --all-data to measure"
            )
        return evaluate(self.users, self.items, seen=dataset.train, held_out=held_out, ks=ks)

    def save(self, path: str | Path) -> None:
        """Write an .npz file without pickled objects. Ids that are neither whole numbers nor text are written as text.

        Raises:
            InputError: another ending, a model that `load` would refuse, or the file cannot be written.
        """
        path = Path(path)
        if path.suffix != ENDING:
            raise InputError(f"a model must be saved in a file that ends in {ENDING}, got {path}; give another name")
        arrays = {
            "users": self.users,
            "items": self.items,
            "user_ids": _plain(self.user_ids),
            "item_ids": _plain(self.item_ids),
            "seen_indptr": self.seen.indptr,
            "seen_items": self.seen.items,
            "facts": np.array([str(FORMAT), self.data, self.trained_on]),
        }
        try:
            self._of_arrays(arrays)
        except ValueError as error:
            raise InputError(f"a model must be whole to be saved: {error}; make it with Recommender.of") from None
        file = BytesIO()
        np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        write_bytes(path, file.getvalue(), make_folder=False)  # atomic: an earlier model is not lost

    @classmethod
    def load(cls, path: str | Path) -> Recommender:
        """Read a file of `save`.

        Raises:
            InputError: it is missing, damaged, or another file.
        """
        try:
            check_regular(Path(path))
            with open(path, "rb") as file:
                most = MOST_UNPACKED[0] + MOST_UNPACKED[1] * os.fstat(file.fileno()).st_size
                return cls._of_arrays(read_arrays(file, most))
        except OSError as error:
            why = f"cannot be read: {error.strerror or first_line(error)}"
        except ValueError as error:
            why = f"is damaged or another file ({error})"
        raise InputError(f"{clipped(str(path))}: {why}; give a file that hpo.train --save wrote")

    @classmethod
    def _of_arrays(cls, arrays: dict[str, NDArray[Any]]) -> Recommender:
        """The model in the arrays of a file; raises ValueError if they are not a model."""
        if set(arrays) != ARRAYS or arrays["facts"].shape != (3,):
            raise ValueError("it does not hold the arrays of a model")
        format_, data, trained_on = map(str, arrays["facts"].tolist())
        if format_ != str(FORMAT):
            raise ValueError(f"this version reads format {FORMAT}, got {shown(format_)}; train and save it again")
        if trained_on not in get_args(TrainedOn):
            raise ValueError(f"it must say what it was trained on, got {shown(trained_on)}")
        ids, kinds = (
            (arrays["user_ids"], arrays["item_ids"]),
            {"users": "f", "items": "f", "seen_indptr": "i", "seen_items": "i"},
        )
        if any(arrays[name].dtype.kind != kind for name, kind in kinds.items()) or any(
            one.dtype.kind not in "iU" for one in ids
        ):
            raise ValueError("its arrays hold wrong types of values")
        for one in ids:
            "".join(map(str, one.tolist())).encode()  # raises ValueError for lone surrogates, which cannot be printed
        sizes, indptr = [len(one) if one.ndim == 1 else -1 for one in ids], arrays["seen_indptr"]
        if min(sizes) < 1 or indptr.shape != (sizes[0] + 1,) or indptr[0] != 0 or (np.diff(indptr) < 0).any():
            raise ValueError("its arrays have lengths that do not fit")
        if arrays["seen_items"].shape != (indptr[-1],) or any(arrays[name].ndim != 2 for name in ("users", "items")):
            raise ValueError("its arrays have lengths that do not fit")
        users = np.repeat(np.arange(sizes[0]), np.diff(indptr))
        seen = Interactions.from_pairs(users, arrays["seen_items"], *sizes)
        check_vectors(arrays["users"], arrays["items"], seen)
        return cls(arrays["users"], arrays["items"], *ids, seen, data, cast(TrainedOn, trained_on))

    def _rows(self, users: Sequence[object] | RawIds) -> NDArray[np.int64]:
        index = {str(user): row for row, user in enumerate(self.user_ids.tolist())}
        missing = [str(user) for user in users if str(user) not in index]
        if missing:
            names, known = (
                ", ".join(clipped(str(one), SHOWN) for one in some) for some in (missing[:MOST_USERS], self.user_ids[:3])
            )
            more = f" and {len(missing) - MOST_USERS} more" if len(missing) > MOST_USERS else ""
            raise InputError(f"unknown users {names}{more}; the model knows {len(index):,} users, such as {known}")
        return np.array([index[str(user)] for user in users], np.int64)


def _plain(ids: RawIds) -> RawIds:
    """Ids as whole numbers or text, the only types in a file."""
    ids = np.asarray(ids)
    return ids if ids.dtype.kind in "iU" else np.array([str(one) for one in ids.tolist()], np.str_)
