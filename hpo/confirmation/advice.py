"""What a sentence advises if seeds or searches are too few, in the flags of the command that says it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from hpo.confirmation.repeats import UNITS, Repeats
from hpo.confirmation.results import Method
from hpo.confirmation.statistics import Comparison


@dataclass(frozen=True)
class PlannedSeeds:
    """How many seeds a method has by the plan, and the labels of rivals that have fewer of their own (`rival_seeds`)."""

    count: int = 0
    limited: frozenset[str] = frozenset()

    @classmethod
    def of(cls, methods: Sequence[Method]) -> PlannedSeeds:
        """Those of a confirmation; its first method is never limited."""
        counts = {method.label: len(method.seeds[0]) for method in methods}
        planned = next(iter(counts.values()), 0)
        return cls(planned, frozenset(label for label, count in counts.items() if count < planned))

    def flags(self, labels: Sequence[str], count: int, command: Command) -> str:
        """How to ask for `count` seeds of the methods with these labels."""
        limited = [label for label in labels if label in self.limited]
        asked = [command.more["seed"]] if len(limited) < len(labels) or count > self.count else []
        return " ".join([*asked, *([command.own] if limited else [])]).format(count=count)


ALL_ALIKE = PlannedSeeds()


@dataclass(frozen=True)
class Command:
    """How a command words its remedies.

    Attributes:
        family: what Holm's correction covers, in the singular and the plural.
        one_seed: the remedy if a method has one seed; `{flags}` ask for three.
        more: how to ask for `{count}` seeds or searches, by `seed` and `search`.
        own: how to ask for `{count}` seeds of a rival that has its own number of them.
    """

    family: tuple[str, str]
    one_seed: str
    more: dict[str, str]
    own: str = ""


CONFIRM = Command(
    ("rival", "rivals"),
    "confirm with 3 seeds or more ({flags})",
    {"seed": "--confirm-seeds {count}", "search": "--searches {count}"},
    "--rival-seeds LOSS={count}",
)
LEAGUE = replace(CONFIRM, family=("pair named beforehand", "pairs named beforehand"))
BASELINES = replace(CONFIRM, family=("baseline", "baselines"))
PAIRS_WITH_BASELINES = replace(CONFIRM, family=("pair with a baseline", "pairs with baselines"))
COMPARE = Command(
    ("comparison", "comparisons"),
    "give files of two or more seeds, NAME=SEED1.csv,SEED2.csv; a method without randomness needs one: --deterministic NAME",
    {"seed": "NAME=SEED1.csv,...,SEED{count}.csv", "search": "confirm the study with --searches {count}"},
)
COMPARE_STUDIES = replace(
    COMPARE,
    one_seed="confirm the study with --confirm-seeds 3 or more",
    more={**COMPARE.more, "seed": "confirm the study with --confirm-seeds {count}"},
)


def too_few(comparison: Comparison, repeats: Repeats, command: Command = CONFIRM, seeds: PlannedSeeds = ALL_ALIKE) -> str:
    """That seeds or searches were too few for a verdict, and how many would do."""
    if repeats.enough is None:
        helps = ["more test users"] if repeats.more_users else []
        helps += [f"as many searches and more seeds of {repeats.other}"] if repeats.other else []
        units = f"{repeats.most} {repeats.units} of {repeats.only or 'each method'}"
        might = f"; {', or '.join(helps)}, might" if len(helps) > 1 else f"; {helps[0]} might" if helps else ""
        return f"even {units} would not be enough to settle this difference{might}"
    labels = [repeats.only] if repeats.only else [comparison.ours, comparison.rival]
    if repeats.needed == "seed":
        more = seeds.flags(labels, repeats.enough, command)
    else:  # not fewer than any method has
        at_hand = (count for count, kind in zip(repeats.counts, repeats.kinds, strict=True) if kind == "search")
        more = command.more["search"].format(count=max(repeats.enough, *at_hand))
    are = "is" if repeats.counts == (1, 1) else "are"
    units = f" {UNITS[repeats.needed]}" if repeats.needed != repeats.unit else ""
    needed = f"a difference as large as this one needs about {repeats.enough}{units} of {repeats.only or 'each'} ({more})"
    return f"{repeats.said()} {are} too few: {needed}"
