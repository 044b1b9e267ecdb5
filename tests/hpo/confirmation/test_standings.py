"""The table of a league, by hand: its order, its verdicts from both sides, its groups and its short form."""

from __future__ import annotations

import io
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from rich.console import Console

from hpo.cli.console import table
from hpo.confirmation.evidence import Evidence
from hpo.confirmation.league import compare_league
from hpo.confirmation.league_records import pair_records, records
from hpo.confirmation.results import Finalist, Method, SearchCost
from hpo.confirmation.standings import Standings, turned
from hpo.confirmation.statistics import Comparison, Measured, Word, compare
from hpo.runs.store import Beyond

from ..outcomes import CONFIG, baseline_result

NDCG = "ndcg@20"
BEYOND = Beyond(k=20, coverage=0.5, mean_popularity=30.0, gini=0.2, groups=[])
MEANS = {"MML tuned": 0.100, "CCL tuned": 0.0995, "BSL tuned": 0.12, "SL tuned": 0.119}
VALIDATION = {"MML tuned": 0.2, "CCL tuned": 0.1, "BSL tuned": 0.3, "SL tuned": 0.31, "BPR tuned": 0.05}


def method(label: str, **more: Any) -> Method:
    by_seed = {200 + seed: {NDCG: MEANS[label] + 0.0005 * seed} for seed in (-1, 0, 1)} if label in MEANS else {}
    return Method(label, CONFIG, by_seed, 1.0, search=SearchCost(40, 500, 130.0), beyond=BEYOND, **more)


def measured(label: str) -> Measured:
    """50 users who differ by up to .01 from the mean, all methods in the same way but for .001."""
    users = MEANS[label] + np.tile([-0.01, 0.0, 0.01, 0.0, 0.0], 10) + 0.001 * np.random.default_rng(len(label)).normal(size=50)
    users = users - users.mean() + MEANS[label]
    return Measured(label, users, [np.array([MEANS[label] + 0.0005 * seed for seed in (-1, 0, 1)])])


@pytest.fixture(scope="module")
def standings() -> Standings:
    """MML and CCL are nearly equal, and so are BSL and SL. SL leads on validation, BPR diverged, a baseline is second."""
    pop = Measured("MostPop", np.full(50, 0.1195), [np.array([0.1195])], is_deterministic=True)
    found = [measured(label) for label in MEANS]
    ours, league = compare_league(found, [pop], "MML tuned", "SL tuned", resamples=1000)
    named = [*ours, *league.leads, *compare(found[0], [pop], 1000)]
    baseline = baseline_result("MostPop", {NDCG: 0.1195}, 0.15, beyond=BEYOND)
    methods = [*(method(label) for label in MEANS), method("BPR tuned", failure="nan")]
    validated = {label: [Finalist(0, CONFIG, 0.1, {101: {NDCG: value}})] for label, value in VALIDATION.items()}
    league = replace(league, left_out={"cml": "it cannot be used"})
    return Standings.of(methods, [baseline], validated, league, named, NDCG)


def test_the_highest_mean_is_first_and_a_method_that_diverged_is_last(standings: Standings):
    order = ["BSL tuned", "MostPop", "SL tuned", "MML tuned", "CCL tuned", "BPR tuned"]
    assert [row.label for row in standings.rows] == order
    assert [row.is_baseline for row in standings.rows] == [label == "MostPop" for label in order]
    assert [row.validation for row in standings.rows] == [0.3, 0.15, 0.31, 0.2, 0.1, 0.05]


def test_each_row_has_the_verdict_of_ours_and_of_the_leader(standings: Standings):
    words = {row.label: tuple(one and one.word for one in (row.ours, row.leader)) for row in standings.rows}
    assert words == {
        "BSL tuned": (Word.WORSE, Word.UNDECIDED),
        "MostPop": (Word.WORSE, None),
        "SL tuned": (Word.WORSE, None),
        "MML tuned": (None, Word.BETTER),
        "CCL tuned": (Word.UNDECIDED, Word.BETTER),
        "BPR tuned": (None, None),
    }
    assert standings.family == 3 + 2


def test_the_pair_of_ours_and_the_leader_is_one_comparison_seen_from_both_sides(standings: Standings):
    of = {row.label: row for row in standings.rows}
    one, other = of["SL tuned"].ours, of["MML tuned"].leader
    assert one is not None
    assert other == turned(one)
    assert (other.ours, other.rival, other.p) == ("SL tuned", "MML tuned", one.p)
    assert other.difference == pytest.approx(0.019)
    assert other.percent(other.difference) == pytest.approx(19.0)
    assert one.percent(one.difference) == pytest.approx(-100 * 0.019 / 0.119)


def test_a_comparison_that_is_turned_twice_is_itself():
    evidence = Evidence(-0.1, 0.3, 0.04, 0.1)
    one = Comparison("A", "B", 0.25, 0.5, evidence, 0.04, 0.5, evidence, None, searches=(3, 1))
    back = turned(turned(one))
    assert back == one
    assert turned(one).users == Evidence(-0.3, 0.1, 0.04, 0.1)
    assert (turned(one).word, turned(one).base, turned(one).searches) == (Word.WORSE, 0.75, (1, 3))


