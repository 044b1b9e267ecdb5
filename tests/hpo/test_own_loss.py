"""A user's own loss is searched and confirmed like a shipped one. A change of its code is noticed."""

from __future__ import annotations

import importlib
import linecache
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from optuna.trial import TrialState

from hpo import confirm as confirm_command
from hpo import export, report, run, studies, train
from hpo.api import confirm, register_loss, search
from hpo.reporting.export import ExportedConfig
from hpo.runs.store import RunKey
from hpo.runtime.process import SearchFailed
from hpo.search.job import SearchJob
from hpo.study import attributes
from hpo.study.spec import load_spec
from hpo.study.trials import tally
from hpo.study.workspace import Workspace
from search_spaces import SPACES
from search_spaces.fields import FIELDS
from trainers import InputError, Interactions, TrainConfig
from trainers.checkpoints import training_key
from trainers.engines import choose_engine
from trainers.losses import LOSSES
from trainers.losses.own import OWN

from .conftest import Place
from .outcomes import labels

SOURCE = """\
from dataclasses import dataclass
from typing import Literal

import torch

from trainers.losses import Loss, Scores


@dataclass(frozen=True, kw_only=True)
class Soft(Loss):
    name: Literal["soft"] = "soft"
    temperature: float

    def rows(self, scores: Scores) -> torch.Tensor:
        return torch.nn.functional.softplus((scores.negative - scores.positive[:, None]) / self.temperature).mean(1)
"""
CONFIG = {"loss": {"name": "soft", "temperature": 0.2}}


