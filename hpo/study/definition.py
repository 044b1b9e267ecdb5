"""What may not change in a study, and how a study stands in a storage: created, or continued by the same definition."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self
from uuid import uuid4

import optuna
from optuna.exceptions import ExperimentalWarning
from optuna.storages import BaseStorage

from hpo.runtime.typed_files import Stored
from hpo.study.spec import StudySpec
from search_spaces.own import OwnLossRecord, code_changed, recorded, restore
from trainers.config import dotted
from trainers.data.options import ValidationSplit
from trainers.errors import InputError
from trainers.losses.own import code_of
from trainers.text import shown
from trainers.validation import checked

# Names of the attributes that a study carries.
DEFINITION = "definition"
SPEC = "spec"  # a `StoredStudy`
STUDY_ID = "study id"  # tells studies of one name apart, wherever they are stored
NAMED = "named"  # how a study was named when it was made; of a copy that is the original's name

REMEDY = "restore the storage from a copy, or delete the study"

# What may change from one run of a study to the next; all else in a study's file belongs to its definition.
MAY_CHANGE = ("name", "rivals", "confirm", "search.trials")


@dataclass(frozen=True)
class SplitData:
    """The data of a study as they were split, by checksums; see `Definition`."""

    checksum: str
    validation: ValidationSplit
    seen: str
    held_out: str


class Definition(Stored):
    """What may not change while a study exists. Two studies are searched alike when `differences` finds none.

    Attributes:
        dataset: what the data are called, wherever they lie.
        data: the options with which the data were read; what was left out is not there.
        checksum: of the training data, whatever their order.
        validation: how validation is held out.
        seen, held_out: checksums of its two parts, which show the order of the data, too.
        space: the settings of the space; `also` sorted, since its order means nothing, and `ranges` of all that is searched.
        config: the fixed settings of its configs, each field written out.
        objective: the metric that trials are valued by.
        search: epochs of a trial, when they are evaluated, the seed, sampler and pruner.
        engine: the family of the engine that searches.
        code: digest of the code of a loss of the user's own; None for a loss of this program.
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

    @property
    def split_data(self) -> SplitData:
        """The data as they were split."""
        return SplitData(self.checksum, checked(ValidationSplit, self.validation, "validation"), self.seen, self.held_out)


class StoredStudy(Stored):
    """A study as its storage holds it; its rivals are those that its file named when it was last run, none
    where it was last searched as another study's rival; its losses of the user's own, and those of the rivals."""

    FORMAT: ClassVar[int] = 2
    spec: StudySpec
    rivals: tuple[StudySpec, ...]
    losses: tuple[OwnLossRecord, ...] = ()

    @classmethod
    def of(cls, spec: StudySpec, rivals: Sequence[StudySpec]) -> StoredStudy:
        """A study as it is to be stored."""
        return cls(spec=spec, rivals=tuple(rivals), losses=recorded(each.space.loss_name for each in (spec, *rivals)))

    @classmethod
    def from_dict(cls, content: object, where: str, remedy: str) -> Self:
        """What `to_dict` gave; losses of the user's own are imported first, since nothing of the study can be read without.

        Raises:
            InputError: as for all that is stored; a loss that cannot be imported.
        """
        losses = content.get("losses") if isinstance(content, Mapping) else None
        restore(losses, where, remedy)
        return super().from_dict(content, where, remedy)


@dataclass(frozen=True)
class Difference:
    """A key of two definitions, dotted, and its two values; None where it is missing."""

    key: str
    before: Any
    after: Any

    def __str__(self) -> str:
        return f"{self.key}: was {shown(self.before)}, now {shown(self.after)}"


def definition_of(spec: StudySpec, data: SplitData, engine: str) -> Definition:
    """The definition of a study on data that were split in this way, searched by this engine."""
    fixed = spec.model_dump(mode="json", exclude=_nested(MAY_CHANGE))
    fixed["data"] = spec.data.model_dump(mode="json", exclude_defaults=True)
    fixed["validation"] = data.validation.model_dump(mode="json")
    checksums = {"checksum": data.checksum, "seen": data.seen, "held_out": data.held_out}
    fixed["dataset"] = spec.data_name
    fixed["space"] |= {"also": sorted(spec.space.also), "ranges": spec.space.resolved_ranges()}
    fixed["search"]["evaluation"] = spec.search.evaluation
    fixed["config"] = {key: value for key, value in spec.fixed.to_dict().items() if key not in ("loss", "epochs", "seed")}
    return Definition(**fixed, **checksums, engine=engine, code=code_of(spec.space.loss_name) or None)


