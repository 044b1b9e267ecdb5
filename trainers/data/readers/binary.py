"""Reads Parquet files, SciPy's sparse matrices, and interactions that this program saved."""

from __future__ import annotations

import io
import zipfile
import zlib
from collections.abc import Hashable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from trainers.data.readers.layout import Columns, Layout
from trainers.data.readers.names import roles_by_name
from trainers.data.readers.raw import Column, IdColumn, Numbers, RawInteractions, Table, Where
from trainers.data.readers.text import SAMPLE_LINES, explained
from trainers.errors import InputError
from trainers.files import read_arrays
from trainers.text import shown

MOST_BYTES = 2**36  # largest size of the arrays; no table in memory is larger
NOT_A_MATRIX = (ValueError, KeyError, TypeError, AttributeError, NotImplementedError, EOFError, zipfile.BadZipFile, zlib.error)


def read_parquet(path: Path, layout: Layout) -> Table:
    """The used columns of a Parquet file.

    Raises:
        InputError: pyarrow is not installed, the file is no Parquet file, or its columns are unknown.
    """
    _refuse_text_settings(path, layout)
    with explained(path):
        path.open("rb").close()
    try:
        frame = pd.read_parquet(path, engine="pyarrow")
    except ImportError:
        raise InputError(f"{path}: reading Parquet needs pyarrow; run `pip install pyarrow`, or save the file as CSV") from None
    except (ValueError, OSError) as error:  # pyarrow's errors are both
        raise InputError(f"{path}: must be a Parquet file, got one that cannot be read ({str(error).strip()[:200]})") from None
    return table_of(frame, layout.columns, path, "Parquet", 1)


def table_of(frame: pd.DataFrame, columns: Columns | None, where: Where, form: str, first: int) -> Table:
    """The used columns of a pandas table.

    Args:
        columns: the given columns; the others are found by their names.
        where, form: its name in messages, and what it is.
        first: the number of its first row in messages.

    Raises:
        InputError: its columns are unknown, or a cell holds several values.
    """
    names = tuple(map(str, frame.columns))
    sample = [list(map(_text, frame.iloc[:SAMPLE_LINES, index].dropna().tolist())) for index in range(len(names))]
    roles = roles_by_name(names, columns, where, sample)
    cells = {role: _cells(frame.iloc[:, index], role, where) for role, index in roles.used().items()}

    def locate(row: int) -> tuple[str, str]:
        return f"row {row + first}", ", ".join(f"{name}: {cell}" for name, cell in zip(names, frame.iloc[row], strict=True))

    return Table(where, names, roles, cells, form, locate)


def read_matrix(path: Path, layout: Layout) -> RawInteractions:
    """The stored values of a sparse matrix (rows are users, columns are items, values are ratings unless all are 1), or the
    interactions in a file of `saved`.

    Raises:
        InputError: the file is neither, or its values are no finite numbers.
    """
    _refuse_text_settings(path, layout)
    if layout.columns is None and (found := read_saved(path)) is not None:
        return found
    if layout.columns is not None or layout.format == "lines":
        raise InputError(f"{path}: a matrix has neither columns to choose nor lines; leave them out of `data`")
    with explained(path):
        try:
            import scipy.sparse  # takes a quarter of a second, and only matrices need it

            matrix = scipy.sparse.coo_array(scipy.sparse.load_npz(io.BytesIO(path.read_bytes())))
            if len(matrix.shape) != 2:
                raise ValueError(f"its shape must be users x items, and it is {matrix.shape}")
        except NOT_A_MATRIX as error:
            raise InputError(f"{path}: must be a matrix saved by scipy.sparse.save_npz, got another file ({error})") from None
    users, items, values = (np.asarray(part) for part in (matrix.row, matrix.col, matrix.data))
    if values.dtype.kind not in "biuf" or not np.isfinite(values).all():
        raise InputError(
            f"{path}: the values of the matrix must be finite numbers, got {values.dtype}, some of them not finite"
        )
    stored = values != 0
    zeros = int((~stored).sum())
    warnings = (f"stored zeros count as no interactions: {zeros:,}",) if zeros else ()
    users, items, ratings = users[stored].astype(np.int64), items[stored].astype(np.int64), values[stored].astype(np.float64)
    ones = bool((ratings == 1).all())
    said = (
        f"read {len(users):,} {'interactions' if ones else 'ratings'}: a sparse matrix of {matrix.shape[0]:,} users (rows) x "
    )
    said += f"{matrix.shape[1]:,} items (columns)" + ("; all values are 1" if ones else ", rating=value")
    return RawInteractions(IdColumn.of(users), IdColumn.of(items), None if ones else ratings, None, False, said, warnings)


