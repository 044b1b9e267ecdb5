"""compare.html: one file, which needs no network: verdicts, tables, and a picture of the intervals."""

from __future__ import annotations

from pathlib import Path

import plotly.graph_objects as go

from hpo.comparison.outcome import COLUMNS, Compared
from hpo.confirmation.statistics import Comparison, Word
from hpo.reporting.figures import LEGEND, Picture
from hpo.reporting.overview import CAVEATS_TITLE
from hpo.reporting.pages import rendered
from hpo.runtime.text import CHANGE_OUTPUT_HINT
from trainers.files import write_text
from trainers.text import clipped

HTML, TEMPLATE = "compare.html", "compare.html.jinja"
COLOURS = {Word.BETTER: "#2ca02c", Word.WORSE: "#d62728", Word.UNDECIDED: "#7f7f7f", Word.NO_VERDICT: "#c7c7c7"}
ROW, LEAST = 36, 220  # pixels of a comparison, and of the picture at least
SHOWN_NAME = 30  # characters of a method in the picture
ASSUMED = (
    "Every method was measured on the same users, against the same held-out items, by one definition of the metric. Files do "
    "not show whether that is so, nor whether lists hold items that a user has seen in training.",
    "Users are a sample of those whom the verdict is about, and runs differ in their seed alone.",
    "A method is better or worse where users alone, runs alone, and both together reject at 5 % that there is no difference, "
    "after Holm's correction for the number of comparisons. The p is the largest of the three.",
    "The interval of users and runs is a 95 % interval of one comparison, without that correction.",
    "Detectable is the difference that would be found in 80 % of such comparisons; of 2 or 3 runs in some 55 to 80 %.",
    "Percentages are of the second method's mean. The Wilcoxon p is shown beside and decides nothing.",
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
    drawn = {"intervals": intervals(outcome)} if outcome.comparisons else {}
    methods = [
        [method.label, method.kind, f"{method.users:,}", ", ".join(seed for seeds in method.seeds for seed in seeds)]
        for method in outcome.methods
    ]
    return rendered(
        TEMPLATE,
        drawn,
        outcome=outcome,
        comparison_columns=COLUMNS,
        read_columns=["method", "made of", "users", "seeds"],
        read_rows=methods,
        files=[[path, digest[:16]] for path, digest in outcome.files.items()],
        caveats_title=CAVEATS_TITLE,
        assumed=ASSUMED,
    )


def intervals(outcome: Compared) -> Picture:
    """Each difference with its 95 % interval; in percent of the second method where none of those is 0."""
    percent = all(one.base for one in outcome.comparisons)
    figure = go.Figure()
    names = [_name(one) for one in outcome.comparisons]
    for word in Word:
        chosen = [(name, one) for name, one in zip(names, outcome.comparisons, strict=True) if one.word is word]
        if not chosen:
            continue
        means, lows, highs = zip(*(_ends(one, percent) for _, one in chosen), strict=True)
        figure.add_scatter(
            x=means,
            y=[name for name, _ in chosen],
            error_x={
                "type": "data",
                "array": [high - mean for high, mean in zip(highs, means, strict=True)],
                "arrayminus": [mean - low for low, mean in zip(lows, means, strict=True)],
                "thickness": 2,
            },
            mode="markers",
            marker={"color": COLOURS[word], "size": 10},
            name=str(word),
        )
    figure.add_vline(x=0.0, line={"color": "#222", "width": 1})
    unit = "% of the second method's mean" if percent else outcome.objective
    figure.update_layout(
        xaxis_title=f"difference in {outcome.objective}, {unit}",
        yaxis={"categoryorder": "array", "categoryarray": names[::-1], "automargin": True},
        height=LEAST + ROW * len(names),
        margin={"l": 20, "r": 20, "t": 40, "b": 50},
        legend=LEGEND,
        template="plotly_white",
        showlegend=True,
    )
    caption = (
        "The difference of each comparison, first method minus second, with its 95 % interval over users and runs; over users "
        "alone where there is no verdict. The word also takes the number of comparisons into account."
    )
    return Picture("Differences", caption, figure)


def _name(one: Comparison) -> str:
    return f"{clipped(one.ours, SHOWN_NAME)} - {clipped(one.rival, SHOWN_NAME)}"


def _ends(one: Comparison, percent: bool) -> tuple[float, float, float]:
    evidence = one.both or one.users
    values = one.difference, evidence.low, evidence.high
    mean, low, high = (100 * value / abs(one.base) for value in values) if percent else values
    return mean, low, high
