"""`hpo.compare`: files of other programs get a verdict, our own runs get that of confirm, and bad files are refused."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from html import unescape
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo import compare
from hpo.comparison.outcome import Compared
from hpo.confirmation.caveats import CaveatKind
from hpo.confirmation.evidence import Evidence
from hpo.confirmation.statistics import Comparison, Word

from .conftest import Place
from .outcomes import confirmed

USERS = 40
TABLE = "user,ndcg@20,recall@20\n" + "".join(f"{user},{user / 100},{user / 50}\n" for user in range(USERS))
LISTS = "user,item,rank\n" + "".join(f"{user},{item},{item}\n" for user in range(USERS) for item in range(1, 4))
TRUTH = "user,item\n" + "".join(f"{user},{user % 5}\n" for user in range(USERS))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> Path:
    """An empty working folder. Pages are drawn only with the marker `pictures`."""
    monkeypatch.chdir(tmp_path)
    if request.node.get_closest_marker("pictures") is None:
        monkeypatch.setattr(compare, "write_page", lambda outcome, folder: folder / "compare.html")
    return tmp_path


def write(here: Path, files: Mapping[str, str | bytes]) -> None:
    for name, content in files.items():
        (here / name).write_bytes(content.encode() if isinstance(content, str) else content)


def write_runs(here: Path, name: str, lift: float, seeds: int = 3, users: int = 200, rng_seed: int = 1) -> None:
    """Write files of a method. Its mean is higher by `lift` than that of other methods with the same `rng_seed`."""
    level = np.random.default_rng(rng_seed).beta(2.0, 5.0, users)
    rng = np.random.default_rng([len(name), *name.encode()])
    for seed in range(1, seeds + 1):
        values = np.clip(level + lift + rng.normal(0.0, 0.02, users) + rng.normal(0.0, 0.001), 0.0, 1.0)
        frame = pd.DataFrame({"user_id": np.arange(users), "NDCG@20": values, "Recall@20": values / 2})
        frame.to_csv(here / f"{name}_{seed}.csv", index=False)


def outcome(here: Path) -> Compared:
    return Compared.read(here / "runs" / "compare" / "compare.yaml")


@pytest.mark.pictures
def test_two_methods_with_three_seeds_get_a_verdict(here: Path, capsys: pytest.CaptureFixture[str]):
    write_runs(here, "mine", 0.02)
    write_runs(here, "base", 0.0)
    assert compare.main(["Mine=mine_1.csv,mine_2.csv,mine_3.csv", "base_*.csv", "--objective", "ndcg_20"]) == 0
    shown = capsys.readouterr().out
    assert "Mine is better than base: ndcg@20 +" in shown
    assert "wrote runs/compare/compare.yaml, runs/compare/compare.html" in shown
    found = outcome(here)
    assert [(method.label, method.seeds) for method in found.methods] == [
        (name, [["1", "2", "3"]]) for name in ("Mine", "base")
    ]
    assert found.metrics == ["ndcg@20", "recall@20"]
    assert set(found.files) == {f"{name}_{seed}.csv" for name in ("mine", "base") for seed in (1, 2, 3)}
    assert all(sentence in shown for sentence in found.statements())
    page = (here / "runs" / "compare" / "compare.html").read_text()
    assert all(sentence in unescape(page) for sentence in found.statements())
    assert "<script src" not in page


def test_ours_comes_first_and_the_baseline_second_in_a_comparison(here: Path, capsys: pytest.CaptureFixture[str]):
    for name, lift in (("a", 0.02), ("b", 0.0), ("c", -0.02)):
        write_runs(here, name, lift)
    methods = ["a_*.csv", "b_*.csv", "c_*.csv", "--objective", "ndcg@20"]
    pairs = {"--baseline": [("a", "b"), ("c", "b")], "--ours": [("b", "a"), ("b", "c")]}
    found = {}
    for flag, expected in pairs.items():
        assert compare.main([*methods, flag, "b"]) == 0
        found[flag] = {frozenset((one.ours, one.rival)): one for one in outcome(here).comparisons}
        assert [(one.ours, one.rival) for one in outcome(here).comparisons] == expected
        assert {one.family for one in found[flag].values()} == {2}
    for pair, one in found["--baseline"].items():
        assert one.p == pytest.approx(found["--ours"][pair].p)
    assert "lead over b" in (shown := capsys.readouterr().out)
    assert "lead of b" in shown
    assert "c is worse than b: ndcg@20 -" in shown


def test_without_ours_and_baseline_all_pairs_are_compared(here: Path):
    for name, lift in (("c", -0.02), ("a", 0.02), ("b", 0.0)):
        write_runs(here, name, lift)
    assert compare.main(["c_*.csv", "a_*.csv", "b_*.csv", "--objective", "ndcg@20"]) == 0
    found = outcome(here).comparisons
    assert [(one.ours, one.rival, one.family) for one in found] == [("a", "b", 3), ("a", "c", 3), ("b", "c", 3)]
    assert {one.word for one in found} == {Word.BETTER}


def test_one_seed_gives_an_interval_and_no_verdict(here: Path, capsys: pytest.CaptureFixture[str]):
    write_runs(here, "a", 0.02, seeds=1)
    write_runs(here, "b", 0.0)
    assert compare.main(["a_1.csv", "b_*.csv", "--objective", "ndcg@20", "--no-report"]) == 0
    shown = capsys.readouterr().out
    assert "no verdict on a_1 and b: ndcg@20 +" in shown
    assert "one seed of a_1 does not show how much training runs vary; give files of two or more seeds, NAME" in shown
    assert "different numbers of runs (a_1 1 and b 3)" in shown
    assert not (here / "runs").exists(), "--no-report writes nothing"


def test_a_deterministic_method_needs_one_run(here: Path, capsys: pytest.CaptureFixture[str]):
    write_runs(here, "a", 0.02)
    write_runs(here, "ease", 0.0, seeds=1)
    arguments = ["a_*.csv", "EASE=ease_1.csv", "--objective", "ndcg@20"]
    assert compare.main([*arguments, "--deterministic", "EASE"]) == 0
    shown = capsys.readouterr().out
    assert "a is better than EASE: ndcg@20 +" in shown
    assert "EASE has no seed, as --deterministic says" in shown
    assert "different numbers of runs" not in shown
    found = outcome(here)
    assert [method.is_deterministic for method in found.methods] == [False, True]
    assert compare.main([*arguments, "--deterministic", "Ease"]) == 2
    assert "--deterministic: unknown method 'Ease'; did you mean 'EASE'?" in capsys.readouterr().err
    assert compare.main([*arguments, "--deterministic", "a"]) == 2
    assert "--deterministic a: a method without seeds has one run, got 3" in capsys.readouterr().err


def test_a_clear_difference_is_found_among_many_comparisons(here: Path, capsys: pytest.CaptureFixture[str]):
    """15 methods have 105 pairs. 4,000 resamples alone cannot give a p that is small enough for Holm's correction."""
    for number in range(15):
        write_runs(here, f"m{number:02}", 0.01 * number, users=60)
    assert compare.main([*(f"m{number:02}=m{number:02}_*.csv" for number in range(15)), "--objective", "ndcg@20"]) == 0
    found = outcome(here)
    assert len(found.comparisons) == 105
    assert found.comparisons[13].word is Word.BETTER, "the best against the worst method"
    assert found.headlines()[0].endswith("of 105 comparisons have a verdict")
    assert len(found.headlines()) == 8


