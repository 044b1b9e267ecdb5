"""The table of public datasets, and their download."""

from __future__ import annotations

import logging
import os
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from trainers.errors import InputError, first_line

log = logging.getLogger(__name__)

ARCHIVE = "archive"  # the key in `md5` for a zip archive with all files


@dataclass(frozen=True)
class PublicDataset:
    """A public benchmark: its URL, its files, their checksums, and how to read them.

    Attributes:
        url: the folder of its files, ending with a slash, or a zip archive with the files.
        files: by split the name below `url` or within the archive: train, test and perhaps valid; or `all`, for raw ratings
            without a split. On disk the dataset's folder has files named by the last part of these names.
        md5: MD5 of the downloaded bytes by split, or of the archive under `archive`.
        checksums: `Interactions.checksum` of the result of `load_dataset` (`train`, with a valid file) and of `load_test`
            (`test`), independent of the order of pairs. Checksums that we could not compute are missing. Files without one are
            compared by `md5`, or by `counts`.
        test_split: how the test split was made. `random`: random pairs of each user. `last`: the last pairs of each user.
            `time`: all pairs after one moment. `popularity`: evenly over items, so that rare items are as frequent as popular
            ones.
        ordered: whether its files have each user's items in the order of time.
        options: data options for reading its files, as in the `data` of a study.
        downloaded_by_us: whether we downloaded from this URL and verified the MD5s. If not, others have published URL and MD5s.
        counts: numbers of users, items and ratings in a file `all` whose own MD5 is not known.
    """

    url: str
    files: dict[str, str]
    md5: dict[str, str]
    checksums: dict[str, str]
    test_split: Literal["random", "last", "time", "popularity"]
    ordered: bool
    options: dict[str, Any]
    downloaded_by_us: bool
    counts: tuple[int, int, int] | None = None


# All URLs name a commit, so that their content never changes.
RAW = "https://raw.githubusercontent.com"
LIGHTGCN = f"{RAW}/gusye1234/LightGCN-PyTorch/947ca2b3b1d2d3545b114145710cb06c4e57b3d2/data"
NGCF = f"{RAW}/xiangwang1223/neural_graph_collaborative_filtering/a718a4f2df7c3942ca0df6759926975762c61eed/Data"
LIGHTGCNPP = f"{RAW}/geon0325/LightGCNpp/a394f79a7aceb8f485f6bcb549b4865fe83f1d49/data"
IR_BENCHMARK = f"{RAW}/Tiny-Snow/IR-Benchmark-Dataset/18bbbe892301c6013579ae70f3cab9d666878e23"

TWO_TEXTS = {"train": "train.txt", "test": "test.txt"}
THREE_TEXTS = {"train": "train.txt", "valid": "valid.txt", "test": "test.txt"}
TWO_TABLES = {"train": "train.tsv", "test": "test.tsv"}
IR_OPTIONS = {"columns": {"user": "user_procid", "item": "item_procid"}}

