"""Tables of a report with a row for each method: its figures, which negatives get its gradient, and its settings."""

from __future__ import annotations

from collections.abc import Sequence

from hpo.confirmation.outcome import Confirmation
from hpo.confirmation.results import Method, SearchCost, on_validation
from hpo.confirmation.statements import percent_said
from hpo.confirmation.statistics import Comparison, Word
from hpo.reporting.best_trials import short
from hpo.runs.baseline_results import BaselineResult
from hpo.runtime.text import duration
from trainers.config import TrainConfig, dotted
from trainers.metrics.gradient_share import HARDEST

SEARCH_COLUMNS = ["trials", "epochs to find", "time to find", "time to test"]
COST_NOTE = "Epochs and times are summed over trials and runs. Where several ran at once, less time passed."
GRADIENT_COLUMNS = [
    "method",
    "negatives with a gradient",
    *(f"part of the gradient on the {name} of negatives" for name in HARDEST),
]
LOSS_KEYS = "loss."  # the start of a loss's dotted keys in a config


def method_rows(confirmed: Confirmation) -> list[list[str]]:
    """A row for each method and baseline: figures on test and on validation, the verdict, and the cells of SEARCH_COLUMNS."""
    compared = [*confirmed.comparisons, *confirmed.against_baselines]
    words = {comparison.rival: _word(comparison) for comparison in compared}
    about = [
        [_on_validation(one, confirmed), words.get(one.label, ""), *_search_cells(one.search), duration(one.seconds)]
        for one in confirmed.methods
    ]
    about += [_of_baseline(one, words.get(one.label, "baseline")) for one in confirmed.baselines]
    rows = zip(confirmed.labels, confirmed.cells(), about, strict=True)
    return [[label, *figures, *rest] for label, figures, rest in rows]


def _on_validation(method: Method, confirmed: Confirmation) -> str:
    """The figure on validation by which a method is chosen, as text."""
    found = on_validation(confirmed.validated[method.label], confirmed.objective)
    return "diverged" if found is None else f"{found:.4f}"


def _word(comparison: Comparison) -> str:
    """The verdict of a comparison in a cell, such as `MML tuned better, +3.1 %`."""
    subject = "" if comparison.word is Word.NO_VERDICT else f"{comparison.ours} "
    percent = comparison.percent(comparison.difference)
    return f"{subject}{comparison.word}" + ("" if percent is None else f", {percent_said(percent)} %")


def _of_baseline(baseline: BaselineResult, word: str) -> list[str]:
    """The cells of a baseline after its figures on test. It has no epochs, and an untuned one has no cost of tuning."""
    tried = len(baseline.evaluations)
    found = [str(tried), "", duration(baseline.tuning_seconds)] if tried > 1 else ["", "", ""]
    return [f"{baseline.validation:.4f}", word, *found, duration(baseline.seconds)]


def _search_cells(search: SearchCost) -> list[str]:
    if not search.trials:
        return ["", "", ""]
    return [str(search.trials), f"{search.epochs:,}", duration(search.seconds)]


def gradient_rows(methods: Sequence[Method]) -> list[list[str]]:
    """The rows under GRADIENT_COLUMNS: which negatives have a gradient at the end of the training; empty if unknown."""
    columns = ("active", *HARDEST)
    shares = {each.label: [each.gradient[name] for name in columns if name in each.gradient] for each in methods}
    said = {label: _shares_said(found) for label, found in shares.items()}
    rows = [[label, *(found if len(found) == len(columns) else ["-"] * len(columns))] for label, found in said.items()]
    return rows if any(said.values()) else []


def _shares_said(shares: Sequence[float]) -> list[str]:
    """Percentages; dashes for shares of a gradient if no negative has one."""
    said = ["< 0.1 %" if 0 < share < 0.0005 else f"{100 * share:.1f} %" for share in shares]
    return said[:1] + ["-"] * len(said[1:]) if shares and shares[0] == 0 else said


def settings_table(methods: Sequence[Method]) -> tuple[list[str], list[list[str]]]:
    """(columns, rows) of the trained configs: the loss, and other settings in which they differ. A method with several searches
    has a row for each."""
    trained = [each for method in methods for each in _trained(method)]
    flat = [dotted(config.to_dict()) for _, config in trained]
    keys = [key for key in dict.fromkeys(key for one in flat for key in one) if not key.startswith(LOSS_KEYS) and key != "seed"]
    others = [key for key in keys if len({str(one.get(key)) for one in flat}) > 1]
    rows = []
    for (label, _), fields in zip(trained, flat, strict=True):
        loss = ", ".join(
            f"{key.removeprefix(LOSS_KEYS)} {short(value)}" for key, value in fields.items() if key.startswith(LOSS_KEYS)
        )
        rows.append([label, loss.removeprefix("name "), *(short(fields.get(key, "")) for key in others)])
    return ["method", "loss", *others], rows


def _trained(method: Method) -> list[tuple[str, TrainConfig]]:
    """The configs of a method, with their labels."""
    if len(method.searches) < 2:
        return [(method.label, method.config)]
    return [(f"{method.label}, search {one.study}", one.config) for one in method.searches]
