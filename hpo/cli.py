"""What the verbs share: flags, exit codes, and errors as one clear message instead of a traceback."""

from __future__ import annotations

import argparse
import logging
import math
import sys
from collections.abc import Callable
from pathlib import Path

import optuna
from optuna.exceptions import StorageInternalError
from optuna.storages import BaseStorage

from hpo.failures import SearchFailed
from hpo.liveness import reap
from hpo.spec import StudySpec, is_yaml
from hpo.stopping import Stopped
from hpo.storage import DEFINITION, has_password, open_storage, storage_url, without_password
from hpo.stored import find_study, is_ours, stored_spec
from hpo.workspace import Workspace
from trainers.engines import ENGINES, EngineChoice
from trainers.engines.contract import AUTO, DEVICES
from trainers.engines.share import take_share
from trainers.errors import InputError, OutOfMemory, TrainingDiverged, first_line, unknown

log = logging.getLogger(__name__)

FAILED, BAD_INPUT = 1, 2  # exit codes
LAST_PORT = 65535
OUTPUT = Path("runs")  # unless another is given


def add_study_arguments(parser: argparse.ArgumentParser) -> None:
    """`--study`, for verbs that read a study that has run."""
    parser.add_argument("--study", required=True, metavar="NAME|FILE", help="a study that has run on this storage, or its file")


def add_place_arguments(parser: argparse.ArgumentParser) -> None:
    """`--output`, `--storage` and `--data-dir`."""
    parser.add_argument("--output", type=Path, default=OUTPUT, metavar="DIR", help=f"results of all studies ({OUTPUT})")
    parser.add_argument(
        "--storage", metavar="URL", help="Optuna storage URL or journal file (default: $HPO_STORAGE, else OUTPUT/journal.log)"
    )
    add_data_argument(parser)


def add_data_argument(parser: argparse.ArgumentParser) -> None:
    """`--data-dir`."""
    parser.add_argument(
        "--data-dir", metavar="DIR", help="folder that holds the datasets' folders (default: $HPO_DATA_DIR, cache, download)"
    )


def add_engine_arguments(parser: argparse.ArgumentParser) -> None:
    """`--engine` and `--device`."""
    parser.add_argument("--engine", default=AUTO, choices=[AUTO, *ENGINES], help="what trains (auto: the fastest that can)")
    parser.add_argument("--device", default=AUTO, choices=DEVICES)


def add_confirm_arguments(parser: argparse.ArgumentParser) -> None:
    """Flags that change the confirm plan; not given, the study file decides."""
    parser.add_argument("--confirm-epochs", type=positive, metavar="N", help="epochs of each confirm run")
    parser.add_argument("--confirm-seeds", type=positive, metavar="N", help="seeds of the test stage")
    parser.add_argument(
        "--rival-seeds", type=seeds_by_loss, metavar="LOSS=N,...", help="fewer for rivals that are slow to train, e.g. bsl=1"
    )
    parser.add_argument("--select-seeds", type=positive, metavar="N", help="seeds of the validation stage")
    parser.add_argument("--top", type=positive, metavar="N", help="configs that enter the validation stage")


def confirm_changes(arguments: argparse.Namespace) -> dict[str, object]:
    """The confirm plan's changes that the user asked for."""
    return {
        "confirm.epochs": arguments.confirm_epochs,
        "confirm.seeds": arguments.confirm_seeds,
        "confirm.rival_seeds": arguments.rival_seeds,
        "confirm.select_seeds": arguments.select_seeds,
        "confirm.top": arguments.top,
    }


def check_rival_seeds(spec: StudySpec, asked: dict[str, int] | None) -> None:
    """Look at what `--rival-seeds` asks for, flags applied to the study.

    Raises:
        InputError: for a loss that no rival has, or more seeds than the other methods have.
    """
    losses = {rival.space.loss_name for rival in spec.rival_specs()}
    for loss, count in (asked or {}).items():
        if loss not in losses:
            raise InputError(f"--rival-seeds: {unknown('rival', loss, losses, '' if losses else 'none')}")
        if count > spec.confirm.seeds:
            raise InputError(
                f"--rival-seeds {loss}={count}: a rival has at most the {spec.confirm.seeds} seeds of the plan; "
                f"give it fewer, or all of them more with --confirm-seeds"
            )


