"""Popularity by place: shares of plays, each place's shrunk toward those of its parent."""

import numpy as np
from scipy import sparse

from recsys.models.interactions import FloatArray, Interactions
from recsys.models.place_tree import WORLD_ROW, Places
from recsys.settings import ModelsSettings

TRENDS = ("recent", "growth", "new")
_LAST_BITS = 1e-5  # of a float32, in proportion to the largest score


def trends(interactions: Interactions, *, places: Places, settings: ModelsSettings) -> FloatArray:
    """Return (3, p + c + 1, m) z-scores of every track in every place, the last row the world's.

    ``recent`` is the log share of a track among the decayed nights of the place's listeners, ``growth`` that minus the
    log share among all their tracks, ``new`` minus the log age of the track, the same everywhere.
    """
    heard = interactions.confidence.astype(bool).astype(np.float32)
    popular, recent = (
        np.log(shares(weights, interactions=interactions, places=places, shrinkage=settings.trend_shrinkage))
        for weights in (heard, interactions.recent)
    )
    new = np.broadcast_to(-np.log1p(interactions.age), popular.shape)
    return np.stack([standardized(trend) for trend in (recent, recent - popular, new)])


def shares(weights: sparse.csr_array, *, interactions: Interactions, places: Places, shrinkage: float) -> FloatArray:
    """Return (p + c + 1, m) posterior shares of every track in the weights of a place's listeners.

    With w the sums over a place's n weights in all and q the parent's shares, a share is ``(w + k q) / (n + k)``, the
    mean of a Dirichlet posterior whose prior has k = ``shrinkage`` observations; the world adds half to every track.

    Parameters
    ----------
    weights : scipy.sparse.csr_array
        (listeners, m) non-negative.
    interactions : Interactions
    places : Places
    shrinkage : float
    """
    found = np.empty((len(places) + 1, weights.shape[1]), dtype=np.float32)
    found[: places.parts] = _summed(weights, interactions.homes, places.parts)
    countries = len(places) - places.parts
    country_of = places.parents[: places.parts] - places.parts  # negative without a country
    found[places.parts : -1] = _summed(found[: places.parts], country_of, countries)
    found[WORLD_ROW] = weights.sum(axis=0) + 0.5
    found[WORLD_ROW] /= max(found[WORLD_ROW].sum(), 1)
    for place in reversed(range(len(places))):  # countries before their parts
        found[place] += np.float32(shrinkage) * found[places.parents[place]]
        found[place] /= found[place].sum()
    return found


def standardized(scores: FloatArray, columns: np.ndarray | slice = slice(None)) -> FloatArray:
    """Return each row minus its mean over some columns, over its standard deviation there.

    Where it is constant there but for the last bits of its numbers, that of the whole row is taken; a constant row
    becomes zeros.
    """
    # Means in double precision, as the last bits of a sum of floats depend on how many rows lie beside this one.
    centred = scores - scores[:, columns].mean(axis=1, keepdims=True, dtype=np.float64).astype(np.float32)
    least = _LAST_BITS * np.abs(scores).max(axis=1, initial=0, keepdims=True)
    spread = centred[:, columns].std(axis=1, keepdims=True, dtype=np.float64)
    flat = ~(spread > least)[:, 0]
    spread[flat] = centred[flat].std(axis=1, keepdims=True, dtype=np.float64)
    spread = spread.astype(np.float32)
    return np.asarray(np.divide(centred, spread, out=np.zeros_like(centred), where=spread > least))


def _summed(rows: sparse.csr_array | FloatArray, groups: np.ndarray, count: int) -> FloatArray:
    """Return (count, m) sums of the rows of each group; negative groups are nobody's."""
    here = np.flatnonzero(groups >= 0)
    member = sparse.csr_array((np.ones(len(here)), (groups[here], here)), shape=(count, len(groups)))
    summed = member @ rows
    return np.asarray(summed.toarray() if sparse.issparse(summed) else summed, dtype=np.float32)
