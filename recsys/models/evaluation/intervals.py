"""Intervals of paired differences: how sure a comparison is, by how much listeners and trainings differ.

How much the listeners of a small region differ is hardly known from themselves: of ten differences most can be 0 and a
single one tell of the others' scale. So a region's variance is that of all regions' listeners as far as its own cannot
tell it from theirs, and its own as far as it can; with as much more to say as regions have listeners, intervals are
Student's.

References
----------
G. Smyth, "Linear Models and Empirical Bayes Methods for Assessing Differential Expression in Microarray Experiments"
(Statistical Applications in Genetics and Molecular Biology 3(1), 2004), for tests whose variances are moderated by
those of many alike; R. DerSimonian, N. Laird, "Meta-analysis in clinical trials" (Controlled Clinical Trials 7, 1986),
for how much what was estimated many times really differs; F. Satterthwaite, "An Approximate Distribution of Estimates
of Variance Components" (Biometrics 2, 1946), for the degrees of freedom of a sum.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy import stats

from recsys.models.interactions import IntArray
from recsys.models.metrics import BoolArray, Values

CONFIDENCE = 0.95
FALSE = 0.05  # of what is called sure, so much may be chance
_TIMES = 3  # that weights and what they are made of are brought together


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another, on the same listeners.

    Parameters
    ----------
    mean : float
        The first one's mean minus the second one's.
    low, high : float
        The 95 % interval of the mean.
    chance : float
        How often two models that are alike would differ at least as much: the two-sided p-value.
    """

    mean: float
    low: float
    high: float
    chance: float = np.nan

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


class Variance(NamedTuple):
    """The variance of something that was estimated, and of how many degrees of freedom it is known.

    Parameters
    ----------
    value, freedom : float or numpy.ndarray
    """

    value: Values
    freedom: Values


def paired(differences: Values, strata: IntArray | None = None, *, luck: Sequence[Variance] = ()) -> list[Difference]:
    """Return the mean of k differences, with intervals.

    With strata the mean is that of the strata's means: the regions stay, their listeners vary.

    Parameters
    ----------
    differences : numpy.ndarray
        (n, k) one model's metric minus another's, for each listener.
    strata : numpy.ndarray, optional
        (n,) any number for each listener's region.
    luck : sequence of Variance
        Of the mean, by what else but its listeners made it vary: of training (:func:`luck_of_mean`).

    Returns
    -------
    list of Difference
        k of them; NaN where there is nobody, and of a single listener all but the mean.
    """
    if not len(differences):
        return [Difference(np.nan, np.nan, np.nan)] * differences.shape[1]
    of_stratum = _Strata.of(strata, len(differences))
    return [_of_mean(column, of_stratum, luck) for column in differences.T]


def by_stratum(differences: Values, strata: IntArray, *, luck: Sequence[Variance] = ()) -> list[Difference]:
    """Return the mean of every stratum with its interval, in the order of the strata's numbers.

    Parameters
    ----------
    differences : numpy.ndarray
        (n,) one model's metric minus another's, for each listener.
    strata : numpy.ndarray
        (n,) numbers of the listeners' regions.
    luck : sequence of Variance
        Of any region's mean, by what else but its listeners made it vary (:func:`luck_of_strata`).
    """
    if not len(differences):
        return []
    of_stratum = _Strata.of(strata, len(differences))
    each = _moderated(differences, of_stratum)
    spread = _sum(*(Variance(found.value / of_stratum.sizes, found.freedom) for found in each), *luck)
    return [
        _difference(mean, Variance(value, freedom))
        for mean, value, freedom in zip(of_stratum.means(differences), *spread, strict=True)
    ]


def luck_of_mean(draws: Values, strata: IntArray | None = None) -> Variance:
    """Return the variance of the mean over d trainings that these trainings, and not listeners, give it.

    Parameters
    ----------
    draws : numpy.ndarray
        (n, d) a model's metric for each listener, by each of d trainings that differ by luck alone; d is 2 or more.
    strata : numpy.ndarray, optional
        As of :func:`paired`.
    """
    of_stratum = _Strata.of(strata, len(draws))
    means = np.array([of_stratum.means(draw).mean() for draw in draws.T])
    return Variance(np.asarray(means.var(ddof=1) / len(means)), np.asarray(len(means) - 1.0))


