"""A figure with a panel for each searched setting: the value of each trial over its margin, weight or other number."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import plotly.graph_objects as go
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial

from search_spaces import Space

COLUMNS, ROW, LEAST, GAP = 3, 210, 60, 75  # panels side by side; pixels of a row, of legend and margins, between rows
COLOURS = {"complete": "#2f7fc1", "pruned": "#a9a9a9"}
DRAWN_AS = ("margin_", "weight_")  # parameters of the sampler; the margins and weights are shown instead
WIDE = 100  # a number without a range has a logarithmic axis if its highest value is this many times its lowest
NAMES = {"negative_ratio": "negative over<br>positive weight"}
RANGE_PAD = 0.05  # of an axis, beyond the searched range


@dataclass(frozen=True)
class Setting:
    """A numeric setting, with its value in each trial.

    Attributes:
        points: (value of the setting, trial).
        searched: the range that it was drawn from; None if it follows from other parameters.
        log: whether its axis is logarithmic.
    """

    name: str
    points: Sequence[tuple[float, FrozenTrial]]
    searched: tuple[float, float] | None
    log: bool

    @property
    def title(self) -> str:
        """The title of the panel, with line breaks, so that panels fit side by side on a phone."""
        return NAMES.get(self.name, self.name.replace("_", "<br>"))

    @property
    def axis(self) -> dict[str, Any]:
        """The axis of the panel, which covers the searched range."""
        axis: dict[str, Any] = {"nticks": 4, "tickangle": 0, "exponentformat": "power"}
        if self.log:
            axis["type"] = "log"
        if self.searched is not None:
            low, high = (math.log10(each) for each in self.searched) if self.log else self.searched
            pad = RANGE_PAD * (high - low)
            axis["range"] = [low - pad, high + pad]
        elif self.name.startswith(("margin ", "weight ")):
            axis["range"] = [-RANGE_PAD, 1 + RANGE_PAD]
        return axis


def settings_of(trials: Sequence[FrozenTrial], space: Space, loss_fields: set[str]) -> list[Setting]:
    """The numeric settings of some trials. Margins and weights take the place of the parameters that the sampler drew."""
    boxes = space.boxes()
    kept = {"margins", "weights", *boxes, *loss_fields}
    points = [(trial, dict(_numbers(trial, kept))) for trial in trials]
    names = list(dict.fromkeys(name for _, numbers in points for name in numbers))
    margins = [name for name in names if name.startswith("margin ")]
    found = []
    for name in names:
        searched = _range(boxes.get("margin_top" if margins and name == margins[-1] else name))
        values = [(numbers[name], trial) for trial, numbers in points if name in numbers]
        low, log = searched or (None, False)
        if searched is None:
            lowest, highest = min(value for value, _ in values), max(value for value, _ in values)
            log = lowest > 0 and highest / lowest >= WIDE and not name.startswith(("margin ", "weight "))
        if log and low is not None:
            values = [(max(value, low[0]), trial) for value, trial in values]  # no l2 is 0, and is shown at the low end
        found.append(Setting(name, values, low, log))
    return found


def _range(box: BaseDistribution | None) -> tuple[tuple[float, float], bool] | None:
    """The ends of a range of numbers, and whether it is logarithmic; None if it has no numbers."""
    return ((box.low, box.high), box.log) if isinstance(box, FloatDistribution | IntDistribution) else None


def _numbers(trial: FrozenTrial, kept: set[str]) -> Iterator[tuple[str, float]]:
    """Yield (name, number) of a trial: its settings, lists as `margin 1`, `margin 2`, ..., then other drawn parameters."""
    for name, value in trial.user_attrs.items():
        if name not in kept:
            continue
        if isinstance(value, list):
            yield from ((f"{name.removesuffix('s')} {k}", float(part)) for k, part in enumerate(value, start=1))
        elif _is_number(value):
            yield name, float(value)
    for name, value in trial.params.items():
        if name not in trial.user_attrs and not name.startswith(DRAWN_AS) and _is_number(value):
            yield name, float(value)


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def settings_figure(settings: Sequence[Setting], objective: str) -> go.Figure:
    """A panel for each setting; dotted lines are the ends of the searched range."""
    rows = -(-len(settings) // COLUMNS) or 1
    titles = [setting.title for setting in settings]
    spacing = {"vertical_spacing": GAP / (ROW * rows + LEAST), "horizontal_spacing": 0.06}
    figure = go.Figure().set_subplots(rows=rows, cols=COLUMNS, subplot_titles=titles, shared_yaxes=True, **spacing)
    for index, setting in enumerate(settings):
        place = {"row": index // COLUMNS + 1, "col": index % COLUMNS + 1}
        for state, colour in COLOURS.items():
            shown = [(value, trial) for value, trial in setting.points if trial.state.name.lower() == state]
            figure.add_scatter(
                x=[value for value, _ in shown],
                y=[trial.value for _, trial in shown],
                text=[f"trial {trial.number}" for _, trial in shown],
                mode="markers",
                marker={"color": colour, "size": 5},
                name=state,
                legendgroup=state,
                showlegend=index == 0,
                **place,
            )
        figure.update_xaxes(**setting.axis, **place)
        for end in setting.searched or ():
            figure.add_vline(x=end, line={"color": "#8c8c8c", "width": 1, "dash": "dot"}, **place)
    figure.update_yaxes(title_text=objective, col=1)
    return figure.update_layout(height=ROW * rows + LEAST)
