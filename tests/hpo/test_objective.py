"""Studies with another objective than NDCG@20, from the search to the report."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import optuna
import pandas as pd
import pytest
from optuna.trial import FrozenTrial

from hpo import report, studies, train
from hpo.confirmation.caveats import CaveatKind
from hpo.storage.open import open_storage
from hpo.study.attributes import FINISHED
from hpo.study.stored import stored_spec
from hpo.study.trials import trial_config
from trainers import Interactions, load_dataset, load_test
from trainers import train as train_config
from trainers.engines.protocol import Vectors
from trainers.metrics.definitions import Metric
from trainers.yaml_files import read_yaml

from ..plain_metrics import plain
from .conftest import Place
from .outcomes import confirmed, facts, files, labels, stored_runs

FEW = ["--select-seeds", "1", "--confirm-seeds", "1"]


def value(objective: str, vectors: Vectors, seen: Interactions, held_out: Interactions) -> float:
    """The mean over users in plain Python."""
    metric, figures = Metric.parse(objective), []
    for user in np.flatnonzero(held_out.per_user):
        known = set(seen.items[seen.users == user].tolist())
        scores = vectors[1] @ vectors[0][user]
        ranked = [item for item in np.argsort(-scores).tolist() if item not in known]
        figures.append(plain(metric.name, ranked, set(held_out.items[held_out.users == user].tolist()), metric.k))
    return float(np.mean(figures))


def trained(trial: FrozenTrial, spec: Any, seen: Interactions) -> Vectors:
    """The vectors of a trial at its end."""
    run = train_config(trial_config(trial, spec), seen, device="cpu")
    for result in run:
        if result.epoch == trial.user_attrs["epochs_trained"]:
            break
    return run.vectors()


def studied(place: Place, objective: str) -> optuna.Study:
    place.edit("dataset: tiny\n", f"dataset: tiny\nobjective: {objective}\n")
    assert place.run() == 0
    return optuna.load_study(study_name="tiny_mml", storage=open_storage(str(place.output / "journal.log")))


@pytest.mark.parametrize(("objective", "second"), [("recall@10", "ndcg@10"), ("map@5", "recall@5")])
def test_a_study_uses_its_objective_from_the_search_to_the_report(
    place: Place, fails: Callable[[int], str], capsys: pytest.CaptureFixture[str], objective: str, second: str
):
    study, k = studied(place, objective), Metric.parse(objective).k
    data = place.root / "data"
    spec, dataset = stored_spec(study), load_dataset("tiny", data)
    whole, parts = dataset.train, dataset.hold_out(spec.validation)
    seen, validation = parts.seen, parts.held_out
    assert study.metric_names == [objective]
    for trial in study.get_trials(states=FINISHED):
        vectors = trained(trial, spec, seen)
        assert trial.value == pytest.approx(value(objective, vectors, seen, validation), abs=1e-9)
        assert trial.user_attrs[second] == pytest.approx(value(second, vectors, seen, validation), abs=1e-9)

    outcome = confirmed(place)
    assert outcome.table_metrics == (objective, second)
    measured = [objective, second, "ndcg@20", "recall@20", "ndcg@50", "recall@50"]
    for method in [*outcome.methods, *outcome.finalists]:
        assert [list(metrics) for metrics in method.by_seed.values()] == [measured] * 2
    assert outcome.chosen.mean(objective) == max(finalist.mean(objective) for finalist in outcome.finalists)
    tuned = outcome.methods[0]
    again = train_config(tuned.config, whole, device="cpu")
    again.finish()
    assert tuned.by_seed[201][objective] == pytest.approx(value(objective, again.vectors(), whole, load_test("tiny", data)))
    assert outcome.comparisons[0].base == pytest.approx(outcome.methods[1].mean(objective), abs=1e-6)
    assert f"the highest {objective} on the test split" in outcome.statements()[1]
    *others, about_searches = outcome.statements()
    assert all(f"{objective} " in sentence for sentence in others)
    assert "another search may find another config" in about_searches

    folder = place.output / "tiny_mml"
    best = read_yaml(folder / "best.yaml")
    assert best["objective"] == objective
    assert list(best["validation"]) == measured
    table = pd.read_csv(folder / "trials.csv")
    assert {objective, second} <= set(table.columns)
    capsys.readouterr()
    assert train.main([str(folder / "best.yaml"), "--data-dir", str(data)]) == 0
    assert f"exported: validation {objective} {best['validation'][objective]:.6f}, {second} " in capsys.readouterr().out
    assert studies.main(["list", "--output", str(place.output)]) == 0
    assert objective in next(line for line in capsys.readouterr().out.splitlines() if "tiny_mml" in line)
    assert report.main(["--study", "tiny_mml", "--output", str(place.output)]) == 0
    for page in files(place):
        assert "ndcg@20" not in page
        assert "recall@20" not in page
        for words in (objective, second, f"coverage@{k}", f"Search: objective {objective}"):
            assert words in page

    place.edit(f"objective: {objective}", "objective: mrr@5")
    assert f"exists with another definition (objective: was '{objective}', now 'mrr@5')" in fails(place.run())


def test_a_rival_with_another_objective_in_its_search_is_not_compared_as_tuned(place: Place):
    place.run("--search-only", study="tiny_ccl.yaml")
    place.edit("dataset: tiny\n", "dataset: tiny\nobjective: recall@10\n")
    assert place.run(*FEW) == 0
    assert "CCL tuned" not in labels(confirmed(place))
    not_tuned = {found["study"]: found for _, found in facts(place, CaveatKind.NOT_TUNED)}
    assert not_tuned["tiny_ccl"]["details"] == [["objective", "ndcg@20", "recall@10"]]
    words = "its study tiny_ccl was searched with other settings: objective (searched with ndcg@20, this study has recall@10)"
    assert any(words in sentence for sentence in confirmed(place).sentences())


def test_rivals_are_searched_for_the_objective_of_the_study(place: Place):
    place.edit("dataset: tiny\n", "dataset: tiny\nobjective: map@5\n")
    assert place.run("--tune-rivals", "--trials", "2", *FEW) == 0
    assert {"MML tuned", "CCL tuned", "BSL tuned"} <= set(labels(confirmed(place)))
    storage = open_storage(str(place.output / "journal.log"))
    for name in ("tiny_mml", "tiny_ccl", "tiny_bsl"):
        assert optuna.load_study(study_name=name, storage=storage).metric_names == ["map@5"]


@pytest.mark.confirmed
def test_runs_for_another_objective_are_trained_again(place: Place):
    """They have the same metrics, but other curves and lists are stored."""
    before = set(stored_runs(place))
    place.edit("dataset: tiny\n", "dataset: tiny\nobjective: recall@20\n")
    assert place.run("--study-name", "mine", *FEW) == 0
    runs = {path.name for path in (place.output / "mine" / "runs").glob("*.json")}
    assert runs
    assert not runs & {path.name for path in before}
    theirs, ours = (
        {path.name for path in (place.output / name / "runs" / "baselines").iterdir()} for name in ("tiny_mml", "mine")
    )
    assert not theirs & ours
