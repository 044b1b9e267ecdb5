"""Confirm in two stages: retrain the best configs at full budget and choose on validation; then read the test split once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations

import numpy as np
import optuna
from optuna.storages import BaseStorage

from hpo.confirmation.baselines import Baselines, against_baselines, measured_baselines
from hpo.confirmation.caveats import Caveat, CaveatKind, caveats_of, other_revisions
from hpo.confirmation.contenders import Contender
from hpo.confirmation.data_caveats import data_caveats
from hpo.confirmation.evidence import Floats
from hpo.confirmation.league import League, compare_league, leader_of
from hpo.confirmation.outcome import Confirmation, DataCounts
from hpo.confirmation.reading_log import log_reading, readings_of_other_studies
from hpo.confirmation.results import Finalist, Method, SearchWinner, search_cost
from hpo.confirmation.rivals import Rivals
from hpo.confirmation.searches import Search, Searches
from hpo.confirmation.statistics import Comparison, Measured, compare
from hpo.confirmation.tuning import tunings
from hpo.runs.baseline_results import BaselineResult
from hpo.runs.baselines import MeasuredBaseline
from hpo.runs.provenance import provenance
from hpo.runs.store import RUNS_FOLDER, Beyond, FinishedRun, RunStore
from hpo.runs.train import FullRuns, Progress, mean_of
from hpo.runtime.signals import Stopper
from hpo.study.definition import STUDY_ID, stored_definition
from hpo.study.objective import measured_at_full_budget
from hpo.study.plan import MAX_MEMORY, MIN_TEST_USERS
from hpo.study.trials import finalist_trials, trial_config
from hpo.study.verdict_users import check_test_users
from hpo.study.workspace import Workspace
from trainers import Interactions, TrainConfig
from trainers.checkpoints import EVERY_SECONDS
from trainers.data.datasets import read_test
from trainers.data.prepare import TestData
from trainers.engines import engine_for
from trainers.errors import InputError
from trainers.metrics.gradient_share import mean_shares

CURVE_EVERY = 10  # epochs between the points of stage 1's learning curves
# Offsets from the search's seed: seeds 101, 102, ... and 201, 202, ...; for the second search 1,101, ... and 1,201, ...
SELECT_OFFSET, TEST_OFFSET = 101, 201


@dataclass(frozen=True)
class Confirmer:
    """Runs the two stages; finished runs come from the store.

    Attributes:
        max_memory: GB that a baseline may take.
    """

    work: Workspace
    storage: BaseStorage
    progress: Progress
    stopper: Stopper
    checkpoint_every: float = EVERY_SECONDS
    max_memory: float = MAX_MEMORY

    def run(self, study: optuna.Study) -> Confirmation:
        """Run both stages.

        Raises:
            InputError: the study has no complete trial, the test split has no usable user, or every finalist diverges.
            Stopped: SIGINT or SIGTERM; finished runs are kept.
        """
        spec, test = self.work.spec, self._test  # read first: a broken test file stops confirm before training
        n_trials = search_cost(study).trials
        rivals = Rivals(self.work, study, self.storage, Searches(self.storage, self._select))
        ours, unused = rivals.ours()
        others, caveats = rivals.of(ours)
        compared = [ours, *others]
        validated = {one.label: one.finalists or [self._validated(one, ours)] for one in compared}
        baselines = self._baselines(ours)
        tuned = baselines.tuned(n_trials)
        of_methods = {one.label: [*(each.config.digest() for each in self._trained(one)), one.n_seeds] for one in compared}
        read = log_reading(study, test.pairs.checksum, of_methods | baselines.chosen(tuned))
        tested = [self._tested(contender) for contender in compared]
        methods = [method for method, _ in tested]
        measured, of_baselines = baselines.measured(tuned, test.pairs)
        by = provenance(self.work.choice.device)
        enough = test.facts.kept_users >= MIN_TEST_USERS
        comparisons, against, league = self._compared(tested, measured, validated, enough)
        return Confirmation(
            study=spec.name,
            study_id=study.user_attrs[STUDY_ID],
            trials=n_trials,
            search_epochs=spec.search.epochs,
            data=self._data(),
            methods=methods,
            comparisons=comparisons,
            league=league,
            against_baselines=against,
            caveats=[
                *unused,
                *caveats,
                *data_caveats(self.work, test.pairs, test.facts),
                *read,
                *readings_of_other_studies(study, self.storage),
                *other_revisions(ours.label, self._full_runs.programs.values(), by.program),
                *self._caveats(compared, methods, validated, [each.result for each in measured]),
                *of_baselines,
                *same_figures(tested),
            ],
            tuning=tunings(compared, methods, validated, spec.objective),
            baselines=[each.result for each in measured],
            validated=validated,
            definition=stored_definition(study.study_name, study.user_attrs),
            provenance=by,
        )

    def _compared(
        self,
        tested: Sequence[tuple[Method, Floats]],
        baselines: Sequence[MeasuredBaseline],
        validated: Mapping[str, Sequence[Finalist]],
        enough: bool,
    ) -> tuple[list[Comparison], list[Comparison], League | None]:
        """Our method against each other one, and against each baseline; and the league if the study asks for one.

        Args:
            enough: whether there are enough test users for a verdict.
        """
        objective, ours = self.work.spec.objective, tested[0][0].label
        by_users = measured_by_users(tested, objective)
        leader, league = None, None
        if self.work.spec.is_league:
            leader = leader_of([method for method, _ in tested], validated, objective)
            found, league = compare_league(by_users, measured_baselines(baselines, objective), ours, leader)
            league = replace(league, left_out={**self.work.left_out})
        else:
            found = compared_by_users(tested, objective) if enough else []
        if not enough:
            return [], [], league and league.without_evidence()
        named = [one for label in dict.fromkeys((ours, leader)) for one in by_users if one.label == label]
        against = against_baselines(named, baselines, objective)
        by_leader = [one for one in against if one.ours != ours]
        return found, [one for one in against if one.ours == ours], league and replace(league, against_baselines=by_leader)

    def _caveats(
        self,
        compared: Sequence[Contender],
        methods: Sequence[Method],
        validated: Mapping[str, Sequence[Finalist]],
        baselines: Sequence[BaselineResult],
    ) -> list[Caveat]:
        """The caveats on the figures of the methods."""
        spec, rate_searched = self.work.spec, [one.label for one in compared if one.searched_rate]
        return caveats_of(methods, validated, baselines, spec.search.epochs, spec.objective, rate_searched)

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
            validation_users=validation.n_users_with_pairs,
            validation_tied=self.work.parts.tied,
        )

    def _select(self, search: Search) -> list[Finalist]:
        """Stage 1 of a search: train the top configs and the published one over fresh seeds, and measure on validation."""
        plan, spec = self.work.spec.confirm, search.spec
        trials = finalist_trials(search.study, plan.top, spec)
        if not trials:
            raise InputError(f"study {spec.name!r} has no complete trial to confirm; let it run longer")
        finalists = []
        for trial in trials:
            label, config = f"validation, {spec.name} trial {trial.number}", trial_config(trial, spec)
            finalist = self._on_validation(label, config, _seeds(spec.search.seed + SELECT_OFFSET, plan.select_seeds))
            value = float(trial.value or 0.0)
            finalists.append(replace(finalist, trial=trial.number, search_value=value, search=search.number))
        return finalists

    def _validated(self, published: Contender, ours: Contender) -> Finalist:
        """A published config, measured on validation with the seeds of all our searches: validation chooses the winner."""
        n_seeds = min(self.work.spec.confirm.select_seeds, published.n_seeds)
        seeds = [seed for each in ours.found for seed in _seeds(each.seed + SELECT_OFFSET, n_seeds)]
        return self._on_validation(f"validation, {published.label}", published.config, seeds)

    def _on_validation(self, label: str, config: TrainConfig, seeds: Sequence[int]) -> Finalist:
        config = config.replace(epochs=self.work.spec.confirm.epochs, seed=seeds[0])
        runs = self._runs(label, config, seeds, *self.work.split, curve_every=CURVE_EVERY)
        return Finalist(
            None,
            config,
            0.0,
            by_seed={run.config.seed: run.metrics for run in runs},
            failure=next((run.failure for run in runs if run.failure), ""),
            curves={run.config.seed: run.curve for run in runs},
            losses={run.config.seed: run.losses for run in runs},
            seconds=sum(run.seconds for run in runs),
            epochs_trained=sum(run.epochs_trained for run in runs),
        )

    def _trained(self, contender: Contender) -> Iterator[SearchWinner]:
        """The configs and seeds that stage 2 trains: the winner of each search, or the published config."""
        objective, first = self.work.spec.objective, self.work.spec.search.seed + TEST_OFFSET
        if not contender.found:
            seeds = _seeds(first, contender.n_seeds)
            yield SearchWinner(0, "", None, contender.config.replace(seed=first), seeds)
        for each in contender.found:
            seeds, winner = _seeds(each.seed + TEST_OFFSET, contender.n_seeds), each.winner(objective)
            yield SearchWinner(each.search.number, each.study, winner.trial, winner.config.replace(seed=seeds[0]), seeds)

    def _tested(self, contender: Contender) -> tuple[Method, Floats]:
        """Stage 2: train one method on train + validation over further seeds, and measure each model on test once.

        Returns:
            The method, and its objective by user (n_users,), the mean over seeds and then over searches; empty if a seed
            diverged.
        """
        label, trained = contender.label, [*self._trained(contender)]
        by_search = [self._tested_runs(label, each, named=len(trained) > 1) for each in trained]
        runs = [run for each in by_search for run in each]
        failure = next((run.failure for run in runs if run.failure), "")
        config = next(each.config for each in trained if each.config.same_but_seed(contender.config))
        engine, origins = engine_for(config, self.work.choice).name, [run.trained_by for run in runs if run.trained_by]
        beyond = [run.beyond.model_dump() for run in runs if run.beyond]
        method = Method(
            label=label,
            config=config,
            by_seed={run.config.seed: run.metrics for run in runs},
            seconds=round(sum(run.seconds for run in runs), 1),
            failure=failure,
            search=contender.search,
            searches=trained if contender.found else [],
            beyond=Beyond(**mean_of(beyond)) if len(beyond) == len(runs) else None,
            gradient=mean_shares([run.gradient for run in runs]),
            trained_by=sorted({origin.program for origin in origins}),
            trained_on=sorted({origin.device for origin in origins if origin.device}),
            trained_with={engine: sorted({origin.rounding(engine) for origin in origins})},
        )
        if failure:
            return method, np.zeros(0)
        return method, np.mean([_per_user(each, self.work.spec.objective) for each in by_search], axis=0)

    def _tested_runs(self, label: str, each: SearchWinner, named: bool) -> list[FinishedRun]:
        """The runs of stage 2 of one search."""
        name = f"test, {label}, {each.study}" if named else f"test, {label}"
        return self._runs(name, each.config, each.seeds, self.work.dataset.train, self._test.pairs)

    def _baselines(self, ours: Contender) -> Baselines:
        plan = self.work.spec.confirm
        seeds = _seeds(self.work.spec.search.seed + TEST_OFFSET, max(plan.seeds, plan.searches))  # as many as ours has repeats
        return Baselines(self.work, self._full_runs, ours.config.encoder.dim, seeds, self.max_memory)

    @cached_property
    def _full_runs(self) -> FullRuns:
        """The store of this study's finished runs; it also uses equal runs of other studies."""
        store = RunStore(self.work.folder / RUNS_FOLDER, elsewhere=self.work.output)
        measured = measured_at_full_budget(self.work.spec.objective)
        return FullRuns(store, self.progress, self.stopper, measured, self.checkpoint_every)

    @cached_property
    def _test(self) -> TestData:
        test = read_test(self.work.dataset)
        check_test_users(self.work.spec.name, test.facts, self.work.dataset.facts)
        return test

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
    """The first method against every other one that trained to the end; empty if the first diverged.

    Args:
        tested: each method with its objective by user (n_users,), the mean over its seeds and searches.
    """
    sound = measured_by_users(tested, objective)
    return [] if tested[0][0].failure else compare(sound[0], sound[1:])


def same_figures(tested: Sequence[tuple[Method, Floats]]) -> Iterator[Caveat]:
    """A caveat for two methods with the same figures for every user and different configs, as BSL with exponent 1 and SL."""
    sound = [(method, users) for method, users in tested if not method.failure]
    for (one, ours), (other, theirs) in combinations(sound, 2):
        if np.array_equal(ours, theirs) and not one.config.same_but_seed(other.config):
            yield Caveat(kind=CaveatKind.SAME_FIGURES, subject=one.label, facts={"other": other.label})


def measured_by_users(tested: Sequence[tuple[Method, Floats]], objective: str) -> list[Measured]:
    """The methods that trained to the end, for a comparison."""
    return [Measured(m.label, users, [np.array(runs) for runs in m.values(objective)]) for m, users in tested if not m.failure]


def _per_user(runs: Sequence[FinishedRun], objective: str) -> Floats:
    """The objective by user (n_users,), the mean over runs."""
    per_user = [run.per_user[objective].to_numpy(np.float64) for run in runs if run.per_user is not None]
    return np.asarray(np.mean(per_user, axis=0))


def _seeds(first: int, count: int) -> list[int]:
    return list(range(first, first + count))
