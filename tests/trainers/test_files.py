"""Files are written completely or not at all. The message about a failure has rule, path, reason and remedy."""

from __future__ import annotations

import os
from io import BytesIO
from pathlib import Path
from threading import Thread

import numpy as np
import pytest

from trainers.errors import InputError
from trainers.files import read_arrays, write_bytes, write_text, writing


def test_text_and_bytes_are_written(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "a.txt"
    write_text(path, "one ä\n")
    assert path.read_bytes() == "one ä\n".encode()
    write_bytes(path, b"\0two")
    assert path.read_bytes() == b"\0two"
    assert list(path.parent.iterdir()) == [path], "no other file is left"


@pytest.mark.parametrize("fails", ["write", "replace"])
def test_a_failed_write_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fails: str) -> None:
    path = tmp_path / "a.txt"
    write_text(path, "old")
    write = Path.write_bytes

    def full(*arguments: object) -> int:
        raise OSError(28, "No space left on device")

    def half(self: Path, content: bytes) -> int:
        write(self, content[:2])
        return full()

    with monkeypatch.context() as patch:
        patch.setattr(*((Path, "write_bytes", half) if fails == "write" else (os, "replace", full)))
        with pytest.raises(InputError) as caught:
            write_text(path, "newer", "make room")
    assert str(caught.value) == f"{path}: cannot be written: No space left on device; make room"
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_a_file_keeps_its_mode(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("old")
    path.chmod(0o640)
    write_text(path, "new")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("new", 0o640)


def test_a_link_stays_and_its_target_is_written(tmp_path: Path) -> None:
    (tmp_path / "there").mkdir()
    for name, link in (("old.txt", "a.txt"), ("new.txt", "b.txt")):
        (tmp_path / link).symlink_to(Path("there") / name)
    (tmp_path / "there" / "old.txt").write_text("old")
    for link in ("a.txt", "b.txt"):
        write_text(tmp_path / link, f"of {link}")
        assert (tmp_path / link).is_symlink()
    assert {path.name: path.read_text() for path in (tmp_path / "there").iterdir()} == {
        "old.txt": "of a.txt",
        "new.txt": "of b.txt",
    }


def test_what_is_no_regular_file_is_written_to(tmp_path: Path) -> None:
    pipe, found = tmp_path / "pipe", list[str]()
    os.mkfifo(pipe)
    reader = Thread(target=lambda: found.append(pipe.read_text()), daemon=True)
    reader.start()
    write_text(pipe, "through it")
    reader.join(10)
    assert (found, pipe.is_fifo()) == (["through it"], True)
    (tmp_path / "null").symlink_to(os.devnull)
    write_text(tmp_path / "null", "gone")
    assert (tmp_path / "null").is_char_device()
    with pytest.raises(InputError, match="Is a directory"):
        write_text(tmp_path, "x")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["null", "pipe"]


def test_the_message_has_path_reason_and_remedy(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the folder's place")
    path = tmp_path / "file" / "a.txt"
    with pytest.raises(InputError) as caught:
        write_text(path, "")
    assert str(caught.value).startswith(f"{path}: cannot be written: ")
    assert "--" not in str(caught.value), "only the caller knows the flags"
    with pytest.raises(InputError, match=r"cannot be written: .+; give another folder with --output"):
        write_text(path, "", "give another folder with --output")
    with pytest.raises(InputError, match=r"x: cannot be written: no reason number$"), writing(Path("x")):
        raise OSError("no reason number")


def test_arrays_are_read_up_to_a_size_and_without_objects() -> None:
    file, objects = BytesIO(), BytesIO()
    np.savez_compressed(file, a=np.zeros(100_000, np.uint8), b=np.arange(3))
    found = read_arrays(BytesIO(file.getvalue()), 101_000)
    assert found["b"].tolist() == [0, 1, 2]
    assert len(file.getvalue()) < 1500
    with pytest.raises(ValueError, match=r"may have at most 100,000 bytes after decompression, and has 100,\d\d\d"):
        read_arrays(BytesIO(file.getvalue()), 100_000)
    np.savez(objects, a=np.array([{}]))
    for content in (objects.getvalue(), b"", b"PK\x03\x04" + bytes(100), file.getvalue()[:-30]):
        with pytest.raises(ValueError, match=r"."):
            read_arrays(BytesIO(content), 10**6)
