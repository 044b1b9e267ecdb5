"""Replaces lost lines that created studies or trials, for the repair of a journal.

A journal numbers studies and trials in the order of creation. If the line that creates one is lost, later lines are about wrong
studies or trials. So a replacement is created.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime

from optuna.storages.journal._storage import JournalOperation
from optuna.study import StudyDirection
from optuna.trial import TrialState

from hpo.storage.damage import NUMBERS, Replay
from hpo.storage.pieces import Piece, Record

SAYS_IT_MAKES = {"study_id": rb'"op_code":0\b', "trial_id": rb'"op_code":4\b'}


def numbered(pieces: Sequence[Piece]) -> list[Piece]:
    """The pieces, with unusable ones marked as broken, and with replacements for missing ones."""
    found = list(pieces)
    for _ in pieces:
        better = _read(found)
        if better == found:
            return found
        found = better
    return _read(found, to_replace=False)  # a replacement may make an earlier one useless, and so on: there is a last pass


def said_number(key: str, content: bytes) -> int | None:
    """The number of a study or trial that a broken line still shows."""
    found = re.search(rb'"%s":(\d{1,9})\b' % key.encode(), content)
    return int(found[1]) if found else None


def _read(pieces: Sequence[Piece], to_replace: bool = True) -> list[Piece]:
    """Read the pieces up to the first missing study or trial that a broken piece created, and insert a replacement there.

    A replacement that creates nothing is left out: Optuna silently skips a trial of a deleted study.
    """
    replay, done, numbers = Replay(), list[Piece](), _numbers_of_new_trials(pieces)
    for at, piece in enumerate(pieces):
        while to_replace and (key := _missing(pieces, at, replay, numbers.get(at, 0))):
            studies = _studies_of(replay.made("trial_id"), pieces, at)
            if place := _place(done, key):
                earlier = _replayed(done[:place])
                stand_in = _stand_in(key, done[place - 1], studies, earlier)
                if _creates(stand_in, earlier):
                    return [*done[:place], stand_in, *done[place:], *pieces[at:]]
            stand_in = _stand_in(key, replace(piece, content=b""), studies, replay)
            if not _creates(stand_in, replay):
                break
            done.append(stand_in)
        if not piece.stands_for:
            done.append(piece if piece.fault else replace(piece, fault=replay.fault(piece.content)))
        elif _creates(piece, replay):
            done.append(piece)
    return done


def _creates(stand_in: Piece, replay: Replay) -> bool:
    """Apply a replacement; returns whether it created its study or trial."""
    before = replay.made(stand_in.stands_for)
    return not replay.fault(stand_in.content) and replay.made(stand_in.stands_for) > before


def _replayed(pieces: Sequence[Piece]) -> Replay:
    """A replay of the sound pieces."""
    replay = Replay()
    for piece in pieces:
        if not piece.fault:
            replay.fault(piece.content)
    return replay


def _missing(pieces: Sequence[Piece], at: int, replay: Replay, number: int) -> str:
    """What is missing before piece `at`: `study_id`, `trial_id`, or an empty text.

    Args:
        number: the number of the trial that the piece creates; 0 if unknown.
    """
    for key in NUMBERS:
        named, made = pieces[at].names(key), replay.made(key)
        missing = 0 if named is None else named + 1 - made
        if missing > 0 and missing + _not_made(pieces[at:], key, made + missing) < _not_made(pieces[at:], key, made):
            return key  # otherwise the number in the piece is wrong
    return "trial_id" if number > replay.made("trial_id") else ""


def _not_made(pieces: Sequence[Piece], key: str, made: int) -> int:
    """The number of pieces about a study or trial that was not created, given `made` earlier creations."""
    found = 0
    for piece in pieces:
        named = piece.names(key)
        found += named is not None and named >= made
        made += piece.makes(key)
    return found


def _numbers_of_new_trials(pieces: Sequence[Piece]) -> dict[int, int]:
    """The number of each new trial, by the index of the piece that creates it.

    It is known if the next two pieces of the same worker name the same trial. Two are needed, since a digit may be broken.
    """
    said: dict[str, list[tuple[int, int | None]]] = defaultdict(list)  # by worker: index of a piece, and the trial it names
    for at, piece in enumerate(pieces):
        if piece.record and (piece.makes("trial_id") or piece.names("trial_id") is not None):
            said[str(piece.record.get("worker_id"))].append((at, piece.names("trial_id")))
    triples = (triple for each in said.values() for triple in zip(each, each[1:], each[2:], strict=False))
    return {at: again for (at, makes), (_, number), (_, again) in triples if makes is None and number == again is not None}


def _place(done: Sequence[Piece], key: str) -> int:
    """The position after the broken piece that most likely created the missing study or trial; 0 if there is none.

    The most likely one says that it creates one, else it is about no trial, else it is the last one.
    """
    filled = {piece.number for piece in done if piece.stands_for}
    likely = [
        (bool(re.search(SAYS_IT_MAKES[key], piece.content)), b'"trial_id"' not in piece.content, place)
        for place, piece in enumerate(done, start=1)
        if piece.fault and piece.content and piece.number not in filled
    ]
    return max(likely, default=(False, False, 0))[-1]


def _studies_of(trial: int, pieces: Sequence[Piece], at: int) -> list[int]:
    """The studies that a lost trial may belong to, the most likely one first: those that its worker, then any worker, used
    nearby."""
    of_it = next((piece.record for piece in pieces[at:] if piece.names("trial_id") == trial), None) or {}
    nearest = [piece for piece in (*reversed(pieces[:at]), *pieces[at:]) if piece.names("study_id") is not None]
    of_worker = [piece for piece in nearest if piece.record and piece.record.get("worker_id") == of_it.get("worker_id")]
    named = (piece.names("study_id") for piece in (*of_worker, *nearest))
    return list(dict.fromkeys(number for number in named if number is not None))


def _stand_in(key: str, broken: Piece, studies: Sequence[int], replay: Replay) -> Piece:
    """A replacement for what a broken piece created: a study or a failed trial, with the name or study that the piece shows.

    Args:
        studies: the studies that a trial may belong to, the most likely one first.
        replay: the journal up to the replacement. A study gets a new name, and a trial a study that exists.
    """
    if key == "study_id":
        name = re.search(rb'"study_name":"([\w.-]+)"', broken.content)
        called = name[1].decode() if name else f"line-{broken.number}"
        if called in replay.studies.values():
            called = f"line-{broken.number}-{replay.made(key)}"
        record: Record = {"op_code": JournalOperation.CREATE_STUDY, "study_name": called}
        record |= {"directions": [StudyDirection.MAXIMIZE]}
    else:
        said, now = said_number("study_id", broken.content), datetime.now(UTC).isoformat(timespec="microseconds")
        likely = (*studies, *replay.studies) if said is None else (said, *studies, *replay.studies)
        study = next((number for number in likely if number in replay.studies), 0)
        record = {"op_code": JournalOperation.CREATE_TRIAL, "study_id": study}
        record |= {"state": TrialState.FAIL, "datetime_start": now, "datetime_complete": now}
    return Piece.of({**record, "worker_id": "repair"}, broken.number, stands_for=key)
