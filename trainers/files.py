"""Writing files: whole or not at all, and failures in one way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from trainers.errors import InputError, first_line


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
