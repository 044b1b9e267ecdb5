"""Search and confirm from Python, in a program or a notebook: `python -m hpo.run` and `hpo.confirm` as functions.

>>> from hpo.api import confirm, search
>>> study = search("demo_mml", trials=40)
>>> study.best_config, study.trials
>>> verdict = confirm(study)
>>> verdict.table, verdict.statements
"""

from __future__ import annotations

import argparse
import os
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from hpo import calls
from hpo.cli.context import stored_study
from hpo.cli.flags import OUTPUT
from hpo.cli.session import as_arguments, call, in_words_of_python
from hpo.outcomes import Study, Verdict
from hpo.search.claims import STALE_HOURS
from hpo.storage.address import storage_url
from hpo.study.from_python import spec_of
from hpo.study.plan import LEAST_MEMORY, MAX_MEMORY
from hpo.study.rivals import rivals_of
from search_spaces import register_loss
from trainers import Dataset
from trainers.checkpoints import EVERY_SECONDS
from trainers.engines.registry import AUTO
from trainers.errors import InputError
from trainers.text import shown
from trainers.validation import LARGEST, SETTINGS, Count, NonNegative, Place, Positive, Real, Switch, Whole, checked

__all__ = ["Dataset", "Study", "Verdict", "confirm", "load_study", "register_loss", "search"]


class _Where(BaseModel):
    """Arguments of several functions."""

    model_config = SETTINGS
    output: Path = OUTPUT
    storage: Place | None = None
    data_dir: Place | None = None
    checkpoint_every: NonNegative = EVERY_SECONDS
    progress: Switch = True


class _SearchArguments(_Where):
    trials: Count | None = None
    epochs: Count | None = None
    seed: Annotated[Whole, Field(ge=0)] | None = None
    timeout: Positive | None = None
    workers: Count | None = None
    lanes: Count | None = None
    scheduler: Place | None = None
    engine: str = AUTO
    device: str = AUTO
    tune_rivals: Switch = False
    stale_after: Positive = STALE_HOURS


class _ConfirmArguments(_Where):
    top: Count | None = None
    select_seeds: Count | None = None
    seeds: Count | None = None
    searches: Count | None = None
    epochs: Count | None = None
    rival_seeds: dict[str, int] | None = None
    baseline_trials: Count | None = None
    max_memory: Annotated[Real, Field(ge=LEAST_MEMORY, le=LARGEST)] = MAX_MEMORY


# keys of a study file
KEYS = ("dataset", "space", "config", "objective", "data", "validation", "search", "confirm", "rivals", "baselines")
# keys of `confirm` in a study file
PLAN = ("top", "select_seeds", "seeds", "searches", "epochs", "rival_seeds", "baseline_trials")


