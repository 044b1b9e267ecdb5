"""How often does a comparison of equal methods end in a verdict? `python -m benchmarks.compare_nulls`.

hpo.confirmation.statistics judges each experiment, bootstrap included, as hpo.compare judges files. In truth the methods are
equal. Four users in ten have a hit. A value varies by user and method, by user and run, and by run: all users of a run
share its luck. The luck is in units of the users' error. Tests of one unit are wrong most often when the two errors are about
equal.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from rich.console import Console

from hpo.cli.console import table
from hpo.cli.flags import positive
from hpo.confirmation.evidence import ALPHA
from hpo.confirmation.statistics import Comparison, Measured, Word, compare_all

Floats = NDArray[np.float64]
HITS, LIKING, NOISE = 0.4, 0.1, 0.05


@dataclass(frozen=True)
class Design:
    """How the methods are measured.

    Attributes:
        methods: how many there are.
        runs: of each method.
        luck: how much runs vary, in units of the users' error.
        shared: whether the runs of all methods share their luck.
        deterministic: whether the last method has a single run, without luck and noise.
    """

    methods: int
    runs: int
    luck: float
    shared: bool = False
    deterministic: bool = False


DESIGNS = (
    Design(2, 2, 1.0),
    Design(2, 3, 0.5),
    Design(2, 3, 1.0),
    Design(2, 5, 1.0),
    Design(2, 3, 1.0, shared=True),
    Design(2, 2, 1.0, deterministic=True),
    Design(2, 3, 1.0, deterministic=True),
    Design(2, 5, 1.0, deterministic=True),
    Design(3, 3, 1.0),
    Design(2, 5, 0.1),
)


def main() -> None:
    """Print a row for each design."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--experiments", type=positive, default=4_000, metavar="N", help="%(default)s")
    parser.add_argument("--users", type=positive, default=100, metavar="N", help="%(default)s")
    parser.add_argument("--skewed", action="store_true", help="preferences of users for the first method are exponential")
    parser.add_argument("--seed", type=int, default=5)
    arguments = parser.parse_args()
    n, rows, started = arguments.experiments, [], time.perf_counter()
    for number, design in enumerate(DESIGNS):
        rng = np.random.default_rng([arguments.seed, number])
        families = [compare_all(experiment(rng, design, arguments.users, arguments.skewed)) for _ in range(n)]
        wrong = np.mean([any(one.word is not Word.UNDECIDED for one in family) for family in families])
        units = [_rejected([family[0] for family in families], unit) for unit in ("users", "runs", "both")]
        shares: list[float | None] = [*units, float(wrong)] if design.methods == 2 else [None, None, None, float(wrong)]
        luck = f"{design.luck:g}" + (", shared" if design.shared else "") + (", one constant" if design.deterministic else "")
        rows.append(
            [str(design.methods), str(design.runs), luck, *("" if one is None else f"{100 * one:.1f} %" for one in shares)]
        )
    limit = ALPHA + 2 * np.sqrt(ALPHA * (1 - ALPHA) / n)
    users = f"{arguments.users} users" + (" with skewed preferences" if arguments.skewed else "")
    title = f"{n:,} experiments a row, {users}; a right test stays below {100 * limit:.2f} %"
    header = ["methods", "runs", "luck / users' error", "users alone", "runs alone", "both errors", "any verdict"]
    Console(width=150).print(table(title, header, rows))
    print(f"{time.perf_counter() - started:.0f} s")


def experiment(rng: np.random.Generator, design: Design, n_users: int, skewed: bool = False) -> list[Measured]:
    """Methods that are equal in truth, measured on the same users.

    Args:
        skewed: whether the differences of users follow an exponential distribution with the same variance, in place of a
            normal one: then only the first method has preferences of users.
    """
    hit = rng.uniform(size=n_users) < HITS
    level = np.where(hit, rng.beta(2.0, 5.0, n_users), 0.0)
    error = LIKING * float(np.sqrt(HITS / n_users))  # of the mean over users, because users prefer different methods
    size = design.luck * error * design.runs**0.5
    common = size * rng.standard_normal((design.runs, 1))
    methods = list[Measured]()
    for label in range(design.methods):
        liking = LIKING * (_skewed(rng, n_users, label == 0) if skewed else rng.standard_normal(n_users))
        noise = NOISE * rng.standard_normal((design.runs, n_users))
        luck = common if design.shared else size * rng.standard_normal((design.runs, 1))
        is_constant = design.deterministic and label == design.methods - 1
        if is_constant:
            noise, luck = np.zeros((1, n_users)), np.zeros((1, 1))
        values = np.where(hit, level + liking + noise, 0.0) + luck
        methods.append(Measured(str(label), values.mean(0), [values.mean(1)], is_deterministic=is_constant))
    return methods


def _skewed(rng: np.random.Generator, n_users: int, is_first: bool) -> Floats:
    """Preferences with mean 0; those of the first method have twice the variance, and the others have none."""
    return 2**0.5 * (rng.exponential(size=n_users) - 1.0) if is_first else np.zeros(n_users)


def _rejected(comparisons: list[Comparison], unit: str) -> float:
    """How often one kind of evidence alone would report a difference."""
    return float(np.mean([getattr(one, unit).p <= ALPHA for one in comparisons]))


if __name__ == "__main__":
    main()
