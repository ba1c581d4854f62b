"""The fine grid: posterior means and intervals that are published, on points spread over each count's own posterior."""

import numpy as np
from numpy.typing import NDArray

from recsys.compiled import compiled
from recsys.releases.counts.noisy_counts import Array, Noisy
from recsys.releases.inference import coarse_grid
from recsys.releases.inference.coarse_grid import ENDLESS, Prior

_REACH = 6.0  # standard deviations of the noise, beyond which a count is not looked for
_LEAST_SHARE = 1e-5  # of the largest weight on the coarse grid: below, a count is not looked for


def quantiles(noisy: Noisy, prior: Prior, *, levels: tuple[float, ...], points: int) -> tuple[Array, Array]:
    """Return posterior means, shape (places, tracks), and quantiles, shape (levels, places, tracks), of true counts.

    Parameters
    ----------
    noisy : Noisy
    prior : Prior
        With an even grid.
    levels : tuple of float
        Shares of the weight that lie below a quantile.
    points : int
        Of each grid.
    """
    start, end = _spans(noisy, prior)
    per_count = np.broadcast_arrays(prior.centre, prior.width, noisy.counts, noisy.variance, start, end)
    flat, density = (
        np.stack([each.reshape(-1) for each in per_count], axis=1),
        np.stack([prior.grid, prior.log_density]),
    )
    found = np.empty((1 + len(levels), *start.shape))
    _read_off(flat, density, np.array(levels), np.empty((3, points)), found.reshape(len(found), -1))
    return found[0], found[1:]


def _spans(noisy: Noisy, prior: Prior) -> tuple[Array, Array]:
    """Return where on the grid of the prior both the coarse posterior and the likelihood have weight, from and to."""
    there, step = coarse_grid.weights(noisy, prior) > _LEAST_SHARE, prior.grid[1] - prior.grid[0]
    first = prior.grid[there.argmax(axis=-1)] - step
    last = prior.grid[len(prior.grid) - 1 - there[..., ::-1].argmax(axis=-1)] + step
    reach, counts = _REACH * np.sqrt(noisy.variance), np.maximum(noisy.counts, 0)  # no true count is below nought
    lower, upper = ((np.log(np.maximum(counts + sign * reach, 1e-9)) - prior.centre) / prior.width for sign in (-1, 1))
    both = np.maximum(first, lower) < np.minimum(last, upper)
    return np.where(both, np.maximum(first, lower), first), np.where(both, np.minimum(last, upper), last)


@compiled
def _read_off(flat: Array, density: Array, levels: Array, room: Array, found: Array) -> None:
    """Fill in means and quantiles of counts, of each of which there are centre, width, count, variance, start and end.

    A quantile is where half of a point's own weight, and all weight below it, make up its level; between two points it
    is interpolated.
    """
    counts, weights, cumulative = room
    last = len(counts) - 1
    for i in range(len(flat)):
        centre, width, observed, variance, start, end = flat[i]
        largest = -1e300
        for k in range(len(counts)):
            at = start + (end - start) * k / last
            counts[k] = np.exp(min(centre + width * at, ENDLESS))
            off = observed - counts[k]
            weights[k] = _between(at, density[0], density[1]) - off * off / (2 * variance)
            largest = max(largest, weights[k])
        total, moment = 0.0, 0.0
        for k in range(len(counts)):
            weights[k] = np.exp(weights[k] - largest)
            cumulative[k] = total + weights[k] / 2
            total += weights[k]
            moment += weights[k] * counts[k]
        found[0, i] = moment / total
        for level in range(len(levels)):
            found[1 + level, i] = _where(cumulative, levels[level] * total, counts)


@compiled
def _between(at: float, grid: NDArray[np.float64], values: NDArray[np.float64]) -> float:
    """Return the value at a place of an even grid, beyond whose ends it is that of the end."""
    last = len(grid) - 1
    position = min(max((at - grid[0]) / (grid[1] - grid[0]), 0.0), float(last))
    below = min(int(position), last - 1)
    return float(values[below] + (position - below) * (values[below + 1] - values[below]))


@compiled
def _where(cumulative: NDArray[np.float64], level: float, values: NDArray[np.float64]) -> float:
    """Return the value at which a rising sum reaches a level, that of an end where it does not do so between them."""
    right = 1
    while right < len(cumulative) - 1 and cumulative[right] < level:
        right += 1
    rise = max(cumulative[right] - cumulative[right - 1], 1e-300)
    share = min(max((level - cumulative[right - 1]) / rise, 0.0), 1.0)
    return float(values[right - 1] + share * (values[right] - values[right - 1]))
