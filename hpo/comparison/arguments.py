"""The arguments of hpo.compare: a method's name, and its files, its folder or its study."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from glob import glob
from pathlib import Path

from hpo.comparison.files import files_in, read_side
from hpo.comparison.sides import Side
from hpo.comparison.studies import is_study, study_sides
from hpo.comparison.truth import Truth
from trainers.data.readers.names import listed
from trainers.errors import InputError
from trainers.metrics.definitions import Metric
from trainers.text import has_controls, shown

LONGEST_NAME = 80  # characters
PATTERN = "*?["  # special characters of file name patterns


@dataclass(frozen=True)
class Asked:
    """One argument.

    Attributes:
        name: the given name; empty if it follows from the paths.
        paths: files, or the folder of one study.
        label: the label of one method of a study; None for all methods.
    """

    argument: str
    name: str
    paths: tuple[Path, ...]
    label: str | None = None

    @classmethod
    def parse(cls, argument: str) -> Asked:
        """Parse `[NAME=]PATH[,PATH...]` or `[NAME=]STUDY_FOLDER[:LABEL]`.

        Raises:
            InputError: an empty part, a name that is too long or not printable, or a path that does not exist.
        """
        name, rest = "", argument
        if not Path(argument).exists() and "=" in argument:
            name, _, rest = argument.partition("=")
            name = name.strip()
            if not name or len(name) > LONGEST_NAME or has_controls(name):
                raise InputError(
                    f"a method's name must have 1 to {LONGEST_NAME} characters, all of them printable, got {shown(name)}; "
                    "write NAME=FILE"
                )
        if rest and Path(rest).is_dir():
            path = Path(rest)
            return cls(argument, name, (path,) if is_study(path) else tuple(files_in(path)))
        folder, colon, label = rest.partition(":")
        if colon and not Path(rest).exists() and is_study(Path(folder)):
            return cls(argument, name, (Path(folder),), label)
        parts = [rest] if rest and Path(rest).exists() else [part.strip() for part in rest.split(",")]
        return cls(argument, name, tuple(path for part in parts for path in _existing(part, argument)))

    @property
    def is_study(self) -> bool:
        """Whether the argument is the folder of a confirmed study."""
        return is_study(self.paths[0])

    @property
    def default_name(self) -> str:
        """The name of the file without its ending; for several files the common start of their names, or the folder's name."""
        if len(self.paths) == 1:
            return _stem(self.paths[0])
        if Path(self.argument).is_dir():
            return Path(self.argument).resolve().name
        stems = [_stem(path) for path in self.paths]
        common = stems[0]
        while not all(stem.startswith(common) for stem in stems):
            common = common[:-1]
        return common.rstrip("_-. 0123456789") or stems[0]


def _existing(part: str, argument: str) -> list[Path]:
    if not part.strip():
        raise InputError(
            f"each method needs a file, got {shown(argument)}; write NAME=FILE, or NAME=FILE,FILE for several seeds"
        )
    path = Path(part)
    if path.is_dir():
        raise InputError(f"{path}: must be a file, got a folder; give files, or one folder that holds a file for each seed")
    if path.exists():
        return [path]
    found = sorted(map(Path, glob(part))) if any(sign in part for sign in PATTERN) else []
    if not found:
        raise InputError(f"{shown(part)}: no such file or folder; give NAME=FILE[,FILE...], or a study's folder")
    return found


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return name.rpartition(".")[0] or name


def read_methods(
    arguments: Iterable[str], truth: Truth | None, metrics: tuple[Metric, ...]
) -> tuple[list[Side], list[str], dict[str, str]]:
    """The methods of all arguments under different names; the caveats of studies; the SHA-256 of each file by its path.

    Raises:
        InputError: a file that cannot be read, two methods of one name, or fewer than two methods.
    """
    asked = [Asked.parse(argument) for argument in arguments]
    sides, notes, files = list[tuple[Side, Asked]](), list[str](), dict[str, str]()
    for one in asked:
        if one.is_study:
            found, said = study_sides(one.paths[0], one.label)
            notes += said
            if one.name and len(found) > 1:
                raise InputError(
                    f"{one.argument}: a name can be that of one method only, and {one.paths[0]} has {len(found)}: "
                    f"{listed(tuple(side.label for side in found))}; write {one.name}={one.paths[0]}:LABEL"
                )
            sides += [(side.named(one.name) if one.name else side, one) for side in found]
        else:
            sides.append((read_side(one.name or one.default_name, one.paths, truth, metrics), one))
            digests = {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in one.paths}
            _check_contents(sides[-1][0].label, one.paths, digests)
            files |= digests
    told = _told_apart(sides)
    if len(told) < 2:
        raise InputError(f"a comparison needs two methods or more, got {len(told)}; give one or more files for each")
    return told, [*dict.fromkeys(notes)], files


def _check_contents(label: str, paths: Sequence[Path], digests: Mapping[str, str]) -> None:
    """Refuse one file under two seeds: its runs would seem to vary less than they do."""
    found: dict[str, Path] = {}
    for path in paths:
        if (digest := digests[str(path)]) in found:
            raise InputError(
                f"{label}: each seed needs a file of its own, got the same content in {found[digest]} and {path}; leave one "
                f"out, and if the method has no seed, say --deterministic {label}"
            )
        found[digest] = path


def _told_apart(sides: Sequence[tuple[Side, Asked]]) -> list[Side]:
    """The methods; those that share a name get the name of their folder as a prefix, unless the name was given."""
    counts = Counter(side.label for side, _ in sides)
    told = []
    for side, one in sides:
        if counts[side.label] > 1 and not one.name:
            folder = one.paths[0].resolve() if one.is_study else one.paths[0].resolve().parent
            side = side.named(f"{folder.name}/{side.label}")
        told.append(side)
    again = [label for label, count in Counter(side.label for side in told).items() if count > 1]
    if again:
        raise InputError(
            f"each method needs its own name, got {shown(again[0])} more than once; write NAME=FILE for each, and all seeds "
            "of one method as NAME=FILE,FILE"
        )
    return told
