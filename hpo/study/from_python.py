"""A study as a program gives it: the name of a shipped one, a study file, or its keys as Python values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpo.study.draft import suggested
from hpo.study.spec import NAME_PATTERN, StudySpec, check_name, load_spec
from trainers import Dataset, load_dataset
from trainers.config import dotted
from trainers.data.public import PUBLIC
from trainers.data.sources import NAMES
from trainers.errors import InputError
from trainers.text import shown
from trainers.validation import checked

Study = str | Path | Mapping[str, Any]
FROM_FRAME = "Dataset.from_frame(frame, user=..., item=...) makes one of a pandas table"


def spec_of(
    study: Study | None, name: str | None, keys: Mapping[str, Any], output: Path, data_dir: str | None
) -> tuple[StudySpec, Dataset | None]:
    """The study, and its data where they are a table in memory, which its folder is to hold.

    What a study of no file leaves open is as `hpo.studies new` suggests for data of that size, unless the data are published.

    Args:
        study: a shipped study, a file, or a mapping with the keys of a study file; None: `keys` are all there is.
        name: that it is stored under; needed where there is no file.
        keys: keys of a study file, None where not given; they replace those of `study`, or inner keys of them.

    Raises:
        InputError: unknown or wrong keys, no name, data that cannot be read.
    """
    given = {key: value for key, value in keys.items() if value is not None}
    if isinstance(study, str | os.PathLike):
        spec = load_spec(os.fspath(study), name)
        name, base = spec.name, spec.model_dump(exclude={"name"})
    elif study is None or isinstance(study, Mapping):
        base = dict(study or {})
        if not given and not base:
            raise InputError("a search needs a study: the name of a shipped one, a file, or at least dataset and space")
    else:
        raise InputError(f"a study is the name of a shipped one, a file, or a mapping of the keys of one, got {shown(study)}")
    if name is None:
        raise InputError("a study that no file names needs a name, under which its results are kept, such as name='mine'")
    content = _merged(base, given)
    for key in ("dataset", "space"):
        if content.get(key) is None:
            raise InputError(f"study {name}: needs a {key}, and none was given")
    table = content["dataset"] if isinstance(content["dataset"], Dataset) else None
    content |= _data_of(table, check_name(name), content, output) if table else {"dataset": _place(content["dataset"])}
    if not isinstance(study, str | os.PathLike) and content["dataset"] not in PUBLIC:
        content = _with_suggestions(content, table or _read(content, data_dir, name))
    return checked(StudySpec, {**content, "name": name}, f"study {name}"), table


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """Keys in place of others; inner keys of those that have some. A space is given as a whole."""
    content = dict(base)
    for key, value in given.items():
        old = content.get(key)
        both = key != "space" and isinstance(value, Mapping) and isinstance(old, Mapping)
        content[key] = {**old, **value} if both and old else value
    if isinstance(content.get("space"), str):
        content["space"] = {"name": content["space"]}
    if isinstance(content.get("rivals"), str):
        raise InputError(f"rivals: must be a list, got {shown(content['rivals'])}; write [{content['rivals']!r}]")
    return content


def _data_of(table: Dataset, name: str, content: Mapping[str, Any], output: Path) -> dict[str, Any]:
    """What a study file would say of a table that lies in the study's folder."""
    if not table.is_table:
        raise InputError(
            f"study {name}: dataset is a name, a path, or a table in memory ({FROM_FRAME}), and {shown(table.name)} comes from "
            "files: give its name or path, and how it is read as data={...}"
        )
    if content.get("data"):
        raise InputError(f"study {name}: a table in memory was read with its options: give Dataset.from_frame those of data")
    if not NAME_PATTERN.fullmatch(table.name):
        raise InputError(
            f"study {name}: the table's name becomes that of a file: letters, digits, '.', '_' and '-', got "
            f"{shown(table.name)}; Dataset.from_frame takes it as name='...'"
        )
    path = (output / name / f"{table.name}.npz").resolve()
    return {"dataset": str(path), "data": table.options.given()}


def _place(dataset: object) -> object:
    """A name, or a path, which is kept as seen from everywhere."""
    if isinstance(dataset, str | os.PathLike):
        text = os.fspath(dataset)
        return str(Path(text).resolve()) if text not in NAMES and os.path.exists(text) else text
    if hasattr(dataset, "columns"):
        raise InputError(f"a table needs to be told its columns: {FROM_FRAME}; give that as dataset")
    return dataset


def _read(content: Mapping[str, Any], data_dir: str | None, name: str) -> Dataset:
    options = content.get("data", {})
    if not isinstance(content["dataset"], str) or not isinstance(options, Mapping):
        raise InputError(f"study {name}: dataset is a name or a path, data a mapping, got {shown(content['dataset'])}")
    return load_dataset(content["dataset"], data_dir, **options)


def _with_suggestions(content: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
    """With settings for data that no paper has any for, where none are given and they go with what is given."""
    found, space = suggested(dataset), content["space"]
    name = space.get("name") if isinstance(space, Mapping) else None
    found["rivals"] = [rival for rival in found["rivals"] if rival != name]
    fixed = {part for key in dotted(content.get("config") or {}) for part in key.split(".")}  # what is given is not searched
    suggested_also = [each for each in found["space"]["also"] if each not in fixed]
    also = {"space": {"also": suggested_also, **space}} if isinstance(space, Mapping) else {}
    return _merged(found, {**content, **also})
