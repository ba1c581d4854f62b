"""The price of a chart: how many accounts that all play one track would bring it there, from released counts alone.

Charts are attacked for money, so each states what an attack needs: of accounts that count in full, all at home in the
place, and all playing one track every night, which nobody plays otherwise, fewer than so many bring it into the first
20, or to rank 1, within seven nights in at most one of a thousand tries. An account that plays more, or elsewhere, too,
adds less. It is a figure of what was released, and a careful one: noise may help the attack, and hits go, so that what
is needed for a rank may be less by then.
"""

import math
from collections.abc import Sequence

import numpy as np
from scipy.special import ndtri

from recsys.artifacts.chart_database import Price
from recsys.releases.counts.noisy_counts import Array, Noisy
from recsys.releases.inference import posterior
from recsys.releases.inference.hierarchy import Reading

FIRST = 20  # ranks

_SELDOM = float(-ndtri(1e-3))  # standard deviations that noise adds in one of a thousand tries
_FALLS = np.array(
    [0.7, 0.4]
)  # of what rank 20 and rank 1 have: so much is left after a week in all but 1 of 100 places
_CERTAIN = 1.96  # of a 95 % interval
_POINTS = 512  # of the counts that are tried


def price_of_popular(reading: Reading, estimates: Array, *, nights: int, weight: float) -> Price:
    """Return the price of a popular chart.

    Parameters
    ----------
    reading : Reading
        Of the place.
    estimates : numpy.ndarray, shape (lines,)
        Of the chart's lines over the whole window, as they are ranked, in units of the reading.
    nights : int
        Of the window.
    weight : float
        The mean weight that the reading's counts were divided by: a full account adds one over it a night.
    """
    noise = float(np.sqrt(np.median(reading.noisy.variance)))
    ranks = _FALLS * [estimates[min(FIRST, len(estimates)) - 1], estimates[0]]
    counts = np.linspace(0, 2 * ranks.max() + 12 * noise, _POINTS)[None]
    unheard = np.full((1, _POINTS), int(reading.belief.mean[0].argmin()))
    noisy = Noisy(counts, np.full_like(counts, noise**2))
    _, prior = posterior.take(reading.noisy, reading.prior, unheard)
    expected = prior if reading.around is None else posterior.reaching(noisy, prior)
    estimated = np.maximum.accumulate(posterior.belief(noisy, expected).mean[0])
    needed = counts[0, np.minimum(np.searchsorted(estimated, ranks), _POINTS - 1)] - _SELDOM * noise
    return Price(*(_accounts(count * weight / nights) for count in needed))


def price_of_found(
    merits: Sequence[float], *, noise: float, p: float, windows: int, least: float, weight: float
) -> Price:
    """Return the price of a rising or local chart: a track has to be found there, and to be worth more than others.

    Parameters
    ----------
    merits : sequence of float
        The lower bounds, in listeners a night, that the list's lines stand for, the largest first.
    noise : float
        Standard deviation of a track's count a night, over the longest window.
    p : float
        The largest p value that would be named beside those that are.
    windows : int
        In how many windows a track is looked for.
    least : float
        Listeners a night that a line has to have surely, whatever else.
    weight : float
        As for :func:`price_of_popular`.
    """
    found = float(-ndtri(min(p / windows, 0.5))) * noise
    lowest = merits[FIRST - 1] if len(merits) >= FIRST else least
    needed = (max(found, bound + _CERTAIN * noise) for bound in (lowest, max(merits, default=least)))
    return Price(*(_accounts((count - _SELDOM * noise) * weight) for count in needed))


def _accounts(weights: float) -> int:
    """Return as many whole accounts, and at least one."""
    return max(1, math.ceil(weights))
