"""Beyond-accuracy metrics: coverage, concentration, novelty, popularity bias, overlap of regions, local share."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from recsys.models.interactions import IntArray, Interactions
from recsys.models.local_music import LocalMusic
from recsys.models.metrics import NOTHING, SHOWN, Lists, Values, top
from recsys.models.place_tree import NOWHERE

THIRDS = ("niche", "middle", "mainstream")


@dataclass(frozen=True)
class Background:
    """What n listeners played before, as far as lists are held against it.

    Parameters
    ----------
    heard : scipy.sparse.csr_array
        (n, m) ones where a listener played a track.
    popularity : numpy.ndarray
        (m,) share of all listeners who played each track.
    local : LocalMusic, optional
        None where artists are not known.
    """

    heard: sparse.csr_array = field(repr=False)
    popularity: Values = field(repr=False)
    local: LocalMusic | None = field(repr=False)

    @classmethod
    def of(cls, known: Interactions, *, artists: Mapping[str, str] | None = None) -> "Background":
        """Count who played what; ``artists`` maps tracks to artists, for where nobody knows where these come from."""
        heard = known.confidence.copy()
        heard.data = np.ones(heard.nnz)
        popularity = np.asarray(heard.sum(axis=0)) / max(heard.shape[0], 1)
        return cls(heard, popularity, LocalMusic.of(known, artists=artists))

    def mean_popularity(self, listeners: IntArray) -> Values:
        """Return (len(listeners),) mean popularities of what each of them played."""
        heard = self.heard[listeners]
        return np.asarray(heard @ self.popularity / np.maximum(np.diff(heard.indptr), 1))


def coverage(lists: Lists, *, tracks: int) -> float:
    """Return the share of the vocabulary's tracks that stand in the first 10 places of at least one list."""
    return float((_listings(lists, tracks=tracks) > 0).sum() / tracks)


def gini(lists: Lists, *, tracks: int) -> float:
    """Return how unevenly the first 10 places are shared out: 0 if all tracks get as many, near 1 if one gets all.

    References
    ----------
    G. Shani, A. Gunawardana, "Evaluating Recommendation Systems" (Recommender Systems Handbook, 2011), section 8.3.3.
    """
    listings = np.sort(_listings(lists, tracks=tracks))
    ranks = 2 * np.arange(1, tracks + 1) - tracks - 1
    return float(ranks @ listings / (tracks * listings.sum())) if listings.any() else np.nan


def novelty(lists: Lists, background: Background) -> Values:
    """Return (n,) mean self-informations in bits, -log2 of the share of listeners, of the first 10 tracks.

    References
    ----------
    T. Zhou et al., "Solving the apparent diversity-accuracy dilemma of recommender systems" (PNAS 2010).
    """
    known = background.popularity > 0
    information = np.zeros(len(known))
    information[known] = -np.log2(background.popularity[known])
    return _mean_listed(lists, information)


def popularity_lift(lists: Lists, background: Background) -> dict[str, float]:
    """Return how much more popular lists are than what their listeners played, by third of listeners.

    The thirds are of equal size, by the mean popularity of what a listener played; 0.2 says that the tracks listed for
    a third are by 20 % more popular than those it played. NaN for a third without listeners.

    References
    ----------
    H. Abdollahpouri et al., "The Unfairness of Popularity Bias in Recommendation" (RMSE at RecSys 2019).
    """
    before = background.mean_popularity(lists.listeners)
    listed = _mean_listed(lists, background.popularity)
    thirds = np.array_split(np.argsort(before, kind="stable"), len(THIRDS))
    pairs = zip(THIRDS, thirds, strict=True)
    return {name: float(listed[who].mean() / before[who].mean() - 1) if len(who) else np.nan for name, who in pairs}


def overlap(lists: Lists, homes: IntArray, *, tracks: int, at_least: int) -> float:
    """Return how alike regions' lists are: mean Jaccard index of any two regions' ten tracks that are listed most.

    Parameters
    ----------
    lists : Lists
    homes : numpy.ndarray
        (n,) region of each list; -1 where unknown.
    tracks : int
        m.
    at_least : int
        Lists of a region: those with fewer are left out. NaN where not two regions are left.
    """
    sizes = np.bincount(homes[homes >= 0])
    counts = [_listings(lists.of(homes == part), tracks=tracks) for part in np.flatnonzero(sizes >= at_least)]
    if len(counts) < 2:
        return float("nan")
    listed = np.stack(counts).astype(np.float32)
    rows = np.arange(len(listed))[:, None]
    member = np.zeros((len(listed), tracks + 1), dtype=np.float32)  # NOTHING is counted in the last column
    member[rows, top(np.where(listed > 0, listed, -np.inf), SHOWN)] = 1
    shared = member[:, :-1] @ member[:, :-1].T
    size = np.diag(shared)
    jaccard = shared / (size[:, None] + size - shared)
    return float(jaccard[np.triu_indices(len(listed), 1)].mean())


def stability(once: Lists, again: Lists) -> float:
    """Return how much of a list is the same with another seed: mean Jaccard index of the first 10 tracks."""
    first, second = once.tracks[:, :SHOWN], again.tracks[:, :SHOWN]
    both = ((first[:, :, None] == second[:, None, :]) & (first != NOTHING)[:, :, None]).sum(axis=(1, 2))
    either = (first != NOTHING).sum(axis=1) + (second != NOTHING).sum(axis=1) - both
    return float((both / np.maximum(either, 1)).mean()) if len(first) else float("nan")


def local_share_listed(lists: Lists, background: Background) -> float:
    """Return the mean share of tracks by artists local to the listener's country in the first 10 places.

    NaN where artists or countries are not known. Against :func:`local_share_played` it tells whether lists carry away
    from a listener's own scene.

    References
    ----------
    O. Lesota et al., "Traces of Globalization in Online Music Consumption Patterns and Results of Recommendation
    Algorithms" (ISMIR 2022), who compare the countries of artists in histories and in lists. Where the catalogue does
    not say where an artist comes from, its listeners do: see :mod:`recsys.models.local_music`.
    """
    if background.local is None:
        return float("nan")
    lists = lists.of(background.local.country[lists.listeners] != NOWHERE)
    shares = background.local.shares_listed(lists.tracks, lists.listeners)
    return float(shares.mean()) if len(shares) else float("nan")


def local_share_played(listeners: IntArray, background: Background) -> float:
    """Return the mean share of tracks by artists local to the listener's country in what they played before."""
    if background.local is None:
        return float("nan")
    shares = background.local.shares_played(background.heard, listeners[background.local.country[listeners] != NOWHERE])
    return float(shares.mean()) if len(shares) else float("nan")


def _listings(lists: Lists, *, tracks: int) -> IntArray:
    """Return (tracks,) how often each track stands in the first 10 places."""
    listed = lists.tracks[:, :SHOWN]
    return np.bincount(listed[listed != NOTHING], minlength=tracks)


def _mean_listed(lists: Lists, values: Values) -> Values:
    """Return (n,) means of the tracks' values over the first 10 places."""
    listed = lists.tracks[:, :SHOWN]
    there = listed != NOTHING
    return np.asarray(np.where(there, values[listed], 0).sum(axis=1) / np.maximum(there.sum(axis=1), 1))
