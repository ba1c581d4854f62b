"""Paired bootstrap: how sure a comparison is, from listeners drawn again and again for both models."""

from dataclasses import dataclass

import numpy as np

from recsys.models.interactions import IntArray
from recsys.models.metrics import Values

RESAMPLES = 1_000
CONFIDENCE = 0.95
_SEED = 1979  # of the draws: two runs on the same values give the same interval
_DRAWS_AT_ONCE = 2_000_000  # bounds the memory whatever the number of listeners


@dataclass(frozen=True)
class Difference:
    """How much better one model is than another, on the same listeners.

    Parameters
    ----------
    mean : float
        The first one's mean minus the second one's.
    low, high : float
        The 95 % interval of the mean.
    """

    mean: float
    low: float
    high: float

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.low > 0 or self.high < 0


def paired(differences: Values, strata: IntArray | None = None, *, resamples: int = RESAMPLES) -> list[Difference]:
    """Return the mean of k differences, with intervals of a percentile bootstrap over listeners.

    A draw takes as many listeners as there are, with replacement, and all differences of each: they stay paired. With
    strata the mean is that of the strata's means, and a draw is made within each stratum: the regions stay, their
    listeners vary. Listeners who are alone in their stratum are drawn among each other. As n drawn of n vary less than
    n listeners of a region do, deviations from a stratum's mean are widened by ``sqrt(n / (n - 1))``.

    Parameters
    ----------
    differences : numpy.ndarray
        (n, k) one model's metric minus another's, for each listener.
    strata : numpy.ndarray, optional
        (n,) any number for each listener's region.
    resamples : int

    Returns
    -------
    list of Difference
        k of them; all NaN where n is 0.

    References
    ----------
    B. Efron, R. Tibshirani, "An Introduction to the Bootstrap" (1993), chapters 8 and 13; J. Rao, C. Wu, "Resampling
    Inference With Complex Survey Data" (JASA 1988), for the widening in small strata.
    """
    if not len(differences):
        return [Difference(np.nan, np.nan, np.nan)] * differences.shape[1]
    group = np.zeros(len(differences), dtype=np.int64) if strata is None else strata
    order = np.argsort(group, kind="stable")
    sizes = np.unique(group, return_counts=True)[1]
    weighted = differences[order] / np.repeat(sizes * len(sizes), sizes)[:, None]
    means = _drawn(*_widened(weighted, sizes), resamples=resamples)
    tail = (1 - CONFIDENCE) / 2
    low, high = np.quantile(means, [tail, 1 - tail], axis=0)
    columns = zip(weighted.sum(axis=0), low, high, strict=True)
    return [Difference(float(mean), float(below), float(above)) for mean, below, above in columns]


def _widened(weighted: Values, sizes: IntArray) -> tuple[Values, IntArray]:
    """Return the rows, those alone in their stratum first and as one, as far from their strata's means as n tell."""
    alone = np.repeat(sizes == 1, sizes)
    rows = np.concatenate([weighted[alone], weighted[~alone]])
    sizes = np.concatenate([[alone.sum()] if alone.any() else [], sizes[sizes > 1]]).astype(np.int64)
    mean = np.repeat(np.add.reduceat(rows, np.cumsum(sizes) - sizes, axis=0) / sizes[:, None], sizes, axis=0)
    factor = np.repeat(np.sqrt(sizes / np.maximum(sizes - 1, 1)), sizes)
    return mean + (rows - mean) * factor[:, None], sizes


def _drawn(of: Values, sizes: IntArray, *, resamples: int) -> Values:
    """Return (resamples, k) sums of drawn rows; rows are drawn with replacement among the rows of their stratum."""
    rng = np.random.default_rng(_SEED)
    size, start, number = np.repeat(sizes, sizes), np.repeat(np.cumsum(sizes) - sizes, sizes), len(of)
    found = []
    for first in range(0, resamples, step := max(1, _DRAWS_AT_ONCE // number)):
        draws = min(step, resamples - first)
        rows = start + (rng.random((draws, number)) * size).astype(np.int64)
        times = np.bincount((rows + np.arange(draws)[:, None] * number).ravel(), minlength=draws * number)
        found.append(times.reshape(draws, number).astype(np.float64) @ of)
    return np.concatenate(found)
