"""The passes of a step that use or change thresholds. All functions are inlined into the kernel of `kernel.py`.

One task changes a user's threshold. It goes over the user's rows in batch order, so the numbers do not depend on the number of
threads.
"""

# mypy: disable-error-code="no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from trainers.engines.lazy_adam import BETAS, EPSILON
from trainers.engines.numba_engine.batch import SCORE_BLOCK, UPDATE_BLOCK
from trainers.engines.numba_engine.intrinsics import dot, inlined
from trainers.engines.numba_engine.step_passes import ROW_PREFETCH, sort_dense
from trainers.engines.numba_engine.table import BETA_2, GAIN_1, GAIN_2, INVERSE_NORM, prefetch_score
from trainers.engines.numba_engine.thresholds.row_functions import threshold_row
from trainers.engines.row_losses import TALOS, TALOS_K, TALOS_N_ITEMS

CONSTANT, RENEWED, BY_DESCENT, BY_ADAM = range(4)  # how thresholds change in an epoch
ADAM_BLOCK = 4096  # thresholds that one task updates


class UserThresholds(NamedTuple):
    """The thresholds and what their changes need. Arrays are float32 unless noted.

    Attributes:
        values: (n_users,).
        change: how the thresholds of a step's users change, one of the numbers above.
        needs_seen: whether the change needs the scores of all items that a user has seen.
        indptr, seen: int64 (n_users + 1,) and int32; user u has seen `seen[indptr[u]:indptr[u + 1]]`.
        work_items: int32 (n_items + 1,), the distinct items that the users of a step have seen.
        rate: the learning rate of thresholds.
        gradients: (n_users,), for Adam: the gradients of a step's users, and 0 for others; 0 between steps.
        means, squares: (n_users,), Adam's moments.
        best: (tasks, k), the highest scores of the user that a task looks at; k is at most the number of a user's scores.
    """

    values: NDArray[np.float32]
    change: int
    needs_seen: bool
    indptr: NDArray[np.int64]
    seen: NDArray[np.int32]
    work_items: NDArray[np.int32]
    rate: float
    gradients: NDArray[np.float32]
    means: NDArray[np.float32]
    squares: NDArray[np.float32]
    best: NDArray[np.float32]


@inlined
def distinct_seen(thresholds, batch, n_users, head):
    """Write the distinct items that the batch's users have seen to `work_items`; returns their number."""
    n = 0
    for i in range(n_users):
        user = batch.work_users[i]
        for e in range(thresholds.indptr[user], thresholds.indptr[user + 1]):
            item = thresholds.seen[e]
            if head[item] < 0:
                head[item] = 0
                thresholds.work_items[n] = item
                n += 1
    sort_dense(head, thresholds.work_items, n)
    for i in range(n):
        head[thresholds.work_items[i]] = -1
    return n


@inlined
def threshold_gradients(thresholds, batch, block, size, arguments, loss_weight):
    """The losses and score gradients of a block of the batch."""
    for b in range(block * SCORE_BLOCK, min(size, (block + 1) * SCORE_BLOCK)):
        n = batch.n_passed[b]
        threshold, positive = thresholds.values[batch.users[b]], batch.scores[b, n]
        batch.losses[b], batch.score_gradients[b, n] = threshold_row(
            arguments.kind, arguments.settings, threshold, positive, batch.scores, b, n, batch.score_gradients
        )
        for j in range(n + 1):
            batch.score_gradients[b, j] *= loss_weight


@inlined
def change_thresholds(thresholds, batch, block, n_users, users, items, arguments, loss_weight, width):
    """Change the thresholds of a block of the batch's users. For Adam this writes only the gradients."""
    for i in range(block * UPDATE_BLOCK, min(n_users, (block + 1) * UPDATE_BLOCK)):
        user = batch.work_users[i]
        first = users.head[user]
        if thresholds.change == RENEWED:
            thresholds.values[user] = _kth_best(thresholds, batch, first, block, items, arguments.n_negatives, width)
            continue
        gradient = np.float32(_gradient(thresholds, batch, first, items, arguments, loss_weight, width))
        if thresholds.change == BY_DESCENT:
            thresholds.values[user] -= np.float32(thresholds.rate) * gradient
        else:
            thresholds.gradients[user] = gradient


