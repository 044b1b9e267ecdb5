"""The pictures of a report, as plotly figures by name. A picture is left out if the study has no figures for it yet."""

from __future__ import annotations

import warnings
from collections.abc import Container, Mapping
from dataclasses import dataclass

import numpy as np
import optuna
import plotly.graph_objects as go
import scipy  # loads scipy.stats at its first use
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from hpo.confirmation.contenders import title
from hpo.confirmation.results import Finalist
from hpo.reporting.league_figure import league_figure
from hpo.reporting.overview import Overview
from hpo.reporting.search_progress import PALETTE, best_so_far_figure
from hpo.reporting.settings_figure import COLOURS, settings_figure, settings_of
from hpo.study.attributes import FINISHED
from hpo.study.stored import on_some_users
from trainers.losses import CCL, MML, Loss

SHAPE, CURVES = "shape", "confirm-curves"  # these also go to the dashboard
MIN_COMPLETE = 4  # complete trials, below which no importances are drawn
MIN_POINTS = 3  # points of a line, below which it is left out
BARS, LEGEND_LINE = 320, 20  # pixels
MARGIN = {"l": 55, "r": 20, "t": 30, "b": 50}  # pixels
HEIGHT, LEGEND_GAP = 360, 30  # pixels of a figure, and between its top and the legend
LEGEND = {"orientation": "h", "yanchor": "bottom", "x": 0.0}  # above the figure, since a phone has no room at its side
# Figures are transparent, and the style of the page colours their text and grid. So they follow its light or dark scheme.
THEME = {
    "template": "plotly_white",
    "paper_bgcolor": "rgba(0,0,0,0)",
    "plot_bgcolor": "rgba(0,0,0,0)",
    "colorway": PALETTE,
}


@dataclass(frozen=True)
class Picture:
    """A figure with a title and a caption.

    Attributes:
        of_search: whether it is about the search. A report shows these pictures last.
        of_league: whether it belongs to the table of a league.
    """

    title: str
    caption: str
    figure: go.Figure
    of_search: bool = False
    of_league: bool = False


def pictures(overview: Overview) -> dict[str, Picture]:
    """All pictures of a study, in the order of the report."""
    drawn = {
        **_league(overview),
        **_confirm_curves(overview),
        **_shape(overview),
        **_loss_and_objective(overview),
        **_popularity(overview),
        **_search(overview),
    }
    for picture in drawn.values():
        height = picture.figure.layout.height or HEIGHT
        picture.figure.update_layout(margin=MARGIN, title=None, height=height, **THEME)
        picture.figure.update_layout(legend=LEGEND | {"y": 1 + LEGEND_GAP / height})
    return drawn


def _league(overview: Overview) -> dict[str, Picture]:
    """The means of a league with their intervals, and the groups of methods that no test separates."""
    standings = overview.standings
    figure = None if standings is None else league_figure(standings)
    if figure is None:
        return {}
    caption = (
        "Mean on test with its 95 % interval, the study's own method in dark. Each bar at the right is a group: nothing "
        "separates its methods: no verdict, and no p of at most .05 corrected for false discoveries. They are description."
    )
    return {"league": Picture("Groups that no verdict separates", caption, figure, of_league=True)}


def hinges(loss: Loss) -> tuple[tuple[float, ...], tuple[float, ...], float] | None:
    """(margins, weights, negative over positive weight) of a hinge loss; None for other losses."""
    if isinstance(loss, MML):
        return loss.margins, loss.weights, loss.negative_weight / (loss.positive_weight or 1.0)
    return ((loss.margin,), (1.0,), loss.negative_weight) if isinstance(loss, CCL) else None


