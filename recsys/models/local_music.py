"""Local music: which tracks are by artists of a listener's own country, and what keeps their share of lists."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from scipy import sparse

from recsys.models.interactions import FloatArray, IntArray, Interactions
from recsys.models.metrics import NOTHING, SHOWN, BoolArray, Model, Values, top
from recsys.models.place_tree import NOWHERE, Places
from recsys.settings import ModelsSettings

_PRIOR = 10  # listeners: as many in a place count as much as the world's share
_AT_HOME = 2  # times the world's share that a local artist has at home, at least
_JUDGES = 5_000  # listeners of a country at most, evenly out of all, by whose lists its offset is found
_AT_ONCE = 200  # listeners whose scores of all tracks are in memory together
_NEVER = np.float32(-np.inf)  # the score of what is not listed
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
    """What the scores of local tracks gain or lose in each country.

    Parameters
    ----------
    values : numpy.ndarray
        (k + 1,) float32, the last 0: for who is at home nowhere.
    tracks : numpy.ndarray
        (k + 1, m) bool, whether the track is local to the country; to nowhere, none is.
    country : numpy.ndarray
        (p + c + 1,) number of the country of each place, and -1 for the world, which is last.
    """

    values: FloatArray
    tracks: BoolArray = field(repr=False)
    country: IntArray = field(repr=False)

    def of(self, homes: IntArray) -> FloatArray:
        """Return (len(homes), m) what is added to the scores of listeners at home in some places."""
        country = self.country[homes]
        return np.asarray(self.values[country, None] * self.tracks[country])


def keeping_shares(served: Model, known: Interactions, *, settings: ModelsSettings) -> Offsets | None:
    """Find for each country the offset by which its lists have the share of its own artists that was played there.

    Adding the same to the scores of all local tracks of a country's listeners changes nothing in the order of local
    tracks, nor in that of others: as few places as can be are changed for the share. The share is the mean over
    listeners, of what they have played and of the first 10 places of tracks that they have not. Without an offset:
    countries with fewer than ``min_listeners_in_table`` listeners, and those without a track that could be moved.

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
    one number a country does it for all of its listeners together.
    """
    local = LocalMusic.of(known) if settings.local_share else None
    if local is None:
        return None
    residents = [np.flatnonzero(local.country == number) for number in range(len(local.countries))]
    at_least = settings.min_listeners_in_table
    found = [_offset(served, known, local, rows) if len(rows) >= at_least else 0.0 for rows in residents]
    nowhere = np.zeros((1, known.shape[1]), dtype=bool)
    values = np.array([*found, 0.0], dtype=np.float32)
    return Offsets(values, np.concatenate([local.tracks, nowhere]), Places.of(known).countries()[1])


def _offset(served: Model, known: Interactions, local: LocalMusic, rows: IntArray) -> float:
    """Return the offset for listeners of one country: it brings in the last local track that is wanted, not the next.

    The lists are asked for once: which offset brings each local track into them is known from the scores alone.
    """
    rows = rows[:: -(-len(rows) // _JUDGES)]
    tracks, share = local.tracks[local.country[rows[0]]], local.shares_played(known.confidence, rows).mean()
    blocks = np.array_split(rows, len(rows) // _AT_ONCE + 1)
    needed = np.concatenate([_needed(_unheard(served, known, some), tracks).ravel() for some in blocks])
    always, movable = np.count_nonzero(needed == -np.inf), np.sort(needed[np.isfinite(needed)])
    if not len(movable):
        return 0.0
    listed = np.minimum(known.shape[1] - np.diff(known.confidence.indptr)[rows], SHOWN).sum()
    wanted = int(np.clip(round(share * listed) - always, 0, len(movable)))
    steps = np.array([movable[0] - _BEYOND, *movable, movable[-1] + _BEYOND])
    return float(steps[wanted : wanted + 2].mean())


def _unheard(served: Model, known: Interactions, rows: IntArray) -> FloatArray:
    return np.where(known.confidence[rows].toarray() != 0, _NEVER, served.scores(rows))


def _needed(scores: FloatArray, local: BoolArray) -> Values:
    """Return (n, 10) how far the best local tracks have to rise to be listed: the k-th, above the (11 - k)-th other.

    It rises with k. It is negative for what is listed already, inf where there is no such local track, and -inf where
    there are so few others that it is listed whatever is added.
    """
    best, others = _best(np.where(local, scores, _NEVER)), _best(np.where(local, _NEVER, scores))
    there = best > _NEVER
    return np.where(there, others[:, ::-1] - np.where(there, best, 0), np.inf)


def _best(scores: FloatArray) -> Values:
    """Return (n, 10) the highest scores, falling; -inf after the last."""
    columns = top(scores, SHOWN)
    return np.where(columns == NOTHING, -np.inf, np.take_along_axis(scores, columns, axis=1)).astype(np.float64)


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
