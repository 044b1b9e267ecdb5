"""Study files: YAML -> a checked `StudySpec`. Only flags that the user gives override the file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    BaseModel,
    Field,
    PlainSerializer,
    ValidatorFunctionWrapHandler,
    WithJsonSchema,
    WrapValidator,
    field_validator,
    model_validator,
)

from hpo.study.attributes import TAKEN
from hpo.study.names import check_name, is_yaml, repeat_name
from hpo.study.objective import DEFAULT_OBJECTIVE, Objective, measured
from hpo.study.plan import FROZEN, MAX_SEARCH_SEED, SEEDS_OF_A_SEARCH, ConfirmPlan, SearchPlan
from search_spaces import SPACES, Space
from search_spaces.baselines import BASELINE_RANGES
from trainers.config import REGISTERED, TrainConfig
from trainers.data.options import DataOptions, ValidationSplit
from trainers.data.sources import NAMES
from trainers.errors import InputError, unknown
from trainers.losses import Loss
from trainers.published import USUAL, published_loss, settings_of
from trainers.text import has_controls, shown
from trainers.validation import Place, checked, choice
from trainers.yaml_files import read_yaml, to_yaml

MAX_RIVALS = 100
ALL = "all"


def _all_or_list(value: object, as_list: ValidatorFunctionWrapHandler) -> object:
    if value == ALL:
        return ALL
    if not isinstance(value, list | tuple):
        raise ValueError(f"must be a list or all, got {shown(value)}")
    return as_list(value)


if TYPE_CHECKING:
    from typing import TypeAlias

    AnySpace: TypeAlias = Space
    Rivals: TypeAlias = tuple[str, ...] | Literal["all"]
else:
    AnySpace = choice("space", SPACES, REGISTERED)
    Rivals = Annotated[
        tuple[Place, ...],
        Field(max_length=MAX_RIVALS),
        WrapValidator(_all_or_list),
        PlainSerializer(lambda value: value),
        WithJsonSchema({"anyOf": [{"const": ALL}, {"type": "array"}]}),
    ]
DEFAULT_BASELINES = ("most_popular", "rp3beta", "ials", "ease")


class StudySpec(BaseModel):
    """A study: dataset, search space, fixed settings, search plan, confirm plan, rivals, baselines.

    Attributes:
        dataset: the name of a public dataset, or the path of a file or folder.
        space: the loss that is searched, and the ranges of its parameters.
        config: the settings that all trials share.
        objective: the metric for pruning, choosing and the verdict: `ndcg`, `recall`, `hit`, `precision`, `map` or `mrr` at any
            cut-off.
        data: how the user's own data are read, filtered and split.
        validation: how validation is held out; by default in the way that suits the data.
        search: how long and how to search.
        confirm: how the best configs are retrained and compared.
        rivals: the studies to compare with: names of spaces (this study with another loss), of shipped studies, or files; or
            `all`, every other loss that goes with the study's score and negatives.
        baselines: the methods without gradient descent to compare with: `most_popular`, `item_knn`, `rp3beta`, `ials`, `ease`.
            Their settings are tuned on validation.
    """

    model_config = FROZEN
    name: str
    dataset: Place
    space: AnySpace
    config: dict[str, Any] = {}
    objective: Objective = DEFAULT_OBJECTIVE
    data: DataOptions = DataOptions()
    validation: ValidationSplit | None = None
    search: SearchPlan = SearchPlan()
    confirm: ConfirmPlan = ConfirmPlan()
    rivals: Rivals = ()
    baselines: tuple[str, ...] = DEFAULT_BASELINES

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return check_name(name)

    @field_validator("baselines")
    @classmethod
    def _check_baselines(cls, baselines: tuple[str, ...]) -> tuple[str, ...]:
        for name in baselines:
            if name not in BASELINE_RANGES:
                raise ValueError(unknown("baseline", name, BASELINE_RANGES))
            if baselines.count(name) > 1:
                raise ValueError(f"each baseline may occur once, and {name} is repeated; remove one of them")
        return baselines

    @model_validator(mode="after")
    def _check_config(self) -> StudySpec:
        decided_elsewhere = {"loss": "space", "epochs": "search.epochs", "seed": "search.seed"}
        for key in self.config:
            if key in decided_elsewhere:
                raise ValueError(f"config.{key} is decided by {decided_elsewhere[key]}; remove it from config")
        if taken := sorted(TAKEN & vars(self.space.loss(self.space.corner())).keys()):
            raise ValueError(
                f"loss {self.space.loss_name} has a field {taken[0]}, and every trial stores something else under that name; "
                f"give the field another name, such as own_{taken[0]}"
            )
        for highest in (False, True):
            self.space.config(self.space.corner(highest), self.fields(1, 0))
        return self

    @model_validator(mode="after")
    def _check_seeds_of_repeats(self) -> StudySpec:
        highest = MAX_SEARCH_SEED - SEEDS_OF_A_SEARCH * (self.confirm.searches - 1)
        if self.search.seed > highest:
            raise ValueError(
                f"search.seed: must be at most {highest} with {self.confirm.searches} in confirm.searches, since each repeat "
                f"adds {SEEDS_OF_A_SEARCH}, got {self.search.seed}"
            )
        return self

    def fields(self, epochs: int, seed: int) -> dict[str, Any]:
        """The fields of a TrainConfig that the space does not decide."""
        return {**self.config, "epochs": epochs, "seed": seed}

    def train_config(self, loss: Loss, epochs: int, seed: int) -> TrainConfig:
        """A config of this study with a given loss."""
        return TrainConfig.from_dict({**self.fields(epochs, seed), "loss": loss})

    @property
    def data_name(self) -> str:
        """The name of the data, without their location."""
        return self.dataset if self.dataset in NAMES else Path(self.dataset).name

    @property
    def measured(self) -> tuple[str, str]:
        """The metrics of the search: the objective and the secondary metric."""
        return measured(self.objective)

    @property
    def probe(self) -> TrainConfig:
        """A config of one epoch from the space, for settings that all its configs share."""
        return self.space.config(self.space.corner(), self.fields(1, 0))

    @property
    def fixed(self) -> TrainConfig:
        """The config of the study file with a loss from the space; searched settings have the file's values."""
        return self.train_config(self.space.loss(self.space.corner()), self.search.epochs, self.search.seed)

    @property
    def model(self) -> tuple[str, str]:
        """The names of the encoder and of the negatives; a loss that needs none counts as one with the usual ones."""
        probe = self.probe
        return probe.encoder.name, probe.negatives.name if probe.loss.needs_negatives else USUAL[1]

    def published(self, epochs: int, seed: int) -> tuple[TrainConfig, str] | None:
        """The published settings of the space's loss with this study's fixed settings, and a label.

        The label is `published settings`. It names the data or model that they are for, if no paper has settings for this data,
        encoder and negatives. None if no paper has settings for the loss.
        """
        found = published_loss(self.space.loss_name, self.dataset, *self.model)
        if found is None:
            return None
        loss, elsewhere = found
        return self.train_config(loss, epochs, seed), settings_of(elsewhere)

    def published_label(self, config: TrainConfig) -> str | None:
        """The label of the published settings, if a config has these; else None."""
        found = self.published(config.epochs, config.seed)
        return found[1] if found is not None and found[0] == config else None

    @property
    def is_league(self) -> bool:
        """Whether confirm makes a league, see `ConfirmPlan`."""
        return self.rivals == ALL if self.confirm.league is None else self.confirm.league

    def with_space(self, name: str) -> StudySpec:
        """This study with another space, named after both. The space contains the published settings if its kind can."""

        def study(loss: Loss | None) -> StudySpec:
            space = SPACES[name].to_hold(name, loss, self.space)
            own = {"name": f"{self.name}_{name}", "space": space, "rivals": ()}
            return checked(StudySpec, self.model_dump() | own, f"rival {name} of study {self.name}")

        published = published_loss(study(None).space.loss_name, self.dataset, *self.model)
        return study(published[0]) if published else study(None)

    def with_budget_of(self, other: StudySpec) -> StudySpec:
        """This study with the objective, search plan and validation split of `other`, and with its extra parameters in the same
        ranges. A loss without parameters has its learning rate searched.
        """
        content = self.model_dump()
        content |= {"search": other.search.model_dump(), "objective": other.objective}
        content["validation"] = other.model_dump()["validation"]
        content["space"] |= self.space.like(other.space)
        return checked(StudySpec, content, f"study {self.name}")

    def repeat(self, number: int) -> StudySpec:
        """The study of a repeated search, `NAME-search2` for number 2: another name, other seeds, one search. Number 1 is this
        study.

        Raises:
            InputError: its name would be too long, or its seed too high.
        """
        if number == 1:
            return self
        seed = self.search.seed + (number - 1) * SEEDS_OF_A_SEARCH
        return self.override({"name": repeat_name(self.name, number), "search.seed": seed, "confirm.searches": 1})

    def repeats(self, count: int) -> list[StudySpec]:
        """The studies of `count` searches, this one first; raises what `repeat` does."""
        return [self.repeat(number) for number in range(1, count + 1)]

    def as_file(self) -> str:
        """The YAML text of a study file. The study is named by its file."""
        return to_yaml(self.model_dump(mode="json", exclude={"name"}))

    def override(self, changes: Mapping[str, Any]) -> StudySpec:
        """A checked copy with dotted keys changed, e.g. `{"search.trials": 20}`; values of None are ignored."""
        content = self.model_dump()
        for key, value in changes.items():
            if value is not None:
                *groups, last = key.split(".")
                target = content
                for group in groups:
                    target = target[group]
                target[last] = value
        return checked(StudySpec, content, f"study {self.name}")


