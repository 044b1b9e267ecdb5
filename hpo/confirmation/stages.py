"""Confirm: retrain the best configs at full budget, choose on validation, read the test split once. Two stages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import optuna
from optuna.storages import BaseStorage

from hpo.confirmation.caveats import caveats_of, other_revisions
from hpo.confirmation.contenders import Contender, title, tuned_contender
from hpo.confirmation.data_caveats import data_caveats
from hpo.confirmation.outcome import Confirmation, DataCounts
from hpo.confirmation.reading_log import log_reading, readings_of_other_studies
from hpo.confirmation.results import Finalist, Method, mean_of, search_cost
from hpo.confirmation.rivals import Rivals
from hpo.confirmation.statistics import MIN_TEST_USERS, Comparison, Floats, Measured, compare
from hpo.runs.provenance import provenance
from hpo.runs.store import BaselineResult, Beyond, FinishedRun, RunStore
from hpo.runs.train import FullRuns, Progress
from hpo.runtime.signals import Stopper
from hpo.study.definition import STUDY_ID, stored_definition
from hpo.study.objective import measured_at_full_budget
from hpo.study.spec import StudySpec
from hpo.study.trials import finalist_trials, trial_config
from hpo.study.workspace import Workspace
from trainers import Interactions, TrainConfig
from trainers.baselines import BASELINES
from trainers.checkpoints import EVERY_SECONDS
from trainers.data.datasets import read_test
from trainers.data.prepare import TestData
from trainers.engines import engine_for
from trainers.errors import InputError

RUNS = "runs"  # folder in the study's
CURVE_EVERY = 10  # epochs between the points of stage 1's learning curves
SELECT_OFFSET, TEST_OFFSET = 101, 201  # seeds of the two stages, past the search's: 101, 102, ... and 201, 202, ...


@dataclass(frozen=True)
class Confirmer:
    """Trains what the two stages need, or takes it from the store of finished runs."""

    work: Workspace
    storage: BaseStorage
    progress: Progress
    stopper: Stopper
    checkpoint_every: float = EVERY_SECONDS

    def run(self, study: optuna.Study) -> Confirmation:
        """Both stages.

        Raises:
            InputError: no complete trial, or every finalist diverges.
            Stopped: SIGINT or SIGTERM; finished runs are kept.
        """
        spec, test = self.work.spec, self._test  # a broken file shows before training
        n_trials = search_cost(study).trials
        finalists = self._select(study, spec)
        ours = tuned_contender(f"{title(spec)} tuned", study, spec, finalists, spec.confirm.seeds, spec)
        others, caveats = Rivals(self.work, study, self.storage, self._select).of(ours)
        compared = [ours, *others]
        validated = {one.label: [*one.finalists] or [self._validated(one)] for one in compared}
        read = log_reading(
            study, test.pairs.checksum, {one.label: [self._first(one).digest(), one.n_seeds] for one in compared}
        )
        tested = [self._tested(contender) for contender in compared]
        methods = [method for method, _ in tested]
        baselines = [self._baseline(name) for name in BASELINES]
        by = provenance(self.work.choice.device)
        return Confirmation(
            study=spec.name,
            study_id=study.user_attrs[STUDY_ID],
            trials=n_trials,
            search_epochs=spec.search.epochs,
            data=self._data(),
            methods=methods,
            comparisons=compared_by_users(tested, spec.objective) if test.facts.kept_users >= MIN_TEST_USERS else [],
            caveats=[
                *caveats,
                *data_caveats(self.work, test.pairs, test.facts),
                *read,
                *readings_of_other_studies(study, self.storage),
                *other_revisions(ours.label, self._full_runs.programs.values(), by.program),
                *caveats_of(methods, validated, baselines, spec.search.epochs, spec.objective),
            ],
            baselines=baselines,
            validated=validated,
            definition=stored_definition(study.study_name, study.user_attrs),
            provenance=by,
        )

    def _data(self) -> DataCounts:
        (train, validation), test = self.work.split, self._test.pairs
        return DataCounts(
            users=train.n_users,
            items=train.n_items,
            train=len(train),
            validation=len(validation),
            test=len(test),
            users_with_test=test.n_users_with_pairs,
            facts=self.work.dataset.facts,
            about_test=self._test.facts,
            validation_split=self.work.validation,
            validation_unknown=self.work.parts.unknown,
        )

    def _select(self, study: optuna.Study, spec: StudySpec) -> list[Finalist]:
        """Stage 1: the top configs and the published one on train, over fresh seeds, scored on validation."""
        plan = self.work.spec.confirm
        trials = finalist_trials(study, plan.top)
        if not trials:
            raise InputError(f"study {spec.name!r} has no complete trial to confirm; let it run longer")
        finalists = []
        for trial in trials:
            label, config = f"validation, {spec.name} trial {trial.number}", trial_config(trial, spec)
            finalists.append(self._on_validation(label, config, plan.select_seeds, trial.number, float(trial.value or 0.0)))
        return finalists

    def _validated(self, published: Contender) -> Finalist:
        """A config that no search has chosen, measured as the finalists of the searches are: the winner is chosen there."""
        n_seeds = min(self.work.spec.confirm.select_seeds, published.n_seeds)
        return self._on_validation(f"validation, {published.label}", published.config, n_seeds)

    def _on_validation(
        self, label: str, config: TrainConfig, n_seeds: int, trial: int | None = None, search_value: float = 0.0
    ) -> Finalist:
        seeds = _seeds(self.work.spec.search.seed + SELECT_OFFSET, n_seeds)
        config = config.replace(epochs=self.work.spec.confirm.epochs, seed=seeds[0])
        runs = self._runs(label, config, seeds, *self.work.split, curve_every=CURVE_EVERY)
        return Finalist(
            trial,
            config,
            search_value,
            by_seed={run.config.seed: run.metrics for run in runs},
            failure=next((run.failure for run in runs if run.failure), ""),
            curves={run.config.seed: run.curve for run in runs},
            losses={run.config.seed: run.losses for run in runs},
            seconds=sum(run.seconds for run in runs),
            epochs_trained=sum(run.epochs_trained for run in runs),
        )

    def _first(self, contender: Contender) -> TrainConfig:
        """What stage 2 trains, with the first of its seeds."""
        return contender.config.replace(seed=self.work.spec.search.seed + TEST_OFFSET)

    def _tested(self, contender: Contender) -> tuple[Method, Floats]:
        """Stage 2: one method on train + validation, over further seeds; each model is read on test once. With it the objective
        of each user (n_users,), mean over seeds, empty when a seed diverged.
        """
        label, config = contender.label, self._first(contender)
        seeds = _seeds(config.seed, contender.n_seeds)
        runs = self._runs(f"test, {label}", config, seeds, self.work.dataset.train, self._test.pairs)
        failure = next((run.failure for run in runs if run.failure), "")
        objective = self.work.spec.objective
        per_user = [run.per_user[objective].to_numpy(np.float64) for run in runs if run.per_user is not None]
        engine, origins = engine_for(config, self.work.choice).name, [run.trained_by for run in runs if run.trained_by]
        beyond = [run.beyond.model_dump() for run in runs if run.beyond]
        method = Method(
            label=label,
            config=config,
            by_seed={run.config.seed: run.metrics for run in runs},
            seconds=round(sum(run.seconds for run in runs), 1),
            failure=failure,
            search=contender.search,
            study=contender.study,
            beyond=Beyond(**mean_of(beyond)) if len(beyond) == len(runs) else None,
            gradient=mean_of([run.gradient for run in runs]) if all(run.gradient for run in runs) else {},
            trained_by=sorted({origin.program for origin in origins}),
            trained_on=sorted({origin.device for origin in origins if origin.device}),
            trained_with={engine: sorted({origin.rounding(engine) for origin in origins})},
        )
        return method, np.zeros(0) if failure else np.mean(per_user, axis=0)

    def _baseline(self, name: str) -> BaselineResult:
        """A baseline on the same data as stage 2."""
        return self._full_runs.baseline(name, self.work.dataset.train, self._test.pairs)

    @cached_property
    def _full_runs(self) -> FullRuns:
        """Finished runs of this study and, where the same config was trained for another one, of that."""
        store = RunStore(self.work.folder / RUNS, elsewhere=self.work.output)
        measured = measured_at_full_budget(self.work.spec.objective)
        return FullRuns(store, self.progress, self.stopper, measured, self.checkpoint_every)

    @cached_property
    def _test(self) -> TestData:
        return read_test(self.work.dataset)

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


def compared_by_users(tested: Sequence[tuple[Method, Floats]], objective: str) -> list[Comparison]:
    """The winner, which comes first, against every other method that trained to the end; nothing when it did not.

    Args:
        tested: each with the objective of each user (n_users,), mean over its seeds.
    """
    sound = [Measured(m.label, users, np.array(m.values(objective))) for m, users in tested if not m.failure]
    return [] if tested[0][0].failure else compare(sound[0], sound[1:])


def _seeds(first: int, count: int) -> list[int]:
    return list(range(first, first + count))
