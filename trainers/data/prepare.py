"""Makes a dataset from raw interactions: filters ratings, duplicates and rare ids, assigns ids, splits off test pairs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers.data.facts import DataFacts, TestFacts
from trainers.data.filters import often_enough
from trainers.data.interactions import Ids, Interactions, RawIds
from trainers.data.options import DataOptions, TestSplit
from trainers.data.readers import RawInteractions
from trainers.data.readers.meaning import is_rating
from trainers.data.readers.raw import IdColumn, as_text
from trainers.data.splits import known_only, split
from trainers.errors import InputError


@dataclass(frozen=True, eq=False)
class TestData:
    """A test split with the ids of its dataset, and facts about it."""

    __test__ = False  # for pytest
    pairs: Interactions
    facts: TestFacts


@dataclass(frozen=True, eq=False)
class Prepared:
    """The content of a dataset.

    Attributes:
        train: all pairs to train on, including those of a valid file.
        user_ids, item_ids: the raw id of each user and item of `train`.
        disliked: pairs of these users and items that were dropped because of a low rating; None if there are none.
        valid: the pairs of a valid file that are not in the train file; None without one.
        test: the test split of a single file; None if there is a test file.
        in_lines: whether the train file is NGCF text.
    """

    train: Interactions
    user_ids: RawIds
    item_ids: RawIds
    valid: Interactions | None
    test: TestData | None
    facts: DataFacts
    disliked: Interactions | None = None
    in_lines: bool = False


def prepare(where: str, train: RawInteractions, valid: RawInteractions | None, options: DataOptions, alone: bool) -> Prepared:
    """Filter raw interactions, assign ids to users and items, and split off the test pairs.

    Args:
        where: the name of the data in messages.
        valid: the interactions of a valid file; None without one.
        alone: whether there is a single file, whose test split is made here.

    Raises:
        InputError: no interaction is left, or the options do not fit the data.
    """
    parts = [train] if valid is None else [train, valid]
    masks, below = _rated(where, parts, options.min_rating)
    users, items = _chosen(parts, masks)
    if not len(users):
        raise InputError(f"{where}: holds no interactions" + (f" rated {options.min_rating:g} or more" if below else ""))
    times = _times(parts, masks)
    ordered = options.ordered or times is not None
    sizes = len(users.ids), len(items.ids)
    pairs = Interactions.from_pairs(users.codes, items.codes, *sizes, ordered=ordered, times=times)
    n_train = int(masks[0].sum())
    in_valid = users.codes[n_train:], items.codes[n_train:]
    late = None if valid is None else _in_valid_only(pairs, users.codes, items.codes, n_train)
    facts = DataFacts(
        read=tuple(part.said for part in parts),
        warnings=(
            *(warning for part in parts for warning in part.warnings),
            *(() if late is None else _not_used(parts, times, late, _number_of_pairs(*in_valid))),
        ),
        interactions=sum(len(part.users) for part in parts),
        min_rating=options.min_rating,
        below_rating=below,
        duplicates=len(users) - len(pairs),
        unused_ratings=options.min_rating is None and train.ratings is not None,
        ratings=_range(train),
        stars=train.ratings is not None and is_rating(train.ratings),
        ordered=ordered,
        timed=times is not None,
    )
    often = often_enough(pairs.users, pairs.items, *options.fewest)
    if not often.any():
        raise InputError(
            f"{where}: k_core, min_user and min_item leave no interaction: they need at least {options.fewest[0]:,} of each "
            f"user and {options.fewest[1]:,} of each item; give lower values"
        )
    left = pairs.where(often)
    rare = {
        "rare": len(pairs) - len(left),
        "rare_users": _fewer(pairs.per_user, left.per_user),
        "rare_items": _fewer(pairs.per_item, left.per_item),
    }
    facts = facts.model_copy(update=rare)
    content = Prepared(
        left, users.ids, items.ids, None if late is None else left.where(late[often]), None, facts, in_lines=train.in_lines
    )
    if below:
        content = replace(content, disliked=_disliked(parts, masks, content))
    if alone:
        content = _with_test(where, content, options.test or default_test(facts))
    return _compact(content)


def together(parts: Sequence[RawInteractions]) -> RawInteractions:
    """The interactions of several files together; with times and ratings only if all files have them."""
    times, ratings = ([getattr(part, name) for part in parts] for name in ("times", "ratings"))
    return RawInteractions(
        users=IdColumn.joined([part.users for part in parts]),
        items=IdColumn.joined([part.items for part in parts]),
        ratings=None if any(each is None for each in ratings) else np.concatenate(ratings),
        times=None if any(each is None for each in times) else np.concatenate(times),
        in_lines=parts[0].in_lines,
        said="; ".join(part.said for part in parts),
        warnings=tuple(warning for part in parts for warning in part.warnings),
    )


def default_test(facts: DataFacts) -> TestSplit:
    """The default test split of a single file."""
    return TestSplit(name="last" if facts.ordered else "random")


def adopt(
    where: str, raw: RawInteractions, options: DataOptions, user_ids: RawIds, item_ids: RawIds, train: Interactions
) -> TestData:
    """The pairs of a test file, with the ids of its dataset.

    Raises:
        InputError: no pair is left.
    """
    masks, below = _rated(where, [raw], options.min_rating)
    users, items = _chosen([raw], masks)
    if not len(users):
        raise InputError(
            f"{where}: holds no interactions to test with"
            + (f" rated {options.min_rating:g} or more" if below else "")
            + "; to use a fifth of train as the test split, give the path of the train file instead of the folder"
        )
    n_pairs, n_users = _number_of_pairs(users.codes, items.codes), len(users.ids)
    user, item = _index(user_ids, users), _index(item_ids, items)
    known = (user >= 0) & (item >= 0)
    if not known.any():
        raise InputError(
            f"{where}: test pairs must have users and items of the training data, got none; use the same ids in both"
        )
    pairs = Interactions.from_pairs(user[known], item[known], train.n_users, train.n_items)
    new = pairs.where(~train.contains(pairs.users, pairs.items))
    if not len(new):
        raise InputError(f"{where}: the test file must have pairs that are not in train, got none; give another test file")
    facts = TestFacts(
        read=raw.said,
        warnings=raw.warnings,
        below_rating=below,
        pairs=n_pairs,
        users=n_users,
        unknown=n_pairs - len(pairs),
        seen=len(pairs) - len(new),
        kept_users=new.n_users_with_pairs,
    )
    return TestData(new, facts)


def _with_test(where: str, content: Prepared, how: TestSplit) -> Prepared:
    try:
        parts = known_only(split(content.train, how.name, how.fraction, how.seed))
    except InputError as error:
        raise InputError(f"{where}: no test split can be made: {error}") from None
    seen, pairs = parts.seen, parts.held_out
    both = TestFacts(
        pairs=len(pairs) + parts.unknown,
        users=int((content.train.per_user > seen.per_user).sum()),
        unknown=parts.unknown,
        kept_users=pairs.n_users_with_pairs,
        moment=parts.moment,
        tied=parts.tied,
        later=_share_later(seen, pairs),
    )
    facts = content.facts.model_copy(update={"test_split": how.name, "made": how})
    return replace(content, train=seen, test=TestData(pairs, both), facts=facts)


def _share_later(seen: Interactions, held_out: Interactions) -> float | None:
    """The share of the pairs in `seen` that are later than a pair in `held_out`, the mean over these; None without times."""
    if seen.times is None or held_out.times is None or not len(held_out):
        return None
    until = np.searchsorted(np.sort(seen.times), held_out.times, side="right")
    return float(1.0 - until.mean() / len(seen))


def _fewer(before: Ids, after: Ids) -> int:
    """The number of users or items that lost all their pairs."""
    return int(((before > 0) & (after == 0)).sum())


def _compact(content: Prepared) -> Prepared:
    """Renumber users and items, so that only those with training pairs have ids."""
    train = content.train
    users, items = np.flatnonzero(train.per_user), np.flatnonzero(train.per_item)
    if len(users) == train.n_users and len(items) == train.n_items:
        return content
    valid, test, disliked = content.valid, content.test, content.disliked
    return replace(
        content,
        train=train.restricted_to(users, items),
        user_ids=content.user_ids[users],
        item_ids=content.item_ids[items],
        valid=None if valid is None else valid.restricted_to(users, items),
        test=None if test is None else replace(test, pairs=test.pairs.restricted_to(users, items)),
        disliked=None if disliked is None else disliked.restricted_to(users, items),
    )


def _rated(where: str, parts: list[RawInteractions], min_rating: float | None) -> tuple[list[NDArray[np.bool_]], int]:
    """A mask of the remaining lines of each part, and the number of dropped ones."""
    if min_rating is None:
        return [np.ones(len(part.users), np.bool_) for part in parts], 0
    masks = []
    for part in parts:
        if part.ratings is None:
            raise InputError(
                f"{where}: min_rating {min_rating:g} needs a column of ratings, got none ({part.said}); name it (data: "
                "{columns: {rating: ...}}), or leave min_rating out"
            )
        masks.append(part.ratings >= min_rating)
    return masks, sum(int((~mask).sum()) for mask in masks)


def _range(raw: RawInteractions) -> tuple[float, float] | None:
    """The lowest and the highest rating; None without ratings."""
    return None if raw.ratings is None or not len(raw.ratings) else (float(raw.ratings.min()), float(raw.ratings.max()))


def _chosen(parts: list[RawInteractions], masks: list[NDArray[np.bool_]]) -> tuple[IdColumn, IdColumn]:
    """Users and items of the lines in the mask of each part."""
    pairs = list(zip(parts, masks, strict=True))
    users, items = ([getattr(part, side).where(mask) for part, mask in pairs] for side in ("users", "items"))
    return IdColumn.joined(users), IdColumn.joined(items)


def _times(parts: list[RawInteractions], masks: list[NDArray[np.bool_]]) -> NDArray[np.float64] | None:
    times = [part.times[mask] for part, mask in zip(parts, masks, strict=True) if part.times is not None]
    return np.concatenate(times) if len(times) == len(parts) else None


def _not_used(
    parts: list[RawInteractions], times: NDArray[np.float64] | None, late: NDArray[np.bool_], n_valid: int
) -> Iterator[str]:
    """Sentences on parts of a train and a valid file that are not used.

    Args:
        late: mask of the pairs that are only in the valid file.
        n_valid: number of distinct pairs in the valid file.
    """
    if times is None and any(part.times is not None for part in parts):
        yield "times are not used, since only one of the train and valid files has them"
    if repeated := n_valid - int(late.sum()):
        yield f"{repeated:,} of {n_valid:,} pairs of the valid file are in the train file, too, and are not held out"


def _in_valid_only(pairs: Interactions, user: Ids, item: Ids, n_train: int) -> NDArray[np.bool_]:
    """A mask of the pairs (n_pairs,) that are in the valid file and not in the train file."""
    early = Interactions.from_pairs(user[:n_train], item[:n_train], pairs.n_users, pairs.n_items)
    return ~early.contains(pairs.users, pairs.items)


def _disliked(parts: list[RawInteractions], masks: list[NDArray[np.bool_]], content: Prepared) -> Interactions:
    users, items = _chosen(parts, [~mask for mask in masks])
    user, item = _index(content.user_ids, users), _index(content.item_ids, items)
    known = (user >= 0) & (item >= 0)
    return Interactions.from_pairs(user[known], item[known], content.train.n_users, content.train.n_items)


def _number_of_pairs(users: Ids, items: Ids) -> int:
    """The number of distinct pairs."""
    return len(np.unique(users.astype(np.int64) * (int(items.max(initial=0)) + 1) + items))


def _index(known: RawIds, rows: IdColumn) -> NDArray[np.int64]:
    """For each row the index of its raw id among the known ones, (n,); -1 if it is not known."""
    wanted = rows.ids
    if known.dtype != wanted.dtype:  # text and numbers
        known, wanted = as_text(known), as_text(wanted)
    index = pd.Index(known, dtype=known.dtype).get_indexer(pd.Index(wanted, dtype=known.dtype))
    found: NDArray[np.int64] = index[rows.codes]
    return found
