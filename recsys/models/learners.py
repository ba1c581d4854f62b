"""Learners: the listeners that models learn from, where there are more than a setting bounds."""

from hashlib import blake2b

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.models.interactions import IntArray, Interactions
from recsys.settings import ModelsSettings


def drawn(interactions: Interactions, *, settings: ModelsSettings) -> IntArray:
    """Draw the listeners to learn from: everybody, or as many as ``max_training_listeners``, by keyed hash.

    Half of the draw is of all listeners alike and half of all places alike, so that the world's model is of the world,
    and a place of up to half of an even share keeps everybody it has: by a draw of all listeners alike lists are no
    better on the whole, and far worse in small places (docs/scale.md).

    Both are one order: with n listeners in all, of whom n_p are at home in place p of P, its r-th listener by hash has
    the turn ``r / (n_p / n + 1 / P)``, and the earliest turns are drawn. So a larger bound draws the same listeners and
    more, and a night mostly those of the night before.

    Parameters
    ----------
    interactions : Interactions
        Who is at home nowhere is of a place of its own.
    settings : ModelsSettings
        ``max_training_listeners``, and ``seed``, by which the hash is keyed.

    Returns
    -------
    numpy.ndarray
        (r,) sorted rows of the interactions.

    References
    ----------
    A. Costa, A. Satorra, E. Ventura, "Using composite estimators to improve both domain and total area estimation"
    (SORT 2004), for shares between those of places' sizes and equal ones.
    """
    number, at_most = interactions.shape[0], settings.max_training_listeners
    if not at_most or number <= at_most:
        return np.arange(number)
    luck = _luck(interactions.listeners, seed=settings.seed)
    order = np.lexsort((luck, _turns(interactions.homes, luck)))
    return np.sort(order[:at_most])


def _turns(homes: IntArray, luck: NDArray[np.uint64]) -> NDArray[np.float64]:
    """Return (n,) when each listener's turn is, by home and luck."""
    sizes = np.bincount(homes + 1)  # the first is of those at home nowhere
    by_home = np.lexsort((luck, homes))
    place, first = homes[by_home] + 1, np.cumsum(sizes) - sizes
    share = sizes / len(homes) + 1 / np.count_nonzero(sizes)
    turns = np.empty(len(homes))
    turns[by_home] = (1 + np.arange(len(homes)) - first[place]) / share[place]
    return turns


def _luck(listeners: pl.Series, *, seed: int) -> NDArray[np.uint64]:
    """Return (n,) a number for each listener that no one else's presence changes, nor a release of any package."""
    key = str(seed).encode()
    digests = (blake2b(listener.encode(), key=key, digest_size=8).digest() for listener in listeners)
    return np.frombuffer(b"".join(digests), dtype="<u8")
