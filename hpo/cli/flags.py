"""Flags that several commands have, and the types of their values."""

from __future__ import annotations

import argparse
import logging
import math
from collections.abc import Sequence
from pathlib import Path

from hpo.study.names import MAX_SEARCHES
from hpo.study.plan import LEAST_MEMORY, MAX_MEMORY, MAX_SEEDS
from hpo.study.spec import StudySpec
from trainers.checkpoints import EVERY_SECONDS
from trainers.engines import ENGINES
from trainers.engines.registry import AUTO, DEVICES
from trainers.errors import InputError, unknown
from trainers.text import SHOWN, clipped, has_controls, shown
from trainers.validation import LONGEST_PATH

log = logging.getLogger(__name__)
LAST_PORT = 65535
OUTPUT = Path("runs")  # the default folder of results


def add_study_arguments(parser: argparse.ArgumentParser | argparse._MutuallyExclusiveGroup) -> None:
    """Add `--study`, for commands that read a stored study. It is required, or part of a required group."""
    required = isinstance(parser, argparse.ArgumentParser)
    parser.add_argument("--study", required=required, metavar="NAME|FILE", help="a study on the storage, or its file")


def add_location_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--output`, `--storage` and `--data-dir`."""
    parser.add_argument(
        "--output", type=path, default=OUTPUT, metavar="DIR", help=f"folder of all studies' results (default: {OUTPUT})"
    )
    parser.add_argument(
        "--storage",
        type=place,
        metavar="URL",
        help="Optuna storage URL or journal file (default: $HPO_STORAGE, else OUTPUT/journal.log)",
    )
    add_data_argument(parser)


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--data-dir`."""
    parser.add_argument(
        "--data-dir",
        type=place,
        metavar="DIR",
        help="folder with a folder for each dataset (default: $HPO_DATA_DIR, else the cache, else a download)",
    )


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """Add `--engine` and `--device`."""
    parser.add_argument(
        "--engine",
        default=AUTO,
        choices=[AUTO, *ENGINES],
        help="the engine that trains (default: auto, the fastest one for the config)",
    )
    parser.add_argument(
        "--device", default=AUTO, choices=DEVICES, help="the device to train on (default: auto, the one the engine prefers)"
    )


def add_checkpoint_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--checkpoint-every`."""
    parser.add_argument(
        "--checkpoint-every",
        type=at_least_zero,
        default=EVERY_SECONDS,
        metavar="SECONDS",
        help=f"seconds between two checkpoints of a training, 0 for one after every epoch (default: {EVERY_SECONDS:g})",
    )


