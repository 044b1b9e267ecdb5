"""Confirm: retrain the best configs at full budget, choose on validation, read the test split once. Two stages.

`python -m hpo.confirm --study NAME`. This module and hpo.replicate are the only readers of the test split.
"""

from __future__ import annotations

import argparse
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import optuna
from optuna.storages import BaseStorage
from rich.console import Console

from hpo.cli import add_confirm_arguments, add_place_arguments, add_study_arguments, confirm_changes, entry, existing_workspace
from hpo.console import RunProgress, counted, say, table
from hpo.dashboard import publish
from hpo.export import BEST, CONFIRM, export_winner
from hpo.provenance import provenance
from hpo.retrain import keep_reference, keep_runs
from hpo.runs import FinishedRun, Reference
from hpo.spec import OBJECTIVE, StudySpec
from hpo.stopping import Stopper
from hpo.storage import DEFINITION, differences
from hpo.stored import stored_spec
from hpo.summary import NO_SEARCH, SHOWN, Candidate, Confirmation, Method, SearchCost, mean_of, search_cost
from hpo.trials import best_trials, finalists, trial_config
from hpo.workspace import Workspace
from trainers import Interactions, TrainConfig, load_test
from trainers.datasets import origin_of_test
from trainers.encoders import MF
from trainers.engines import engine_for
from trainers.errors import InputError
from trainers.losses import LOSSES
from trainers.negatives import Uniform
from trainers.sanity import UNTRAINED
from trainers.yaml_files import sealed, to_yaml, write_text

log = logging.getLogger(__name__)

CURVE_EVERY = 10  # epochs between the points of stage 1's learning curves
SELECT_OFFSET, TEST_OFFSET = 101, 201  # seeds of the two stages, past the search's: 101, 102, ... and 201, 202, ...


@dataclass(frozen=True)
class Contender:
    """What enters stage 2, over how many seeds, and what finding it took."""

    label: str
    config: TrainConfig
    n_seeds: int
    search: SearchCost = NO_SEARCH


