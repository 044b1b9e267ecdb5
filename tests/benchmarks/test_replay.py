"""The replay on curves made by hand, which have a known outcome, and the recorder on a tiny study."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.pruners import BasePruner, MedianPruner, NopPruner, PercentilePruner

from benchmarks.replay import record as recorder
from benchmarks.replay.policies import PRUNED, ConstantEpochs, Pool, Pruning, ShortRuns, best_within
from benchmarks.replay.record import load_group, record
from benchmarks.replay.recordings import EVERYBODY, Curve, Recording, Short, read_all
from benchmarks.replay.report import agreement, report, winner
from benchmarks.replay.simulate import MEDIANS, Group, Outcome, orders_of, outcome, play_all
from benchmarks.soak import write_data
from hpo.runtime.signals import Stopper
from trainers import TrainConfig, load_dataset, train
from trainers.errors import InputError

STUDY = """\
dataset: tiny
space: {name: mml, n_margins: 2}
config: {encoder: {name: mf, dim: 8}, negatives: {name: uniform, count: 7}, learning_rate: 1.0e-2, batch_size: 64}
"""
EPOCHS = 4
RISING = [[0.1, 0.2, 0.3, 0.4], [0.2, 0.3, 0.4, 0.5], [0.3, 0.4, 0.5, 0.6], [0.1, 0.29, 0.8, 0.9], [0.3, 0.3, 0.6, 0.7]]


def curve(trial: int, values: Sequence[float], sampled: Sequence[float] = ()) -> Curve:
    """An epoch takes 1 s, and its evaluation .1 s to fetch and .4 s to rank. A short run has the value of its last epoch."""
    n = len(values)
    return Curve(
        trial=trial,
        params={},
        config={},
        values={EVERYBODY: list(values), 10: list(sampled or values)},
        train_seconds=[1.0] * n,
        fetch_seconds=[0.1] * n,
        rank_seconds=[0.4] * n,
        short={n: Short(value=values[n - 1], train_seconds=float(n), rank_seconds=0.5) for n in (1, 2)},
    )


def pool(curves: Sequence[Sequence[float]] = RISING) -> Pool:
    return Pool([curve(number, values) for number, values in enumerate(curves)], users=40)


def median(startup: int = 3, first: int = 2, interval: int = 1, sample: int = EVERYBODY) -> Pruning:
    make = partial(MedianPruner, startup, first, interval)
    return Pruning("median", make, tuple(range(first, EPOCHS, interval)), startup, sample)


NONE = Pruning("none", NopPruner, ())


def test_without_a_policy_every_config_is_completed_and_evaluated_once():
    timeline = NONE.play(pool(), range(5))
    assert timeline.values.tolist() == [0.4, 0.5, 0.6, 0.9, 0.7]
    assert timeline.clock == pytest.approx([4.5, 9.0, 13.5, 18.0, 22.5])
    assert timeline.best(13.5) == 0.6
    assert timeline.best(4.0) == PRUNED


def test_the_median_pruner_stops_trials_below_the_median_and_pays_for_their_evaluations():
    """The median of three complete trials at epoch 2 is .3: .29 is pruned and .3 is not. At epoch 3 the latter is above .4."""
    timeline = median().play(pool(), range(5))
    assert timeline.values.tolist() == [0.4, 0.5, 0.6, PRUNED, 0.7]
    assert np.diff(timeline.clock, prepend=0.0) == pytest.approx([5.5, 5.5, 5.5, 2.5, 5.5])


def test_decisions_on_a_sample_use_its_values_and_cost_its_share_of_ranking():
    """On the sample, 10 of 40 users, trial 4 is below the median of .3 at epoch 2. On all users it would not be."""
    curves = [curve(number, values) for number, values in enumerate(RISING)]
    curves[4] = curve(4, RISING[4], sampled=[0.2, 0.2, 0.2, 0.2])
    timeline = median(sample=10).play(Pool(curves, users=40), range(5))
    assert timeline.values.tolist() == [0.4, 0.5, 0.6, PRUNED, PRUNED]
    assert np.diff(timeline.clock, prepend=0.0) == pytest.approx([4.9, 4.9, 4.9, 2.2, 2.2])


@pytest.mark.parametrize("n_min_trials", [1, 3, 5])
@pytest.mark.parametrize(
    "make",
    [
        *(partial(MedianPruner, startup, 4, interval) for startup in (5, 10) for interval in (1, 2, 3)),
        *(partial(PercentilePruner, percentile, 5, 4, 2) for percentile in (25.0, 75.0)),
    ],
)
def test_the_replay_prunes_the_trials_that_a_study_would_prune(make: partial[BasePruner], n_min_trials: int):
    """The study gets the same values by `ask`, `report` and `tell`. n_min_trials has no effect."""
    curves = np.random.default_rng(3).random((30, 12)).cumsum(axis=1)
    interval = make.args[-1]
    decisions = tuple(range(4, 12, interval))
    timeline = Pruning("one", make, decisions).play(pool(curves.tolist()), range(30))
    study = optuna.create_study(direction="maximize", pruner=make(n_min_trials=n_min_trials))
    expected = []
    for values in curves.tolist():
        trial = study.ask()
        for epoch in (*decisions, 12):
            trial.report(values[epoch - 1], epoch)
            if epoch < 12 and trial.should_prune():
                study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                expected.append(PRUNED)
                break
        else:
            study.tell(trial, values[-1])
            expected.append(values[-1])
    assert timeline.values.tolist() == expected
    assert PRUNED in expected


def test_constant_epochs_train_the_best_share_to_the_end():
    """After epoch 1 trials 2 and 4 are the best with .3. The cost: 5 x 1.5 s, then 3 epochs and an evaluation for each."""
    timeline = ConstantEpochs("one", epochs=1, share=0.4).play(pool(), range(5))
    assert timeline.configs.tolist() == [2, 4]
    assert timeline.values.tolist() == [0.6, 0.7]
    assert timeline.clock == pytest.approx([7.5 + 3.5, 7.5 + 7.0])


def test_short_runs_are_promoted_twice_and_start_again():
    """All train for one epoch (1.5 s each), two for two epochs (2.5 s each), and the better of them, .4, to the end (4.5 s)."""
    timeline = ShortRuns("short", lengths=(1, 2), share=0.4).play(pool(), range(5))
    assert timeline.configs.tolist() == [2]
    assert timeline.clock == pytest.approx([7.5 + 5.0 + 4.5])


def test_a_policy_that_plans_starts_with_as_many_configs_as_it_can_complete():
    """Three configs cost 4.5 + 3.5 s, and two cost 3 + 3.5 s, with trial 1 as the best. A policy without a plan just ends."""
    policy, configs = ConstantEpochs("one", epochs=1, share=0.4), pool()
    whole = policy.play(configs, range(5))
    found = [best_within(policy, configs, range(5), whole, budget) for budget in (4.9, 6.5, 8.0, 14.5)]
    assert found == [PRUNED, 0.5, 0.6, 0.7]
    assert best_within(NONE, configs, range(5), NONE.play(configs, range(5)), 9.0) == 0.5


def test_an_outcome_has_seconds_regret_and_whether_the_best_was_lost():
    """After its start-up the pruner stops .9, and .7 is the best. A quarter of the budget of 22.5 s completes one trial."""
    found = outcome(median(), pool(), [[0, 1, 2, 3, 4], [3, 0, 1, 2, 4]])
    assert found.spent == pytest.approx([24.5 / 22.5, 27.5 / 22.5])
    assert found.after_startup == pytest.approx([8.0 / 9.0, 11.0 / 9.0])
    assert found.regret == pytest.approx([2 / 9, 0.0])
    assert (found.lost.tolist(), found.at_risk.tolist()) == ([True, False], [True, False])
    assert found.regrets[:, 0] == pytest.approx([5 / 9, 0.0])
    assert found.pruned == pytest.approx([0.2, 0.0])


def test_orders_are_random_and_reproducible():
    """With `first=3` the first three trials come first, in any order."""
    configs = pool()
    assert orders_of(configs, 5) == orders_of(configs, 5)
    assert len({tuple(order) for order in orders_of(configs, 5)}) > 1
    found = orders_of(configs, 20, first=3)
    assert all(set(order[:3]) == {0, 1, 2} and set(order) == {0, 1, 2, 3, 4} for order in found)
    assert len({tuple(order) for order in found}) > 1


def given(regret: float, orders: int = 4) -> Outcome:
    """An outcome with the same regret for every budget, and an error over orders."""
    errors = np.resize([0.01, -0.01], orders)
    nothing = np.zeros(orders)
    return Outcome(*[nothing] * 4, np.stack([regret + errors] * 4, axis=1), *[nothing.astype(bool)] * 3)


def test_of_equally_good_settings_the_one_that_prunes_latest_is_taken():
    """The earliest settings and one at 60 % have a regret of .05, all others .1."""
    good = [setting for setting in MEDIANS if setting.warm_up == 0.3 or (setting.warm_up, setting.interval) == (0.6, 2)]
    outcomes = {setting.name: given(0.05 if setting in good else 0.1) for setting in MEDIANS}
    lowest, taken, equal = winner([Group(tiny_recording(), pool(), outcomes, {})])
    assert lowest.warm_up == 0.3
    assert (taken.warm_up, taken.interval, taken.startup) == (0.6, 2, 10)
    assert equal == good


def test_agreement_has_the_early_rank_of_the_final_best():
    final = np.array([0.1, 0.2, 0.3, 0.4])
    assert agreement(np.array([0.1, 0.2, 0.4, 0.3]), final) == "0.80 / -1.00, 2."


def tiny_recording() -> Recording:
    header = recorder.Header.model_construct(dataset="tiny", space="mml", startup=2, users=40, samples=[10])
    return Recording(header, [curve(number, values) for number, values in enumerate(RISING)])


@pytest.fixture
def tiny(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a tiny study. A recording of it has six epochs, two random configs, and a sample of 10 of 200 users."""
    write_data(tmp_path / "data" / "tiny")
    (tmp_path / "tiny.yaml").write_text(STUDY)
    for name, value in {"EPOCHS": 6, "STARTUP": 2, "SHORT_EPOCHS": (2, 3), "SAMPLES": (10, 1000)}.items():
        monkeypatch.setattr(recorder, name, value)
    return tmp_path


