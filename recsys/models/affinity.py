"""Affinity: what is close to each listener among the tracks of all charts, and how much each evidence weighs in a list.

The weights are learned as they are used: candidates are put before listeners as the charts were on an earlier night,
and what they played for the first time on the nights after is what a good order has first.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from recsys.artifacts.affinities import EVIDENCE, NO_TRACK, Affinities, Orders, default_orders
from recsys.models.interactions import FloatArray, IntArray, Interactions
from recsys.models.metrics import NOTHING, BoolArray, Model, ndcg_of_candidates, top

_AT_ONCE = 4_000_000  # scores: bounds the memory whatever the number of listeners
_FEWEST_LEARNERS = 100  # of fewer, the weights would learn the noise
_LEAST = 0.01  # of the largest weight: what is on a list stands a little higher for it
_SURELY = 2.0  # standard errors
_STEPS = (0.0, 0.25, 0.5, 1.0)  # of the way from the simpler order to the learned one
_PUBLIC = EVIDENCE.index("close")  # evidence before this one is public
_NEW = EVIDENCE.index("new")
_POPULAR_ALONE = np.array([1.0, 0.0, 0.0, 0.0, 0.0])

Weights = NDArray[np.float64]


@dataclass(frozen=True)
class Examples:
    """The candidates of n learners, and what they played for the first time on the nights after.

    Parameters
    ----------
    evidence : numpy.ndarray
        (n, c, 5) float32 in the order of ``EVIDENCE``.
    unheard : numpy.ndarray
        (n, c) bool: whether there is such a candidate and the listener had not played it before.
    played : numpy.ndarray
        (n, c) bool: whether the listener played it after, for the first time.
    relevant : numpy.ndarray
        (n,) at least 1: how many known tracks the listener played after for the first time, candidates or not.
    """

    evidence: FloatArray = field(repr=False)
    unheard: BoolArray = field(repr=False)
    played: BoolArray = field(repr=False)
    relevant: IntArray = field(repr=False)

    def some(self, chosen: slice) -> "Examples":
        """Return those of some learners."""
        return Examples(self.evidence[chosen], self.unheard[chosen], self.played[chosen], self.relevant[chosen])

    def ndcg(self, weights: Sequence[float] | Weights) -> NDArray[np.float64]:
        """Return (n,) NDCG at 10 of the unheard candidates in the order of the weighted sum."""
        scores = self.evidence @ np.asarray(weights, dtype=np.float32)
        return ndcg_of_candidates(scores, there=self.unheard, played=self.played, relevant=self.relevant)


def closest(
    model: Model, known: Interactions, *, charted: IntArray, length: int, orders: Orders, night: str
) -> Affinities:
    """Return the tracks closest to every listener, and which of them the listener played.

    A track's closeness is how many standard deviations of the listener's scores (over the vocabulary) it stands above
    the last unplayed one of the row. Of what the listener played up to ``length`` tracks are there, so that it is not
    taken to be new and tells which places listen alike; of ``length`` at least half are for the closest of the others.

    Parameters
    ----------
    model : Model
        Fitted on the interactions.
    known : Interactions
    charted : numpy.ndarray
        Sorted columns of the tracks on any chart: others can be no candidates.
    length : int
        Tracks of a listener, and half as many more for what was played.
    orders : Orders
        Written with them.
    night : str
        The last night, as an ISO date.
    """
    blocks = list(_rows(model, known, charted=charted, length=length))
    listeners = np.array([bytes.fromhex(listener) for listener in known.listeners], dtype="S16")
    columns, closeness, played = (np.concatenate(parts) for parts in zip(*blocks, strict=True))
    tracks = tuple(known.tracks.gather(charted))
    return Affinities(night, tracks, orders, listeners, columns, closeness, played)


def learn_orders(examples: Examples, *, new: float) -> Orders:
    """Learn the weights of the order for all and of the listener's own.

    Logistic regressions tell played from unplayed candidates, one of the public evidence and one of all but ``new``;
    no weight is negative, as evidence speaks for a track. Each is taken as far as it surely helps from the simpler
    order (the popular list; the order for all), by the NDCG of learners it was not fitted on.

    Parameters
    ----------
    examples : Examples
    new : float
        The weight of a track that is new to the listener. It is decided, not learned: people play again what they
        played before, and a list that learned this would show nothing else.
    """
    if len(examples.played) < _FEWEST_LEARNERS or not examples.played.any():
        return default_orders(new=new)
    fitted_on, others = examples.some(slice(0, None, 2)), examples.some(slice(1, None, 2))
    cold = _taken_as_far_as_it_helps(_POPULAR_ALONE, _learned(fitted_on, number=_PUBLIC), others)
    personal = _taken_as_far_as_it_helps(cold, _learned(fitted_on, number=_NEW), others)
    personal[_NEW] = new
    return Orders(tuple(cold.tolist()), tuple(personal.tolist()))


def _rows(
    model: Model, known: Interactions, *, charted: IntArray, length: int
) -> Iterator[tuple[NDArray[np.int32], NDArray[np.float16], BoolArray]]:
    """Yield the rows of some listeners after the other: columns (among the charted), closeness and played."""
    number, tracks = known.shape
    step = max(1, _AT_ONCE // max(1, tracks))
    for start in range(0, max(number, 1), step):
        rows = np.arange(start, min(start + step, number))
        scores = model.scores(rows)
        spread = scores.std(axis=1, keepdims=True)
        heard = known.confidence[rows].toarray()[:, charted] != 0
        scaled: FloatArray = (scores / np.where(spread > 0, spread, np.float32(1))).astype(np.float32)
        yield _best(scaled[:, charted], heard, length=length)


def _best(
    scores: FloatArray, heard: BoolArray, *, length: int
) -> tuple[NDArray[np.int32], NDArray[np.float16], BoolArray]:
    """Return (n, w) columns in order of their number, how far each stands above what is left out, and heard."""
    nothing, half = np.float32(-np.inf), length // 2
    again = top(np.where(heard, scores, nothing), length)
    fresh = top(np.where(heard, nothing, scores), length)
    room = length - np.minimum((again != NOTHING).sum(axis=1, keepdims=True), half)
    fresh = np.where(np.arange(length) < room, fresh, NOTHING)
    last = np.where(fresh == NOTHING, np.inf, _taken(scores, fresh)).min(axis=1, initial=np.inf, keepdims=True)
    columns = np.concatenate([again, fresh], axis=1)
    width = min(2 * length - half, scores.shape[1])  # all that can be there
    columns = np.sort(np.where(columns == NOTHING, NO_TRACK, columns), axis=1)[:, :width].astype(np.int32)
    there = columns != NO_TRACK
    closeness = np.where(there, np.maximum(_taken(scores, columns) - last, 0), 0)
    return columns, closeness.astype(np.float16), there & _taken(heard, columns)


def _taken(values: NDArray[np.generic], columns: NDArray[np.integer]) -> NDArray[np.generic]:
    """Return the values at some columns of each row; those of no track are anything."""
    inside = np.clip(columns, 0, max(values.shape[1] - 1, 0))
    return np.take_along_axis(values, inside, axis=1) if values.shape[1] else np.zeros(columns.shape, values.dtype)


def _learned(examples: Examples, *, number: int) -> Weights:
    """Fit the first so many weights, without those that come out negative; every learner weighs the same."""
    there = examples.unheard
    played, evidence = examples.played[there], examples.evidence[there]
    importance = np.broadcast_to(1 / np.maximum(examples.played.sum(axis=1, keepdims=True), 1), there.shape)[there]
    kept = np.arange(number)
    weights = np.zeros(len(EVIDENCE))
    while len(kept):
        model = LogisticRegression(max_iter=1000).fit(evidence[:, kept], played, sample_weight=importance)
        if (model.coef_[0] >= 0).all():
            weights[kept] = model.coef_[0]
            break
        kept = kept[model.coef_[0] >= 0]
    return weights


def _taken_as_far_as_it_helps(simple: Weights, learned: Weights, examples: Examples) -> Weights:
    """Return the best order on the way from a simple one to a learned one, or the simple one if none is surely better.

    On the way every list counts a little. Surely: the gain exceeds twice its standard error.
    """
    best: Weights = _with_every_list(simple * (learned.sum() or 1) / simple.sum())
    worth, most = examples.ndcg(best), 0.0
    for order in [_with_every_list((1 - step) * best + step * learned) for step in _STEPS]:
        gain = examples.ndcg(order) - worth
        if gain.mean() > max(most, _SURELY * gain.std() / np.sqrt(len(gain))):
            best, most = order, float(gain.mean())
    return best


def _with_every_list(weights: Weights) -> Weights:
    floor = np.where(np.arange(len(weights)) < _PUBLIC, _LEAST * weights.max(), 0)
    return np.maximum(weights, floor)
