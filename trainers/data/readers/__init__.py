"""Reads files of interactions: NGCF text, tables, JSON, Parquet, matrices. Results describe how the file was read."""

from __future__ import annotations

from pathlib import Path

from trainers.data.readers.binary import read_matrix, read_parquet
from trainers.data.readers.kinds import read_plain
from trainers.data.readers.layout import Columns as Columns
from trainers.data.readers.layout import Layout as Layout
from trainers.data.readers.lines import read_lines
from trainers.data.readers.raw import RawInteractions as RawInteractions
from trainers.data.readers.records import read_records
from trainers.data.readers.tables import read_table
from trainers.data.readers.text import read_text
from trainers.data.readers.values import interactions
from trainers.errors import InputError

TEXT = (".txt", ".csv", ".tsv", ".inter", ".dat", ".data", ".json", ".jsonl")
SUFFIXES = (*TEXT, ".parquet", ".npz", *(f"{suffix}.gz" for suffix in TEXT))


def read_interactions(path: Path, layout: Layout = Layout()) -> RawInteractions:  # noqa: B008  # it is frozen
    """The interactions of a file.

    Args:
        layout: the parts of the layout that the file itself does not show.

    Raises:
        InputError: the ending is not in SUFFIXES, or the file cannot be read or is ambiguous; the message gives file, line,
            content and remedy.
    """
    suffix = suffix_of(path)
    if suffix is None:
        raise InputError(f"{path}: unknown kind of file {path.suffix!r}; use one of {', '.join(SUFFIXES)}")
    if suffix == ".npz":
        return read_matrix(path, layout)
    if suffix == ".parquet":
        return interactions(read_parquet(path, layout))
    if suffix.startswith(".json"):
        return interactions(read_records(path, layout))
    text = read_text(path, layout.encoding)
    if layout.format == "lines":
        return read_lines(text)
    if suffix.startswith(".txt") and not layout.says_table:
        return read_plain(text)
    return interactions(read_table(text, layout))


def suffix_of(path: Path) -> str | None:
    """The longest of SUFFIXES with which a file's name ends, in any case; None if there is none."""
    name = path.name.lower()
    return max((suffix for suffix in SUFFIXES if name.endswith(suffix)), key=len, default=None)


def find_recbole(folder: Path) -> Path | None:
    """The file of interactions in RecBole's layout, NAME/NAME.inter or NAME/NAME.inter.gz; None if there is none."""
    names = (f"{folder.resolve().name}.inter", f"{folder.resolve().name}.inter.gz")
    return next((folder / name for name in names if (folder / name).is_file()), None)
