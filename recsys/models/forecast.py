"""Next week, forecast from the published charts alone: which tracks enter the first fifty, or climb within them.

A question is a place on a night: of each track that its popular list named within four weeks, will it move up within
the seven nights that follow (:mod:`recsys.artifacts.moves`)? The answer of a past night is in the charts of the nights
after it, so that past questions teach what happens after which course: a lesson. Nothing but published ranks is looked
at, and so a forecast costs no privacy, and everybody can compute it again.

What is learned is gradient boosting, its scores calibrated on nights that it has not seen by isotonic regression
[1]_, so that of all that is said to have a chance of 3 in 10, 3 in 10 do move up.

.. [1] A. Niculescu-Mizil and R. Caruana, "Predicting good probabilities with supervised learning", ICML 2005.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import HistGradientBoostingClassifier
from threadpoolctl import threadpool_limits

from recsys.artifacts.moves import AHEAD, FIRST, moved_up

_KNOWN = 28  # nights in which a track was listed
_STEPS = (1, 2, 3, 5, 7, 14)  # nights back
_WEEK = 7
_OUT = 1.25  # times the length of a list: the rank of what is not on it
_BLOCKS = 4  # of nights: what is learned from three is calibrated on the fourth
_FEWEST = 200  # tracks that moved up, from which anything is learned
_MISSING = 1  # of the nights after a question that may have no chart

Codes = NDArray[np.uint32]
Ranks = NDArray[np.float32]
Read = Callable[[str, int, int], Mapping[int, Codes]]
"""Returns the popular lists of a place from one night (an ordinal) to another, each best first."""


@dataclass(frozen=True)
class Question:
    """A place on a night, and what is looked at.

    Parameters
    ----------
    tracks : numpy.ndarray of uint32, shape (tracks,)
        That its list named within four weeks, sorted.
    now : numpy.ndarray of float32, shape (tracks,)
        Their ranks; a number beyond the list for those that are not on it any more.
    seen : numpy.ndarray of float32, shape (tracks, features)
        See :meth:`Charts.question`.
    """

    tracks: Codes
    now: Ranks
    seen: Ranks = field(repr=False)


@dataclass(frozen=True)
class Charts:
    """The published popular charts that questions are about.

    Parameters
    ----------
    read : callable
    larger : mapping of str to str
        The place that each lies in; the world in itself.
    countries : sequence of str
        Those right within the world.
    size : int
        Length of a list.
    """

    read: Read = field(repr=False)
    larger: Mapping[str, str] = field(repr=False)
    countries: Sequence[str]
    size: int
    _abroad: dict[int, tuple[Codes, Ranks]] = field(default_factory=dict, repr=False)

    def question(self, place: str, night: int) -> Question | None:
        """Return what is looked at for a place on a night, or None where it had no list.

        The logarithm of the rank, and of those of some nights before over it; of the best and how often the track was
        listed, and among the first fifty, in four weeks; the rank in the larger place and the best in any country, and
        those of a night and of a week before over them; of how many nights anything is known.
        """
        lists = self.read(place, night - _KNOWN + 1, night)
        if night not in lists:
            return None
        tracks = np.unique(np.concatenate(list(lists.values())))
        path = np.log(self._path(lists, night, tracks, nights=_KNOWN))
        larger = self.read(self.larger[place], night - _WEEK, night)
        around = np.log(self._path(larger, night, tracks, nights=_WEEK + 1))
        abroad = np.log([self._best_abroad(at, tracks) for at in (night - _WEEK, night - 1, night)])
        columns = [
            path[-1],
            *(path[-1 - back] - path[-1] for back in _STEPS),
            path.min(axis=0),
            (path <= np.log(self.size)).sum(axis=0),
            (path <= np.log(FIRST)).sum(axis=0),
            around[-1],
            around[-2] - around[-1],
            around[0] - around[-1],
            abroad[2],
            abroad[1] - abroad[2],
            abroad[0] - abroad[2],
            np.full(len(tracks), len(lists)),
        ]
        now = np.exp(path[-1]).round().astype(np.float32)
        return Question(tracks, now, np.column_stack(columns).astype(np.float32))

    def answer(self, place: str, night: int, question: Question) -> NDArray[np.bool_] | None:
        """Return (tracks,) which did, or None while too many of the nights that tell are missing."""
        after = self.read(place, night + 1, night + AHEAD)
        if len(after) < AHEAD - _MISSING:
            return None
        best = self._path(after, night + AHEAD, question.tracks, nights=AHEAD).min(axis=0)
        return moved_up(question.now, best)

    def _path(self, lists: Mapping[int, Codes], last: int, tracks: Codes, *, nights: int) -> Ranks:
        """Return (nights, tracks) ranks up to a night; a night without a list is like the one before, or after."""
        there = sorted(lists)
        ranks = np.full((max(len(there), 1), len(tracks)), self._missing)
        if len(tracks) and there:
            codes = np.concatenate([lists[night] for night in there])
            row = np.repeat(np.arange(len(there)), [len(lists[night]) for night in there])
            rank = np.concatenate([np.arange(1, len(lists[night]) + 1) for night in there])
            column = np.minimum(np.searchsorted(tracks, codes), len(tracks) - 1)
            known = tracks[column] == codes
            ranks[row[known], column[known]] = rank[known]
        at = np.searchsorted(there, range(last - nights + 1, last + 1), side="right") - 1
        return ranks[np.maximum(at, 0)]

    @property
    def _missing(self) -> np.float32:
        """The rank of what is not on a list."""
        return np.float32(_OUT * self.size)

    def _best_abroad(self, night: int, tracks: Codes) -> Ranks:
        if night not in self._abroad:
            lists = [found[night] for place in self.countries if night in (found := self.read(place, night, night))]
            codes = np.concatenate([_NONE, *lists])
            ranks = np.concatenate([np.arange(1, len(each) + 1) for each in (_NONE, *lists)])
            order = np.lexsort((ranks, codes))
            each, first = np.unique(codes[order], return_index=True)
            self._abroad[night] = each, ranks[order][first].astype(np.float32)
        return self._found(*self._abroad[night], tracks)

    def _found(self, codes: Codes, ranks: Ranks, tracks: Codes) -> Ranks:
        """Return (tracks,) the ranks of tracks among sorted codes."""
        at = np.searchsorted(codes, tracks)
        is_there = np.append(codes, _NO_CODE)[at] == tracks
        return np.where(is_there, np.append(ranks, self._missing)[at], self._missing).astype(np.float32)


@dataclass(frozen=True)
class Forecaster:
    """What was learned from lessons; see :func:`learn`."""

    model: CalibratedClassifierCV = field(repr=False)

    def chances(self, questions: Sequence[Question]) -> NDArray[np.float64]:
        """Return (tracks of all questions,) how probably each moves up, 0 to 1."""
        seen = np.concatenate([each.seen for each in questions])
        with threadpool_limits(1, "openmp"):
            found: NDArray[np.float64] = self.model.predict_proba(seen)[:, 1]
        return found


def learn(charts: Charts, lessons: Collection[tuple[int, str]]) -> Forecaster | None:
    """Learn from past questions whose answers are known.

    Parameters
    ----------
    charts : Charts
    lessons : collection of (int, str)
        Night (an ordinal) and place of each; those that had no list, or whose week is not over, teach nothing.

    Returns
    -------
    Forecaster or None
        None where too little has happened to learn anything from.
    """
    seen, happened = [], []
    for night, place in sorted(lessons):
        question = charts.question(place, night)
        answer = None if question is None else charts.answer(place, night, question)
        if question is not None and answer is not None:
            seen.append(question.seen)
            happened.append(answer)
    if sum(map(np.count_nonzero, happened)) < _FEWEST:
        return None
    block = np.repeat(np.arange(len(seen)) * _BLOCKS // len(seen), list(map(len, happened)))
    folds = [(np.flatnonzero(block != each), np.flatnonzero(block == each)) for each in range(_BLOCKS)]
    boosted = HistGradientBoostingClassifier(
        max_iter=60,
        learning_rate=0.15,
        max_leaf_nodes=15,
        min_samples_leaf=100,
        early_stopping=False,
        random_state=0,
    )
    model = CalibratedClassifierCV(boosted, method="isotonic", cv=folds)
    with threadpool_limits(1, "openmp"):  # so few rows are done before threads that others hold up have met
        return Forecaster(model.fit(np.concatenate(seen), np.concatenate(happened)))


_NONE = np.zeros(0, dtype=np.uint32)
_NO_CODE = np.uint32(2**32 - 1)
