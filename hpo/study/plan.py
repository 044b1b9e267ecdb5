"""The plans of a study: the keys `search` and `confirm` of a study file."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, field_validator

from hpo.runtime.text import counted
from hpo.study.names import MAX_SEARCHES
from trainers.errors import InputError, unknown
from trainers.losses import LOSSES
from trainers.text import shown
from trainers.validation import SETTINGS, Count, Real, Switch, Whole

FROZEN = SETTINGS | {"frozen": True}

# The version of the rule for the number of users that a trial is evaluated on before its last epoch. It is part of a study's
# definition: raise it with every change of the rule's result.
SAMPLE_RULE = 2
FEWEST_USERS = 1000  # in a sample, or all users if there are fewer
SHARE = 0.25  # an evaluation may cost at most this share of the training between two evaluations
# Evaluation computes scores this many times faster than training. MML on Yelp2018, numba, two cores: 31,668 users x 38,048
# items in 1.13 s, 1.1 million pairs x 101 in 1.25 s. Most losses and engines train more slowly: evaluation costs them less.
CHEAPER = 12

WARMUP = 0.3  # share of a trial's epochs

MAX_MEMORY = 4.0  # GB that a baseline of a confirmation may take; EASE on all items of Yelp2018 needs 6
LEAST_MEMORY = 0.1  # GB; enough for EASE on some thousand items
MIN_TEST_USERS = 30  # for a verdict: the bootstrap of fewer users says too little about others
MAX_SEEDS = 100  # so that the seeds of search, validation stage and test stage differ: see hpo.confirmation.stages
SEEDS_OF_A_SEARCH = 1000  # confirm counts seeds on from the search's seed; the seed of the next repeat is beyond all of them
MAX_SEARCH_SEED = 2**32 - 1  # of Optuna's samplers, which also the last repeat must not exceed
Seed = Annotated[Whole, Field(ge=0, le=MAX_SEARCH_SEED)]
Seeds = Annotated[Count, Field(le=MAX_SEEDS)]
NotNegative = Annotated[Whole, Field(ge=0)]


class SamplerSpec(BaseModel):
    """The sampler, which proposes configs.

    Attributes:
        name: `tpe` also learns from pruned trials; `gp` does not; `random` and `qmc` do not learn.
        n_startup_trials: random trials before the sampler learns, for the names `tpe` and `gp`.
    """

    model_config = FROZEN
    name: Literal["tpe", "gp", "random", "qmc"] = "tpe"
    n_startup_trials: NotNegative = 20

    @property
    def without_effect(self) -> tuple[str, ...]:
        """The keys without effect."""
        return () if self.name in ("tpe", "gp") else ("n_startup_trials",)

    @property
    def learns_from_complete(self) -> bool:
        """Whether it learns from complete trials only, and not from pruned ones."""
        return self.name == "gp"

    def never_learns(self, trials: int, starts: int) -> bool:
        """Whether a search of `trials` trials, of which `starts` are starts, ends before the sampler has learned.

        Args:
            trials: those that it learns from, and starts.
        """
        return self.name in ("tpe", "gp") and trials <= self.n_startup_trials + starts


class PrunerSpec(BaseModel):
    """The pruner, which ends a trial whose best value so far is below the median (or percentile) of other trials.

    Attributes:
        name: `median`, `percentile` or `none`.
        n_startup_trials: complete trials, not counting the starts, before any trial is pruned.
        n_warmup_steps: epochs before a trial can be pruned; by default 30 % of its epochs (reason: benchmarks/RESULTS.md).
        interval_steps: epochs between two checks of a trial.
        n_min_trials: number of values at an epoch that pruning needs.
        percentile: the best trials that survive, in percent, for the name `percentile`.
    """

    model_config = FROZEN
    name: Literal["median", "percentile", "none"] = "median"
    n_startup_trials: NotNegative = 5
    n_warmup_steps: NotNegative | None = None
    interval_steps: Count = 4
    n_min_trials: Count = 1
    percentile: Annotated[Real, Field(gt=0.0, lt=100.0)] = 75.0

    @property
    def without_effect(self) -> tuple[str, ...]:
        """The keys without effect. With `none` it is plain that nothing has one."""
        return ("percentile",) if self.name == "median" else ()

    def warmup(self, epochs: int) -> int:
        """The epochs before a trial of `epochs` epochs can be pruned."""
        return math.ceil(WARMUP * epochs) if self.n_warmup_steps is None else self.n_warmup_steps

    def looks(self, epochs: int) -> range:
        """The epochs at which it may prune a trial of `epochs` epochs, as in Optuna: the last one of the warm-up, and every
        `interval_steps` epochs from there, without the last epoch of the trial.
        """
        first = self.warmup(epochs) or self.interval_steps
        return range(0) if self.name == "none" else range(first, epochs, self.interval_steps)


class ConfirmPlan(BaseModel):
    """How the winner is chosen on validation (top x select_seeds runs) and measured on test (seeds runs), at full epochs.

    Attributes:
        top: number of the best trials that are retrained and measured on the validation split.
        select_seeds: seeds of each of these configs on the validation split.
        seeds: seeds of each method on the test split.
        searches: number of searches with different seeds, for the study and for each tuned rival. With one search the verdict
            is about configs, with three or more it is about methods.
        rival_seeds: fewer seeds, by loss, for rivals that are slow to train, e.g. `{bsl: 1}`; one seed gives no verdict.
        epochs: epochs of each retrained config.
        baseline_trials: settings that are tried of each baseline, the default ones first; by default as many as the search has
            trials, at most 12 for each searched number (EASE 12, RP3beta 36). With 1 the default settings are measured.
        league: whether all losses are compared in one table: the study's with each, and the leader on validation with each.
            Published settings are then a method only for a loss that is not tuned. By default only for `rivals: all`.
    """

    model_config = FROZEN
    top: Count = 5
    select_seeds: Seeds = 3
    seeds: Seeds = 5
    searches: Annotated[Count, Field(le=MAX_SEARCHES)] = 1
    rival_seeds: dict[str, Seeds] = {}
    epochs: Count = 100
    baseline_trials: Count | None = None
    league: Switch | None = None

    @field_validator("rival_seeds")
    @classmethod
    def _known(cls, value: dict[str, int]) -> dict[str, int]:
        for name in value:
            if name not in LOSSES:
                raise ValueError(unknown("loss", name, LOSSES))
        return value


class SearchPlan(BaseModel):
    """How long and how to search.

    Attributes:
        trials: finished trials in total, pruned ones and those of earlier runs included.
        epochs: epochs of a trial.
        seed: seed of the sampler and of the training of every trial, so that trials differ in their settings only. Each
            repeat of the search adds 1000.
        starts: number of configs that are tried after the published one and before the sampler's proposals.
        sampler: the sampler, which proposes configs.
        pruner: the pruner, which ends weak trials.
    """

    model_config = FROZEN
    trials: Count = 200
    epochs: Count = 30
    seed: Seed = 0
    starts: Annotated[NotNegative, Field(le=20)] = 4
    sampler: SamplerSpec = SamplerSpec()
    pruner: PrunerSpec = PrunerSpec()

    def check_effects(self, where: str) -> None:
        """Check that no key has a value without effect other than its default, which stored studies have.

        Raises:
            InputError: a key has.
        """
        for part in ("sampler", "pruner"):
            spec: SamplerSpec | PrunerSpec = getattr(self, part)
            for key in spec.without_effect:
                if (value := getattr(spec, key)) != type(spec).model_fields[key].default:
                    raise InputError(
                        f"{where}: search.{part}.{key}: has no effect with name {spec.name}, got {shown(value)}; remove it, or "
                        f"choose another {part}"
                    )

    @property
    def evaluate_at(self) -> range:
        """The epochs after which a trial is evaluated besides its last one: those at which it may be pruned."""
        return self.pruner.looks(self.epochs)

    @property
    def evaluation(self) -> dict[str, Any]:
        """How trials are evaluated, as plain data for the study's definition."""
        looks = self.evaluate_at
        return {"first": looks.start, "interval": looks.step, "sample": SAMPLE_RULE} if looks else {}

    def sample_size(self, n_users: int, n_items: int, n_pairs: int, compared: int) -> int:
        """The number of validation users that a trial is evaluated on before its last epoch.

        It depends on counts only, so it is the same on every machine.

        Args:
            n_users: users with held-out pairs.
            n_pairs: training pairs in an epoch.
            compared: vectors that each pair is compared with besides its own, see `Negatives.compared_per_row`.
        """
        if not self.evaluate_at:
            return n_users
        epochs = min(self.evaluate_at.start, self.evaluate_at.step)
        affordable = int(SHARE * CHEAPER * epochs * n_pairs * (compared + 1)) // n_items
        return min(n_users, max(FEWEST_USERS, affordable))

    def never_prunes(self, starts: int) -> str:
        """Why the pruner will end no trial of this search with `starts` starts; empty if it may, or if there is no
        pruner."""
        pruner = self.pruner
        if pruner.name == "none":
            return ""
        if not self.evaluate_at:
            name, first = ("n_warmup_steps" if pruner.warmup(self.epochs) else "interval_steps"), self.evaluate_at.start
            return (
                f"search.pruner.{name} is {first}, and a trial has {counted(self.epochs, 'epoch')}; lower it to allow pruning"
            )
        if self.trials <= pruner.n_startup_trials + starts:
            after = f" after {counted(starts, 'start')}" if starts else ""
            return f"the pruner waits for {counted(pruner.n_startup_trials, 'trial')}{after}, and the search has {self.trials}"
        if self.trials <= pruner.n_min_trials:
            return f"the pruner waits for {counted(pruner.n_min_trials, 'trial')}, and the search has {self.trials}"
        return ""
