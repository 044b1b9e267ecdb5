"""Baselines: their settings are tuned on validation, and the best ones are measured on test once. The store keeps all of it."""

from __future__ import annotations

import hashlib
import json
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import pandas as pd
from pydantic import JsonValue

from hpo.runs.baseline_results import BaselineResult, BaselineTuning, Evaluation, TunedBaseline, same
from hpo.runs.provenance import provenance
from hpo.runs.store import Beyond
from hpo.runs.tables import from_npz, to_npz
from hpo.runs.train import FullRuns, mean_of, means
from hpo.study.plan import MAX_MEMORY
from search_spaces.baselines import BASELINE_RANGES, most_points, points
from trainers import Interactions
from trainers.baselines import BASELINES, EASE, Baseline, Ranking
from trainers.engines.cache_versions import BASELINE_VERSION, FIGURES_VERSION
from trainers.engines.one_lane import is_out_of_memory
from trainers.engines.resources import cpus, sharing, take_share
from trainers.errors import InputError, first_line
from trainers.metrics.accuracy import evaluate_lists
from trainers.metrics.definitions import Metric
from trainers.validation import checked

TUNING, MEASURED = "baseline_tuning", "baselines"  # folders inside the folder of finished runs
GIGABYTE = 1e9


class BaselineFailed(Exception):
    """No settings of a baseline could be fitted; the message is the reason of one of them."""


@dataclass(frozen=True)
class MeasuredBaseline:
    """The figures of a baseline on test; `per_user` has the metrics by user, the mean over seeds if it has some."""

    result: BaselineResult
    per_user: pd.DataFrame


def n_points(name: str, asked: int | None, trials: int) -> int:
    """How many settings of a baseline are tried: as many as asked for, else as many as a search of `trials` trials had, as far
    as they are worth it."""
    most = most_points(name)
    return min(trials, most) if asked is None else asked if BASELINE_RANGES[name] else 1


