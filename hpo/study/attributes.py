"""Names of the attributes of trials."""

from __future__ import annotations

import optuna
from optuna.trial import FrozenTrial, TrialState

WORKER = "worker"
PUBLISHED_MARK = "published"  # marks the queued trial of the published config; its value is a label
NEAREST_MARK = "nearest_to_published"  # marks the queued trial that is nearest to the published config
START_MARK = "start"  # marks other queued trials; its value is a label
START_MARKS = (PUBLISHED_MARK, NEAREST_MARK, START_MARK)  # of trials that were queued before the sampler proposed any
RETRIES = "retries"  # how often the trial was retried because its worker died
RETRY_OF = "retry_of"  # the number of the trial that this one retries
DUPLICATE = "duplicate"  # marks a trial that was queued twice and is not trained
LOST = "lost"  # marks a trial that was failed because its worker is gone, and that needs a retry
FAILURE = "failure"  # epoch and reason of a failed trial
WORKER_DIED = "worker died"  # true in a FAILURE that the config did not cause
RESUMED_AFTER = "resumed_after"  # number of epochs that a retry took from the checkpoint of an earlier attempt
SAMPLED = "sampled"  # true once all parameters of a trial are sampled
COPIED_FROM = "copied_from"  # the number of the original trial, in a study with wider ranges
NUMBERS = ("epochs_trained", "train_seconds", "evaluate_seconds")  # of every finished trial besides its metrics
MAX_RETRIES = 3  # retries of a trial whose workers die without a new epoch
# Names that the searched settings of a trial, which are stored beside these attributes, must not have: those of attributes, and
# of other columns in the table of trials.
TAKEN = {*START_MARKS, WORKER, RETRIES, RETRY_OF, DUPLICATE, LOST, FAILURE, RESUMED_AFTER, SAMPLED, COPIED_FROM, *NUMBERS}
TAKEN |= {"number", "state", "value", "datetime_start", "datetime_complete", "duration", "validation_users"}
FINISHED = (TrialState.COMPLETE, TrialState.PRUNED)


def stands_for_published(trial: FrozenTrial | optuna.Trial) -> bool:
    """Whether a trial is the published config or the nearest to it. Such a trial is never pruned and always a finalist."""
    return bool({PUBLISHED_MARK, NEAREST_MARK} & trial.user_attrs.keys())
