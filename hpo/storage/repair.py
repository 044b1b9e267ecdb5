"""Removes the broken lines of a journal. Studies and trials keep their numbers."""

from __future__ import annotations

import io
import os
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path

from optuna.storages import BaseStorage, JournalStorage
from optuna.storages.journal import BaseJournalBackend
from optuna.storages.journal._storage import JournalOperation
from optuna.trial import TrialState

from hpo.runtime.text import counted
from hpo.storage.damage import Replay
from hpo.storage.journal import WholeLines, check_journal, check_writable
from hpo.storage.numbering import numbered, said_number
from hpo.storage.pieces import Piece, Record, in_pieces
from trainers.files import write_bytes, writing


@dataclass(frozen=True)
class Repair:
    """The result of a repair.

    Attributes:
        copy: the path of a copy of the damaged journal; None if nothing was broken.
        said: a sentence for each change.
    """

    copy: Path | None
    said: Sequence[str]


def repair(path: Path, unsound: Callable[[BaseStorage], Iterable[int]]) -> Repair:
    """Drop the broken lines of a journal, under its lock, and save a copy of the damaged journal.

    Args:
        unsound: returns the ids of finished trials that lack something in the repaired storage; they become failed trials.

    Raises:
        InputError: there is no journal, or the journal or its copy cannot be written.
    """
    check_journal(path)
    journal = WholeLines(path)
    check_writable(journal)
    with journal.held():
        pieces = numbered(in_pieces(io.BytesIO(path.read_bytes())))
        kept = [piece for piece in pieces if not piece.fault]
        if kept == pieces and not any(piece.stands_for for piece in pieces):
            return Repair(None, [])
        storage = JournalStorage(_Given([piece.record for piece in kept if piece.record]))
        names, failed = _Names(storage), sorted(unsound(storage))
        said = [*_said(pieces, names), *(f"{names.trial(trial)} is incomplete and counts as failed" for trial in failed)]
        copy = _copied(path)
        write_bytes(path, b"".join(_as_failed(piece, failed) for piece in kept))
    return Repair(copy, said)


def _as_failed(piece: Piece, failed: Sequence[int]) -> bytes:
    """The text of a piece; a record that ends one of the failed trials sets its state to FAIL."""
    record = piece.record or {}
    is_end = record["op_code"] == JournalOperation.SET_TRIAL_STATE_VALUES and TrialState(record["state"]).is_finished()
    if is_end and record["trial_id"] in failed:
        return Piece.of({**record, "state": TrialState.FAIL, "values": None}, piece.number).content
    return piece.content


class _Given(BaseJournalBackend):
    """A read-only journal of given records."""

    def __init__(self, records: list[Record]) -> None:
        self.records = records

    def read_logs(self, log_number_from: int) -> list[Record]:
        return self.records[log_number_from:]

    def append_logs(self, logs: list[Record]) -> None:
        raise NotImplementedError("a journal under repair is read-only")


class _Names:
    """The names of studies and trials by their numbers in the journal."""

    def __init__(self, storage: BaseStorage) -> None:
        self.studies = {study._study_id: study.study_name for study in storage.get_all_studies()}
        self.trials = {
            trial._trial_id: f"trial {trial.number} of study {name}"
            for study, name in self.studies.items()
            for trial in storage.get_all_trials(study, deepcopy=False)
        }

    def study(self, number: int) -> str:
        return f"study {self.studies[number]}" if number in self.studies else f"a study that is not there (study_id {number})"

    def trial(self, number: int) -> str:
        return self.trials.get(number, f"a trial that is not there (trial_id {number})")

    def about(self, content: bytes) -> str:
        """The study or trial that a broken piece is about, if it shows one."""
        trial, study = (said_number(key, content) for key in ("trial_id", "study_id"))
        if trial in self.trials:
            return f", about {self.trials[trial]}"
        return f", about study {self.studies[study]}" if study in self.studies else ""


def _said(pieces: Sequence[Piece], names: _Names) -> Iterator[str]:
    """A sentence for each broken or missing line."""
    stand_ins, broken = _stand_ins(pieces, names), {piece.number for piece in pieces if piece.fault}
    records = Counter(piece.number for piece in pieces if not piece.fault and not piece.stands_for)
    for piece in pieces:
        if piece.fault:
            kept = records[piece.number]
            parts = [f"line {piece.number}: {piece.fault}", *([f"{counted(kept, 'record')} in it kept"] if kept else [])]
            if piece.content or not kept:
                parts.append(f"{'the rest' if kept else 'the line'} is dropped{names.about(piece.content)}")
            parts += [f"{what} replaces it" for number, what in stand_ins if number == piece.number]
            yield "; ".join(parts)
    for number, what in stand_ins:
        if number not in broken:
            yield f"a line before line {number} is missing; {what} replaces it"


def _stand_ins(pieces: Sequence[Piece], names: _Names) -> list[tuple[int, str]]:
    """The replacements: number of the line, and a description."""
    replay, found = Replay(), []
    for piece in pieces:
        if piece.stands_for:
            number = replay.made(piece.stands_for)
            what = names.study(number) if piece.stands_for == "study_id" else f"{names.trial(number)}, marked as failed,"
            found.append((piece.number, what))
        if not piece.fault:
            replay.fault(piece.content)
    return found


def _copied(path: Path) -> Path:
    """Copy the journal to a new file in the same folder; returns its path."""
    copy = next(copy for n in count(1) if not os.path.lexists(copy := path.with_name(f"{path.name}.damaged-{n}")))
    with writing(copy):
        shutil.copy2(path, copy)
    return copy
