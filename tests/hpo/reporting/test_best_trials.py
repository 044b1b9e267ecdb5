"""The table of the best trials has the effective settings."""

from __future__ import annotations

import pytest

from hpo.reporting.best_trials import short

from ..conftest import Place
from ..outcomes import opened


@pytest.mark.confirmed
def test_the_table_has_margins_and_weights_and_not_the_sampled_parameters(place: Place):
    overview = opened(place)
    columns, rows = overview.best_trials()
    assert columns[:4] == ["", "validation ndcg@20", "margins", "weights"]
    assert not any("drop" in name or "weight_ratio" in name for name in columns)
    best = overview.best
    assert rows[0][:2] == [f"trial {best.number}", f"{best.value:.4f}"]
    assert rows[0][2] == short(best.user_attrs["margins"])
    note = overview.note()
    assert f"| {rows[0][0]} | {rows[0][1]} | {rows[0][2]} |" in note
    assert (
        note.index("# tiny_mml")
        < note.index(f"**{overview.headlines()[0]}")
        < note.index("best trials")
        < note.index("in full")
    )


def test_numbers_are_short():
    assert short([0.123456, 2.0]) == "[0.1235, 2]"
    assert (short("linear"), short(3)) == ("linear", "3")
