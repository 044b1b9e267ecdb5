"""compare.yaml is read unchanged or refused. compare.html has all of it, and runs no script from a name."""

from __future__ import annotations

from dataclasses import replace
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo.comparison.outcome import COLUMNS, Compared, compared
from hpo.comparison.page import page, plot
from hpo.comparison.sides import RunFigures, Side, in_order
from hpo.confirmation.caveats import CaveatKind
from trainers.errors import InputError
from trainers.yaml_files import sealed

USERS = pd.Index([str(user) for user in range(40)], dtype=object)
EVIL = "<script>alert(1)</script>"


def side(label: str, *lifts: float, users: pd.Index = USERS) -> Side:
    runs = []
    for seed, lift in enumerate(lifts, start=1):
        rng = np.random.default_rng(seed)
        values = (users.astype(int).to_numpy() % 7) / 10 + lift + rng.normal(0.0, 0.01, len(users))
        runs.append(
            RunFigures(str(seed), pd.DataFrame({"ndcg@20": values, "recall@20": 2 * values}, index=users), Path("a.csv"))
        )
    return Side(label, "metrics", [runs])


@pytest.fixture
def outcome() -> Compared:
    return compared([side("A", 0.1, 0.101), side(EVIL, 0.0, 0.001), side("one", 0.05)], "ndcg@20")


def test_a_written_outcome_is_read_unchanged(outcome: Compared, tmp_path: Path):
    again = Compared.read(outcome.write(tmp_path))
    assert (again.rows(), again.comparisons, again.statements()) == (outcome.rows(), outcome.comparisons, outcome.statements())
    assert [*again.in_words.statements] == outcome.statements()


def test_edited_and_forged_files_are_refused(outcome: Compared, tmp_path: Path):
    path = outcome.write(tmp_path)
    text = path.read_text()
    path.write_text(text.replace("users: 40", "users: 41", 1))
    with pytest.raises(InputError, match="does not match its checksum"):
        Compared.read(path)
    body = text.rpartition("# SHA-256")[0]
    path.write_text(sealed(body.replace("    ndcg@20:\n", "    ndcg@10:\n", 1)))
    with pytest.raises(InputError, match="its parts do not fit together"):
        Compared.read(path)


def test_the_page_has_all_rows_and_escapes_names(outcome: Compared):
    html = page(outcome)
    assert EVIL not in html
    text = unescape(html)
    for row in (*outcome.rows(), *outcome.comparison_rows(), [*outcome.statements()], [*outcome.sentences()]):
        assert all(f">{cell}<" in text for cell in row)
    assert [len(row) for row in outcome.comparison_rows()] == [len(COLUMNS)] * 3


def test_the_forest_plot_has_the_figures_of_the_verdict(outcome: Compared):
    drawn = plot(outcome)
    assert drawn is not None
    assert [row.name for row in drawn.rows] == ["A against one", f"A against {EVIL}", f"one against {EVIL}"]
    assert {row.style for row in drawn.rows} == {"better", "none"}
    (first,) = (one for one in outcome.comparisons if one.both is not None)
    (better,) = (row for row in drawn.rows if row.style == "better")
    assert better.difference == pytest.approx(100 * first.difference / first.base)
    assert better.high == pytest.approx(100 * first.both.high / first.base)
    assert better.detectable == pytest.approx(100 * first.detectable / first.base)


def test_the_page_begins_with_the_result_in_words():
    found = compared([side("A", 0.1, 0.101), side("B", 0.05, 0.051), side("C", 0.05, 0.0512)], "ndcg@20", ours="A")
    html = page(found)
    assert found.headlines()[0].startswith("A is better than C: +")
    assert f"<h1>{found.headlines()[0]}</h1>" in html
    assert f"<li>{found.headlines()[1]}</li>" in html
    assert "<script" not in html
    assert [row.name for row in plot(found).rows] == ["C", "B"]
    assert [
        row.name for row in plot(compared([side("A", 0.1, 0.101), side("B", 0.0, 0.001)], "ndcg@20", baseline="B")).rows
    ] == ["A"]