def test_a_file_with_a_seed_column_and_one_without(here: Path):
    write_runs(here, "a", 0.0, seeds=2)
    write_runs(here, "b", 0.0)
    pd.read_csv(here / "a_1.csv").assign(seed=1).to_csv(here / "a_1.csv")  # with the index of pandas
    assert compare.main(["a=a_2.csv,a_1.csv", "b_*.csv", "--objective", "ndcg@20", "--baseline", "b"]) == 0
    found = outcome(here)
    assert found.methods[0].seeds == [["2", "1"]]
    assert found.metrics == ["ndcg@20", "recall@20"], "an index is no metric"


def test_a_file_may_have_several_seeds_in_a_column(here: Path):
    for name, lift in (("a", 0.02), ("b", 0.0)):
        write_runs(here, name, lift)
        parts = [pd.read_csv(here / f"{name}_{seed}.csv").assign(seed=seed + 10) for seed in (1, 2, 3)]
        pd.concat(parts).sample(frac=1.0, random_state=1).to_csv(here / f"{name}.csv", index=False)
    assert compare.main(["a.csv", "b.csv", "--objective", "ndcg@20"]) == 0
    together = outcome(here)
    assert compare.main(["a_*.csv", "b_*.csv", "--objective", "ndcg@20"]) == 0
    assert together.comparisons == outcome(here).comparisons, "the rows may have any order"
    assert sorted(together.methods[0].seeds[0]) == ["11", "12", "13"]


