"""Sentences that a paper can quote: how a config was found, on which data, with which versions."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from hpo.confirmation.caveats import Caveat, CaveatKind
from hpo.confirmation.results import Method
from hpo.runs.provenance import PACKAGE, Provenance
from hpo.runtime.text import counted, listed
from hpo.study.workspace import Workspace


def citation(work: Workspace, trials: int, method: Method | None, by: Provenance, caveats: Collection[Caveat] = ()) -> str:
    """Sentences about the data, with the checksum of their training part, the protocol, and the versions.

    Args:
        trials: the number of finished trials of the method's searches; 0 for published settings.
        method: the method as confirm trained it; None if the study is not confirmed.
        by: the versions that computed the figures.
        caveats: those of the confirmation, which tell how often the test split was read.
    """
    spec, search = work.spec, work.spec.search
    said = [
        f"Study {spec.name} on {spec.data_name} (SHA-256 of the training interactions {work.dataset.checksum}), held out for "
        f"validation: {work.validation.said()}."
    ]
    searches = len(method.searches) if method else 0
    if trials:
        of_several = f" in {searches} searches" if searches > 1 else ""
        said.append(
            f"Search: {spec.objective} on validation at the last of {counted(search.epochs, 'epoch')}, "
            f"{counted(trials, 'finished trial')}{of_several}, sampler {search.sampler.name}, pruner {search.pruner.name}."
        )
    if method is not None:
        what = f"the config of each search for {method.label} was" if searches > 1 else f"{method.label} was"
        seeds = counted(len(method.seeds[0]), "seed")
        said.append(
            f"Confirm: {what} retrained on train and validation for {counted(method.config.epochs, 'epoch')} over {seeds}; the "
            f"test split was read once per run, at its last epoch.{''.join(_also_read(caveats))}"
        )
        if method.failure:
            said.append(f"{method.label} diverged: {method.failure}.")
    libraries = ", ".join(f"{name} {by.dependencies[name]}" for name in ("optuna", "torch", "numba", "numpy"))
    return " ".join([*said, f"Program: {PACKAGE} {by.program}; Python {by.python}, {libraries}."])


def _also_read(caveats: Collection[Caveat]) -> Iterator[str]:
    """For which other comparisons the test split was read, in sentences."""
    for caveat in caveats:
        facts: Mapping[str, Any] = caveat.facts
        if caveat.kind is CaveatKind.TEST_READ_AGAIN:
            yield f" This study has read the test split for {facts['times']} different comparisons."
        elif caveat.kind is CaveatKind.TEST_READ_FOR_OTHERS:
            studies = facts["studies"]
            also = f"{counted(len(studies), 'other study', 'other studies')} of these data"
            yield f" {also} {'have' if len(studies) > 1 else 'has'} read it, too: {listed(studies)}."