def recorded(tiny: Path, folder: str, configs: int, study: str = "tiny.yaml") -> Recording:
    return record(str(tiny / study), tiny / folder, str(tiny / "data"), Stopper(), configs)


def figures(recording: Recording) -> list[tuple[object, ...]]:
    """All recorded facts but the seconds."""
    return [
        (one.trial, one.params, one.config, one.values, {n: run.value for n, run in one.short.items()})
        for one in recording.curves
    ]


def test_an_interrupted_recording_continues_to_the_same_curves(tiny: Path):
    """After an interruption TPE proposes the same third config. The written file is read again."""
    whole = recorded(tiny, "whole", 4)
    recorded(tiny, "parts", 2)
    parts = recorded(tiny, "parts", 4)
    assert figures(parts) == figures(whole)
    assert Recording.read(tiny / "parts" / "tiny.jsonl") == parts
    first = whole.curves[0]
    assert {size: len(values) for size, values in first.values.items()} == {EVERYBODY: 6, 10: 6}
    assert first.config["epochs"] == 6
    assert first.final != first.short[3].value
    assert len({one.final for one in whole.curves}) > 1


def test_curves_have_the_values_that_a_search_reports(tiny: Path):
    """The engine's own evaluation of the config has the same values after the same epochs."""
    (first,) = recorded(tiny, "one", 1).curves
    split = load_dataset("tiny", str(tiny / "data"))
    parts = split.hold_out(split.default_validation())
    run = train(
        TrainConfig.from_dict(first.config), parts.seen, parts.held_out, evaluate_every=1, metrics=("ndcg@20", "recall@20")
    )
    assert [round(one.metrics["ndcg@20"], 6) for one in run if one.metrics] == first.values[EVERYBODY]


