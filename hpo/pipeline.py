"""The three steps that commands share: search a study, export its best config, confirm it."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import optuna
from optuna.storages import BaseStorage
from rich.console import Console

from hpo.cli.console import RunProgress, SearchProgress, say, table
from hpo.cli.context import location_flags
from hpo.confirmation.contenders import best_label
from hpo.confirmation.outcome import Confirmation
from hpo.confirmation.results import best_so_far
from hpo.confirmation.search_caveats import search_caveats
from hpo.confirmation.stages import Confirmer
from hpo.confirmation.standings import Standings
from hpo.confirmation.statements import late_said
from hpo.confirmation.wording import sentences
from hpo.reporting.dashboard_sync import publish
from hpo.reporting.export import (
    TRIALS,
    check_owner,
    claim,
    export_best,
    export_confirmed,
    export_trials,
    exported,
)
from hpo.reporting.league_files import export_league
from hpo.reporting.overview import BASELINES_TITLE, BROUGHT_TITLE, CAVEATS_TITLE
from hpo.runs.store import RUNS_FOLDER
from hpo.runs.train import CHECKPOINTS
from hpo.runtime.signals import Stopper
from hpo.runtime.text import CHANGE_OUTPUT_HINT, counted
from hpo.search.claims import reap
from hpo.search.job import Backend, SearchJob
from hpo.search.processes import search_with_processes
from hpo.search.side_by_side import Side, search_side_by_side
from hpo.storage.address import without_password
from hpo.study.owner import while_it_exists
from hpo.study.plan import MAX_MEMORY, MIN_TEST_USERS
from hpo.study.rivals import left_out_said
from hpo.study.spec import StudySpec
from hpo.study.starts import enqueue_starts, starts_of
from hpo.study.trials import best_trials, finalist_trials, shown_metrics
from hpo.study.verdict_users import check_test_users, said_of_test_split
from hpo.study.widen import Widened, copy_trials
from hpo.study.workspace import Workspace
from trainers.checkpoints import EVERY_SECONDS
from trainers.data.datasets import read_test
from trainers.data.facts import dropped_said
from trainers.errors import InputError
from trainers.files import check_new_files, writing

IN_FULL = "the verdict on each pair in full, and the table of all pairs: see the report"


def open_study(work: Workspace, storage: BaseStorage, console: Console, url: str, **said: str) -> optuna.Study:
    """Create or continue the study of a workspace, and claim its folder. Print the path of a new study.

    Args:
        url: URL or journal path of the storage; a password in it is not shown.
        said: see `hpo.study.definition.open_study`.

    Raises:
        InputError: the study exists with another definition, or is damaged, or its folder holds another study's results.
    """
    exists = work.spec.name in optuna.get_all_study_names(storage)
    check_owner(work.folder, optuna.load_study(study_name=work.spec.name, storage=storage) if exists else None)
    study = work.study(storage, where=location_flags(work.output, url), **said)
    claim(work.folder, study)
    if not exists:
        say(console, f"{work.spec.name}: a new study in {without_password(url)}")
    return study


def introduce_data(work: Workspace, console: Console) -> None:
    """Print how the data were read and what was dropped."""
    for sentence in work.dataset.facts.said():
        say(console, f"{work.spec.data_name}: {sentence}")


def introduce(work: Workspace, console: Console) -> None:
    """Print the study, the engine, and warnings about the search plan."""
    spec, choice = work.spec, work.choice
    seen, validation = work.split
    say(
        console,
        f"{spec.name}: {spec.data_name}, {seen.n_users:,} users x {seen.n_items:,} items, {len(seen):,} interactions to train "
        f"on, {len(validation):,} for validation ({work.validation.said()}); objective {spec.objective}\n"
        f"{counted(spec.search.trials, 'trial')} x {counted(spec.search.epochs, 'epoch')}, space {spec.space.name} with "
        f"{counted(len(spec.space.boxes()), 'parameter')}, engine {choice.name} on {choice.device} ({choice.reason})"
        + (f", {work.lanes} trials at once" if work.lanes > 1 else ""),
    )
    if dropped := dropped_said(work.parts.unknown, len(work.parts.held_out)):
        say(console, f"validation: {dropped}")
    users = validation.n_users_with_pairs
    if users < MIN_TEST_USERS:
        say(console, f"WARNING: validation has only {counted(users, 'user')}: the best config may not hold for other users")
    sampler = spec.search.sampler
    starts, _ = starts_of(spec)
    if sampler.never_learns(spec.search.trials, len(starts)):
        first = f"{counted(len(starts), 'start')} and " if starts else ""
        before = f"{first}{counted(sampler.n_startup_trials, 'random trial')} come before its first proposal"
        enough = len(starts) + sampler.n_startup_trials + 1
        say(console, f"too few trials for sampler {sampler.name} to learn from: {before}; give --trials {enough} or more")
    for line in left_out_said(work.left_out):
        say(console, line)
    say(console, _evaluated(work))
    if why_not := spec.search.never_prunes(len(starts)):
        say(console, f"no trial will be pruned: {why_not}")


def _evaluated(work: Workspace) -> str:
    """A sentence: after which epochs trials are evaluated, and on how many users."""
    search, looks = work.spec.search, work.spec.search.evaluate_at
    some, all_ = (part.n_users_with_pairs for part in (work.sample, work.split[1]))
    on_all = f"on all {all_:,} validation users"
    if not looks:
        return f"a trial is evaluated after epoch {search.epochs} {on_all}"
    later = "every later one" if looks.step == 1 else f"every {looks.step} epochs from there"
    first = f"a trial is evaluated after epoch {looks.start}" + (f" and {later}" if len(looks) > 1 else "")
    if some == all_:
        return f"{first}, and after epoch {search.epochs}, {on_all}"
    return f"{first} on {some:,} of {all_:,} validation users, and after epoch {search.epochs} on all of them"


def check_test_split(work: Workspace, console: Console) -> None:
    """Read the test split once, to find a broken file before the search, and print how it was read.

    Raises:
        InputError: it is missing, malformed, or has no usable pair.
    """
    about = read_test(work.dataset).facts
    for sentence in filter(None, (about.read, *about.warnings)):
        say(console, f"{work.spec.data_name}, test file: {sentence}")
    said, *warnings = said_of_test_split(about, work.dataset.facts)
    say(console, said)
    check_test_users(work.spec.name, about, work.dataset.facts, "; or search without it (--search-only)")
    for warning in warnings:
        say(console, warning)


def check_writable(folder: Path) -> None:
    """Check before the search that a folder can be written, without creating it."""
    with writing(folder, CHANGE_OUTPUT_HINT):
        check_new_files(next(path for path in (folder, *folder.parents) if path.exists()))


def go_on_from(wide: Widened | None, work: Workspace, study: optuna.Study, storage: BaseStorage, console: Console) -> None:
    """Copy the original's trials to a study with wider ranges, and print which ranges are wider."""
    if wide is None or work.spec.name not in wide.originals:
        return
    original = wide.originals[work.spec.name]
    with work.alone("copy", wait=True):  # two processes that start at once must copy each trial once
        copied = counted(copy_trials(storage, original, study, work.spec), "trial")
    say(console, f"{work.spec.name} continues {original} ({copied} copied): {wide.change(storage, work.spec)}")


