"""Recorded learning curves: a file of JSON lines for each study. The first line is the header, each other line is a config."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from optuna.distributions import BaseDistribution, distribution_to_json, json_to_distribution
from pydantic import BaseModel

from hpo.runtime.typed_files import Stored
from hpo.study.definition import differences
from hpo.study.workspace import Workspace
from trainers.errors import InputError, first_line
from trainers.files import check_regular, write_text
from trainers.text import shown
from trainers.validation import SETTINGS, checked

SUFFIX = ".jsonl"
CONFIGS = 40  # of each study
EVERYBODY = 0  # as the size of a sample: all users


class Short(BaseModel):
    """A config that was trained for fewer epochs, with a rate that falls to 0 over them, and evaluated once.

    Attributes:
        value: the objective on all users after the last epoch.
        train_seconds: of all epochs.
        rank_seconds: of the evaluation, see `Curve`.
    """

    model_config = SETTINGS | {"frozen": True}
    value: float
    train_seconds: float
    rank_seconds: float


class Curve(BaseModel):
    """A config that was trained to the end and evaluated after every epoch.

    Attributes:
        trial: the number in the study that proposed the config.
        config: the config as plain data.
        values: the objective after each epoch, by the size of the sample of users; EVERYBODY for all users.
        train_seconds, fetch_seconds, rank_seconds: processor time of each epoch: for training, for fetching all vectors, and
            for ranking for all users. An evaluation of fewer users fetches as much and ranks less.
        short: runs of fewer epochs, by their number of epochs.
        failure: the reason why there is no curve.
    """

    model_config = SETTINGS | {"frozen": True}
    trial: int
    params: dict[str, Any]
    config: dict[str, Any]
    values: dict[int, list[float]] = {}
    train_seconds: list[float] = []
    fetch_seconds: list[float] = []
    rank_seconds: list[float] = []
    short: dict[int, Short] = {}
    failure: str | None = None

    @property
    def final(self) -> float:
        """The objective on all users after the last epoch."""
        return self.values[EVERYBODY][-1]


class Header(Stored):
    """The identity of a recording. Curves with another header do not belong to it.

    Attributes:
        dataset, space: the names of the data and of the space.
        data: checksums of all training data and of their two parts, and the rule by which validation is held out.
        config: all fixed settings of the configs.
        boxes: the ranges of the space, as Optuna writes them.
        startup: the number of random configs before TPE proposes.
        users: the number of users with a held-out item.
        samples: the sizes of the samples of users that were measured, too.
    """

    FORMAT: ClassVar[int] = 1
    study: str
    dataset: str
    space: str
    objective: str
    epochs: int
    seed: int
    data: dict[str, Any]
    config: dict[str, Any]
    boxes: dict[str, str]
    startup: int
    users: int
    samples: list[int]

    @classmethod
    def of(cls, work: Workspace, startup: int, users: int, samples: list[int]) -> Header:
        """The header of a new recording."""
        spec, definition = work.spec, work.definition()
        parts = {"checksum": definition.checksum, "seen": definition.seen, "held_out": definition.held_out}
        return cls(
            study=spec.name,
            dataset=definition.dataset,
            space=spec.space.name,
            objective=spec.objective,
            epochs=spec.search.epochs,
            seed=spec.search.seed,
            data={**parts, "validation": definition.validation},
            config=definition.config,
            boxes={name: distribution_to_json(box) for name, box in spec.space.boxes().items()},
            startup=startup,
            users=users,
            samples=samples,
        )

    def differs(self, other: Header) -> str:
        """The differences to another header, in words; empty if there are none."""
        return "; ".join(f"{one.key} was {shown(one.before)}, now {shown(one.after)}" for one in differences(self, other))

    def distributions(self) -> dict[str, BaseDistribution]:
        """The ranges as objects of Optuna."""
        return {name: json_to_distribution(text) for name, text in self.boxes.items()}


@dataclass(frozen=True)
class Recording:
    """The curves of a study."""

    header: Header
    curves: list[Curve]

    @property
    def label(self) -> str:
        """Data and loss: the name in the tables."""
        return f"{self.header.dataset} {self.header.space}"

    @property
    def complete(self) -> list[Curve]:
        """The curves of the configs that did not fail."""
        return [curve for curve in self.curves if curve.failure is None]

    @classmethod
    def read(cls, path: Path) -> Recording:
        """A recording that `write` wrote.

        Raises:
            InputError: there is no such file, or it has another format or content.
        """
        remedy = "record it again"
        try:
            check_regular(path)
            first, *others = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        except OSError as error:
            raise InputError(f"{path}: cannot be read: {error.strerror}; {remedy}") from None
        except ValueError as error:
            raise InputError(f"{path}: is no recording: {first_line(error)}; {remedy}") from None
        header = Header.from_dict(first, str(path), remedy)
        curves = [checked(Curve, _numbered(other), f"{path}: line {line}") for line, other in enumerate(others, start=2)]
        for line, curve in enumerate(curves, start=2):
            if curve.trial != line - 2:
                raise InputError(f"{path}: line {line} must have trial {line - 2}, got {shown(curve.trial)}; {remedy}")
        return cls(header, curves)

    def write(self, path: Path) -> None:
        """Write the whole file. A reader sees either the old or the new content.

        Raises:
            InputError: the file cannot be written.
        """
        lines = [self.header.to_dict(), *(curve.model_dump(mode="json", exclude_defaults=True) for curve in self.curves)]
        write_text(path, "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def _numbered(content: object) -> object:
    """The same content, with numbers as keys. JSON has text as keys."""
    if not isinstance(content, dict):
        return content
    tables = {key: content[key] for key in ("values", "short") if isinstance(content.get(key), dict)}
    whole = {
        key: {int(name) if name.isdigit() else name: value for name, value in table.items()} for key, table in tables.items()
    }
    return {**content, **whole}


def read_all(folder: Path, names: Sequence[str], fewest: int = CONFIGS) -> tuple[list[Recording], list[str]]:
    """The recordings of a folder: the named ones that have a curve, or all with at least `fewest` configs.

    Returns:
        The recordings, and in words the ones that were left out.

    Raises:
        InputError: there is no recording, or one cannot be read.
    """
    paths = [folder / f"{name}{SUFFIX}" for name in names] or sorted(folder.glob(f"*{SUFFIX}"))
    found = [Recording.read(path) for path in paths]
    chosen = [one for one in found if one.complete and (names or len(one.curves) >= fewest)]
    if not chosen:
        raise InputError(f"{folder} has no recordings of {fewest} configs; make them with `python -m benchmarks.replay record`")
    left_out = [f"{one.header.study} ({len(one.curves)} configs)" for one in found if one not in chosen]
    return chosen, left_out
