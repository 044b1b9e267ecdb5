"""Recorded learning curves: a file of JSON lines for each study. The first line says of what, each other is a config."""

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
CONFIGS = 40  # of a study
EVERYBODY = 0  # in place of a sample's size: all users


class Short(BaseModel):
    """A config trained for fewer epochs, to a rate of 0 over these, and evaluated once.

    Attributes:
        value: the objective after its last epoch, all users.
        train_seconds: of all its epochs.
        rank_seconds: of its evaluation, see `Curve`.
    """

    model_config = SETTINGS | {"frozen": True}
    value: float
    train_seconds: float
    rank_seconds: float


class Curve(BaseModel):
    """A config trained to its end, evaluated after every epoch.

    Attributes:
        trial: its number in the study that proposed it.
        config: as it was trained, plain data.
        values: the objective after each epoch, by the number of users that it was measured on; EVERYBODY is all of them.
        train_seconds, fetch_seconds, rank_seconds: processor time of each epoch: of training, of fetching all vectors, and of
            ranking for all users. An evaluation of fewer users fetches as much and ranks less.
        short: runs of fewer epochs, by their number.
        failure: why there is no curve.
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
        """The objective after the last epoch, all users."""
        return self.values[EVERYBODY][-1]


class Header(Stored):
    """What was recorded; curves of another header do not belong to it.

    Attributes:
        dataset, space: what the data and the space are called.
        data: checksums of all training data and of their two parts, and how validation is held out.
        config: the fixed settings of the configs, each field written out.
        boxes: the space, each box as Optuna writes it.
        startup: configs drawn at random before TPE proposes.
        users: with a held-out item.
        samples: numbers of users whose mean was taken, too.
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
        """Of a study that is recorded now."""
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
        """Where another header is different, in words; empty where it is not."""
        return "; ".join(f"{one.key} was {shown(one.before)}, now {shown(one.after)}" for one in differences(self, other))

    def distributions(self) -> dict[str, BaseDistribution]:
        """The boxes."""
        return {name: json_to_distribution(text) for name, text in self.boxes.items()}


@dataclass(frozen=True)
class Recording:
    """A group of curves: one study's."""

    header: Header
    curves: list[Curve]

    @property
    def label(self) -> str:
        """Data and loss, as tables call the group."""
        return f"{self.header.dataset} {self.header.space}"

    @property
    def complete(self) -> list[Curve]:
        """The curves of the configs that did not fail."""
        return [curve for curve in self.curves if curve.failure is None]

    @classmethod
    def read(cls, path: Path) -> Recording:
        """What `write` wrote.

        Raises:
            InputError: no such file, or one of another format or content.
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
        """Write all, so that a reader sees the old or the new content.

        Raises:
            InputError: it cannot be written.
        """
        lines = [self.header.to_dict(), *(curve.model_dump(mode="json", exclude_defaults=True) for curve in self.curves)]
        write_text(path, "".join(json.dumps(line, separators=(",", ":")) + "\n" for line in lines))


def _numbered(content: object) -> object:
    """Keys that are numbers, which JSON has as text."""
    if not isinstance(content, dict):
        return content
    tables = {key: content[key] for key in ("values", "short") if isinstance(content.get(key), dict)}
    whole = {
        key: {int(name) if name.isdigit() else name: value for name, value in table.items()} for key, table in tables.items()
    }
    return {**content, **whole}


def read_all(folder: Path, names: Sequence[str], fewest: int = CONFIGS) -> tuple[list[Recording], list[str]]:
    """The recordings of a folder: those named that have a curve, or all that have at least so many configs; and in words what
    was left out.

    Raises:
        InputError: there is none, or one cannot be read.
    """
    paths = [folder / f"{name}{SUFFIX}" for name in names] or sorted(folder.glob(f"*{SUFFIX}"))
    found = [Recording.read(path) for path in paths]
    chosen = [one for one in found if one.complete and (names or len(one.curves) >= fewest)]
    if not chosen:
        raise InputError(f"{folder} has no recordings of {fewest} configs; make them with `python -m benchmarks.replay record`")
    left_out = [f"{one.header.study} ({len(one.curves)} configs)" for one in found if one not in chosen]
    return chosen, left_out
