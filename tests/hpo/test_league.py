"""A whole league on the small study: search, confirmation, table, files, and the same command again."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from hpo import confirm
from hpo.api import load_study
from hpo.confirmation.league_records import pair_records, records
from hpo.confirmation.standings import turned
from hpo.confirmation.statistics import Word
from hpo.outcomes import Verdict
from hpo.reporting.league_figure import league_figure
from hpo.reporting.league_files import export_league
from hpo.study.spec import load_spec
from hpo.study.workspace import Workspace
from trainers.yaml_files import read_yaml

from .conftest import Place, make_place
from .outcomes import confirmed, files, labels, opened
from .test_forged import ODD, Content, paths, reported, with_value, without

ALL = "rivals: [tiny_ccl.yaml, tiny_bsl.yaml]"


@pytest.fixture(scope="module")
def league(tmp_path_factory: pytest.TempPathFactory, compiled_kernels: None) -> Place:
    """MML, CCL, BSL and two losses of the torch engine; `all` without the others, which inner products exclude or which take
    long to compile."""
    place = make_place(tmp_path_factory.mktemp("league"))
    place.edit(ALL, "rivals: [ccl, bsl, slatk, directau]\nbaselines: [most_popular, ease]")
    place.edit("seeds: 2, epochs: 4}", "seeds: 3, epochs: 4, league: true, baseline_trials: 1}")
    place.edit("trials: 4", "trials: 3")
    assert place.run("--tune-rivals") == 0
    return place


def test_each_loss_is_one_tuned_method(league: Place):
    outcome = confirmed(league)
    assert labels(outcome) == [f"{name} tuned" for name in ("MML", "CCL", "BSL", "SL@K", "DirectAU")]
    found = outcome.league
    assert found is not None
    leads = 3 if found.leader != "MML tuned" else 0
    assert len(outcome.comparisons) == 4
    assert len(found.leads) == leads
    assert {one.family for one in (*outcome.comparisons, *found.leads)} == {4 + leads}
    assert len(found.pairs) == 7 * 6 // 2
    best = max(outcome.validated, key=lambda label: max(one.mean("ndcg@20") for one in outcome.validated[label]))
    assert found.leader == best
    study = load_study("tiny_mml", output=league.output, data_dir=str(league.root / "data"))
    verdict = Verdict(study, outcome)
    table = verdict.comparisons
    assert table["method"].value_counts().to_dict() == {"MML tuned": 4 + 2} | ({} if not leads else {best: leads + 2})
    standings, pairs = verdict.league, verdict.pairs
    assert standings is not None
    assert pairs is not None
    files = [pd.read_csv(league.output / "tiny_mml" / name) for name in ("league.csv", "league_pairs.csv")]
    pd.testing.assert_frame_equal(standings.reset_index()[[*files[0].columns]], files[0], check_dtype=False)
    pd.testing.assert_frame_equal(pairs, files[1], check_dtype=False)
    assert all(f"<td>{groups}</td>" in verdict._repr_html_() for groups in standings["groups"])


def test_report_and_files_show_the_table(league: Place):
    markdown, html = files(league)
    standings = confirmed(league).standings
    assert standings is not None
    for text in (markdown, html):
        assert "All pairs, for description only" in text
        assert "the leader is" in text
        assert "against it" in text
        assert "A star: separated" in text
    assert "All methods" not in html, "there is one table"
    assert "published" not in markdown.partition("## How it was done")[2].partition("Data in numbers")[0]
    folder = league.output / "tiny_mml"
    table, pairs = (pd.read_csv(folder / name) for name in ("league.csv", "league_pairs.csv"))
    assert list(table["method"]) == [row.label for row in standings.rows]
    assert table["ndcg@20"].is_monotonic_decreasing
    cells = pd.read_csv(folder / "league.csv", dtype=str)
    assert cells["epochs"].isna().sum() == 2, "baselines"
    assert cells["epochs"].dropna().str.isdigit().all()
    assert (len(table), len(pairs)) == (7, 21)
    led_by_rival = standings.league.leader != "MML tuned"
    assert len(standings.league.against_baselines) == (2 if led_by_rival else 0)
    verdicts = {(one.ours, one.rival): one for one in standings.named}
    for _, row in pairs[pairs["named beforehand"]].iterrows():
        one = verdicts.get((row["first"], row["second"])) or turned(verdicts[row["second"], row["first"]])
        assert one.both is not None
        assert (row["low"], row["high"]) == pytest.approx((one.both.low, one.both.high), rel=1e-9), (
            "the interval of the verdict"
        )
    assert pairs["named beforehand"].sum() == 4 + len(standings.league.leads) + 2 + len(standings.league.against_baselines)


def runs(place: Place) -> dict[str, bytes]:
    folder = place.output / "tiny_mml" / "runs"
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def test_a_league_without_pairs_has_no_file_of_them(league: Place, tmp_path: Path):
    """The test split may have too few users for a verdict."""
    outcome = confirmed(league)
    assert outcome.league is not None
    folder = shutil.copytree(league.output / "tiny_mml", tmp_path / "tiny_mml")
    work = Workspace.open(load_spec(str(league.study)), tmp_path, str(league.root / "data"), "auto", "auto")
    none = {"comparisons": [], "league": replace(outcome.league, pairs=[], leads=[])}
    assert export_league(work, outcome.model_copy(update=none)) == [folder / "league.csv"]
    assert not (folder / "league_pairs.csv").exists()
    assert export_league(work, outcome) == [folder / "league.csv", folder / "league_pairs.csv"]


def test_the_same_command_again_gives_the_same_table_and_trains_nothing(league: Place, capsys: pytest.CaptureFixture[str]):
    before = runs(league)
    table = (league.output / "tiny_mml" / "league.csv").read_text()
    assert league.run("--tune-rivals") == 0
    shown = " ".join(capsys.readouterr().out.split())  # a table wraps its title
    assert runs(league) == before
    assert (league.output / "tiny_mml" / "league.csv").read_text() == table
    rivals = ["tiny_mml_ccl", "tiny_mml_bsl", "tiny_mml_slatk", "tiny_mml_directau"]
    for number, name in enumerate(["tiny_mml", *rivals], 1):
        assert f"search {number} of 5: {name}" in shown
    assert "tiny_mml: ndcg@20 on the test split, mean ± half of its 95 % interval" in shown
    assert "± is half of the 95 % interval of a mean over users and runs" in (league.output / "tiny_mml/report.md").read_text()
    assert "the verdict on each pair in full, and the table of all pairs: see the report" in shown
    assert "published settings of Yelp2018) are" not in shown, "published settings are no methods"


def test_the_full_verdict_is_in_confirm_yaml(league: Place):
    outcome = confirmed(league)
    assert outcome.league is not None
    said = outcome.statements()
    for one in (*outcome.comparisons, *outcome.league.leads):
        (line,) = [
            line for line in said if line.startswith((f"{one.ours} is", f"{one.ours} and {one.rival}")) and one.rival in line
        ]
        if one.word is not Word.NO_VERDICT:
            assert f"after Holm for {one.family} pairs named beforehand" in line


def test_the_dry_run_says_which_losses_are_left_out(place: Place, capsys: pytest.CaptureFixture[str]):
    place.edit(ALL, "rivals: all")
    place.edit("config: {", "config: {score: inner_product, ")
    assert place.run("--dry-run") == 0
    shown = capsys.readouterr().out
    assert "rivals: all leaves out CML: it cannot be used with score inner_product" in shown
    assert "# rival tiny_mml_slatk" in shown
    assert "# rival tiny_mml_cml" not in shown
    assert not place.output.exists()


def test_a_league_without_tuned_rivals_compares_published_settings(place: Place, capsys: pytest.CaptureFixture[str]):
    """The losses that no paper has settings for are missing, and a caveat says so. What is left out is in the file."""
    place.edit(ALL, "rivals: all\nbaselines: []")
    place.edit("trials: 4", "trials: 2")
    place.edit("top: 2, select_seeds: 2", "top: 1, select_seeds: 1")
    assert place.run("--engine", "numba") == 0
    shown = capsys.readouterr().out
    before, _, _ = shown.partition("best trial")
    assert "WARNING: the rivals of this league are not searched, since --tune-rivals is not given" in before
    assert "rivals: all leaves out DirectAU: engine numba cannot run this: loss directau has no row function" in shown
    outcome = confirmed(place)
    assert outcome.league is not None
    assert {*outcome.league.left_out} == {"directau", "mawu"}
    assert labels(outcome)[0] == "MML tuned"
    assert "MML (published settings of Yelp2018)" not in labels(outcome)
    assert "CCL (published settings of Yelp2018)" in labels(outcome)
    assert "rivals: all leaves out DirectAU" in files(place)[0]


def test_a_league_of_one_is_refused(place: Place, fails: Callable[[int], str]):
    place.edit(ALL, "rivals: []")
    place.edit("seeds: 2, epochs: 4}", "seeds: 2, epochs: 4, league: true}")
    message = "study tiny_mml: a league needs a rival, got none; write `rivals: all` or name some"
    assert message in fails(place.run())
    place.edit(", league: true", "")
    assert place.run("--search-only", "--trials", "1") == 0
    place.edit("seeds: 2, epochs: 4}", "seeds: 2, epochs: 4, league: true}")
    assert message in fails(confirm.main(["--study", str(place.study), *place.where]))


def test_a_list_of_rivals_makes_no_league(league: Place, tmp_path: Path):
    place = make_place(tmp_path)
    place.edit("seeds: 2, epochs: 4}", "seeds: 1, epochs: 1}")
    assert place.run() == 0
    assert confirmed(place).league is None
    assert not (place.output / "tiny_mml" / "league.csv").exists()


def test_a_forged_league_that_can_be_read_can_be_shown(league: Place):
    """Each value is replaced by each odd one, and left out."""
    content = read_yaml(league.output / "tiny_mml" / "confirm.yaml", is_sealed=True)

    def forged() -> Iterator[Content]:
        for path in (("league",), *(path for path in paths(content) if path[0] == "league" and len(path) > 1)):
            yield from (with_value(content, path, value) for value in ODD)
            yield without(content, path)

    found = [*reported(forged(), opened(league))]
    for standings in (one.standings for one in found if one is not None):
        if standings is not None:
            assert [*records(standings)]
            assert len([*pair_records(standings)]) == len(standings.league.pairs)
            league_figure(standings)
    assert len(found) - found.count(None) > 10
    assert found.count(None) > 100


def test_a_rival_that_the_engine_cannot_train_is_refused_before_the_search(place: Place, fails: Callable[[int], str]):
    place.edit(ALL, "rivals: [directau]")
    assert "directau" in fails(place.run("--tune-rivals", "--engine", "numba"))
    assert not place.output.exists()


def test_a_timeout_of_a_rival_is_reported_after_all_searches(place: Place, capsys: pytest.CaptureFixture[str]):
    assert place.run("--search-only") == 0
    assert place.run("--tune-rivals", "--timeout", "0.001") == 1
    shown = capsys.readouterr()
    late = "; ".join(f"study '{name}' has no complete trial after --timeout 0.001 s" for name in ("tiny_ccl", "tiny_bsl"))
    assert f"{late}; the same command continues, or give a longer --timeout" in " ".join(shown.err.split())
    assert "confirming" not in shown.out, "the test split is not read for a comparison that is not finished"
