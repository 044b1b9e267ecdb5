"""Methods from the folder of a confirmed study: its confirm.yaml and its finished runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from hpo.comparison.sides import RUNS, RunFigures, Side
from hpo.confirmation.outcome import CONFIRM, Confirmation
from hpo.confirmation.results import Method
from hpo.runs.sealed import read_sealed
from hpo.runs.store import RUNS_FOLDER, FinishedRun, RunRecord
from hpo.runtime.text import counted, listed
from trainers import TrainConfig
from trainers.errors import InputError, unknown

REMEDY = "confirm the study again (hpo.confirm), which trains the missing runs"


def is_study(path: Path) -> bool:
    """Whether a path is the folder of a confirmed study."""
    return (path / CONFIRM).is_file()


def study_sides(folder: Path, label: str | None) -> tuple[list[Side], list[str]]:
    """The methods of a confirmed study that trained to the end, or the one with a label; and the study's caveats as sentences.

    Raises:
        InputError: confirm.yaml or a run is damaged or missing; no method has that label, or it diverged.
    """
    confirmed = Confirmation.read(folder / CONFIRM)
    methods = {method.label: method for method in confirmed.methods}
    if label is not None and label not in methods:
        raise InputError(f"{folder}: {unknown('method', label, methods)}")
    if label is not None and methods[label].failure:
        raise InputError(f"{folder}: {label} diverged ({methods[label].failure}), so there is nothing to compare; leave it out")
    chosen = [methods[label]] if label is not None else [*methods.values()]
    runs, held_out = _Runs(folder / RUNS_FOLDER), set[str]()
    sides = []
    for method in chosen:
        if not method.failure:
            searches = [[*runs.of(method, seeds)] for seeds in method.seeds]
            held_out |= runs.held_out
            sides.append((method.label, searches))
    if not sides:
        raise InputError(f"{folder}: every method of its {CONFIRM} diverged, so there is nothing to compare")
    if len(held_out) > 1:
        raise InputError(f"{folder}: all runs must have the same test split, and its runs have {len(held_out)}; {REMEDY}")
    notes = [f"{confirmed.study}: {sentence}" for sentence in confirmed.sentences()]
    notes += [f"{confirmed.study}: {method.label} diverged, and is left out" for method in chosen if method.failure]
    said = (f"{confirmed.study}: finished runs of this program, on the test split", *_left_out(confirmed, label))
    data = held_out.pop()
    return [Side(name, RUNS, searches, said, data=data) for name, searches in sides], notes


def _left_out(confirmed: Confirmation, label: str | None) -> Iterator[str]:
    """That baselines are not compared, where a whole study is given."""
    if label is None and confirmed.baselines:
        names = listed(one.label for one in confirmed.baselines)
        yield (
            f"{confirmed.study}: {counted(len(confirmed.baselines), 'baseline')} not compared, {names}: hpo.confirm compares "
            "baselines, and its report has the verdicts"
        )


class _Runs:
    """The finished runs of a study by config. Runs of one config are told apart by the figures in confirm.yaml."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.held_out = folder, set[str]()
        self.by_config: dict[str, list[tuple[RunRecord, Path]]] = {}
        for path in sorted(folder.glob("*.json")):
            record, _ = read_sealed(path)
            found = RunRecord.from_dict(record, str(path), REMEDY)
            self.by_config.setdefault(found.config.digest(), []).append((found, path))

    def of(self, method: Method, seeds: Sequence[int]) -> Iterator[RunFigures]:
        """The runs of one search of a method, one for each seed."""
        config = next((one.config for one in method.searches if one.seeds == seeds), method.config)
        for seed in seeds:
            run, path = self._run(config.replace(seed=seed), method.by_seed[seed], method.label)
            assert run.per_user is not None
            users = run.per_user.astype("float64")
            users.index = pd.Index([str(user) for user in users.index], dtype=object)
            yield RunFigures(str(seed), users, path, run.metrics)

    def _run(self, config: TrainConfig, metrics: dict[str, float], label: str) -> tuple[FinishedRun, Path]:
        for record, path in self.by_config.get(config.digest(), []):
            if record.metrics == metrics:
                self.held_out.add(record.held_out)
                try:
                    return record.run(read_sealed(path)[1]), path
                except ValueError as error:
                    raise InputError(f"{path}: stored run is damaged ({error}); {REMEDY}") from None
        raise InputError(f"{self.folder}: the run of {label} with seed {config.seed} is missing; {REMEDY}")
