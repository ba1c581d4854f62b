"""Significance and false discoveries: what clearly lies above expectation, and by how much; behind rising and local.

A noisy count is compared with what it should be. Its p value knows the variance of the noise, the chance of counting
listeners one by one, and how uncertain the expectation itself is; a list keeps the share of false discoveries within
its rate; and what made it into a list is read in the knowledge that it was chosen for being high.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

from recsys.releases.counts.noisy_counts import Array
from recsys.releases.inference.posterior import COVERED

_CERTAIN = 1.96  # standard deviations of a 95 % interval
_POINTS = 192  # of the grid of gains
_LEAST, _BEYOND = 0.5, 8.0  # standard deviations: the smallest gain of the grid, and how far it reaches past the count
_RESISTANT = 3.0  # standard deviations beyond which a track pulls a scale no harder
_LEAST_FACTOR, _UNMEASURED = 0.1, 1.0  # of a scale; the variance of one that could not be measured
_ROUNDS = 3  # of weighing and scaling
_USUALLY = ndtri((np.arange(40) + 0.5) / 40)  # standard deviations: as likely ones of what usually happens


@dataclass(frozen=True)
class Counted:
    """Counts a night with the variance of the noise in them, both of shape (..., tracks).

    Parameters
    ----------
    mean, variance : numpy.ndarray
    nights : numpy.ndarray
        Over how many nights each was averaged: chance averages out with them.
    """

    mean: Array
    variance: Array
    nights: Array

    def __getitem__(self, index: NDArray[np.intp]) -> "Counted":
        """Return some tracks."""
        return Counted(self.mean[..., index], self.variance[..., index], self.nights[..., index])

    def at(self, rows: NDArray[np.intp], tracks: NDArray[np.intp]) -> "Counted":
        """Return some tracks, each from a row of its own."""
        return Counted(self.mean[rows, tracks], self.variance[rows, tracks], self.nights[rows, tracks])


@dataclass(frozen=True)
class Expected:
    """What counts a night should be if nothing is special, and the variance of that figure, both (..., tracks)."""

    mean: Array
    variance: Array

    def __getitem__(self, index: NDArray[np.intp]) -> "Expected":
        """Return some tracks."""
        return Expected(self.mean[..., index], self.variance[..., index])

    def at(self, rows: NDArray[np.intp], tracks: NDArray[np.intp]) -> "Expected":
        """Return some tracks, each from a row of its own."""
        return Expected(self.mean[rows, tracks], self.variance[rows, tracks])

    def times(self, factor: float, variance: float) -> "Expected":
        """Return the expectation times an uncertain factor."""
        return Expected(self.mean * factor, self.variance * factor**2 + self.mean**2 * variance)


@dataclass(frozen=True)
class Interval:
    """Estimates with 95 % intervals, each of shape (tracks,); low <= estimate <= high."""

    estimate: Array
    low: Array
    high: Array

    def __getitem__(self, index: NDArray[np.intp]) -> "Interval":
        """Return some tracks."""
        return Interval(self.estimate[index], self.low[index], self.high[index])

    def __mul__(self, factor: float | Array) -> "Interval":
        """Return the estimates in another unit."""
        return Interval(self.estimate * factor, self.low * factor, self.high * factor)


def scale(counted: Counted, base: Counted | Expected, *, shape: Array, spread: float) -> tuple[float, float]:
    """Return by which factor counts differ from others as a whole: its estimate and variance.

    It is the ratio of two weighted totals. A track weighs by how large it should be (``shape``, which must not come
    from the noise in ``base``, or what is large by chance would make the factor too small), by its noise, and by how
    much tracks usually depart (``spread``, a standard deviation of log factors). One that departs far more pulls no
    harder than at three standard deviations: one that rises is not what the place does as a whole. Where noise hides
    the total, the factor is 1 and hardly known.

    Parameters
    ----------
    counted : Counted, shape (tracks,)
    base : Counted or Expected, shape (tracks,)
        What they are compared with; the factor is hardly ever below a tenth.
    shape : numpy.ndarray, shape (tracks,)
        About the counts that are expected.
    spread : float

    References
    ----------
    P. Huber, "Robust Estimation of a Location Parameter" (Annals of Mathematical Statistics 1964).
    """
    factor, error = 1.0, 0.0
    for _ in range(_ROUNDS):
        expected = factor * shape
        variance = counted.variance + expected / counted.nights + factor**2 * base.variance
        variance = variance + np.expm1(spread**2) * expected**2
        departure = np.abs(counted.mean - factor * base.mean) / np.sqrt(variance)
        weight = shape / variance / np.maximum(1, departure / _RESISTANT)
        total = float(weight @ base.mean)
        if total <= np.sqrt(weight**2 @ variance):
            return 1.0, _UNMEASURED
        factor = max(float(weight @ counted.mean) / total, _LEAST_FACTOR)
        error = float(weight**2 @ variance) / total**2
    return factor, error


def excess(counted: Counted, expected: Expected) -> Array:
    """Return by how many standard deviations counts exceed expectation, shape (..., tracks).

    The variance is that under the null hypothesis: of the noise, of a Poisson variable with the expected mean, and of
    the expectation.
    """
    return np.asarray((counted.mean - expected.mean) / np.sqrt(_variance(counted, expected, expected.mean)))


def p_values(exceeding: Array) -> Array:
    """Return one-sided p values over several windows of nights, shape (tracks,), from excesses (windows, tracks).

    The smallest of the windows' p values times their number (Bonferroni), which holds however they depend on each
    other; windows that share nights at 1, 2, 3, 5 and 7 nights lose a tenth of a standard deviation by it.
    """
    return np.asarray(np.minimum(len(exceeding) * ndtr(-exceeding.max(axis=0)), 1.0))


def discoveries(p: Array, *, rate: float, tested: int | None = None) -> NDArray[np.intp]:
    """Return the tracks that a list may name, of which on average at most the share ``rate`` is there by chance.

    Where nothing is special at all, at most that share of lists is not empty. The step-up procedure of Benjamini and
    Hochberg: the k-th smallest p value is held against ``rate * k / tested``. It is proved for p values that are
    independent or positively dependent.

    Parameters
    ----------
    p : numpy.ndarray, shape (tracks,)
    rate : float
        The false discovery rate, 0 to 1.
    tested : int, optional
        How many tracks were tested, where ``p`` holds only the smallest.

    References
    ----------
    Y. Benjamini, Y. Hochberg, "Controlling the False Discovery Rate" (JRSS B 1995).
    """
    order = np.argsort(p, kind="stable")
    passing = np.flatnonzero(p[order] <= rate * np.arange(1, len(p) + 1) / (tested or max(len(p), 1)))
    return order[: passing[-1] + 1] if len(passing) else order[:0]


def confirmed(p: Sequence[Array], tested: Sequence[int], *, rate: float) -> list[NDArray[np.intp]]:
    """Return the tracks that each of many lists may name, so that the rate holds for all of them together.

    With a list for each of a thousand places, a hundred of which nothing is special could fill a tenth of theirs by
    chance, and these would be most of what is shown. So nothing is named that would not be a discovery if all places
    were one list: where something happens in many places each needs less evidence, where hardly anything does, more.
    The rate is that of all that is named; it is not proved for a part of it, as the first of a list.

    Parameters
    ----------
    p : sequence of numpy.ndarray
        Of each place, at least all discoveries at the rate (:func:`discoveries`).
    tested : sequence of int
        How many tracks were tested in each.
    rate : float

    References
    ----------
    G. Blanchard, E. Roquain, "Two simple sufficient conditions for FDR control" (EJS 2008): counting only what each
    place found by itself keeps the rate, as that only grows when a p value falls.
    """
    every = np.concatenate([np.zeros(0), *p])
    largest = every[discoveries(every, rate=rate, tested=max(sum(tested), 1))].max(initial=-1.0)
    return [np.flatnonzero(some <= largest) for some in p]


def read_chosen(counted: Counted, expected: Expected, *, share: float) -> tuple[Interval, Interval]:
    """Read tracks that were chosen for being high: their counts a night, and the rates behind them.

    Posteriors under a prior with which choosing does no harm: a track gains nothing, or (with probability ``share``)
    an amount of which no order of magnitude is likelier than another. Small gains being as common as large ones, a
    count that just made it into the list is taken for a smaller one that was lucky; and where even no gain is not
    ruled out, the interval begins at the expectation. Estimates are the mean of what it gains if it gains.

    Parameters
    ----------
    counted : Counted, shape (chosen,)
    expected : Expected, shape (chosen,)
        With positive means.
    share : float
        How common gains are among the tracks that were chosen from.

    Returns
    -------
    tuple of Interval
        Listeners a night (the true count: it has no chance of its own), and the rate behind them.

    References
    ----------
    D. Yekutieli, "Adjusted Bayesian inference for selected parameters" (JRSS B 2012): a posterior whose prior holds
    for all tracks needs no correction for having been selected.
    """
    rates = expected.mean[:, None] + _gains(counted, expected)
    noise = counted.variance[:, None]
    chance = rates / counted.nights[:, None] + expected.variance[:, None]
    nothing = _nothing(counted, expected, _likelihood(counted, rates, noise + chance), share=share)
    lowest = np.maximum(expected.mean - _CERTAIN * np.sqrt(chance[:, 0]), 0.0)
    listeners = _posterior(rates, _likelihood(counted, rates, noise), least=lowest, nothing=nothing)
    rate = _posterior(rates, _likelihood(counted, rates, noise + chance), least=expected.mean, nothing=nothing)
    return listeners, rate


def read_any(counted: Counted, expected: Expected, *, wander: Array, share: float) -> tuple[Interval, Array, Array]:
    """Read tracks whatever their evidence: their counts a night, and how probably these exceed what was expected.

    Posteriors under a prior that holds for all tracks: with the probability ``share`` a track gained, an amount of
    which no order of magnitude is likelier than another; else its true count lies around expectation as counts usually
    do, by chance and because tracks wander. Estimates are medians, so that what is hardly known to have gained is not
    said to have.

    Parameters
    ----------
    counted : Counted, shape (tracks,)
    expected : Expected, shape (tracks,)
        With positive means; its variance includes that of the wandering.
    wander : numpy.ndarray, shape (tracks,)
        Variance with which counts go up and down without a trend.
    share : float
        How common gains are.

    Returns
    -------
    tuple of (Interval, numpy.ndarray, numpy.ndarray)
        Listeners a night, the probability that they are more than was expected, and their mean over both cases.
    """
    usual = np.sqrt(expected.mean / counted.nights + wander)[:, None] * _USUALLY
    gains = _gains(counted, expected)
    changes = np.hstack([usual, gains])
    before = np.hstack([np.full(usual.shape, (1 - share) / usual.shape[1]), np.full(gains.shape, share / _POINTS)])
    error = (counted.variance + expected.variance - wander)[:, None]
    weights = before * np.exp(-(((counted.mean - expected.mean)[:, None] - changes) ** 2) / (2 * error))
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-300)
    rates = np.maximum(expected.mean[:, None] + changes, 0)
    order = np.argsort(changes, axis=1)
    cumulative = np.cumsum(np.take_along_axis(weights, order, axis=1), axis=1)
    points = np.take_along_axis(rates, order, axis=1)
    low, median, high = (_reached(points, cumulative, level) for level in (COVERED[0], 0.5, COVERED[1]))
    return Interval(median, low, high), (weights * (changes > 0)).sum(axis=1), (weights * rates).sum(axis=1)


def above_one(lift: Interval) -> Array:
    """Return how probably lifts exceed one, shape (tracks,): of a log-normal with this mean and this lower bound.

    Its logarithm has a deviation s with ``log(mean / low) = 1.96 s + s^2 / 2``; its median is lower than its mean.
    """
    mean, low = (np.log(np.maximum(values, 1e-9)) for values in (lift.estimate, lift.low))
    deviation = np.sqrt(_CERTAIN**2 + 2 * np.maximum(mean - low, 1e-9)) - _CERTAIN
    return np.asarray(ndtr((mean - deviation**2 / 2) / deviation))


def ratio(above: Interval, below: Interval) -> Interval:
    """Return the ratio of two estimates with independent errors.

    The interval recovers the variances from both intervals on the logarithmic scale (MOVER).

    References
    ----------
    G. Zou, A. Donner, "Construction of confidence limits about effect measures" (Statistics in Medicine 2008).
    """
    top, bottom = _logarithms(above), _logarithms(below)
    lift = top.estimate - bottom.estimate
    down = np.hypot(top.estimate - top.low, bottom.high - bottom.estimate)
    up = np.hypot(top.high - top.estimate, bottom.estimate - bottom.low)
    low = np.where(above.low > 0, np.exp(lift - down), 0.0)
    return Interval(np.exp(lift), low, np.exp(lift + up))


def around(expected: Expected) -> Interval:
    """Return an expectation as a log-normal estimate with its interval."""
    return about(expected.mean, expected.variance / expected.mean**2)


def about(mean: float | Array, relative_variance: float | Array) -> Interval:
    """Return a log-normal estimate with its interval, from its mean and its variance over that squared."""
    deviation = np.sqrt(np.log1p(relative_variance))
    low, high = (mean * np.exp(sign * _CERTAIN * deviation) for sign in (-1, 1))
    return Interval(np.asarray(mean), low, high)


def _variance(counted: Counted, expected: Expected, rates: Array) -> Array:
    return np.asarray(counted.variance + np.maximum(rates, 0) / counted.nights + expected.variance)


def _gains(counted: Counted, expected: Expected) -> Array:
    """Return equally spaced logarithms of gains, as gains, for each track; shape (chosen, points)."""
    deviation = np.sqrt(_variance(counted, expected, np.maximum(counted.mean, expected.mean)))
    least = _LEAST * deviation
    most = np.maximum(counted.mean - expected.mean, 0) + _BEYOND * deviation
    return np.asarray(np.exp(np.linspace(np.log(least), np.log(most), _POINTS, axis=1)))


def _likelihood(counted: Counted, rates: Array, variance: Array) -> Array:
    return np.asarray(np.exp(-((counted.mean[:, None] - rates) ** 2) / (2 * variance)) / np.sqrt(variance))


def _nothing(counted: Counted, expected: Expected, gained: Array, *, share: float) -> Array:
    """Return the probability that nothing was gained, shape (chosen,)."""
    without = _likelihood(counted, expected.mean[:, None], _variance(counted, expected, expected.mean)[:, None])[:, 0]
    return np.asarray((1 - share) * without / ((1 - share) * without + share * gained.mean(axis=1) + 1e-300))


def _posterior(rates: Array, likelihood: Array, *, least: Array, nothing: Array) -> Interval:
    """Return the posterior of rates that are of a grid, or with a known probability the least possible."""
    weights = likelihood / np.maximum(likelihood.sum(axis=1, keepdims=True), 1e-300)
    estimate = (weights * rates).sum(axis=1)
    points = np.hstack([least[:, None], rates])
    cumulative = np.cumsum(np.hstack([nothing[:, None], weights * (1 - nothing[:, None])]), axis=1)
    low, high = (_reached(points, cumulative, level) for level in COVERED)
    return Interval(np.clip(estimate, low, high), low, high)


def _reached(points: Array, cumulative: Array, level: float) -> Array:
    """Return the point of each row at which a cumulative probability reaches a level."""
    at = np.minimum((cumulative < level).sum(axis=1), points.shape[1] - 1)
    return np.asarray(points[np.arange(len(points)), at])


def _logarithms(interval: Interval) -> Interval:
    return Interval(*(np.log(np.maximum(v, 1e-9)) for v in (interval.estimate, interval.low, interval.high)))
