"""The report's pictures, as plotly figures by name; what cannot be drawn yet is left out."""

from __future__ import annotations

import warnings
from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import optuna
import plotly.graph_objects as go
import scipy  # its stats are imported where they are first used
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from hpo.confirmation.results import Finalist
from hpo.reporting.overview import Overview
from hpo.study.attributes import FINISHED
from hpo.study.stored import on_some_users
from trainers.losses import CCL, MML, Loss

SHAPE, CURVES = "shape", "confirm-curves"  # these also go to the dashboard
MIN_COMPLETE = 4  # trials, before importances are drawn
MIN_POINTS = 3  # of a line whose trend is told
MARGIN = {"l": 55, "r": 20, "t": 30, "b": 50}  # pixels
LEGEND = {"orientation": "h", "yanchor": "bottom", "y": 1.08, "x": 0.0}  # above the figure: beside it phones have no room
COLOURS = {"complete": "#1f77b4", "pruned": "#c7c7c7"}


@dataclass(frozen=True)
class Picture:
    """A figure with what it shows, in a sentence."""

    title: str
    caption: str
    figure: go.Figure


def pictures(overview: Overview) -> dict[str, Picture]:
    """All pictures that can be drawn of a study, in the order in which a report shows them."""
    drawn = {
        **_shape(overview),
        **_confirm_curves(overview),
        **_loss_and_objective(overview),
        **_popularity(overview),
        **_search(overview),
    }
    for picture in drawn.values():
        picture.figure.update_layout(margin=MARGIN, legend=LEGEND, template="plotly_white", title=None)
    return drawn


def hinges(loss: Loss) -> tuple[tuple[float, ...], tuple[float, ...], float] | None:
    """(margins, weights, negative over positive weight) of a hinge loss, None for others."""
    if isinstance(loss, MML):
        return loss.margins, loss.weights, loss.negative_weight / (loss.positive_weight or 1.0)
    return ((loss.margin,), (1.0,), loss.negative_weight) if isinstance(loss, CCL) else None


