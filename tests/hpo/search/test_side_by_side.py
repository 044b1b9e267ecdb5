"""Studies of a tuning run side by side, in real worker processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState
from rich.console import Console

from hpo.calls import Search
from hpo.search.side_by_side import shares
from hpo.storage.open import open_storage
from hpo.study.attributes import RETRIES, WORKER
from hpo.study.rivals import rivals_of
from hpo.study.spec import load_spec
from trainers.engines import EngineChoice

from ..conftest import Place, make_place
from ..processes import PATIENCE, journal, start, wait_until

STUDIES = "tiny_mml", "tiny_ccl", "tiny_bsl"


def trials(place: Place, study: str) -> list[FrozenTrial]:
    if not Path(journal(place)).exists():
        return []
    storage = open_storage(journal(place))
    names = optuna.get_all_study_names(storage)
    return optuna.load_study(study_name=study, storage=storage).trials if study in names else []


def running(place: Place) -> dict[str, set[int]]:
    """By study the processes that train a trial."""
    at_work = {name: [one for one in trials(place, name) if one.state == TrialState.RUNNING] for name in STUDIES}
    return {
        name: {one.user_attrs[WORKER]["pid"] for one in those if WORKER in one.user_attrs} for name, those in at_work.items()
    }


def found(place: Place) -> dict[str, list[tuple[TrialState, float | None, dict[str, float]]]]:
    return {name: [(one.state, one.value, one.params) for one in trials(place, name)] for name in STUDIES}


@pytest.mark.parametrize(
    ("workers", "studies", "expected"),
    [
        (2, 20, [(0, 1), (1, 1)]),
        (7, 3, [(0, 2), (2, 2), (4, 2)]),
        (3, 3, [(0, 1), (1, 1), (2, 1)]),
        (4, 1, [(0, 4)]),
    ],
)
def test_the_workers_of_a_machine_are_shared_among_the_studies(workers: int, studies: int, expected: list[tuple[int, int]]):
    assert shares(workers, studies) == expected


@pytest.mark.parametrize(
    ("workers", "tune_rivals", "lanes"),
    [(None, True, 4), (1, True, 4), (3, True, 4), (5, True, 4), (6, True, 2), (4, False, 1)],
)
def test_the_default_lanes_follow_from_the_workers_of_one_study(
    workers: int | None, tune_rivals: bool, lanes: int, place: Place, monkeypatch: pytest.MonkeyPatch
):
    """A study and two rivals with 40 trials each, on an engine with lanes. Its workers have a tenth of the trials in all."""
    for module in ("hpo.calls", "hpo.study.workspace"):
        monkeypatch.setattr(f"{module}.choose_engine", lambda *_: EngineChoice("triton", "cuda", "tested"))
    spec = load_spec(str(place.study)).override({"search.trials": 40})
    rivals, where = rivals_of(spec).specs, (place.output, journal(place), str(place.root / "data"))
    search = Search(spec, rivals, *where, workers=workers, tune_rivals=tune_rivals)
    assert search.open(Console(quiet=True)).lanes == lanes


def test_two_workers_find_what_one_finds(place: Place, tmp_path: Path):
    """Each study has one worker, so that its trials do not depend on how many studies are searched at a time."""
    alone = make_place(tmp_path / "alone")
    for each, workers in ((alone, "1"), (place, "2")):
        process = start(each, "--tune-rivals", "--workers", workers)
        shown, errors = process.communicate(timeout=2 * PATIENCE)
        assert process.returncode == 0, errors
        for study in STUDIES:
            assert (each.output / study / "best.yaml").exists()
            assert f"{study}: best trial" in shown
    assert found(place) == found(alone)
    pids = {name: {one.user_attrs[WORKER]["pid"] for one in trials(place, name)} for name in STUDIES}
    assert [len(of_study) for of_study in pids.values()] == [1, 1, 1]
    assert len(set.union(*pids.values())) == 3
    assert all(f"{study}: trial 3" in shown for study in STUDIES), "each line says whose trial it is"


@pytest.fixture
def busy(place: Place) -> Place:
    """Studies with trials that last long enough to be interrupted."""
    for file in (place.study, *(place.root / f"tiny_{name}.yaml" for name in ("ccl", "bsl"))):
        text = file.read_text().replace("epochs: 3", "epochs: 400").replace("interval_steps: 1", "interval_steps: 100")
        file.write_text(text.replace("n_startup_trials: 2", "n_startup_trials: 100"))
    return place


def test_a_signal_stops_all_studies_and_the_same_command_continues(busy: Place):
    process = start(busy, "--tune-rivals", "--workers", "2")
    wait_until(lambda: sum(map(len, running(busy).values())) == 2, process)
    assert [name for name, at_work in running(busy).items() if at_work] == ["tiny_mml", "tiny_ccl"]
    os.kill(process.pid, signal.SIGTERM)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 143
    assert "Traceback" not in errors
    for name in STUDIES[:2]:
        states = [one.state for one in trials(busy, name)]
        assert TrialState.RUNNING not in states
        assert states.count(TrialState.WAITING) >= 1
        assert not any(one.user_attrs.get(RETRIES) for one in trials(busy, name)), "a signal uses up no retry"
    process = start(busy, "--tune-rivals", "--workers", "2")
    _, errors = process.communicate(timeout=3 * PATIENCE)
    assert process.returncode == 0, errors
    for name in STUDIES:
        assert sum(one.state.is_finished() and one.state != TrialState.FAIL for one in trials(busy, name)) == 4


def test_a_killed_worker_is_replaced_and_the_other_study_goes_on(busy: Place):
    process = start(busy, "--tune-rivals", "--workers", "2")
    wait_until(lambda: sum(map(len, running(busy).values())) == 2, process)
    (victim,) = running(busy)["tiny_ccl"]
    os.kill(victim, signal.SIGKILL)
    _, errors = process.communicate(timeout=3 * PATIENCE)
    assert process.returncode == 0, errors
    assert "was killed (SIGKILL)" in errors
    assert [len({one.user_attrs[WORKER]["pid"] for one in trials(busy, name)}) for name in STUDIES] == [1, 2, 1]


def _diverging(file: Path) -> None:
    file.write_text(file.read_text().replace("learning_rate: 1.0e-2", "learning_rate: 1.0e+38"))


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_rival_whose_trials_all_fail_does_not_stop_the_others(place: Place, workers: str):
    _diverging(place.root / "tiny_ccl.yaml")
    process = start(place, "--tune-rivals", "--workers", workers)
    shown, errors = process.communicate(timeout=2 * PATIENCE)
    assert process.returncode == 1, "a search failed"
    assert "study 'tiny_ccl': too many trials failed" in errors
    assert "other searches are not stopped by this" in errors
    assert "tiny_bsl: best trial" in shown
    assert "Traceback" not in errors


@pytest.mark.parametrize("workers", ["1", "3"])
def test_a_study_whose_trials_all_fail_stops_its_rivals(place: Place, workers: str):
    _diverging(place.study)
    process = start(place, "--tune-rivals", "--workers", workers)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "study 'tiny_mml': too many trials failed" in errors
    assert "Traceback" not in errors
    assert trials(place, "tiny_bsl") == [] or workers == "3"
    assert not any(running(place).values())


def test_a_study_whose_worker_is_killed_again_and_again_ends_the_run(busy: Place):
    """No death is allowed here. The remedy names the workers of all studies: this study has one."""
    before = "import hpo.search.processes; hpo.search.processes.MAX_DEATHS = 0"
    process = start(busy, "--tune-rivals", "--workers", "2", before=before)
    wait_until(lambda: sum(map(len, running(busy).values())) == 2, process)
    (victim,) = running(busy)["tiny_ccl"]
    os.kill(victim, signal.SIGKILL)
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "give fewer than 2 --workers" in errors
    assert not any(running(busy).values())


def test_a_study_that_is_deleted_ends_the_run_and_all_workers(busy: Place):
    """It is the first one, so that the others are stopped although the end of its own search fails."""
    process = start(busy, "--tune-rivals", "--workers", "2")
    wait_until(lambda: sum(map(len, running(busy).values())) == 2, process)
    optuna.delete_study(study_name="tiny_mml", storage=open_storage(journal(busy)))
    _, errors = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "tiny_mml" in errors
    assert "was deleted" in errors
    assert "Traceback" not in errors
    states = [one.state for one in trials(busy, "tiny_ccl")]
    assert TrialState.RUNNING not in states
    assert TrialState.WAITING in states