def test_the_page_says_what_its_spread_is():
    """The figures of the searches are .40 and .70 on average: .55 with a standard deviation of .3 / sqrt(2) between them."""
    flat = {lift: side("A", lift).runs[0] for lift in (0.3, 0.5, 0.6, 0.8)}
    runs = [replace(run, users=run.users * 0 + lift, seed=str(lift)) for lift, run in flat.items()]
    searched, once = Side("A", "runs", [runs[:2], runs[2:]]), side("B", 0.1, 0.2)
    found = compared([searched, once, side("C", 0.2)], "ndcg@20")
    assert found.rows()[0][1] == "0.5500 ± 0.2121"
    assert found.spread() == "± is the standard deviation: between searches for A; over runs for B."
    assert f'<p class="note">{found.spread()}</p>' in page(found)
    assert compared([once, side("D", 0.1)], "ndcg@20").spread() == "± is the standard deviation over runs."
    assert compared([side("C", 0.2), side("D", 0.1)], "ndcg@20").spread() == ""


def test_the_advice_on_runs_of_a_study_names_the_flag_of_confirm():
    """A run of a study cannot be given as a file of another seed."""
    once = [side("A", 0.1), side("B", 0.0)]
    (of_files,) = [said for said in compared(once, "ndcg@20").statements() if said.startswith("no verdict")]
    assert "give files of two or more seeds" in of_files
    (of_runs,) = [
        said
        for said in compared([replace(one, kind="runs") for one in once], "ndcg@20").statements()
        if said.startswith("no verdict")
    ]
    assert of_runs.endswith("; confirm the study with --confirm-seeds 3 or more")


def test_the_order_of_users_in_a_file_has_no_effect(outcome: Compared):
    shuffled = [side(label, *lifts) for label, lifts in (("A", (0.1, 0.101)), (EVIL, (0.0, 0.001)), ("one", (0.05,)))]
    for run in shuffled[0].runs:
        object.__setattr__(run, "users", run.users.sample(frac=1.0, random_state=5))
    assert compared(shuffled, "ndcg@20").comparisons == outcome.comparisons


def test_means_below_zero_keep_their_sign():
    """A column may have negative errors."""
    found = compared([side("A", -2.0, -2.001), side("B", -3.0, -3.001)], "ndcg@20", baseline="B")
    assert found.statements()[1].startswith("A is better than B: ndcg@20 +36.9")
    assert found.rows()[0][-1].startswith("+36.9")
    assert plot(found).rows[0].difference > 0


def test_users_are_sorted_as_numbers_or_as_text():
    assert [*in_order(pd.Index(["10", "9", "007", "7"]))] == ["007", "7", "9", "10"]
    assert [*in_order(pd.Index(["b", "10", "9"]))] == ["10", "9", "b"]


def test_only_users_in_common_are_compared():
    fewer = side("B", 0.0, 0.001, users=USERS[4:])
    found = compared([side("A", 0.1, 0.101), fewer], "ndcg@20")
    assert (found.users, [method.users for method in found.methods]) == (36, [40, 36])
    whole = compared([side("A", 0.1, 0.101), side("B", 0.0, 0.001)], "ndcg@20")
    assert found.methods[0].mean("ndcg@20") != whole.methods[0].mean("ndcg@20")


def with_runs_on(one: Side, *users: pd.Index) -> Side:
    runs = [replace(run, users=run.users.loc[mine]) for run, mine in zip(one.runs, users, strict=True)]
    return replace(one, searches=[runs])


def test_users_that_one_run_of_each_method_lacks_are_a_caveat():
    sides = [with_runs_on(side(label, lift, lift), USERS, USERS[:35]) for label, lift in (("A", 0.1), ("B", 0.0))]
    found = compared(sides, "ndcg@20")
    assert found.users == 35
    assert [(one.subject, one.facts["missing"]) for one in found.caveats if one.kind == CaveatKind.USERS_MISSING] == [
        ("A", 5),
        ("B", 5),
    ]


def test_runs_of_several_test_splits_are_refused():
    """Each seed has another split, which is the same for both methods."""
    sides = [with_runs_on(side(label, 0.1, 0.1), USERS[:22], USERS[18:]) for label in "AB"]
    with pytest.raises(InputError, match="4 users in common"):
        compared(sides, "ndcg@20")
    sides = [with_runs_on(side(label, 0.1, 0.1), USERS[:20], USERS[20:]) for label in "AB"]
    with pytest.raises(InputError, match="A has 0 in all of its runs"):
        compared(sides, "ndcg@20")
