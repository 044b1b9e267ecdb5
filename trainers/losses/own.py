"""Losses of the user's own, beside those of `LOSSES`: what a class must be, and where other processes find it."""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import re
from dataclasses import dataclass
from typing import Any

from trainers.errors import InputError, first_line, unknown
from trainers.late import torch
from trainers.losses import LOSSES
from trainers.losses.base import Loss, Scores
from trainers.losses.source import digest_of
from trainers.text import shown
from trainers.validation import SETTINGS

NAME = re.compile("[a-z][a-z0-9_]{0,49}")
IN_A_FILE = "put the class into a file of its own, such as my_loss.py beside the notebook, and import it from there"
ROWS, NEGATIVES, ITEMS = 4, 3, 10  # of the batch that a formula is tried on


@dataclass(frozen=True)
class OwnLoss:
    """A loss of the user's own.

    Attributes:
        where: its class, `module:Class`.
        code: digest of its code, see `trainers.losses.source`.
    """

    name: str
    where: str
    code: str

    def check_importable(self) -> None:
        """Whether another process can have the class.

        Raises:
            InputError: it stands in a notebook, a script or a function, or its module cannot be imported.
        """
        module, _, path = self.where.partition(":")
        if module == "__main__" or "<locals>" in path:
            place = "a notebook or script" if module == "__main__" else "a function"
            raise InputError(f"loss {self.name!r} is defined in {place}, which no worker process can import; {IN_A_FILE}")
        load(self.name, self.where)


OWN: dict[str, OwnLoss] = {}


def code_of(name: str) -> str:
    """The digest of the code of a loss of the user's own; empty for one of this program, which has versions."""
    return OWN[name].code if name in OWN else ""


def add(cls: type[Loss]) -> OwnLoss:
    """Take a loss into `LOSSES`. The same class may come again, also with other code: studies know which code they have.

    Raises:
        InputError: it is no loss, or its name is another loss's.
    """
    name = check_class(cls)
    own = OwnLoss(name, f"{cls.__module__}:{cls.__qualname__}", digest_of(cls))
    if name in OWN and OWN[name].where != own.where:
        raise InputError(f"loss {name!r} is registered already, as {OWN[name].where}; give {own.where} another name")
    if name in LOSSES and name not in OWN:
        raise InputError(f"loss {name!r} is one of this program's, which cannot be replaced; give {own.where} another name")
    if "__pydantic_config__" not in vars(cls):
        cls.__pydantic_config__ = SETTINGS  # type: ignore[attr-defined]  # of a plain dataclass: unknown keys are errors
    LOSSES[name], OWN[name] = cls, own
    return own


def load(name: str, where: str) -> type[Loss]:
    """The class of a loss, imported.

    Raises:
        InputError: its module is not there, or raises an error; it has no such class.
    """
    module, _, path = where.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # whatever a module of the user's raises
        reason = first_line(error)
        raise InputError(
            f"loss {name!r} is class {path} of module {module}, which cannot be imported here ({reason}); run this in the "
            f"folder of {module.partition('.')[0]}.py, or name that folder in PYTHONPATH"
        ) from None
    check_class(found)
    return found  # type: ignore[no-any-return]  # checked


def check_class(cls: object) -> str:
    """The name of a loss.

    Raises:
        InputError: it is no frozen dataclass with a formula and a name.
    """
    if not inspect.isclass(cls) or not issubclass(cls, Loss):
        raise InputError(f"a loss is a class that is derived from trainers.losses.Loss, got {shown(cls)}")
    label = f"loss class {cls.__qualname__}"
    if not getattr(getattr(cls, "__dataclass_params__", None), "frozen", False):
        raise InputError(f"{label}: must be a frozen dataclass; write @dataclass(frozen=True, kw_only=True) above it")
    if inspect.isabstract(cls):
        raise InputError(f"{label}: has no formula; define rows(self, scores), the loss of each row of a batch")
    name = next((field.default for field in _fields(cls) if field.name == "name"), None)
    if not isinstance(name, str) or not NAME.fullmatch(name):
        raise InputError(
            f"{label}: needs a field name whose default is its name, lower-case letters, digits and '_', such as "
            f"name: Literal['my_loss'] = 'my_loss'; got {'none' if name is None else shown(name)}"
        )
    return name


def check_formula(loss: Loss) -> None:
    """Try a loss on a small batch.

    Raises:
        InputError: it fails, or gives something else than a finite number for each row, with gradients.
    """
    generator = torch.Generator().manual_seed(0)
    positive, negative = (torch.rand(size, generator=generator) for size in ((ROWS,), (ROWS, NEGATIVES)))
    positive.requires_grad_(), negative.requires_grad_()
    ids = torch.arange(ROWS)
    what = f"loss {loss.name}: rows(scores), tried on {ROWS} positives with {NEGATIVES} negatives each,"
    try:
        rows = loss.rows(Scores(positive, negative, ids, ids, ITEMS))
        shape, finite = tuple(rows.shape), bool(torch.isfinite(rows).all())
        loss.reduce(rows).backward()  # type: ignore[no-untyped-call]
    except Exception as error:  # whatever a formula of the user's raises
        raise InputError(f"{what} fails: {type(error).__name__}: {first_line(error)}") from error
    if shape != (ROWS,) or not finite:
        got = f"a tensor of shape {shape}" if shape != (ROWS,) else "one that is not finite"
        raise InputError(f"{what} must give a finite number for each row, a tensor of shape ({ROWS},), got {got}")


def _fields(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def check_fields(cls: type[Loss], names: list[str]) -> None:
    """Whether a loss has these fields, and no other without a default.

    Raises:
        InputError: it has not.
    """
    fields = {field.name: field for field in _fields(cls) if field.name != "name"}
    for name in names:
        if name not in fields:
            raise InputError(f"loss class {cls.__qualname__}: ranges: {unknown('field', name, fields)}")
    missing = dataclasses.MISSING
    for name, field in fields.items():
        if name not in names and field.default is missing and field.default_factory is missing:
            raise InputError(
                f"loss class {cls.__qualname__}: field {name} has neither a range nor a default; give it one of them, such as "
                f"ranges={{{name!r}: (0.01, 1.0, 'log')}}"
            )
