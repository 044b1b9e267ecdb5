"""Names of the attributes that trials carry, and what they say of a trial."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState

WORKER = "worker"
PUBLISHED_MARK, NEAREST_MARK = "published", "nearest_to_published"  # marks of queued trials: the config itself, or a stand-in
START_MARK = "start"  # the mark of the other queued trials: what it is
START_MARKS = (PUBLISHED_MARK, NEAREST_MARK, START_MARK)  # of trials that were queued before a sampler proposed any
RETRIES = "retries"
RETRY_OF = "retry_of"  # the number of the trial whose parameters a queued one has
DUPLICATE = "duplicate"  # marks a trial that was queued twice and is not trained
LOST = "lost"  # marks a trial that is ended because its worker is gone, and is queued again
FAILURE = "failure"  # epoch and reason of a trial that failed
WORKER_DIED = "worker died"  # true in a FAILURE that is not the config's
RESUMED_AFTER = "resumed_after"  # epochs of an earlier attempt that a trial has not trained again
SAMPLED = "sampled"  # true once all parameters of a trial are drawn
COPIED_FROM = "copied_from"  # the number of a trial in the study whose ranges were widened
MAX_RETRIES = 3  # of a trial whose workers die without another epoch
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def stands_for_published(trial: FrozenTrial | optuna.Trial) -> bool:
    """Whether a trial is the published config or what is nearest to it: never pruned, always a finalist."""
    return bool({PUBLISHED_MARK, NEAREST_MARK} & trial.user_attrs.keys())
