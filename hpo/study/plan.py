"""How a study is searched: the key `search` of a study file."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field

from hpo.runtime.text import counted
from trainers.config import MAX_SEED
from trainers.validation import SETTINGS, Count, Real, Whole

FROZEN = SETTINGS | {"frozen": True}

# How many users a trial is evaluated on before its last epoch. The number of the rule belongs to a study's identity: raise it
# with every change of what follows from the same counts.
SAMPLE_RULE = 1
FEWEST_USERS = 1000  # in a sample, or all of them if there are fewer
SHARE = 0.25  # of the training between two evaluations, which one of them may cost at most
# Scores that an evaluation computes while training computes one: MML on Yelp2018, numba, two cores; 31,668 users x 38,048 items
# in 1.13 s, 1.1 million pairs x 101 in 1.25 s. Most losses and engines train more slowly: there an evaluation costs less.
CHEAPER = 12

WARMUP = 0.3  # of a trial's epochs

SEEDS_OF_A_SEARCH = 1000  # confirm counts on from the search's seed; that of the next repeat is past all of those
Seed = Annotated[Whole, Field(ge=0, le=MAX_SEED - SEEDS_OF_A_SEARCH)]
NotNegative = Annotated[Whole, Field(ge=0)]


class SamplerSpec(BaseModel):
    """Who proposes.

    Attributes:
        name: `tpe` learns from pruned trials, too; `gp` does not; `random` and `qmc` are controls.
        n_startup_trials: random trials before the sampler learns.
    """

    model_config = FROZEN
    name: Literal["tpe", "gp", "random", "qmc"] = "tpe"
    n_startup_trials: NotNegative = 20

    def never_learns(self, trials: int, queued: int) -> bool:
        """Whether a search of so many trials ends before the sampler has those that it learns from; queued ones are not."""
        return self.name in ("tpe", "gp") and trials <= self.n_startup_trials + queued


class PrunerSpec(BaseModel):
    """Who stops a trial: one whose best value so far is below the median (or percentile) of finished trials at that epoch.

    Attributes:
        name: `median`, `percentile` or `none`.
        n_startup_trials: complete trials, beside the starts, before anything is pruned.
        n_warmup_steps: epochs that every trial may train; without it 30 % of a trial's (benchmarks/RESULTS.md has why).
        interval_steps: epochs between two looks at a trial.
        n_min_trials: values needed at an epoch before it counts.
        percentile: the best share that survives, for name percentile.
    """

    model_config = FROZEN
    name: Literal["median", "percentile", "none"] = "median"
    n_startup_trials: NotNegative = 5
    n_warmup_steps: NotNegative | None = None
    interval_steps: Count = 4
    n_min_trials: Count = 1
    percentile: Annotated[Real, Field(gt=0.0, lt=100.0)] = 75.0

    def warmup(self, epochs: int) -> int:
        """Epochs that a trial of so many may train, whatever it reaches."""
        return math.ceil(WARMUP * epochs) if self.n_warmup_steps is None else self.n_warmup_steps

    def looks(self, epochs: int) -> range:
        """The epochs at which it may prune a trial of so many, as Optuna counts them: the last of the warm-up, and every
        interval_steps from there. Epoch 0 is not trained, and the last one ends the trial anyway.
        """
        first = self.warmup(epochs) or self.interval_steps
        return range(0) if self.name == "none" else range(first, epochs, self.interval_steps)


class SearchPlan(BaseModel):
    """How long to search.

    Attributes:
        trials: finished trials in total, pruned ones included; those of earlier runs count.
        epochs: epochs of a trial.
        seed: seed of the sampler. Every trial also trains with it, so that trials differ in their settings alone.
        starts: configs that are tried after the published one and before the sampler's own.
        sampler: who proposes configs.
        pruner: who stops weak trials.
    """

    model_config = FROZEN
    trials: Count = 200
    epochs: Count = 30
    seed: Seed = 0
    starts: Annotated[NotNegative, Field(le=20)] = 4
    sampler: SamplerSpec = SamplerSpec()
    pruner: PrunerSpec = PrunerSpec()

    @property
    def evaluate_at(self) -> range:
        """The epochs before its last one after which a trial is evaluated: those at which it may be pruned."""
        return self.pruner.looks(self.epochs)

    @property
    def evaluation(self) -> dict[str, Any]:
        """How trials are evaluated, as plain data: what a study's identity holds of it."""
        looks = self.evaluate_at
        return {"first": looks.start, "interval": looks.step, "sample": SAMPLE_RULE} if looks else {}

    def sample_size(self, n_users: int, n_items: int, n_pairs: int, negatives: int) -> int:
        """How many of the validation's users a trial is evaluated on before its last epoch. It follows from counts alone, so
        that it is the same wherever and whenever the study is searched.

        Args:
            n_users: with pairs held out.
            n_pairs: trained on in an epoch, each with so many `negatives`.
        """
        if not self.evaluate_at:
            return n_users
        epochs = min(self.evaluate_at.start, self.evaluate_at.step)
        affordable = int(SHARE * CHEAPER * epochs * n_pairs * (negatives + 1)) // n_items
        return min(n_users, max(FEWEST_USERS, affordable))

    def never_prunes(self, queued: int) -> str:
        """Why the pruner will stop no trial of this search, whose first trials are queued; empty where it may, and where there
        is none."""
        pruner = self.pruner
        if pruner.name == "none":
            return ""
        if not self.evaluate_at:
            name, first = ("n_warmup_steps" if pruner.warmup(self.epochs) else "interval_steps"), self.evaluate_at.start
            return f"search.pruner.{name} is {first}, and a trial has {counted(self.epochs, 'epoch')}; lower it to prune"
        if self.trials <= pruner.n_startup_trials + queued:
            after = f" after {counted(queued, 'queued one')}" if queued else ""
            return f"the pruner waits for {counted(pruner.n_startup_trials, 'trial')}{after}, and the search has {self.trials}"
        if self.trials <= pruner.n_min_trials:
            return f"the pruner waits for {counted(pruner.n_min_trials, 'trial')}, and the search has {self.trials}"
        return ""
