"""Studies and trials have the numbers in which a journal makes them: a line that made one cannot just be left out.

What is said of each later one would be taken for another's. So something stands in its place.
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
    """The pieces, where those that cannot be used are marked as broken, and something stands for those that are missing."""
    found = list(pieces)
    while (better := _read(found)) != found:
        found = better
    return found


def said_number(key: str, content: bytes) -> int | None:
    """The number of a study or trial in what is broken."""
    found = re.search(rb'"%s":(\d{1,9})\b' % key.encode(), content)
    return int(found[1]) if found else None


def _read(pieces: Sequence[Piece]) -> list[Piece]:
    """One reading of the pieces, up to the first one before which something is missing that a broken one has made."""
    replay, done, numbers = Replay(), list[Piece](), _numbers_of_new_trials(pieces)
    for at, piece in enumerate(pieces):
        while key := _missing(pieces, at, replay, numbers.get(at, 0)):
            place = _place(done, key)
            if place:
                stand_in = _stand_in(key, done[place - 1], _study_of(replay.made("trial_id"), pieces, at))
                return [*done[:place], stand_in, *done[place:], *pieces[at:]]
            made = replay.made(key)
            done.append(_stand_in(key, replace(piece, content=b""), _study_of(replay.made("trial_id"), pieces, at)))
            replay.fault(done[-1].content)
            if replay.made(key) == made:  # no study is left that it could be in
                break
        done.append(piece if piece.fault else replace(piece, fault=replay.fault(piece.content)))
    return done


def _missing(pieces: Sequence[Piece], at: int, replay: Replay, number: int) -> str:
    """What is missing before one of the pieces, `study_id` or `trial_id`; empty when nothing is.

    Args:
        number: of the trial that it makes, 0 where nobody tells.
    """
    for key in NUMBERS:
        named, made = pieces[at].names(key), replay.made(key)
        missing = 0 if named is None else named + 1 - made
        if missing > 0 and missing + _not_made(pieces[at:], key, made + missing) < _not_made(pieces[at:], key, made):
            return key  # else the number is wrong
    return "trial_id" if number > replay.made("trial_id") else ""


def _not_made(pieces: Sequence[Piece], key: str, made: int) -> int:
    """How many pieces are about a study or trial that has not been made, when so many were before them."""
    found = 0
    for piece in pieces:
        named = piece.names(key)
        found += named is not None and named >= made
        made += piece.makes(key)
    return found


def _numbers_of_new_trials(pieces: Sequence[Piece]) -> dict[int, int]:
    """By its place, the number of each trial that a worker has made and then named twice running: one digit may be broken."""
    said: dict[str, list[tuple[int, int | None]]] = defaultdict(list)  # by worker: where a trial is made, or which is named
    for at, piece in enumerate(pieces):
        if piece.record and (piece.makes("trial_id") or piece.names("trial_id") is not None):
            said[str(piece.record.get("worker_id"))].append((at, piece.names("trial_id")))
    triples = (triple for each in said.values() for triple in zip(each, each[1:], each[2:], strict=False))
    return {at: again for (at, makes), (_, number), (_, again) in triples if makes is None and number == again is not None}


def _place(done: Sequence[Piece], key: str) -> int:
    """Behind which broken piece something is missing: one that says that it makes it, or that is about no trial, or the last.

    0 when there is none.
    """
    filled = {piece.number for piece in done if piece.stands_for}
    likely = [
        (bool(re.search(SAYS_IT_MAKES[key], piece.content)), b'"trial_id"' not in piece.content, place)
        for place, piece in enumerate(done, start=1)
        if piece.fault and piece.content and piece.number not in filled
    ]
    return max(likely, default=(False, False, 0))[-1]


def _study_of(trial: int, pieces: Sequence[Piece], at: int) -> int:
    """Where a trial is most likely that was made before one of the pieces: where its worker, or else any other, was at work."""
    of_it = next((piece.record for piece in pieces[at:] if piece.names("trial_id") == trial), None) or {}
    nearest = [piece for piece in (*reversed(pieces[:at]), *pieces[at:]) if piece.names("study_id") is not None]
    of_worker = [piece for piece in nearest if piece.record and piece.record.get("worker_id") == of_it.get("worker_id")]
    return next((number for piece in (*of_worker, *nearest) if (number := piece.names("study_id")) is not None), 0)


def _stand_in(key: str, broken: Piece, study: int) -> Piece:
    """A study, or a failed trial, as much like what a broken piece has made as it tells; else in this study."""
    if key == "study_id":
        name = re.search(rb'"study_name":"([\w.-]+)"', broken.content)
        called = name[1].decode() if name else f"line-{broken.number}"
        record: Record = {"op_code": JournalOperation.CREATE_STUDY, "study_name": called}
        record |= {"directions": [StudyDirection.MAXIMIZE]}
    else:
        said, now = said_number("study_id", broken.content), datetime.now(UTC).isoformat(timespec="microseconds")
        record = {"op_code": JournalOperation.CREATE_TRIAL, "study_id": study if said is None else said}
        record |= {"state": TrialState.FAIL, "datetime_start": now, "datetime_complete": now}
    return Piece.of({**record, "worker_id": "repair"}, broken.number, stands_for=key)
