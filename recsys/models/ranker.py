"""The ranker (learning to rank): orders the best tracks of a list, from what listeners played on later nights."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, fields, replace

import numpy as np
from numpy.typing import NDArray
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from recsys.models.interactions import FloatArray, IntArray
from recsys.models.metrics import NOTHING, BoolArray, Values, ndcg_of_candidates
from recsys.models.trees import Trees
from recsys.threads import in_threads

Weights = NDArray[np.float64]

_FEWEST_LEARNERS = 100  # of fewer, a handful of numbers, or trees, would learn the noise
_VALUES = 255  # of a feature of the trees: the most that scikit-learn's bins hold
_STEPS = (0.2, 0.1, 0.05, 0.025)  # of weights whose absolute values sum to 1


@dataclass(frozen=True)
class Pool:
    """The k best unheard tracks of n listeners by a first guess, the best first, to be put in a better order.

    Parameters
    ----------
    features : numpy.ndarray
        (n, k, f) float32.
    there : numpy.ndarray
        (n, k) bool, false where a listener had fewer than k unheard tracks.
    played : numpy.ndarray
        (n, k) bool, whether the listener played the track later.
    relevant : numpy.ndarray
        (n,) how many such tracks the whole vocabulary has.
    homes : numpy.ndarray
        (n,) place of each listener.
    """

    features: FloatArray = field(repr=False)
    there: BoolArray = field(repr=False)
    played: BoolArray = field(repr=False)
    relevant: IntArray = field(repr=False)
    homes: IntArray = field(repr=False)

    def ndcg(self, weights: Weights) -> float:
        """Return the mean NDCG at 10 of the pool in the order of the weighted sum."""
        return float(self._ndcg(self.features @ weights.astype(np.float32)).mean())

    def gain(self, trees: Trees) -> Values:
        """Return (n,) how much more NDCG at 10 the pool has in the order of trees than as the first guess gave it."""
        return self._ordered(trees) - self.given()

    def given(self) -> Values:
        """Return (n,) NDCG at 10 of the pool as the first guess gave it."""
        return self._ndcg(-np.arange(self.there.shape[1], dtype=np.float32))

    def importances(self, trees: Trees, *, seed: int) -> Values:
        """Return (f,) how much NDCG at 10 the order of trees loses where a feature's values are dealt out anew.

        They go to any track of any listener, so that the feature says nothing and is as large as before; of features
        that say the same, neither looks important.

        References
        ----------
        L. Breiman, "Random Forests" (Machine Learning, 2001), section 10.
        """
        drawn, whole = np.random.default_rng(seed), self._ordered(trees).mean()
        lost = np.zeros(self.features.shape[-1])
        for number in range(len(lost)):
            dealt = self.features.copy()
            dealt[self.there, number] = drawn.permutation(dealt[self.there, number])
            lost[number] = whole - replace(self, features=dealt)._ordered(trees).mean()
        return lost

    def of(self, listeners: IntArray | slice) -> "Pool":
        """Return the pool of some of the listeners."""
        return Pool(*(getattr(self, column.name)[listeners] for column in fields(self)))

    def _ordered(self, trees: Trees) -> Values:
        ordered = trees.decision_function(self.features.reshape(-1, self.features.shape[-1])).astype(np.float32)
        return self._ndcg(ordered.reshape(self.there.shape))

    def _ndcg(self, scores: FloatArray) -> Values:
        return ndcg_of_candidates(scores, there=self.there, played=self.played, relevant=self.relevant)


def learned_weights(pool: Pool, *, starts: list[Weights]) -> Weights:
    """Fit a logistic regression, and climb from there and from given starts to the best NDCG of the pool.

    With too few listeners to learn from, the first start stands.
    """
    if len(pool.relevant) < _FEWEST_LEARNERS:
        return starts[0]
    return max((_climb(start, pool.ndcg) for start in [*starts, *_logistic(pool)]), key=pool.ndcg)


def gain_of_trees(pool: Pool, *, seed: int, rising: Sequence[int] | None = None) -> Values | None:
    """Return (n,) the gain of trees for listeners whom they do not know; None with too few listeners to learn from.

    Trees of each half of the listeners order the pools of the other half.
    """
    halves = [pool.of(slice(half, None, 2)) for half in (0, 1)]
    grown = [learned_trees(half, seed=seed, rising=rising) for half in reversed(halves)]
    gain = np.zeros(len(pool.relevant))
    for half, trees in enumerate(grown):
        if trees is None:
            return None
        gain[half::2] = halves[half].gain(trees)
    return gain


def learned_trees(pool: Pool, *, seed: int, rising: Sequence[int] | None = None) -> Trees | None:
    """Grow small trees that tell played from unplayed tracks; none with too few listeners to learn from.

    Only listeners who played a track of their pool later can teach an order. A home weighs as the root of its
    listeners' number, so that the large ones do not decide alone.

    Parameters
    ----------
    pool : Pool
    seed : int
    rising : sequence of int, optional
        (f,) 1 for features with which the chance of a play may only rise; 0 for others.
    """
    asked = pool.of(np.flatnonzero(pool.played.any(axis=1)))
    if len(asked.relevant) < _FEWEST_LEARNERS:
        return None
    sizes = np.bincount(asked.homes + 1)[asked.homes + 1]
    importance = np.broadcast_to((1 / np.sqrt(sizes))[:, None], asked.there.shape)[asked.there]
    growing = HistGradientBoostingClassifier(
        max_iter=60,
        learning_rate=0.1,
        max_leaf_nodes=8,
        min_samples_leaf=300,
        l2_regularization=10.0,
        early_stopping=False,
        monotonic_cst=rising,
        random_state=seed,
    )
    features = rounded(asked.features[asked.there], most=_VALUES)
    return Trees.of(growing.fit(features, asked.played[asked.there], sample_weight=importance / importance.mean()))


def rounded(features: FloatArray, *, most: int) -> FloatArray:
    """Return each column's values rounded to the nearest of its quantiles.

    Of columns with so few values scikit-learn's trees take the middles between them as thresholds, at which a value
    lies on the same side as what it was rounded to: what is learned of rounded values holds for all. Of more values
    that have weights they sort a column anew for each of 254 thresholds, which for small pools took most of the time.

    Parameters
    ----------
    features : numpy.ndarray
        (n, f).
    most : int
        Different values of a column to keep, at most.
    """
    kept = np.empty_like(features)
    quantiles = np.maximum(np.ceil(np.linspace(0, 1, most) * len(features)) - 1, 0).astype(np.int64)
    for number, column in enumerate(features.T):
        values = np.unique(np.sort(column)[quantiles])
        middles = (values[1:].astype(np.float64) + values[:-1]) / 2
        kept[:, number] = values[np.searchsorted(middles, column)]
    return kept


def reordered(scores: FloatArray, *, columns: IntArray, order: Values) -> FloatArray:
    """Return scores whose values in some columns are dealt out again, the highest to the track with the best order.

    Whatever stood above or below all of these columns stays there.

    Parameters
    ----------
    scores : numpy.ndarray
        (n, m).
    columns : numpy.ndarray
        (n, k) by falling score; -1 after the last.
    order : numpy.ndarray
        (n, k) the higher, the sooner.
    """
    there = columns != NOTHING
    better = np.argsort(np.where(there, -order, np.inf), axis=1, kind="stable")
    row, place = np.nonzero(there)
    found = scores.copy()
    found[row, np.take_along_axis(columns, better, axis=1)[row, place]] = scores[row, columns[row, place]]
    return found


def _logistic(pool: Pool) -> list[Weights]:
    """Return the weights that tell played from unplayed tracks, every listener weighing the same; none if all is one.

    The examples are the best tracks of a first guess, because only the order near the top of a list matters: learned
    from the whole vocabulary, the weights made worse lists.
    """
    played = pool.played[pool.there]
    if played.all() or not played.any():
        return []
    importance = np.broadcast_to(1 / np.maximum(pool.played.sum(axis=1, keepdims=True), 1), pool.there.shape)
    model = LogisticRegression(max_iter=1000)
    model.fit(pool.features[pool.there], played, sample_weight=importance[pool.there])
    return [np.asarray(model.coef_[0], dtype=np.float64)] if model.coef_.any() else []


def _climb(weights: Weights, worth: Callable[[Weights], float]) -> Weights:
    """Return better weights, found by trying steps along each axis, halved when none helps.

    References
    ----------
    R. Hooke, T. A. Jeeves, "'Direct search' solution of numerical and statistical problems" (JACM 1961).
    """
    weights = weights / np.abs(weights).sum()
    best = worth(weights)
    for step in _STEPS:
        while True:
            moves = [weights + move for move in step * np.vstack([np.eye(len(weights)), -np.eye(len(weights))])]
            values = in_threads(worth, moves)
            if max(values) <= best:
                break
            best, weights = max(values), moves[int(np.argmax(values))]
    return weights
