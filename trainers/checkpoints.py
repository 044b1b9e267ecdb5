"""Checkpoints: files from which an interrupted training resumes, with the same bits as without the interruption.

Random draws depend on their position only, so the state of the engine and the notes of the owner are the whole state of a run.
"""

from __future__ import annotations

import json
import logging
import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from errno import ENOENT
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from trainers.config import TrainConfig
from trainers.data import Interactions
from trainers.engines.cache_versions import ROUNDING_LIBRARIES, cache_version
from trainers.engines.protocol import State
from trainers.engines.registry import EngineChoice
from trainers.errors import InputError, first_line
from trainers.files import read_arrays
from trainers.losses.own import code_of

log = logging.getLogger(__name__)

FORMAT = 2
EVERY_SECONDS = 30.0
MOST_BYTES = 2**37  # largest size of the arrays; no table in memory is larger
SCRATCH = re.compile(r"^\.\d+\.")  # the prefix of a file that is being written
ABOUT = "about"  # the array with the JSON text
ENGINE, OWNER = "engine:", "owner:"  # prefixes of arrays of the engine's state and of the owner's notes


@dataclass(frozen=True)
class Notes:
    """The notes of a run's owner about its epochs: `values` as JSON data, and arrays."""

    values: Mapping[str, Any] = field(default_factory=dict)
    arrays: State = field(default_factory=dict)


@dataclass(frozen=True)
class Checkpoint:
    """A run after some epochs.

    Attributes:
        state: the state of the engine's lane, see `Engine.state`.
        notes: the owner's notes about these epochs.
    """

    state: State
    notes: Notes

    @property
    def epochs(self) -> int:
        """The number of trained epochs."""
        return int(self.state["epochs_done"])


def checkpoint_name(path: Path) -> str:
    """The name of a checkpoint file, or of the checkpoint that a killed writer was writing to this file."""
    return SCRATCH.sub("", path.name)


def refuse_others(path: Path) -> None:
    """Check that a file may be replaced by a checkpoint.

    Raises:
        InputError: the file exists, and is no checkpoint or cannot be read.
    """
    try:
        if path.exists():
            with path.open("rb") as file:
                read_arrays(file, MOST_BYTES)[ABOUT]
    except (OSError, ValueError, KeyError) as error:
        raise InputError(
            f"{path}: must be a checkpoint, since it is replaced during training, got a file that cannot be read as one "
            f"({first_line(error)}); delete it, or give another file"
        ) from None


def training_key(
    config: TrainConfig, seen: Interactions, held_out: Interactions | None, choice: EngineChoice
) -> dict[str, Any]:
    """Everything that decides the bits of a training, as JSON data."""
    return {
        "config": config.to_dict(),
        "seen": seen.checksum,
        "held_out": None if held_out is None else held_out.checksum,
        "engine": choice.name,
        "cache_version": cache_version(choice.name, config.loss.name, config.negatives.name),
        **({"code": code} if (code := code_of(config.loss.name)) else {}),
        **rounding(choice),
    }


def rounding(choice: EngineChoice) -> dict[str, Any]:
    """Everything that affects rounding. On a CPU, PyTorch's order of summation depends on the number of threads."""
    import torch  # takes seconds, and is not needed to read studies

    from trainers.engines.resources import device_name

    return {
        "machine": device_name(choice.device),
        "libraries": {name: _version(name) for name in {*ROUNDING_LIBRARIES[choice.name], "numpy", "torch"}},
        "threads": torch.get_num_threads() if (choice.name, choice.device) == ("torch", "cpu") else None,
    }