def arrays_of(raw: RawInteractions) -> dict[str, NDArray[Any]]:
    """The arrays of interactions by name; ids that are text as fixed-width text, without Python objects."""
    arrays: dict[str, NDArray[Any] | None] = {"ratings": raw.ratings, "times": raw.times}
    for side, column in (("user", raw.users), ("item", raw.items)):
        arrays[f"{side}_ids"] = column.ids if column.ids.dtype.kind == "i" else column.ids.astype(np.str_)
        arrays[f"{side}_codes"] = column.codes
    return {name: array for name, array in arrays.items() if array is not None}


def saved(raw: RawInteractions) -> bytes:
    """The content of an .npz file with these interactions, whose ids are not parsed again."""
    file = io.BytesIO()
    said = {"said": np.array(raw.said), "warnings": np.array(raw.warnings, np.str_)}
    np.savez_compressed(file, **said, **arrays_of(raw))  # type: ignore[arg-type]
    return file.getvalue()


def read_saved(path: Path) -> RawInteractions | None:
    """The interactions in a file of `saved`; None if the file is something else."""
    with explained(path), path.open("rb") as file:
        try:
            arrays = read_arrays(file, MOST_BYTES)
        except ValueError:
            return None
    if "said" not in arrays:
        return None
    numbers = {name: arrays.get(name) for name in ("ratings", "times")}
    given = [array for array in numbers.values() if array is not None]
    users, items = (_saved_ids(arrays, side) for side in ("user", "item"))
    sizes = {array.shape for array in (*given, *(side.codes for side in (users, items) if side is not None))}
    finite = all(array.dtype == np.float64 and np.isfinite(array).all() for array in given)
    if users is None or items is None or len(sizes) > 1 or not finite or "warnings" not in arrays:
        raise InputError(f"{path}: is damaged or of another version: its arrays are no interactions; save the table again")
    said, warnings = str(arrays["said"]), tuple(map(str, arrays["warnings"].ravel().tolist()))
    return RawInteractions(users, items, numbers["ratings"], numbers["times"], False, said, warnings)


def _saved_ids(arrays: dict[str, NDArray[Any]], side: str) -> IdColumn | None:
    """The ids of the user or the item side in arrays of a file; None if they are none."""
    ids, codes = arrays.get(f"{side}_ids"), arrays.get(f"{side}_codes")
    if ids is None or codes is None:
        return None
    if ids.ndim != 1 or ids.dtype.kind not in "iU" or codes.ndim != 1 or codes.dtype.kind != "i":
        return None
    if not (ids[:-1] < ids[1:]).all() or (len(codes) and not 0 <= codes.min() <= codes.max() < len(ids)):
        return None
    return IdColumn(ids if ids.dtype.kind == "i" else ids.astype(object), codes)


def _refuse_text_settings(path: Path, layout: Layout) -> None:
    found = [key for key in ("separator", "header", "encoding") if getattr(layout, key) is not None]
    if found:
        raise InputError(f"{path}: is no text file, which has no {' and no '.join(found)}; leave it out of `data`")


def _cells(series: pd.Series[Any], role: str, where: Where) -> Column | IdColumn | Numbers:
    if role == "time" and isinstance(series.dtype, (np.dtype, pd.DatetimeTZDtype)) and series.dtype.kind == "M":
        return _seconds(series)
    if role in ("rating", "time") and isinstance(series.dtype, np.dtype) and series.dtype.kind in "biuf":
        return series.to_numpy(dtype=np.float64)
    several: list[Any] = []
    try:
        codes, values = pd.factorize(series, use_na_sentinel=True)
        several = [value for value in values.tolist() if isinstance(value, tuple | frozenset)]
    except TypeError:  # lists, mappings
        several = [value for value in series if not isinstance(value, Hashable)]
    if several:
        raise InputError(
            f"{where}: column {shown(str(series.name))} must hold one value in a row, got {shown(several[0])}; write a row for "
            "each, as DataFrame.explode does"
        )
    try:
        texts = [_text(value, "strict") for value in values.tolist()]
    except UnicodeDecodeError as error:
        raise InputError(
            f"{where}: column {shown(str(series.name))} must hold text, or bytes that are UTF-8, got {shown(error.object)}; "
            "write it as text"
        ) from None
    if (codes >= 0).all():
        return Column(texts, codes)
    return Column([*texts, ""], np.where(codes < 0, len(texts), codes))


def _text(value: object, errors: str = "replace") -> str:
    """A cell as text; bytes are UTF-8."""
    return value.decode(errors=errors) if isinstance(value, bytes) else str(value)


def _seconds(series: pd.Series[Any]) -> NDArray[np.float64]:
    """Seconds since 1970 of a column of dates; NaN for missing dates."""
    naive = series.dt.tz_convert(None) if isinstance(series.dtype, pd.DatetimeTZDtype) else series
    seconds = naive.to_numpy(dtype="datetime64[us]").astype(np.int64) / 1e6
    return np.where(series.isna(), np.nan, seconds)