# "The same order": how often two users with two common items have these in the same order in their lines; 50 % by chance.
PUBLIC = {
    # For the three datasets of NGCF the authors say that test is the latest fifth of each user's history. The mean popularity
    # of the items changes smoothly along the lines of train and continues in those of test.
    "yelp2018": PublicDataset(
        url=f"{LIGHTGCN}/yelp2018/",
        files=TWO_TEXTS,
        md5={"train": "1b8b5d22a227e01d6de002c53d32b4c4", "test": "0d57d7399862c32152b045ec5d2698e7"},
        checksums={
            "train": "8993178300bffe81049b5ad4d143da7fd7e3d7f6a57cb1d5d058194b3ff1418d",
            "test": "4e3bc7fb074fe00d8a80d80edb3b374cb7e60449a0611053390eac6aba381de4",
        },
        test_split="last",
        ordered=True,  # the same order: 52 %
        options={},
        downloaded_by_us=True,
    ),
    # We had the official test file. Our train file has the official pairs, 90 % of them in the official order (each line starts
    # with a random tenth), so the MD5 of train is the one that RecZoo and others give.
    "gowalla": PublicDataset(
        url=f"{NGCF}/gowalla/",
        files=TWO_TEXTS,
        md5={"train": "5eec1eb2edb8dd648377d348b8e136cf", "test": "c04e2c4bcd2389f53ed8281816166149"},
        checksums={
            "train": "ebe1ddb79ac2a4d9a5f65a40534ada1a2634af1768914c05083e0af42ab384e7",
            "test": "036e5a961bcd009dff854bf449fa2084ce849befcbaaf930aeee2725f5624f29",
        },
        test_split="last",
        ordered=True,  # the same order: 51 %, including the random tenth
        options={},
        downloaded_by_us=True,
    ),
    # RecZoo gives 52,643 users, 91,599 items, 2,380,730 and 603,378 pairs, and these MD5s. We had test, whose MD5 is right, and
    # a fifth of train's lines, from a copy. Along these lines items become rarer in train and more frequent in test, and both
    # trends continue within test's lines.
    "amazon-book": PublicDataset(
        url=f"{NGCF}/amazon-book/",
        files=TWO_TEXTS,
        md5={"train": "c916ecac04ca72300a016228258b41ed", "test": "30f8ccfea18d25007ba9fb9aba4e174d"},
        checksums={},
        test_split="last",
        ordered=True,  # the same order: 62 %, in the first 4,000 lines
        options={},
        downloaded_by_us=False,
    ),
    # From the authors of LightGCN++. Train's lines have no order (50 % the same), and the items of valid and test are as
    # popular as those of train: a random split, 7 : 1 : 2. valid and test have 19 and 34 pairs whose item is not in train here,
    # and 1,214 and 2,543 in lastfm.
    "ml-1m": PublicDataset(
        url=f"{LIGHTGCNPP}/ml-1m/",
        files=THREE_TEXTS,
        md5={
            "train": "e8585e080e19bea75a6dfea60354d041",
            "valid": "9b25ce23ac740323a09bce610c7cec3b",
            "test": "bbb67b4000ca6fb4e39da9e2df7a0c53",
        },
        checksums={
            "train": "0a70d091bba3030d9812091bdc75f0afceff0803162fbbddc16419aa75dbb946",
            "test": "57cf0f413b8a4185ad4b37c0f8e15cc8c16b66f848009dee734e47ee24f28ed2",
        },
        test_split="random",
        ordered=False,
        options={},
        downloaded_by_us=True,
    ),
    "lastfm": PublicDataset(
        url=f"{LIGHTGCNPP}/lastfm/",
        files=THREE_TEXTS,
        md5={
            "train": "7b7f401011388a39de590073c3c54116",
            "valid": "a94e39a79115f8598f4fa8f85a10f4f4",
            "test": "eb2db8ab4de327542151810be3b8f89d",
        },
        checksums={
            "train": "ecf898d63914fdbdf9390aeec30c8c28c5708a70e770e41fb6d0802d95ce1cd4",
            "test": "03f2e33017fd3dc7c881d79b4e67ab2cfb1fdbc2ea42abc4486485a3addc90a9",
        },
        test_split="random",
        ordered=False,  # test's lines are sorted from popular to rare items, train's are not
        options={},
        downloaded_by_us=True,
    ),
    # IR-Benchmark's tables are sorted by user and item, so they have no order of time.
    "gowalla_random": PublicDataset(
        url=f"{IR_BENCHMARK}/data_iid/gowalla/proc.zip",
        files=TWO_TABLES,
        md5={ARCHIVE: "e6881c7bdd409aa2305931fe9dba290a"},
        checksums={
            "train": "6d0936eaf18fce44f869b99878d035dc89be5efecf20f1b0b4f886d67e5039ff",
            "test": "2759cf4ac72ca35670b1dc8d30b1122f4f3c5811fbf9bc1471f73e5b47dd479f",
        },
        test_split="random",
        ordered=False,
        options=IR_OPTIONS,
        downloaded_by_us=True,
    ),
    "electronic_random": PublicDataset(
        url=f"{IR_BENCHMARK}/data_iid/amazon2014-electronic/proc.zip",
        files=TWO_TABLES,
        md5={ARCHIVE: "74bd4a30cd4e2f850261a034c7cb5ac7"},
        checksums={
            "train": "cbf77c8403b84fec50887c72ade6766e0a341e4169f2347f71ac7c219101b8c2",
            "test": "c746a982a25680754da2da7f806d1c66e19238c26c9a7ecc6e36bd8923f5504d",
        },
        test_split="random",
        ordered=False,
        options=IR_OPTIONS,
        downloaded_by_us=True,
    ),
    "electronic_popularity": PublicDataset(
        url=f"{IR_BENCHMARK}/data_ood/amazon2014-electronic-popularity/proc.zip",
        files=TWO_TABLES,
        md5={ARCHIVE: "e81b8d595776dcfef5a312cfef0d2f65"},
        checksums={
            "train": "70cb1c75fdf137c4fd05e99d2ed37227af09c00f14db9674e2354da3c40409b1",
            "test": "75b442de974277d3b5ef505b150252ab108a62aea4021be64a89816f3a3b660c",
        },
        test_split="popularity",
        ordered=False,
        options=IR_OPTIONS,
        downloaded_by_us=True,
    ),
    # Train is the first 60 % of all interactions, test the last 20 % without unknown users and items; the 20 % in between are
    # in neither.
    "electronic_temporal": PublicDataset(
        url=f"{IR_BENCHMARK}/data_ood/amazon2014-electronic-temporal/proc.zip",
        files=TWO_TABLES,
        md5={ARCHIVE: "f70cd1f0b15bb7f1c2ab4f838653b6a8"},
        checksums={
            "train": "a534450b0490ab90e91783e4a68642cebec738c9ba1afa8400cf662c5178346a",
            "test": "2c5b0db130206567660695b95ba29da6d5d2f8dfc9708f8b6bf356ef6dc34a41",
        },
        test_split="time",
        ordered=False,
        options=IR_OPTIONS,
        downloaded_by_us=True,
    ),
    "health_random": PublicDataset(
        url=f"{IR_BENCHMARK}/data_iid/amazon2014-health/proc.zip",
        files=TWO_TABLES,
        md5={ARCHIVE: "7fef9f11a5184ecccd63573466a6a38e"},
        checksums={
            "train": "18fa671f48e764923d277651f818ca375376f54907e2b22a877643cd723e35b4",
            "test": "936ce597d3e2c950df1aa68c949665c297c1693affd04c135394476406b1ed1c",
        },
        test_split="random",
        ordered=False,
        options=IR_OPTIONS,
        downloaded_by_us=True,
    ),
    # Not ml-1m above: the raw ratings with times. Many projects check this MD5.
    "movielens-1m": PublicDataset(
        url="https://files.grouplens.org/datasets/movielens/ml-1m.zip",
        files={"all": "ml-1m/ratings.dat"},
        md5={ARCHIVE: "c4d9eecfca2ab87c1945afe126590906"},
        checksums={},
        test_split="last",
        ordered=False,
        options={
            "columns": {"user": 0, "item": 1, "rating": 2, "time": 3},
            "separator": "::",
            "header": False,
            "min_rating": 4,
            "test": {"name": "last", "fraction": 0.2},
        },
        downloaded_by_us=False,
        counts=(6_040, 3_706, 1_000_209),
    ),
}


