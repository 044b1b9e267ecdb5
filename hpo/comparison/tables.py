"""Tables of other programs as text cells: CSV, TSV or Parquet, with a header or in a known layout without one."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from hpo.comparison.columns import places_of
from trainers.data.readers.meaning import NUMBER
from trainers.data.readers.names import listed
from trainers.data.readers.tables import find_separator
from trainers.data.readers.text import Text, encoding_of, explained, open_file
from trainers.data.readers.values import LONGEST_ID, POINT_ZERO
from trainers.errors import InputError, first_line
from trainers.files import check_regular
from trainers.text import shown

ENDINGS = (".csv", ".tsv", ".txt", ".parquet", ".csv.gz", ".tsv.gz", ".txt.gz")
# Layouts without a header: names of the columns, and a description.
SCORED = ("user", "item", "score"), "no header: user, item and score, as Elliot writes them"
TREC = ("user", "Q0", "item", "rank", "score", "tag"), "no header: a run in TREC's format"


@dataclass(frozen=True, eq=False)
class Cells:
    """A file's table.

    Attributes:
        columns: the cells (n,) of each column, in the order of `names`: text, or the types of a Parquet file.
        remark: a remark on how it was read; may be empty.
        comma: whether 0,5 is a number.
    """

    path: Path
    names: tuple[str, ...]
    columns: list[pd.Series[Any]]
    remark: str = ""
    comma: bool = False

    def __len__(self) -> int:
        return len(self.columns[0])

    def ids(self, place: int) -> NDArray[np.object_]:
        """A column of ids as text: `12.0` becomes `12`, `007` does not change.

        Raises:
            InputError: an id is empty or too long.
        """
        codes, values = pd.factorize(self.columns[place], use_na_sentinel=True)
        texts = np.array([_id(value) for value in values], dtype=object)
        bad = np.array([not 0 < len(text) <= LONGEST_ID for text in texts], dtype=bool)
        if (codes < 0).any() or bad.any():
            row = int(np.argmax(np.append(bad, True)[codes]))
            raise InputError(
                f"{self.path}, {self.row(row)}: column {shown(self.names[place])} must hold an id of 1 to {LONGEST_ID} "
                "characters; correct or delete the line"
            )
        return np.asarray(texts[codes])

    def numbers(self, place: int) -> NDArray[np.float64]:
        """A column as numbers (n,), NaN for other text."""
        cells = self.columns[place]
        if self.comma and cells.dtype == object:
            cells = cells.astype(str).str.replace(",", ".")
        return np.asarray(pd.to_numeric(cells, errors="coerce"), dtype=np.float64)

    def row(self, row: int) -> str:
        """The position of a row, for a message."""
        return f"row {row + 1:,} below the header" if not self.remark.startswith("no header") else f"row {row + 1:,}"


def _id(value: object) -> str:
    text = str(value).strip()
    return text.split(".")[0] if POINT_ZERO.fullmatch(text) else text


def read_cells(path: Path) -> Cells:
    """The table of a file.

    Raises:
        InputError: the file cannot be read, is empty, binary, not UTF-8, or of an unknown kind, or has no header and no known
            layout.
    """
    try:
        check_regular(path)
    except OSError as error:
        raise InputError(
            f"{path}: cannot be read: {error.strerror or first_line(error)}; give a file that you may read"
        ) from None
    if not path.name.lower().endswith(ENDINGS):
        raise InputError(f"{path}: unknown kind of file {path.suffix!r}; use one of {', '.join(ENDINGS)}")
    cells = _parquet(path) if path.suffix.lower() == ".parquet" else _text(path)
    if not len(cells):
        raise InputError(f"{path}: must hold rows, got columns {listed(cells.names)} and nothing below them")
    return cells


def _parquet(path: Path) -> Cells:
    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except ImportError:
        raise InputError(f"{path}: reading Parquet needs pyarrow; run `pip install pyarrow`, or save the file as CSV") from None
    except (ValueError, OSError) as error:  # pyarrow's errors are both
        raise InputError(
            f"{path}: must be a Parquet file, got one that cannot be read ({first_line(error)}); write it again"
        ) from None
    if any(name is not None for name in frame.index.names):
        frame = frame.reset_index()
    for name in [*frame.columns]:
        if _is_nested(frame[name]):
            frame = _flat(path, frame, name)
    names = tuple(map(str, frame.columns))
    return Cells(path, names, [frame.iloc[:, place] for place in range(len(names))])


def _is_nested(cells: pd.Series[Any]) -> bool:
    return len(cells) > 0 and isinstance(cells.iloc[0], (np.ndarray, list))


def _flat(path: Path, frame: pd.DataFrame, name: str) -> pd.DataFrame:
    """One row for each element of a column that holds lists of records, as LensKit writes recommendations."""
    long = frame.explode(name, ignore_index=True).dropna(subset=[name]).reset_index(drop=True)
    if not all(isinstance(record, dict) for record in long[name]):
        raise InputError(
            f"{path}: must have a row for each user or for each recommended item, got lists in column {shown(name)}; write a "
            "row for each item of a list"
        )
    return pd.concat([long.drop(columns=name), pd.DataFrame(long[name].tolist())], axis=1)


def _text(path: Path) -> Cells:
    text = _decoded(path)
    separator = find_separator(text.sample, "\t" if ".tsv" in path.name.lower() else "") or ","
    try:
        first = next(csv.reader(text.sample[:1], delimiter=separator))
    except csv.Error as error:  # e.g. an endless field
        raise InputError(
            f"{path}: the first line must name the columns, got one that cannot be read ({error}); correct it"
        ) from None
    names, remark = _names([field.strip() for field in first], path)
    frame = _frame(path, text.data, separator, len(names), skip=0 if remark else 1)
    extra = np.flatnonzero(frame[len(names)].str.strip() != "")
    if len(extra):
        raise InputError(
            f"{path}, row {extra[0] + 1:,}: must have the {len(names)} fields of the first line, got more; correct the line, "
            "and put a field that holds the separator in quotes"
        )
    return Cells(path, names, [frame[place] for place in range(len(names))], remark, comma=separator == ";")


def _frame(path: Path, data: bytes, separator: str, width: int, skip: int) -> pd.DataFrame:
    """The cells as text, with one extra column for surplus fields."""
    places = list(range(width + 1))
    try:
        return pd.read_csv(
            io.BytesIO(data),
            sep=separator,
            header=None,
            names=places,
            skiprows=skip,
            dtype=str,
            na_filter=False,
            index_col=False,
        ).astype(object)
    except pd.errors.EmptyDataError:
        return pd.DataFrame({place: pd.Series([], dtype=str) for place in places})
    except ValueError as error:  # includes pandas' parser errors
        raise InputError(
            f"{path}: each line must have the {width} fields of the first one ({first_line(error)}); correct the line, or "
            "write the file again if it is cut off"
        ) from None


def _decoded(path: Path) -> Text:
    """The text of a file, with a sample of its lines."""
    with explained(path), open_file(path) as file:
        data = file.read()
    encoding = encoding_of(data) or "utf-8"
    try:
        content = data.decode(encoding).removeprefix("\ufeff")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        near = data[max(error.start - 10, 0) : error.end + 10]
        raise InputError(
            f"{path}, line {line}: is not {encoding.upper()} text, got {shown(near)}; save the file as UTF-8"
        ) from None
    if "\0" in content:
        raise InputError(f"{path}: must be text, got a zero byte; write the file again as text")
    if not content.strip():
        raise InputError(f"{path}: is empty; write a line with the names of the columns, and rows below it")
    return Text(path, content.replace("\r\n", "\n").replace("\r", "\n").lstrip("\n").encode())


def _names(first: list[str], path: Path) -> tuple[tuple[str, ...], str]:
    """The names of the columns, and a remark if the file has no header."""
    numbers = [NUMBER.fullmatch(field) is not None for field in first]
    is_fraction = [number and not field.isdigit() for number, field in zip(numbers, first, strict=True)]
    if numbers[2:] == [True] and not is_fraction[1]:
        return SCORED
    if len(first) == len(TREC[0]) and first[1] == "Q0":
        return TREC
    if any(numbers):
        raise InputError(
            f"{path}: the first line must name the columns, got {shown(', '.join(first))}; write a first line such as "
            "user,ndcg@20 for figures by user, or user,item,rank for recommendations"
        )
    places_of(first, path)
    return tuple(first), ""