def hinge_cost(loss: Loss, scores: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The cost of a negative at these scores (n,), in units of the positive weight, and the gradient of the cost.

    Raises:
        ValueError: the loss has no margins.
    """
    parts = hinges(loss)
    if parts is None:
        raise ValueError(f"loss {loss.name} has no margins")
    margins, weights, ratio = (np.asarray(part) for part in parts)
    above = scores[:, None] - margins
    return ratio * (weights * np.maximum(above, 0.0)).sum(1), ratio * (weights * (above > 0.0)).sum(1)


def _shape(overview: Overview) -> dict[str, Picture]:
    """Cost and gradient of a negative over its score. There is a line for each config.

    The configs are ours (before confirm that of the best trial), those of the other searches, and the published one.
    """
    ours = overview.confirmed.methods[0].label if overview.confirmed else "best trial"
    configs = {ours: overview.config} if overview.config else {}
    if overview.confirmed:
        winning = overview.confirmed.chosen.search
        others = [each for each in overview.confirmed.methods[0].searches if each.number != winning]
        configs |= {f"search {each.number}": each.config for each in others}
    if overview.published:
        configs[title(overview.spec, overview.published[1])] = overview.published[0]
    hinge_losses = {name: config.loss for name, config in configs.items() if hinges(config.loss) is not None}
    if not hinge_losses:
        return {}
    figure = go.Figure().set_subplots(rows=1, cols=2, subplot_titles=["cost", "gradient"])
    scores = np.linspace(0.0, 1.0, 401)
    for name, loss in hinge_losses.items():
        colour = "#2f7fc1" if name == ours else "#8fb8dc" if name.startswith("search ") else "#e0762b"
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
        means = mean_by_epoch(finalist.curves)
        if means:
            figure.add_scatter(x=list(means), y=list(means.values()), mode="lines+markers", name=name)
    if not figure.data:
        return {}
    figure.update_layout(xaxis_title="epoch", yaxis_title=f"validation {overview.spec.objective}", showlegend=True)
    caption = (
        "Validation objective of the configs that entered the confirmation, mean over its seeds; it ends where a seed diverged."
    )
    return {CURVES: Picture("Learning curves of the best configs", caption, figure)}


def _finalists(overview: Overview) -> list[tuple[str, Finalist]]:
    """(name, finalist) of each config that entered confirm."""
    found = overview.confirmed.finalists if overview.confirmed else []
    several = len({finalist.search for finalist in found}) > 1
    chosen = overview.confirmed.chosen if overview.confirmed else None

    def name(one: Finalist) -> str:
        what = f"search {one.search}, trial {one.trial}" if several else f"trial {one.trial}"
        published = overview.spec.published_label(one.config)
        label = f": {title(overview.spec, published)}" if published else ""
        return f"{what}{label} (chosen)" if one == chosen else what + label

    return [(name(one), one) for one in found]


def mean_by_epoch(by_seed: Mapping[int, Mapping[int, float]]) -> dict[int, float]:
    """The mean over seeds at each epoch that all of them have: it ends where the first one diverges."""
    epochs = set.intersection(*map(set, by_seed.values())) if by_seed else set()
    return {epoch: float(np.mean([curve[epoch] for curve in by_seed.values()])) for epoch in sorted(epochs)}


def _loss_and_objective(overview: Overview) -> dict[str, Picture]:
    """The objective over the training loss: a line for each config that entered confirm, a point for each measured epoch."""
    figure, correlations = go.Figure(), []
    for name, finalist in _finalists(overview):
        values, losses = mean_by_epoch(finalist.curves), mean_by_epoch(finalist.losses)
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
    """The part of each method's recall that comes from each group of items, from unpopular to popular."""
    figure = go.Figure()
    for label, beyond in overview.recommended():
        labels = [_group_label(number, len(beyond.groups)) for number in range(len(beyond.groups))]
        figure.add_bar(x=labels, y=[group.recall for group in beyond.groups], name=label)
    if not figure.data:
        return {}
    recall, height = f"recall@{overview.k}", BARS + LEGEND_LINE * len(figure.data)  # a phone has a line for each method
    figure.update_layout(barmode="group", xaxis_title="items by popularity", yaxis_title=f"part of {recall}", height=height)
    caption = (
        f"{recall.capitalize()} split by the popularity of the items found; the groups hold equal shares of the training "
        "interactions, and a method's bars add up to its recall."
    )
    return {"popularity": Picture("Popular and unpopular items", caption, figure)}


def _group_label(number: int, count: int) -> str:
    extremes = {0: "least<br>popular", count - 1: "most<br>popular"}
    return extremes.get(number, f"group {number + 1}")


class _Shared(optuna.Study):
    """A study that returns its trials without copying them. Drawing only reads them, and copying thousands takes a minute."""

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
        history.update_layout(xaxis_title="trial")
        history.update_traces(name="best so far", selector={"name": "Best Value"})
        drawn["history"] = Picture(
            "Search history", "Each complete trial's value, and the best so far.", history, of_search=True
        )
        rises = best_so_far_figure(overview.searches(), overview.spec.objective)
        caption = (
            "The best value by finished trials, pruned ones included: a line that still rises at its end asks for more trials; "
            "a flat one does not prove that none would help."
        )
        drawn["best-so-far"] = Picture("Would more trials pay?", caption, rises, of_search=True)
        curves = _trial_curves(study.get_trials(deepcopy=False, states=FINISHED), overview.spec.objective)
        before = f" Before their last epoch trials are measured {some}." if some else ""
        caption = f"Pruned trials end early and are grey.{before}"
        drawn["curves"] = Picture("Learning curves of all trials", caption, curves, of_search=True)
        if len(complete) >= MIN_COMPLETE and len({trial.value for trial in complete}) > 1:  # else no parameter matters
            importances = optuna.visualization.plot_param_importances(study)
            importances.update_layout(xaxis_title="importance", yaxis_title=None)
            caption = (
                "How much each parameter, as the sampler draws it, decides whether a trial is good (PED-ANOVA); rough below 50 "
                "trials."
            )
            drawn["importances"] = Picture("What mattered", caption, importances, of_search=True)
    settings = settings_of(study.get_trials(deepcopy=False, states=FINISHED), overview.spec.space, _loss_fields(overview))
    caption = (
        "Each finished trial by its margins, weights and other searched settings; pruned ones in grey"
        + (f", measured {some}." if some else ".")
        + " Dotted lines: the ends of the searched range."
    )
    effects = settings_figure(settings, overview.spec.objective)
    return drawn | {"effects": Picture("What each setting did", caption, effects, of_search=True)}


def _trial_curves(trials: list[FrozenTrial], objective: str) -> go.Figure:
    """The learning curves of trials: one line for all pruned trials, with gaps between them, and one for all complete trials.

    A line for each trial would be slow.
    """
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
            mode="lines+markers",  # a trial that was pruned at the first look is a point
            marker={"size": 3},
            line={"color": COLOURS[state.name.lower()], "width": 1},
            name=state.name.lower(),
        )
    return figure.update_layout(xaxis_title="epoch", yaxis_title=f"validation {objective}")


def _loss_fields(overview: Overview) -> set[str]:
    return set(overview.config.to_dict()["loss"]) - {"name"} if overview.config else set()
