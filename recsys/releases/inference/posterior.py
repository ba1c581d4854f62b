"""Posteriors of true counts: noisy counts in the light of what lies around them, where the noise is known exactly.

A place's true count of a track is expected to be the place's size times the track's share in the rest of the larger
place, off by a log-normal factor; the noise on the count is Gaussian of known variance. Posteriors are sums over a
grid, coarse where a mean is enough, and refined where an interval is published.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import log_ndtr

from recsys.compiled import compiled
from recsys.releases.counts.noisy_counts import Array, Noisy
from recsys.releases.inference import coarse_grid, fine_grid
from recsys.releases.inference.coarse_grid import Prior

COVERED = (0.025, 0.975)  # a 95 % interval

SPREADS = np.array([0.05, 0.15, 0.3, 0.45, 0.6, 0.75, 0.9, 1.1, 1.4])  # standard deviations of log factors
_USUAL = np.exp(-0.5 * ((SPREADS - 0.7) / 0.25) ** 2) / np.exp(-0.5 * ((SPREADS - 0.7) / 0.25) ** 2).sum()
_USUAL_PLACES = 10.0  # the weight of that expectation, in places seen

_USUAL_SIZES = 1.5  # log deviation of sizes from the typical one
_UNFORESEEN = 0.01  # share of a place's counts that may be of any track, whatever is around it
_FAR = 5.0  # standard deviations of a measured and of a usual size that are looked at

_EVERYBODY = 0.02  # share of a place's counts: most listeners play such a track, which leaves it no room to depart
_BEYOND_NOISE = 6.0  # standard deviations: among a hundred million counts noise alone goes hardly that far
_STEP = 0.3  # of the coarse grid, in standard deviations of the prior
_LARGEST_LOG_VARIANCE = 1.2  # that is passed on
_FINE = 64  # points of the refined grid
_LEAST_WEIGHT = (
    0.2  # observations that a component of the world must explain beyond, lest the largest noise founds its own
)
_ROUNDS = 4  # of weighing and scaling; the scale changes by less than a percent after that


@dataclass(frozen=True)
class Belief:
    """Posterior of true counts in two numbers, both of shape (places, tracks).

    Parameters
    ----------
    mean : numpy.ndarray
    relative_variance : numpy.ndarray
        Variance over squared mean; or, where that is more, what a log-normal of the same log variance has, because a
        count that may as well be zero is far more doubtful than its variance says.
    """

    mean: Array
    relative_variance: Array

    def __getitem__(self, index: slice) -> "Belief":
        """Return some places."""
        return Belief(self.mean[index], self.relative_variance[index])


@dataclass(frozen=True)
class Size:
    """What is known of the sum of a place's true counts: mean and standard deviation, shape (places,)."""

    mean: Array
    deviation: Array


@dataclass(frozen=True)
class Estimate:
    """Posterior mean and 95 % interval of true counts, shape (places, tracks); 0 <= low <= mean <= high."""

    mean: Array
    low: Array
    high: Array


def prior_of_whole(noisy: Noisy) -> Prior:
    """Learn how counts are distributed over tracks, from the noisy counts of one place that has no larger one.

    Nonparametric empirical Bayes: the distribution of log counts is a mixture of narrow normals whose weights maximise
    the likelihood of what was released, by expectation maximisation. Pure noise gives all weight to counts near 0, so
    that its largest values shrink to the same small number instead of heading a chart.

    References
    ----------
    J. Kiefer, J. Wolfowitz (1956); R. Koenker, I. Mizera, "Convex Optimization, Shape Constraints, Compound
    Decisions, and Empirical Bayes Rules" (JASA 2014).
    """
    step, width = 0.1, 0.4  # of the grid and of a component, in log counts
    highest = np.log(max(noisy.counts.max(), 1.0) + 6 * np.sqrt(noisy.variance.max()))
    grid = np.arange(np.log(0.05), highest + step, step)
    flat = Prior(np.zeros_like(noisy.counts), np.ones_like(noisy.counts), grid, np.zeros_like(grid))
    weights = coarse_grid.weights(noisy, flat)
    components = np.exp(-0.5 * ((grid - grid[::4, None]) / width) ** 2)
    components /= components.sum(axis=1, keepdims=True)
    likelihood = weights[0].astype(np.float64) @ components.T
    share = _mixture_weights(likelihood, rounds=300, prior=np.full(likelihood.shape[1], -_LEAST_WEIGHT))
    return Prior(flat.centre, flat.width, grid, np.log(share @ components + 1e-300))


def shares(rest: Belief) -> Array:
    """Return each track's share of all counts, shape (places, tracks)."""
    return np.asarray(rest.mean / rest.mean.sum(axis=-1, keepdims=True))


