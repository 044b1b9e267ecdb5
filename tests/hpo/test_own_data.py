"""Every option of `data` and `validation`, from the study file to the printed and stored facts."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpo import confirm, report
from hpo.study.definition import stored_definition
from trainers.data import Interactions
from trainers.data.splits import hold_out

from .conftest import Place
from .outcomes import confirmed, opened

N_USERS, N_ITEMS, EACH = 40, 30, 10
HEAD = "space: {name: ccl}\nconfig: {encoder: {name: mf, dim: 8}, negatives: {name: uniform, count: 7}, batch_size: 64}\n"
PLAN = "search: {trials: 1, epochs: 1}\nconfirm: {top: 1, select_seeds: 1, seeds: 2, epochs: 1}\n"


def rows() -> list[tuple[int, int, int, int]]:
    """(user, item, rating, time) for ten items of each user. Ids are unordered, ratings go from 1 to 5, and times vary."""
    rng = np.random.default_rng(2)
    return [
        (user, int(item), 1 + step % 5, 1_000_000_000 + step * 1_000 + user)
        for user in range(N_USERS)
        for step, item in enumerate(rng.permutation(N_ITEMS)[:EACH])
    ]


def write(path: Path, separator: str = ",", header: str = "user,item,rating,timestamp", encoding: str = "utf-8") -> None:
    lines = [header.replace(",", separator)] if header else []
    path.write_text("\n".join([*lines, *(separator.join(map(str, row)) for row in rows())]) + "\n", encoding=encoding)


def study(place: Place, data: str = "", validation: str = "", dataset: str = "own.csv") -> str:
    """Write a study file for these data, and return its name."""
    keys = f"dataset: {dataset}\n" + (f"data: {data}\n" if data else "") + (f"validation: {validation}\n" if validation else "")
    (place.root / "own.yaml").write_text(keys + HEAD + PLAN)
    return "own.yaml"


def shown(
    place: Place, capsys: pytest.CaptureFixture[str], data: str = "", validation: str = "", dataset: str = "own.csv"
) -> str:
    """The output of a dry run on one line."""
    capsys.readouterr()
    assert place.run("--dry-run", study=study(place, data, validation, dataset)) == 0
    return " ".join(capsys.readouterr().out.split())


def counts(train: int, validation: int, users: int = N_USERS, items: int = N_ITEMS) -> str:
    return f"{users} users x {items} items, {train} interactions to train on, {validation} for validation"


@pytest.mark.parametrize(
    ("data", "expected"),
    [
        # two of ten are in test; one of the other eight is held out
        ("", [counts(280, 40), "every rating counts as a positive"]),
        ("{min_rating: 4}", ["dropped 240 of 400 interactions, rated below 4"]),
        ("{min_rating: 1}", [counts(280, 40)]),
        ("{test: {name: last, fraction: 0.4}}", [counts(200, 40)]),
        ("{test: {name: leave_one_out}}", [counts(320, 40)]),
        ("{test: {name: random, fraction: 0.2, seed: 3}}", [counts(280, 40)]),
        ("{columns: {user: item, item: user}}", ["user=item, item=user", "30 users x 40 items"]),
        ("{columns: {user: 0, item: 1}}", ["rating=rating, time=timestamp"]),
        ("{columns: {rating: none, time: none}}", ["not used: rating, timestamp"]),
    ],
)
def test_options_of_a_table_have_an_effect(
    place: Place, capsys: pytest.CaptureFixture[str], data: str, expected: list[str]
) -> None:
    write(place.root / "own.csv")
    text = shown(place, capsys, data)
    assert [part for part in expected if part not in text] == [], text


def test_dropped_interactions_add_up_and_are_reported_once(place: Place, capfd: pytest.CaptureFixture[str]) -> None:
    """There are 402 lines, two of them repeated. 161 have ratings of 4 or 5, one of them repeated."""
    path = place.root / "own.csv"
    write(path)
    (liked, disliked) = (next(row for row in rows() if row[2] == rating) for rating in (5, 1))
    path.write_text(path.read_text() + "".join(f"{','.join(map(str, row))}\n" for row in (liked, disliked)))
    assert place.run("--dry-run", study=study(place, "{min_rating: 4}", dataset="own.csv")) == 0
    printed = " ".join("".join(capfd.readouterr()).split())
    assert printed.count("dropped 241 of 402 interactions, rated below 4") == 1
    assert printed.count("dropped 1 of the remaining 161 interactions: repeated pairs of user and item") == 1
    assert len(re.findall(r"validation: \d+ of 40 pairs dropped whose user or item is in no training pair", printed)) == 1
    assert printed.count("dropped ") == 3, printed


@pytest.mark.parametrize(
    ("layout", "data"),
    [
        ({"separator": "|"}, '{separator: "|"}'),
        ({"header": ""}, "{header: false, columns: {user: 0, item: 1, rating: 2, time: 3}}"),
        ({"header": "wer,was,note,wann"}, "{columns: {user: wer, item: was, rating: note, time: wann}}"),
        ({"encoding": "utf-16-le"}, "{encoding: utf-16-le}"),
    ],
)
def test_layouts_may_be_given(place: Place, capsys: pytest.CaptureFixture[str], layout: dict[str, str], data: str) -> None:
    write(place.root / "own.csv", **layout)
    assert counts(280, 40) in shown(place, capsys, data)


def test_an_ambiguous_text_file_needs_its_format(
    place: Place, capsys: pytest.CaptureFixture[str], fails: Callable[[int], str]
) -> None:
    """Four numbers in every line may be NGCF text or a table."""
    write(place.root / "own.txt", separator=" ", header="")
    assert "data: {format: table}" in fails(place.run("--dry-run", study=study(place, dataset="own.txt")))
    assert counts(280, 40) in shown(place, capsys, "{format: table}", dataset="own.txt")
    assert "NGCF text" in shown(place, capsys, "{format: lines}", dataset="own.txt")


@pytest.mark.parametrize("data", ["{k_core: 3}", "{min_user: 2}", "{min_item: 3}"])
def test_rare_users_and_items_are_left_out(place: Place, capsys: pytest.CaptureFixture[str], data: str) -> None:
    """40 users have 10 items each, and one user has one item that no other user has."""
    path = place.root / "own.csv"
    write(path)
    path.write_text(path.read_text() + "99,77,5,1\n")
    text = shown(place, capsys, data)
    assert "dropped 1 of 401 interactions, of 1 user and 1 item with too few interactions" in text
    assert counts(280, 40) in text


@pytest.mark.parametrize(
    ("validation", "expected"),
    [
        ("", "the last 10 % of each user's interactions, rounded up"),
        ("{name: last, fraction: 0.3}", "240 interactions to train on"),
        ("{name: random, seed: 5}", "10 % of each user's interactions, rounded up, drawn at random with seed 5"),
        ("{name: time, fraction: 0.2}", "the last 20 % of all interactions, from one moment on"),
    ],
)
def test_validation_is_held_out_as_configured(
    place: Place, capsys: pytest.CaptureFixture[str], validation: str, expected: str
) -> None:
    write(place.root / "own.csv")
    if "0.3" in validation:
        expected = counts(200, 120)  # ceil(.3 x 8) = 3 of 8
    assert expected in shown(place, capsys, validation=validation)


@pytest.mark.parametrize("valid", ["valid", "val", "validation", "dev"])
def test_a_valid_file_is_held_out(place: Place, capsys: pytest.CaptureFixture[str], valid: str) -> None:
    folder = place.root / "own"
    folder.mkdir()
    by_step = [[row for number, row in enumerate(rows()) if number % EACH in steps] for steps in (range(6), [6], [7, 8, 9])]
    for name, part in zip(("train", valid, "test"), by_step, strict=True):
        lines = [f"{user},{item}" for user, item, _, _ in part]
        (folder / f"{name}.csv").write_text("\n".join(["user,item", *lines]) + "\n")
    text = shown(place, capsys, dataset="own")
    assert "for validation (the valid file)" in text
    assert "240 interactions to train on" in text


def test_lines_are_ordered_only_if_the_study_says_so(
    place: Place, capsys: pytest.CaptureFixture[str], fails: Callable[[int], str]
) -> None:
    """The tiny data are NGCF text, which does not show whether it is ordered."""
    assert "drawn at random" in shown(place, capsys, dataset="tiny")
    assert "split 'last' needs an order" in fails(place.run("--dry-run", study=study(place, "", "{name: last}", "tiny")))
    assert "the last 10 % of each user's interactions" in shown(place, capsys, "{ordered: true}", dataset="tiny")


def test_facts_about_the_data_are_stored(place: Place) -> None:
    write(place.root / "own.csv")
    assert place.run(study=study(place, "{min_rating: 2, k_core: 2, test: {name: time, fraction: 0.3}}")) == 0
    data = confirmed(place, "own").data
    assert (data.facts.interactions, data.facts.below_rating) == (400, 80)
    assert data.facts.test_split == "time"
    assert data.about_test.moment is not None
    assert data.validation_split.name == "time", "made as the test split"
    assert data.users_with_test == data.about_test.kept_users
    assert report.main(["--study", "own", *place.where]) == 0
    text = (place.output / "own" / "report.md").read_text()
    assert "dropped 80 of 400 interactions, rated below 2" in text
    assert "read 400 ratings: user=user, item=item, rating=rating, time=timestamp" in text
    assert "test split: the last 30 % of all interactions, from one moment on (10000" in text


def test_data_in_another_order_are_refused(place: Place, fails: Callable[[int], str]) -> None:
    """The pairs are the same, and the items of each line are reversed."""
    name = study(place, "{ordered: true}", dataset="tiny")
    assert place.run("--search-only", study=name) == 0
    path = place.root / "data" / "tiny" / "train.txt"
    lines = [line.split() for line in path.read_text().splitlines()]
    path.write_text("\n".join(" ".join([user, *reversed(items)]) for user, *items in lines) + "\n")
    assert "on the same pairs in another order" in fails(place.run("--search-only", study=name))
    assert "data in another order" in fails(confirm.main(["--study", "own", *place.where]))


def test_moved_data_are_found_with_the_flag_that_the_message_names(place: Place, fails: Callable[[int], str]) -> None:
    write(place.root / "own.csv")
    assert place.run("--search-only", study=study(place)) == 0
    (place.root / "elsewhere").mkdir()
    (place.root / "own.csv").rename(place.root / "elsewhere" / "own.csv")
    message = fails(confirm.main(["--study", "own", *place.where]))
    assert "if the data have moved, give their folder with --data-dir" in message
    moved = ["--output", str(place.output), "--data-dir", str(place.root / "elsewhere")]
    assert confirm.main(["--study", "own", *moved]) == 0


def test_the_validation_pairs_are_the_last_ones(place: Place) -> None:
    """The expected pairs are computed from the file."""
    write(place.root / "own.csv")
    assert place.run("--search-only", study=study(place)) == 0
    by_user = [sorted((time, item) for user, item, _, time in rows() if user == who) for who in range(N_USERS)]
    train = [(who, item) for who, history in enumerate(by_user) for _, item in history[:8]]
    known = sorted({item for _, item in train})
    graph = Interactions.from_pairs(
        np.array([user for user, _ in train]),
        np.array([known.index(item) for _, item in train]),
        N_USERS,
        len(known),
        ordered=True,
    )
    seen, held_out = hold_out(graph, "last")
    definition = stored_definition("own", opened(place, "own").study.user_attrs)
    assert (definition.seen, definition.held_out) == (seen.checksum, held_out.checksum)


@pytest.mark.parametrize(
    ("data", "validation", "words"),
    [
        ("{min_ratings: 4}", "", "unknown key 'min_ratings'; did you mean 'min_rating'?"),
        ("{min_rating: 9}", "", "holds no interactions rated 9 or more"),
        ("{k_core: 50}", "", "k_core, min_user and min_item leave no interaction: they need at least 50 of each"),
        ("{k_core: 0}", "", "data.k_core"),
        ("{test: {name: lats}}", "", "data.test.name"),
        ("{test: {name: last, fraction: 1.0}}", "", "data.test.fraction"),
        ("{columns: {user: customer}}", "", "customer"),
        ("{encoding: klingon}", "", "klingon"),
        ("", "{name: lats}", "validation.name"),
        ("", "{name: last, fraction: 0}", "validation.fraction"),
        ("", "{name: file}", "validation 'file' needs a file valid.*"),
        ("[1]", "", "data"),
        ("", "last", "validation"),
    ],
)
def test_bad_options_are_refused(place: Place, fails: Callable[[int], str], data: str, validation: str, words: str) -> None:
    write(place.root / "own.csv")
    assert words in fails(place.run("--dry-run", study=study(place, data, validation)))


def test_options_of_public_data_are_refused(place: Place, fails: Callable[[int], str]) -> None:
    assert "dataset demo has no options" in fails(place.run("--dry-run", study=study(place, "{k_core: 2}", dataset="demo")))


def test_a_test_split_of_few_users_gives_a_warning_before_the_search(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """The last 2 % of all interactions belong to eight users."""
    write(place.root / "own.csv")
    name = study(place, "{test: {name: time, fraction: 0.02}}")
    assert place.run(study=name) == 0
    text = " ".join(capsys.readouterr().out.split())
    before, _, after = text.partition("best trial")
    assert "test split: 8 users" in before
    warning = "WARNING: there will be no verdict, since it needs at least 30 test users; split the test data at random"
    assert f"{warning} (data: {{test: {{name: random}}}}), or use more data" in before
    assert "no verdict: the test split has 8 users" in after


# Three users with 21 items in common, in different orders. The last six items of each, a fifth, are in nobody else's data.
LAST_ITEMS_OF_NO_ONE_ELSE = "user,item,time\n" + "".join(
    f"u{user},{item},{(item + 7 * user) % 21}\n" if item < 21 else f"u{user},{item}{user},{item}\n"
    for user in range(3)
    for item in range(27)
)


def test_a_test_split_without_users_is_refused_before_the_search(place: Place, fails: Callable[[int], str]) -> None:
    (place.root / "own.csv").write_text(LAST_ITEMS_OF_NO_ONE_ELSE)
    own = study(place, "{test: {name: last}}")
    words = "study own: the test split must have a user with training and test interactions, got none"
    assert f"{words}; use more data; or search without it" in fails(place.run(study=own))
    assert not place.output.exists()


def test_confirm_refuses_a_test_split_without_users_before_it_trains(place: Place, fails: Callable[[int], str]) -> None:
    (place.root / "own.csv").write_text(LAST_ITEMS_OF_NO_ONE_ELSE)
    own = study(place, "{test: {name: last}}")
    assert place.run("--search-only", study=own) == 0
    words = "study own: the test split must have a user with training and test interactions, got none; use more data"
    assert words in fails(confirm.main(["--study", str(place.root / own), *place.where]))
    assert not any((place.output / "own").glob("runs/*"))


def test_two_valid_files_are_refused(place: Place, fails: Callable[[int], str]) -> None:
    folder = place.root / "data" / "tiny"
    for name in ("valid", "val"):
        (folder / f"{name}.txt").write_text("0 39 37 35\n2 39 37\n")
    assert "may have one valid file, got valid.txt, val.txt" in fails(place.run("--dry-run"))