def local_or_downloaded(name: str, looked: Sequence[Path], *, download: bool = True) -> Path:
    """The folder of a public dataset: the first of `looked` that exists, else the last one, after a download.

    Args:
        name: a key of `PUBLIC`.
        looked: possible folders of the dataset, at least one, in order.
        download: whether it may be downloaded.

    Raises:
        InputError: the dataset is not found and must not or cannot be downloaded, or the downloaded files are wrong.
    """
    for folder in looked:
        if os.path.isdir(folder):  # False, not an error, for impossible paths
            return folder
    files = " and ".join(Path(file).name for file in PUBLIC[name].files.values())
    places = " or ".join(map(str, looked))
    if not download:
        raise InputError(f"dataset {name!r} is not in {places}; put {files} there, or leave out --data-dir to download it")
    folder = looked[-1]
    try:
        _download(name, folder)
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:  # no network, or unexpected files
        if not folder.is_dir():  # else another process has downloaded it
            raise InputError(
                f"dataset {name!r} was not found in {places} and could not be downloaded from {PUBLIC[name].url} "
                f"({first_line(error).rstrip('.')}); put {files} into a folder {name}/ and give its parent as --data-dir"
            ) from None
    return folder


def _download(name: str, folder: Path) -> None:
    """Download to a temporary folder and rename it: an incomplete folder would be taken for the dataset."""
    public = PUBLIC[name]
    log.info("downloading %s from %s to %s", name, public.url, folder)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{name}-") as temporary:
        ready = Path(temporary) / name
        if ARCHIVE in public.md5:
            archive = _retrieve(public.url, public.md5[ARCHIVE], Path(temporary) / "archive.zip")
            _unpack(archive, list(public.files.values()), ready)
        else:
            for split, file in public.files.items():
                _retrieve(public.url + file, public.md5[split], ready / file)
        os.replace(ready, folder)


def _retrieve(url: str, md5: str, path: Path) -> Path:
    import pooch  # see `sources`

    pooch.retrieve(url, known_hash=f"md5:{md5}", path=path.parent, fname=path.name)
    return path


def _unpack(archive: Path, members: Sequence[str], folder: Path) -> None:
    """Write the named members of a zip archive into a new folder, without their folders."""
    folder.mkdir()
    with zipfile.ZipFile(archive) as packed:
        for member in members:
            (folder / Path(member).name).write_bytes(packed.read(member))
