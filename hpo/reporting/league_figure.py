"""The picture of a league: means with intervals, and a bar for each group of methods that nothing separates."""

from __future__ import annotations

import plotly.graph_objects as go

from hpo.confirmation.standings import Standings

ROW, FRAME = 26, 110  # pixels: of a method, and of the axis
OURS, OTHERS, BASELINE, BAR = "#1b4f7a", "#2f7fc1", "#8c8c8c", "#e0762b"
SHARE = 0.72  # of the width, for the means; the rest is for the groups


def league_figure(standings: Standings) -> go.Figure | None:
    """The means of a league with their intervals, and its groups; None if no method trained to the end."""
    rows = [row for row in standings.rows if row.span is not None]
    if not rows:
        return None
    figure = go.Figure()
    labels = [row.label for row in rows]
    colours = [BASELINE if row.is_baseline else OURS if row.label == standings.ours else OTHERS for row in rows]
    for row, colour in zip(rows, colours, strict=True):
        assert row.span is not None  # `rows` has no others
        error = {"type": "data", "array": [row.span.high - row.span.mean], "arrayminus": [row.span.mean - row.span.low]}
        figure.add_scatter(
            x=[row.span.mean],
            y=[row.label],
            error_x=error | {"symmetric": False, "color": colour},
            marker={"color": colour, "size": 9},
            text=[f"groups {row.groups}"],
            showlegend=False,
        )
    found = groups([row.groups for row in rows])
    for letter, members in found.items():
        first, last = labels[members[0]], labels[members[-1]]
        places = [labels[place] for place in members]
        line = {"color": BAR, "width": 1, "dash": "dot"}
        figure.add_scatter(x=[letter] * 2, y=[first, last], xaxis="x2", mode="lines", line=line, showlegend=False)
        figure.add_scatter(
            x=[letter] * len(places),
            y=places,
            xaxis="x2",
            mode="markers",
            marker={"color": BAR, "symbol": "square", "size": 11},
            showlegend=False,
        )
    figure.update_yaxes(categoryorder="array", categoryarray=labels[::-1], automargin=True)
    figure.update_layout(
        xaxis={"title": standings.objective, "domain": [0.0, SHARE if found else 1.0]},
        xaxis2={"title": "groups", "domain": [SHARE + 0.03, 1.0], "type": "category"},
        height=FRAME + ROW * len(rows),
    )
    return figure


def groups(of_rows: list[str]) -> dict[str, list[int]]:
    """The indices of the rows of each group, by the letter of the group.

    Args:
        of_rows: the letters of each row, such as `ab` or `a1b1`.
    """
    found: dict[str, list[int]] = {}
    for place, letters in enumerate(of_rows):
        for letter in split_letters(letters):
            found.setdefault(letter, []).append(place)
    return dict(sorted(found.items(), key=lambda item: item[1]))


def split_letters(text: str) -> list[str]:
    """Split the letters of a row, `aba1`, into `a`, `b`, `a1`."""
    found: list[str] = []
    for character in text:
        if character.isdigit():
            found[-1] += character
        else:
            found.append(character)
    return found