def luck_of_strata(draws: Values, strata: IntArray) -> list[Variance]:
    """Return the same of a stratum's mean: what all strata share of it, and what each has of its own, for all alike.

    Without what single listeners' luck adds: that stands in how much listeners differ already. What all listeners of a
    stratum share is what its means vary by between trainings, over what they would if every listener had luck of its
    own alone (an analysis of variance).

    Parameters
    ----------
    draws : numpy.ndarray
        (n, d) as of :func:`luck_of_mean`.
    strata : numpy.ndarray
        (n,) as of :func:`by_stratum`.
    """
    of_stratum, trainings = _Strata.of(strata, len(draws)), draws.shape[1]
    regions, less = len(of_stratum.sizes), trainings - 1
    of_listener = draws - draws.mean(axis=1, keepdims=True)
    of_region = np.column_stack([of_stratum.means(draw) for draw in of_listener.T])
    of_all = of_region.mean(axis=0)
    alone = ((of_listener - of_region[of_stratum.of_row]) ** 2).sum() / max((len(draws) - regions) * less, 1)
    apart = ((of_region - of_all) ** 2).sum() / max((regions - 1) * less, 1) - alone * (1 / of_stratum.sizes).mean()
    shared, own = (of_all**2).sum() / less, max(apart, 0.0) if regions > 1 else 0.0
    return [
        Variance(np.asarray(shared / trainings), np.asarray(float(less))),
        Variance(np.asarray(own / trainings), np.asarray(float(max(regions - 1, 1) * less))),
    ]


def sure(chances: Sequence[float]) -> BoolArray:
    """Return (n,) which of n differences are sure: so that of those called so one in twenty is chance on average.

    Parameters
    ----------
    chances : sequence of float
        The :attr:`Difference.chance` of each; what is NaN is not sure.

    References
    ----------
    Y. Benjamini, Y. Hochberg, "Controlling the False Discovery Rate" (JRSS B 57, 1995).
    """
    each = np.asarray(chances, dtype=np.float64)
    found = np.zeros(len(each), dtype=bool)
    asked = ~np.isnan(each)
    found[asked] = stats.false_discovery_control(each[asked]) <= FALSE if asked.any() else False
    return found


class _Strata(NamedTuple):
    """Which rows belong together.

    Parameters
    ----------
    of_row : numpy.ndarray
        (n,) positions of strata.
    sizes : numpy.ndarray
        (r,) numbers of rows.
    """

    of_row: IntArray
    sizes: IntArray

    @classmethod
    def of(cls, strata: IntArray | None, number: int) -> "_Strata":
        if strata is None:
            return cls(np.zeros(number, dtype=np.int64), np.array([number]))
        _, of_row, sizes = np.unique(strata, return_inverse=True, return_counts=True)
        return cls(of_row, sizes)

    def means(self, values: Values) -> Values:
        return self.sums(values) / self.sizes

    def sums(self, values: Values) -> Values:
        return np.bincount(self.of_row, weights=values, minlength=len(self.sizes)).astype(np.float64)


def _of_mean(values: Values, strata: _Strata, luck: Sequence[Variance]) -> Difference:
    """Return the mean of the strata's means; where everybody is alone, their variance is that of one stratum."""
    means, regions = strata.means(values), len(strata.sizes)
    if strata.sizes.max() == 1:
        together = Variance(np.asarray(means.var(ddof=1) if regions > 1 else np.nan), np.asarray(regions - 1.0))
        return _difference(means.mean(), _sum(Variance(together.value / regions, together.freedom), *luck))
    of_all, own = (
        Variance(found.value / strata.sizes / regions**2, found.freedom) for found in _moderated(values, strata)
    )
    each = (Variance(value, freedom) for value, freedom in zip(*own, strict=True))
    return _difference(means.mean(), _sum(Variance(of_all.value.sum(), of_all.freedom), *each, *luck))


