import math
import random
from collections import Counter
from statistics import NormalDist

import numpy as np
import opendp.prelude as dp
import pytest
from scipy.stats import chi2_contingency
from support.releasing import SIGMA_SQUARED

from recsys.releases.counts import noise
from recsys.releases.counts.noise import discrete_gaussian

dp.enable_features("contrib")

CHANCE = 1e-6  # that a test of fresh, unseedable noise fails for no reason


def probabilities(sigma_squared: float) -> dict[int, float]:
    weights = {x: math.exp(-x * x / (2 * sigma_squared)) for x in range(-400, 401)}
    return {x: weight / sum(weights.values()) for x, weight in weights.items()}


@pytest.mark.parametrize("sigma_squared", [0.01, 0.25, 1.0, SIGMA_SQUARED])
def test_the_table_is_the_distribution(sigma_squared: float) -> None:
    table, expected = noise._table(sigma_squared), probabilities(sigma_squared)
    steps = np.diff([0, *(c / 2**128 for c in table.cumulative), 1])
    for value, step in zip(range(-table.bound, table.bound + 1), steps, strict=True):
        assert step == pytest.approx(expected[value], abs=1e-13)
    assert table.cumulative[-1] > 2**128 - 2**8  # what is cut off is smaller than 2^-120


def test_the_table_is_symmetric() -> None:
    cumulative = noise._table(SIGMA_SQUARED).cumulative
    assert all(abs(low + high - 2**128) <= 1 for low, high in zip(cumulative, reversed(cumulative), strict=True))


def test_shortcuts_give_what_the_whole_table_gives() -> None:
    """At and beside every threshold, where 16 bits decide least; a tie of 64 bits asks for 64 more."""
    table, stream = noise._table(SIGMA_SQUARED), noise._key_stream()
    middle = [i for i, high in enumerate(table.high) if 2 < high < 2**64 - 2 and list(table.high).count(high) == 1]
    beside = np.array([int(table.high[i]) + shift for i in middle for shift in (-1, 1)], dtype=np.uint64)
    expected = [i + after - table.bound for i in middle for after in (0, 1)]
    assert noise._invert(beside, table, stream).tolist() == expected
    ties = noise._invert(table.high[middle], table, stream)
    assert all(value in (i - table.bound, i + 1 - table.bound) for value, i in zip(ties, middle, strict=True))
    assert len(set(ties - np.array(middle))) == 2  # either may happen


def test_draws_are_those_of_the_exact_sampler() -> None:
    """A two-sample chi-square test against opendp, tails pooled."""
    size = 40_000
    space = dp.vector_domain(dp.atom_domain(T="i64")), dp.l2_distance(T=float)
    exact = np.array(dp.m.make_gaussian(*space, scale=math.sqrt(SIGMA_SQUARED))([0] * size))
    ours = discrete_gaussian(size, sigma_squared=SIGMA_SQUARED)
    table = np.stack([np.bincount(np.clip(x, -50, 50) + 50, minlength=101) for x in (exact, ours)])
    assert chi2_contingency(table[:, table.sum(axis=0) > 0]).pvalue > CHANCE


def test_moments_and_tails() -> None:
    draws, limit = discrete_gaussian(1_000_000, sigma_squared=SIGMA_SQUARED), NormalDist().inv_cdf(1 - CHANCE)
    assert abs(draws.mean()) < limit * math.sqrt(SIGMA_SQUARED / draws.size)
    assert abs(draws.var() / SIGMA_SQUARED - 1) < limit * math.sqrt(2 / draws.size)
    expected = probabilities(SIGMA_SQUARED)
    for beyond in (18, 37, 55, 73):
        share = sum(p for x, p in expected.items() if x > beyond)
        slack = limit * math.sqrt(share * draws.size) + limit
        assert abs((draws > beyond).sum() - share * draws.size) < slack
        assert abs((draws < -beyond).sum() - share * draws.size) < slack


def test_small_sigmas() -> None:
    draws = Counter(discrete_gaussian(200_000, sigma_squared=1.0).tolist())
    for value in (-1, 0, 1, 2):
        assert draws[value] / 200_000 == pytest.approx(probabilities(1.0)[value], abs=0.006)


def test_no_seed_repeats_a_draw() -> None:
    draws = []
    for _ in range(2):
        np.random.seed(1)
        random.seed(1)
        draws.append(discrete_gaussian(100, sigma_squared=SIGMA_SQUARED).tolist())
    assert draws[0] != draws[1]


def test_blocks_do_not_repeat() -> None:
    draws = discrete_gaussian(2 * noise._BLOCK + 7, sigma_squared=SIGMA_SQUARED)
    assert (draws[: noise._BLOCK] != draws[noise._BLOCK : 2 * noise._BLOCK]).any()
    assert discrete_gaussian(0, sigma_squared=SIGMA_SQUARED).size == 0


@pytest.mark.parametrize("sigma_squared", [0.0, -1.0, 0.009, 1.1e10, math.nan, math.inf])
def test_a_scale_out_of_range_is_refused(sigma_squared: float) -> None:
    with pytest.raises(ValueError, match="sigma_squared"):
        discrete_gaussian(1, sigma_squared=sigma_squared)
