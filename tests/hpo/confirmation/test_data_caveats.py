"""Caveats about the data: the rules of the splits, dropped pairs, unused ratings, few users."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hpo.confirmation.caveats import CaveatKind
from hpo.confirmation.data_caveats import _remedy, data_caveats, distribution_shift
from hpo.study.spec import StudySpec
from hpo.study.workspace import Workspace
from trainers import Interactions
from trainers.data.datasets import read_test
from trainers.data.facts import DataFacts

from ..conftest import Place
from ..outcomes import caveats, confirmed

N_USERS, N_ITEMS = 60, 50


def workspace(tmp_path: Path, **keys: object) -> Workspace:
    spec = StudySpec.model_validate({"name": "s", "dataset": str(tmp_path / "data"), "space": {"name": "ccl"}, **keys})
    return Workspace.open(spec, tmp_path / "out", None, "torch", "cpu")


def write(tmp_path: Path, **files: list[tuple[int, int]]) -> None:
    """Write files with two columns."""
    (tmp_path / "data").mkdir()
    for name, pairs in files.items():
        lines = [f"{user},{item}" for user, item in pairs]
        (tmp_path / "data" / f"{name}.csv").write_text("\n".join(["user,item", *lines]) + "\n", encoding="utf-8")


def train_pairs() -> list[tuple[int, int]]:
    """Six items of each user."""
    return [(user, (user + 7 * step) % N_ITEMS) for user in range(N_USERS) for step in range(6)]


def found(work: Workspace) -> dict[CaveatKind, dict[str, object]]:
    test = read_test(work.dataset)
    return {caveat.kind: caveat.facts for caveat in data_caveats(work, test.pairs, test.facts)}


def test_a_test_split_with_more_or_less_popular_items_is_a_caveat() -> None:
    """In train, item 0 has 6 users and item 1 has 2."""
    users, items = np.array([0, 1, 2, 3, 4, 5, 0, 1]), np.array([0, 0, 0, 0, 0, 0, 1, 1])
    train = Interactions.from_pairs(users, items, 8, 2)
    both, first = (Interactions.from_pairs(np.array(u), np.array(i), 8, 2) for u, i in (([6, 7], [0, 1]), ([6, 7], [0, 0])))
    assert list(distribution_shift("s", train, both, train, both)) == []
    (more,) = distribution_shift("s", train, both, train, first, "last")
    assert (more.kind, more.facts) == (CaveatKind.POPULARITY_DIFFERS, {"percent": pytest.approx(50.0), "remedy": "last"})
    (less,) = distribution_shift("s", train, first, train, both)
    assert less.facts == {"percent": pytest.approx(-100 / 3), "remedy": "none"}


def test_a_test_file_with_many_dropped_users_is_a_caveat(tmp_path: Path) -> None:
    """30 of 60 users of the test file are not in train, and one pair is."""
    test = [(user, (user + 3) % N_ITEMS) for user in range(30, 90)] + [(0, 0)]
    write(tmp_path, train=train_pairs(), test=test)
    facts = found(workspace(tmp_path))[CaveatKind.TEST_DROPPED]
    assert facts == {"pairs": 61, "users": 61, "unknown": 30, "seen": 1, "kept_users": 30}


def test_many_dropped_validation_pairs_are_a_caveat(tmp_path: Path) -> None:
    """Each user has five items of their own and one that all have. Validation holds out one of the six."""
    own = [(user, 100 + 5 * user + step) for user in range(N_USERS) for step in range(5)]
    write(tmp_path, train=own + [(user, 0) for user in range(N_USERS)], test=[(user, 100) for user in range(1, N_USERS)])
    work = workspace(tmp_path)
    left = len(work.parts.held_out)
    assert 0 < left < N_USERS / 2
    assert found(work)[CaveatKind.VALIDATION_DROPPED] == {"pairs": N_USERS, "unknown": N_USERS - left}


def test_a_test_file_with_one_dropped_user_is_no_caveat(tmp_path: Path) -> None:
    test = [(user, (user + 3) % N_ITEMS) for user in range(N_USERS)] + [(99, 1)]
    write(tmp_path, train=train_pairs(), test=test)
    assert CaveatKind.TEST_DROPPED not in found(workspace(tmp_path)), "one of 61 is dropped"


@pytest.mark.parametrize(
    ("test", "validation", "expected"),
    [
        ("last", "random", {"validation": "random", "test": "last", "remedy": "last"}),
        ("time", "random", {"validation": "random", "test": "time", "remedy": "time"}),
        ("random", "last", {"validation": "last", "test": "random", "remedy": "random"}),
        ("last", "last", None),
        ("time", "last", {"validation": "last", "test": "time", "remedy": "time"}),
        ("time", "time", None),
        ("last", "time", {"validation": "time", "test": "last", "remedy": "last"}),
        ("leave_one_out", "last", None),
        ("random", "random", None),
    ],
)
def test_different_rules_of_validation_and_test_are_a_caveat(
    tmp_path: Path, test: str, validation: str, expected: dict[str, str] | None
) -> None:
    lines = [f"{user},{item},{1_000 * (number % 6) + user}" for number, (user, item) in enumerate(train_pairs())]
    (tmp_path / "data.csv").write_text("\n".join(["user,item,timestamp", *lines]) + "\n", encoding="utf-8")
    data = {"test": {"name": test}}
    work = workspace(tmp_path, dataset=str(tmp_path / "data.csv"), data=data, validation={"name": validation})
    assert found(work).get(CaveatKind.SPLIT_METHODS_DIFFER) == expected


@pytest.mark.parametrize(("tied_users", "is_caveat"), [(6, False), (7, True), (60, True)])
def test_times_that_are_equal_where_the_test_split_begins_are_a_caveat(
    tmp_path: Path, tied_users: int, is_caveat: bool
) -> None:
    """Users have six pairs. With fraction .2, `last` holds out the last two. Some users have one time for their last three."""
    lines = []
    for number, (user, item) in enumerate(train_pairs()):
        step = number % 6
        time = 3 if user < tied_users and step >= 3 else step
        lines.append(f"{user},{item},{1_000 * time + user}")
    (tmp_path / "data.csv").write_text("\n".join(["user,item,timestamp", *lines]) + "\n", encoding="utf-8")
    work = workspace(tmp_path, dataset=str(tmp_path / "data.csv"), validation={"name": "last"})
    assert (read_test(work.dataset).facts.tied, work.parts.tied) == (tied_users, 0)
    expected = {"split": "test", "tied": tied_users, "users": N_USERS} if is_caveat else None
    assert found(work).get(CaveatKind.TIED_TIMES) == expected


def test_few_validation_users_are_a_caveat(tmp_path: Path) -> None:
    for users, expected in ((29, {"users": 29}), (30, None)):
        path = tmp_path / f"{users}.csv"
        lines = [f"{user},{(user + step) % 8}" for user in range(users) for step in range(6)]
        path.write_text("\n".join(["user,item", *lines]) + "\n", encoding="utf-8")
        work = workspace(tmp_path, dataset=str(path), data={"test": {"name": "random"}})
        assert found(work).get(CaveatKind.FEW_VALIDATION_USERS) == expected


def test_few_test_users_give_no_verdict(place: Place) -> None:
    """28 of 48 lines of the test file are removed. Each remaining user has three pairs."""
    path = place.root / "data" / "tiny" / "test.txt"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[:20]))
    assert place.run() == 0
    outcome = confirmed(place)
    assert outcome.comparisons == []
    assert (
        "no verdict: the test split has 20 users, and 30 are needed; use more data or another test split"
        in outcome.statements()
    )
    assert outcome.methods[0].by_seed, "there are figures nevertheless"
    assert not caveats(place, CaveatKind.TEST_DROPPED), "the program dropped none"


@pytest.mark.parametrize(("option", "expected"), [("", True), ("data: {min_rating: 3}\n", False)])
def test_ratings_without_a_threshold_are_a_caveat(place: Place, option: str, expected: bool) -> None:
    lines = [f"{user},{item},{1 + number % 5}" for number, (user, item) in enumerate(train_pairs())]
    (place.root / "rated.csv").write_text("\n".join(["user,item,rating", *lines]) + "\n", encoding="utf-8")
    study = place.study.read_text().replace("dataset: tiny", f"dataset: rated.csv\n{option}").partition("rivals:")[0]
    (place.root / "rated.yaml").write_text(study)
    assert place.run(study="rated.yaml") == 0
    assert bool(caveats(place, CaveatKind.RATINGS_UNUSED, "rated")) == expected
    data = confirmed(place, "rated").data
    assert data.facts.below_rating == (0 if expected else 144), "two of five pairs are below"
    assert data.facts.interactions == 360


def test_a_test_file_of_unknown_rule_is_a_caveat_with_the_last_pairs_as_remedy(tmp_path: Path) -> None:
    """If the study does not state the rule of the test file, validation is random. The data have times."""
    lines = [f"{user},{item},{number}" for number, (user, item) in enumerate(train_pairs())]
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "train.csv").write_text("\n".join(["user,item,timestamp", *lines]) + "\n", encoding="utf-8")
    test = [f"{user},{(user + 3) % N_ITEMS},9999" for user in range(N_USERS)]
    (tmp_path / "data" / "test.csv").write_text("\n".join(["user,item,timestamp", *test]) + "\n", encoding="utf-8")
    assert found(workspace(tmp_path))[CaveatKind.SPLIT_METHODS_DIFFER] == {
        "validation": "random",
        "test": "file",
        "remedy": "last",
    }
    assert CaveatKind.SPLIT_METHODS_DIFFER not in found(workspace(tmp_path, validation={"name": "last"}))


@pytest.mark.parametrize(
    ("test_split", "validation", "timed", "remedy"),
    [
        ("last", "random", False, "last"),
        ("last", "last", False, "alike"),
        ("leave_one_out", "last", True, "alike"),
        ("time", "last", True, "time"),
        ("time", "time", True, "alike"),
        ("random", "last", True, "random"),
        ("random", "random", True, "alike"),
        ("popularity", "random", True, "none"),
        ("last", "time", True, "last"),
        ("leave_one_out", "file", True, "last"),
        ("file", "file", True, "unknown"),
        ("file", "random", True, "last"),
    ],
)
def test_the_remedy_is_one_that_the_data_allow(test_split: str, validation: str, timed: bool, remedy: str) -> None:
    assert _remedy(validation, DataFacts(ordered=True, timed=timed, test_split=test_split)) == remedy


def test_data_without_an_order_have_no_remedy() -> None:
    """An example is electronic_temporal: it was split by time and published without times."""
    assert _remedy("random", DataFacts(test_split="time")) == "none"
    assert _remedy("random", DataFacts(test_split="last")) == "none"