@inlined
def _gradient(thresholds, batch, first, items, arguments, loss_weight, width):
    """The gradient of a user's threshold, float64: the sum over the user's rows, from row `first` on."""
    total: Any = 0.0
    seen: Any = 0.0
    b = first
    while b >= 0:
        if arguments.kind == TALOS:
            if b == first or arguments.dropout_threshold > np.uint64(0):  # else all rows of a user have the same vector
                seen = _slope_of_seen(thresholds, batch, b, items, arguments.settings, width)
            total += _talos_gradient(thresholds, batch, b, arguments, seen)
        else:  # drrl: that of its own formula
            total += 1.0
            for j in range(arguments.n_negatives):
                total -= batch.score_gradients[b, j] / loss_weight
        b = batch.next_user[b]
    return total


@inlined
def _level(settings):
    """The level of the quantile that Talos estimates."""
    return 1.0 - min(1.0, float(settings[TALOS_K]) / float(settings[TALOS_N_ITEMS]))


@inlined
def _slope(score, threshold, level):
    """The derivative of the pinball loss of score - threshold with respect to the threshold."""
    if score > threshold:
        return -level
    return 1.0 - level if score < threshold else 0.0


@inlined
def _slope_of_seen(thresholds, batch, b, items, settings, width):
    """The sum of `_slope` over all items that the user of row b has seen."""
    user, level = batch.users[b], _level(settings)
    first, last = thresholds.indptr[user], thresholds.indptr[user + 1]
    total: Any = 0.0
    for e in range(first, last):
        if e + ROW_PREFETCH < last:
            prefetch_score(items, thresholds.seen[e + ROW_PREFETCH], width)
        total += _slope(_score(batch, b, items, thresholds.seen[e], width), thresholds.values[user], level)
    return total


@inlined
def _talos_gradient(thresholds, batch, b, arguments, seen):
    """The gradient of a row's objective: each negative stands for several unseen items. `seen` is `_slope_of_seen`."""
    user, level, n_items = batch.users[b], _level(arguments.settings), float(arguments.settings[TALOS_N_ITEMS])
    share = (n_items - float(thresholds.indptr[user + 1] - thresholds.indptr[user])) / float(arguments.n_negatives)
    drawn: Any = 0.0
    for j in range(arguments.n_negatives):
        drawn += _slope(batch.scores[b, j], thresholds.values[user], level)
    return (seen + share * drawn) / n_items


@inlined
def adam_block(thresholds, block, step):
    """Step number `step` (from 1) of Adam for a block of all thresholds: those of users without a row move on, too."""
    step_size = np.float32(thresholds.rate / (1.0 - BETAS[0] ** step))
    root_factor = np.float32(1.0 / np.sqrt(1.0 - BETAS[1] ** step))
    for user in range(block * ADAM_BLOCK, min(thresholds.values.size, (block + 1) * ADAM_BLOCK)):
        gradient = thresholds.gradients[user]
        thresholds.gradients[user] = np.float32(0.0)
        mean = thresholds.means[user] + GAIN_1 * (gradient - thresholds.means[user])
        square = BETA_2 * thresholds.squares[user] + GAIN_2 * gradient * gradient
        thresholds.means[user], thresholds.squares[user] = mean, square
        thresholds.values[user] -= step_size * mean / (np.sqrt(square) * root_factor + np.float32(EPSILON))


@inlined
def _kth_best(thresholds, batch, b, block, items, count, width):
    """The k-th highest of the scores of row b's negatives and of all items that its user has seen, or the lowest score if there
    are fewer.
    """
    user, n = batch.users[b], 0
    first, last = thresholds.indptr[user], thresholds.indptr[user + 1]
    for e in range(first, min(first + ROW_PREFETCH, last)):
        prefetch_score(items, thresholds.seen[e], width)
    for e in range(first, last):
        if e + ROW_PREFETCH < last:
            prefetch_score(items, thresholds.seen[e + ROW_PREFETCH], width)
        n = _keep_best(thresholds.best, block, n, _score(batch, b, items, thresholds.seen[e], width))
    for j in range(count):
        n = _keep_best(thresholds.best, block, n, batch.scores[b, j])
    return thresholds.best[block, n - 1]  # n > 0: without a finite score the step has ended


@inlined
def _score(batch, b, items, item, width):
    """The score of a flushed item for row b."""
    return dot(batch.vectors, b, items.rows, item, width) * items.scale[item, INVERSE_NORM]


@inlined
def _keep_best(best, block, n, score):
    """Put a score into the list `best[block, :n]`, which is in descending order, if the list has room or ends in a lower score;
    returns the new n. Scores that are not finite are left out.
    """
    if not np.isfinite(score) or (n == best.shape[1] and score <= best[block, n - 1]):
        return n
    place = min(n, best.shape[1] - 1)
    n = place + 1
    while place > 0 and best[block, place - 1] < score:
        best[block, place] = best[block, place - 1]
        place -= 1
    best[block, place] = score
    return n
