"""Studies given from Python: the name of a shipped study, a study file, or its keys as Python values."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hpo.study.draft import suggested
from hpo.study.names import NAME_PATTERN, check_name
from hpo.study.spec import ALL, StudySpec, load_spec
from search_spaces import SPACES
from trainers import Dataset, load_dataset
from trainers.config import REGISTERED, dotted
from trainers.data.public import PUBLIC
from trainers.data.sources import NAMES
from trainers.errors import InputError, unknown
from trainers.text import shown
from trainers.validation import checked

Study = str | Path | Mapping[str, Any]
FROM_FRAME = "make one from a pandas table with Dataset.from_frame(frame, user=..., item=...)"


def spec_of(
    study: Study | None, name: str | None, keys: Mapping[str, Any], output: Path, data_dir: str | None
) -> tuple[StudySpec, Dataset | None]:
    """The study, and its data if they are a table in memory.

    Without a study file, missing keys are filled in as `hpo.studies new` suggests for the data, unless the data are a public
    dataset.

    Args:
        study: a shipped study, a file, or a mapping with the keys of a study file; None if `keys` give all.
        name: the name to store it under; required without a file.
        keys: keys of a study file, None if not given; they replace keys, or inner keys, of `study`.

    Raises:
        InputError: unknown or wrong keys, no name, or data that cannot be read.
    """
    given = {key: value for key, value in keys.items() if value is not None}
    if isinstance(study, str | os.PathLike):
        spec = load_spec(os.fspath(study), name)
        name, base = spec.name, spec.model_dump(exclude={"name"}) | {"data": spec.data.model_dump(exclude_defaults=True)}
    elif study is None or isinstance(study, Mapping):
        base = dict(study or {})
        if "name" in base:
            raise InputError("study: unknown key 'name'; leave it out, and name the study by name='...'")
        if not given and not base:
            raise InputError("a search needs a study, got none; give a shipped study, a file, or at least dataset and space")
    else:
        raise InputError(
            f"a study must be the name of a shipped study, a file, or a mapping with the keys of a file, got {shown(study)}"
        )
    if name is None:
        raise InputError("a study without a file needs a name to keep its results under; give one, such as name='mine'")
    check_name(name)
    content = _merged(base, given)
    for key in ("dataset", "space"):
        if content.get(key) is None:
            raise InputError(f"study {name}: needs a {key}, got none; give {key}=...")
    table = content["dataset"] if isinstance(content["dataset"], Dataset) else None
    if table is not None and "data" not in given and isinstance(study, str | os.PathLike):
        content["data"] = {}  # the file's options are for the file's data
    content |= _data_of(table, name, content, output) if table else {"dataset": _place(content["dataset"])}
    if not isinstance(study, str | os.PathLike) and content["dataset"] not in PUBLIC:
        content = _with_suggestions(content, table or _read(content, data_dir, name))
    spec = checked(StudySpec, {**content, "name": name}, f"study {name}")
    spec.search.check_effects(f"study {name}")
    return spec, table


def _merged(base: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    """`base` with keys replaced by those of `given`; mappings are merged, except for `space`. A name as `space` keeps what the
    old space searches beside its loss."""
    content = dict(base)
    for key, value in given.items():
        old = content.get(key)
        if isinstance(old, Mapping) and old:
            if key != "space":
                value = {**old, **value} if isinstance(value, Mapping) else value
            elif isinstance(value, str) and value in SPACES:
                value = _like(value, old)
        content[key] = value
    if isinstance(content.get("space"), str):
        content["space"] = {"name": content["space"]}
    if isinstance(content.get("rivals"), str) and content["rivals"] != ALL:
        raise InputError(f"rivals: must be a list, or {ALL!r}, got {shown(content['rivals'])}; write [{content['rivals']!r}]")
    return content


def _like(name: str, old: Mapping[str, Any]) -> dict[str, Any]:
    """The keys of a space that is searched like another one.

    Raises:
        InputError: the other one is wrong.
    """
    kind = old.get("name")
    if not isinstance(kind, str) or kind not in SPACES:
        raise InputError(f"space: {unknown('space', kind, SPACES)}; {REGISTERED}")
    return SPACES[name].to_hold(name, None, checked(SPACES[kind], old, "space"))


def _data_of(table: Dataset, name: str, content: Mapping[str, Any], output: Path) -> dict[str, Any]:
    """The keys of a study file for a table that is written to the study's folder."""
    if not table.is_table:
        raise InputError(
            f"study {name}: dataset must be a name, a path, or a table in memory, got {shown(table.name)}, which was read from "
            "files; give its name or path, and its options as data={...}"
        )
    if content.get("data"):
        raise InputError(f"study {name}: data must be left out for a table in memory; give its keys to Dataset.from_frame")
    if not NAME_PATTERN.fullmatch(table.name):
        raise InputError(
            f"study {name}: the name of a table may have letters, digits, '.', '_' and '-', since it becomes a file name, got "
            f"{shown(table.name)}; give Dataset.from_frame another name='...'"
        )
    path = (output / name / f"{table.name}.npz").resolve()
    return {"dataset": str(path), "data": table.options.given()}


def _place(dataset: object) -> object:
    """The name of a dataset, or its path made absolute."""
    if isinstance(dataset, str | os.PathLike):
        text = os.fspath(dataset)
        return str(Path(text).resolve()) if text not in NAMES and os.path.exists(text) else text
    if hasattr(dataset, "columns"):
        raise InputError(f"dataset must be a name, a path or a Dataset, got a table; {FROM_FRAME}")
    return dataset


def _read(content: Mapping[str, Any], data_dir: str | None, name: str) -> Dataset:
    options = content.get("data", {})
    is_mapping = isinstance(options, Mapping) and all(isinstance(key, str) for key in options)
    if not isinstance(content["dataset"], str) or not is_mapping:
        raise InputError(
            f"study {name}: dataset must be a name or a path, and data a mapping, {{name: value}}, got "
            f"{shown(content['dataset'])} and {shown(options)}"
        )
    return load_dataset(content["dataset"], data_dir, **options)


def _with_suggestions(content: Mapping[str, Any], dataset: Dataset) -> dict[str, Any]:
    """The keys, with suggested settings for those that are not given."""
    found, space = suggested(dataset), content["space"]
    name = space.get("name") if isinstance(space, Mapping) else None
    found["rivals"] = [rival for rival in found["rivals"] if rival != name]
    config = content.get("config") or {}
    if not isinstance(config, Mapping):
        raise InputError(f"config must be a mapping, {{name: value}}, got {shown(config)}")
    fixed = {part for key in dotted(config) for part in key.split(".")}  # given settings are not searched
    suggested_also = [each for each in found["space"]["also"] if each not in fixed]
    also = {"space": {"also": suggested_also, **space}} if isinstance(space, Mapping) else {}
    return _merged(found, {**content, **also})
