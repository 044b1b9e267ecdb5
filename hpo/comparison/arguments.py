"""What an argument of hpo.compare means: a method's name, and the files, the folder or the study that it is read from."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Sequence
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
PATTERN = "*?["  # signs of a pattern of file names


@dataclass(frozen=True)
class Asked:
    """One argument.

    Attributes:
        name: as given; empty where it follows from the paths.
        paths: files, or one folder of a study.
        label: of one method of a study.
    """

    argument: str
    name: str
    paths: tuple[Path, ...]
    label: str | None = None

    @classmethod
    def parse(cls, argument: str) -> Asked:
        """`NAME=PATH[,PATH...]`, a path alone, or `STUDY_FOLDER:LABEL` in place of a path.

        Raises:
            InputError: an empty part, a name that cannot be shown, or a path that does not exist.
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
        parts = [rest] if rest and Path(rest).exists() else rest.split(",")
        return cls(argument, name, tuple(path for part in parts for path in _existing(part, argument)))

    @property
    def is_study(self) -> bool:
        """Whether it is the folder of a confirmed study."""
        return is_study(self.paths[0])

    @property
    def default_name(self) -> str:
        """The file's name without its ending; of several files what their names begin with alike, or the folder's."""
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
        raise InputError(f"{path}: is a folder among files; give files, or one folder that holds a file for each seed")
    if path.exists():
        return [path]
    found = sorted(map(Path, glob(part))) if any(sign in part for sign in PATTERN) else []
    if not found:
        raise InputError(f"{shown(part)}: no such file or folder; a method is NAME=FILE[,FILE...], or a study's folder")
    return found


def _stem(path: Path) -> str:
    name = path.name.removesuffix(".gz")
    return name.rpartition(".")[0] or name


def read_methods(
    arguments: Iterable[str], truth: Truth | None, metrics: tuple[Metric, ...]
) -> tuple[list[Side], list[str], dict[str, str]]:
    """The methods of all arguments under names of their own; what confirm said of studies; the SHA-256 of each file.

    Raises:
        InputError: what cannot be read, names that are not told apart, or fewer than two methods.
    """
    asked = [Asked.parse(argument) for argument in arguments]
    sides, notes, files = list[tuple[Side, Asked]](), list[str](), dict[str, str]()
    for one in asked:
        if one.is_study:
            found, said = study_sides(one.paths[0], one.label)
            notes += said
            if one.name and len(found) > 1:
                raise InputError(
                    f"{one.argument}: a name is for one method, and {one.paths[0]} has {len(found)}: "
                    f"{listed(tuple(side.label for side in found))}; write {one.name}={one.paths[0]}:LABEL"
                )
            sides += [(side.named(one.name) if one.name else side, one) for side in found]
        else:
            sides.append((read_side(one.name or one.default_name, one.paths, truth, metrics), one))
            files |= {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in one.paths}
    told = _told_apart(sides)
    if len(told) < 2:
        raise InputError(f"a comparison needs two methods or more, got {len(told)}; give a file, or several, for each")
    return told, [*dict.fromkeys(notes)], files


def _told_apart(sides: Sequence[tuple[Side, Asked]]) -> list[Side]:
    """Methods of one name get that of their folder before it, unless a person has given the name."""
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
            f"each method needs a name of its own, got {shown(again[0])} more than once; write NAME=FILE for each, and all "
            "seeds of one method as NAME=FILE,FILE"
        )
    return told