@dataclass(frozen=True)
class Confirmer:
    """Trains what the two stages need, or takes it from the store of finished runs; `n_trials` have finished in the search."""

    work: Workspace
    n_trials: int
    storage: BaseStorage
    progress: RunProgress
    stopper: Stopper

    def run(self, study: optuna.Study) -> Confirmation:
        """Both stages.

        Raises:
            InputError: no complete trial, or every candidate diverges.
            Stopped: SIGINT or SIGTERM; finished runs are kept.
        """
        spec = self.work.spec
        candidates = self._select(study, spec)
        winner = _highest(candidates, spec.name)
        cost = search_cost(study).with_selection(candidates)
        ours = Contender(f"{_title(spec)} tuned", winner.config, spec.confirm.seeds, cost)
        others, notes = self._others(spec)
        same = [other for other in others if other.config.replace(seed=0) == ours.config.replace(seed=0)]
        methods = [self._test(contender) for contender in (ours, *(other for other in others if other not in same))]
        references = [self._reference(name) for name in UNTRAINED]
        notes += [
            *self._caveats(study, spec, others),
            *(f"{ours.label} is the config of {other.label}: the search found no better one" for other in same),
        ]
        return Confirmation(spec.name, candidates, winner, methods, references, notes, self._data())

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

    def _test(self, contender: Contender) -> Method:
        """Stage 2: one method on train + validation, over further seeds; each model is read on test once."""
        label, config = contender.label, contender.config
        seeds = _seeds(self.work.spec.search.seed + TEST_OFFSET, contender.n_seeds)
        runs = self._runs(f"test, {label}", config, seeds, self.work.dataset.train, self._test_split)
        by_seed = {run.config.seed: run.metrics for run in runs}
        failure = next((run.failure for run in runs if run.failure), "")
        per_user = [run.per_user[OBJECTIVE].to_numpy(np.float64) for run in runs if run.per_user is not None]
        return Method(
            label=label,
            config=config.replace(seed=seeds[0]),
            by_seed=by_seed,
            seconds=sum(run.seconds for run in runs),
            failure=failure,
            per_user=np.zeros(0) if failure else np.mean(per_user, axis=0),
            search=contender.search,
            beyond=mean_of([run.beyond for run in runs]) if all(run.beyond for run in runs) else {},
            gradient=mean_of([run.gradient for run in runs]) if all(run.gradient for run in runs) else {},
        )

    def _reference(self, name: str) -> Reference:
        """An untrained rival on the same data as stage 2."""
        return keep_reference(self.work.runs, name, self.work.dataset.train, self._test_split, self.progress, self.stopper)

    @cached_property
    def _test_split(self) -> Interactions:
        return load_test(self.work.spec.dataset, self.work.data_dir)

    def _caveats(self, study: optuna.Study, spec: StudySpec, others: Sequence[Contender]) -> Iterator[str]:
        """What the reader must know of how the configs were found."""
        sampler = spec.search.sampler
        if sampler.never_learns(self.n_trials):
            yield (
                f"the search of {self.n_trials} trials is no longer than the {sampler.n_startup_trials} that sampler "
                f"{sampler.name} draws at random before it learns: search longer before you trust a comparison of tuned methods"
            )
        if spec.space.also and any(not other.search.trials for other in others):
            searched = ", ".join(spec.space.also)
            yield f"{searched} searched: methods that are not tuned have what their study file says (report: what was trained)"

    def _published(self, spec: StudySpec, remedy: str = "") -> list[Contender]:
        published = spec.published(self.work.spec.confirm.epochs, 0)
        if published is None:
            return []
        config, source = published
        if source != spec.dataset:
            log.info("no paper has %s settings for %s: %s's are compared%s", _title(spec), spec.dataset, source, remedy)
        kind = "published" if source == spec.dataset else f"with {source}'s settings"
        return [self._contender(spec, kind, config)]

    def _contender(self, spec: StudySpec, kind: str, config: TrainConfig, search: SearchCost = NO_SEARCH) -> Contender:
        """A config over as many seeds as ours, or over fewer, and labelled so, where the plan has fewer for its loss."""
        plan = self.work.spec.confirm
        n_seeds = min(plan.seeds, plan.rival_seeds.get(spec.space.loss_name, plan.seeds))
        fewer = f" ({counted(n_seeds, 'seed')}, not {plan.seeds})" if n_seeds < plan.seeds else ""
        return Contender(f"{_title(spec)} {kind}{fewer}", config, n_seeds, search)

    def _others(self, spec: StudySpec) -> tuple[list[Contender], list[str]]:
        """The published config and each rival's, published and, when its study has run in the same way, tuned; who is not."""
        others, notes = self._published(spec), []
        for rival in spec.rival_specs():
            tuned, why_not = self._tuned_rival(rival)
            published = self._published(rival, "" if tuned else "; a rival is fair when tuned: hpo.run --tune-rivals")
            others += [*published, *tuned]
            if why_not and (not published or rival.name in self._studies):
                instead = "only its published config is compared" if published else "and no paper has settings for its loss"
                notes.append(f"{_title(rival)} tuned is not compared: rival study {rival.name} {why_not}; {instead}")
        return others, notes

    @cached_property
    def _studies(self) -> list[str]:
        return optuna.get_all_study_names(self.storage)

    def _tuned_rival(self, rival: StudySpec) -> tuple[list[Contender], str]:
        """The rival's winner, chosen as ours is; none, and why, when its study has not run, or not in the same way."""
        if rival.name not in self._studies:
            return [], "has not run"
        study = optuna.load_study(study_name=rival.name, storage=self.storage)
        why_not = self._unlike(study, rival)
        candidates = [] if why_not else self._select(study, stored_spec(study))
        if candidates and all(candidate.failure for candidate in candidates):
            why_not = "has no candidate that trains to full epochs"
        if why_not:
            return [], why_not
        cost = search_cost(study).with_selection(candidates)
        return [self._contender(rival, f"tuned{self._budget_note(study)}", _highest(candidates, rival.name).config, cost)], ""

    def _unlike(self, study: optuna.Study, rival: StudySpec) -> str:
        """Why a rival's study is no equal of ours, empty when it is."""
        ours = self.work.spec.definition(self.work.dataset.checksum, self.work.choice.name)
        theirs = study.user_attrs.get(DEFINITION, {})
        unlike = [key for key in ours if key not in ("space", "config", "engine") and theirs.get(key) != ours[key]]
        space = theirs.get("space", {})
        if space.get("name") != rival.space.name or set(space.get("also", ())) != set(ours["space"]["also"]):
            unlike.append("space")
        if unlike:
            return f"differs in {', '.join(unlike)}"
        if other := differences(ours["config"], theirs["config"]):  # a rival's own batch size is fair, a smaller model is not
            log.warning("rival study %s has other fixed settings: %s", rival.name, other)
        return "" if best_trials(study, 1) else "has no complete trial"

    def _budget_note(self, study: optuna.Study) -> str:
        """How many trials a rival had, when they are fewer than ours."""
        count = search_cost(study).trials
        return f" ({count} trials, not {self.n_trials})" if count < self.n_trials else ""

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
        return keep_runs(self.work.runs, choice, configs, seen, held_out, self.progress, self.stopper, curve_every)


