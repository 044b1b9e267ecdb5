"""An engine with several lanes and given learning curves, and the search loop on it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import optuna
from optuna.trial import FrozenTrial, TrialState

from hpo.runtime.signals import Stopper
from hpo.search.scheduler import Scheduler
from hpo.study.sampling import make_pruner, make_sampler
from hpo.study.spec import StudySpec
from trainers import TrainConfig
from trainers.engines import EpochResult
from trainers.engines.protocol import State, Vectors
from trainers.stopping import never

Curve = Callable[[TrainConfig, int], float]


class GivenCurves:
    """An engine with several lanes that trains nothing. The NDCG of a config after each epoch is given."""

    def __init__(self, lanes: int, curve: Curve) -> None:
        self.lanes = lanes
        self.curve = curve
        self.busy: dict[int, tuple[TrainConfig, int]] = {}
        self.most_busy = 0

    should_stop = staticmethod(never)

    def start(self, lane: int, config: TrainConfig) -> None:
        assert lane not in self.busy, "a lane is started only when it is free"
        self.busy[lane] = (config, 0)

    def state(self, lane: int) -> State:
        return {"epochs_done": np.array(self.busy[lane][1])}

    def resume(self, lane: int, config: TrainConfig, state: State) -> None:
        self.start(lane, config)
        self.busy[lane] = (config, int(state["epochs_done"]))

    def epoch(self) -> list[EpochResult]:
        self.most_busy = max(self.most_busy, len(self.busy))
        results = []
        for lane, (config, done) in list(self.busy.items()):
            self.busy[lane] = (config, done + 1)
            value = self.curve(config, done + 1)
            metrics = {"ndcg@20": value, "recall@20": 2 * value}
            results.append(EpochResult(lane, done + 1, value, metrics, 0.5, 0.25))
        return results

    def vectors(self, lane: int) -> Vectors:
        raise AssertionError("the search needs no vectors")

    def stop(self, lane: int) -> None:
        del self.busy[lane]


class Silent:
    def begin(self, study: optuna.Study, budget: int) -> None: ...

    def running(self, epochs: Mapping[int, int], study: optuna.Study) -> None: ...

    def finished(self, trial: FrozenTrial, study: optuna.Study) -> None: ...


def spec(trials: int, epochs: int = 4, **pruner: object) -> StudySpec:
    pruner = {"interval_steps": 1, **pruner} if pruner else {"name": "none"}
    search = {"trials": trials, "epochs": epochs, "starts": 0, "pruner": pruner}
    return StudySpec.model_validate({"name": "s", "dataset": "demo", "space": {"name": "ccl"}, "search": search})


def scheduler(of: StudySpec, engine: GivenCurves, study: optuna.Study | None = None) -> Scheduler:
    study = study or optuna.create_study(direction="maximize")
    study.sampler = make_sampler(of.search, engine.lanes)
    study.pruner = make_pruner(of.search.pruner, of.search.epochs)
    return Scheduler(study, of, engine, Silent(), Stopper())


def by_margin(config: TrainConfig, epoch: int) -> float:
    return config.loss.margin * epoch  # type: ignore[attr-defined]


def states(study: optuna.Study) -> list[TrialState]:
    return [trial.state for trial in study.trials]
