"""compare.html: one file, which needs no network and no scripts: the result in words, the forest plot, tables."""

from __future__ import annotations

from pathlib import Path

from hpo.comparison.outcome import COLUMNS, Compared
from hpo.confirmation.headlines import by_importance
from hpo.reporting.forest import KEY, Forest, forest
from hpo.reporting.overview import CAVEATS_TITLE, VERDICT_TITLE
from hpo.reporting.pages import rendered
from hpo.runtime.text import CHANGE_OUTPUT_HINT
from trainers.files import write_text

HTML, TEMPLATE = "compare.html", "compare.html.jinja"
ASSUMED = (
    "Every method was measured on the same users, against the same held-out items, by one definition of the metric. Files do "
    "not show whether that is so, nor whether lists hold items that a user has seen in training.",
    "Users are a sample of those whom the verdict is about. Runs differ in their seed alone.",
    "A method is better or worse if three tests reject at 5 % that there is no difference: over users, over runs, and over "
    "both together. Holm's correction for the number of comparisons is included. The p is the largest of the three.",
    "The interval over users and runs is a 95 % interval of one comparison, without Holm's correction.",
    "Detectable is the difference that 80 % of such comparisons would find; with 2 or 3 runs it is 53 to 79 %.",
    "Percentages are of the second method's mean. The Wilcoxon p decides nothing.",
)


def write_page(outcome: Compared, folder: Path) -> Path:
    """Write the page into a folder.

    Raises:
        InputError: it cannot be written.
    """
    write_text(folder / HTML, page(outcome), CHANGE_OUTPUT_HINT)
    return folder / HTML


def page(outcome: Compared) -> str:
    """The page."""
    methods = [
        [method.label, method.kind, f"{method.users:,}", ", ".join(seed for seeds in method.seeds for seed in seeds)]
        for method in outcome.methods
    ]
    return rendered(
        TEMPLATE,
        {},
        outcome.provenance,
        outcome=outcome,
        subtitle=f"Comparison: {outcome.objective}, {outcome.users:,} users",
        plot=plot(outcome),
        key=KEY,
        comparison_columns=COLUMNS,
        read_columns=["method", "made of", "users", "seeds"],
        read_rows=methods,
        files=[[path, digest[:16]] for path, digest in outcome.files.items()],
        caveats_title=CAVEATS_TITLE,
        verdict_title=VERDICT_TITLE,
        assumed=ASSUMED,
    )


def plot(outcome: Compared) -> Forest | None:
    """Each difference with its 95 % interval, the most important first; None without comparisons."""
    comparisons = by_importance(outcome.comparisons)
    if outcome.ours:
        return forest(f"{outcome.ours} against", comparisons, outcome.objective, ("the other method", outcome.ours))
    if outcome.baseline:
        sides = outcome.baseline, "the other method"
        return forest(f"Against {outcome.baseline}", comparisons, outcome.objective, sides, lambda one: one.ours)
    pair = "the second method", "the first method"
    return forest("Each pair", comparisons, outcome.objective, pair, lambda one: f"{one.ours} against {one.rival}")