def blend(one: Belief, other: Belief, *, share: float) -> Belief:
    """Return the mean of two beliefs about shares, of which the other has the given weight.

    They are taken to err in the same direction: one was read in the light of the other.
    """
    parts = [(1 - share, one), (share, other)]
    mean = sum((weight * shares(some) for weight, some in parts), np.zeros(1))
    deviation = sum((weight * shares(some) * np.sqrt(some.relative_variance) for weight, some in parts), np.zeros(1))
    return Belief(mean, (deviation / mean) ** 2)


def measured_size(noisy: Noisy, *, rest: Belief, spread: Array, typical: Array) -> Size:
    """Measure the sum of true counts of each place from its own counts alone; it may come out negative.

    The best linear unbiased prediction of the sum: where noise rules, each track is weighed by its share; where it is
    small, each count has one voice, and the size is simply their sum.

    Parameters
    ----------
    noisy : Noisy
    rest : Belief
        About what surrounds the places.
    spread : numpy.ndarray, shape (places,)
        Standard deviation of log factors.
    typical : numpy.ndarray, shape (places,)
        A first guess, from which the variances start.

    References
    ----------
    A. Goldberger, "Best Linear Unbiased Prediction in the Generalized Linear Regression Model" (JASA 1962).
    """
    share = (1 - _UNFORESEEN) * shares(rest) + _UNFORESEEN / rest.mean.shape[1]
    relative = _per_track(np.exp(spread**2)) * (1 + rest.relative_variance) - 1
    per_count = np.broadcast_arrays(noisy.counts, noisy.variance, share, relative)
    sizes = np.stack([typical, np.zeros_like(typical)])
    _measure_sizes(np.stack(per_count), sizes, _ROUNDS)
    return Size(*sizes)


@compiled
def _measure_sizes(per_count: Array, found: Array, rounds: int) -> None:
    """Fill in sizes, which begin as a first guess, and their standard deviations."""
    (counts, variance, share, relative), (sizes, deviations) = per_count, found
    places, tracks = counts.shape
    departure = np.empty(tracks)
    for place in range(places):
        for _ in range(rounds):
            expected, explained, information = max(sizes[place], 1.0), 0.0, 0.0
            for track in range(tracks):
                mean = expected * share[place, track]
                departure[track] = mean + relative[place, track] * mean * mean
                per_total = share[place, track] / (variance[place, track] + departure[track])
                explained += per_total * departure[track]
                information += per_total * share[place, track]
            lacking, size, doubt = (1 - explained) / information, 0.0, 0.0
            for track in range(tracks):
                total = variance[place, track] + departure[track]
                voice = (departure[track] + lacking * share[place, track]) / total
                size += voice * counts[place, track]
                doubt += voice * voice * variance[place, track] + (voice - 1) * (voice - 1) * departure[track]
            sizes[place], deviations[place] = size, np.sqrt(doubt)


def likely_size(measured: Size, typical: Array) -> Size:
    """Return the posterior of one place's size, which is positive and expected to be typical, give or take a factor."""
    reach = _FAR * measured.deviation[0]
    low = max(measured.mean[0] - reach, typical[0] * np.exp(-_FAR * _USUAL_SIZES))
    high = max(min(measured.mean[0] + reach, typical[0] * np.exp(_FAR * _USUAL_SIZES)), 1.01 * low)
    values = np.geomspace(low, high, 4 * _FINE)
    log_weights = -0.5 * (np.log(values / typical[0]) / _USUAL_SIZES) ** 2
    log_weights -= 0.5 * ((values - measured.mean[0]) / measured.deviation[0]) ** 2
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    mean = weights @ values
    return Size(np.array([mean]), np.sqrt(np.array([weights @ (values - mean) ** 2])))


def prior_of_part(noisy: Noisy, *, rest: Belief, spread: Array, typical: Array) -> Prior:
    """Expect counts as in :func:`prior_of_size` in places of which only their own counts tell the size.

    Sizes are positive and otherwise unknown, which makes their posterior a truncated normal.

    Parameters
    ----------
    noisy : Noisy
        Of the places; it decides only their size.
    rest : Belief
    spread, typical : numpy.ndarray, shape (places,)
        Standard deviation of log factors; a first guess of the size.
    """
    measured = measured_size(noisy, rest=rest, spread=spread, typical=typical)
    return prior_of_size(noisy, rest=rest, spread=spread, size=Size(*_positive(measured.mean, measured.deviation)))