def test_groups_never_contradict_a_verdict(standings: Standings):
    groups = {row.label: {*row.groups} for row in standings.rows}
    for one in standings.named:
        assert bool(groups[one.ours] & groups[one.rival]) == (one.word is Word.UNDECIDED), (one.ours, one.rival)
    assert groups["BPR tuned"] == set()
    assert groups["MML tuned"] & groups["CCL tuned"]
    assert groups["BSL tuned"] & groups["SL tuned"]
    assert "a" in groups["BSL tuned"]


def test_the_short_form_has_80_columns_and_whole_words(standings: Standings):
    out = io.StringIO()
    Console(file=out, width=80).print(table("T", *standings.compact()))
    lines = out.getvalue().splitlines()
    assert max(map(len, lines)) <= 80
    assert any("BSL" in line and "0.1200" in line and "worse" in line and "?" in line for line in lines)
    assert any("BPR" in line and "diverged" in line for line in lines)
    assert len(lines) <= 4 + 1 + len(standings.rows) + 2, "a line for each method"


def test_the_notes_name_the_leader_the_family_and_what_is_left_out(standings: Standings):
    said = " ".join(standings.notes())
    assert "the leader is SL tuned: it has the highest ndcg@20 on validation" in said
    assert "(Holm) over the 5 pairs that were named before the test split was read: MML tuned with each method, and SL" in said
    assert "rivals: all leaves out CML: it cannot be used" in said
    assert standings.headlines() == [
        "SL tuned, the leader on validation, is better than MML tuned and CCL tuned; not distinguishable from BSL tuned",
        "MML tuned is worse than BSL tuned and SL tuned; not distinguishable from CCL tuned",
    ]


def test_the_table_of_all_pairs_has_each_difference_from_both_sides(standings: Standings):
    columns, rows = standings.pairs()
    assert columns == ["", "BSL", "MostPop", "SL", "MML", "CCL"]
    cells = {row[0]: dict(zip(columns[1:], row[1:], strict=True)) for row in rows}
    assert cells["BSL"]["MML"] == "+20.0*"
    assert cells["MML"]["BSL"] == "-16.7*"
    assert cells["BSL"]["BSL"] == ""
    assert cells["SL"]["BSL"] == "-0.8", "no star: nothing separates them"


def test_the_files_hold_the_numbers(standings: Standings):
    rows = {str(row["method"]): row for row in records(standings)}
    ccl = rows["CCL tuned"]
    assert (ccl["place"], ccl[NDCG], ccl["trials"], ccl["seconds"], ccl["coverage"]) == (
        5,
        pytest.approx(0.0995),
        40,
        130.0,
        0.5,
    )
    assert (ccl["study's verdict"], ccl["leader's verdict"]) == ("not distinguishable", "better")
    assert ccl["leader's difference"] == pytest.approx(0.0195)
    assert (rows["BPR tuned"]["place"], rows["BPR tuned"][NDCG]) == (None, None)
    pairs = {frozenset((str(row["first"]), str(row["second"]))): row for row in pair_records(standings)}
    assert len(pairs) == 10
    assert pairs[frozenset(("BSL tuned", "CCL tuned"))]["named beforehand"] is False
    assert pairs[frozenset(("BSL tuned", "MML tuned"))]["named beforehand"] is True
    assert pairs[frozenset(("BSL tuned", "SL tuned"))]["separated"] is False
    assert pairs[frozenset(("BSL tuned", "CCL tuned"))]["separated"] is True


def test_a_league_whose_own_method_leads_has_one_column_of_verdicts():
    found = [measured(label) for label in MEANS]
    ours, league = compare_league(found, [], "MML tuned", "MML tuned", resamples=500)
    validated = {label: [Finalist(0, CONFIG, 0.1, {101: {NDCG: 0.3}})] for label in MEANS}
    alone = Standings.of([method(label) for label in MEANS], [], validated, league, ours, NDCG)
    assert league.leads == []
    assert alone.compact()[0] == ["method", NDCG, "MML against it", "groups"]
    assert len(alone.headlines()) == 1


def test_a_league_whose_own_method_diverged_says_so():
    found = [measured(label) for label in MEANS if label != "MML tuned"]
    ours, league = compare_league(found, [], "MML tuned", "SL tuned", resamples=500)
    methods = [method("MML tuned", failure="nan"), *(method(one.label) for one in found)]
    validated = {label: [Finalist(0, CONFIG, 0.1, {101: {NDCG: 0.3}})] for label in MEANS}
    standings = Standings.of(methods, [], validated, league, [*ours, *league.leads], NDCG)
    assert (ours, standings.family) == ([], 2)
    assert standings.headlines() == [
        "SL tuned, the leader on validation, is better than CCL tuned; not distinguishable from BSL tuned",
        "MML tuned diverged",
    ]
    (family,) = (note for note in standings.notes() if "Holm" in note)
    assert "over the 2 pairs that were named before the test split was read: SL tuned with each method; a" in family
