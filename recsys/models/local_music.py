"""Local music: which tracks are by artists of a listener's own country, and what keeps their share of lists."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from recsys.models.interactions import FloatArray, IntArray, Interactions
from recsys.models.metrics import DISCOUNTS, NOTHING, SHOWN, BoolArray, Model, Values, top
from recsys.models.place_tree import NOWHERE, Places
from recsys.models.ranker import reordered
from recsys.settings import ModelsSettings
from recsys.threads import in_threads

_PRIOR = 10  # listeners: as many in a place count as much as the world's share
_AT_HOME = 2  # times the world's share that a local artist has at home, at least
_JUDGES = 5_000  # listeners of a country at most, evenly out of all, by whose lists its offsets are found
_AT_ONCE = 200  # listeners whose scores of all tracks are in memory together
_NEVER = np.float32(-np.inf)  # the score of what is not listed
_ALIKE = np.ones(SHOWN)  # how places weigh where all do alike
_ASTRAY = 0.005  # how far the share weighed by place may be off: to be nearer costs accuracy
_APART = 1e-5  # standard deviations of a score: nearer to each other, offsets are the same in single precision
_BEYOND = 1.0  # standard deviations of a score: how far an offset goes beyond the last track it can move


@dataclass(frozen=True)
class LocalMusic:
    """Who is at home in which of k countries, and which of m tracks are by artists of these.

    Parameters
    ----------
    countries : tuple of str
        (k,) in the order of :meth:`~recsys.models.place_tree.Places.countries`.
    country : numpy.ndarray
        (n,) number of each listener's country, or of the home where its country is not known; -1 where neither is.
    tracks : numpy.ndarray
        (k, m) bool, whether the track's artist is one of the country's own.
    """

    countries: tuple[str, ...] = field(repr=False)
    country: IntArray = field(repr=False)
    tracks: BoolArray = field(repr=False)

    @classmethod
    def of(cls, known: Interactions, *, artists: Mapping[str, str] | None = None) -> "LocalMusic | None":
        """Tell local tracks by where artists come from, else by who plays the ``artists`` of tracks; else not at all.

        Parameters
        ----------
        known : Interactions
        artists : mapping of str to str, optional
            The artist of every track.
        """
        countries, number = Places.of(known).countries()
        country = number[known.homes]
        by_origin = _by_origin(known, countries)
        if by_origin.any():
            return cls(countries, country, by_origin)
        return None if artists is None else cls(countries, country, _by_listeners(known, country, artists))

    def shares_played(self, heard: sparse.csr_array, listeners: IntArray) -> Values:
        """Return (len(listeners),) shares of local tracks in what each of them played; all are at home somewhere.

        Parameters
        ----------
        heard : scipy.sparse.csr_array
            (n, m) non-zero where a listener played a track.
        listeners : numpy.ndarray
            Rows of it.
        """
        played = heard[listeners]
        number = np.diff(played.indptr)
        row = np.repeat(np.arange(len(listeners)), number)
        local = self.tracks[self.country[listeners][row], played.indices]
        return np.asarray(np.bincount(row, weights=local, minlength=len(listeners)) / np.maximum(number, 1))

    def shares_listed(self, tracks: IntArray, listeners: IntArray) -> Values:
        """Return (len(listeners),) shares of local tracks in the first 10 places of each list; all are at home.

        Parameters
        ----------
        tracks : numpy.ndarray
            (len(listeners), 10 or more) columns, best first; -1 after the last.
        listeners : numpy.ndarray
        """
        listed = tracks[:, :SHOWN]
        local = self.tracks[self.country[listeners][:, None], listed] & (listed != NOTHING)
        return np.asarray(local.sum(axis=1) / np.maximum((listed != NOTHING).sum(axis=1), 1))


@dataclass(frozen=True)
class Offsets:
    """What the scores of local tracks gain or lose in each country: to be listed at all, and then for their place.

    The last number of each is 0, and to nowhere no track is local: so it is for who is at home nowhere.

    Parameters
    ----------
    listed : numpy.ndarray
        (k + 1,) float32, by which it is chosen what stands in the first 10 places.
    order : numpy.ndarray
        (k + 1,) float32, by which these are put in order.
    tracks : numpy.ndarray
        (k + 1, m) bool, whether the track is local to the country.
    country : numpy.ndarray
        (p + c + 1,) number of the country of each place, and -1 for the world, which is last.
    """

    listed: FloatArray
    order: FloatArray
    tracks: BoolArray = field(repr=False)
    country: IntArray = field(repr=False)

    def added(self, scores: FloatArray, *, homes: IntArray, heard: BoolArray) -> FloatArray:
        """Return scores by which the share is kept; what is not among the first 10 has the first offset alone.

        Parameters
        ----------
        scores : numpy.ndarray
            (n, m).
        homes : numpy.ndarray
            (n,) place of each listener.
        heard : numpy.ndarray
            (n, m) bool, what is not listed.
        """
        country = self.country[homes]
        local = self.tracks[country]
        brought = np.asarray(scores + self.listed[country, None] * local)
        columns = top(np.where(heard, _NEVER, brought), SHOWN)
        own = np.take_along_axis(local, columns, axis=1)
        order = np.take_along_axis(scores, columns, axis=1) + self.order[country, None] * own
        return reordered(brought, columns=columns, order=np.asarray(order))


def keeping_shares(served: Model, known: Interactions, *, settings: ModelsSettings) -> Offsets | None:
    """Find for each country the offsets by which its lists have the share of its own artists that was played there.

    Adding the same to the scores of all local tracks of a country's listeners changes nothing in the order of local
    tracks, nor in that of others: as few places as can be are changed for the share. The share is the mean over
    listeners, of what they have played and of the first 10 places of tracks that they have not.

    What is followed are the first places most, and it is part of what is held against next. So the share has to be
    right by place, too, or lists that are followed carry it away, night by night. To stand in the first 10 costs least
    at their end, and to stand further up is paid for by the place: these are two numbers. The first makes the share of
    all 10 what was played; the second, of these 10 alone, is the least by which their share weighed by place
    (``1 / log2(1 + place)``, as in NDCG) is that within half a point.

    Without offsets: countries with fewer than ``min_listeners_in_table`` listeners, and those without a track that
    could be moved.

    Parameters
    ----------
    served : Model
        Fitted on the interactions.
    known : Interactions
    settings : ModelsSettings

    Returns
    -------
    Offsets or None
        None where ``local_share`` is off, or nobody knows where any artist comes from. Who is local could be learned
        from who plays whom, too; but that would call local what is popular somewhere now, and moving it costs accuracy.

    References
    ----------
    H. Steck, "Calibrated Recommendations" (RecSys 2018), whose lists have the shares of what a listener played; here
    two numbers a country do it for all of its listeners together.
    """
    local = LocalMusic.of(known) if settings.local_share else None
    if local is None:
        return None
    residents = [np.flatnonzero(local.country == number) for number in range(len(local.countries))]
    at_least = settings.min_listeners_in_table
    found = [_both(served, known, local, rows) if len(rows) >= at_least else (0.0, 0.0) for rows in residents]
    listed, order = np.array([*found, (0.0, 0.0)], dtype=np.float32).T
    nowhere = np.zeros((1, known.shape[1]), dtype=bool)
    return Offsets(listed, order, np.concatenate([local.tracks, nowhere]), Places.of(known).countries()[1])


def _both(served: Model, known: Interactions, local: LocalMusic, rows: IntArray) -> tuple[float, float]:
    """Return the offsets for listeners of one country: what is listed, and its order.

    The lists are asked for once: which offset moves a track by a place is known from the scores alone.
    """
    rows = rows[:: -(-len(rows) // _JUDGES)]
    tracks, share = local.tracks[local.country[rows[0]]], local.shares_played(known.confidence, rows).mean()
    blocks = np.array_split(rows, len(rows) // _AT_ONCE + 1)
    best = in_threads(lambda some: _apart(_unheard(served, known, some), tracks), blocks)
    own, other = map(np.concatenate, zip(*best, strict=True))
    listed = _offset(own, other, weights=_ALIKE, least=share, most=share)
    ten = _first(own, other, offset=listed)
    return listed, _offset(*ten, weights=DISCOUNTS, least=share - _ASTRAY, most=share + _ASTRAY)


def _unheard(served: Model, known: Interactions, rows: IntArray) -> FloatArray:
    return np.where(known.confidence[rows].toarray() != 0, _NEVER, served.scores(rows))


def _apart(scores: FloatArray, local: BoolArray) -> tuple[Values, Values]:
    """Return (n, 10) the highest scores of local tracks, falling, and those of others; -inf after the last."""
    return _best(np.where(local, scores, _NEVER)), _best(np.where(local, _NEVER, scores))


def _best(scores: FloatArray) -> Values:
    columns = top(scores, SHOWN)
    return np.where(columns == NOTHING, -np.inf, np.take_along_axis(scores, columns, axis=1)).astype(np.float64)


def _first(own: Values, other: Values, *, offset: float) -> tuple[Values, Values]:
    """Return the scores of local tracks and of others that are among the first 10 with an offset; -inf for the rest."""
    place = np.arange(SHOWN)
    in_list = own + offset > other[:, ::-1]  # the k-th, if it stands above the (11 - k)-th other
    others = SHOWN - in_list.sum(axis=1, keepdims=True)
    return np.where(in_list, own, -np.inf), np.where(place < others, other, -np.inf)


def _offset(own: Values, other: Values, *, weights: Values, least: float, most: float) -> float:
    """Return an offset by which the share of local tracks, weighed by place, is in bounds or as near as can be; or 0.

    It is 0 where none brings the share nearer, else in the middle between the moves of two tracks, and the share is at
    the bound that is nearest to what it was.

    Parameters
    ----------
    own, other : numpy.ndarray
        (n, 10) scores of local tracks and of others, falling; -inf after the last.
    weights : numpy.ndarray
        (10,) of the places, not rising.
    least, most : float
    """
    steps, weight = _steps(own, other, weights=weights)
    if not len(steps):
        return 0.0
    listed = np.minimum(np.isfinite([own, other]).sum(axis=(0, 2)), SHOWN)
    whole = np.append(0, np.cumsum(weights))[listed].sum()
    bounds = np.array([steps[0] - _BEYOND, *steps, steps[-1] + _BEYOND])
    here = np.searchsorted(steps, 0)
    off = np.abs(weight - np.clip(weight[here], least * whole, most * whole))
    as_it_is = off[here]
    off[np.diff(bounds) < _APART] = np.inf  # tracks that stand alike move together: there is nothing between them
    nearest = off.argmin()
    return 0.0 if as_it_is <= off[nearest] else float(bounds[nearest : nearest + 2].mean())


def _steps(own: Values, other: Values, *, weights: Values) -> tuple[Values, Values]:
    """Return (s,) the offsets at which a local track moves up, rising, and (s + 1,) the weight of all between them.

    The k-th local track passes the j-th other at the difference of their scores, and moves from place k + j to the one
    before, whatever else moves. What is not there is passed by all.
    """
    there, place = np.isfinite(own)[:, :, None], np.add.outer(np.arange(SHOWN), np.arange(SHOWN))
    gain = there * np.pad(-np.diff(weights, append=0), (0, SHOWN))[place]
    needed = other[:, None, :] - np.where(there, own[:, :, None], 0)
    moves = (gain > 0) & np.isfinite(needed)
    order = np.argsort(needed[moves], kind="stable")
    always = gain[needed == -np.inf].sum()
    return needed[moves][order], always + np.append(0, np.cumsum(gain[moves][order]))


def _by_origin(known: Interactions, countries: tuple[str, ...]) -> BoolArray:
    """Return (k, m) whether a track's artist comes from each country."""
    names, origins = (np.array(words, dtype=object) for words in (countries, known.origins))
    return np.asarray(names[:, None] == origins, dtype=bool)