class Own:
    """The file of the loss, and the import of it in this process."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "my_loss.py"
        self.write(SOURCE)

    def write(self, source: str) -> None:
        self.file.write_text(source)
        self.forget()

    def forget(self) -> None:
        """Undo the import, so the process is like a new one."""
        sys.modules.pop("my_loss", None)
        importlib.invalidate_caches()
        linecache.clearcache()
        for table in (LOSSES, OWN, FIELDS, SPACES):
            table.pop("soft", None)  # type: ignore[attr-defined]

    def register(self) -> None:
        register_loss(importlib.import_module("my_loss").Soft, ranges={"temperature": (0.05, 1.0, "log")})


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Own]:
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    loss = Own(tmp_path)
    yield loss
    loss.forget()


def arguments(place: Place, **more: Any) -> dict[str, Any]:
    """The arguments of a search of the tiny study with this loss instead of MML."""
    where = {"output": place.output, "data_dir": str(place.root / "data"), "progress": False}
    return {"space": {"name": "soft"}, "name": "mine", "trials": 2, "epochs": 2, "rivals": ["bpr"], **where, **more}


def searched(place: Place, own: Own) -> None:
    own.register()
    study = search(place.study, **arguments(place))
    assert study.best_config.loss.name == "soft"


def test_an_own_loss_is_searched_and_confirmed_and_commands_import_it(
    place: Place, own: Own, capsys: pytest.CaptureFixture[str]
):
    searched(place, own)
    own.forget()
    verdict_of_command = confirm_command.main(["--study", "mine", *place.where, "--top", "1", "--confirm-epochs", "2"])
    assert verdict_of_command == 0
    assert "soft" in OWN, "the command has imported the loss"
    verdict = confirm("mine", output=place.output, data_dir=str(place.root / "data"), top=1, epochs=2, progress=False)
    assert labels(verdict.confirmed)[:2] == ["Soft tuned", "BPR (published settings of Yelp2018)"]
    own.forget()
    best = place.output / "mine" / "best.yaml"
    assert train.main([str(best), "--data-dir", str(place.root / "data")]) == 0
    own.forget()
    assert ExportedConfig.read(best).config.loss.name == "soft"
    assert report.main(["--study", "mine", "--output", str(place.output)]) == 0
    own.forget()
    bundle = str(place.root / "mine.zip")
    assert export.main(["--study", "mine", "--output", str(place.output), "--bundle", bundle]) == 0
    own.forget()
    assert report.main(["--bundle", bundle]) == 0


@pytest.mark.parametrize("name", ["published", "worker", "value", "train_seconds"])
def test_a_field_with_the_name_of_another_value_of_a_trial_is_refused(place: Place, own: Own, name: str):
    """Every trial would count as the published one, or have a worker that is a number."""
    own.write(SOURCE.replace("    temperature: float\n", f"    temperature: float\n    {name}: float = 0.0\n"))
    own.register()
    with pytest.raises(InputError, match=f"loss soft has a field {name}, .* give the field another name, such as own_{name}"):
        search(place.study, **arguments(place))


REFUSING = SOURCE.replace(
    "    def rows(",
    "    def __post_init__(self):\n        if {bad}:\n            raise ValueError('too warm')\n\n    def rows(",
)


def test_a_trial_with_settings_that_the_loss_refuses_fails_and_the_search_goes_on(
    place: Place, own: Own, capsys: pytest.CaptureFixture[str]
):
    """About a quarter of the draws of a temperature from .05 to 1 by logarithm are from .3 to .6."""
    own.write(REFUSING.format(bad="0.3 < self.temperature < 0.6"))
    own.register()
    study = search(place.study, **arguments(place, trials=12))
    trials = study.optuna.get_trials()
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert 0 < len(failed) < 10
    assert {trial.user_attrs[attributes.FAILURE]["reason"] for trial in failed} == {"too warm"}
    assert all(0.3 < trial.params["temperature"] < 0.6 for trial in failed)
    assert tally(trials).finished == 12
    again = search(place.study, **arguments(place, trials=13))
    assert tally(again.optuna.get_trials()).finished == 13
    capsys.readouterr()
    assert run.main(["--study", "mine", *place.where, "--dry-run"]) == 0


def test_a_loss_that_refuses_nearly_everything_ends_the_search(place: Place, own: Own):
    own.write(REFUSING.format(bad="0.051 < self.temperature < 0.99"))
    own.register()
    with pytest.raises(SearchFailed, match=r"too many trials failed(.|\n)*trial 0: too warm"):
        search(place.study, **arguments(place))


def test_all_attributes_of_trials_are_taken():
    """WORKER_DIED is no attribute, but a key in one."""
    names = {value for key, value in vars(attributes).items() if key.isupper() and isinstance(value, str)}
    assert names - {attributes.WORKER_DIED} <= attributes.TAKEN


def test_a_command_continues_a_study_that_python_began(place: Place, own: Own, capsys: pytest.CaptureFixture[str]):
    searched(place, own)
    own.forget()
    assert run.main(["--study", "mine", *place.where, "--trials", "3", "--search-only"]) == 0
    assert "mine: continuing, 2 of 3 finished" in capsys.readouterr().out
    assert run.main(["--study", "mine", *place.where, "--study-name", "again", "--trials", "1", "--search-only"]) == 0
    assert "again: a new study" in capsys.readouterr().out


def test_an_own_loss_may_be_a_rival(place: Place, own: Own):
    own.register()
    study = search(place.study, **arguments(place, space=None, name="tiny_mml", rivals=["soft"], tune_rivals=True))
    own.forget()
    verdict = confirm(study, top=1, select_seeds=1, seeds=1, epochs=2, progress=False)
    assert "Soft tuned" in labels(verdict.confirmed)
    assert (study.folder / "best-soft.yaml").exists()
    again = confirm(study, top=1, select_seeds=1, seeds=1, epochs=2, rival_seeds={"soft": 1}, progress=False)
    assert again.table.equals(verdict.table)


def test_a_command_that_cannot_import_the_loss_ends_with_a_message(place: Place, own: Own, fails: Callable[[int], str]):
    searched(place, own)
    own.forget()
    own.file.unlink()
    message = fails(report.main(["--study", "mine", "--output", str(place.output)]))
    assert message.startswith("error: study 'mine': loss 'soft' is class Soft of module my_loss, which cannot be imported here")
    assert "run this in the folder of my_loss.py" in message
    assert studies.main(["list", "--output", str(place.output)]) == 0, "other studies are listed"


def test_a_file_with_a_loss_that_is_not_registered_says_so(place: Place, fails: Callable[[int], str]):
    file = place.root / "unregistered.yaml"
    file.write_text("dataset: demo\nspace: {name: soft}\n")
    message = fails(run.main(["--study", str(file), *place.where]))
    assert "unknown space 'soft'" in message
    assert "a loss of your own is known once Python has registered it with register_loss" in message
    file.write_text("loss: {name: soft, temperature: 0.1}\n")
    message = fails(train.main([str(file), "--dataset", "demo"]))
    assert "unknown loss 'soft'" in message
    assert "with register_loss (docs/python.md)" in message


def test_a_study_with_changed_code_is_not_continued_but_can_be_reported(place: Place, own: Own, fails: Callable[[int], str]):
    searched(place, own)
    own.write(SOURCE.replace(".mean(1)", ".sum(1)"))
    own.register()
    with pytest.raises(InputError, match=r"study 'mine' exists, and the code of loss 'soft' .* has changed since") as refused:
        search(place.study, **arguments(place, trials=3))
    assert "restore the code, or give this one another name with name=" in str(refused.value)
    message = fails(confirm_command.main(["--study", "mine", *place.where]))
    assert "study 'mine' cannot continue: the code of loss 'soft' (my_loss:Soft) has changed since" in message
    assert report.main(["--study", "mine", "--output", str(place.output)]) == 0
    search(place.study, **arguments(place, name="other"))
    own.write(SOURCE.replace("import torch\n", "import torch  # with a comment\n"))
    own.register()
    search(place.study, **arguments(place, trials=3))


def test_finished_runs_and_checkpoints_of_other_code_are_not_used(place: Place, own: Own):
    own.register()
    keys = [key_of_a_run(), key_of_a_run()]
    own.write(SOURCE.replace(".mean(1)", ".sum(1)"))
    own.register()
    keys.append(key_of_a_run())
    assert keys[0] == keys[1]
    assert all(one != other for one, other in zip(keys[0], keys[2], strict=True))


def key_of_a_run() -> tuple[str, Any]:
    config = TrainConfig.from_dict(CONFIG)
    seen = Interactions.from_pairs(np.arange(2), np.arange(2), 2, 2)
    choice = choose_engine(config, "torch", "cpu")
    run = RunKey(config, seen.checksum, seen.checksum, "torch", "cpu", ("ndcg@20", "recall@20"))
    return run.digest(), training_key(config, seen, seen, choice)["code"]


def test_the_key_of_a_shipped_loss_has_no_code():
    config = TrainConfig.from_dict({"loss": {"name": "bpr"}})
    assert "code" not in RunKey(config, "a", "b", "torch", "cpu", ("ndcg@20",)).parts()


def test_a_worker_with_other_code_does_not_start(place: Place, own: Own):
    """The file was edited after the parent imported it."""
    own.register()
    spec = load_spec(str(place.study), "mine").override({"space": {"name": "soft"}, "rivals": ()})
    work = Workspace.open(spec, place.output, str(place.root / "data"), "torch", "cpu", rivals=())
    job = SearchJob(work, str(place.output / "journal.log"))
    own.write(SOURCE.replace(".mean(1)", ".sum(1)"))
    with pytest.raises(InputError, match=r"the code of loss 'soft' .* has changed since"):
        job.run(None, None)  # type: ignore[arg-type]  # it is refused before it uses them


def test_workers_refuse_a_loss_from_a_notebook(place: Place, own: Own):
    own.register()
    OWN["soft"] = type(OWN["soft"])("soft", "__main__:Soft", "code")
    with pytest.raises(InputError, match="defined in a notebook or script, which no worker process can import"):
        search(place.study, **arguments(place, workers=2))
    assert not place.output.exists()
