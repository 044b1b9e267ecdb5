"""Lists of other programs are measured with this program's metrics."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from hpo.comparison.files import read_side
from hpo.comparison.truth import read_truth
from trainers import Interactions
from trainers.data.readers.layout import Layout
from trainers.errors import InputError
from trainers.metrics.accuracy import evaluate_lists
from trainers.metrics.definitions import METRICS, metrics_at

N_USERS, N_ITEMS, K = 30, 25, 8


@pytest.mark.parametrize("order", ["rank", "score", "both"])
def test_lists_get_the_values_of_our_own_metrics(order: str, tmp_path: Path):
    """Lists and held-out items are random. Rows have any order, ids are text, items may be unknown, and lists exceed k."""
    rng = np.random.default_rng(2)
    lists = np.array([rng.permutation(N_ITEMS)[: K + 2] for _ in range(N_USERS)])
    user, item = np.divmod(rng.permutation(N_USERS * N_ITEMS)[:90], N_ITEMS)
    held_out = Interactions.from_pairs(user, item, N_USERS, N_ITEMS)
    rows = pd.DataFrame({"user": np.repeat(np.arange(N_USERS), K + 2), "item": lists.ravel()})
    rows["rank"] = np.tile(np.arange(K + 2), N_USERS)
    rows["score"] = -0.5 * rows["rank"] if order == "score" else 0.0
    rows = rows.drop(columns={"rank": "score", "score": "rank", "both": []}[order]).sample(frac=1.0, random_state=3)
    pd.DataFrame({"user": user, "item": item}).map("i{}".format).to_csv(tmp_path / "t.csv", index=False)
    rows.assign(user=rows["user"].map("i{}".format), item=rows["item"].map("i{}".format)).to_csv(
        tmp_path / "r.csv", index=False
    )
    asked = metrics_at(METRICS, [K, 3])
    found = read_side("x", [tmp_path / "r.csv"], read_truth(tmp_path / "t.csv", Layout()), asked).runs[0].users
    wanted = evaluate_lists(lists[np.flatnonzero(held_out.per_user)], held_out=held_out, metrics=[*map(str, asked)])
    wanted.index = pd.Index([f"i{one}" for one in wanted.index], dtype=object)
    pd.testing.assert_frame_equal(found.sort_index(), wanted.sort_index(), check_names=False, check_index_type=False)


def test_a_user_without_a_list_counts_zero_and_repeated_pairs_count_once(tmp_path: Path):
    (tmp_path / "t.csv").write_text("user,item\na,1\na,1\nb,2\n")
    (tmp_path / "r.csv").write_text("user,item,rank\na,1,1\nc,1,1\n")
    truth = read_truth(tmp_path / "t.csv", Layout())
    assert "2 held-out items of 2 users; 1 repeated pairs count once" in truth.said
    side = read_side("x", [tmp_path / "r.csv"], truth, metrics_at(["ndcg@1"]))
    assert side.runs[0].users["ndcg@1"].to_dict() == {"a": 1.0, "b": 0.0}
    assert {str(caveat.kind): caveat.facts["most"] for caveat in side.caveats} == {"users unserved": 1, "users unknown": 1}


@pytest.mark.parametrize(("scores", "tied"), [((3, 2, 2, 1), True), ((2, 2, 1, 0), True), ((3, 2, 1, 1), False)])
def test_equal_scores_are_a_caveat_only_if_their_order_decides_what_counts(scores: tuple[int, ...], tied: bool, tmp_path: Path):
    """Two items count. Equal scores at places 2 and 3 decide which one does, those at places 3 and 4 decide nothing."""
    (tmp_path / "t.csv").write_text("user,item\na,1\n")
    rows = "".join(f"a,{item},{score}\n" for item, score in enumerate(scores))
    (tmp_path / "r.csv").write_text("user,item,score\n" + rows)
    side = read_side("x", [tmp_path / "r.csv"], read_truth(tmp_path / "t.csv", Layout()), metrics_at(["ndcg@2"]))
    assert ("tied scores" in {str(caveat.kind) for caveat in side.caveats}) == tied


def test_held_out_items_may_have_any_layout_of_a_data_file(tmp_path: Path):
    (tmp_path / "t.txt").write_text("0 5 7\n1 6\n")
    assert [*read_truth(tmp_path / "t.txt", Layout()).users] == ["0", "1"]
    (tmp_path / "t.dat").write_text("x::5::u\ny::6::v\n")
    layout = Layout.model_validate({"columns": {"user": 2, "item": 0}, "header": False})
    assert [*read_truth(tmp_path / "t.dat", layout).users] == ["u", "v"]


@pytest.mark.parametrize(
    ("lists", "message"),
    [
        ("0,5,4\n1,7,1\n", "got 1 of user '0' that begin with 4"),  # a single hit
        ("0,5,1\n0,6,3\n1,7,1\n", "got 2 of user '0' that begin with 1, 3"),
        ("0,5,1\n0,6,2\n1,7,0\n", "got 2 of user '0' that begin with 1, 2"),  # from 0 elsewhere in the file
    ],
)
def test_a_list_with_a_gap_in_its_ranks_is_refused(lists: str, message: str, tmp_path: Path):
    """A list that has only the hits would be measured as if they were at the top."""
    (tmp_path / "truth.csv").write_text("user,item\n0,5\n1,7\n")
    (tmp_path / "a.csv").write_text("user,item,rank\n" + lists)
    truth = read_truth(tmp_path / "truth.csv", Layout())
    with pytest.raises(InputError, match=message):
        read_side("a", [tmp_path / "a.csv"], truth, metrics_at(["ndcg@20"]))