@dataclass(frozen=True)
class BaselineRuns:
    """Tunes and measures baselines, or takes what is stored of them.

    Attributes:
        runs: the store, the progress, the stopper and the metrics, of which the first is the objective.
        seed: of the points.
        factors: of iALS.
        test_seeds: of baselines that start at random (iALS), for the figures on test. Points are tried with the default seed.
        max_memory: GB that fitting may take.
    """

    runs: FullRuns
    seed: int
    factors: int
    test_seeds: Sequence[int]
    max_memory: float = MAX_MEMORY

    def tune(self, name: str, count: int, seen: Interactions, validation: Interactions) -> TunedBaseline:
        """Try the default settings and `count` - 1 points on validation. Evaluations in the store are not repeated.

        EASE that is tuned on some of the items and measured on all of them is tried once more on all of them. A single point is
        tried on all of them only.

        Raises:
            InputError: the stored evaluations are damaged, or the machine's memory is too small.
            Stopped: SIGINT or SIGTERM; finished evaluations are kept, and the same call continues.
        """
        data, final = (seen.checksum, validation.checksum), self._final_items(name, seen.n_items)
        tried = self._to_try(name, count, seen.n_items)
        on_more_items = final not in (None, settings_of(tried[0]).get("max_items"))
        if on_more_items and count == 1:
            whole = _with(tried[0], {"max_items": final})
            return TunedBaseline(name, data, self._evaluations([whole], name, seen, validation, threads=cpus()))
        evaluations = self._evaluations(tried, name, seen, validation)
        tuned = TunedBaseline(name, data, evaluations)
        for best in tuned.ranked if on_more_items else []:
            whole = _with(tried[0], {**best.settings, "max_items": final})
            (found,) = self._evaluations([whole], f"{name} on all items", seen, validation, threads=cpus())
            if found.value is not None:
                return replace(tuned, on_all_items=found)
        return tuned

    def _evaluations(
        self, baselines: Sequence[Baseline], said: str, seen: Interactions, validation: Interactions, threads: int = 1
    ) -> list[Evaluation]:
        """The evaluations of a baseline with several settings on validation, from the store if it has them.

        Args:
            said: its name for the progress.
            threads: of each; sums of several threads are rounded in another order.
        """
        name, objective = baselines[0].name, self.runs.metrics[0]
        key = {"name": name, "objective": objective, "seen": seen.checksum, "held_out": validation.checksum}
        stored = f"{TUNING}/{name}-{_digest(key)}.json"
        found = self.runs.store.read(stored, BaselineTuning, _evaluations_of(key)) or []
        done = {same(each.settings): each for each in found}
        missing = {same(settings_of(each)): each for each in baselines if same(settings_of(each)) not in done}
        lock = threading.Lock()

        def evaluate(baseline: Baseline) -> None:
            take_share(0, cpus() // threads)
            with _enough_memory(name):
                evaluation = self._evaluation(baseline, seen, validation)
            with lock:
                done[same(evaluation.settings)] = evaluation
                self.runs.store.write(stored, BaselineTuning(**key, evaluations=[*done.values()]))
                advance()

        if missing:
            jobs = self._jobs([*missing.values()], seen.n_items)
            progress = self.runs.progress.run(f"validation, {said}", len(missing), "point")
            # the pool waits for its threads, so that nothing is written after a signal
            with sharing(), progress as advance, ThreadPoolExecutor(jobs) as pool:
                deque(pool.map(evaluate, missing.values()), maxlen=0)
        return [done[same(settings_of(each))] for each in baselines]

    def _to_try(self, name: str, count: int, n_items: int) -> list[Baseline]:
        """The baseline with its default settings, and with those of the points."""
        few = min(self._few_items, n_items)  # so that settings are the same for all limits of memory that make no difference
        fixed: dict[str, dict[str, Any]] = {"ials": {"factors": self.factors}, "ease": {"max_items": few}}
        first = BASELINES[name](**fixed.get(name, {}))
        return [first, *(_with(first, point) for point in points(name, count - 1, self.seed, n_items))]

    @property
    def _few_items(self) -> int:
        """The number of items that EASE is tuned on."""
        return min(EASE().max_items, EASE.items_within(self.max_memory * GIGABYTE))

    def _jobs(self, baselines: Sequence[Baseline], n_items: int) -> int:
        """How many are fitted at once, within the memory."""
        within = self.max_memory * GIGABYTE // max(1.0, *(each.memory(n_items) for each in baselines))
        return max(1, min(cpus(), len(baselines), int(within)))

    def _evaluation(self, baseline: Baseline, seen: Interactions, validation: Interactions) -> Evaluation:
        """The objective of a baseline on validation, or why it has none."""
        settings, started, objective = settings_of(baseline), time.perf_counter(), self.runs.metrics[0]
        try:
            self.runs.stopper.check()
            ranking = baseline.fit(seen, self.runs.stopper.should_stop)
            self.runs.stopper.check()
            lists = ranking.recommend(np.flatnonzero(validation.per_user), Metric.parse(objective).k)
            value = float(evaluate_lists(lists, held_out=validation, metrics=[objective])[objective].mean())
        except InputError as error:
            return Evaluation(settings=settings, failure=str(error), seconds=_since(started))
        return Evaluation(settings=settings, value=value, seconds=_since(started))

    def measure(self, tuned: TunedBaseline, seen: Interactions, held_out: Interactions) -> MeasuredBaseline:
        """The figures of the settings that are best on validation, fitted to all training data, with each seed if it has one.

        Raises:
            BaselineFailed: no settings can be fitted.
            InputError: the stored figures are damaged, or the machine's memory is too small.
            Stopped: SIGINT or SIGTERM.
        """
        users, metrics = np.flatnonzero(held_out.per_user), self.runs.metrics
        max_items = self._final_items(tuned.name, seen.n_items)
        seeds = [*self.test_seeds] if "seed" in settings_of(BASELINES[tuned.name]()) else []
        data = *tuned.data, seen.checksum, held_out.checksum
        settings = [each.settings for each in tuned.evaluations]
        whole = tuned.on_all_items
        key: dict[str, Any] = {"data": data, "metrics": metrics, "points": settings, "items": max_items, "seeds": seeds}
        key |= {} if whole is None else {"on_all_items": whole.settings}
        stored = f"{MEASURED}/{tuned.name}-{_digest(key)}.json"

        def use(found: BaselineResult, table: bytes) -> MeasuredBaseline:
            tried = [each.settings for each in found.evaluations]
            if (found.name, tried, set(found.metrics)) != (tuned.name, settings, set(metrics)):
                raise ValueError("it is of another baseline, of other points, or has other metrics")
            if [*found.by_seed] != seeds or any(set(each) != set(metrics) for each in found.by_seed.values()):
                raise ValueError("it has other seeds, or seeds with other metrics")
            if _without_seed(settings_of(checked(BASELINES[found.name], found.settings, "settings"))) != found.settings:
                raise ValueError("it lacks settings")
            return MeasuredBaseline(found, from_npz(table, metrics, users))

        if kept := self.runs.store.read(stored, BaselineResult, use):
            self.runs.programs[stored] = kept.result.made_by
            return kept
        started = time.perf_counter()
        with self.runs.progress.run(f"test, {tuned.name}, baseline", 1) as advance:
            self.runs.stopper.check()
            with _enough_memory(tuned.name):
                best, baseline, rankings = self._fitted(tuned, seen, max_items, seeds)
            assert best.value is not None  # only settings with a value are fitted
            found = [self.runs.measured(each.recommend(users, self.runs.longest), seen, held_out) for each in rankings]
            advance()
        tables, beyond = [table for table, _ in found], [each.model_dump() for _, each in found]
        per_user = sum(tables[1:], tables[0]) / len(tables)
        result = BaselineResult(
            label=f"{rankings[0].label}{_how(tuned)}",
            note=f"{rankings[0].note}{self._about_items(baseline, best, seen.n_items)}",
            metrics=means(per_user),
            beyond=Beyond(**mean_of(beyond)),
            seconds=_since(started),
            made_by=provenance().program,
            name=tuned.name,
            settings=_without_seed(settings_of(baseline)),
            validation=whole.value if whole and whole.settings == settings_of(baseline) else best.value,
            evaluations=tuned.evaluations,
            on_all_items=whole,
            by_seed={seed: means(table) for seed, table in zip(seeds, tables, strict=False)},
        )
        self.runs.programs[stored] = result.made_by
        table = to_npz(per_user)
        self.runs.store.write(stored, result, table)
        return use(result, table)  # in the stored precision, so that new figures give the same verdict as stored ones

    def _fitted(
        self, tuned: TunedBaseline, seen: Interactions, max_items: int | None, seeds: Sequence[int]
    ) -> tuple[Evaluation, Baseline, list[Ranking]]:
        """The best settings that can be fitted to these data, which are more than those of validation; with a ranking for each
        seed, or a single one without seeds."""
        failure = next((each.failure for each in tuned.evaluations if each.failure), "")
        for best in tuned.ranked:
            baseline = BASELINES[tuned.name](**best.settings)
            if max_items is not None:
                baseline = _with(baseline, {"max_items": max_items})
            each = [_with(baseline, {"seed": seed}) for seed in seeds] or [baseline]
            try:
                return best, baseline, [one.fit(seen, self.runs.stopper.should_stop) for one in each]
            except InputError as error:
                failure = str(error)
        raise BaselineFailed(failure)

    def chosen(self, tuned: TunedBaseline, n_items: int) -> list[JsonValue]:
        """What will be measured, as plain data: name, best settings on validation (None if all failed), and items of EASE."""
        settings: JsonValue = {**tuned.ranked[0].settings} if tuned.ranked else None
        return [tuned.name, settings, self._final_items(tuned.name, n_items)]

    def _final_items(self, name: str, n_items: int) -> int | None:
        """The number of items that EASE is fitted to: all, if they fit into the memory. None for other baselines."""
        if name != "ease":
            return None
        return n_items if EASE(max_items=n_items).memory(n_items) <= self.max_memory * GIGABYTE else self._few_items

    def _about_items(self, baseline: Baseline, best: Evaluation, n_items: int) -> str:
        """What a note says of EASE where it was tuned or fitted on some of the items."""
        if not isinstance(baseline, EASE) or self._few_items >= n_items:
            return ""
        if baseline.max_items >= n_items:
            few = best.settings["max_items"]
            return f"; l2 chosen on the {few:,} most popular items" if few != baseline.max_items else ""
        needed = EASE(max_items=n_items).memory(n_items) / GIGABYTE
        return f"; EASE on all {n_items:,} items needs {needed:.1f} GB: --max-memory {int(needed) + 1}"


@contextmanager
def _enough_memory(name: str) -> Iterator[None]:
    """Within the block, turn an error for a lack of memory into InputError. It is no property of the settings, so it is not
    stored."""
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        remedy = "lower --max-memory" if name == "ease" else "free some memory, or remove it from baselines"
        raise InputError(f"baseline {name} must fit into the memory of this machine ({first_line(error)}); {remedy}") from error


def settings_of(baseline: Baseline) -> dict[str, Any]:
    """The settings of a baseline, without its name."""
    return {key: value for key, value in asdict(baseline).items() if key != "name"}  # type: ignore[call-overload]


def _without_seed(settings: Mapping[str, Any]) -> dict[str, Any]:
    """The settings of figures that come from several seeds, which `BaselineResult.by_seed` has."""
    return {key: value for key, value in settings.items() if key != "seed"}


def _with(baseline: Baseline, settings: Mapping[str, Any]) -> Baseline:
    """The baseline with other settings."""
    return replace(baseline, **settings)  # type: ignore[type-var]


def _how(tuned: TunedBaseline) -> str:
    """What a label says about the settings."""
    if not BASELINE_RANGES[tuned.name]:
        return ""
    count = len(tuned.evaluations)
    return f" (tuned, {count} points)" if count > 1 else " (default settings)"


def _evaluations_of(key: Mapping[str, str]) -> Callable[[BaselineTuning, bytes], list[Evaluation]]:
    """Takes the evaluations of a stored tuning, if it has this key."""

    def use(found: BaselineTuning, table: bytes) -> list[Evaluation]:
        if {name: getattr(found, name) for name in key} != dict(key):
            raise ValueError("it is of another baseline, objective or split")
        return found.evaluations

    return use


def _digest(key: Mapping[str, Any]) -> str:
    """The part of a file's name that tells it from others of the baseline."""
    versions = {"baseline_version": BASELINE_VERSION, "figures_version": FIGURES_VERSION}
    return hashlib.sha256(json.dumps({**key, **versions}, sort_keys=True).encode()).hexdigest()[:20]


def _since(started: float) -> float:
    return round(time.perf_counter() - started, 2)
