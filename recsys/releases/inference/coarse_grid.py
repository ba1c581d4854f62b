"""Posteriors of true counts on a coarse grid of their logarithms, in compiled loops over counts and points.

A count is ``exp(centre + width * u)``, and the grid is one of u. The likelihood is a Gaussian, blurred by a part of the
grid's step, so that no peak falls between two points. Single precision: twice as many numbers side by side, and its
rounding is far below the noise.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
from recsys.releases.counts.noisy_counts import Array, Noisy

ENDLESS = 30.0  # logarithm of a count that no place has; its square fits in single precision

_BLUR = 0.35  # of a step: widens the likelihood, so that no peak falls between two points
_ALIKE_BELOW = 0.3  # listeners below which counts are alike, where the variance of logarithms is asked for

Single = NDArray[np.float32]


@dataclass(frozen=True)
class Prior:
    """What is expected of true counts before their own release is read.

    Parameters
    ----------
    centre, width : numpy.ndarray, shape (places, tracks)
        A count is ``exp(centre + width * u)``.
    grid, log_density : numpy.ndarray, shape (points,)
        Equally spaced values of u, and the logarithm of their prior density up to a constant.
    """

    centre: Array
    width: Array
    grid: Array
    log_density: Array

    def __getitem__(self, index: slice) -> "Prior":
        """Return some places."""
        return Prior(self.centre[index], self.width[index], self.grid, self.log_density)


def weights(noisy: Noisy, prior: Prior) -> Single:
    """Return the posterior weight of every point, of which the largest is 1; shape (places, tracks, points)."""
    shape = np.broadcast_shapes(noisy.counts.shape, prior.centre.shape)
    found = np.empty((*shape, len(prior.grid)), dtype=np.float32)
    _weights(_flat(noisy, prior), found.reshape(-1, len(prior.grid)))
    return found


def moments(noisy: Noisy, prior: Prior) -> tuple[Array, Array, Array]:
    """Return posterior mean and variance of counts, and the variance of their logarithms; shape (places, tracks)."""
    shape = np.broadcast_shapes(noisy.counts.shape, prior.centre.shape)
    mean, variance, log_variance = np.empty((3, *shape))
    _moments(_flat(noisy, prior), mean.reshape(-1), variance.reshape(-1), log_variance.reshape(-1))
    return mean, variance, log_variance


def factors(noisy: Noisy, prior: Prior) -> tuple[Array, Array]:
    """Return posterior mean and variance of u; shape (places, tracks)."""
    mean, variance = np.empty((2, *np.broadcast_shapes(noisy.counts.shape, prior.centre.shape)))
    _factors(_flat(noisy, prior), mean.reshape(-1), variance.reshape(-1))
    return mean, variance


def log_likelihoods(noisy: Noisy, prior: Prior) -> Array:
    """Return the logarithm of the prior's mean likelihood, up to a constant of the grid; shape (places, tracks)."""
    found = np.empty(np.broadcast_shapes(noisy.counts.shape, prior.centre.shape))
    _log_likelihoods(_flat(noisy, prior), found.reshape(-1))
    return found


class _Flat(NamedTuple):
    """Noisy counts in a row, with what is expected of each, and the grid."""

    centre: Single
    width: Single
    counts: Single
    variance: Single
    grid: Single
    log_density: Single
    step: np.float32


def _flat(noisy: Noisy, prior: Prior) -> _Flat:
    of_counts = np.broadcast_arrays(prior.centre, prior.width, noisy.counts, noisy.variance)
    centre, width, counts, variance = (each.astype(np.float32).reshape(-1) for each in of_counts)
    grid, log_density = prior.grid.astype(np.float32), prior.log_density.astype(np.float32)
    return _Flat(centre, width, counts, variance, grid, log_density, grid[1] - grid[0])


_ONE, _HALF, _LEAST = np.float32(1), np.float32(0.5), np.float32(-3e38)
_LARGEST, _SMALLEST = np.float32(ENDLESS), np.float32(-80)  # logarithms whose exponentials are numbers
_BLURRED, _ALIKE = np.float32(_BLUR), np.float32(np.log(_ALIKE_BELOW))

