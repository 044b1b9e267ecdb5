"""What do tuned baselines reach, and what do they cost? `python -m benchmarks.baselines STUDY NAME --data-dir DIR`.

A baseline is tuned on the validation split of a study as `hpo.confirm` tunes it, fitted to all training data and measured on
the test split, once. With `--test KEY=VALUE ...` these settings are measured on the test split instead. One thread is used.
"""

from __future__ import annotations

import argparse
import dataclasses
import resource
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from hpo.runs.baselines import n_points, settings_of
from hpo.study.spec import load_spec
from hpo.study.workspace import Workspace
from search_spaces.baselines import points
from trainers import Interactions
from trainers.baselines import BASELINES, Baseline
from trainers.data.datasets import read_test
from trainers.metrics.accuracy import evaluate_lists
from trainers.yaml_files import parse_yaml

METRICS = ("ndcg@20", "recall@20")
ALL_TRIALS = 10**9  # so that a baseline gets its most points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", help="a study's name or file, such as gowalla_mml")
    parser.add_argument("name", choices=[*BASELINES], help="of a baseline")
    parser.add_argument("--data-dir", help="folder of the datasets")
    parser.add_argument("--output", default="runs", help="folder of the study, which is not written (%(default)s)")
    parser.add_argument("--test", nargs="+", metavar="KEY=VALUE", help="settings to measure on test, such as l2=200")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    spec = load_spec(arguments.study)
    work = Workspace.open(spec, arguments.output, arguments.data_dir, "auto", "auto")
    baseline = BASELINES[arguments.name]()
    if arguments.test:
        chosen = _changed(baseline, parse_yaml("\n".join(each.replace("=", ": ") for each in arguments.test), "--test"))
    else:
        seen, validation = work.split
        count = n_points(arguments.name, None, ALL_TRIALS)
        tried = [
            baseline,
            *(_changed(baseline, each) for each in points(arguments.name, count - 1, spec.search.seed, seen.n_items)),
        ]
        values = [_shown("validation", each, seen, validation)[METRICS[0]] for each in tried]
        chosen = tried[int(np.argmax(values))]
    _shown("test", chosen, work.dataset.train, read_test(work.dataset).pairs)


def _changed(baseline: Baseline, settings: Mapping[str, Any]) -> Baseline:
    return dataclasses.replace(baseline, **settings)  # type: ignore[type-var]


def _shown(split: str, baseline: Baseline, seen: Interactions, held_out: Interactions) -> dict[str, float]:
    """Fit and measure a baseline, and print its figures, the CPU seconds and the peak of the process's memory."""
    started = time.process_time()
    ranking = baseline.fit(seen)
    fitted = time.process_time()
    lists = ranking.recommend(np.flatnonzero(held_out.per_user), 20)
    found = evaluate_lists(lists, held_out=held_out, metrics=METRICS)
    ended = time.process_time()
    means = {metric: float(found[metric].mean()) for metric in METRICS}
    figures = ", ".join(f"{metric} {value:.4f}" for metric, value in means.items())
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9  # from KiB
    cost = f"fitted in {fitted - started:.1f} s, ranked in {ended - fitted:.1f} s, {memory:.2f} GB"
    print(f"{split}: {ranking.label}, {settings_of(baseline)}: {figures}; {cost}", flush=True)
    return means


if __name__ == "__main__":
    main()
