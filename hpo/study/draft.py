"""Drafts a study file for new data: how they were read, and settings that suit their size."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from hpo.runtime.text import counted
from hpo.study.plan import SearchPlan
from hpo.study.verdict_users import said_of_test_split
from trainers.data.datasets import Dataset, load_dataset, read_test
from trainers.data.facts import dropped_said
from trainers.data.options import DataOptions
from trainers.data.prepare import default_test
from trainers.data.sources import Files
from trainers.data.splits import SEED, Split
from trainers.errors import InputError
from trainers.yaml_files import parse_yaml

LIKED = 0.8  # ratings from this share of the highest rating on count as positive
LEAST_STARS = 3  # a lower highest rating is no scale, but a like (0 or 1) or a count
# On known scales 25 % (Book-Crossing) to 80 % (Amazon) of the ratings are from 80 % of the highest on. Of counts, or of 1 to 5
# with a stray 10, nearly none are. If fewer than half of the users have a rating left, a study says little about the others.
LEAST_KEPT, LEAST_USERS = 0.1, 0.5
STEPS_PER_EPOCH = 800  # approximate; the batch size is a power of two within the next two limits
SMALLEST_BATCH, LARGEST_BATCH = 128, 2048
LARGE = 500_000  # interactions; with fewer, a trial takes seconds, so more trials are suggested
PLAIN = re.compile(r"(?!(?i:true|false|yes|no|on|off|null|nan|inf)$)[A-Za-z_/][\w./-]*", re.ASCII)  # needs no quotes
FEW = 5  # users with fewer interactions are counted in a comment


def draft(path: str, data_dir: str | None, options: DataOptions) -> str:
    """The text of a commented study file for a file or folder of interactions.

    Args:
        path: the path of the data, as the study file will give it.
        options: how the data are read, if the files do not show it.

    Raises:
        InputError: the data cannot be read.
    """
    min_rating, why_not = _threshold(load_dataset(path, data_dir, **options.given()), options, data_dir)
    options = options.model_copy(update={"min_rating": min_rating})
    dataset = load_dataset(path, data_dir, **options.given())
    parts = dataset.hold_out()
    return "\n".join([*_data_lines(path, dataset, parts, options, why_not), "", *_search_lines(dataset, parts)]) + "\n"


def suggested(dataset: Dataset) -> dict[str, Any]:
    """The keys of a study file that `draft` suggests for these data, without the keys of the data themselves."""
    return parse_yaml("\n".join(_search_lines(dataset, dataset.hold_out())), f"what is suggested for {dataset.name}")


def _threshold(dataset: Dataset, options: DataOptions, data_dir: str | None) -> tuple[float | None, str]:
    """The `min_rating` to propose, or why there is none; neither if there are no ratings or the user gives one."""
    ratings = dataset.facts.ratings
    if ratings is None or options.min_rating is not None:
        return options.min_rating, ""
    low, high = ratings
    if low == high:
        return None, f"all ratings are {high:g}"
    if not dataset.facts.stars or high < LEAST_STARS:
        return None, f"numbers from {low:g} to {high:g} may be counts or an unknown scale"
    wanted = float(math.ceil(LIKED * high))
    try:
        liked = load_dataset(dataset.name, data_dir, **options.model_copy(update={"min_rating": wanted}).given())
        kept, all_ = dataset.facts.interactions - liked.facts.below_rating, dataset.facts.interactions
        if kept < LEAST_KEPT * all_ or liked.n_users < LEAST_USERS * dataset.n_users:
            return None, (
                f"min_rating {wanted:g} would keep {kept:,} of {counted(all_, 'interaction')} and "
                f"{liked.n_users:,} of {counted(dataset.n_users, 'user')}"
            )
        liked.hold_out()
        read_test(liked)
    except InputError as error:
        return None, f"with min_rating {wanted:g} the data cannot be used ({error})"
    return wanted, ""


def _data_lines(path: str, dataset: Dataset, parts: Split, options: DataOptions, why_not: str) -> Iterator[str]:
    """The comments on the data, and the keys that say how to read them; `why_not` says why there is no `min_rating`."""
    facts = dataset.facts
    name = " ".join(Path(path).name.split())
    yield f"# A study of {name}. Run it with: python -m hpo.run --study THIS_FILE.yaml --tune-rivals"
    yield "#"
    for sentence in facts.said():
        yield f"# {' '.join(sentence.split())}"
    if why_not:
        yield f"# min_rating is left out: {' '.join(why_not.split())}; give one if low ratings are no positives"
    yield (
        f"# {dataset.n_users:,} users, {dataset.n_items:,} items, {len(parts.seen):,} interactions to train on, "
        f"{len(parts.held_out):,} for validation"
    )
    if dropped := dropped_said(parts.unknown, len(parts.held_out)):
        yield f"# validation: {dropped}"
    for sentence in said_of_test_split(read_test(dataset).facts, facts):
        yield f"# {sentence}"
    rare = int((dataset.train.per_user < FEW).sum())
    if rare:
        have = f"{counted(rare, 'user')} {'has' if rare == 1 else 'have'}"
        yield f"# {have} fewer than {FEW} interactions; k_core: {FEW} in `data` leaves rare users and items out"
    yield f"dataset: {_flow(path)}"
    yield from _option_lines(dataset, options)
    chosen = dataset.default_validation()
    yield f"# validation may be {', '.join(_validations(dataset))}; best is the way in which the test split was made"
    yield f"validation: {{name: {chosen.name}" + ("}" if chosen.name == "file" else f", fraction: {chosen.fraction}}}")


def _option_lines(dataset: Dataset, options: DataOptions) -> Iterator[str]:
    shown = {key: value for key, value in options.model_dump(mode="json", exclude_defaults=True).items() if key != "test"}
    comments = {}
    if dataset.facts.ratings is not None:
        low, high = dataset.facts.ratings
        comments["min_rating"] = f"  # ratings go from {low:g} to {high:g}; lower ones do not count as interactions"
    lines = [f"  {key}: {_flow(value)}{comments.get(key, '')}" for key, value in shown.items()]
    if isinstance(dataset.origin, Files) and dataset.origin.test is None:
        test = options.test or default_test(dataset.facts)
        also = [
            "random",
            *(["last", "leave_one_out"] if dataset.facts.ordered else []),
            *(["time"] if dataset.facts.timed else []),
        ]
        seed = f", seed: {test.seed}" if test.seed != SEED else ""
        lines.append(f"  test: {{name: {test.name}, fraction: {test.fraction}{seed}}}  # may be {', '.join(also)}")
    if lines:
        yield "data:"
        yield from lines


def _flow(value: object) -> str:
    """A value in YAML's flow style; quotes of JSON are valid in YAML."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{key}: {_flow(each)}" for key, each in value.items()) + "}"
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return str(int(value)) if value.is_integer() else repr(value)
    if isinstance(value, str):
        return value if PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
    return str(value)