def shipped_studies() -> list[str]:
    """The names of the studies that come with this program."""
    return sorted(entry.name.removesuffix(".yaml") for entry in resources.files("studies").iterdir() if is_yaml(entry.name))


def load_spec(study: str, name: str | None = None) -> StudySpec:
    """The study with a shipped name, or of a file.

    Args:
        name: another name to store it under.

    Raises:
        InputError: an unknown name (the message suggests the nearest one), a file that is missing or broken, unknown or invalid
            keys.
    """
    if is_study_file(study):
        path = Path(study)
        return _from_file(path, path.stem if name is None else name, where=study)
    if study not in shipped_studies():
        raise InputError(f"{unknown('study', study, shipped_studies())}; give a file of your own by its path, NAME.yaml")
    with resources.as_file(resources.files("studies") / f"{study}.yaml") as path:
        return _from_file(path, study if name is None else name, where=f"study {study}")


def _from_file(path: Path, name: str, where: str) -> StudySpec:
    content = read_yaml(path, if_empty="write one with python -m hpo.studies new DATA")
    if "name" in content:
        raise InputError(f"{where}: unknown key 'name'; name the study by its file, or by --study-name")
    rivals = content.get("rivals")
    if isinstance(rivals, list):  # paths of rivals are relative to the study file
        content["rivals"] = [_beside(path, rival) if is_study_file(str(rival)) else rival for rival in rivals]
    dataset = content.get("dataset")
    if dataset not in NAMES and isinstance(found := _beside(path, dataset), str) and os.path.exists(found):  # as are data
        content["dataset"] = found
    spec = checked(StudySpec, {**content, "name": name}, where)
    spec.search.check_effects(where)
    return spec


def _beside(path: Path, name: object) -> object:
    """A path relative to the file `path`, made absolute; other values unchanged."""
    return str((path.parent / name).resolve()) if isinstance(name, str) and not has_controls(name) else name


def is_study_file(study: str) -> bool:
    """Whether a study is given by the path of its file."""
    return is_yaml(study) or "/" in study
