"""Tables of the report."""

from __future__ import annotations

from dataclasses import replace

import pytest

from hpo.reporting.method_tables import COST_NOTE
from hpo.reporting.overview import markdown_table, plain
from hpo.reporting.pages import markdown, page

from ..conftest import Place
from ..outcomes import confirmed, opened


def test_the_table_of_configs_has_each_setting_that_differs(place: Place):
    rival = place.root / "tiny_ccl.yaml"
    rival.write_text(
        rival.read_text()
        .replace("{name: mf, dim: 8}", "{name: simplex, dim: 8, g: 0.7}")
        .replace("batch_size: 64", "batch_size: 64, score: inner_product")
    )
    place.run()
    columns, rows = opened(place).settings()
    assert columns[:2] == ["method", "loss"]
    assert {"score", "encoder.name", "encoder.g"} <= set(columns)
    assert "batch_size" not in columns, "the same for all methods"
    by_method = {row[0]: dict(zip(columns, row, strict=True)) for row in rows}
    assert by_method["MML tuned"]["score"] == "cosine"
    assert by_method["MML tuned"]["encoder.g"] == ""
    (ccl,) = [found for method, found in by_method.items() if method.startswith("CCL (simplex, ")]
    assert (ccl["score"], ccl["encoder.g"]) == ("inner_product", "0.7")
    assert ccl["loss"] == "ccl, margin 0.9, negative_weight 150"


@pytest.mark.confirmed
def test_the_groups_of_popularity_add_up_to_the_metric(place: Place):
    for method in confirmed(place).methods:
        assert method.beyond is not None
        for metric in ("recall", "ndcg"):
            parts = [getattr(group, metric) for group in method.beyond.groups]
            assert sum(parts) == pytest.approx(method.mean(f"{metric}@20"), abs=1e-6)
        assert 0.0 < method.beyond.coverage <= 1.0
    assert opened(place).beyond_columns[2] == "mean popularity@20 (training interactions)"


@pytest.mark.confirmed
def test_a_method_without_gradient_shares_has_dashes(place: Place):
    """As a loss with a threshold per user: its row is there, so that nobody looks for it in vain."""
    overview, outcome = opened(place), confirmed(place)
    (first, *others), known = outcome.methods, overview.gradients()
    unknown = outcome.model_copy(update={"methods": [replace(first, gradient={}), *others]})
    assert replace(overview, confirmed=unknown).gradients() == [[first.label, "-", "-", "-"], *known[1:]]
    for active, said in ((0.0, ["0.0 %", "-", "-"]), (0.0003, ["< 0.1 %", "100.0 %", "100.0 %"])):
        shares = replace(first, gradient={"active": active, "hardest 1 %": 1.0, "hardest 10 %": 1.0})
        few = outcome.model_copy(update={"methods": [shares, *others]})
        assert replace(overview, confirmed=few).gradients()[0] == [first.label, *said]
    nobody = outcome.model_copy(update={"methods": [replace(first, gradient={})]})
    assert replace(overview, confirmed=nobody).gradients() == []


@pytest.mark.confirmed
def test_costs_are_the_sums_of_the_trials(place: Place):
    overview = opened(place)
    spent = [trial.user_attrs["epochs_trained"] for trial in overview.study.trials]
    assert overview.cost.epochs == sum(spent) > 0
    tuned, published = overview.methods()[:2]
    assert tuned[5:7] == ["4", str(sum(spent) + 3 * 2 * 4)], "three finalists, two seeds, four epochs in stage 1"
    assert published[5:7] == ["", ""], "it has no search"
    assert f" {sum(spent)} epochs trained (" in overview.progress()
    assert overview.progress().count(" summed over trials).") == 1
    assert overview.table_note() == f"± is the standard deviation over seeds. {COST_NOTE}"
    assert f'<p class="note">{overview.table_note()}</p>' in page(overview, {})
    assert markdown(overview).count(f"\n\n{COST_NOTE}\n") == 1


def test_a_markdown_cell_cannot_break_the_table():
    assert markdown_table(["a"], [["x|y\nz"]]) == ["| a |", "| --- |", "| x\\|y z |"]


def test_foreign_text_in_markdown_is_escaped():
    """It gives no HTML, links or pictures, and stays in one line."""
    assert plain("<img src=x onerror=y>&lt;\n# big") == "&lt;img src=x onerror=y>&amp;lt; # big"
    assert plain("![](http://x/y.png) [a][b] \x1b[2J") == "![]\\(http://x/y.png) [a]\\[b] \\x1b[2J"
    assert plain("MML [0.6, 0.9], p 0.03 > 0.01, `x` ± *") == "MML [0.6, 0.9], p 0.03 > 0.01, `x` ± *"
