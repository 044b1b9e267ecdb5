"""The table of public datasets, and downloads from a server on this machine."""

from __future__ import annotations

import functools
import gc
import hashlib
import http.server
import io
import multiprocessing
import os
import signal
import threading
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from multiprocessing.context import SpawnProcess
from pathlib import Path

import pytest

from trainers import InputError, load_dataset, load_test
from trainers.data import sources
from trainers.data.public import ARCHIVE, PUBLIC, PublicDataset, local_or_downloaded

TRAIN, TEST = b"0 1 2\n1 0 5\n2 5\n", b"0 5\n1 1 2\n"
RATINGS = b"1::1193::5::978300760\n1::661::3::978302109\n"
SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tests use neither the real cache folder nor $HPO_DATA_DIR or a proxy."""
    monkeypatch.delenv("HPO_DATA_DIR", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


def zipped(**members: bytes) -> bytes:
    """A zip archive. In a name `__` means a slash, and the last `_` means a dot."""
    memory = io.BytesIO()
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED) as packed:
        for name, content in members.items():
            packed.writestr(".".join(name.replace("__", "/").rsplit("_", 1)), content)
    return memory.getvalue()


def md5(content: bytes) -> str:
    return hashlib.md5(content).hexdigest()


@dataclass
class Server:
    """A web server for a folder.

    It sends only the first half of files in `half`. After `go` it sends the rest or disconnects.
    """

    root: Path
    url: str = ""
    asked: list[str] = field(default_factory=list)
    half: set[str] = field(default_factory=set)
    rest: bool = True
    stuck: threading.Event = field(default_factory=threading.Event)
    go: threading.Event = field(default_factory=threading.Event)


class Handler(http.server.SimpleHTTPRequestHandler):
    def __init__(self, *args: object, server_state: Server, **kwargs: object) -> None:
        self.state = server_state
        super().__init__(*args, directory=str(server_state.root), **kwargs)  # type: ignore[arg-type]

    def log_message(self, format: str, *args: object) -> None:
        self.state.asked.append(self.path)

    def do_GET(self) -> None:
        if self.path not in self.state.half:
            return super().do_GET()
        content = (self.state.root / self.path[1:]).read_bytes()
        self.send_response(200)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content[: len(content) // 2])
        self.wfile.flush()
        self.state.stuck.set()
        self.state.go.wait(30)
        if self.state.rest:
            self.wfile.write(content[len(content) // 2 :])


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    root = tmp_path / "www"
    root.mkdir()
    (root / "train.txt").write_bytes(TRAIN)
    (root / "test.txt").write_bytes(TEST)
    state = Server(root)
    handler = functools.partial(Handler, server_state=state)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as web:
        state.url = f"http://127.0.0.1:{web.server_address[1]}/"
        thread = threading.Thread(target=web.serve_forever, daemon=True)
        thread.start()
        yield state
        state.go.set()
        web.shutdown()
        thread.join()


def texts(url: str) -> PublicDataset:
    """An entry like that of Gowalla, for TRAIN and TEST at a URL."""
    return replace(PUBLIC["gowalla"], url=url, md5={"train": md5(TRAIN), "test": md5(TEST)}, checksums={})


def archive(server: Server, name: str, content: bytes) -> PublicDataset:
    """The entry of a dataset that has an archive, with this archive instead."""
    (server.root / "data.zip").write_bytes(content)
    return replace(PUBLIC[name], url=f"{server.url}data.zip", md5={ARCHIVE: md5(content)}, checksums={})


def fetch(name: str, entry: PublicDataset, folder: Path) -> Path:
    """Call `local_or_downloaded` with another entry, in this process or in a new one."""
    PUBLIC[name] = entry
    return local_or_downloaded(name, [folder])


def fetched(name: str, entry: PublicDataset, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setitem(PUBLIC, name, PUBLIC[name])  # monkeypatch restores the entry
    return fetch(name, entry, folder)


def refused(name: str, entry: PublicDataset, folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The single message of a failed download, which must leave no files."""
    with pytest.raises(InputError) as caught:
        fetched(name, entry, folder, monkeypatch)
    assert not folder.exists()
    if folder.parent.is_dir():
        assert list(folder.parent.iterdir()) == []
    message = str(caught.value)
    assert "\n" not in message
    for part in (repr(name), str(folder), entry.url, "could not be downloaded", "put ", "--data-dir"):
        assert part in message
    return message


