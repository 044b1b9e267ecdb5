"""Search ranges of a user's own losses, and records of these losses in studies, so that other processes can import them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, fields, replace
from typing import Annotated, Any, TypeVar, get_args, get_origin, get_type_hints

from pydantic import BaseModel

from search_spaces.base import ALSO
from search_spaces.fields import FIELDS, FieldSpace
from search_spaces.parameters import Choice, Parameter, Searched
from search_spaces.spaces import SPACES
from trainers.errors import InputError, first_line
from trainers.losses import Loss
from trainers.losses.own import IN_A_FILE, OWN, OwnLoss, add, check_class, check_fields, check_formula, load
from trainers.text import shown
from trainers.validation import SETTINGS, checked

Numbered = TypeVar("Numbered", Parameter, Choice)
FORMS = "(low, high), (low, high, 'log') or a list of names"


def register_loss(cls: type[Loss], ranges: Mapping[str, Any] | None = None) -> type[Loss]:
    """Register your own loss by its name, so that it can be trained, searched and confirmed like a shipped one.

    Several workers, and the commands, can use it only if its class is in a file that they can import.

    Args:
        cls: a frozen dataclass derived from `trainers.losses.Loss`, with a field `name` and a formula in `rows`.
        ranges: search ranges by field: `(low, high)`, or `(low, high, "log")` to sample the logarithm uniformly; a list of
            texts for a choice; or a `Parameter` or `Choice` of `search_spaces.parameters`. Fields without a range have their
            defaults.

    Returns:
        The class.

    Raises:
        InputError: `cls` is not such a class, its name or that of a field is taken, or a range is invalid; or the class or its
            formula fails at an end of the ranges.
    """
    name, given = check_class(cls), dict(ranges or {})
    check_fields(cls, [*given])
    if name in SPACES and name not in OWN:
        raise InputError(f"loss {name!r} has the name of a space of this program; give {cls.__qualname__} another name")
    if taken := sorted({field.name for field in fields(cls)} & ALSO.keys()):  # type: ignore[arg-type]  # checked
        raise InputError(
            f"loss class {cls.__qualname__}: field {taken[0]} has the name of a setting that studies search besides the loss; "
            f"give it another name, such as own_{taken[0]}"
        )
    hints = get_type_hints(cls, include_extras=True)
    searched = {field: _parameter(f"ranges.{field}", hints.get(field), value) for field, value in given.items()}
    for end in (0, -1):
        point = {field: _end(parameter, end) for field, parameter in searched.items()}
        where = f"loss {name}" + (f" at an end of its ranges, {shown(point)}" if point else "")
        check_formula(_built(cls, {"name": name, **point}, where), where)
    _take(cls, searched)
    return cls


def _built(cls: type[Loss], fields: Mapping[str, Any], where: str) -> Loss:
    """A loss at an end of its ranges."""
    try:
        return checked(cls, fields, where)
    except InputError:
        raise
    except Exception as error:  # a user's class may raise any error
        raise InputError(f"{where} cannot be made: {type(error).__name__}: {first_line(error)}") from error


def _take(cls: type[Loss], searched: Searched) -> None:
    name = add(cls).name
    FIELDS[name], SPACES[name] = searched, FieldSpace


def _parameter(where: str, hint: Any, given: Any) -> Parameter | Choice:
    """The search range of a field, checked.

    Raises:
        InputError: it is invalid, or beyond the limits of its field.
    """
    whole = (get_args(hint)[0] if get_origin(hint) is Annotated else hint) is int
    values = tuple(given) if isinstance(given, tuple | list) else ()
    if len(values) > 1 and all(isinstance(value, str) for value in values):
        given = Choice(values)
    if isinstance(given, Choice):
        _check_choice(where, given)
        choice: Choice = replace(given, values=tuple(sorted(given.values)))
        return _limited(where, hint, whole, choice)
    if not isinstance(given, Parameter):
        if len(values) not in (2, 3) or values[2:] not in ((), ("log",)):
            raise InputError(f"{where}: must be {FORMS}, got {shown(given)}")
        given = Parameter(values[0], values[1], log=len(values) == 3, whole=whole)
    if whole and not given.whole:
        raise InputError(f"{where}: must have whole=True, as its field is a whole number, got {shown(given)}")
    kind, ends = int if given.whole else int | float, (given.low, given.high)
    if not all(isinstance(end, kind) and not isinstance(end, bool) and math.isfinite(end) for end in ends):
        raise InputError(
            f"{where}: must be two {'whole ' if given.whole else ''}numbers, low and high, got {shown(values or ends)}"
        )
    if not given.low < given.high or (given.log and given.low <= 0):
        rule = "low must be below high" if not given.low < given.high else "low must be above 0 for a logarithm"
        raise InputError(f"{where}: {rule}, got {shown(values or ends)}")
    number: Parameter = given if given.whole else replace(given, low=float(given.low), high=float(given.high))
    return _limited(where, hint, whole, number)


def _check_choice(where: str, given: Choice) -> None:
    of_kind = given.kind in (str, int, float) and all(type(value) is given.kind for value in given.values)
    if not of_kind or len(set(given.values)) != len(given.values) or len(given.values) < 2:
        raise InputError(
            f"{where}: a choice must have two or more different values of one kind, str, int or float, such as "
            f"Choice((1, 2), int), got {shown(given)}"
        )


def _limited(where: str, hint: Any, whole: bool, given: Numbered) -> Numbered:
    """The range with the limits of its field.

    Raises:
        InputError: it is beyond them, or beyond its own limits.
    """
    if isinstance(given, Choice) and given.kind is str:
        return given
    limits, said = _limits(hint, whole)
    low, high = _end(given, 0), _end(given, -1)
    if low < limits[0] or high > limits[1]:
        raise InputError(f"{where}: must be {said}, as its field says, got {shown((low, high))}")
    if low < given.limits[0] or high > given.limits[1]:
        raise InputError(f"{where}: must be within its limits, {shown(given.limits)}, got {shown((low, high))}")
    return replace(given, limits=(max(limits[0], given.limits[0]), min(limits[1], given.limits[1])))


def _limits(hint: Any, whole: bool) -> tuple[tuple[float, float], str]:
    """The limits that the type of a field gives, as in `Annotated[float, Field(gt=0)]`, also in words."""
    rules = [rule for part in getattr(hint, "__metadata__", ()) for rule in getattr(part, "metadata", [part])]
    words = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    found = {name: [value for rule in rules if (value := getattr(rule, name, None)) is not None] for name in words}

    def beyond(end: float, towards: float) -> float:
        """The next value that a field may have."""
        next_whole = math.floor(end) + 1 if towards > end else math.ceil(end) - 1
        return next_whole if whole else math.nextafter(end, towards)

    low = max([*found["ge"], *(beyond(end, math.inf) for end in found["gt"])], default=-math.inf)
    high = min([*found["le"], *(beyond(end, -math.inf) for end in found["lt"])], default=math.inf)
    return (low, high), " and ".join(f"{words[name]} {end:g}" for name, ends in found.items() for end in ends)


def _end(parameter: Parameter | Choice, end: int) -> Any:
    return parameter.values[end] if isinstance(parameter, Choice) else (parameter.low, parameter.high)[end]


class OwnLossRecord(BaseModel):
    """The record of a user's own loss in a study.

    Attributes:
        where: its class, as `module:Class`.
        code: digest of its code.
        ranges: by field the attributes of its `Parameter`, or the values of its `Choice`.
    """

    model_config = SETTINGS | {"frozen": True}
    name: str
    where: str
    code: str
    ranges: dict[str, dict[str, Any]] = {}

    def restore(self) -> None:
        """Register the loss in this process, if it is not registered yet.

        Raises:
            InputError: its class cannot be imported, or is no longer a valid loss of that name.
        """
        if self.name in OWN:
            if OWN[self.name].where != self.where:
                raise InputError(
                    f"loss {self.name!r} must be the same class in this process and in the study, got {OWN[self.name].where} "
                    f"and {self.where}; give one of them another name, or use another process"
                )
            return
        if self.where.partition(":")[0] == "__main__" or "<locals>" in self.where:
            raise InputError(
                f"loss {self.name!r} is defined in a notebook or script, which this process cannot import; {IN_A_FILE}; or "
                "continue in that notebook or script"
            )
        cls = load(self.name, self.where)
        if self.name in OWN:  # its module has registered it
            return
        if check_class(cls) != self.name:
            raise InputError(
                f"loss {self.name!r} is {self.where} in the study, and that class now has another name; restore its name"
            )
        try:
            searched = {field: _restored(given) for field, given in self.ranges.items()}
        except (LookupError, TypeError, ValueError) as error:
            raise InputError(f"loss {self.name!r}: its ranges in the study are damaged ({first_line(error)})") from None
        _take(cls, searched)

    def check_code(self) -> None:
        """Check that the loss has the same code as in the study.

        Raises:
            InputError: the code has changed.
        """
        if (now := OWN[self.name].code) != self.code:
            raise InputError(code_changed(self.name, self.code, now))


def restore(losses: object, where: str, remedy: str) -> None:
    """Register the recorded losses of a user.

    Args:
        losses: records as plain data; None for none.

    Raises:
        InputError: a record is damaged, or a class cannot be imported.
    """
    if losses is None:
        return
    try:
        records = checked(tuple[OwnLossRecord, ...], losses, f"{where}: losses")
    except InputError as error:
        raise InputError(f"{error}; {remedy}") from None
    for record in records:
        try:
            record.restore()
        except InputError as error:
            raise InputError(f"{where}: {error}") from None


def code_changed(name: str, before: str, now: str) -> str:
    """The message that a loss has another code than in the study."""
    return (
        f"the code of loss {name!r} ({OWN[name].where if name in OWN else 'its class'}) has changed since (digest was "
        f"{before[:12]}, now {now[:12]}): trials of different losses must not be mixed; restore the code"
    )


def recorded(names: Iterable[str]) -> tuple[OwnLossRecord, ...]:
    """The records of the user's own losses among these names, each once."""
    return tuple(_record(OWN[name]) for name in dict.fromkeys(names) if name in OWN)


def _record(own: OwnLoss) -> OwnLossRecord:
    ranges = {field: _plain(parameter) for field, parameter in FIELDS[own.name].items()}
    return OwnLossRecord(name=own.name, where=own.where, code=own.code, ranges=ranges)


def _plain(parameter: Parameter | Choice) -> dict[str, Any]:
    limits = [None if math.isinf(end) else end for end in parameter.limits]  # JSON has no infinity
    if isinstance(parameter, Choice):
        return {"values": list(parameter.values)} | ({"limits": limits} if parameter.kind is not str else {})
    return asdict(parameter) | {"limits": limits}


def _restored(given: Mapping[str, Any]) -> Parameter | Choice:
    ends = zip(given.get("limits", (None, None)), (-math.inf, math.inf), strict=True)
    low, high = (none if end is None else end for end, none in ends)
    if "values" in given:
        return Choice(tuple(given["values"]), type(given["values"][0]), (low, high))
    return Parameter(**{**given, "limits": (low, high)})
