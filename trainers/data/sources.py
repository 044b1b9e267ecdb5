"""Finds the files of a dataset: a folder with splits, a single file, or a public dataset."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from trainers.data.interactions import Interactions
from trainers.data.options import DataOptions
from trainers.data.public import PUBLIC, PublicDataset, local_or_downloaded
from trainers.data.readers import SUFFIXES, RawInteractions, find_recbole
from trainers.data.readers.text import explained
from trainers.environment import variable
from trainers.errors import DataNotFound, InputError, unknown
from trainers.text import clipped
from trainers.validation import checked

DATA_DIR_VARIABLE = "HPO_DATA_DIR"
DEMO = "demo"
VALID = ("valid", "val", "validation", "dev")  # names of the file with validation pairs
NAMES = (*PUBLIC, DEMO)  # names of datasets that are not the user's own


@dataclass(frozen=True)
class Files:
    """The files of a dataset, and how they are read.

    Attributes:
        train: the train file, or the only file.
        test: the test file; None if the test split is part of `train`.
        valid: the valid file; None without one.
        public: the expected content; None for a user's own data.
    """

    name: str
    train: Path
    test: Path | None
    valid: Path | None
    options: DataOptions
    public: PublicDataset | None = field(default=None, compare=False)

    @property
    def version(self) -> tuple[tuple[int, int], ...]:
        """Times and sizes of the training files, which change when a file does.

        Raises:
            InputError: a file is missing, or its folder cannot be read.
        """
        found = []
        for path in filter(None, (self.train, self.valid)):
            with explained(path):
                state = path.stat()
            found.append((state.st_mtime_ns, state.st_size))
        return tuple(found)


def find_files(name: str, data_dir: str | Path | None, options: DataOptions) -> Files:
    """The files of a public dataset or of a user's own.

    Raises:
        InputError: the data are not found (the message lists the places), or the options do not fit them.
    """
    if name in PUBLIC:
        return _public_files(name, data_dir, options)
    path = _find_own(name, data_dir)
    single = path if path.is_file() else find_recbole(path)
    if single is not None:
        return Files(name, single.resolve(), None, None, options)
    train, test, valid = (_split_file(path, *names) for names in (("train",), ("test",), VALID))
    if train is None or test is None:
        lacking = "train" if train is None else "test"
        raise InputError(
            f"{path}: must have a file {lacking}.txt, or {lacking} with another ending of {', '.join(SUFFIXES)}, got none; add "
            "one, or give the path of a single file"
        )
    if options.test is not None:
        raise InputError(f"data.test is for a single file, and {path} has a test file, {test.name}; leave data.test out")
    return Files(name, train, test, valid, options)


def _public_files(name: str, data_dir: str | Path | None, options: DataOptions) -> Files:
    public = PUBLIC[name]
    looked = [Path(data_dir) / name] if data_dir is not None else _default_folders(name)
    if options != DataOptions() and "all" not in public.files:
        given = ", ".join(options.given())
        raise InputError(f"the public dataset {name!r} has fixed data options; leave out {given}")
    folder = local_or_downloaded(name, looked, download=data_dir is None)
    ours = {"ordered": public.ordered, **public.options}
    read_as = checked(DataOptions, {**ours, **options.given()}, f"dataset {name}")
    paths = {split: _published_file(folder, Path(file).name) for split, file in public.files.items()}
    return Files(name, paths.get("all") or paths["train"], paths.get("test"), paths.get("valid"), read_as, public)


def check_public(files: Files, part: Literal["train", "test"], raw: RawInteractions, pairs: Interactions) -> None:
    """Check that the data are those of the public dataset, if they have its name.

    Args:
        raw, pairs: the interactions of the part's file, and what was made of them.

    Raises:
        InputError: they are other data.
    """
    public, path = files.public, files.train if part == "train" else files.test
    if public is None or path is None:
        return
    what, found = f"{part} split", f"{pairs.n_users:,} users, {pairs.n_items:,} items, {len(pairs):,} pairs"
    if part in public.checksums:
        good = pairs.checksum == public.checksums[part]
    elif part in public.md5:
        with explained(path):
            digest = hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()
        good, found = digest == public.md5[part], f"{found}; its MD5 is {digest} instead of {public.md5[part]}"
    elif public.counts is not None:
        counts = len(raw.users.ids), len(raw.items.ids), len(raw)
        good, what, found = counts == public.counts, "ratings", "{:,} users, {:,} items, {:,} ratings".format(*counts)
    else:
        return
    if not good:
        raise InputError(
            f"{path}: must be the public {files.name} {what}, got other data ({found}); give your own data another folder "
            "name, or fetch the public files again"
        )


def _published_file(folder: Path, name: str) -> Path:
    path = folder / name
    if not path.is_file():
        raise InputError(f"{folder}: has no file {name}; put it there, or remove the folder to download it")
    return path.resolve()


def _default_folders(name: str) -> list[Path]:
    import pooch  # takes a tenth of a second, and only public data need it

    cache = Path(pooch.os_cache("mml-hpo")) / name
    root = variable(DATA_DIR_VARIABLE)
    return [Path(root) / name, cache] if root else [cache]


def _find_own(name: str, data_dir: str | Path | None) -> Path:
    root = data_dir if data_dir is not None else variable(DATA_DIR_VARIABLE)
    named = [Path(root) / name, Path(name), Path(root) / Path(name).name] if root else [Path(name)]  # the last: data have moved
    looked = list(dict.fromkeys(named))
    for path in looked:
        if os.path.exists(path):  # False, not an error, for impossible paths
            return path
    places = " or ".join(clipped(str(path)) for path in looked)
    raise DataNotFound(f"{unknown('dataset', name, NAMES)}; and there is no file or folder {places}")


def _split_file(folder: Path, *names: str) -> Path | None:
    found = [path for path in (folder / f"{name}{suffix}" for name in names for suffix in SUFFIXES) if path.is_file()]
    if len(found) > 1:
        raise InputError(
            f"{folder}: may have one {names[0]} file, got {', '.join(path.name for path in found)}; remove the others"
        )
    return found[0].resolve() if found else None