def test_a_study_with_another_space_has_its_own_recording(tiny: Path):
    spec = load_group(f"{tiny / 'tiny.yaml'}:ccl")
    assert (spec.name, spec.space.name) == ("tiny_ccl", "ccl")
    assert (spec.search.epochs, spec.search.starts, spec.search.pruner.name) == (6, 0, "none")


def test_a_recording_of_another_definition_is_not_continued(tiny: Path):
    recorded(tiny, "out", 1)
    (tiny / "tiny.yaml").write_text((tiny / "tiny.yaml").read_text().replace("1.0e-2", "2.0e-2"))
    with pytest.raises(
        InputError, match=r"tiny.jsonl was recorded with other settings: config.learning_rate was 0.01, now 0.02; move it away"
    ):
        recorded(tiny, "out", 2)


def test_a_recording_can_be_replayed_and_reported(tiny: Path):
    recorded(tiny, "out", 4)
    recorded(tiny, "out", 1, study="tiny.yaml:ccl")
    (found,), left_out = read_all(tiny / "out", [], fewest=4)
    assert left_out == ["tiny_ccl (1 configs)"]
    text = report([play_all(found, orders=2), play_all(found, orders=2)])
    assert "| tiny mml | 4 | 200 |" in text
    assert "### tiny mml (mean ± standard error over 2 orders)" in text
    assert "| none | 100 | 100 | 0 | 0 | 0.00 ± 0.00 |" in text
    assert "lowest of the median pruner's settings is" in text


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "is no recording"),
        ("{", "is no recording"),
        ("{}\n", "this version reads format 1, got none"),
    ],
)
def test_a_file_that_is_no_recording_is_refused(tmp_path: Path, content: str, message: str):
    (tmp_path / "a.jsonl").write_text(content)
    with pytest.raises(InputError, match=message):
        read_all(tmp_path, [])


def test_a_folder_without_recordings_is_refused(tmp_path: Path):
    with pytest.raises(InputError, match="has no recordings of 40 configs; make them"):
        read_all(tmp_path, [])