class TestTable:
    def test_the_table_has_the_documented_datasets(self) -> None:
        ir_benchmark = {"gowalla_random", "electronic_random", "electronic_popularity", "electronic_temporal", "health_random"}
        assert set(PUBLIC) == {"yelp2018", "gowalla", "amazon-book", "ml-1m", "lastfm", "movielens-1m"} | ir_benchmark
        assert set(sources.NAMES) == {*PUBLIC, "demo"}

    @pytest.mark.parametrize("name", PUBLIC)
    def test_every_file_has_a_digest(self, name: str) -> None:
        entry = PUBLIC[name]
        assert set(entry.files) in ({"train", "test"}, {"train", "valid", "test"}, {"all"})
        in_archive = entry.url.endswith(".zip")
        assert in_archive or entry.url.endswith("/")
        assert set(entry.md5) == ({ARCHIVE} if in_archive else set(entry.files))
        assert all(len(digest) == 32 and set(digest) <= set("0123456789abcdef") for digest in entry.md5.values())
        assert all(len(digest) == 64 and set(digest) <= set("0123456789abcdef") for digest in entry.checksums.values())
        assert entry.url.startswith("https://")

    @pytest.mark.parametrize("name", PUBLIC)
    def test_only_datasets_that_we_downloaded_have_checksums(self, name: str) -> None:
        entry = PUBLIC[name]
        assert set(entry.checksums) == ({"train", "test"} if entry.downloaded_by_us else set())

    def test_no_two_digests_are_the_same(self) -> None:
        """Equal digests would show a copied line that was not edited."""
        for kind in ("md5", "checksums"):
            digests = [digest for entry in PUBLIC.values() for digest in getattr(entry, kind).values()]
            assert len(set(digests)) == len(digests)

    def test_a_test_split_at_the_end_of_histories_needs_order_or_times(self) -> None:
        for name, entry in PUBLIC.items():
            has_times = "time" in entry.options.get("columns", {})
            assert (entry.test_split == "last") == (entry.ordered or has_times), name

    @pytest.mark.parametrize("name", PUBLIC)
    def test_a_public_name_with_other_content_is_refused(self, name: str, tmp_path: Path) -> None:
        (tmp_path / name).mkdir()
        files = {"train.txt": TRAIN, "valid.txt": TEST, "test.txt": TEST}
        what = "train split"
        if name == "movielens-1m":
            files, what = {"ratings.dat": RATINGS.replace(b"3::", b"4::")}, "ratings"
        elif PUBLIC[name].files["train"].endswith(".tsv"):
            files = {"train.tsv": b"user_procid\titem_procid\n0\t1\n", "test.tsv": b"user_procid\titem_procid\n0\t1\n"}
        for file, content in files.items():
            (tmp_path / name / file).write_bytes(content)
        with pytest.raises(InputError, match=f"must be the public {name} {what}, got other data .* another folder name"):
            load_dataset(name, tmp_path)

    def test_files_without_a_checksum_are_compared_by_their_md5(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Both files have the right pairs. But in test they are in another order."""
        entry = replace(PUBLIC["amazon-book"], md5={"train": md5(TRAIN), "test": md5(b"1 1 2\n0 5\n")})
        monkeypatch.setitem(PUBLIC, "amazon-book", entry)
        (tmp_path / "amazon-book").mkdir()
        (tmp_path / "amazon-book/train.txt").write_bytes(TRAIN)
        (tmp_path / "amazon-book/test.txt").write_bytes(TEST)
        assert len(load_dataset("amazon-book", tmp_path).train) == 5
        words = f"test.txt: must be the public amazon-book test split, .* its MD5 is {md5(TEST)} instead of {entry.md5['test']}"
        with pytest.raises(InputError, match=words):
            load_test("amazon-book", tmp_path)

    def test_ratings_without_an_md5_are_counted(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """Of the three ratings one is below 4."""
        text = b"1::10::5::1\n1::20::3::2\n1::30::4::3\n"
        (tmp_path / "movielens-1m").mkdir()
        (tmp_path / "movielens-1m/ratings.dat").write_bytes(text)
        monkeypatch.setitem(PUBLIC, "movielens-1m", replace(PUBLIC["movielens-1m"], counts=(1, 3, 3)))
        assert len(load_dataset("movielens-1m", tmp_path).train) == 1, "the other one of the two is the test split"
        monkeypatch.setitem(PUBLIC, "movielens-1m", replace(PUBLIC["movielens-1m"], counts=(1, 3, 4)))
        (tmp_path / "movielens-1m/ratings.dat").write_bytes(text + b"\n")  # else the read data are still kept
        with pytest.raises(InputError, match=r"public movielens-1m ratings, got other data \(1 users, 3 items, 3 ratings\)"):
            load_dataset("movielens-1m", tmp_path)


class TestLookUp:
    def test_the_first_existing_folder_is_used(self, tmp_path: Path) -> None:
        """Nothing is downloaded, so no request goes to the real URL."""
        folders = [tmp_path / part / "gowalla" for part in "abc"]
        folders[1].mkdir(parents=True)
        folders[2].mkdir(parents=True)
        assert local_or_downloaded("gowalla", folders) == folders[1]

    @pytest.mark.parametrize(
        ("name", "files"), [("lastfm", "train.txt and valid.txt and test.txt"), ("movielens-1m", "ratings.dat")]
    )
    def test_datasets_without_a_download_are_refused_with_the_remedy(self, name: str, files: str, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=f"{name}.*is not in {tmp_path}.* put {files} there, or leave out --data-dir"):
            local_or_downloaded(name, [tmp_path / name], download=False)
        assert list(tmp_path.iterdir()) == []


class TestDownload:
    def test_files_are_downloaded_once(self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder = tmp_path / "deep/cache/gowalla"
        assert fetched("gowalla", texts(server.url), folder, monkeypatch) == folder
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"train.txt": TRAIN, "test.txt": TEST}
        assert [path.name for path in folder.parent.iterdir()] == ["gowalla"], "the temporary folder is gone"
        assert sorted(server.asked) == ["/test.txt", "/train.txt"], "each is fetched once"

    def test_amazon_book_is_read_in_its_layout(self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """A line has a user without items, as in the files of NGCF. There is no checksum to compare with."""
        entry = replace(texts(server.url), md5={"train": md5(TRAIN + b"3 \n"), "test": md5(TEST)})
        (server.root / "train.txt").write_bytes(TRAIN + b"3 \n")
        monkeypatch.setitem(PUBLIC, "amazon-book", entry)
        dataset, test = load_dataset("amazon-book"), load_test("amazon-book")
        assert (dataset.n_users, dataset.n_items, len(dataset.train), len(test)) == (3, 4, 5, 3)
        assert (tmp_path / "cache/mml-hpo/amazon-book/train.txt").is_file()

    def test_an_archive_may_have_one_file(self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        entry = archive(server, "movielens-1m", zipped(**{"ml-1m__ratings_dat": RATINGS, "ml-1m__movies_dat": b"1::Toy Story"}))
        folder = fetched("movielens-1m", entry, tmp_path / "cache/movielens-1m", monkeypatch)
        assert {path.name: path.read_bytes() for path in folder.iterdir()} == {"ratings.dat": RATINGS}
        assert [path.name for path in folder.parent.iterdir()] == ["movielens-1m"]

    def test_an_archive_may_have_splits(self, server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
        """The archives of IR-Benchmark have tables with their own column names, and other files."""
        tables = {
            f"{split}_tsv": b"user_procid\titem_procid\n" + rows
            for split, rows in (("train", b"0\t1\n0\t2\n1\t1\n"), ("test", b"1\t2\n"))
        }
        entry = archive(server, "health_random", zipped(**tables, summary_txt=b"Dataset: Amazon"))
        monkeypatch.setitem(PUBLIC, "health_random", entry)
        assert (len(load_dataset("health_random").train), len(load_test("health_random"))) == (3, 1)

    @pytest.mark.parametrize("split", ["train", "test"])
    def test_other_content_than_expected_is_refused(
        self, split: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        file = server.root / f"{split}.txt"
        good = file.read_bytes()
        file.write_bytes(good + b"2 0\n")
        message = refused("gowalla", texts(server.url), tmp_path / "cache/gowalla", monkeypatch)
        for part in (f"({split}.txt) does not match the known hash", md5(good), md5(file.read_bytes())):
            assert part in message
        file.write_bytes(good)
        assert fetched("gowalla", texts(server.url), tmp_path / "cache/gowalla", monkeypatch).is_dir(), "the next attempt works"

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (zipped(readme_txt=b"moved"), "ml-1m/ratings.dat"),
            (b"<html>moved</html>", "not a zip file"),
            (zipped(**{"ml-1m__ratings_dat": RATINGS})[:-9], "not a zip file"),
        ],
    )
    def test_an_archive_without_the_file_is_refused(
        self, content: bytes, words: str, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It is refused even with the right MD5."""
        message = refused("movielens-1m", archive(server, "movielens-1m", content), tmp_path / "cache/ml", monkeypatch)
        assert words in message
        assert "put ratings.dat into a folder movielens-1m/" in message

    def test_a_damaged_archive_is_refused(self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        entry = archive(server, "movielens-1m", zipped(**{"ml-1m__ratings_dat": RATINGS}))
        (server.root / "data.zip").write_bytes(b"damaged")
        assert f"but got {md5(b'damaged')}" in refused("movielens-1m", entry, tmp_path / "cache/ml", monkeypatch)

    @pytest.mark.filterwarnings("ignore:unclosed:ResourceWarning")  # pooch does not close the response
    def test_a_missing_file_on_the_server_is_an_error(
        self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        (server.root / "test.txt").unlink()
        assert "404" in refused("gowalla", texts(server.url), tmp_path / "cache/gowalla", monkeypatch)
        gc.collect()

    def test_an_unreachable_server_is_an_error(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        with http.server.HTTPServer(("127.0.0.1", 0), Handler) as web:
            url = f"http://127.0.0.1:{web.server_address[1]}/"
        assert "refused" in refused("gowalla", texts(url), tmp_path / "cache/gowalla", monkeypatch)

    def test_an_unwritable_cache_is_an_error(self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        (tmp_path / "cache").write_text("a file where the cache folder should be")
        message = refused("gowalla", texts(server.url), tmp_path / "cache/gowalla", monkeypatch)
        assert "exists" in message or "Not a directory" in message

    def test_a_broken_connection_is_an_error(self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        server.half.add("/test.txt")
        server.rest = False
        server.go.set()
        refused("gowalla", texts(server.url), tmp_path / "cache/gowalla", monkeypatch)


def start(entry: PublicDataset, folder: Path) -> SpawnProcess:
    process = SPAWN.Process(target=fetch, args=("gowalla", entry, folder))
    process.start()
    return process


class TestProcesses:
    def test_a_killed_download_leaves_no_dataset(self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        folder, entry = tmp_path / "cache/gowalla", texts(server.url)
        server.half.add("/test.txt")
        process = start(entry, folder)
        assert server.stuck.wait(60), "train.txt is there, and half of test.txt"
        assert process.pid is not None
        os.kill(process.pid, signal.SIGKILL)
        process.join(30)
        assert process.exitcode == -signal.SIGKILL
        assert list(folder.parent.rglob("train.txt")), "the first file was downloaded"
        assert not folder.exists()
        assert all(path.name.startswith(".") for path in folder.parent.iterdir()), "only hidden temporary folders"
        server.half.clear()
        assert sorted(path.name for path in fetched("gowalla", entry, folder, monkeypatch).iterdir()) == [
            "test.txt",
            "train.txt",
        ]

    def test_two_processes_may_download_at_once(self, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        """The slow process gets its last file after the other has finished. It then uses the finished folder."""
        folder, entry = tmp_path / "cache/gowalla", texts(server.url)
        server.half.add("/test.txt")
        slow = start(entry, folder)
        assert server.stuck.wait(60)
        server.half.clear()
        fetched("gowalla", entry, folder, monkeypatch)
        before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
        server.go.set()
        slow.join(60)
        assert slow.exitcode == 0
        assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before
        assert sorted(before) == ["test.txt", "train.txt"]
        assert [path.name for path in folder.parent.iterdir()] == ["gowalla"]
