"""Atomic writing of files with uniform errors, and safe reading of arrays."""

from __future__ import annotations

import os
import stat
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, BinaryIO
from uuid import uuid4

import numpy as np
from numpy.typing import NDArray

from trainers.errors import InputError, first_line

KINDS = {stat.S_IFDIR: "a folder", stat.S_IFIFO: "a named pipe", stat.S_IFSOCK: "a socket"}


def check_regular(path: Path) -> None:
    """Check that a path is a regular file before it is opened: a named pipe may block for ever, a device may be endless.

    Raises:
        InputError: it is no regular file.
        OSError: it does not exist, or may not be accessed.
    """
    mode = path.stat().st_mode
    if not stat.S_ISREG(mode):
        raise InputError(f"{path}: is {KINDS.get(stat.S_IFMT(mode), 'a device')}; give a regular file")


@contextmanager
def writing(path: Path, remedy: str = "") -> Iterator[None]:
    """Within the block, raise an OSError as an InputError that the path cannot be written.

    Args:
        path: the file, or its folder.
        remedy: what the user can do, such as `give another folder with --output`.

    Raises:
        InputError: replaces an OSError.
    """
    try:
        yield
    except OSError as error:
        reason = error.strerror or first_line(error)
        raise InputError(f"{path}: cannot be written: {reason}" + (f"; {remedy}" if remedy else "")) from None


def check_new_files(folder: Path) -> None:
    """Make a file in a folder and remove it.

    Raises:
        OSError: the folder takes no new files.
    """
    probe = folder / f".writable-{uuid4().hex}"  # other processes and machines may look, too
    probe.touch()
    probe.unlink()


def write_bytes(path: Path, content: bytes, remedy: str = "", make_folder: bool = True) -> None:
    """Write a file atomically: a reader sees the old or the new content.

    A link stays, and its target is written; a file that is replaced keeps its mode. What is no regular file, such as a named
    pipe, is written to.

    Args:
        remedy: see `writing`.
        make_folder: whether to create the folder of the file.

    Raises:
        InputError: the folder cannot be created, or the file cannot be written.
    """
    target = Path(os.path.realpath(path))
    scratch = target.with_name(f".{os.getpid()}.{target.name}")
    with writing(path, remedy):
        if make_folder:
            target.parent.mkdir(parents=True, exist_ok=True)
        mode = path.stat().st_mode if path.exists() else None
        if mode is not None and not stat.S_ISREG(mode):
            path.write_bytes(content)
            return
        try:
            scratch.write_bytes(content)
            if mode is not None:
                scratch.chmod(stat.S_IMODE(mode))
            os.replace(scratch, target)
        except BaseException:
            with suppress(OSError):
                scratch.unlink()
            raise


def write_text(path: Path, text: str, remedy: str = "", make_folder: bool = True) -> None:
    """Write a text in UTF-8, see `write_bytes`."""
    write_bytes(path, text.encode(), remedy, make_folder)


def read_arrays(file: BinaryIO, most_bytes: int) -> dict[str, NDArray[Any]]:
    """The arrays of an .npz file by name, without Python objects.

    Args:
        most_bytes: largest total size after decompression: a small file may decompress to gigabytes.

    Raises:
        ValueError: the arrays are larger, or the file is damaged or of another kind.
        OSError: the file cannot be read.
    """
    try:
        with zipfile.ZipFile(file) as packed:
            unpacked = sum(member.file_size for member in packed.infolist())
        file.seek(0)
        with np.load(file, allow_pickle=False) as arrays:
            found = {name: arrays[name] for name in arrays.files if unpacked <= most_bytes}
    except OSError:
        raise
    except Exception as error:  # zipfile and NumPy may raise any error for foreign bytes
        raise ValueError(first_line(error)) from None
    if unpacked > most_bytes:
        raise ValueError(f"it may have at most {most_bytes:,} bytes after decompression, and has {unpacked:,}")
    if not all(isinstance(array, np.ndarray) for array in found.values()):
        raise ValueError("it holds more than arrays")
    return found