def prior_of_size(noisy: Noisy, *, rest: Belief, spread: Array, size: Size) -> Prior:
    """Expect in each place its size times the shares of the rest of the larger place, off by a log-normal factor.

    The log factor's variance holds the spread between places, the uncertainty of size and shares, and the chance of
    counting listeners one by one (a Poisson variable of mean m has squared relative deviation 1/m).

    Parameters
    ----------
    noisy : Noisy
        Of the places; where noise is no excuse for them, the prior is made wide enough to reach them.
    rest : Belief
        About what surrounds them; one row, or one per place.
    spread : numpy.ndarray, shape (places,)
        Standard deviation of log factors.
    size : Size
    """
    return _expecting(size.mean[:, None] * shares(rest), rest.relative_variance, noisy=noisy, spread=spread, size=size)


def linear(noisy: Noisy, *, rest: Belief, spread: Array, size: Size) -> Noisy:
    """Return the best linear prediction of true counts and its variance, where a posterior's shape does not matter."""
    mean = np.maximum(size.mean[:, None] * shares(rest), 1e-6)
    variance = mean**2 * _departure(rest.relative_variance, spread=spread, size=size) + mean
    weight = variance / (variance + noisy.variance)
    return Noisy(mean + weight * (noisy.counts - mean), weight * noisy.variance)


def evidence_for_spreads(noisy: Noisy, *, rest: Belief, size: Size, tracks: int = 150) -> Array:
    """Return the log likelihood of every place under each of ``SPREADS``, shape (places, spreads).

    It is read from the tracks that are largest in the surroundings: chosen by them and not by the place's own noise.
    """
    rest = Belief(*np.broadcast_arrays(rest.mean, rest.relative_variance, noisy.counts)[:2])
    share, spreads = shares(rest), len(SPREADS)
    largest = np.argsort(-np.where(share < _EVERYBODY, share, 0), axis=1, kind="stable")[:, :tracks]
    mean, relative_variance, counts, variance = (
        np.repeat(_take(values, largest), spreads, axis=0)  # of each place a row for every spread
        for values in (size.mean[:, None] * share, rest.relative_variance, noisy.counts, noisy.variance)
    )
    few, every = Noisy(counts, variance), Size(np.repeat(size.mean, spreads), np.repeat(size.deviation, spreads))
    spread = np.tile(SPREADS, len(share))
    prior = _expecting(mean, relative_variance, noisy=few, spread=spread, size=every)
    return np.asarray(coarse_grid.log_likelihoods(few, prior).sum(axis=1).reshape(-1, spreads))


def usual_relations(evidence: Sequence[Array]) -> Array:
    """Return how common each pair of surroundings and one of ``SPREADS`` is among places, shape (pairs,).

    Small places borrow it, large ones overrule it.

    Parameters
    ----------
    evidence : sequence of numpy.ndarray, shape (surroundings, spreads)
        The log likelihood of a place in the light of its rest, and in that of its neighbourhood.
    """
    flat = np.reshape([*evidence], (len(evidence), 2 * len(SPREADS)))
    likelihood = np.exp(flat - flat.max(axis=1, keepdims=True, initial=-np.inf))
    return _mixture_weights(likelihood, rounds=50, prior=np.tile(_USUAL * _USUAL_PLACES / 2, 2))


def relation(evidence: Array, *, usual: Array) -> tuple[float, float]:
    """Return how much a place follows its neighbourhood (from 0 to 1) and its spread around that.

    Means of the posterior; of the spread, the root of the mean of its square.
    """
    weights = (np.exp(evidence - evidence.max()).ravel() * usual).reshape(evidence.shape)
    weights /= weights.sum()
    return float(weights[1].sum()), float(np.sqrt((weights @ SPREADS**2).sum()))


def belief(noisy: Noisy, prior: Prior) -> Belief:
    """Return the posterior on the coarse grid."""
    mean, variance, log_variance = coarse_grid.moments(noisy, prior)
    relative_variance = np.maximum(
        variance / np.maximum(mean, 1e-9) ** 2, np.expm1(np.minimum(log_variance, _LARGEST_LOG_VARIANCE))
    )
    return Belief(np.maximum(mean, 1e-9), relative_variance)


def log_factors(noisy: Noisy, *, expected: Array, centre: Array, variance: Array) -> tuple[Array, Array]:
    """Return posterior means and variances of the logarithms of the factors by which counts depart from expectation.

    Parameters
    ----------
    noisy : Noisy
    expected : numpy.ndarray, shape (places, tracks)
        Counts where the factor is 1; positive.
    centre, variance : numpy.ndarray, shape (places, tracks)
        Of the logarithms, beforehand.
    """
    middle = np.log(expected) + centre
    width = np.maximum(np.sqrt(variance), _width_to_reach(noisy, middle))
    mean, spread = coarse_grid.factors(noisy, Prior(middle, width, _GRID, _LOG_DENSITY))
    return centre + width * mean, width**2 * spread


