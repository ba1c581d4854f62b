"""Means and quantiles on the fine grid, beside sums over a grid a thousand times as fine, written out."""

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from recsys.releases.counts.noisy_counts import Noisy
from recsys.releases.inference import fine_grid
from recsys.releases.inference.coarse_grid import Prior

GRID = np.arange(-5, 10.15, 0.3)
DENSITY = -0.5 * GRID**2
LEVELS = (0.025, 0.5, 0.975)


def one(count: float, noise: float, *, centre: float, width: float) -> tuple[Noisy, Prior]:
    noisy = Noisy(np.array([[count]]), np.array([[noise**2]]))
    return noisy, Prior(np.array([[centre]]), np.array([[width]]), GRID, DENSITY)


def written_out(noisy: Noisy, prior: Prior) -> tuple[float, list[float]]:
    """Return mean and quantiles by sums over the whole prior in steps of a ten-thousandth of its deviation."""
    at = np.arange(GRID[0], GRID[-1], 1e-4)
    counts = np.exp(prior.centre[0, 0] + prior.width[0, 0] * at)
    weights = np.interp(at, GRID, DENSITY) - (noisy.counts[0, 0] - counts) ** 2 / (2 * noisy.variance[0, 0])
    weights = np.exp(weights - weights.max())
    below = np.cumsum(weights) / weights.sum()
    return float(weights @ counts / weights.sum()), [float(counts[np.searchsorted(below, level)]) for level in LEVELS]


@given(
    centre=st.floats(0, 10),
    width=st.floats(0.1, 2),
    departure=st.floats(-2, 2),
    noise=st.floats(0.01, 10),
)
def test_means_and_quantiles_are_those_of_the_posterior(
    centre: float, width: float, departure: float, noise: float
) -> None:
    """Noise as a share of what is expected, and the count off by so many deviations of both together.

    The noise is at least half a listener, and the count never further below nought than six deviations of it: no
    release knows more, and no draw gets further.
    """
    expected = np.exp(centre)
    off = departure * np.hypot(noise, np.expm1(min(width, 1))) * expected
    assume(noise * expected > 0.5 and expected + off > -6 * noise * expected)
    noisy, prior = one(expected + off, noise * expected, centre=centre, width=width)
    mean, found = fine_grid.quantiles(noisy, prior, levels=LEVELS, points=64)
    wanted, quantiles = written_out(noisy, prior)
    spread = quantiles[2] - quantiles[0]
    assert_allclose(mean[0, 0], wanted, atol=0.05 * spread)
    assert_allclose(found[:, 0, 0], quantiles, atol=0.1 * spread)


def test_where_noise_rules_it_is_the_prior() -> None:
    """A log-normal of 100 and 0.5: mean 100 exp(1/8), and 100 exp(0.5 z) for each quantile z of a normal variable."""
    noisy, prior = one(0.0, 1e9, centre=np.log(100), width=0.5)
    mean, found = fine_grid.quantiles(noisy, prior, levels=LEVELS, points=64)
    assert mean[0, 0] == pytest.approx(100 * np.exp(1 / 8), rel=1e-3)
    assert_allclose(found[:, 0, 0], 100 * np.exp(0.5 * np.array([-1.96, 0, 1.96])), rtol=0.01)


def test_where_the_prior_knows_nothing_it_is_the_count() -> None:
    """Under hardly any noise a normal around what was counted, of the noise's deviation."""
    noisy, prior = one(1000.0, 5.0, centre=np.log(900), width=1.5)
    mean, found = fine_grid.quantiles(noisy, prior, levels=LEVELS, points=64)
    assert mean[0, 0] == pytest.approx(1000, abs=0.1)
    assert_allclose(found[:, 0, 0], [1000 - 9.8, 1000, 1000 + 9.8], atol=0.3)


def test_each_count_is_read_by_itself() -> None:
    both = Noisy(np.array([[3.0, 50.0]]), np.array([[4.0, 100.0]]))
    prior = Prior(np.array([[1.0, 4.0]]), np.array([[0.5, 1.0]]), GRID, DENSITY)
    mean, found = fine_grid.quantiles(both, prior, levels=LEVELS, points=64)
    for track in (0, 1):
        some = slice(track, track + 1)
        alone = Noisy(both.counts[:, some], both.variance[:, some])
        own = Prior(prior.centre[:, some], prior.width[:, some], GRID, DENSITY)
        mean_alone, found_alone = fine_grid.quantiles(alone, own, levels=LEVELS, points=64)
        np.testing.assert_array_equal(mean[:, some], mean_alone)
        np.testing.assert_array_equal(found[..., some], found_alone)