# The exponential of S. Moshier's Cephes library (expf), in steps that a compiler puts side by side.
_PER_LOG, _LOG_2, _REST_OF_LOG_2 = np.float32(1.44269504088896341), np.float32(0.693359375), np.float32(-2.12194440e-4)
_C2, _C3, _C4 = np.float32(5.0000001201e-1), np.float32(1.6666665459e-1), np.float32(4.1665795894e-2)
_C5, _C6, _C7 = np.float32(8.3334519073e-3), np.float32(1.3981999507e-3), np.float32(1.9875691500e-4)
_BIAS, _MANTISSA = np.int32(127), np.int32(23)  # of an exponent, and bits before it: IEEE 754


@compiled
def _exp(x: np.float32) -> np.float32:
    """Return the exponential of a number from -80 to 80."""
    halvings = np.floor(x * _PER_LOG + _HALF)
    rest = x - halvings * _LOG_2 - halvings * _REST_OF_LOG_2
    series = ((((_C7 * rest + _C6) * rest + _C5) * rest + _C4) * rest + _C3) * rest + _C2
    power: np.float32 = np.int32((np.int32(halvings) + _BIAS) << _MANTISSA).view(np.float32)
    return np.float32((series * rest * rest + rest + _ONE) * power)


@compiled
def _weigh(flat: _Flat, i: int, counts: Single, weights: Single) -> np.float32:
    """Fill in counts and posterior weights of one count; return the logarithm that is missing in these.

    With z the departure in standard deviations s of the blurred likelihood, a weight is ``density * exp(-z²/2) / s``.
    """
    centre, width, observed, variance = flat.centre[i], flat.width[i], flat.counts[i], flat.variance[i]
    grid, log_density = flat.grid, flat.log_density
    blur = _BLURRED * flat.step * width
    largest = _LEAST
    for k in range(len(grid)):
        count = _exp(max(min(centre + width * grid[k], _LARGEST), _SMALLEST))
        departure = observed - count
        counts[k] = count
        weights[k] = log_density[k] - _HALF * departure * departure / (variance + blur * blur * count * count)
    for k in range(len(grid)):  # a loop of its own, or what is above is not computed side by side
        largest = max(largest, weights[k])
    for k in range(len(grid)):
        spread = variance + blur * blur * counts[k] * counts[k]
        weights[k] = _exp(max(weights[k] - largest, _SMALLEST)) / np.sqrt(spread)
    return largest


@compiled
def _mean(values: Single, weights: Single) -> tuple[np.float32, np.float32]:
    """Return weighed mean and variance."""
    total, first, second = np.float32(0), np.float32(0), np.float32(0)
    for k in range(len(values)):
        total += weights[k]
        first += weights[k] * values[k]
    middle = first / total
    for k in range(len(values)):
        off = values[k] - middle
        second += weights[k] * off * off
    return middle, second / total


@compiled
def _weights(flat: _Flat, found: Single) -> None:
    counts = np.empty(len(flat.grid), dtype=np.float32)
    for i in range(len(flat.counts)):
        _weigh(flat, i, counts, found[i])
        found[i] /= found[i].max()


@compiled
def _moments(flat: _Flat, mean: Array, variance: Array, log_variance: Array) -> None:
    counts, weights = np.empty(len(flat.grid), dtype=np.float32), np.empty(len(flat.grid), dtype=np.float32)
    for i in range(len(flat.counts)):
        _weigh(flat, i, counts, weights)
        mean[i], variance[i] = _mean(counts, weights)
        for k in range(len(flat.grid)):
            counts[k] = max(min(flat.centre[i] + flat.width[i] * flat.grid[k], _LARGEST), _ALIKE)
        _, log_variance[i] = _mean(counts, weights)


@compiled
def _factors(flat: _Flat, mean: Array, variance: Array) -> None:
    counts, weights = np.empty(len(flat.grid), dtype=np.float32), np.empty(len(flat.grid), dtype=np.float32)
    for i in range(len(flat.counts)):
        _weigh(flat, i, counts, weights)
        mean[i], variance[i] = _mean(flat.grid, weights)


@compiled
def _log_likelihoods(flat: _Flat, found: Array) -> None:
    counts, weights = np.empty(len(flat.grid), dtype=np.float32), np.empty(len(flat.grid), dtype=np.float32)
    for i in range(len(flat.counts)):
        missing = _weigh(flat, i, counts, weights)
        found[i] = np.log(np.float64(weights.sum())) + missing
