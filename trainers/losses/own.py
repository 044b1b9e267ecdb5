"""Losses that the user defines: the rules for their classes, and the import of a class in other processes."""

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
IN_A_FILE = "put the class into a file of its own, such as my_loss.py next to the notebook, and import it from there"
ROWS, NEGATIVES, ITEMS, DIM = 4, 3, 10, 5  # sizes of the batch that tests a formula


@dataclass(frozen=True)
class OwnLoss:
    """A loss that the user defines.

    Attributes:
        name: its key in `LOSSES`.
        where: its class, as `module:Class`.
        code: digest of its code, see `trainers.losses.source`.
    """

    name: str
    where: str
    code: str

    def check_importable(self) -> None:
        """Check that another process can import the class.

        Raises:
            InputError: it is defined in a notebook, a script or a function, or its module cannot be imported.
        """
        module, _, path = self.where.partition(":")
        if module == "__main__" or "<locals>" in path:
            place = "a notebook or script" if module == "__main__" else "a function"
            raise InputError(f"loss {self.name!r} is defined in {place}, which no worker process can import; {IN_A_FILE}")
        load(self.name, self.where)


OWN: dict[str, OwnLoss] = {}


def code_of(name: str) -> str:
    """The digest of the code of a user's loss; empty for the losses of this program, which have versions."""
    return OWN[name].code if name in OWN else ""


def add(cls: type[Loss]) -> OwnLoss:
    """Add a loss to `LOSSES`. A class may be added again, also with changed code: studies record the digest of the code.

    Raises:
        InputError: it is no loss, or another loss has its name.
    """
    name = check_class(cls)
    own = OwnLoss(name, f"{cls.__module__}:{cls.__qualname__}", digest_of(cls))
    if name in OWN and OWN[name].where != own.where:
        raise InputError(f"loss {name!r} is registered already, as {OWN[name].where}; give {own.where} another name")
    if name in LOSSES and name not in OWN:
        raise InputError(f"loss {name!r} is one of this program's, which cannot be replaced; give {own.where} another name")
    if "__pydantic_config__" not in vars(cls):
        cls.__pydantic_config__ = SETTINGS  # type: ignore[attr-defined]  # for plain dataclasses: unknown keys are errors
    LOSSES[name], OWN[name] = cls, own
    return own


def load(name: str, where: str) -> type[Loss]:
    """Import the class of a loss.

    Raises:
        InputError: its module does not exist, raises an error or has no such class.
    """
    module, _, path = where.partition(":")
    try:
        found: Any = importlib.import_module(module)
        for part in path.split("."):
            found = getattr(found, part)
    except Exception as error:  # a user's module may raise any error
        reason = first_line(error)
        raise InputError(
            f"loss {name!r} is class {path} of module {module}, which cannot be imported here ({reason}); run this in the "
            f"folder of {module.partition('.')[0]}.py, or name that folder in PYTHONPATH"
        ) from None
    check_class(found)
    return found  # type: ignore[no-any-return]  # checked


def check_class(cls: object) -> str:
    """Check the class of a loss; returns its name.

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


def check_formula(loss: Loss, where: str) -> None:
    """Test a loss on a small batch, with scores as cosines have them, from -1 to 1.

    Args:
        where: the loss in words, with its settings.

    Raises:
        InputError: it raises an error, has no gradient, does not return a finite number for each row or has a gradient that is
            not finite, or its sign is wrong.
    """
    generator = torch.Generator().manual_seed(0)
    count = NEGATIVES if loss.needs_negatives else 0
    positive, negative = (2.0 * torch.rand(size, generator=generator) - 1.0 for size in ((ROWS,), (ROWS, count)))
    positive.requires_grad_(), negative.requires_grad_()
    vectors = [torch.rand(ROWS, DIM, generator=generator).requires_grad_() for _ in range(2)]
    ids = torch.arange(ROWS)
    what = f"{where}: rows(scores), tried on {ROWS} positives with {count} negatives each, scores from -1 to 1,"
    try:
        rows = loss.rows(Scores(positive, negative, ids, ids, ITEMS, None, *vectors))
        if got := _no_rows(rows):
            raise InputError(f"{what} must give a finite number for each row, a tensor of shape ({ROWS},), got {got}")
        if not rows.requires_grad:
            raise InputError(
                f"{what} has no gradient; compute it from the tensors of scores in torch, without detach, item or numpy"
            )
        loss.reduce(rows).backward()  # type: ignore[no-untyped-call]
    except InputError:
        raise
    except Exception as error:  # a user's formula may raise any error
        raise InputError(f"{what} fails: {type(error).__name__}: {first_line(error)}") from error
    _check_gradient(_by_row(positive.grad), _by_row(negative.grad), what)


def _no_rows(rows: Any) -> str:
    """What a formula returned in place of a finite number for each row; empty if it returned these."""
    if not isinstance(rows, torch.Tensor):
        return f"a value of type {type(rows).__name__}"
    if tuple(rows.shape) != (ROWS,):
        return f"a tensor of shape {tuple(rows.shape)}"
    return "" if bool(torch.isfinite(rows).all()) else "one that is not finite"


def _by_row(gradient: Any) -> Any:
    """The sum over each row of a gradient; 0 where the formula does not use the scores."""
    return torch.zeros(ROWS) if gradient is None else gradient.reshape(ROWS, -1).sum(1)


def _check_gradient(positive: Any, negative: Any, what: str) -> None:
    """Check the gradient of a batch, by row: of the positive, and summed over the negatives.

    Raises:
        InputError: it is not finite, or training would lower positives and raise negatives.
    """
    if not bool(torch.isfinite(positive).all() and torch.isfinite(negative).all()):
        raise InputError(f"{what} must have a finite gradient, got one that is not finite")
    is_right = bool((positive < 0.0).any() or (negative > 0.0).any())
    if not is_right and bool((positive > 0.0).any() or (negative < 0.0).any()):
        raise InputError(
            f"{what} must fall where a positive rises or its negatives fall, because training minimises it; got the opposite; "
            "change its sign"
        )


def _fields(cls: Any) -> tuple[dataclasses.Field[Any], ...]:
    return dataclasses.fields(cls)


def check_fields(cls: type[Loss], names: list[str]) -> None:
    """Check that a loss has these fields, and that all its other fields have defaults.

    Raises:
        InputError: a field does not exist, or another field has no default.
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
