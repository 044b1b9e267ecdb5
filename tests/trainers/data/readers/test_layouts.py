"""The published layouts of public datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.trainers.data.readers.reading import layout, numbers, pairs, refused, write
from trainers.data.readers import SUFFIXES, find_recbole, read_interactions

ML_100K = (
    "196\t242\t3\t881250949\n186\t302\t3\t891717742\n22\t377\t1\t878887116\n244\t51\t2\t880606923\n166\t346\t1\t886397596\n"
)
ML_1M = "1::1193::5::978300760\n1::661::3::978302109\n2::1357::5::978298709\n"
ML_20M = "userId,movieId,rating,timestamp\n1,2,3.5,1112486027\n1,29,3.5,1112484676\n2,3,4.0,974820889\n"
AMAZON_2014 = (
    "A1X2VENI7JMXTY,B00004SPEU,5.0,1384387200\nA3AF72GP4GVRY1,B00000J0DF,4.0,1357257600\n"
    "A2NB2E5DXE319Z,000014357X,1.0,1376611200\n"
)
AMAZON_2018 = (
    "0449819906,A1GKBKBQQPJ5O9,5.0,1429056000\n0449819906,A2OZ4OXZVHV5U8,4.0,1428451200\n"
    "B00004SPEU,A1X2VENI7JMXTY,1.0,961718400\n"
)
AMAZON_2023 = (
    "user_id,parent_asin,rating,timestamp\nAFKZENTNBQ7A7V7UXW5JJI6UGRYQ,B081TJ8YS3,4.0,1588615855070\n"
    "AFKZENTNBQ7A7V7UXW5JJI6UGRYQ,B097R46CSY,5.0,1589665266052\n"
)
RECBOLE = "user_id:token\titem_id:token\trating:float\ttimestamp:float\n196\t242\t3\t881250949\n186\t302\t3.5\t891717742\n"
YELP = (
    '{"review_id":"KU_O5udG6zpxOg-VcAEodg","user_id":"mh_-eMZ6K5RLWhZyISBhwA","business_id":"XQfwVwDr-v0ZS3_CbbE5Xw",'
    '"stars":3.0,"useful":0,"funny":0,"cool":0,"text":"If you decide, \\"go\\"\\nthere","date":"2018-07-07 22:09:11"}\n'
    '{"review_id":"BiTunyQ73aT9WBnpR9DZGw","user_id":"OyoGAe7OKpv6SyGZT5g77Q","business_id":"7ATYjTIgM3jUlt4UM3IypQ",'
    '"stars":5.0,"useful":1,"funny":0,"cool":1,"text":"{}","date":"2012-01-03 15:28:18"}\n'
)
AMAZON_JSON = (
    '{"reviewerID": "A2SUAM1J3GNN3B", "asin": "0000013714", "reviewerName": "J. McDonald", "helpful": [2, 3], '
    '"reviewText": "x", "overall": 5.0, "summary": "y", "unixReviewTime": 1252800000, "reviewTime": "09 13, 2009"}\n'
)
AMAZON_JSON_2023 = (
    '{"rating": 5.0, "title": "t", "text": "", "images": [], "asin": "B01CUPMQZE", "parent_asin": "B00ZV9PXP2", '
    '"user_id": "AGKHLEW2SOWHNMFQIJGBECAF7INQ", "timestamp": 1588687728923, "verified_purchase": true}\n'
)
LASTFM_360K = (
    "00000c289a1829a808ac09c00daf10bc3c4e223b\t3bd73256-3905-4f3a-97e2-8b341527f805\tbetty blowtorch\t2137\n"
    '00000c289a1829a808ac09c00daf10bc3c4e223b\tf2fb0ff0-5679-42ec-a55c-15109ce6e320\t"weird" 12\t1099\n'
)
HETREC = "userID\tartistID\tweight\r\n2\t51\t13883\r\n2\t52\t11690\r\n"
SNAP = (
    "0\t2010-10-19T23:55:27Z\t30.2359091167\t-97.7951395833\t22847\n"
    "0\t2010-10-18T22:17:43Z\t30.2691029532\t-97.7493953705\t420315\n"
)
IR_BENCHMARK = "user_procid\titem_procid\n0\t3564\n0\t2142\n"
EXCEL = "userId;movieId;rating\r\n1;31;2,5\r\n1;1029;3\r\n"

# name, text, users, items, ratings, times, a part of the message
CASES = {
    "MovieLens 100K": (
        *("u.data", ML_100K, [196, 186, 22, 244, 166], [242, 302, 377, 51, 346], [3, 3, 1, 2, 1]),
        [881250949, 891717742, 878887116, 880606923, 886397596],
        "read 5 ratings: user=0, item=1, rating=2, time=3; no header; tab; column 0 was read as the user and 1 as the item",
    ),
    "MovieLens 1M": (
        *("ratings.dat", ML_1M, [1, 1, 2], [1193, 661, 1357], [5, 3, 5], [978300760, 978302109, 978298709]),
        "read 3 ratings: user=0, item=1, rating=2, time=3; no header; `::`",
    ),
    "MovieLens 20M": (
        *("ratings.csv", ML_20M, [1, 1, 2], [2, 29, 3], [3.5, 3.5, 4], [1112486027, 1112484676, 974820889]),
        "read 3 ratings: user=userId, item=movieId, rating=rating, time=timestamp; header; comma",
    ),
    "Amazon 2014": (
        *("ratings_Books.csv", AMAZON_2014, ["A1X2VENI7JMXTY", "A3AF72GP4GVRY1", "A2NB2E5DXE319Z"]),
        *(["B00004SPEU", "B00000J0DF", "000014357X"], [5, 4, 1], [1384387200, 1357257600, 1376611200]),
        "read 3 ratings: user=0, item=1, rating=2, time=3; no header; comma",
    ),
    "Amazon 2018": (
        *("Books.csv", AMAZON_2018, ["A1GKBKBQQPJ5O9", "A2OZ4OXZVHV5U8", "A1X2VENI7JMXTY"]),
        *(["0449819906", "0449819906", "B00004SPEU"], [5, 4, 1], [1429056000, 1428451200, 961718400]),
        "user=1, item=0, rating=2, time=3; no header; comma; column 1 was read as the user: it holds ids of Amazon's",
    ),
    "Amazon 2023": (
        *("Books.csv", AMAZON_2023, ["AFKZENTNBQ7A7V7UXW5JJI6UGRYQ"] * 2, ["B081TJ8YS3", "B097R46CSY"], [4, 5]),
        [1588615855070, 1589665266052],
        "user=user_id, item=parent_asin, rating=rating, time=timestamp; header; comma",
    ),
    "RecBole": (
        *("ml-100k.inter", RECBOLE, [196, 186], [242, 302], [3, 3.5], [881250949, 891717742]),
        "user=user_id:token, item=item_id:token, rating=rating:float, time=timestamp:float; header; tab",
    ),
    "Yelp": (
        *("review.json", YELP, ["mh_-eMZ6K5RLWhZyISBhwA", "OyoGAe7OKpv6SyGZT5g77Q"]),
        *(["XQfwVwDr-v0ZS3_CbbE5Xw", "7ATYjTIgM3jUlt4UM3IypQ"], [3, 5], [1531001351, 1325604498]),
        "user=user_id, item=business_id, rating=stars, time=date; JSON; not used: review_id, useful, funny, cool, text",
    ),
    "Amazon JSON": (
        *("reviews.jsonl", AMAZON_JSON, ["A2SUAM1J3GNN3B"], ["0000013714"], [5], [1252800000]),
        "user=reviewerID, item=asin, rating=overall, time=unixReviewTime; JSON; not used: reviewerName, helpful,",
    ),
    "Amazon JSON 2023": (
        *("Books.jsonl", AMAZON_JSON_2023, ["AGKHLEW2SOWHNMFQIJGBECAF7INQ"], ["B00ZV9PXP2"], [5], [1588687728923]),
        "item=parent_asin, rating=rating, time=timestamp; JSON; not used: title, text, images, asin, verified_purchase",
    ),
    "Last.fm 360K": (
        *("plays.tsv", LASTFM_360K, ["00000c289a1829a808ac09c00daf10bc3c4e223b"] * 2),
        *(["3bd73256-3905-4f3a-97e2-8b341527f805", "f2fb0ff0-5679-42ec-a55c-15109ce6e320"], None, None),
        "read 2 interactions: user=0, item=1; no header; tab; column 3 holds plays: every line counts as one interaction",
    ),
    "HetRec Last.fm": (
        *("user_artists.dat", HETREC, [2, 2], [51, 52], None, None),
        "read 2 interactions: user=userID, item=artistID; header; tab; weight not used: every line counts as one interaction",
    ),
    "SNAP": (
        *("loc-gowalla_totalCheckins.txt", SNAP, [0, 0], [22847, 420315], None, [1287532527, 1287440263]),
        "user=0, item=4, time=1; no header; tab; column 0 was read as the user and 4 as the item",
    ),
    "IR-Benchmark": (
        *("train.tsv", IR_BENCHMARK, [0, 0], [3564, 2142], None, None),
        "read 2 interactions: user=user_procid, item=item_procid; header; tab",
    ),
    "Excel": (
        *("mine.csv", EXCEL, [1, 1], [31, 1029], [2.5, 3], None),
        "read 2 ratings: user=userId, item=movieId, rating=rating; header; semicolon",
    ),
    "NGCF": (
        *("train.txt", "0 5 17 3\n1\n2 4 \n3 9 8\n", [0, 0, 0, 2, 3, 3], [5, 17, 3, 4, 9, 8], None, None),
        "read 6 interactions: NGCF text, `user item item ...` in each of 4 lines",
    ),
}  # fmt: skip


@pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
@pytest.mark.parametrize("case", CASES)
def test_a_published_layout_is_read(case: str, packed: bool, tmp_path: Path) -> None:
    name, text, users, items, ratings, times, words = CASES[case]
    raw = read_interactions(write(tmp_path, name + (".gz" if packed else ""), text))
    assert (raw.users.values.tolist(), raw.items.values.tolist()) == (users, items)
    assert (numbers(raw.ratings), numbers(raw.times)) == (ratings, times)
    assert words in raw.said
    assert raw.warnings == ()
    assert raw.in_lines == (case == "NGCF")
    assert raw.users.values.dtype.kind == ("i" if isinstance(users[0], int) else "O")


def test_every_text_layout_may_be_packed() -> None:
    assert {f"{name}.gz" for name in (".txt", ".csv", ".tsv", ".inter", ".dat", ".data", ".json", ".jsonl")} <= set(SUFFIXES)


def test_packed_files_are_recognised_by_their_first_bytes(tmp_path: Path) -> None:
    packed = write(tmp_path, "ratings.csv.gz", ML_20M)
    assert pairs(read_interactions(packed.rename(tmp_path / "ratings.csv"))) == [(1, 2), (1, 29), (2, 3)]


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16"])
@pytest.mark.parametrize(
    "text", [EXCEL, "sep=;\r\n" + EXCEL, '"userId";"movieId";"rating"\r\n"1";"31";"2,5"\r\n1;1029;"3"\r\n']
)
def test_text_files_of_excel_are_read(encoding: str, text: str, tmp_path: Path) -> None:
    raw = read_interactions(write(tmp_path, "mine.csv", text.encode(encoding)))
    assert (pairs(raw), numbers(raw.ratings)) == ([(1, 31), (1, 1029)], [2.5, 3])
    assert ("UTF-16" in raw.said) == (encoding == "utf-16")


def test_cp1252_needs_the_option(tmp_path: Path) -> None:
    path = write(tmp_path, "mine.csv", "user;item\r\nZoë;3\r\nAdam;4\r\n".encode("cp1252"))
    refused(path, "line 2", "is not UTF-8 text", "data: {encoding: cp1252}")
    raw = read_interactions(path, layout(encoding="cp1252"))
    assert pairs(raw) == [("Zoë", 3), ("Adam", 4)]
    assert "CP1252" in raw.said


def test_book_crossing_is_read(tmp_path: Path) -> None:
    text = '"User-ID";"ISBN";"Book-Rating"\n"276725";"034545104X";"0"\n"276726";"0155061224";"5"\n'
    raw = read_interactions(write(tmp_path, "BX-Book-Ratings.csv", text))
    assert (pairs(raw), numbers(raw.ratings)) == ([(276725, "034545104X"), (276726, "0155061224")], [0, 5])


def test_a_folder_of_recbole_is_read(tmp_path: Path) -> None:
    folder = tmp_path / "ml-100k"
    folder.mkdir()
    assert find_recbole(folder) is None
    assert find_recbole(tmp_path / "nowhere") is None
    for name in ("ml-100k.inter.gz", "ml-100k.inter"):
        path = write(folder, name, RECBOLE)
        assert find_recbole(folder) == path
        assert len(read_interactions(path)) == 2


def test_ids_keep_the_order_of_the_lines(tmp_path: Path) -> None:
    """The file has more lines than one block of the reader."""
    rng = np.random.default_rng(0)
    users, items = rng.integers(0, 900, 600_000), rng.integers(0, 2000, 600_000)
    text = "".join(f"u{user},{item}\n" for user, item in zip(users.tolist(), items.tolist(), strict=True))
    raw = read_interactions(write(tmp_path, "many.csv", "user,item\n" + text))
    assert (raw.items.values == items).all()
    assert (raw.users.values == np.char.add("u", users.astype(str))).all()
