"""Writes the tables of a league as CSV."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from hpo.confirmation.league_records import pair_records, records
from hpo.confirmation.outcome import Confirmation
from hpo.runtime.text import CHANGE_OUTPUT_HINT
from hpo.study.workspace import Workspace
from trainers.files import write_text, writing

LEAGUE_FILES = "league.csv", "league_pairs.csv"


def export_league(work: Workspace, outcome: Confirmation) -> list[Path]:
    """Write the table of the league and the table of all pairs as CSV. Tables of an earlier confirm are deleted.

    Returns:
        The paths of the files. There are none if the study asks for no league. There is no table of pairs if the test split has
        too few users for a verdict.

    Raises:
        InputError: the folder cannot be written.
    """
    standings, written = outcome.standings, list[Path]()
    tables = ([], []) if standings is None else (records(standings), pair_records(standings))
    for path, rows in zip((work.folder / name for name in LEAGUE_FILES), map(list, tables), strict=True):
        if rows:
            write_text(path, pd.DataFrame(rows, dtype=object).to_csv(index=False), CHANGE_OUTPUT_HINT, make_folder=False)
            written.append(path)
        else:
            with writing(work.folder):
                path.unlink(missing_ok=True)
    return written
