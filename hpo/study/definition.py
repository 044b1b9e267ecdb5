"""The definition of a study, which may not change; and how a study is created or continued in a storage."""

from __future__ import annotations

import time
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self
from uuid import uuid4

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage
from optuna.study import StudySummary
from pydantic import BaseModel, Field

from hpo.runtime.typed_files import Stored
from hpo.study.spec import StudySpec
from search_spaces.own import OwnLossRecord, code_changed, recorded, restore
from trainers.config import dotted
from trainers.data.options import ValidationSplit
from trainers.engines.cache_versions import cache_version
from trainers.errors import InputError
from trainers.losses.own import code_of
from trainers.text import shown
from trainers.validation import checked

# Names of the attributes of a study.
DEFINITION = "definition"
SPEC = "spec"  # a `StoredStudy`
STUDY_ID = "study id"  # tells studies of the same name apart, in any storage
NAMED = "named"  # the name at creation; a copy of a study has the name of the original here

SECONDS_FOR_DEFINITION = 5.0  # a process writes it right after it has created the study

REMEDY = "restore the storage from a copy, or delete the study"

CHECKSUMS = ("checksum", "seen", "held_out")  # keys of a definition
OF_CODE = ("code", "numbers_version", "search.evaluation.sample")  # keys that change with the code, and not with a study file

# Keys of a study file that may change between runs; all other keys belong to the definition.
MAY_CHANGE = ("name", "rivals", "baselines", "confirm", "search.trials")


@dataclass(frozen=True)
class SplitData:
    """Checksums of a study's data and of its validation split; see `Definition`."""

    checksum: str
    validation: ValidationSplit
    seen: str
    held_out: str


class Definition(Stored):
    """The parts of a study that may not change. Two studies are searched in the same way if `differences` finds none.

    Attributes:
        dataset: the name of the data, without their location.
        data: the options with which the data were read; defaults are left out.
        checksum: checksum of the training data, independent of their order.
        validation: how validation is held out.
        seen, held_out: checksums of the two parts of the split, which depend on the order of the data if the split does.
        space: the settings of the space, with the ranges of all searched parameters.
        config: all fixed settings of the configs.
        objective: the metric that is maximised.
        search: epochs of a trial, epochs of evaluation, seed, sampler and pruner.
        engine: the name of the engine that searches.
        code: digest of the code of a user's own loss; None for a loss of this program.
        numbers_version: the version of the numbers that the engine computes with the loss, see
            `trainers.engines.cache_versions`; None if it was not recorded.
    """

    FORMAT: ClassVar[int] = 3
    dataset: str
    data: dict[str, Any]
    checksum: str
    validation: dict[str, Any]
    seen: str
    held_out: str
    space: dict[str, Any]
    config: dict[str, Any]
    objective: str
    search: dict[str, Any]
    engine: str
    code: str | None = None
    numbers_version: int | None = None

    @property
    def split_data(self) -> SplitData:
        """The checksums of the data and the validation split."""
        return SplitData(self.checksum, checked(ValidationSplit, self.validation, "validation"), self.seen, self.held_out)


class StoredStudy(Stored):
    """A study as it is stored.

    Attributes:
        rivals: the rivals in its file when it was last run; none if it was last searched as a rival.
        losses: the user's own losses among those of the study and its rivals.
        left_out: by loss the reason why `rivals: all` left it out when the study was last run.
    """

    FORMAT: ClassVar[int] = 2
    spec: StudySpec
    rivals: tuple[StudySpec, ...]
    losses: tuple[OwnLossRecord, ...] = ()
    left_out: dict[str, str] = Field(default_factory=dict)

    @classmethod
    def of(cls, spec: StudySpec, rivals: Sequence[StudySpec], left_out: Mapping[str, str]) -> StoredStudy:
        """The record of a study and its rivals."""
        losses = recorded(each.space.loss_name for each in (spec, *rivals))
        return cls(spec=spec, rivals=tuple(rivals), losses=losses, left_out=dict(left_out))

    @classmethod
    def from_dict(cls, content: object, where: str, remedy: str) -> Self:
        """The study in the result of `to_dict`. A user's own losses are imported first: the study cannot be read without.

        Raises:
            InputError: as for `Stored.from_dict`; a loss that cannot be imported.
        """
        losses = content.get("losses") if isinstance(content, Mapping) else None
        restore(losses, where, remedy)
        return super().from_dict(content, where, remedy)


@dataclass(frozen=True)
class Difference:
    """A dotted key and its values in two definitions; None if it is missing."""

    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.key}: was {shown(self.before)}, now {shown(self.after)}"


def definition_of(spec: StudySpec, data: SplitData, engine: str) -> Definition:
    """The definition of a study with these data, searched by this engine."""
    fixed = spec.model_dump(mode="json", exclude=_nested(MAY_CHANGE))
    fixed["data"] = spec.data.model_dump(mode="json", exclude_defaults=True)
    fixed["validation"] = data.validation.model_dump(mode="json")
    checksums = {"checksum": data.checksum, "seen": data.seen, "held_out": data.held_out}
    fixed["dataset"] = spec.data_name
    fixed["space"] |= {"ranges": spec.space.resolved_ranges()}
    fixed["search"]["evaluation"] = spec.search.evaluation
    fixed["config"] = {key: value for key, value in spec.fixed.to_dict().items() if key not in ("loss", "epochs", "seed")}
    loss = spec.space.loss_name
    version = cache_version(engine, loss, spec.fixed.negatives.name)
    return Definition(**fixed, **checksums, engine=engine, code=code_of(loss) or None, numbers_version=version)


def order_differs(before: Definition, after: Definition) -> bool:
    """Whether two definitions have the same pairs in another order, so that the split `last` holds out other pairs."""
    alike = (before.checksum, before.validation) == (after.checksum, after.validation)
    return alike and before.seen != after.seen


