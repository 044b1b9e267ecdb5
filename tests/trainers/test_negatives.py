"""Samplers against their distributions, by counting, and against draws by hand."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy import stats

from trainers import InputError, Interactions, TrainConfig, train
from trainers.negatives import NEGATIVES, NoNegatives, ScoredStep, Unseen
from trainers.negatives.adaptive import TwoStageSampler
from trainers.rng import Purpose

from ..loss_cases import LOSS_CASES

N_USERS, N_ITEMS, DIM = 6, 30, 5


@pytest.fixture
def seen() -> Interactions:
    """Items have very different popularity, and item 29 has no user. User 0 has seen 25 items, and user 5 all but 3."""
    pairs = [(user, item) for user in range(5) for item in range(29) if item * (user + 1) % 29 < 25 - 5 * user]
    pairs += [(5, item) for item in range(N_ITEMS - 3)]
    users, items = np.array(pairs).T
    return Interactions.from_pairs(users, items, N_USERS, N_ITEMS)


VECTORS = torch.nn.functional.normalize(torch.tensor(np.random.default_rng(2).normal(size=(N_ITEMS, DIM)), dtype=torch.float32))
USERS = torch.nn.functional.normalize(torch.tensor(np.random.default_rng(3).normal(size=(N_USERS, DIM)), dtype=torch.float32))


def step_of(seen: Interactions, rows: NDArray[np.int64], epoch: int = 0, number: int = 0, seed: int = 4) -> ScoredStep:
    """A step with the pairs of the given numbers, at rows of the same numbers."""
    users, items = seen.users[rows % len(seen)], seen.items[rows % len(seen)]
    vectors = USERS[users], VECTORS[items], lambda ids: VECTORS[ids]
    return ScoredStep(seed, epoch, number, rows, users, items, VECTORS.numpy, *vectors)


def draw(seen: Interactions, settings: dict[str, Any], rows: NDArray[np.int64], **step: int) -> NDArray[np.int64]:
    config = TrainConfig.from_dict({"loss": {"name": "bpr"}, "negatives": settings})
    return config.negatives.sampler(seen).draw(step_of(seen, rows, **step))


def agrees(drawn: NDArray[np.int64], weights: NDArray[np.float64]) -> bool:
    """A chi-squared test at a level of .001. Items without a weight must not occur."""
    counts = np.bincount(drawn.ravel(), minlength=len(weights))
    possible = weights > 0
    expected = counts.sum() * weights[possible] / weights.sum()
    return counts[~possible].sum() == 0 and stats.chisquare(counts[possible], expected).pvalue > 1e-3


ALL = {
    "uniform": {"name": "uniform", "count": 7},
    "unseen": {"name": "unseen", "count": 7},
    "popularity": {"name": "popularity", "count": 7, "beta": 0.5},
    "in_batch": {"name": "in_batch"},
    "hard": {"name": "hard", "count": 3, "pool": 4},
    "two_stage": {"name": "two_stage", "count": 3, "candidates": 10},
}


def test_every_sampler_is_tested() -> None:
    assert {*ALL, "none"} == set(NEGATIVES)


def test_none_are_none(seen: Interactions) -> None:
    step, sampler = step_of(seen, np.arange(8)), NoNegatives().sampler(seen)
    assert sampler.draw(step).shape == sampler.scores(step).shape == (8, 0)


@pytest.mark.parametrize("name", ALL)
def test_negatives_have_the_right_shape_and_range(seen: Interactions, name: str) -> None:
    drawn = draw(seen, ALL[name], np.arange(8))
    assert drawn.shape == (8, 7 if name == "in_batch" else ALL[name]["count"])
    assert drawn.dtype == np.int64
    assert drawn.min() >= 0
    assert drawn.max() < N_ITEMS


@pytest.mark.parametrize("name", sorted(set(ALL) - {"in_batch", "two_stage"}))
def test_the_negatives_of_a_row_do_not_depend_on_its_batch(seen: Interactions, name: str) -> None:
    together, alone = draw(seen, ALL[name], np.arange(8)), [draw(seen, ALL[name], np.array([row])) for row in range(8)]
    assert np.array_equal(together, np.concatenate(alone))


@pytest.mark.parametrize("name", sorted(set(ALL) - {"in_batch"}))
def test_negatives_depend_on_seed_epoch_and_row(seen: Interactions, name: str) -> None:
    rows = np.arange(20)
    first = draw(seen, ALL[name], rows)
    assert np.array_equal(first, draw(seen, ALL[name], rows))
    for other in (draw(seen, ALL[name], rows, epoch=1), draw(seen, ALL[name], rows, seed=5), draw(seen, ALL[name], rows + 100)):
        assert not np.array_equal(first, other)


@pytest.mark.parametrize("name", ALL)
def test_scores_belong_to_the_drawn_items(seen: Interactions, name: str) -> None:
    config = TrainConfig.from_dict({"loss": {"name": "bpr"}, "negatives": ALL[name]})
    step = step_of(seen, np.arange(9))
    scores = config.negatives.sampler(seen).scores(step)
    drawn = config.negatives.sampler(seen).draw(step)
    expected = (step.user_vectors[:, None] * VECTORS[drawn]).sum(-1)
    torch.testing.assert_close(scores, expected)


def _rows_of(table: torch.Tensor, ids: NDArray[np.int64]) -> torch.Tensor:
    return table[torch.from_numpy(ids)]


def test_many_negatives_of_few_items_have_the_same_scores_and_gradients(seen: Interactions) -> None:
    """Of 2 negatives for each item one matrix product gives the scores."""
    found, rows = [], np.arange(9)
    sampler = Unseen(count=300).sampler(seen)
    for whole in (True, False):
        users, items = USERS[seen.users[rows]].clone().requires_grad_(), VECTORS.clone().requires_grad_()
        step = replace(step_of(seen, rows), user_vectors=users, item_vectors=partial(_rows_of, items))
        scores = sampler.scores(step) if whole else step.scores(sampler.draw(step))
        (scores * torch.linspace(-1.0, 2.0, scores.numel()).view(scores.shape)).sum().backward()
        found.append((scores, users.grad, items.grad))
    for one, other in zip(*found, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_uniform_draws_all_items_equally_often(seen: Interactions) -> None:
    assert agrees(draw(seen, {"name": "uniform", "count": 50}, np.arange(400)), np.ones(N_ITEMS))


def test_unseen_draws_the_unseen_items_of_a_user_equally_often(seen: Interactions) -> None:
    rows = np.arange(len(seen))
    drawn = draw(seen, {"name": "unseen", "count": 60}, rows)
    for user in range(N_USERS):
        unseen = np.ones(N_ITEMS)
        unseen[seen.items[seen.users == user]] = 0.0
        assert agrees(drawn[seen.users == user], unseen), f"user {user}"


@pytest.mark.parametrize("beta", [0.0, 0.5, 1.0, 2.0])
def test_popularity_draws_items_by_their_weight(seen: Interactions, beta: float) -> None:
    drawn = draw(seen, {"name": "popularity", "count": 50, "beta": beta}, np.arange(400))
    counts = seen.per_item.astype(float)
    assert agrees(drawn, np.where(counts > 0, counts**beta, 0.0))


def test_in_batch_has_the_other_positives_in_order(seen: Interactions) -> None:
    step = step_of(seen, np.array([3, 40, 7]))
    a, b, c = step.items
    config = TrainConfig.from_dict({"loss": {"name": "ssm", "temperature": 0.1}, "negatives": {"name": "in_batch"}})
    assert config.negatives.sampler(seen).draw(step).tolist() == [[b, c], [a, c], [a, b]]


def test_hard_takes_the_best_of_its_pool(seen: Interactions) -> None:
    rows = np.arange(30)
    pools = draw(seen, {"name": "uniform", "count": 12}, rows).reshape(30, 3, 4)
    scores = (USERS[seen.users[rows]] @ VECTORS.T).numpy()
    own = [set(seen.items[seen.users == seen.users[row]].tolist()) for row in rows]
    assert any(own[row] & set(pool.tolist()) for row in rows for pool in pools[row]), "some pools have items of the user"

    def best(row: int, pool: list[int]) -> int:
        unseen = [item for item in pool if item not in own[row]]
        return max(unseen, key=lambda item: float(scores[row, item])) if unseen else pool[0]

    drawn = draw(seen, ALL["hard"], rows)
    assert drawn.tolist() == [[best(row, pool) for pool in pools[row].tolist()] for row in rows]


class TestTwoStage:
    def sampler(self, seen: Interactions, **settings: Any) -> TwoStageSampler:
        config = TrainConfig.from_dict({"loss": {"name": "bpr"}, "negatives": {"name": "two_stage", **settings}})
        sampler = config.negatives.sampler(seen)
        assert isinstance(sampler, TwoStageSampler)
        return sampler

    def test_candidates_are_distinct_and_popular_items_are_more_frequent(self, seen: Interactions) -> None:
        sampler = self.sampler(seen, candidates=6)
        found = [sampler._candidates(step_of(seen, np.arange(3), number=number)) for number in range(2000)]
        assert all(len(set(one.tolist())) == 6 for one in found)
        counts = np.bincount(np.concatenate(found), minlength=N_ITEMS)
        assert counts[29] == 0, "no user has seen item 29"
        order = np.argsort(seen.per_item[:29], kind="stable")
        assert stats.spearmanr(counts[order], seen.per_item[order]).statistic > 0.9

    def test_one_candidate_is_drawn_by_popularity(self, seen: Interactions) -> None:
        sampler = self.sampler(seen, candidates=1, beta=2.0)
        found = [sampler._candidates(step_of(seen, np.arange(3), number=number))[0] for number in range(4000)]
        assert agrees(np.array(found), seen.per_item.astype(float) ** 2)

    def test_weights_agree_with_values_by_hand(self, seen: Interactions) -> None:
        """The weight is 1 / q(z). z^2 = .25 with d = 5 gives .75^-1 for z > 0, and 0 for z <= 0."""
        sampler = self.sampler(seen, candidates=3)
        sampler.vectors = np.zeros((N_ITEMS, DIM), np.float32)
        for item, z in ((0, 1.0), (1, 0.5), (2, -0.5), (3, 0.8)):
            sampler.vectors[item, :2] = z, np.sqrt(1 - z * z)
        step = step_of(seen, np.array([0]))
        assert step.items[0] == 0
        one, none, high = sampler._weights(step, np.array([1, 2, 3]))[0]
        assert none == 0.0
        assert high / one == pytest.approx(0.75 / 0.36, rel=1e-5)

    def test_if_no_candidate_is_near_all_have_the_same_weight(self, seen: Interactions) -> None:
        sampler = self.sampler(seen, candidates=3)
        sampler.vectors = np.zeros((N_ITEMS, DIM), np.float32)
        assert sampler._weights(step_of(seen, np.array([0])), np.array([1, 2, 3]))[0].tolist() == [1.0, 1.0, 1.0]

    def test_a_rows_own_positive_has_no_weight(self, seen: Interactions) -> None:
        """Not even if no candidate is near, unless it is the only candidate."""
        sampler = self.sampler(seen, candidates=3)
        sampler.vectors = np.zeros((N_ITEMS, DIM), np.float32)
        step = step_of(seen, np.array([0]))
        assert sampler._weights(step, np.array([step.items[0], 11, 12]))[0].tolist() == [0.0, 1.0, 1.0]
        assert sampler._weights(step, step.items[:1])[0].tolist() == [1.0]

    def test_threads_do_not_change_the_weights(self, seen: Interactions) -> None:
        """The sums of long vectors have another order on two threads if torch multiplies the matrices at once."""
        sampler, before = self.sampler(seen, candidates=3), torch.get_num_threads()
        generator = np.random.default_rng(3)
        vectors = generator.normal(size=(2000, 1024)).astype(np.float32)
        sampler.vectors = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        step = replace(step_of(seen, np.arange(64) % len(seen)), items=generator.integers(0, 2000, 64))
        found = []
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            found.append(sampler._weights(step, np.arange(2000)).tobytes())
        torch.set_num_threads(before)
        assert len(set(found)) == 1

    def test_seen_items_are_drawn_again(self, seen: Interactions) -> None:
        """User 1 has seen 20 of 27 candidates. A draw is a seen item in 3 of 4 cases, and ten draws are in 1 of 20 cases."""
        rows = np.flatnonzero(seen.users == 1)
        drawn = draw(seen, {"name": "two_stage", "count": 20, "candidates": 27}, rows)
        own = seen.contains(np.broadcast_to(seen.users[rows][:, None], drawn.shape), drawn)
        assert own.mean() < 0.3

    def test_vectors_are_copied_at_intervals(self, seen: Interactions) -> None:
        sampler = self.sampler(seen, candidates=5, refresh=3)
        asked: list[int] = []

        def directions(number: int) -> Callable[[], NDArray[np.float32]]:
            def look() -> NDArray[np.float32]:
                asked.append(number)
                return VECTORS.numpy()

            return look

        for number in range(7):
            one = step_of(seen, np.arange(4), number=number)
            sampler.draw(replace(one, directions=directions(number)))
        assert asked == [0, 3, 6]

    def test_candidates_and_draws_have_separate_streams(self, seen: Interactions) -> None:
        step = step_of(seen, np.arange(3))
        assert len({step.stream(), step.stream(Purpose.CANDIDATES, 0), step.stream(Purpose.NEGATIVES, 0)}) == 3


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"name": "in_batch", "count": 5}, ["negatives", "in_batch uses the batch's other positives", "leave count out"]),
        ({"name": "popularity", "beta": -1.0}, ["negatives.beta", "greater than or equal to 0", "-1.0"]),
        ({"name": "hard", "pool": 0}, ["negatives.pool", "greater than or equal to 1"]),
        ({"name": "two_stage", "candidates": 0}, ["negatives.candidates", "greater than or equal to 1"]),
        ({"name": "populr"}, ["unknown negatives 'populr'", "did you mean 'popularity'"]),
    ],
)
def test_bad_settings_are_refused(settings: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InputError) as caught:
        TrainConfig.from_dict({"loss": {"name": "bpr"}, "negatives": settings})
    assert all(word in str(caught.value) for word in words), str(caught.value)


def test_in_batch_needs_a_batch() -> None:
    with pytest.raises(InputError, match="batch_size must be at least 2, got 1"):
        TrainConfig.from_dict({"loss": {"name": "bpr"}, "negatives": {"name": "in_batch"}, "batch_size": 1})


def test_data_without_items_to_draw_are_refused() -> None:
    """`check` refuses them before a sampler is made, and the sampler refuses them, too."""
    everything = Interactions.from_pairs(np.array([0, 0, 1]), np.array([0, 1, 0]), 2, 2)
    too_few: list[tuple[dict[str, Any], str]] = [
        ({"name": "unseen"}, "user 0 has seen all 2 items; use uniform"),
        ({"name": "two_stage", "candidates": 3}, "candidates must be at most the 2 items"),
    ]
    for settings, words in too_few:
        negatives = TrainConfig.from_dict({"loss": {"name": "bpr"}, "negatives": settings}).negatives
        for refuse in (negatives.check, negatives.sampler):
            with pytest.raises(InputError, match=words):
                refuse(everything)


@pytest.mark.parametrize(
    "settings", [{"loss": {"name": "bpr"}, "negatives": {"name": "in_batch"}}, {"loss": LOSS_CASES["directau"]}]
)
def test_in_batch_and_losses_without_negatives_need_two_pairs(settings: dict[str, Any]) -> None:
    """With one pair no step would train anything."""
    config = TrainConfig.from_dict(settings | {"epochs": 1})
    one, two = (Interactions.from_pairs(np.arange(n), np.arange(n), 2, 2) for n in (1, 2))
    with pytest.raises(InputError, match="the training data must have at least 2 pairs, got 1; use more data"):
        train(config, one, device="cpu")
    with pytest.raises(InputError, match="at least 2 pairs, got 1"):
        config.negatives.sampler(one)
    assert train(config, two, engine="torch", device="cpu").finish().loss != 0.0


@pytest.mark.parametrize("name", ALL)
def test_data_with_enough_items_are_accepted(seen: Interactions, name: str) -> None:
    TrainConfig.from_dict({"loss": {"name": "bpr"}, "negatives": ALL[name]}).negatives.check(seen)
