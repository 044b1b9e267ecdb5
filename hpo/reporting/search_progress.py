"""A figure of the best value by finished trials, for each search. It shows whether more trials may help."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import plotly.graph_objects as go

from hpo.confirmation.results import BestSoFar

# The colours of the lines or bars of a figure, in this order.
PALETTE = ("#2f7fc1", "#e0762b", "#3a9d5d", "#c2486a", "#8a6fd1", "#8c8c8c", "#b59a1f", "#3aa6a6")
OPACITY = "33"  # of a band, as two hexadecimal digits


def best_so_far_figure(searches: Mapping[str, Sequence[BestSoFar]], objective: str) -> go.Figure:
    """A line for each method: the best value by finished trials.

    If a method has several searches, the line is their mean, and a band reaches from the lowest to the highest. Both cover the
    trials that all searches have.
    """
    figure = go.Figure()
    for number, (label, each) in enumerate(searches.items()):
        trials, lines = _steps(each)
        if not trials:
            continue
        colour = PALETTE[number % len(PALETTE)]
        style = {"line": {"color": colour, "shape": "hv"}, "mode": "lines", "legendgroup": label}
        if len(lines) > 1:
            edge = {"line": {"width": 0, "shape": "hv"}, "mode": "lines", "legendgroup": label, "showlegend": False}
            figure.add_scatter(x=trials, y=lines.max(0), hoverinfo="skip", **edge)
            filled = {"fill": "tonexty", "fillcolor": colour + OPACITY}
            figure.add_scatter(x=trials, y=lines.min(0), hoverinfo="skip", **edge, **filled)
            label = f"{label}, mean of {len(lines)} searches"
        figure.add_scatter(x=trials, y=lines.mean(0), name=label, **style)
    return figure.update_layout(
        xaxis_title="finished trials", yaxis_title=f"best validation {objective} so far", showlegend=True
    )


def _steps(searches: Sequence[BestSoFar]) -> tuple[list[int], np.ndarray]:
    """The numbers of trials after which the best value of any search rises, and the best values then, (searches, steps).

    The first step is where all searches have a value, and the last one is where the shortest search ends. A search without a
    value is left out.
    """
    begun = [search for search in searches if search.rises]
    if not begun:
        return [], np.empty((0, 0))
    start, end = max(min(search.rises) for search in begun), min(search.trials for search in begun)
    inside = {trials for search in begun for trials in search.rises if start <= trials <= end}
    steps = sorted({start, end, *inside})
    return steps, np.array([[search.after(trials) for trials in steps] for search in begun], dtype=np.float64)