def check_code(before: Definition, now: Definition, what: str, remedy: str) -> None:
    """Check that a user's own loss has the code that the study was searched with.

    Args:
        what: the start of the message.
        remedy: an alternative to restoring the code.

    Raises:
        InputError: the code has changed.
    """
    if before.code and now.code and before.code != now.code:
        raise InputError(f"{what} {code_changed(str(now.space['name']), before.code, now.code)}, {remedy}")


def _nested(keys: Sequence[str]) -> dict[str, Any]:
    """Dotted keys in the form of pydantic's `exclude`."""
    found: dict[str, Any] = {}
    for key in keys:
        group, _, inner = key.partition(".")
        if inner:
            found.setdefault(group, {})[inner] = True
        else:
            found[group] = True
    return found


def differences(before: BaseModel, after: BaseModel, leaving_out: Sequence[str] = ()) -> list[Difference]:
    """The differences between two definitions, or between two records of another kind. A version that was not recorded is no
    difference.

    Args:
        leaving_out: dotted keys, or the first parts of dotted keys.
    """
    old, new = (dotted(definition.model_dump(mode="json")) for definition in (before, after))
    unknown = ["numbers_version"] if old.get("numbers_version") is None else []
    keys = [key for key in sorted(old.keys() | new.keys()) if not {key, key.split(".")[0]} & {*leaving_out, *unknown}]
    return [Difference(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def differences_said(found: Sequence[Difference]) -> str:
    """The differences between two definitions in words. Checksums say nothing to a reader: they are left out if a key explains
    them, and else are one phrase."""
    changed = {each.key.partition(".")[0] for each in found}
    explained = CHECKSUMS if changed & {"dataset", "data"} else ("seen", "held_out") if "validation" in changed else ()
    said = [str(each) for each in found if each.key not in CHECKSUMS]
    others = ["the training or validation pairs have changed"] if changed.intersection(CHECKSUMS) - {*explained} else []
    return "; ".join(said + others)


def only_engine_differs(found: Sequence[Difference]) -> bool:
    """Whether another engine is all that differs, with the version of its numbers."""
    return {"engine"} <= {each.key for each in found} <= {"engine", "numbers_version"}


def stored_definition(name: str, attributes: Mapping[str, Any]) -> Definition:
    """The definition in a study's attributes.

    Raises:
        InputError: there is none, it has another format, or it is damaged.
    """
    where = f"study {name!r}"
    if not isinstance(attributes.get(DEFINITION), dict):
        raise InputError(f"{where} is damaged: it has no definition; {REMEDY}")
    return Definition.from_dict(attributes[DEFINITION], where, REMEDY)


def open_study(
    storage: BaseStorage,
    name: str,
    definition: Definition,
    sampler: optuna.samplers.BaseSampler,
    pruner: optuna.pruners.BasePruner,
    rename: str = "give this one another name with --study-name",
    where: str = "",
) -> optuna.Study:
    """Create the study, or continue it if it has the same definition.

    Args:
        rename: how the user can give the study another name, for messages.
        where: the flags by which another command finds the study, each after a space, for messages.

    Raises:
        InputError: a study of that name exists with another definition; the message gives the differences.
    """
    kept: dict[str, Any] = {"study_name": name, "storage": storage, "sampler": sampler, "pruner": pruner}
    try:
        study = optuna.create_study(**kept, direction="maximize")
    except optuna.exceptions.DuplicatedStudyError:
        study = optuna.load_study(**kept)
        _await_definition(study)
    is_new = not study.get_trials(deepcopy=False)  # read before the definition, which other processes write before any trial
    if DEFINITION not in study.user_attrs and is_new:
        name_metrics(study, [definition.objective])
        study.set_user_attr(NAMED, name)
        study.set_user_attr(STUDY_ID, uuid4().hex)
        study.set_user_attr(DEFINITION, definition.to_dict())
        return study
    check_same(study, definition, rename, where)
    return study


def check_same(study: optuna.Study | StudySummary, definition: Definition, rename: str, where: str) -> None:
    """Check that a stored study has this definition.

    Args:
        rename, where: see `open_study`.

    Raises:
        InputError: it has another definition or none; the message gives the differences.
    """
    name = study.study_name
    remove = f"remove the old one with `python -m hpo.studies delete {name}{where}`"
    if DEFINITION not in study.user_attrs:
        raise InputError(f"study {name!r} exists and was not made by this program; {rename}, or {remove}")
    stored = Definition.from_dict(study.user_attrs[DEFINITION], f"study {name!r}", f"{rename}, or {remove}")
    found = differences(stored, definition)
    if not found:
        return
    if order_differs(stored, definition):
        raise InputError(
            f"study {name!r} exists, and was searched on the same pairs in another order, so that other pairs are the last "
            f"of their users; restore the files, or {rename}, or {remove}"
        )
    check_code(stored, definition, f"study {name!r} exists, and", f"or {rename}, or {remove}")
    go_on = f"continue it with --engine {stored.engine}, or " if only_engine_differs(found) else ""
    raise InputError(f"study {name!r} exists with another definition ({differences_said(found)}); {go_on}{rename}, or {remove}")


def _await_definition(study: optuna.Study) -> None:
    """Wait a little if another process has created the study and not yet written its definition. That process may have died."""
    patience = time.monotonic() + SECONDS_FOR_DEFINITION
    while DEFINITION not in study.user_attrs and not study.get_trials(deepcopy=False) and time.monotonic() < patience:
        time.sleep(0.05)


def name_metrics(study: optuna.Study, names: Sequence[str]) -> None:
    """Set the names of a study's metrics, without Optuna's warning that this is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([*names])
