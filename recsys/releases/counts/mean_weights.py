"""Mean weights: how many listeners stand behind what was counted, from the totals of a place and of those around it.

A release adds up weights, of which heavy listeners give less to each track than light ones. Over the mean weight of all
tracks that were played in a place, ``listeners = weights / mean``, everybody together counts once for every track that
they played; one who played many tracks counts for less in each than one who played few.
"""

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import date

import numpy as np
from numpy.typing import NDArray

from recsys.geography.atlas import Atlas
from recsys.releases.counts.noisy_counts import Array
from recsys.weights import FULL, SQUARE, TRACKS_UNIT, WEIGHTS_UNIT

IN_UNITS = np.array([TRACKS_UNIT, WEIGHTS_UNIT], dtype=np.int64)  # tracks and full weights, of sixteenths
NOISE_OF_TOTALS = SQUARE * IN_UNITS.astype(np.float64) ** 2  # variance of the noise in totals, by that in a count

_LOGARITHMS = np.linspace(np.log(1 / FULL), 0.0, 4096)  # of mean weights: no weight is smaller than a sixteenth
_USUAL, _OFTEN = np.log(0.5), 1.0  # of a world about which nothing is known, all or hardly any: logarithm and deviation
_ALIKE = 0.1  # log deviation between a place and the larger one: both have daily and weekly, light and heavy listeners


@dataclass(frozen=True)
class PlaceTotals:
    """Noisy totals of places, over some nights.

    Parameters
    ----------
    totals : mapping of str to numpy.ndarray, shape (2,)
        By part, and by larger place that was counted by itself: tracks, and their weights.
    variances : mapping of str to numpy.ndarray, shape (2,)
        Of the noise in them.
    nights : frozenset of date
        Those that have totals: before weights were earned, all counted in full.
    """

    totals: Mapping[str, Array]
    variances: Mapping[str, Array]
    nights: frozenset[date] = frozenset()

    def over(self, nights: Collection[date], *, weight: float) -> float:
        """Return the mean weight of some nights, where it is ``weight`` on those that have totals."""
        return sum(weight if night in self.nights else 1.0 for night in nights) / len(nights)


@dataclass(frozen=True)
class MeanWeight:
    """What is believed of a place's mean weight.

    Parameters
    ----------
    mean : float
    relative_variance : float
        Variance over squared mean.
    """

    mean: float
    relative_variance: float


IN_FULL = MeanWeight(1.0, 0.0)


def mean_weights(found: PlaceTotals, *, atlas: Atlas) -> dict[str, MeanWeight]:
    """Read the mean weight of every place: of the world by itself, of others in the light of the larger place.

    The ratio of two noisy totals, of which neither may be clearly above zero: its likelihood is that of
    ``weights - ratio * tracks``, which is normal around zero, at the number of tracks that is likeliest by it. Where
    totals are mostly noise, all ratios are as likely, and what is expected beforehand stands.

    Parameters
    ----------
    found : PlaceTotals
        Without any place, as of nights on which all counted in full, every mean weight is 1.
    atlas : Atlas

    References
    ----------
    E. Fieller, "Some Problems in Interval Estimation" (JRSS B 1954).
    """
    if not found.totals:
        return dict.fromkeys(atlas.members, IN_FULL)
    read: dict[str, MeanWeight] = {}
    for place in sorted(atlas.members, key=lambda place: (len(atlas.chain(place)), place)):
        parent = atlas.places[place].parent
        prior = _like(read[parent]) if parent else (_USUAL, _OFTEN)
        read[place] = _posterior(*_measured(found, place, atlas=atlas), prior=prior)
    return read


def _like(larger: MeanWeight) -> tuple[float, float]:
    """Return what is expected within a larger place: logarithm and its deviation."""
    return math.log(larger.mean), math.hypot(math.sqrt(larger.relative_variance), _ALIKE)


def _measured(found: PlaceTotals, place: str, *, atlas: Atlas) -> tuple[Array, Array]:
    """Return a place's totals and their variances: the sum of its parts, pooled with its own by inverse variance."""
    members = [part for part in atlas.members[place] if part in found.totals]
    summed, noise = (sum((some[part] for part in members), np.zeros(2)) for some in (found.totals, found.variances))
    if len(members) < len(atlas.members[place]):
        summed, noise = np.zeros(2), np.full(2, np.inf)
    if place in members or place not in found.totals:
        return summed, noise
    precision = 1 / noise + 1 / found.variances[place]
    return (summed / noise + found.totals[place] / found.variances[place]) / precision, 1 / precision


def _posterior(totals: Array, variances: Array, *, prior: tuple[float, float]) -> MeanWeight:
    ratios: NDArray[np.float64] = np.exp(_LOGARITHMS)
    log_weights = -0.5 * ((_LOGARITHMS - prior[0]) / prior[1]) ** 2
    if np.isfinite(variances).all():
        spread = variances[1] + ratios**2 * variances[0]
        log_weights -= (totals[1] - ratios * totals[0]) ** 2 / (2 * spread)
    weights = np.exp(log_weights - log_weights.max())
    weights /= weights.sum()
    mean = float(weights @ ratios)
    return MeanWeight(mean, float(weights @ (ratios - mean) ** 2) / mean**2)