def _begin_search(job: SearchJob, study: optuna.Study, console: Console) -> None:
    """Take over the trials of dead workers, and queue the published config."""
    reap(study, job.stale_after)
    why_not = enqueue_starts(study, job.work.spec)
    if why_not:
        say(console, f"{job.work.spec.name}: no trial of published settings: {why_not}")


def search_study(
    job: SearchJob, study: optuna.Study, console: Console, stopper: Stopper, backend: Backend = search_with_processes
) -> None:
    """Search until the budget is met. The published config is tried first, and again if its trial was lost.

    Raises:
        SearchFailed: too many trials or workers failed, or the study was deleted.
        Stopped: SIGINT or SIGTERM.
    """
    with while_it_exists(study, "searched", job.work.folder):
        _begin_search(job, study, console)
        with SearchProgress(console, job.work.spec.search.epochs) as progress:
            backend(job, study, progress, stopper)
        job.checkpoints.sweep(study)


def search_studies(
    jobs: Iterator[tuple[SearchJob, optuna.Study]], studies: int, workers: int, console: Console, stopper: Stopper
) -> Iterator[tuple[SearchJob, optuna.Study, str]]:
    """Search studies side by side, see `hpo.search.side_by_side`; yields each when its search has ended, with the reason if it
    ended early. If too many trials of the first study fail, all searches end.

    Raises:
        SearchFailed, Stopped: as for `search_study`.
    """
    with SearchProgress(console, epochs=0) as display:
        shown: dict[str, SearchProgress] = {}

        def sides() -> Iterator[Side]:
            for number, (job, study) in enumerate(jobs):
                with while_it_exists(study, "searched", job.work.folder):
                    _begin_search(job, study, console)
                progress = SearchProgress(console, job.work.spec.search.epochs, beside=display)
                shown[study.study_name] = progress
                yield Side(job, study, progress, ends_all=number == 0)

        for side, failure in search_side_by_side(sides(), studies, workers, stopper):
            shown.pop(side.study.study_name).ended()
            side.job.checkpoints.sweep(side.study)
            yield side.job, side.study, failure