def confirm_study(work: Workspace, study: optuna.Study, storage: BaseStorage, console: Console, stopper: Stopper) -> None:
    """Confirm a study, write confirm.yaml, the winner to best.yaml and the report, print table and verdict."""
    plan = work.spec.confirm
    say(
        console,
        f"confirming: {_finalists(study, plan.top)} x {counted(plan.select_seeds, 'seed')} on validation, then the winner, "
        f"published settings and rivals x {counted(plan.seeds, 'seed')} on test, {plan.epochs} epochs each",
    )
    n_trials = search_cost(study).trials
    with RunProgress(console) as progress:
        outcome = Confirmer(work, n_trials, storage, progress, stopper).run(study)
    path = work.folder / CONFIRM
    origin = {"definition": study.user_attrs[DEFINITION], "trials": n_trials, "provenance": provenance(work.choice.device)}
    write_text(path, sealed(to_yaml({**outcome.to_dict(), **origin})))
    export_winner(work, outcome)
    title = f"{work.spec.name}: test split, mean ± sd over {counted(plan.seeds, 'seed')}"
    console.print(table(title, ["method", *SHOWN, f"lead of {outcome.methods[0].label}"], outcome.rows()))
    for sentence in outcome.sentences():
        say(console, sentence)
    report = publish(work.spec, study, storage, work.output)
    say(console, f"wrote {', '.join(map(str, [path, work.folder / BEST, *report]))}")


def _finalists(study: optuna.Study, top: int) -> str:
    chosen = finalists(study, top)
    extra = " and the published one" if len(chosen) > top else ""
    return f"the top {min(top, len(chosen))} configs{extra}"


def _highest(candidates: Sequence[Candidate], name: str) -> Candidate:
    winner = max(candidates, key=lambda candidate: candidate.mean)
    if winner.failure:
        raise InputError(f"study {name!r}: every candidate diverged at full epochs, e.g. {winner.failure}")
    return winner


def _seeds(first: int, count: int) -> list[int]:
    return list(range(first, first + count))


def _title(spec: StudySpec) -> str:
    """The loss, with its encoder and negatives where they are not the usual ones."""
    encoder = spec.config.get("encoder", {}).get("name", MF.name)
    negatives = spec.config.get("negatives", {}).get("name", Uniform.name)
    unusual = [encoder] if encoder != MF.name else []
    unusual += [f"{negatives} negatives"] if negatives != Uniform.name else []
    return LOSSES[spec.space.loss_name].__name__ + (f" ({', '.join(unusual)})" if unusual else "")


def main(argv: list[str] | None = None) -> int:
    """Retrain a study's best configs at full epochs, choose on validation, compare with rivals on test."""
    parser = argparse.ArgumentParser(prog="python -m hpo.confirm", description=main.__doc__)
    add_study_arguments(parser)
    add_place_arguments(parser)
    add_confirm_arguments(parser)
    return entry(parser, argv, _confirm)


def _confirm(arguments: argparse.Namespace) -> int:
    work, study, storage = existing_workspace(arguments)
    work = replace(work, spec=work.spec.override(confirm_changes(arguments)))
    console = Console()
    with Stopper().catching() as stopper, work.alone("confirm") as alone:
        if not alone:
            raise InputError(f"study {work.spec.name!r} is being confirmed by another process; wait until it is done")
        confirm_study(work, study, storage, console, stopper)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