def estimate(noisy: Noisy, prior: Prior) -> Estimate:
    """Return posterior means and intervals on a grid refined around each posterior.

    Counts are whole: an interval runs from the whole number below its lower quantile to the one above its upper.
    """
    mean, (low, high) = fine_grid.quantiles(noisy, prior, levels=COVERED, points=_FINE)
    return Estimate(mean, np.minimum(np.floor(low), mean), np.maximum(np.ceil(high), mean))


def reaching(noisy: Noisy, prior: Prior) -> Prior:
    """Return a prior of parts that is wide enough to believe what was counted, where noise is no excuse for it."""
    width = np.maximum(prior.width, _width_to_reach(noisy, prior.centre))
    return Prior(prior.centre, width, prior.grid, prior.log_density)


def take(noisy: Noisy, prior: Prior, columns: NDArray[np.intp]) -> tuple[Noisy, Prior]:
    """Return some tracks of every place; ``columns`` has shape (places, chosen tracks)."""
    return (
        Noisy(_take(noisy.counts, columns), _take(noisy.variance, columns)),
        Prior(_take(prior.centre, columns), _take(prior.width, columns), prior.grid, prior.log_density),
    )


def _take(values: Array, columns: NDArray[np.intp]) -> Array:
    return np.take_along_axis(np.broadcast_to(values, (len(columns), values.shape[1])), columns, axis=1)


def _width_to_reach(noisy: Noisy, centre: Array) -> Array:
    """Return the width at which the grid reaches what was released, where noise is no excuse for it.

    Where all other tracks agree with the surroundings, the one that does not must still be believed.
    """
    noise = np.sqrt(noisy.variance)
    most = np.log(np.maximum(noisy.counts + 3 * noise, 1.0))
    up = np.where(noisy.counts > _BEYOND_NOISE * noise, (most - centre) / _GRID[-1], 0)
    return np.asarray(np.maximum(up, (centre - most + 1) / -_GRID[0]))


def _expecting(mean: Array, relative_variance: Array, *, noisy: Noisy, spread: Array, size: Size) -> Prior:
    """Return the prior of counts with the given means, of which size and shares are as uncertain as is told."""
    mean = np.maximum(mean, 1e-6)
    width_squared = np.log1p(_departure(relative_variance, spread=spread, size=size) + 1 / mean)
    centre = np.log(mean) - width_squared / 2
    return Prior(centre, np.maximum(np.sqrt(width_squared), _width_to_reach(noisy, centre)), _GRID, _LOG_DENSITY)


def _departure(relative_variance: Array, *, spread: Array, size: Size) -> Array:
    """Return the squared relative deviation of counts from size times share, but for chance."""
    of_both = (relative_variance + 1) * (1 + (size.deviation / size.mean) ** 2)[:, None]
    return np.asarray(_per_track(np.exp(spread**2)) * of_both - 1)


def _per_track(values: Array) -> Array:
    """Return values of places in the shape (places, tracks)."""
    return values[:, None] if values.ndim == 1 else values


def _positive(mean: Array, deviation: Array) -> tuple[Array, Array]:
    """Return mean and standard deviation of normal variables that are known to be positive."""
    z = np.clip(mean / deviation, -30, None)  # far below zero all look alike: an exponential of this mean
    hazard = np.exp(-0.5 * z**2 - 0.5 * np.log(2 * np.pi) - log_ndtr(z))
    return deviation * np.maximum(z + hazard, 1e-3), deviation * np.sqrt(np.maximum(1 - hazard * (z + hazard), 1e-6))


def _mixture_weights(likelihood: Array, *, rounds: int, prior: Array) -> Array:
    """Return the likeliest mixture weights by EM, where the prior adds observations to components, or takes some away.

    ``likelihood`` has shape (observations, components), and the prior is a Dirichlet's parameters minus 1.
    """
    weights = np.full(len(prior), 1 / len(prior))
    for _ in range(rounds):
        weights = np.maximum(_summed_shares(likelihood, weights) + prior, 0)
        weights /= weights.sum()
    return weights


@compiled
def _summed_shares(likelihood: Array, weights: Array) -> Array:
    """Return the sum over observations of how likely each comes from each component."""
    found, terms = np.zeros(len(weights)), np.empty(len(weights))
    for i in range(len(likelihood)):
        total = 0.0
        for k in range(len(weights)):
            terms[k] = likelihood[i, k] * weights[k]
            total += terms[k]
        for k in range(len(weights)):
            found[k] += terms[k] / max(total, 1e-300)
    return found


_GRID = np.arange(-5, 10 + _STEP / 2, _STEP)
_LOG_DENSITY = -0.5 * _GRID**2