def add_confirm_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the flags that change the confirm plan. Without them the study file decides."""
    parser.add_argument(
        "--baseline-trials",
        type=positive,
        metavar="N",
        help="settings that are tried of each baseline, 1 for the default ones alone (default: the study's)",
    )
    parser.add_argument(
        "--confirm-epochs", type=positive, metavar="N", help="epochs of each confirm run, 1 or more (default: the study's)"
    )
    parser.add_argument(
        "--confirm-seeds",
        type=positive,
        metavar="N",
        help=f"seeds of each method in the test stage, 1 to {MAX_SEEDS} (default: the study's)",
    )
    parser.add_argument(
        "--rival-seeds",
        type=seeds_by_loss,
        metavar="LOSS=N,...",
        help="fewer seeds for rivals that are slow to train, e.g. bsl=1 (default: the study's)",
    )
    parser.add_argument(
        "--select-seeds",
        type=positive,
        metavar="N",
        help=f"seeds of each config in the validation stage, 1 to {MAX_SEEDS} (default: the study's)",
    )
    parser.add_argument(
        "--searches",
        type=positive,
        metavar="N",
        help=f"searches with different seeds, of the study and of each tuned rival, 1 to {MAX_SEARCHES} (default: the study's)",
    )
    parser.add_argument(
        "--top",
        type=positive,
        metavar="N",
        help="best configs in the validation stage, 1 or more (default: the study's)",
    )


def add_memory_argument(parser: argparse.ArgumentParser) -> None:
    """Add `--max-memory`."""
    parser.add_argument(
        "--max-memory",
        type=gigabytes,
        default=MAX_MEMORY,
        metavar="GB",
        help=f"memory in GB that the baseline EASE may take; if all items need more, it has the most popular ones (default: "
        f"{MAX_MEMORY:g})",
    )


def confirm_changes(arguments: argparse.Namespace) -> dict[str, object]:
    """The changes of the confirm plan by dotted keys; None for flags that are not given."""
    return {
        "confirm.baseline_trials": arguments.baseline_trials,
        "confirm.epochs": arguments.confirm_epochs,
        "confirm.seeds": arguments.confirm_seeds,
        "confirm.rival_seeds": arguments.rival_seeds,
        "confirm.searches": arguments.searches,
        "confirm.select_seeds": arguments.select_seeds,
        "confirm.top": arguments.top,
    }


def check_rival_seeds(spec: StudySpec, plan: StudySpec, rivals: Sequence[StudySpec], asked: dict[str, int] | None) -> None:
    """Check the `rival_seeds` of a study and the value of `--rival-seeds`.

    Args:
        spec: the study as in its file.
        plan: the study with the flags of confirm. They may give all methods fewer seeds than the file gives a rival.
        rivals: the rivals of the study.

    Raises:
        InputError: a loss that no rival has, or more seeds than the other methods have.
    """
    losses = {rival.space.loss_name for rival in rivals}
    in_file = f"study {spec.name}: confirm.rival_seeds"
    for where, counts, most, more in (
        (in_file, spec.confirm.rival_seeds, spec.confirm.seeds, "in confirm.seeds"),
        ("--rival-seeds", asked or {}, plan.confirm.seeds, "with --confirm-seeds"),
    ):
        for loss, count in counts.items():
            if loss not in losses:
                raise InputError(f"{where}: {unknown('rival', loss, losses, '' if losses else 'none')}")
            if count > most:
                raise InputError(
                    f"{where} {loss}={count}: a rival may have at most the {most} seeds of the other methods; give it fewer, "
                    f"or give all methods more {more}"
                )


def seeds_by_loss(text: str) -> dict[str, int]:
    """An argparse type: `bsl=1,ccl=2`."""
    pairs = [[each.strip() for each in part.partition("=")] for part in text.split(",")]
    losses = [loss for loss, _, _ in pairs]
    if not all(equals for _, equals, _ in pairs) or len({*losses}) < len(losses):
        raise argparse.ArgumentTypeError(f"must be LOSS=N,..., such as bsl=1,ccl=2, each loss once, got {shown(text)}")
    return {loss: positive(number) for loss, _, number in pairs}


def place(text: str) -> str:
    """An argparse type: a path or URL."""
    if not text.strip() or has_controls(text) or not _is_text(text) or len(text) > LONGEST_PATH:
        raise argparse.ArgumentTypeError(
            f"must be a path or URL of 1 to {LONGEST_PATH:,} printable characters, got {shown(text)}"
        )
    return text


def _is_text(text: str) -> bool:
    """Whether a text can be encoded as UTF-8; arguments may hold other bytes."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def path(text: str) -> Path:
    """An argparse type: a path."""
    return Path(place(text))


def positive(text: str) -> int:
    """An argparse type: a whole number of at least 1."""
    return _whole(text, lowest=1)


def seed(text: str) -> int:
    """An argparse type: a whole number of at least 0."""
    return _whole(text, lowest=0)


def _whole(text: str, lowest: int) -> int:
    try:
        value = int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least {lowest}, got {shown(text)}") from None
    if value < lowest:
        raise argparse.ArgumentTypeError(f"must be at least {lowest}, got {shown(value)}")
    return value


def port(text: str) -> int:
    """An argparse type: a port number."""
    value = positive(text)
    if value > LAST_PORT:
        raise argparse.ArgumentTypeError(f"must be at most {LAST_PORT}, got {shown(value)}")
    return value


def above_zero(text: str) -> float:
    """An argparse type: a finite number above 0."""
    return _number(text, lowest=0.0, includes_lowest=False)


def at_least_zero(text: str) -> float:
    """An argparse type: a finite number, 0 or more."""
    return _number(text, lowest=0.0)


def gigabytes(text: str) -> float:
    """An argparse type: a finite number of gigabytes, LEAST_MEMORY or more."""
    return _number(text, LEAST_MEMORY, " GB")


def _number(text: str, lowest: float, unit: str = "", includes_lowest: bool = True) -> float:
    try:
        value, got = float(text), clipped(text, SHOWN)
    except ValueError:
        value, got = math.nan, shown(text)
    if not math.isfinite(value) or value < lowest or (value == lowest and not includes_lowest):
        rule = f"a finite number, {lowest:g}{unit} or more" if includes_lowest else f"a finite number above {lowest:g}{unit}"
        raise argparse.ArgumentTypeError(f"must be {rule}, got {got}")
    return value
