"""Drafted study files for new data: their content, and that they run unchanged."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from hpo import studies
from hpo.confirmation.caveats import CaveatKind
from hpo.study.draft import batch_size
from hpo.study.spec import load_spec

from ..conftest import Place
from ..outcomes import confirmed

SMALL = "search: {trials: 2, epochs: 2}\nconfirm: {top: 1, select_seeds: 1, seeds: 2, epochs: 2}\n"


def write_ratings(path: Path, n_users: int = 60, n_items: int = 40) -> None:
    """Write ratings in the layout of MovieLens 100K, u.data. Half of the ratings are 4 or 5."""
    rng = np.random.default_rng(5)
    lines = [
        f"{user + 1}\t{item + 1}\t{1 + (user + item) % 2 * 2 + rng.integers(1, 3)}\t{881250949 + rng.integers(0, 10**7)}"
        for user in range(n_users)
        for item in rng.permutation(n_items)[:20]
    ]
    path.write_text("\n".join(lines) + "\n")


def drafted(path: Path, capsys: pytest.CaptureFixture[str], *flags: str) -> str:
    capsys.readouterr()
    assert studies.main(["new", str(path), *flags]) == 0
    return capsys.readouterr().out


def test_a_draft_for_ratings_with_times(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    write_ratings(place.root / "u.data")
    text = drafted(place.root / "u.data", capsys)
    assert "# read 1,200 ratings: user=0, item=1, rating=2, time=3; no header; tab" in text
    train_and_validation = r"# 60 users, 40 items, (\d+) interactions to train on, (\d+) for validation\n"
    counts = re.search(train_and_validation + "# test split: 60 users\n", text)
    assert counts is not None
    # 1 to 3 and 2 to 4, half each: about 600 are positive, of which a fifth is for test, and a tenth of the rest for validation
    train, validation = map(int, counts.groups())
    assert validation == pytest.approx((train + validation) / 10, rel=0.35)
    assert "WARNING" not in text
    assert "  min_rating: 4  # ratings go from 2 to 5; lower ones do not count as interactions\n" in text
    assert "  test: {name: last, fraction: 0.2}  # may be random, last, leave_one_out, time\n" in text
    assert "# validation may be random, last, time" in text
    assert "validation: {name: last, fraction: 0.1}\n" in text
    assert "epochs: 30}  # for a quick look: trials: 30, epochs: 10; tpe learns after 25 trials\n" in text
    assert "epochs: 60}  # fewer seeds are faster and find less\n" in text
    (place.root / "mine.yaml").write_text(text)
    spec = load_spec(str(place.root / "mine.yaml"))
    assert spec.data.min_rating == 4
    assert spec.rivals == ("ccl", "bsl", "sl")


def test_the_draft_runs_with_shorter_searches(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    write_ratings(place.root / "u.data")
    kept = [
        line for line in drafted(place.root / "u.data", capsys).splitlines() if not line.startswith(("search:", "confirm:"))
    ]
    (place.root / "mine.yaml").write_text(
        "\n".join(kept).replace("dim: 64", "dim: 8").replace("count: 10", "count: 7") + "\n" + SMALL
    )
    assert place.run("--tune-rivals", study="mine.yaml") == 0
    outcome = confirmed(place, "mine")
    assert outcome.data.validation_split.name == "last"
    assert outcome.data.facts.test_split == "last"
    below = CaveatKind.BELOW_POPULARITY, CaveatKind.BASELINE_AHEAD
    searched = {caveat.subject: "rate_searched" in caveat.facts for caveat in outcome.caveats if caveat.kind in below}
    assert searched, "EASE is ahead of all"
    assert all(label.endswith("tuned") == was for label, was in searched.items()), "the draft searches the learning rate"
    assert [method.label for method in outcome.methods if method.search.trials] == [
        "MML tuned",
        "CCL tuned",
        "BSL tuned",
        "SL tuned",
    ]


def test_a_draft_for_pairs_without_ratings_and_times(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    path = place.root / "pairs.csv"
    path.write_text("user,item\n" + "".join(f"{user},{(user + step) % 30}\n" for user in range(30) for step in range(8)))
    text = drafted(path, capsys)
    assert "min_rating" not in text
    assert "  test: {name: random, fraction: 0.2}  # may be random\n" in text
    assert "validation: {name: random, fraction: 0.1}\n" in text
    assert "  negatives: {name: uniform, count: 7}\n" in text, "a quarter of 30 items"


def test_a_draft_for_a_folder_with_a_valid_file(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    folder = place.root / "data" / "tiny"
    (folder / "valid.txt").write_text("0 39 37 35\n2 39 37\n4 1\n")
    text = drafted(folder, capsys)
    assert "validation: {name: file}\n" in text
    assert "data:" not in text.replace("in `data`", ""), "the layout is clear from the files"


def test_columns_that_the_file_does_not_name_are_given_as_options(
    place: Place, capsys: pytest.CaptureFixture[str], fails: Callable[[int], str]
) -> None:
    path = place.root / "odd.csv"
    path.write_text("".join(f"x,{user},{(user + step) % 30},y\n" for user in range(30) for step in range(8)))
    message = fails(studies.main(["new", str(path)]))
    assert "data: {columns:" in message, "the remedy"
    assert "for this command, give the keys of `data` as --data" in message, "there is no study file yet"
    text = drafted(path, capsys, "--data", "{columns: {user: 1, item: 2}}")
    assert "  columns: {user: 1, item: 2}\n" in text
    (place.root / "odd.yaml").write_text(text)
    assert load_spec(str(place.root / "odd.yaml")).data.columns is not None


@pytest.mark.parametrize(("n", "size"), [(100, 128), (100_000, 128), (200_000, 256), (810_000, 1024), (20_000_000, 2048)])
def test_the_batch_size_grows_with_the_data(n: int, size: int) -> None:
    assert batch_size(n) == size


@pytest.mark.parametrize(
    ("path", "words"), [("missing.csv", "there is no file or folder missing.csv"), ("yelp", "did you mean")]
)
def test_missing_data_are_refused(path: str, words: str, fails: Callable[[int], str]) -> None:
    assert words in fails(studies.main(["new", path]))


def test_unknown_options_are_refused(place: Place, fails: Callable[[int], str]) -> None:
    assert "unknown key 'min_ratings'; did you mean 'min_rating'?" in fails(
        studies.main(["new", str(place.root / "data" / "tiny"), "--data", "{min_ratings: 4}"])
    )


def test_names_with_a_meaning_in_yaml_are_quoted(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("my: ratings.data", "ratings #2.data", "12.data"):
        path = place.root / name
        write_ratings(path)
        (place.root / "odd.yaml").write_text(drafted(path, capsys))
        assert load_spec(str(place.root / "odd.yaml")).dataset == str(path)
    path = place.root / "odd.csv"
    path.write_text('"u""x",it: em\n' + "".join(f"{user},{(user + step) % 30}\n" for user in range(30) for step in range(8)))
    columns = {"user": 'u"x', "item": "it: em"}
    (place.root / "odd.yaml").write_text(drafted(path, capsys, "--data", f"{{columns: {json.dumps(columns)}}}"))
    found = load_spec(str(place.root / "odd.yaml")).data.columns
    assert found is not None
    assert found.given() == columns


def test_the_seed_of_the_test_split_is_kept(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    write_ratings(place.root / "u.data")
    text = drafted(place.root / "u.data", capsys, "--data", "{test: {name: random, seed: 7}}")
    assert "  test: {name: random, fraction: 0.2, seed: 7}  # may be" in text


def write_scores(path: Path, scores: list[float], n_users: int = 40) -> None:
    """Write 10 ratings of each user, which repeat these scores in turn."""
    pairs = [(user, (user + step) % 30) for user in range(n_users) for step in range(10)]
    rows = [f"{user},{item},{scores[row % len(scores)]:g}\n" for row, (user, item) in enumerate(pairs)]
    path.write_text("user,item,rating\n" + "".join(rows))


@pytest.mark.parametrize(
    ("scores", "threshold"),
    [
        ([1, 2, 3, 4, 5], 4),
        ([0.5, 2.5, 4.5], 4),
        ([0] * 6 + [7, 8, 9, 10], 8),  # like Book-Crossing
        ([1, 2, 3], 3),
        ([1] * 17 + [5] * 3, 4),  # every second user has three of 5
    ],
)
def test_a_threshold_is_proposed_for_ratings(
    scores: list[float], threshold: int, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scores(place.root / "a.csv", scores)
    text = drafted(place.root / "a.csv", capsys)
    assert f"  min_rating: {threshold}  # ratings go from {scores[0]:g} to {scores[-1]:g}" in text
    assert "left out" not in text.replace("k_core: 5 in `data` leaves rare users and items out", "")


@pytest.mark.parametrize(
    ("scores", "why"),
    [
        ([0, 1], "numbers from 0 to 1 may be counts or an unknown scale"),
        ([0.1, 0.5, 0.93], "numbers from 0.1 to 0.93 may be counts or an unknown scale"),
        ([1, 1, 2], "numbers from 1 to 2 may be counts or an unknown scale"),
        ([1, 100], "numbers from 1 to 100 may be counts or an unknown scale"),
        ([-1, 5], "numbers from -1 to 5 may be counts or an unknown scale"),
        ([3.25, 5], "numbers from 3.25 to 5 may be counts or an unknown scale"),
        ([5], "all ratings are 5"),
        ([1, 2, 3, 4, 5] * 79 + [1, 2, 3, 4, 10], "with min_rating 8 the data cannot be used ("),
        ([1, 2, 3, 4, 5] * 78 + [10] * 10, "min_rating 8 would keep 10 of 400 interactions and 1 of 40 users"),
        (
            [1] * 18 + [5, 5],
            "with min_rating 4 the data cannot be used (to hold out pairs, some user must have two interactions",
        ),  # one for test, one for training
        # ten users in a row rate 5, thirty rate 1
        ([5] * 100 + [1] * 300, "min_rating 4 would keep 100 of 400 interactions and 10 of 40 users"),
        ([1] * 38 + [4, 4], "min_rating 4 would keep 20 of 400 interactions and 10 of 40 users"),
    ],
)
def test_without_a_scale_or_with_few_high_ratings_the_threshold_is_left_out(
    scores: list[float], why: str, place: Place, capsys: pytest.CaptureFixture[str]
) -> None:
    write_scores(place.root / "a.csv", scores)
    text = drafted(place.root / "a.csv", capsys)
    assert "  min_rating:" not in text
    assert "# every rating counts as a positive" in text
    assert f"# min_rating is left out: {why}" in text


def test_a_threshold_with_which_the_data_cannot_be_used_is_left_out(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    """With `k_core` no pair is left of the high ratings."""
    write_scores(place.root / "a.csv", [1, 2, 3, 4, 5])
    text = drafted(place.root / "a.csv", capsys, "--data", "{k_core: 6}")
    assert "  min_rating:" not in text
    assert "# min_rating is left out: with min_rating 4 the data cannot be used (" in text
    assert "k_core, min_user and min_item leave no interaction" in text


def test_one_rare_user_is_reported_in_the_singular(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    path = place.root / "pairs.csv"
    often = "".join(f"{user},{(user + step) % 30}\n" for user in range(30) for step in range(8))
    path.write_text(f"user,item\n{often}99,1\n99,2\n")
    assert "# 1 user has fewer than 5 interactions; k_core: 5" in drafted(path, capsys)


def test_a_draft_for_few_items_has_short_lists(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    path = place.root / "few.csv"
    path.write_text("user,item\n" + "".join(f"{user},{(user + step) % 8}\n" for user in range(40) for step in range(4)))
    text = drafted(path, capsys)
    assert "objective: ndcg@4  #" in text, "there are 8 items"
    assert "  batch_size: 128  # about 1 step an epoch" in text


def test_a_draft_for_ordered_data_without_times(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    rng = np.random.default_rng(5)
    path = place.root / "pairs.csv"
    path.write_text("user,item\n" + "".join(f"{user},{item}\n" for user in range(30) for item in rng.permutation(30)[:8]))
    text = drafted(path, capsys, "--data", "{ordered: true}")
    assert "  test: {name: last, fraction: 0.2}  # may be random, last, leave_one_out\n" in text


def test_a_draft_says_that_there_are_too_few_test_users_for_a_verdict(place: Place, capsys: pytest.CaptureFixture[str]) -> None:
    write_ratings(place.root / "u.data", n_users=12)
    text = drafted(place.root / "u.data", capsys)
    warning = "# WARNING: there will be no verdict, since it needs at least 30 test users; use more data\n"
    assert warning in text
    assert "\n# test split: 12 users; dropped " in text