@pytest.mark.confirmed
def test_our_own_runs_get_the_verdict_of_confirm(place: Place, here: Path, capsys: pytest.CaptureFixture[str]):
    """--ours has the direction of confirm, --baseline the opposite one."""
    study, before = place.output / "tiny_mml", confirmed(place)
    ours = before.methods[0].label
    flags = ["--objective", "ndcg@20"]
    assert compare.main([str(study), "--ours", ours, *flags]) == 0
    found = outcome(here)
    assert found.comparisons == before.comparisons, "each p, interval and word"
    assert [row[1:3] for row in found.rows()] == [row[1:3] for row in before.rows()[: len(before.methods)]]
    assert [f"tiny_mml: {sentence}" for sentence in before.sentences()] == found.notes
    names = [one.label for one in before.baselines]
    left_out = f"tiny_mml: {len(names)} baselines not compared, {', '.join(names[:-1])} and {names[-1]}: hpo.confirm compares "
    assert [line.startswith(left_out) for line in found.said] == [False, True]
    assert compare.main([str(study), "--baseline", ours, *flags]) == 0
    for there, here_ in zip(before.comparisons, outcome(here).comparisons, strict=True):
        check_mirrored(there, here_)
    rival = before.methods[2].label
    capsys.readouterr()
    assert compare.main([f"A={study}:{ours}", f"{study}:{rival}", "--ours", "A", *flags]) == 0
    (alone,) = outcome(here).comparisons
    assert outcome(here).said == found.said[:1], "the baselines were not asked for"
    (same,) = (one for one in before.comparisons if one.rival == rival)
    assert (alone.ours, alone.rival, alone.users, alone.both) == ("A", rival, same.users, same.both)


def check_mirrored(one: Comparison, other: Comparison) -> None:
    assert (one.ours, one.rival, one.p, one.family) == (other.rival, other.ours, pytest.approx(other.p), other.family)
    mirrored = {Word.BETTER: Word.WORSE, Word.WORSE: Word.BETTER}
    assert one.word == mirrored.get(other.word, other.word)
    for mine, theirs in ((one.users, other.users), (one.runs, other.runs), (one.both, other.both)):
        assert isinstance(mine, Evidence)
        assert isinstance(theirs, Evidence)
        assert (mine.low, mine.high) == pytest.approx((-theirs.high, -theirs.low))


@pytest.mark.confirmed
@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{study}:CLC tuned", "a.csv"], "unknown method 'CLC tuned'; did you mean"),
        (["X={study}"], "one method only, and {study} has 4"),
        (["{study}", "a.csv", "--objective", "ndcg@20"], "is a run of this program, which numbers users"),
        (["{study}", "{copy}", "--objective", "ndcg@20"], "each method needs its own name, got 'tiny_mml/"),
    ],
)
def test_unusable_parts_of_a_study_are_refused(
    arguments: Sequence[str], words: str, place: Place, here: Path, fails: Callable[[int], str]
):
    write(here, {"a.csv": TABLE})
    where = {"study": str(place.output / "tiny_mml"), "copy": str(place.output / "tiny_mml" / ".")}
    assert words.format(**where) in fails(compare.main([argument.format(**where) for argument in arguments]))


