"""Neighbourhoods: what was counted nearby, pooled so that the near and the clear ones count for more."""

from collections.abc import Sequence

import numpy as np

from recsys.geography.places import Place
from recsys.releases.counts.noisy_counts import Array, Noisy
from recsys.releases.counts.window import UNKNOWN

_DECAY = 4.0  # neighbours: how fast closeness falls with their rank by distance; from 3 to 6 serves real cities alike
_MOST = 12  # neighbours that are asked


def nearest(places: Sequence[Place]) -> tuple[list[list[int]], Array]:
    """Return for each place the others that are nearest to it, and how close each of those is.

    Nearness is by rank and not by kilometres, because a neighbourhood is as wide as places are sparse.

    Parameters
    ----------
    places : sequence of Place

    Returns
    -------
    neighbours : list of list of int
        Positions in the given sequence, nearest first.
    closeness : numpy.ndarray, shape (neighbours,)
        Of the first, the second, ... of them; it starts at 1.
    """
    radians = np.radians([(place.latitude, place.longitude) for place in places]).reshape(-1, 2)
    latitude, longitude = radians.T
    on_sphere = np.stack(
        [np.cos(latitude) * np.cos(longitude), np.cos(latitude) * np.sin(longitude), np.sin(latitude)], axis=1
    )
    number = min(_MOST, len(places) - 1)
    return [_nearest(on_sphere, i)[:number] for i in range(len(places))], np.exp(-np.arange(number) / _DECAY)


def _nearest(positions: Array, i: int) -> list[int]:
    distance = ((positions - positions[i]) ** 2).sum(axis=1)
    distance[i] = np.inf
    return [int(j) for j in np.argsort(distance, kind="stable")]


def pooled(counted: Sequence[Noisy], *, sizes: Array, closeness: Array, share: Array, spread: float) -> Noisy:
    """Return the counts of a neighbourhood, as if it were one place: its neighbours' shares, averaged.

    A neighbour's share of a track is its count over its size. It tells about the neighbourhood up to its own taste
    (a log factor of standard deviation ``spread``) and the noise, so it is weighed by closeness over the variance of
    both: where noise is small every neighbour has a voice, whatever its size; where it is large, the large ones lead.
    The total is scaled so that chance has the effect that it has in a place of that size.

    Parameters
    ----------
    counted : sequence of Noisy, each of shape (1, tracks)
        Of the neighbours.
    sizes, closeness : numpy.ndarray, shape (neighbours,)
    share : numpy.ndarray, shape (tracks,)
        Roughly expected of each track; it tells which tracks decide.
    spread : float

    Returns
    -------
    Noisy
        Of shape (1, tracks); of a track that no neighbour counted it says nothing.
    """
    counts, variance = (np.concatenate([getattr(some, name) for some in counted]) for name in ("counts", "variance"))
    known = variance < UNKNOWN
    weight = (
        closeness * sizes / (sizes**2 + _equal_to_taste(np.where(known, variance, 0), share * known, spread=spread))
    )
    size, square = (weight * sizes).sum(), (weight**2 * sizes).sum()
    voiced = (weight * sizes) @ known
    scale = size**2 / square / np.where(voiced > 0, voiced, 1)
    noise = scale**2 * (weight**2 @ np.where(known, variance, 0))
    return Noisy((scale * (weight @ (counts * known)))[None], np.where(voiced > 0, noise, UNKNOWN)[None])


def _equal_to_taste(variance: Array, share: Array, *, spread: float) -> Array:
    """Return the squared size at which noise varies shares as much as tastes do, on average over what is played."""
    taste = (share**3).sum(axis=1) * np.expm1(spread**2)
    return np.asarray((share * variance).sum(axis=1) / np.maximum(taste, 1e-300))
