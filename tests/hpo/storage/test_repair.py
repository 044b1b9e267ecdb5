"""Repair keeps all whole records of a damaged journal, the numbers of its trials, and a copy of the damaged file."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import pytest
from filelock import FileLock
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage

from hpo.storage.repair import Repair, repair
from trainers.errors import InputError

from .journals import (
    DELETES_STUDY,
    ENDS_TRIAL,
    MAKES_STUDY,
    MAKES_TRIAL,
    NO_RECORDS,
    SOUND,
    Lines,
    changed,
    cut,
    index_of,
    values,
    without,
)


def no_trial(storage: BaseStorage) -> Iterable[int]:
    return ()


def repaired(path: Path, lines: Lines, unsound: Callable[[BaseStorage], Iterable[int]] = no_trial) -> Repair:
    path.write_bytes(b"".join(lines))
    done = repair(path, unsound)
    assert done.copy is not None
    assert done.copy.read_bytes() == b"".join(lines)
    assert done.said
    assert repair(path, unsound) == Repair(None, []), "a second repair changes nothing"
    return done


@pytest.mark.parametrize("at", [1, 7, None])
@pytest.mark.parametrize("case", NO_RECORDS)
def test_a_line_that_is_no_record_is_dropped(tmp_path: Path, lines: Lines, case: str, at: int | None):
    path, (content, words) = tmp_path / "journal.log", NO_RECORDS[case]
    at = len(lines) if at is None else at
    (message,) = repaired(path, [*lines[:at], content, *lines[at:]]).said
    assert message.startswith(f"line {at + 1}: ")
    assert words in message
    assert "is dropped" in message
    assert path.read_bytes() == b"".join(lines)


def test_several_broken_lines_are_dropped_and_copies_are_numbered(tmp_path: Path, lines: Lines):
    path = tmp_path / "journal.log"
    damaged = [*lines[:3], b"one\n", *lines[3:9], b"two\n", *lines[9:], b"three\n", b'{"torn']
    first, second = repaired(path, damaged), repaired(path, damaged)
    assert first.said == second.said
    assert [message.partition(";")[0] for message in first.said] == [
        "line 4: 'one' is not JSON",
        "line 11: 'two' is not JSON",
        f"line {len(lines) + 3}: 'three' is not JSON",
        f"line {len(lines) + 4}: '{{\"torn' has no end",
    ]
    assert path.read_bytes() == b"".join(lines)
    names = ["journal.log", "journal.log.damaged-1", "journal.log.damaged-2"]
    assert sorted(file.name for file in tmp_path.iterdir() if not file.name.startswith(".")) == names


def test_a_journal_without_damage_is_not_changed(tmp_path: Path, lines: Lines):
    path = tmp_path / "journal.log"
    path.write_bytes(b"".join(lines))
    before = path.stat()
    assert repair(path, no_trial) == Repair(None, [])
    assert (path.stat().st_ino, path.stat().st_mtime_ns) == (before.st_ino, before.st_mtime_ns)
    assert path.read_bytes() == b"".join(lines)


def test_the_permissions_of_a_journal_are_kept(tmp_path: Path, lines: Lines):
    path = tmp_path / "journal.log"
    path.touch(0o640)
    repaired(path, [*lines, b"x\n"])
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_link_stays_a_link(tmp_path: Path, lines: Lines):
    path, link = tmp_path / "disk" / "studies.log", tmp_path / "journal.log"
    path.parent.mkdir()
    path.write_bytes(b"".join(lines))
    link.symlink_to(path)
    repaired(link, [*lines, b"x\n"])
    assert link.is_symlink()
    assert path.read_bytes() == b"".join(lines)


def test_whole_records_in_a_broken_line_are_kept(tmp_path: Path, lines: Lines):
    path, at = tmp_path / "journal.log", index_of(lines, MAKES_TRIAL, 2)
    glued = [*lines[:at], lines[at].rstrip() + lines[at + 1].rstrip() + lines[at + 2], *lines[at + 3 :]]
    (message,) = repaired(path, glued).said
    assert message.startswith(f"line {at + 1}: ")
    assert message.endswith("is more than one record; 3 records in it kept")
    assert path.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("nth", range(5))
def test_a_record_after_a_torn_one_is_kept(tmp_path: Path, lines: Lines, nth: int):
    """The torn record would make a trial. It was never read, so no other trial replaces it."""
    path, at = tmp_path / "journal.log", index_of(lines, ENDS_TRIAL, nth)
    (message,) = repaired(path, [*lines[:at], lines[index_of(lines, MAKES_TRIAL)][:60] + lines[at], *lines[at + 1 :]]).said
    assert message.endswith("1 record in it kept; the rest is dropped")
    assert path.read_bytes() == b"".join(lines)


@pytest.mark.parametrize("is_gone", [False, True])
@pytest.mark.parametrize("nth", range(5))
def test_if_the_line_that_made_a_trial_is_lost_the_others_keep_their_numbers(
    tmp_path: Path, lines: Lines, nth: int, is_gone: bool
):
    """The last two trials have such lines one after the other."""
    path, at = tmp_path / "journal.log", index_of(lines, MAKES_TRIAL, nth)
    messages = repaired(path, without(lines, at) if is_gone else cut(lines, at, 100)).said
    study, number = [("a", 0), ("b", 0), ("a", 1), ("a", 2), ("b", 1)][nth]
    left: dict[str, list[float | None]] = {name: list(those) for name, those in SOUND.items()}
    left[study][number] = None
    assert values(path) == left
    assert any(f"trial {number} of study {study}, marked as failed, replaces it" in sentence for sentence in messages)


@pytest.mark.parametrize(("nth", "name"), [(0, "a"), (1, "b")])
def test_a_lost_line_that_made_a_study_is_replaced(tmp_path: Path, lines: Lines, nth: int, name: str):
    path, at = tmp_path / "journal.log", index_of(lines, MAKES_STUDY, nth)
    (message,) = repaired(path, [*lines[:at], lines[at][:-3] + b"\n", *lines[at + 1 :]]).said
    assert message.endswith(f"; the line is dropped; study {name} replaces it")
    assert values(path) == SOUND


def test_a_study_without_a_name_is_named_after_its_line(tmp_path: Path, lines: Lines):
    path = tmp_path / "journal.log"
    repaired(path, cut(lines, 0))
    assert values(path) == {"line-1": SOUND["a"], "b": SOUND["b"]}


@pytest.mark.parametrize("number", [3, 4, 7, 999_999])
def test_a_broken_digit_makes_no_trials(tmp_path: Path, lines: Lines, number: int):
    path, at = tmp_path / "journal.log", index_of(lines, ENDS_TRIAL, 0)
    (message,) = repaired(path, changed(lines, at, trial_id=number)).said
    assert "the line is dropped" in message
    assert values(path) == {**SOUND, "a": [None, 2.0, 3.0]}


@pytest.mark.parametrize("code", [DELETES_STUDY, True])
def test_a_broken_digit_deletes_no_study(tmp_path: Path, lines: Lines, code: int):
    """The record of a new trial becomes one that deletes its study. Its other keys show that it is none."""
    path, at = tmp_path / "journal.log", index_of(lines, MAKES_TRIAL, 0)
    (message,) = repaired(path, changed(lines, at, op_code=code)).said
    assert message.endswith("the line is dropped, about study a; trial 0 of study a, marked as failed, replaces it")
    assert values(path) == {**SOUND, "a": [None, 2.0, 3.0]}


@pytest.mark.parametrize("code", range(10))
def test_any_op_code_in_any_line_leaves_both_studies(tmp_path: Path, lines: Lines, code: int):
    """The repair ends, adds no more than a line, and its journal has no further fault."""
    path = tmp_path / "journal.log"
    for at in range(len(lines)):
        path.write_bytes(b"".join(changed(lines, at, op_code=code)))
        repair(path, no_trial)
        assert repair(path, no_trial) == Repair(None, [])
        assert len(path.read_bytes().splitlines()) <= len(lines) + 1
        assert set(values(path)) == set(SOUND)


def test_a_trial_of_a_deleted_study_is_not_replaced_there(tmp_path: Path, lines: Lines):
    """Optuna skips a new trial of a deleted study, so a replacement there would be without effect, and tried again for ever."""
    path, deletion = tmp_path / "journal.log", b'{"op_code":%d,"worker_id":"w","study_id":%d}\n'
    first = [deletion % (DELETES_STUDY, study) for study in (0, 1)]
    at = index_of(lines, MAKES_STUDY, 1) + 1
    repaired(path, [*lines[:at], *first, *lines[at:]])
    assert values(path) == {}
    repaired(path, [*lines[:at], first[0], *lines[at:]])
    found = values(path)
    assert set(found) == {"b"}
    assert [value for value in found["b"] if value is not None] == [1.0, 4.0]


def test_several_studies_whose_lines_are_lost_before_one_line_have_different_names(tmp_path: Path, lines: Lines):
    """With one name, Optuna would skip the second study."""
    path, made = tmp_path / "journal.log", [index_of(lines, MAKES_STUDY, nth) for nth in (0, 1)]
    first = index_of(lines, MAKES_TRIAL, 1)  # of study b
    ours = [line for at, line in enumerate(lines) if at >= first and at not in made]
    repaired(path, ours)
    assert sorted(values(path)) == ["line-1", "line-1-1"]


def test_the_message_has_the_trial_or_study_of_a_broken_line(tmp_path: Path, lines: Lines):
    path, at = tmp_path / "journal.log", index_of(lines, ENDS_TRIAL, 1)
    (message,) = repaired(path, changed(lines, at, op_code=77)).said
    assert message.endswith("(its op_code is 77); the line is dropped, about trial 0 of study b")
    (message,) = repaired(path, [*lines, b'{"op_code":2,"worker_id":"w","study_id":1,"user_attr"\n']).said
    assert message.endswith("is not JSON; the line is dropped, about study b")


def test_incomplete_trials_fail(tmp_path: Path, lines: Lines):
    path = tmp_path / "journal.log"
    messages = repaired(
        path, [*lines, b"x\n"], lambda storage: [trial for trial in (1, 2) if _is_finished(storage, trial)]
    ).said
    assert messages[1:] == [
        f"trial {number} of study {name} is incomplete and counts as failed" for number, name in [(0, "b"), (1, "a")]
    ]
    assert values(path) == {"a": [0.0, None, 3.0], "b": [None, 4.0]}


def _is_finished(storage: BaseStorage, trial: int) -> bool:
    return storage.get_trial(trial).values is not None


def test_missing_files_and_other_files_are_not_repaired(tmp_path: Path):
    with pytest.raises(InputError, match="there is no journal"):
        repair(tmp_path / "journal.log", no_trial)
    other = tmp_path / "x.db"
    other.write_bytes(b"SQLite format 3\x00")
    with pytest.raises(InputError, match="must be an Optuna journal"):
        repair(other, no_trial)
    assert list(tmp_path.iterdir()) == [other]


def test_repair_holds_the_lock_of_the_journal(tmp_path: Path, lines: Lines):
    path, seen = tmp_path / "journal.log", []

    def look(storage: BaseStorage) -> Iterable[int]:
        with FileLock(tmp_path / ".journal.log.lock", blocking=False, thread_local=False) as lock:
            seen.append(lock)
        return ()

    path.write_bytes(b"".join([*lines, b"x\n"]))
    with pytest.raises(StorageInternalError, match="could not be acquired"):
        repair(path, look)
    assert not seen