def search(
    study: str | Path | Mapping[str, Any] | None = None,
    *,
    name: str | None = None,
    dataset: str | Path | Dataset | None = None,
    space: str | Mapping[str, Any] | None = None,
    config: Mapping[str, Any] | None = None,
    objective: str | None = None,
    data: Mapping[str, Any] | None = None,
    validation: Mapping[str, Any] | None = None,
    search: Mapping[str, Any] | None = None,
    confirm: Mapping[str, Any] | None = None,
    rivals: Sequence[str] | Literal["all"] | None = None,
    baselines: Sequence[str] | None = None,
    trials: int | None = None,
    **arguments: Any,
) -> Study:
    """Search a study until it has `trials` finished trials. The same call again continues.

    Args:
        study: the name of a shipped study, the path of a study file, or a mapping with the keys of a study file. Without it,
            `dataset` and `space` are required.
        name: the name to store the study under; required without a file.
        dataset, space, config, objective, data, validation, search, confirm, rivals, baselines: keys of a study file, which
            replace those of `study`. `dataset` may be a table from `Dataset.from_frame`; it is written to the study's folder.
            `space` may be just a name: then the study's `also` stays, with its ranges. Without a study file, missing keys are
            filled in as `hpo.studies new` suggests for the data.
        trials: the TOTAL of finished trials, those of earlier calls included.
        arguments: as the flags of hpo.run: epochs, seed, timeout (seconds), workers, lanes, scheduler (address of a Dask
            cluster), engine, device, tune_rivals, stale_after (hours), checkpoint_every (seconds), output, storage, data_dir;
            and progress=False to print nothing.

    Raises:
        InputError: an argument that is unknown or wrong, data that cannot be read, or another study of that name.
        SearchFailed: too many trials of the study failed, or a search had no complete trial before the timeout. If too many
            trials of a rival fail, there is a warning.
        KeyboardInterrupt: finished trials are kept; the same call continues.
    """
    values = dataset, space, config, objective, data, validation, search, confirm, rivals, baselines
    given = dict(zip(KEYS, values, strict=True))
    asked = checked(_SearchArguments, arguments | {"trials": trials}, "search()")
    with call(asked.progress) as (printer, stopper):
        spec, table = spec_of(study, name, given, asked.output, asked.data_dir)
        changes = {f"search.{key}": getattr(asked, key) for key in ("trials", "epochs", "seed")}
        spec = spec.override(changes)
        url = storage_url(asked.storage, asked.output)
        names = set(_SearchArguments.model_fields) - {"trials", "epochs", "seed", "storage", "progress"}
        chosen = rivals_of(spec, asked.engine, asked.device)
        options = {key: getattr(asked, key) for key in names}
        job = calls.Search(spec, chosen.specs, url=url, left_out=chosen.left_out, table=table, **options)
        work = job.open(printer)
        found, opened = job.begin(work, printer)
        failed = job.run(work, found, opened, printer, stopper)
    for reason in failed.values():
        warnings.warn(as_arguments(reason), stacklevel=2)
    return Study(spec, found, asked.output, asked.storage, asked.data_dir)


def load_study(name: str | Path, **arguments: Any) -> Study:
    """A stored study, by its name or its file.

    Args:
        arguments: output, storage and data_dir, as given to `search`.

    Raises:
        InputError: there is no such study, or it is damaged.
    """
    asked = checked(_Where, arguments, "load_study()")
    with in_words_of_python():
        spec, study, _ = stored_study(_flags(name, asked), to_write=True)
    return Study(spec, study, asked.output, asked.storage, asked.data_dir)


def confirm(study: Study | str | Path, **arguments: Any) -> Verdict:
    """Retrain a study's best configs at full epochs, choose on validation, and compare with the rivals on test.

    Finished runs are kept: an interrupted call can be continued, and the same call again gives the same verdict.

    Args:
        study: a study, or the name or file of a stored study.
        arguments: the confirm plan, which replaces the study's: top, select_seeds, seeds, searches, epochs, rival_seeds (such
            as {"bsl": 1}), baseline_trials; max_memory (GB that the baseline EASE may take); output, storage and data_dir, if
            the study is given by its name; checkpoint_every (seconds); and progress=False to print nothing.

    Raises:
        InputError: an argument that is unknown or wrong, no such study, no complete trial, or data that have changed.
        KeyboardInterrupt: finished runs are kept; the same call continues.
    """
    known = {key: getattr(study, key) for key in ("output", "storage", "data_dir")} if isinstance(study, Study) else {}
    if both := sorted(known.keys() & arguments.keys()):
        raise InputError(
            f"confirm(): {shown(both[0])} must be left out, since the study has it; it is for a study given by its name"
        )
    asked = checked(_ConfirmArguments, known | arguments, "confirm()")
    where = _flags(study.name if isinstance(study, Study) else study, asked)
    with call(asked.progress) as (printer, stopper):
        changes = {f"confirm.{key}": getattr(asked, key) for key in PLAN}
        confirmed = calls.confirm(where, changes, asked.checkpoint_every, printer, stopper, asked.max_memory)
    return Verdict(load_study(where.study, output=asked.output, storage=asked.storage, data_dir=asked.data_dir), confirmed)


def _flags(study: str | Path, asked: _Where) -> argparse.Namespace:
    """A study and its location in the form of a command's flags.

    Raises:
        InputError: the study is given by another value than a text or path.
    """
    if not isinstance(study, str | os.PathLike):
        raise InputError(f"a study must be given by its name or its file, got {shown(study)}")
    return argparse.Namespace(study=os.fspath(study), output=asked.output, storage=asked.storage, data_dir=asked.data_dir)
