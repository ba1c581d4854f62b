"""The compiled loops over the coarse grid, beside the formulas written out in double precision."""

from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.testing import assert_allclose

from recsys.releases.counts.noisy_counts import Noisy
from recsys.releases.inference import coarse_grid
from recsys.releases.inference.coarse_grid import ENDLESS, Prior
from recsys.releases.inference.posterior import reaching

GRID = np.arange(-5, 10.15, 0.3)
DENSITY = -0.5 * GRID**2
BLUR, ALIKE_BELOW = 0.35 * 0.3, 0.3  # docs/charts-model.md: of a step of the grid; listeners


def written_out(noisy: Noisy, prior: Prior) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Yield logarithms, counts and posterior weights (not normalised) of each count, flat, in double precision."""
    every = np.broadcast_arrays(prior.centre, prior.width, noisy.counts, noisy.variance)
    for centre, width, observed, variance in zip(*(each.ravel() for each in every), strict=True):
        logs = np.minimum(centre + width * prior.grid, ENDLESS)
        counts = np.exp(logs)
        spread = variance + (BLUR * width * counts) ** 2
        log_weights = prior.log_density - (observed - counts) ** 2 / (2 * spread) - np.log(spread) / 2
        yield logs, counts, log_weights


def of_all(noisy: Noisy, prior: Prior) -> dict[str, np.ndarray]:
    """Return what the module returns, by name, flat."""
    mean, variance, log_variance = coarse_grid.moments(noisy, prior)
    factor, spread = coarse_grid.factors(noisy, prior)
    found = {"mean": mean, "variance": variance, "log_variance": log_variance, "factor": factor, "spread": spread}
    found["log_likelihood"] = coarse_grid.log_likelihoods(noisy, prior)
    return {name: each.ravel() for name, each in found.items()}


def assert_as_written(noisy: Noisy, prior: Prior) -> None:
    found, weights = of_all(noisy, prior), coarse_grid.weights(noisy, prior).reshape(-1, len(prior.grid))
    for i, (logs, counts, log_weights) in enumerate(written_out(noisy, prior)):
        shares = np.exp(log_weights - log_weights.max())
        assert_allclose(weights[i], shares, rtol=5e-3, atol=1e-5)
        shares /= shares.sum()
        mean, factor, alike = shares @ counts, shares @ prior.grid, np.maximum(logs, np.log(ALIKE_BELOW))
        assert_allclose(found["mean"][i], mean, rtol=1e-3)
        assert_allclose(found["variance"][i], shares @ (counts - mean) ** 2, rtol=5e-3, atol=1e-6 * mean**2)
        assert_allclose(found["log_variance"][i], shares @ (alike - shares @ alike) ** 2, rtol=5e-3, atol=1e-6)
        assert_allclose(found["factor"][i], factor, rtol=1e-3, atol=1e-4)
        assert_allclose(found["spread"][i], shares @ (prior.grid - factor) ** 2, rtol=5e-3, atol=1e-6)
        total = log_weights.max() + np.log(np.exp(log_weights - log_weights.max()).sum())
        assert_allclose(found["log_likelihood"][i], total, rtol=1e-4, atol=1e-3)


@given(
    centre=st.floats(-10, 12),
    width=st.floats(0.05, 3),
    departure=st.floats(-8, 8),
    deviation=st.floats(0.5, 1e5),
)
def test_posteriors_are_the_formulas(centre: float, width: float, departure: float, deviation: float) -> None:
    """A count as released may be anywhere around what is expected; the product widens priors until they reach it."""
    counts, variance = np.array([[np.exp(centre) + departure * deviation]]), np.array([[deviation**2]])
    noisy = Noisy(counts, variance)
    assert_as_written(noisy, reaching(noisy, Prior(np.array([[centre]]), np.array([[width]]), GRID, DENSITY)))


def test_what_was_never_counted_says_nothing() -> None:
    """With endless noise the posterior is the prior: mean 0 and variance 1 of u, but for the end of the grid."""
    noisy = Noisy(np.zeros((1, 1)), np.full((1, 1), 1e18))
    mean, variance = coarse_grid.factors(noisy, Prior(np.zeros((1, 1)), np.ones((1, 1)), GRID, DENSITY))
    assert_allclose([mean[0, 0], variance[0, 0]], [0, 1], atol=1e-3)


@pytest.mark.parametrize("points", [2, 15, 16, 17, 51, 64])
def test_any_number_of_points_is_summed_whole(points: int) -> None:
    grid = np.linspace(-1, 1, points)
    noisy, prior = Noisy(np.array([[3.0]]), np.array([[4.0]])), Prior(np.ones((1, 1)), np.ones((1, 1)), grid, 0 * grid)
    [(_, counts, log_weights)] = (
        (logs, counts, prior.log_density - (3 - counts) ** 2 / (2 * spread) - np.log(spread) / 2)
        for logs in [1 + grid]
        for counts in [np.exp(logs)]
        for spread in [4 + (0.35 * (grid[1] - grid[0]) * counts) ** 2]
    )
    shares = np.exp(log_weights) / np.exp(log_weights).sum()
    assert_allclose(coarse_grid.moments(noisy, prior)[0], [[shares @ counts]], rtol=1e-5)


def test_counts_of_one_place_are_read_in_the_light_of_many_priors() -> None:
    noisy = Noisy(np.array([[3.0, 40.0]]), np.array([[4.0, 4.0]]))
    centre = np.log([[2.0, 30.0], [4.0, 50.0], [8.0, 20.0]])
    both = coarse_grid.moments(noisy, Prior(centre, np.full((3, 2), 0.5), GRID, DENSITY))[0]
    assert both.shape == (3, 2)
    for row in range(3):
        one = coarse_grid.moments(noisy, Prior(centre[[row]], np.full((1, 2), 0.5), GRID, DENSITY))[0]
        np.testing.assert_array_equal(both[[row]], one)


def test_no_counts_are_no_counts() -> None:
    nothing = np.zeros((1, 0))
    assert coarse_grid.moments(Noisy(nothing, nothing), Prior(nothing, nothing, GRID, DENSITY))[0].shape == (1, 0)
