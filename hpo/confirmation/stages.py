"""Confirm: retrain the best configs at full budget, choose on validation, read the test split once. Two stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage

from hpo.confirmation.outcome import Confirmation
from hpo.confirmation.results import Candidate, Method, highest, mean_of, search_cost
from hpo.confirmation.rivals import Contender, Rivals, title
from hpo.confirmation.test_log import log_reading, readings_of_other_studies
from hpo.runs.store import BaselineResult, FinishedRun, RunStore, machine_of, revision_of
from hpo.runs.train import FullRuns, Progress
from hpo.runtime.signals import Stopper
from hpo.study.spec import OBJECTIVE, StudySpec
from hpo.study.trials import finalists, trial_config
from hpo.study.workspace import Workspace
from trainers import Interactions, TrainConfig, load_test
from trainers.baselines import BASELINES
from trainers.data.datasets import origin_of_test
from trainers.engines import engine_for
from trainers.errors import InputError

SHIFT_PERCENT = 10  # of popularity, between validation and test
CURVE_EVERY = 10  # epochs between the points of stage 1's learning curves
SELECT_OFFSET, TEST_OFFSET = 101, 201  # seeds of the two stages, past the search's: 101, 102, ... and 201, 202, ...


@dataclass(frozen=True)
class Confirmer:
    """Trains what the two stages need, or takes it from the store of finished runs."""

    work: Workspace
    storage: BaseStorage
    progress: Progress
    stopper: Stopper

    def run(self, study: optuna.Study) -> Confirmation:
        """Both stages.

        Raises:
            InputError: no complete trial, or every candidate diverges.
            Stopped: SIGINT or SIGTERM; finished runs are kept.
        """
        spec, test = self.work.spec, self._test_split  # a broken file is to be found before hours of training
        candidates = self._select(study, spec)
        winner = highest(candidates, spec.name)
        cost = search_cost(study).with_selection(candidates)
        ours = Contender(f"{title(spec)} tuned", winner.config, spec.confirm.seeds, cost, candidates)
        others, notes = Rivals(self.work, study, self.storage, self._select).of(ours)
        compared = [ours, *others]
        read = log_reading(study, {one.label: [self._first(one).digest(), one.n_seeds] for one in compared})
        return Confirmation(
            study=spec.name,
            candidates=candidates,
            winner=winner,
            methods=[self._test(contender) for contender in compared],
            baselines=[self._baseline(name) for name in BASELINES],
            notes=[
                *notes,
                *_distribution_shift(*self.work.split, self.work.dataset.train, test),
                *read,
                *readings_of_other_studies(study, self.storage),
            ],
            data=self._data(),
            validated={one.label: one.candidates for one in compared if one.candidates},
            search_epochs=spec.search.epochs,
        )

    def _data(self) -> dict[str, Any]:
        """How many there are of what, and where the test split comes from."""
        (train, validation), test = self.work.split, self._test_split
        return {
            "users": train.n_users,
            "items": train.n_items,
            "interactions to train on": len(train),
            "for validation": len(validation),
            "for the test": len(test),
            "users with test interactions": int((test.per_user > 0).sum()),
            "test split": origin_of_test(self.work.spec.dataset, self.work.data_dir),
        }

    def _select(self, study: optuna.Study, spec: StudySpec) -> list[Candidate]:
        """Stage 1: the top configs and the published one on train, over fresh seeds, scored on validation."""
        plan = self.work.spec.confirm
        trials = finalists(study, plan.top)
        if not trials:
            raise InputError(f"study {spec.name!r} has no complete trial to confirm; let it run longer")
        seeds = _seeds(self.work.spec.search.seed + SELECT_OFFSET, plan.select_seeds)
        candidates = []
        for trial in trials:
            config = trial_config(trial, spec).replace(epochs=plan.epochs, seed=seeds[0])
            label = f"validation, {spec.name} trial {trial.number}"
            runs = self._runs(label, config, seeds, *self.work.split, curve_every=CURVE_EVERY)
            by_seed = {run.config.seed: run.metrics for run in runs}
            failure = next((run.failure for run in runs if run.failure), "")
            by_epoch = {run.config.seed: run.curve for run in runs}, {run.config.seed: run.losses for run in runs}
            seconds = sum(run.seconds for run in runs)
            value = float(trial.value or 0.0)
            candidates.append(Candidate(trial.number, config, value, by_seed, failure, *by_epoch, seconds))
        return candidates

    def _first(self, contender: Contender) -> TrainConfig:
        """What stage 2 trains, with the first of its seeds."""
        return contender.config.replace(seed=self.work.spec.search.seed + TEST_OFFSET)

    def _test(self, contender: Contender) -> Method:
        """Stage 2: one method on train + validation, over further seeds; each model is read on test once."""
        label, config = contender.label, self._first(contender)
        seeds = _seeds(config.seed, contender.n_seeds)
        runs = self._runs(f"test, {label}", config, seeds, self.work.dataset.train, self._test_split)
        by_seed = {run.config.seed: run.metrics for run in runs}
        failure = next((run.failure for run in runs if run.failure), "")
        per_user = [run.per_user[OBJECTIVE].to_numpy(np.float64) for run in runs if run.per_user is not None]
        return Method(
            label=label,
            config=config,
            by_seed=by_seed,
            seconds=sum(run.seconds for run in runs),
            failure=failure,
            per_user=np.zeros(0) if failure else np.mean(per_user, axis=0),
            search=contender.search,
            beyond=mean_of([run.beyond for run in runs]) if all(run.beyond for run in runs) else {},
            gradient=mean_of([run.gradient for run in runs]) if all(run.gradient for run in runs) else {},
            trained_by=sorted({revision_of(run.trained_by) for run in runs}),
            trained_on=sorted({kind for run in runs if (kind := machine_of(run.trained_by))}),
        )

    def _baseline(self, name: str) -> BaselineResult:
        """A baseline on the same data as stage 2."""
        return self._full_runs.baseline(name, self.work.dataset.train, self._test_split)

    @cached_property
    def _full_runs(self) -> FullRuns:
        """Finished runs of this study and, where the same config was trained for another one, of that."""
        return FullRuns(RunStore(self.work.folder / "runs", elsewhere=self.work.output), self.progress, self.stopper)

    @cached_property
    def _test_split(self) -> Interactions:
        return load_test(self.work.spec.dataset, self.work.data_dir)

    def _runs(
        self,
        label: str,
        config: TrainConfig,
        seeds: Sequence[int],
        seen: Interactions,
        held_out: Interactions,
        curve_every: int = 0,
    ) -> list[FinishedRun]:
        configs = {f"{label}, seed {seed}": config.replace(seed=seed) for seed in seeds}
        choice = engine_for(config, self.work.choice)
        return self._full_runs.train(configs, choice, seen, held_out, curve_every)


def _distribution_shift(seen: Interactions, validation: Interactions, train: Interactions, test: Interactions) -> list[str]:
    """A note when the items to be found on test have another popularity among what is trained on than those on validation."""
    chosen_by = float(seen.per_item[validation.items].mean()) / len(seen)
    tested_by = float(train.per_item[test.items].mean()) / len(train)
    percent = 100 * (tested_by / chosen_by - 1) if chosen_by else 0.0
    if abs(percent) < SHIFT_PERCENT:
        return []
    how = f"{abs(percent):.0f} % {'more' if percent > 0 else 'less'} popular"
    return [
        f"items of the test split are {how} than those of validation: they follow "
        "different distributions; the validation winner need not win on test"
    ]


def _seeds(first: int, count: int) -> list[int]:
    return list(range(first, first + count))