def export_study(work: Workspace, study: optuna.Study, console: Console, widen: str) -> None:
    """Write the best trial's config and the table of trials, and print them with the caveats of the search.

    Args:
        widen: see `search_caveats`.
    """
    path, trial = export_best(work, study)
    export_trials(study, work.folder / TRIALS)
    say(
        console,
        f"{work.spec.name}: best trial {trial.number}, validation {shown_metrics(trial, work.spec)}; "
        f"wrote {path} and {work.folder / TRIALS}",
    )
    say(console, f"{work.spec.name}: {late_said([best_so_far(study)])}")
    caveats = search_caveats(study, work.spec, best_label(work.spec, trial.number), widen=widen)
    for line in sentences(caveats, work.spec.objective):
        say(console, f"- {line}")


def confirm_study(
    work: Workspace,
    study: optuna.Study,
    storage: BaseStorage,
    console: Console,
    stopper: Stopper,
    checkpoint_every: float = EVERY_SECONDS,
    max_memory: float = MAX_MEMORY,
) -> Confirmation:
    """Confirm a study; write confirm.yaml, the chosen configs and the report; print table and verdict.

    Args:
        checkpoint_every: seconds between two checkpoints of a run.
        max_memory: GB that a baseline may take.

    Raises:
        InputError: see `Confirmer.run`; or the data have changed since the search, or the folder holds another study's results.
    """
    check_owner(work.folder, study)
    work.check_data(study)
    plan = work.spec.confirm
    if not best_trials(study, 1):
        raise InputError(f"study {work.spec.name!r} has no complete trial to confirm; let it run longer")
    published = "" if work.spec.is_league else " and published settings"
    each = f" of each of {plan.searches} searches" if plan.searches > 1 else ""
    say(
        console,
        f"confirming: on validation {_finalists(study, work.spec)}{each}, the finalists of rivals{published}, "
        f"{counted(plan.select_seeds, 'seed')} each; then on test the best config of each loss{published}, "
        f"{counted(plan.seeds, 'seed')} each; {counted(plan.epochs, 'epoch')} per run",
    )
    with RunProgress(console) as progress:
        outcome = Confirmer(work, storage, progress, stopper, checkpoint_every, max_memory).run(study)
    check_owner(work.folder, study)  # again: the study may have been deleted and searched again
    shutil.rmtree(work.folder / RUNS_FOLDER / CHECKPOINTS, ignore_errors=True)  # checkpoints that no finalist needs any more
    path = outcome.write(work.folder)
    configs = export_confirmed(work, outcome)
    show(outcome, console)
    report = publish(work.spec, study, storage, work.output)
    labels = [outcome.named(method) for method in exported(outcome).values()]
    tables = export_league(work, outcome)
    files = [path, *tables, *(f"{config} ({label})" for config, label in zip(configs, labels, strict=True)), *report]
    say(console, f"wrote {', '.join(map(str, files))}")
    return outcome


def show(outcome: Confirmation, console: Console) -> None:
    """Print the outcome of confirm: table, verdict, gain of each search, baselines, caveats."""
    standings = outcome.standings
    if standings is not None:
        _show_league(outcome, standings, console)
    else:
        seeds = max(len(seeds) for method in outcome.methods for seeds in method.seeds)
        has_several = any(len(method.searches) > 1 for method in outcome.methods)
        title = f"{outcome.study}: test split, mean ± sd" + ("" if has_several else f" over {counted(seeds, 'seed')}")
        console.print(table(title, ["method", *outcome.table_metrics, f"lead of {outcome.methods[0].label}"], outcome.rows()))
        if has_several:
            say(console, outcome.spread())
    first, *verdicts = outcome.statements()
    for line in [first, *([IN_FULL] if standings is not None and standings.league.pairs else verdicts)]:
        say(console, line)
    parts = {
        BROUGHT_TITLE: outcome.brought(),
        BASELINES_TITLE: outcome.about_baselines(),
        CAVEATS_TITLE: outcome.sentences(),
    }
    for heading, lines in parts.items():
        for line in [f"{heading}:", *(f"- {sentence}" for sentence in lines)] if lines else ():
            say(console, line)


def _show_league(outcome: Confirmation, standings: Standings, console: Console) -> None:
    title = f"{outcome.study}: {standings.objective} on the test split, mean ± half of its 95 % interval"
    console.print(table(title, *standings.compact()))
    for line in (*outcome.headlines()[:-1], *standings.notes()):
        say(console, f"- {line}")


def _finalists(study: optuna.Study, spec: StudySpec) -> str:
    top = spec.confirm.top
    chosen = finalist_trials(study, top, spec)
    other = "the first one" if spec.published(1, 0) is None else "the published one or its nearest"
    extra = f" and {other}" if len(chosen) > top else ""
    return f"the top {counted(min(top, len(chosen)), 'config')}{extra}"