def seeds_by_loss(text: str) -> dict[str, int]:
    """An argparse type: `bsl=1,ccl=2`."""
    pairs = [part.partition("=") for part in text.split(",")]
    if not all(equals for _, equals, _ in pairs):
        raise argparse.ArgumentTypeError(f"takes LOSS=N, such as bsl=1, separated by commas, got {text!r}")
    return {loss: positive(number) for loss, _, number in pairs}


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
        raise argparse.ArgumentTypeError(f"must be a whole number of at least {lowest}, got {text!r}") from None
    if value < lowest:
        raise argparse.ArgumentTypeError(f"must be at least {lowest}, got {value}")
    return value


def port(text: str) -> int:
    """An argparse type: a port number."""
    value = positive(text)
    if value > LAST_PORT:
        raise argparse.ArgumentTypeError(f"must be at most {LAST_PORT}, got {value}")
    return value


def seconds(text: str) -> float:
    """An argparse type: a positive number (of seconds, of hours)."""
    try:
        value = float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"must be a number, got {text!r}") from None
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return value


hours = seconds


def entry(
    parser: argparse.ArgumentParser,
    argv: list[str] | None,
    verb: Callable[[argparse.Namespace], int],
    stopped: str = "what is finished is kept, the same command continues",
) -> int:
    """Parse, run, and turn the failures that a user can act on into a message and an exit code.

    Args:
        stopped: what is said when a signal ends it.
    """
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as error:  # argparse has printed its message
        return int(error.code or 0)
    set_up_logging()
    url = getattr(arguments, "storage", None)
    if url and has_password(url):
        print("warning: the password in --storage shows in `ps`; set HPO_STORAGE or use ~/.pgpass instead", file=sys.stderr)
    take_share(0, 1)
    try:
        return verb(arguments)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return BAD_INPUT
    except (SearchFailed, TrainingDiverged, OutOfMemory) as error:
        print(f"error: {error}", file=sys.stderr)
        return FAILED
    except Stopped as stop:
        print(f"{stop}; {stopped}", file=sys.stderr)
        return stop.exit_code
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except StorageInternalError as error:
        print(f"error: the storage failed: {reason_of(error)}; what is finished is kept", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # the reader of our output, such as `head`, has gone
        sys.stderr.close()
        return FAILED


def reason_of(error: StorageInternalError) -> str:
    """The first line of what a driver or the operating system said; Optuna's own text is a guess."""
    return first_line(error.__cause__ or error)


def set_up_logging(level: int = logging.INFO) -> None:
    """Our messages from this level on, others' from WARNING on, to stderr."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    # "falling back to a slower alternative", when in truth the server is away: hpo.remote says so and tries again
    logging.getLogger("optuna.storages._rdb.storage").setLevel(logging.ERROR)
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr, force=True)
    for ours in ("hpo", "trainers"):
        logging.getLogger(ours).setLevel(level)


def stored_name(study: str) -> str:
    """The name that a study, given by name or file, is stored under."""
    return Path(study).stem if is_yaml(study) else study


def sound_spec(study: optuna.Study) -> StudySpec | None:
    """The definition of a study among others; None for those of other programs, and for damaged ones, which a warning names."""
    try:
        return stored_spec(study) if is_ours(study) else None
    except InputError as error:
        log.warning("%s", error)
        return None


def stored_study(arguments: argparse.Namespace) -> tuple[StudySpec, optuna.Study, BaseStorage]:
    """The definition of a study that has run, as it was then, the study, and its storage; trials of the dead are reaped.

    Raises:
        InputError: no such storage or study, or it is damaged.
    """
    storage = open_storage(storage_url(arguments.storage, arguments.output), create=False)
    study = find_study(storage, stored_name(arguments.study))
    spec = stored_spec(study)
    reap(study, stale_hours=math.inf)  # those of this machine only: a reader does not know how long others may take
    return spec, study, storage


def existing_workspace(arguments: argparse.Namespace, to_train: bool = True) -> tuple[Workspace, optuna.Study, BaseStorage]:
    """The workspace of a study that has run, the study, and its storage.

    Raises:
        InputError: no such storage or study, its data have changed, or `to_train` this machine lacks its engine.
    """
    spec, study, storage = stored_study(arguments)
    place, engine = (spec, arguments.output, arguments.data_dir), study.user_attrs[DEFINITION]["engine"]
    try:
        work = Workspace.open(*place, engine, AUTO)
    except InputError:
        if to_train:
            raise
        work = Workspace(*place, EngineChoice(engine, "", "it has searched, on another machine"))
    work.check_data(study)
    return work, study, storage


def shown_storage(arguments: argparse.Namespace) -> str:
    """The storage as it may be printed."""
    return without_password(storage_url(arguments.storage, arguments.output))