@pytest.mark.confirmed
def test_a_missing_run_is_refused(place: Place, here: Path, fails: Callable[[int], str]):
    study = place.output / "tiny_mml"
    for path in (study / "runs").glob("*.json"):
        if '"seed": 201' in path.read_text():
            path.unlink()
    assert "with seed 201 is missing; confirm the study again" in fails(compare.main([str(study), "--objective", "ndcg@20"]))


BAD: dict[str, tuple[dict[str, str | bytes], list[str], str]] = {
    "one method": ({"a.csv": TABLE}, ["a.csv", "--objective", "ndcg@20"], "needs two methods or more, got 1"),
    "no such file": ({"a.csv": TABLE}, ["a.csv", "c.csv"], "'c.csv': no such file or folder; give NAME=FILE"),
    "one file twice": (
        {"a.csv": TABLE},
        ["a.csv,a.csv", "b.csv"],
        "a: each seed needs a file of its own, got the same content in a.csv and a.csv; leave one out, and if the method has "
        "no seed, say --deterministic a",
    ),
    "no path": ({"a.csv": TABLE}, ["a.csv", "b="], "each method needs a file, got 'b='"),
    "no name": ({"a.csv": TABLE}, ["a.csv", "=a.csv"], "a method's name must have 1 to 80 characters"),
    "same names": ({"a.csv": TABLE}, ["x=a.csv", "x=a.csv"], "each method needs its own name, got 'x' more than once"),
    "unknown baseline": ({}, ["a.csv", "b.csv", "--baseline", "bb"], "--baseline: unknown method 'bb'; did you mean 'b'"),
    "both directions": ({}, ["a.csv", "b.csv", "--baseline", "b", "--ours", "a"], "not allowed with argument"),
    "several metrics": ({}, ["a.csv", "b.csv"], "have several metrics in common"),
    "no metric": ({"a.csv": "user,map@5\n1,0.5\n"}, ["a.csv", "b.csv"], "no metric in common"),
    "unknown metric": (
        {},
        ["a.csv", "b.csv", "--objective", "ndcg@5"],
        "has no metric 'ndcg@5'; it has ndcg@20, recall@20",
    ),
    "lower is better": (
        {"a.csv": "user,RMSE\n1,1.5\n", "b.csv": "user,RMSE\n1,1.5\n"},
        ["a.csv", "b.csv"],
        "for which higher is better, got 'rmse'",
    ),
    "spelt alike": (
        {"a.csv": "user,ndcg@20,NDCG_20\n1,0.5,0.4\n"},
        ["a.csv", "b.csv", "--objective", "nDCG@20"],
        "must match one column, and a has ndcg@20, NDCG_20",
    ),
    "empty": ({"a.csv": ""}, ["a.csv", "b.csv"], "a.csv: is empty"),
    "header alone": ({"a.csv": "user,ndcg@20\n"}, ["a.csv", "b.csv"], "a.csv: must hold rows, got columns user, ndcg@20"),
    "not UTF-8": ({"a.csv": TABLE.encode() + b"z\xe9,1,1\n"}, ["a.csv", "b.csv"], "a.csv, line 42: is not UTF-8 text"),
    "zero bytes": ({"a.csv": TABLE + "\0"}, ["a.csv", "b.csv"], "a.csv: must be text"),
    "no header": ({"a.csv": "1,0.5\n2,0.4\n"}, ["a.csv", "b.csv"], "the first line must name the columns, got '1, 0.5'"),
    "no header, two metrics": ({"a.csv": "1,0.5,0.2\n"}, ["a.csv", "b.csv"], "the first line must name the columns"),
    "no users": ({"a.csv": "person,ndcg@20\n1,0.5\n"}, ["a.csv", "b.csv"], "must have a column of users, named user or"),
    "two users": (
        {"a.csv": "user,user_id,ndcg\n1,1,0.5\n"},
        ["a.csv", "b.csv"],
        "one column of each kind, got several candidates",
    ),
    "no numbers": ({"a.csv": "user,ndcg@20\n1,high\n"}, ["a.csv", "b.csv"], "must have a column of numbers besides"),
    "a column twice": ({"a.csv": "user,ndcg,ndcg\n1,0.5,1\n"}, ["a.csv", "b.csv"], "its own name, got 'ndcg' more than once"),
    "a field without end": (
        {"a.csv": "user," + 200_000 * "x"},
        ["a.csv", "b.csv"],
        "must name the columns, got one that cannot be read",
    ),
    "too many fields": ({"a.csv": TABLE + "99,1,1,1\n"}, ["a.csv", "b.csv"], "must have the 3 fields of the first line"),
    "far too many fields": ({"a.csv": TABLE + "99,1,1,1,1\n"}, ["a.csv", "b.csv"], "the 3 fields of the first one"),
    "no id": ({"a.csv": TABLE + ",1,1\n"}, ["a.csv", "b.csv"], "row 41 below the header: column 'user' must hold an id"),
    "no figure": (
        {"a.csv": TABLE + "99,,1\n"},
        ["a.csv", "b.csv", "--objective", "ndcg@20"],
        "is missing, outside or no number for 1 of 41 users, such as user '99'",
    ),
    "a figure too large": (
        {"a.csv": TABLE + "99,1e91,1\n"},
        ["a.csv", "b.csv", "--objective", "ndcg@20"],
        "ndcg@20 must be a number from -1e+90 to 1e+90 for each user",
    ),
    "infinite": ({"a.csv": TABLE + "99,inf,1\n"}, ["a.csv", "b.csv", "--objective", "ndcg@20"], "such as user '99'"),
    "a user twice": ({"a.csv": TABLE + "7,1,1\n"}, ["a.csv", "b.csv"], "got user '7' again (1 such row)"),
    "several methods": (
        {"a.csv": "user,model,ndcg@20\n1,EASE,0.5\n1,BPR,0.4\n"},
        ["a.csv", "b.csv"],
        "must hold one method, got 2 in column 'model', such as 'EASE' and 'BPR'",
    ),
    "a seed twice": (
        {"a.csv": "user,seed,ndcg@20\n1,5,0.5\n", "c.csv": "user,seed,ndcg@20\n1,5,0.4\n"},
        ["A=a.csv,c.csv", "b.csv"],
        "A: each seed may occur once, got seed 5 in a.csv and in c.csv",
    ),
    "other users": (
        {"a.csv": TABLE.replace("\n", "\nx")[:-1]},
        ["a.csv", "b.csv", "--objective", "ndcg@20"],
        "have 0 users in common (a has 40, such as 'x0'; b has 40, such as '0')",
    ),
    "zeros in front": (
        {"a.csv": TABLE.replace("\n", "\n00")[:-2]},
        ["a.csv", "b.csv", "--objective", "ndcg@20"],
        "differ by leading zeros: b has '0'",
    ),
    "unknown ending": ({"a.xlsx": b"PK"}, ["a.xlsx", "b.csv"], "unknown kind of file '.xlsx'; use one of .csv, .tsv"),
    "no Parquet": ({"a.parquet": b"PAR"}, ["a.parquet", "b.csv"], "must be a Parquet file, got one that cannot be read"),
    "lists without truth": ({"a.csv": LISTS}, ["a.csv", "b.csv"], "give the test file with --truth FILE"),
    "truth without lists": ({"t.csv": TRUTH}, ["a.csv", "b.csv", "--truth", "t.csv"], "no method has any; leave it out"),
    "an unknown layout": (
        {"a.csv": LISTS, "t.csv": TRUTH.replace("item", "thing")},
        ["a.csv", "b=a.csv", "--truth", "t.csv"],
        "t.csv: needs one column named item or item_id, or another known name, got columns user, thing",
    ),
    "a wrong layout": (
        {"a.csv": LISTS, "t.csv": TRUTH},
        ["a.csv", "b=a.csv", "--truth", "t.csv", "--data", "{colums: {}}"],
        "--data: unknown key 'colums'; did you mean 'columns'?",
    ),
    "a layout without truth": (
        {"a.csv": TABLE},
        ["a.csv", "b.csv", "--objective", "ndcg@20", "--data", "{columns: {user: 0, item: 1}}"],
        "--data is the layout of the --truth file, and no --truth is given",
    ),
    "no truth": ({"a.csv": LISTS}, ["a.csv", "b.csv", "--truth", "t.csv"], "No such file or directory; give the path of"),
    "unknown objective": (
        {"a.csv": LISTS, "t.csv": TRUTH},
        ["a.csv", "a=a.csv", "--truth", "t.csv", "--objective", "ndgc@20"],
        "did you mean 'ndcg@20'?",
    ),
    "no order": (
        {"a.csv": "user,item\n1,1\n", "t.csv": TRUTH},
        ["a.csv", "b=a.csv", "--truth", "t.csv"],
        "need a column rank (1 is the best) or score (higher is better)",
    ),
    "an item twice": (
        {"a.csv": LISTS + "3,2,9\n", "t.csv": TRUTH},
        ["a.csv", "b=a.csv", "--truth", "t.csv"],
        "got recommended item '2' of user '3' again (1 such row)",
    ),
    "a rank twice": (
        {"a.csv": LISTS + "3,77,2\n", "t.csv": TRUTH},
        ["a.csv", "b=a.csv", "--truth", "t.csv"],
        "got rank 2 of user '3' again",
    ),
    "no rank": (
        {"a.csv": LISTS + "3,77,last\n", "t.csv": TRUTH},
        ["a.csv", "b=a.csv", "--truth", "t.csv"],
        "column 'rank' must hold numbers, got 'last'",
    ),
    "other ids of users": (
        {"a.csv": LISTS, "t.csv": TRUTH.replace("\n", "\nu")[:-1]},
        ["a.csv", "b=a.csv", "--truth", "t.csv"],
        "its users must be users of t.csv, and none is",
    ),
    "other ids of items": (
        {"a.csv": LISTS, "t.csv": TRUTH.replace(",", ",i").replace(",iitem", ",item")},
        ["a.csv", "b=a.csv", "--truth", "t.csv"],
        "its items must be items of t.csv, and none is",
    ),
    "a folder of nothing": ({}, ["folder", "b.csv"], "folder: must be a study's folder with a confirm.yaml, or hold a file"),
    "a folder among files": ({}, ["a=folder,b.csv", "b.csv"], "folder: must be a file, got a folder"),
    "both kinds": (
        {"c.csv": LISTS, "t.csv": TRUTH},
        ["a=a.csv,c.csv", "b.csv", "--truth", "t.csv"],
        "of one kind, got metrics in a.csv and recommendations in c.csv",
    ),
}