class CheckpointFile:
    """The file of a run's checkpoints: an .npz file without pickled objects, written atomically.

    Args:
        path: the path of the file.
        key: everything that decides the numbers, see `training_key`. A file with another key is ignored.
        label: the name of the run in messages.
        earlier: files of earlier attempts at the run; the one with the most epochs is used.
        every: least time between two versions in seconds; 0 for a version after every epoch.
        within: a folder that contains the file's folder and that is never created: it may have been moved away.
        continues: the name of the earlier attempt in messages; empty if there is none.
    """

    def __init__(
        self,
        path: Path,
        key: Mapping[str, Any],
        label: str = "the run",
        earlier: tuple[Path, ...] = (),
        every: float = EVERY_SECONDS,
        within: Path | None = None,
        continues: str = "",
    ) -> None:
        self.path, self.label, self.every = path, label, every
        self.resume_notice = f"{label} continues {continues}" if continues else f"{label} goes on"
        self._key = json.loads(json.dumps(key))
        self._earlier, self._within = earlier, within
        self._has_failed = False

    def load(self) -> Checkpoint | None:
        """The checkpoint with the most epochs; None if there is none. Damaged files and files of other runs are ignored with a
        warning."""
        found = [one for path in (self.path, *self._earlier) if (one := self._read(path)) is not None]
        return max(found, key=lambda one: one.epochs, default=None)

    def save(self, checkpoint: Checkpoint) -> None:
        """Replace the file. If it cannot be written, the run continues without a checkpoint, with one warning."""
        arrays = {f"{ENGINE}{name}": array for name, array in checkpoint.state.items()}
        arrays |= {f"{OWNER}{name}": array for name, array in checkpoint.notes.arrays.items()}
        about = {"format": FORMAT, "key": self._key, "notes": checkpoint.notes.values, "arrays": sorted(arrays)}
        try:
            with self._scratch() as scratch:
                with scratch.open("wb") as file:
                    np.savez(file, **{ABOUT: np.array(json.dumps(about))}, **arrays)  # type: ignore[arg-type]
                os.replace(scratch, self.path)
            for one in self._earlier:  # no longer needed
                with suppress(OSError):
                    one.unlink(missing_ok=True)
        except OSError as error:
            if not self._has_failed:
                reason = error.strerror or first_line(error)
                log.warning(
                    "%s: cannot be written: %s; %s continues, and starts from its first epoch if it is interrupted",
                    self.path,
                    reason,
                    self.label,
                )
            self._has_failed = True

    def delete(self) -> None:
        """Remove the file, the files of earlier attempts, and temporary files of killed writers."""
        names = {path.name for path in (self.path, *self._earlier)}
        with suppress(OSError):
            for one in [*self.path.parent.iterdir()]:
                if checkpoint_name(one) in names:
                    one.unlink(missing_ok=True)

    @contextmanager
    def _scratch(self) -> Iterator[Path]:
        """A temporary path in the file's folder, removed after the block."""
        if self._within is not None and not self._within.is_dir():
            raise FileNotFoundError(ENOENT, f"there is no folder {self._within}")
        self.path.parent.mkdir(parents=True, exist_ok=True)
        scratch = self.path.with_name(f".{os.getpid()}.{self.path.name}")
        try:
            yield scratch
        finally:
            scratch.unlink(missing_ok=True)

    def _read(self, path: Path) -> Checkpoint | None:
        try:
            if not path.is_file():
                return None
            with path.open("rb") as file:
                arrays = read_arrays(file, MOST_BYTES)
            about = json.loads(str(arrays[ABOUT][()]))
            if differing := self._differing(about):
                log.warning("%s: has another %s; %s starts without it", path, differing, self.label)
                return None
            if about["arrays"] != sorted(arrays.keys() - {ABOUT}):
                raise ValueError("it lacks arrays")
            state, noted = (
                {name.removeprefix(kind): array for name, array in arrays.items() if name.startswith(kind)}
                for kind in (ENGINE, OWNER)
            )
            checkpoint = Checkpoint(state, Notes(dict(about["notes"]), noted))
            if checkpoint.epochs < 0:
                raise ValueError(f"it has {checkpoint.epochs} epochs")
            return checkpoint
        except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
            log.warning("%s: is damaged (%s); %s starts without it", path, first_line(error), self.label)
            return None

    def _differing(self, about: Mapping[str, Any]) -> str:
        """The names of differing parts of a file's key; empty if it belongs to this run."""
        if about["format"] != FORMAT:
            return "format"
        if about["key"] == self._key:
            return ""
        keys = sorted({*self._key, *about["key"]})
        return ", ".join(name for name in keys if self._key.get(name) != about["key"].get(name))


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
