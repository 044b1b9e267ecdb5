"""Counter-based random numbers: known values, bijections, uniformity, and the same numbers from NumPy and numba."""

from __future__ import annotations

import itertools
from typing import Any

import numba
import numpy as np
import pytest
from scipy import stats

from trainers import rng
from trainers.rng import Purpose

MASK = 2**64 - 1
ALPHA = 1e-4  # seeds are fixed, so a test always has the same result


def python_mix64(z: int) -> int:
    """The finaliser of SplitMix64 on Python integers."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def u64(*values: int) -> np.ndarray:
    return np.array(values, dtype=np.uint64)


def counters(n: int) -> np.ndarray:
    return np.arange(n, dtype=np.uint64)


def test_splitmix64_gives_its_published_outputs() -> None:
    """They are the outputs for seed 1234567."""
    expected = [6457827717110365317, 3203168211198807973, 9817491932198370423]
    assert rng.bits(np.uint64(1234567), counters(3)).tolist() == expected


def test_mix64_equals_integer_arithmetic() -> None:
    words = [0, 1, 2**63, MASK, 0x123456789ABCDEF]
    assert rng.mix64(u64(*words)).tolist() == [python_mix64(word) for word in words]


def test_below_stays_below_and_reaches_both_ends() -> None:
    words = u64(0, MASK, 2**63)
    for n in (1, 2, 3, 40_981, 2**31):
        got = rng.below(words, np.uint64(n)).tolist()
        assert got == [0, n - 1, n // 2], f"n = {n}"


NS = sorted({1, 2, 3, 5, 6, 7, 100, 1_000, 12_345} | {2**k + d for k in range(2, 14) for d in (-1, 0, 1)})


@pytest.mark.parametrize("n", NS)
def test_permuted_is_a_permutation(n: int) -> None:
    for epoch in range(3):
        got = rng.permuted(rng.key(5, Purpose.SHUFFLE, epoch), np.arange(n), n)
        assert sorted(got.tolist()) == list(range(n)), f"n = {n}, epoch {epoch}"


def test_permuted_does_not_depend_on_the_other_indices() -> None:
    """An index has the same position, alone and together with others."""
    stream, n = rng.key(9, Purpose.SHUFFLE, 0), 1_001
    whole = rng.permuted(stream, np.arange(n), n)
    chosen = np.array([1_000, 3, 500, 3])
    assert rng.permuted(stream, chosen, n).tolist() == whole[chosen].tolist()


def test_permuted_does_not_change_its_argument() -> None:
    index = np.arange(6, dtype=np.uint64)
    rng.permuted(np.uint64(3), index, 6)
    assert index.tolist() == list(range(6))


def test_epochs_shuffle_differently() -> None:
    n = 997
    orders = [rng.permuted(rng.key(0, Purpose.SHUFFLE, epoch), np.arange(n), n) for epoch in range(12)]
    for (a, one), (b, other) in itertools.combinations(enumerate(orders), 2):
        same = int((one == other).sum())
        assert same <= 10, f"epochs {a} and {b} agree in {same} of {n} positions; chance gives about 1"


def _positions(index: int, n: int, keys: int) -> np.ndarray:
    """The number of times that an index gets each position, over many keys."""
    streams = [rng.key(0, Purpose.SHUFFLE, epoch) for epoch in range(keys)]
    return np.bincount([int(rng.permuted(stream, np.array([index]), n)[0]) for stream in streams], minlength=n)


@pytest.mark.parametrize(("index", "n"), [(0, 33), (32, 33), (150, 301)])
def test_every_position_is_equally_likely(index: int, n: int) -> None:
    p = stats.chisquare(_positions(index, n, keys=6_000)).pvalue
    assert p > ALPHA, f"index {index} of {n}: chi-square p = {p}"


@pytest.mark.parametrize("n", [2, 3, 7])
def test_tiny_permutations_are_nearly_uniform(n: int) -> None:
    """Four Feistel rounds on a domain of 4 or 16 are not quite uniform. A chi-square test finds it, and it is accepted."""
    share = _positions(n - 1, n, keys=3_000) * n / 3_000
    assert np.abs(share - 1).max() < 0.2, f"relative frequencies {share}"


def test_neighbours_are_not_kept_together() -> None:
    """A shuffle of whole blocks would keep steps of one."""
    n = 10_000
    order = rng.permuted(rng.key(1, Purpose.SHUFFLE, 0), np.arange(n), n)
    assert (np.abs(np.diff(order)) == 1).sum() <= 12, "chance gives about 2"
    correlation = np.corrcoef(order[:-1], order[1:])[0, 1]
    assert abs(correlation) < 5 / np.sqrt(n), f"serial correlation {correlation}"


@pytest.mark.parametrize("n", [2, 10, 997])
def test_integers_are_uniform(n: int) -> None:
    values = rng.integers(rng.key(3, Purpose.NEGATIVES, 0), counters(200 * n), n)
    assert values.dtype == np.int64
    p = stats.chisquare(np.bincount(values, minlength=n)).pvalue
    assert p > ALPHA, f"chi-square p = {p}"
    assert values.min() >= 0
    assert values.max() < n


def test_consecutive_integers_are_independent() -> None:
    values = rng.integers(rng.key(4, Purpose.NEGATIVES, 0), counters(40_000), 8)
    table = np.bincount(values[:-1] * 8 + values[1:], minlength=64)
    assert stats.chisquare(table).pvalue > ALPHA


def test_uniform_numbers_are_uniform() -> None:
    values = rng.uniform(rng.key(3, Purpose.DEMO), counters(50_000))
    assert stats.kstest(values, "uniform").pvalue > ALPHA
    extremes = rng.uniform(np.uint64(0), counters(3))
    assert ((extremes > 0) & (extremes < 1)).all()


def test_normal_numbers_are_normal() -> None:
    values = rng.normal(rng.key(3, Purpose.INIT_USERS), (211, 300))
    assert values.shape == (211, 300)
    n = values.size
    assert abs(values.mean()) < 4 / np.sqrt(n), f"mean {values.mean()}"
    assert abs(values.std() - 1) < 4 / np.sqrt(2 * n), f"sd {values.std()}"
    assert stats.kstest(values.ravel(), "norm").pvalue > ALPHA


def test_normal_rows_do_not_depend_on_their_number() -> None:
    stream = rng.key(3, Purpose.INIT_ITEMS)
    assert (rng.normal(stream, (5, 4)) == rng.normal(stream, (9, 4))[:5]).all()


@pytest.mark.parametrize("dropout", [0.0, 0.1, 0.5, 0.97])
def test_the_keep_mask_has_the_right_rate(dropout: float) -> None:
    n = 100_000
    kept = rng.keep_mask(rng.key(8, Purpose.DROPOUT, 1), counters(n), dropout)
    spread = 4 * np.sqrt(dropout * (1 - dropout) / n)
    assert abs(kept.mean() - (1 - dropout)) <= spread, f"kept {kept.mean()}"


def test_keys_differ_in_seed_purpose_and_counters() -> None:
    keys = [
        int(rng.key(seed, purpose, *rest))
        for seed in (0, 1, 2, 2**63 - 1)
        for purpose in Purpose
        for rest in ((), (0,), (1,), (2,), (0, 1), (1, 0), (7,))
    ]
    assert len(set(keys)) == len(keys), "two streams share a key"


def test_streams_of_different_purposes_do_not_correlate() -> None:
    streams = {purpose: rng.uniform(rng.key(0, purpose, 0), counters(20_000)) for purpose in Purpose}
    for (a, one), (b, other) in itertools.combinations(streams.items(), 2):
        correlation = np.corrcoef(one, other)[0, 1]
        assert abs(correlation) < 5 / np.sqrt(20_000), f"{a.name} and {b.name}: {correlation}"


def test_purposes_keep_their_numbers() -> None:
    """Another number would silently change the results of every seed."""
    assert {purpose.name: int(purpose) for purpose in Purpose} == {
        "INIT_USERS": 1,
        "INIT_ITEMS": 2,
        "SHUFFLE": 3,
        "NEGATIVES": 4,
        "DROPOUT": 5,
        "HOLD_OUT": 6,
        "TIES": 7,
        "DEMO": 8,
        "CANDIDATES": 9,
        "INIT_HISTORY": 10,
        "INIT_WEIGHTS": 11,
        "SAMPLED_USERS": 12,
    }


def test_a_key_agrees_with_its_definition() -> None:
    """The definition on Python integers. Results must not change between versions."""
    golden, state = 0x9E3779B97F4A7C15, 42
    for counter in (int(Purpose.NEGATIVES), 3):
        state = python_mix64(python_mix64((state + golden) & MASK) ^ counter)
    assert int(rng.key(42, Purpose.NEGATIVES, 3)) == state


class TestNumba:
    """The same functions compiled by numba, as the fused engines use them."""

    def test_bits_and_below_agree_with_numpy(self) -> None:
        mix64, bits, below = _compiled("mix64"), _compiled("bits"), _compiled("below")
        stream, n = rng.key(6, Purpose.NEGATIVES, 2), np.uint64(40_981)
        at = u64(0, 1, 2, 10**6, 2**40, MASK)
        words = rng.bits(stream, at)
        assert [int(bits(stream, one)) for one in at] == words.tolist()
        assert [int(mix64(one)) for one in at] == rng.mix64(at).tolist()
        assert [int(below(word, n)) for word in words] == rng.below(words, n).tolist()

    @pytest.mark.parametrize("n", [1, 2, 5, 17, 1_000, 2**12 + 1])
    def test_feistel_agrees_with_numpy(self, n: int) -> None:
        feistel = _compiled("feistel")
        half = np.uint64(rng.half_bits_for(n))
        at = counters(min(4 ** int(half), 3_000))
        stream = rng.key(6, Purpose.SHUFFLE, 2)
        expected = rng.feistel(stream, at, half)
        assert [int(feistel(stream, one, half)) for one in at] == np.asarray(expected).tolist()


def _compiled(name: str) -> Any:
    """A function of rng, compiled together with the functions that it calls, as in a kernel."""
    scope = dict(vars(rng))
    for inner in ("mix64", "bits", "below", "feistel"):
        function = getattr(rng, inner)
        bound = type(function)(function.__code__, scope, inner)
        scope[inner] = numba.njit(bound)
    return scope[name]


@pytest.mark.parametrize("n", NS)
def test_half_bits_give_the_smallest_domain(n: int) -> None:
    half = rng.half_bits_for(n)
    assert 4**half >= n, "the domain must have all indices"
    assert half == 1 or 4 ** (half - 1) < n, "a larger domain would need longer walks"