@pytest.mark.parametrize("case", BAD)
def test_unusable_files_are_refused(case: str, here: Path, fails: Callable[[int], str]):
    files, arguments, words = BAD[case]
    (here / "folder").mkdir()
    write(here, {"a.csv": TABLE, "b.csv": TABLE, **files})
    assert words in fails(compare.main(arguments))
    assert not (here / "runs").exists()


def shifted(by: float, header: str = "user,ndcg@20", users: Sequence[object] = range(USERS)) -> str:
    return f"{header}\n" + "".join(f"{user},{(place % 7) / 10 + by}\n" for place, user in enumerate(users))


SAID: dict[str, tuple[dict[str, str], list[str], CaveatKind, str]] = {
    "missing users": (
        {"b.csv": shifted(0.1, users=range(2, USERS))},
        ["a.csv", "b.csv"],
        CaveatKind.USERS_MISSING,
        "b lacks 2 of the 40 users in the files: all figures here are over the 38 users that all methods have",
    ),
    "beyond 1": ({"b.csv": shifted(3.0)}, ["a.csv", "b.csv"], CaveatKind.OUTSIDE_UNIT, "(it ranges from 3 to 3.6)"),
    "constant": (
        {"b.csv": "user,ndcg@20\n" + "".join(f"{user},0\n" for user in range(USERS))},
        ["a.csv", "b.csv"],
        CaveatKind.CONSTANT,
        "ndcg@20 of b is 0 for every user in every run: is it the right column, or does --truth hold other items?",
    ),
    "seeds alike": (
        {"b.csv": "user,seed,ndcg@20\n" + "".join(f"{user},{seed},{user / 100}\n" for seed in (1, 2) for user in range(USERS))},
        ["a.csv", "b.csv"],
        CaveatKind.RUNS_ALIKE,
        "all 2 runs of b have the same ndcg@20",
    ),
    "two names": ({}, ["a.csv", "x=a.csv"], CaveatKind.SAME_FIGURES, "a and x have the same ndcg@20 for every user"),
    "other counts": ({}, ["a.csv,b.csv", "b.csv"], CaveatKind.RUNS_DIFFER, "different numbers of runs (a 2 and b 1)"),
    "read and computed": (
        {"b.csv": LISTS, "t.csv": TRUTH},
        ["a.csv", "b.csv", "--truth", "t.csv"],
        CaveatKind.MIXED_SOURCES,
        "this program computed ndcg@20 of b, while ndcg@20 of a comes from a file",
    ),
    "short lists": (
        {"a.csv": LISTS, "t.csv": TRUTH},
        ["a.csv", "b=a.csv", "--truth", "t.csv"],
        CaveatKind.SHORT_LISTS,
        "a has lists for 40 of 40 users that are shorter than the metrics need",
    ),
    "no lists": (
        {"a.csv": LISTS.replace("0,1,1\n0,2,2\n0,3,3\n", "", 1), "t.csv": TRUTH},
        ["a.csv", "b=a.csv", "--truth", "t.csv"],
        CaveatKind.USERS_UNSERVED,
        "a recommends nothing to 1 of the 40 users with held-out items: they count 0",
    ),
    "more lists": (
        {"a.csv": LISTS + "999,1,1\n", "t.csv": TRUTH},
        ["a.csv", "b=a.csv", "--truth", "t.csv"],
        CaveatKind.USERS_UNKNOWN,
        "a has lists for users without held-out items (1), who are left out",
    ),
    "ties": (
        {"a.csv": "user,item,score\n1,1,0.5\n1,2,0.5\n2,1,0.5\n", "t.csv": TRUTH},
        ["a.csv", "b=a.csv", "--truth", "t.csv"],
        CaveatKind.TIED_SCORES,
        "a has equal scores within a list, for 1 of 40 users",
    ),
}


@pytest.mark.parametrize("case", SAID)
def test_messages_about_files(case: str, here: Path, capsys: pytest.CaptureFixture[str]):
    files, arguments, kind, words = SAID[case]
    write(here, {"a.csv": shifted(0.0), "b.csv": shifted(0.1), **files})
    assert compare.main(arguments) == 0
    assert words in capsys.readouterr().out
    found = outcome(here)
    assert kind in {caveat.kind for caveat in found.caveats}
    assert any(words in sentence for sentence in found.in_words.caveats)


def test_few_users_get_no_verdict(here: Path, capsys: pytest.CaptureFixture[str]):
    write(here, {"a.csv": shifted(0.0, users=range(12)), "b.csv": shifted(0.1, users=range(12))})
    assert compare.main(["a.csv", "b.csv", "--deterministic", "a", "--deterministic", "b", "--no-report"]) == 0
    assert "no verdict: the methods have 12 users in common, and 30 are needed" in capsys.readouterr().out