def order_differs(before: Definition, after: Definition) -> bool:
    """Whether the pairs of two definitions are the same, and their order is not: then `last` holds out others."""
    return (before.checksum, before.validation) == (after.checksum, after.validation) and (before.seen, before.held_out) != (
        after.seen,
        after.held_out,
    )


def check_code(before: Definition, now: Definition, what: str, remedy: str) -> None:
    """Whether a loss of the user's own has in a study the code that it has here.

    Args:
        what: of the study, as the message begins.
        remedy: beside restoring the code.

    Raises:
        InputError: it has changed.
    """
    if before.code and now.code and before.code != now.code:
        raise InputError(f"{what} {code_changed(str(now.space['name']), before.code, now.code)}, {remedy}")


def _nested(keys: Sequence[str]) -> dict[str, Any]:
    """Dotted keys as pydantic takes what to exclude."""
    found: dict[str, Any] = {}
    for key in keys:
        group, _, inner = key.partition(".")
        if inner:
            found.setdefault(group, {})[inner] = True
        else:
            found[group] = True
    return found


def differences(before: Stored, after: Stored, leaving_out: Sequence[str] = ()) -> list[Difference]:
    """Where two definitions, or two records of another kind, differ, by the keys of both; none where they are the same."""
    old, new = (dotted(definition.model_dump(mode="json")) for definition in (before, after))
    keys = [key for key in sorted(old.keys() | new.keys()) if key.split(".")[0] not in leaving_out]
    return [Difference(key, old.get(key), new.get(key)) for key in keys if old.get(key) != new.get(key)]


def stored_definition(name: str, attributes: Mapping[str, Any]) -> Definition:
    """The definition among a study's attributes.

    Raises:
        InputError: there is none, or it is of another format, or damaged.
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
) -> optuna.Study:
    """Create the study, or continue it if it was defined in the same way.

    Args:
        rename: how the user gives the study another name.

    Raises:
        InputError: a study of that name exists with another definition; the message gives the differences.
    """
    study = optuna.create_study(
        study_name=name, storage=storage, sampler=sampler, pruner=pruner, direction="maximize", load_if_exists=True
    )
    is_new = not study.get_trials(deepcopy=False)  # read first: whoever made it meanwhile has defined it before its first trial
    if DEFINITION not in study.user_attrs and is_new:
        name_metrics(study, [definition.objective])
        study.set_user_attr(NAMED, name)
        study.set_user_attr(STUDY_ID, uuid4().hex)
        study.set_user_attr(DEFINITION, definition.to_dict())
        return study
    remove = f"remove the old one with `python -m hpo.studies delete {name}` and the --output and --storage of this command"
    if DEFINITION not in study.user_attrs:
        raise InputError(f"study {name!r} exists and was not made by this program; {rename}, or {remove}")
    stored = Definition.from_dict(study.user_attrs[DEFINITION], f"study {name!r}", f"{rename}, or {remove}")
    if found := differences(stored, definition):
        if order_differs(stored, definition):
            raise InputError(
                f"study {name!r} exists, and was searched on data of another order: the same pairs, but others are the last of "
                f"their users; restore the files, or {rename}, or {remove}"
            )
        check_code(stored, definition, f"study {name!r} exists, and", f"or {rename}, or {remove}")
        others = [difference for difference in found if difference.key != "engine"]
        go_on = "" if others else f"--engine {stored.engine} continues it; else "
        shown = "; ".join(map(str, found))
        raise InputError(f"study {name!r} exists with another definition ({shown}); {go_on}{rename}, or {remove}")
    return study


def name_metrics(study: optuna.Study, names: Sequence[str]) -> None:
    """Note what a study's values are called, without Optuna's warning that this is experimental."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        study.set_metric_names([*names])