def _by_listeners(known: Interactions, country: IntArray, artists: Mapping[str, str]) -> BoolArray:
    """Return (k, m) whether a track's artist is local by its listeners; a track without an artist is nobody's.

    An artist is local to the country where its share of listeners, shrunk toward the world's by ten listeners, is
    largest, if that is at least twice the world's.
    """
    names = [artists.get(track, "") for track in known.tracks]
    artist_of = np.unique(names, return_inverse=True)[1]
    credits = sparse.csr_array((np.ones(len(names)), (np.arange(len(names)), artist_of)))
    plays = sparse.csr_array((known.confidence @ credits) > 0).astype(np.float64)
    there, places = np.flatnonzero(country != NOWHERE), country.max(initial=NOWHERE) + 1
    at_home = sparse.csr_array((np.ones(len(there)), (country[there], there)), shape=(places, len(country)))
    world = np.asarray(plays.sum(axis=0)) / max(len(country), 1)
    listeners = np.asarray(at_home.sum(axis=1))[:, None]
    share = ((at_home @ plays).toarray() + _PRIOR * world) / (listeners + _PRIOR)
    local = (share == share.max(axis=0, initial=0)) & (share >= _AT_HOME * world)
    return np.asarray(local[:, artist_of] & (np.array(names) != ""))