def _moderated(values: Values, strata: _Strata) -> tuple[Variance, Variance]:
    """Return (r,) how much of the variance of a listener of each stratum is that of all strata's, and how much its own.

    That of all is the mean of the strata's own, by how well each is known: else large strata would speak for small
    ones.
    The variance of n normal ones' variance is 2 / (n - 1) of its square; with a kurtosis k, (k - 3) / n of it more.
    """
    deviations, sizes = values - strata.means(values)[strata.of_row], strata.sizes
    inner, told = np.maximum(sizes - 1, 1), sizes > 1
    all_inner = float((sizes - 1).sum())
    unit = (deviations**2).sum() / all_inner if all_inner else 0.0
    own, common, shared = np.zeros(len(sizes)), 0.0, np.ones(len(sizes))
    if np.sqrt(unit) > 0:  # all in this unit, as squares of what is tiny are nothing
        alike = deviations / np.sqrt(unit)
        own = strata.sums(alike**2) / inner
        doubt = (_excess(alike, strata) / sizes + 2 / inner)[told]
        common, really = _common(own[told], doubt)
        shared[told] = doubt / (doubt + really)
    value, freedom = shared * common * unit, np.asarray(all_inner)
    return Variance(value, freedom), Variance((1 - shared) * own * unit, inner.astype(np.float64))


def _excess(deviations: Values, strata: _Strata) -> float:
    """Return by how much the kurtosis of listeners exceeds 3: from deviations of means of n, which have less of it.

    A deviation is (1 - 1 / n) of a listener's own, less 1 / n of each other's; cumulants of sums are sums.
    """
    n = strata.sizes[strata.of_row].astype(np.float64)
    there = n > 1
    kept = 1 - 1 / n[there]
    alike = deviations[there] / np.sqrt(kept)
    less = (kept**4 + (n[there] - 1) / n[there] ** 4) / kept**2
    found = ((alike**4).mean() / (alike**2).mean() ** 2 - 3) / less.mean()
    return float(max(found, -2 / 3))


def _common(own: Values, doubt: Values) -> tuple[float, float]:
    """Return the mean of what was estimated with doubt, and the variance that doubt does not explain.

    By DerSimonian and Laird; the mean weighs each by both, and so does the variance once that is known.
    """
    weights, really = 1 / doubt, 0.0
    for _ in range(_TIMES):
        mean = float((weights * own).sum() / weights.sum())
        beyond = (weights * (own - mean) ** 2).sum() - (weights * doubt).sum()
        beyond += (weights**2 * doubt).sum() / weights.sum()
        scale = weights.sum() - (weights**2).sum() / weights.sum()
        really = max(float(beyond / scale), 0.0) if scale > 0 else 0.0
        weights = 1 / (doubt + really)
    return float((weights * own).sum() / weights.sum()), really


def _sum(*terms: Variance) -> Variance:
    """Return the variance of a sum of independent terms, of as many degrees of freedom as Satterthwaite gives it."""
    value = np.asarray(sum(term.value for term in terms))
    each = [np.square(term.value) / np.where(term.freedom > 0, term.freedom, np.nan) for term in terms]
    weights = np.asarray(sum(each))
    least = np.minimum.reduce(np.broadcast_arrays(*(term.freedom for term in terms), value)[:-1]).astype(np.float64)
    return Variance(value, np.divide(value**2, weights, out=np.array(least), where=weights > 0))


def _difference(mean: float, spread: Variance) -> Difference:
    error, freedom = float(np.sqrt(spread.value)), float(spread.freedom)
    if not freedom > 0:
        return Difference(float(mean), np.nan, np.nan)
    wide = stats.t.ppf((1 + CONFIDENCE) / 2, freedom) * error
    beyond = abs(mean) / error if error > 0 else np.inf * abs(mean) if mean else 0.0
    return Difference(float(mean), float(mean - wide), float(mean + wide), float(2 * stats.t.sf(beyond, freedom)))
