"""`python -m hpo.recommend MODEL.npz --users a,b -k 20`: top-k lists of a trained model, with the ids of the data."""

from __future__ import annotations

import argparse
import io
import sys

from hpo.cli.entry import command_parser, entry
from hpo.cli.flags import path, positive
from trainers.errors import InputError
from trainers.files import write_text
from trainers.recommender import Recommender, TrainedOn
from trainers.text import visible

TRAINED: dict[TrainedOn, str] = {
    "without validation": "the model was trained without the validation pairs; to compare with another library, train with "
    "--with-validation",
    "with validation": "the model was trained on all training pairs, those of validation included",
    "with test": "the model was trained on the test pairs, too: do not measure these lists",
}


def main(argv: list[str] | None = None) -> int:
    """Write the best unseen items of users as CSV: user, item, rank, score."""
    parser = command_parser("recommend", main.__doc__, "model.npz --users 17,42 -k 10 --output lists.csv")
    parser.add_argument("vectors", metavar="MODEL.npz", help="a model that hpo.train --save wrote")
    parser.add_argument("--users", metavar="A,B", help="ids of users, separated by commas (default: all users)")
    parser.add_argument("--users-file", type=path, metavar="FILE", help="a file with the id of a user in each line")
    parser.add_argument(
        "-k", type=positive, default=20, metavar="N", help="length of the lists, 1 or more (default: %(default)s)"
    )
    parser.add_argument("--output", type=path, metavar="FILE.csv", help="file for the lists (default: the terminal)")
    return entry(parser, argv, _recommend, trains=True)


def _recommend(arguments: argparse.Namespace) -> int:
    model = Recommender.load(arguments.vectors)
    lists = model.recommend(_users(arguments), arguments.k)
    if model.trained_on in TRAINED:
        print(TRAINED[model.trained_on], file=sys.stderr)
    text = lists.to_csv(index=False, float_format="%.6f")
    if arguments.output is None:
        _print(text)
        return 0
    write_text(arguments.output, text)
    print(visible(f"wrote {arguments.output}: {len(lists):,} recommendations for {lists['user'].nunique():,} users"))
    return 0


def _print(text: str) -> None:
    """Print to a terminal with control characters escaped, or to a file or pipe unchanged in UTF-8."""
    is_terminal = sys.stdout.isatty()
    if not is_terminal and isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")
    sys.stdout.write(visible(text) if is_terminal else text)


def _users(arguments: argparse.Namespace) -> list[str] | None:
    """The ids of users; None for all.

    Raises:
        InputError: both flags, a file that cannot be read, or no id.
    """
    if arguments.users is not None and arguments.users_file is not None:
        raise InputError("--users and --users-file exclude each other; give one of them")
    if arguments.users_file is not None:
        try:
            found = arguments.users_file.read_text(encoding="utf-8-sig").splitlines()
        except OSError as error:
            raise InputError(
                f"{arguments.users_file}: cannot be read: {error.strerror}; give --users-file a file that you may read"
            ) from None
        except UnicodeDecodeError as error:
            raise InputError(f"{arguments.users_file}: must be UTF-8 text: {error}; save it as UTF-8") from None
    elif arguments.users is not None:
        found = arguments.users.split(",")
    else:
        return None
    users = [user.strip() for user in found if user.strip()]
    if not users:
        raise InputError("there must be at least one user, got none; give ids with --users a,b, or leave it out for all users")
    return users


if __name__ == "__main__":
    raise SystemExit(main())