def _validations(dataset: Dataset) -> list[str]:
    """The validation splits that the data allow."""
    facts = dataset.facts
    allowed = ["random"] + (["last"] if facts.ordered else []) + (["time"] if facts.timed else [])
    return allowed + (["file"] if dataset.valid is not None else [])


def batch_size(interactions: int) -> int:
    """A power of two from 128 to 2,048, chosen so that an epoch has about 800 steps."""
    wanted: int = 2 ** round(math.log2(max(interactions, 1) / STEPS_PER_EPOCH))
    return min(max(wanted, SMALLEST_BATCH), LARGEST_BATCH)


def _search_lines(dataset: Dataset, parts: Split) -> Iterator[str]:
    seen = parts.seen
    batch = batch_size(len(seen))
    large = len(seen) > LARGE
    negatives = min(100, max(dataset.n_items // 4, 1))
    yield "# MML with four margins; the learning rate is searched, since no paper has settings for these data"
    yield "space: {name: mml, n_margins: 4, also: [learning_rate]}"
    yield "config:"
    yield "  encoder: {name: mf, dim: 64, init_std: 0.1}"
    yield f"  negatives: {{name: uniform, count: {negatives}}}"
    steps = math.ceil(len(seen) / batch)
    yield f"  batch_size: {batch}  # about {steps:,} step{'' if steps == 1 else 's'} an epoch"
    yield "  learning_rate: 0.01  # for configs whose rate is not searched, such as published ones"
    yield "  schedule: linear  # to zero within each run"
    cut_off = min(20, max(dataset.n_items // 2, 1))  # a list of all items makes every metric high
    yield f"objective: ndcg@{cut_off}  # or recall, hit, precision, map, mrr at any k"
    plan = SearchPlan()
    learns = 1 + plan.starts + plan.sampler.n_startup_trials
    quick = f"# for a quick look: trials: {learns + 5}, epochs: 10; {plan.sampler.name} learns after {learns} trials"
    yield f"search: {{trials: {40 if large else 60}, epochs: {20 if large else 30}}}  {quick}"
    yield "confirm: {top: 3, select_seeds: 2, seeds: 5, epochs: 60}  # fewer seeds are faster and find less"
    yield "rivals: [ccl, bsl, sl]  # this study with another loss; docs/models.md has a table of them"
