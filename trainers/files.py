"""Writing files: whole or not at all, and failures in one way. Reading none that blocks, and arrays of unknown origin."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from trainers.errors import InputError, first_line

KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}


def check_regular(path: Path) -> None:
    """Look at the kind of a file before it is opened: a named pipe may block for ever, a device may have no end.

    Raises:
        InputError: it is no regular file.
        OSError: it does not exist, or may not be looked at.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is {KINDS.get(stat.S_IFMT(mode), 'a device')}; give a regular file")


@contextmanager
def writing(path: Path, remedy: str = "") -> Iterator[None]:
    """Within the block, say in one way that the operating system does not let us write.

    Args:
        path: what is written, or the folder that it goes to.
        remedy: what the user can do about it, such as `give another folder with --output`.

    Raises:
        InputError: in place of an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise InputError(f"{path}: cannot be written: {reason}" + (f"; {remedy}" if remedy else "")) from None


def write_bytes(path: Path, content: bytes, remedy: str = "", make_folder: bool = True) -> None:
    """Write a file so that a reader sees the old or the new content, never half of it.

    Args:
        remedy: as for `writing`.
        make_folder: whether its folder is made; if not, there must be one.

    Raises:
        InputError: the folder cannot be made, or the file not written.
    """
    scratch = path.with_name(f".{os.getpid()}.{path.name}")
    with writing(path, remedy):
        if make_folder:
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            scratch.write_bytes(content)
            os.replace(scratch, path)
        except BaseException:
            with suppress(OSError):
                scratch.unlink()
            raise


def write_text(path: Path, text: str, remedy: str = "", make_folder: bool = True) -> None:
    """As `write_bytes`, in UTF-8."""
    write_bytes(path, text.encode(), remedy, make_folder)


def read_arrays(file: BinaryIO, most_bytes: int) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name, none of Python objects.

    Args:
        most_bytes: how large they may be unpacked, all together: a few bytes can stand for gigabytes.

    Raises:
        ValueError: they are larger, or the file is damaged or another one.
        OSError: it cannot be read.
    """
    try:
        with zipfile.ZipFile(file) as packed:
            unpacked = sum(member.file_size for member in packed.infolist())
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files if unpacked <= most_bytes}
    except OSError:
        raise
    except Exception as error:  # whatever the two readers, and those of their formats, raise on foreign bytes
        raise ValueError(first_line(error)) from None
    if unpacked > most_bytes:
        raise ValueError(f"it may have at most {most_bytes:,} bytes unpacked, and has {unpacked:,}")
    if not all(isinstance(array, np.ndarray) for array in found.values()):
        raise ValueError("it holds more than arrays")
    return found
