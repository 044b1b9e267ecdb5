"""Results of a study, as tests read them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import optuna

from hpo.confirmation.caveats import Caveat, CaveatKind
from hpo.confirmation.outcome import Confirmation
from hpo.reporting.overview import Overview
from hpo.runs.baseline_results import BaselineResult, Evaluation
from hpo.runs.store import Beyond
from hpo.storage.open import open_storage
from hpo.study.stored import stored_spec
from trainers import TrainConfig

from .conftest import Place

# Data without settings in a paper are compared with the settings of Yelp2018.
MML_OF_YELP, CCL_OF_YELP, BSL_OF_YELP = (f"{name} (published settings of Yelp2018)" for name in ("MML", "CCL", "BSL"))
CONFIG = TrainConfig.from_dict({"loss": {"name": "ccl", "margin": 0.5, "negative_weight": 1.0}})
BEYOND = Beyond(k=20, coverage=0.5, mean_popularity=3.0, gini=0.2, groups=[])


def baseline_result(label: str, metrics: dict[str, float], validation: float = 0.1, **more: Any) -> BaselineResult:
    """A baseline with these figures on test; `more` replaces other fields."""
    fields = {"note": "how it ranks", "beyond": BEYOND, "seconds": 1.0, "made_by": "0.1.0", "name": "ease", "settings": {}}
    tried = [Evaluation(settings={}, value=validation, seconds=2.0)]
    return BaselineResult(
        **{**fields, "label": label, "metrics": metrics, "validation": validation, "evaluations": tried, **more}
    )


def confirmed(place: Place, study: str = "tiny_mml") -> Confirmation:
    return Confirmation.read(place.output / study / "confirm.yaml")


def labels(outcome: Confirmation) -> list[str]:
    return [method.label for method in outcome.methods]


def caveats(place: Place, kind: CaveatKind, study: str = "tiny_mml") -> list[Caveat]:
    """The caveats of one kind, of a confirmed study."""
    return [caveat for caveat in confirmed(place, study).caveats if caveat.kind is kind]


def facts(place: Place, kind: CaveatKind, study: str = "tiny_mml") -> list[tuple[str, dict[str, Any]]]:
    """The subjects and facts of the caveats of one kind."""
    return [(caveat.subject, caveat.facts) for caveat in caveats(place, kind, study)]


def stored_runs(place: Place) -> list[Path]:
    return sorted((place.output / "tiny_mml" / "runs").glob("*.json"))


def opened(place: Place, name: str = "tiny_mml") -> Overview:
    study = optuna.load_study(study_name=name, storage=open_storage(str(place.output / "journal.log")))
    return Overview.of(stored_spec(study), study, place.output / name)


def files(place: Place) -> tuple[str, str]:
    folder = place.output / "tiny_mml"
    return (folder / "report.md").read_text(), (folder / "report.html").read_text()
