"""The roles of columns by their names in common libraries, and canonical names of metrics."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from trainers.data.readers.names import ITEM, USER, candidates, first_known, listed, plain
from trainers.errors import InputError
from trainers.metrics.definitions import METRICS

# Names as `plain` returns them; the first one in a table counts.
RANK = ("rank", "ranking", "position", "pos")
SCORE = ("score", "scores", "prediction", "pred", "estimate", "relevance", "similarity", "rating", "value")
SEED = ("seed", "randomseed", "rngseed", "randomstate")
INDEX = re.compile(r"(Unnamed: \d+|__index_level_\d+__)?")  # as pandas writes and reads an index without a name
METHOD = ("method", "model", "algorithm", "recommender", "system")
CUT_OFF = re.compile(r"(?P<name>.*?)\s*(?:@|_at_|-at-|[_\- ])\s*k?(?P<k>[1-9]\d{0,8})", re.IGNORECASE)
GLUED = re.compile(rf"(?P<name>{'|'.join(METRICS)})(?P<k>[1-9]\d{{0,8}})", re.IGNORECASE)
LOWER_IS_BETTER = {"rmse", "mse", "mae", "loss", "logloss", "error", "perplexity"}


@dataclass(frozen=True)
class Places:
    """The index of each column that has a role, None if there is none. All other columns may be metrics."""

    user: int
    item: int | None
    rank: int | None
    score: int | None
    seed: int | None
    method: int | None
    indices: frozenset[int] = frozenset()  # of rows, without a name

    @property
    def others(self) -> frozenset[int]:
        """The indices of columns that are no metric."""
        return self.indices | {place for place in (self.user, self.item, self.seed, self.method) if place is not None}


def places_of(names: Sequence[str], path: Path) -> Places:
    """The roles of columns by their names. Without a user column, a first column without a name is the user: pandas writes an
    index like that.

    Raises:
        InputError: no column, or more than one, can be the user; more than one can be the item.
    """
    plain_names = [plain(name) for name in names]
    user = _one(USER, plain_names, names, path)
    if user is None and names and INDEX.fullmatch(names[0]):
        user = 0
    if user is None:
        raise InputError(
            f"{path}: must have a column of users, named user or user_id, got columns {listed(tuple(names))}; name it in the "
            "first line of the file"
        )
    item = _one(ITEM, plain_names, names, path)
    rank, score, seed, method = (first_known(known, plain_names) for known in (RANK, SCORE, SEED, METHOD))
    indices = frozenset(place for place, name in enumerate(names) if INDEX.fullmatch(name))
    return Places(user, item, rank, score, seed, method, indices)


def _one(groups: Iterable[tuple[str, ...]], plain_names: list[str], names: Sequence[str], path: Path) -> int | None:
    found = candidates(groups, plain_names)
    if len(found) > 1:
        several = listed(tuple(names[place] for place in found))
        raise InputError(
            f"{path}: must have one column of each kind, got several candidates, {several}; delete or rename the others"
        )
    return found[0] if found else None


def canonical(metric: str) -> str:
    """The canonical name of a metric, without case, `_`, `-` and blanks: `NDCG_20` and `nDCG@20` become `ndcg@20`.

    A number is a cut-off only if a separator precedes it, or if a known metric does: `nDCGRendle2020` has none.
    """
    text = metric.split(":")[0].strip()  # RecBole writes the type of a column after a colon
    found = CUT_OFF.fullmatch(text) or GLUED.fullmatch(text)
    return f"{plain(found['name'])}@{int(found['k'])}" if found else plain(text)


def spelt_like(metric: str, columns: Iterable[str]) -> list[str]:
    """The column with exactly this name, or else all columns with the same canonical name."""
    columns = [*columns]
    return [metric] if metric in columns else [name for name in columns if canonical(name) == canonical(metric)]