def hinge_cost(loss: Loss, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """What a negative at these scores (n,) costs, relative to the positive weight, and its gradient there."""
    parts = hinges(loss)
    if parts is None:
        raise ValueError(f"loss {loss.name} has no margins")
    margins, weights, ratio = (np.asarray(part) for part in parts)
    above = scores[:, None] - margins
    return ratio * (weights * np.maximum(above, 0.0)).sum(1), ratio * (weights * (above > 0.0)).sum(1)


def _shape(overview: Overview) -> dict[str, Picture]:
    """Cost and gradient over the score of a negative: ours, before confirm the best trial's, and the published ones."""
    ours = overview.confirmed.methods[0].label if overview.confirmed else "best trial"
    configs = {ours: overview.config} if overview.config else {}
    if overview.published:
        configs[overview.published[1]] = overview.published[0]
    hinge_losses = {name: config.loss for name, config in configs.items() if hinges(config.loss) is not None}
    if not hinge_losses:
        return {}
    figure = go.Figure().set_subplots(rows=1, cols=2, subplot_titles=["cost", "gradient"])
    scores = np.linspace(0.0, 1.0, 401)
    for (name, loss), colour in zip(hinge_losses.items(), ("#d62728", "#7f7f7f"), strict=False):
        for column, values in enumerate(hinge_cost(loss, scores), start=1):
            line = {"color": colour, "dash": "solid" if name == ours else "dash"}
            shown = {"name": name, "legendgroup": name, "showlegend": column == 1}
            figure.add_scatter(x=scores, y=values, mode="lines", line=line, row=1, col=column, **shown)
    figure.update_xaxes(title_text="score of a negative")
    caption = "What a negative item costs at each score, in units of the positive weight."
    return {SHAPE: Picture("Shape of the loss", caption, figure)}


def _confirm_curves(overview: Overview) -> dict[str, Picture]:
    """Validation objective by epoch of the configs that entered confirm, mean over seeds."""
    figure = go.Figure()
    for name, finalist in _finalists(overview):
        means = _mean_by_epoch(finalist.curves)
        if means:
            figure.add_scatter(x=list(means), y=list(means.values()), mode="lines+markers", name=name)
    if not figure.data:
        return {}
    figure.update_layout(xaxis_title="epoch", yaxis_title=f"validation {overview.spec.objective}", showlegend=True)
    caption = "Validation objective of the configs that entered the confirmation, mean over its seeds."
    return {CURVES: Picture("Learning curves of the best configs", caption, figure)}


def _finalists(overview: Overview) -> list[tuple[str, Finalist]]:
    """What entered confirm, by name."""
    found = overview.confirmed.finalists if overview.confirmed else []
    return [(f"trial {finalist.trial}", finalist) for finalist in found]


def _mean_by_epoch(by_seed: Mapping[int, Mapping[int, float]]) -> dict[int, float]:
    """The mean over seeds at each epoch that any of them has."""
    by_epoch: dict[int, list[float]] = {}
    for curve in by_seed.values():
        for epoch, value in curve.items():
            by_epoch.setdefault(epoch, []).append(value)
    return {epoch: float(np.mean(values)) for epoch, values in sorted(by_epoch.items())}


def _loss_and_objective(overview: Overview) -> dict[str, Picture]:
    """How the objective follows the training loss, a line per config that entered confirm, a point per measured epoch."""
    figure, correlations = go.Figure(), []
    for name, finalist in _finalists(overview):
        values, losses = _mean_by_epoch(finalist.curves), _mean_by_epoch(finalist.losses)
        epochs = [epoch for epoch in values if epoch in losses]
        unit = abs(losses[epochs[0]]) if epochs else 1.0  # a softmax loss may lie below zero
        x, y = [losses[epoch] / (unit or 1.0) for epoch in epochs], [values[epoch] for epoch in epochs]
        if min(len(set(x)), len(set(y))) < MIN_POINTS:
            continue
        correlations.append(float(scipy.stats.spearmanr(x, y).statistic))
        figure.add_scatter(x=x, y=y, text=[f"epoch {epoch}" for epoch in epochs], mode="lines+markers", name=name)
    if not figure.data:
        return {}
    objective = overview.spec.objective
    figure.update_layout(
        xaxis_title="training loss, in units of the first point's", yaxis_title=f"validation {objective}", showlegend=True
    )
    caption = (
        "Epochs of the configs that entered the confirmation, mean over seeds: a loss that the objective follows gives a line "
        f"that falls to the right. Rank correlation over the epochs: {', '.join(f'{one:.2f}' for one in correlations)}."
    )
    return {"loss-and-objective": Picture(f"Does {objective} follow the training loss?", caption, figure)}


def _popularity(overview: Overview) -> dict[str, Picture]:
    """Where each method's recall comes from: groups of items from unpopular to popular."""
    figure = go.Figure()
    for label, beyond in overview.recommended():
        labels = [_group_label(number, len(beyond.groups)) for number in range(len(beyond.groups))]
        figure.add_bar(x=labels, y=[group.recall for group in beyond.groups], name=label)
    if not figure.data:
        return {}
    recall = f"recall@{overview.k}"
    figure.update_layout(barmode="group", xaxis_title="items by popularity", yaxis_title=f"contribution to {recall}")
    caption = (
        f"{recall.capitalize()} split by the popularity of the items found; the groups hold equal shares of the training "
        "interactions, and a method's bars add up to its recall."
    )
    return {"popularity": Picture("Popular and unpopular items", caption, figure)}


def _group_label(number: int, count: int) -> str:
    extremes = {0: "least popular", count - 1: "most popular"}
    return extremes.get(number, f"group {number + 1}")


class _Shared(optuna.Study):
    """A study that gives out its trials without copying them: drawing only reads, and copies of thousands take a minute."""

    def get_trials(self, deepcopy: bool = True, states: Container[TrialState] | None = None) -> list[FrozenTrial]:
        return super().get_trials(deepcopy=False, states=states)


def _search(overview: Overview) -> dict[str, Picture]:
    study = _Shared(overview.study.study_name, overview.study._storage)
    complete = study.get_trials(deepcopy=False, states=(TrialState.COMPLETE,))
    if not complete:
        return {}
    drawn, some = {}, on_some_users(study)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        history = optuna.visualization.plot_optimization_history(study, target_name=f"validation {overview.spec.objective}")
        drawn["history"] = Picture("Search history", "Each complete trial's value, and the best so far.", history)
        curves = _trial_curves(study.get_trials(deepcopy=False, states=FINISHED), overview.spec.objective)
        before = f" Before their last epoch trials are measured {some}." if some else ""
        caption = f"Pruned trials end early and are grey.{before}"
        drawn["curves"] = Picture("Learning curves of all trials", caption, curves)
        if len(complete) >= MIN_COMPLETE and len({trial.value for trial in complete}) > 1:  # equal ones say nothing
            importances = optuna.visualization.plot_param_importances(study)
            caption = "How much each searched parameter decides whether a trial is good (PED-ANOVA); rough below 50 trials."
            drawn["importances"] = Picture("What mattered", caption, importances)
    effects = _effects(study.get_trials(deepcopy=False, states=FINISHED), overview)
    caption = (
        "Each finished trial at the effective value of each margin, weight and other searched setting; pruned ones in grey"
        + (f", measured {some}." if some else ".")
    )
    return drawn | {"effects": Picture("What each setting did", caption, effects)}


def _trial_curves(trials: list[FrozenTrial], objective: str) -> go.Figure:
    """One line for all pruned trials, with a gap after each, and one for all complete ones: thousands of lines are slow."""
    figure = go.Figure()
    for state in (TrialState.PRUNED, TrialState.COMPLETE):
        points = [
            (step, value, f"trial {trial.number}")
            for trial in trials
            if trial.state == state
            for step, value in [*sorted(trial.intermediate_values.items()), (None, None)]
        ]
        figure.add_scatter(
            x=[step for step, _, _ in points],
            y=[value for _, value, _ in points],
            text=[name for _, _, name in points],
            mode="lines",
            line={"color": COLOURS[state.name.lower()], "width": 1},
            name=state.name.lower(),
        )
    return figure.update_layout(xaxis_title="epoch", yaxis_title=f"validation {objective}")


def _effects(trials: list[FrozenTrial], overview: Overview) -> go.Figure:
    """A panel per effective number: margins and weights rather than the ratios that were searched."""
    kept = {"margins", "weights", *overview.spec.space.boxes(), *_loss_fields(overview)}
    points = [(trial, dict(_numbers(trial.user_attrs, kept))) for trial in trials]
    names = list(dict.fromkeys(name for _, numbers in points for name in numbers))
    columns = 3
    titles = [name.replace("_", "<br>") for name in names]  # side by side on a phone, too
    rows = -(-len(names) // columns) or 1
    figure = go.Figure().set_subplots(rows=rows, cols=columns, subplot_titles=titles, shared_yaxes=True)
    figure.update_xaxes(nticks=3, tickangle=0)
    for index, name in enumerate(names):
        for state, colour in COLOURS.items():
            shown = [(n[name], trial) for trial, n in points if name in n and trial.state.name.lower() == state]
            figure.add_scatter(
                x=[value for value, _ in shown],
                y=[trial.value for _, trial in shown],
                text=[f"trial {trial.number}" for _, trial in shown],
                mode="markers",
                marker={"color": colour, "size": 5},
                name=state,
                legendgroup=state,
                showlegend=index == 0,
                row=index // columns + 1,
                col=index % columns + 1,
            )
    return figure.update_layout(height=220 * rows)


def _loss_fields(overview: Overview) -> set[str]:
    return set(overview.config.to_dict()["loss"]) - {"name"} if overview.config else set()


def _numbers(attributes: Mapping[str, Any], kept: set[str]) -> Iterator[tuple[str, float]]:
    """Numbers by name; those of lists as `margin 1`, `margin 2`, ..."""
    for name, value in attributes.items():
        if name not in kept:
            continue
        if isinstance(value, list):
            yield from ((f"{name.removesuffix('s')} {k}", float(part)) for k, part in enumerate(value, start=1))
        elif isinstance(value, (int, float)) and not isinstance(value, bool):
            yield name, float(value)
