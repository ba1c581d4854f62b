"""Collaborative filtering: one global model, one per region that is large enough, and the blend that is served."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from implicit.als import AlternatingLeastSquares
from numpy.typing import NDArray
from scipy import sparse
from sklearn.linear_model import LogisticRegression
from threadpoolctl import threadpool_limits

from recsys.models.baselines import PopularRegion, RecentRegion
from recsys.models.interactions import FloatArray, IntArray, Interactions
from recsys.models.metrics import LENGTH, NOTHING, BoolArray, Lists, ndcg_at_10, rank, top, without
from recsys.settings import ModelsSettings

FEATURES = ("shared", "own", "popular", "recent")
_POOL = 100  # best tracks of a listener by the first guess: what the blend learns to put in order
_LEARNERS = 4000  # listeners the weights are learned from: four numbers need no more
_FEWEST_LEARNERS = 100  # of fewer, four numbers would learn the noise
_FIRST_GUESS = np.array([1.0, 1.0, 0.2, 0.2])
_STEPS = (0.2, 0.1, 0.05, 0.025)  # of weights whose absolute values sum to 1
_GLOBAL_ALONE = np.array([1.0, 0.0, 0.0, 0.0])


@dataclass(frozen=True)
class Factors:
    """Listeners and tracks as vectors; a listener's score of a track is their product. Never leaves the zone.

    Parameters
    ----------
    listeners : numpy.ndarray
        (n, factors) float32.
    tracks : numpy.ndarray
        (m, factors) float32.
    """

    listeners: FloatArray = field(repr=False)
    tracks: FloatArray = field(repr=False)

    def scores(self, listeners: IntArray) -> FloatArray:
        """Return (len(listeners), m) products."""
        return self.listeners[listeners] @ self.tracks.T


@dataclass(frozen=True)
class Regional:
    """The own model of each listener's part where it has one, the global one elsewhere.

    Parameters
    ----------
    shared : Factors
        The global model.
    listeners : numpy.ndarray
        (n, factors) float32, each listener's vector in the model of their home.
    tracks : mapping of int to numpy.ndarray
        (m, factors) float32 of every part with an own model, by its position.
    homes : numpy.ndarray
        (n,) position of each listener's home, -1 where unknown.
    """

    shared: Factors = field(repr=False)
    listeners: FloatArray = field(repr=False)
    tracks: Mapping[int, FloatArray] = field(repr=False)
    homes: IntArray = field(repr=False)

    def scores(self, listeners: IntArray) -> FloatArray:
        """Return (len(listeners), m) products of each listener's vector and their home's tracks."""
        found = np.empty((len(listeners), len(self.shared.tracks)), dtype=np.float32)
        homes = self.homes[listeners]
        for home in np.unique(homes):
            here = homes == home
            found[here] = self.listeners[listeners[here]] @ self.tracks.get(int(home), self.shared.tracks).T
        return found


@dataclass(frozen=True)
class Recipe:
    """What was learned on the validation nights about blending.

    Parameters
    ----------
    weights : numpy.ndarray
        (4,) of the features: global score, own minus global score, log popularity, log recent popularity in the part.
    open_gates : frozenset of str
        The parts whose own model is used: it did not make the lists of their validation listeners worse.
    """

    weights: NDArray[np.float64]
    open_gates: frozenset[str]


UNLEARNED = Recipe(_FIRST_GUESS, frozenset())


@dataclass(frozen=True)
class Blend:
    """The served score: a weighted sum of z-scores, with weights of the listener's home.

    With g and l the listener's z-scores over the vocabulary of the global and the own model, and p and r the z-scores
    of log popularity and log recent popularity in the home, the score is ``w0 g + w1 s (l - g) + w2 p + w3 r``, where
    ``s = n / (n + regional_shrinkage)`` for a home of n listeners with an own model that passed the gate, and 0 else:
    the smaller a region, the more it is served the global model.

    Parameters
    ----------
    regional : Regional
    popular, recent : numpy.ndarray
        (p + 1, m) float32 z-scores, the last row the world's.
    weights : numpy.ndarray
        (p + 1, 4) float32 of each home, in the order of ``FEATURES``, shrinkage and gate applied.
    """

    regional: Regional = field(repr=False)
    popular: FloatArray = field(repr=False)
    recent: FloatArray = field(repr=False)
    weights: FloatArray = field(repr=False)

    def scores(self, listeners: IntArray) -> FloatArray:
        """Return (len(listeners), m) weighted sums."""
        homes = self.regional.homes[listeners]
        weight = self.weights[homes].T[:, :, None]
        features = self.features(listeners)
        return np.asarray(sum(w * feature for w, feature in zip(weight, features, strict=True)), dtype=np.float32)

    def features(self, listeners: IntArray) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
        """Return the four (len(listeners), m) features that are summed."""
        homes = self.regional.homes[listeners]
        shared = standardized(self.regional.shared.scores(listeners))
        own = standardized(self.regional.scores(listeners))
        return shared, own - shared, self.popular[homes], self.recent[homes]


def fit_global(interactions: Interactions, *, settings: ModelsSettings, threads: int = 0) -> Factors:
    """Factorize the matrix of all listeners with implicit's alternating least squares.

    Parameters
    ----------
    interactions : Interactions
    settings : ModelsSettings
    threads : int
        0 means all cores. Every row is solved on its own, so that their number does not change a bit of the result.
    """
    rng = np.random.default_rng(settings.seed)
    listeners, tracks = (
        rng.random((size, settings.factors), dtype=np.float32) * np.float32(0.01) for size in interactions.shape
    )
    start = Factors(listeners, tracks)
    return _als(interactions.confidence, start, sweeps=settings.iterations, settings=settings, threads=threads)


def fit_regional(
    interactions: Interactions, *, shared: Factors, settings: ModelsSettings, threads: int = 0
) -> Regional:
    """Let every part with enough listeners depart from the global factors, by a few sweeps over its own listeners.

    A track that nobody in the part plays gets the zero vector there. The parameters are those of :func:`fit_global`.
    """
    listeners = shared.listeners.copy()
    tracks = {}
    for part in np.flatnonzero(interactions.residents() >= settings.min_listeners_per_region):
        rows = interactions.rows_of(part)
        start = Factors(shared.listeners[rows], shared.tracks)
        matrix = interactions.confidence[rows]
        own = _als(matrix, start, sweeps=settings.regional_iterations, settings=settings, threads=threads)
        listeners[rows] = own.listeners
        tracks[int(part)] = own.tracks
    return Regional(shared, listeners, tracks, interactions.homes)


def train(interactions: Interactions, *, recipe: Recipe, settings: ModelsSettings, threads: int = 0) -> Blend:
    """Fit the global and the regional models, and mix them as a recipe says."""
    shared = fit_global(interactions, settings=settings, threads=threads)
    regional = fit_regional(interactions, shared=shared, settings=settings, threads=threads)
    return blend(interactions, regional=regional, recipe=recipe, settings=settings)


def blend(interactions: Interactions, *, regional: Regional, recipe: Recipe, settings: ModelsSettings) -> Blend:
    """Mix fitted models as a recipe says; the recipe may come from the same parts on earlier nights."""
    weights = np.tile(recipe.weights, (len(interactions.parts) + 1, 1))
    weights[:, FEATURES.index("own")] *= _own_share(interactions, regional=regional, recipe=recipe, settings=settings)
    fames = (PopularRegion.fit(interactions).fame, RecentRegion.fit(interactions).fame)
    popular, recent = (standardized(np.log(fame + np.float32(0.5))) for fame in fames)
    return Blend(regional, popular, recent, weights.astype(np.float32))


def learn(
    interactions: Interactions, *, regional: Regional, later: sparse.csr_array, settings: ModelsSettings
) -> Recipe:
    """Learn the weights with all own models, then shut out those that make their part's lists worse.

    Parameters
    ----------
    interactions : Interactions
        What was known before the validation nights.
    regional : Regional
        Fitted on the interactions.
    later : scipy.sparse.csr_array
        (n, m) non-zero where a listener played a track on the validation nights.
    settings : ModelsSettings
    """
    everywhere = frozenset(interactions.parts)
    guess = blend(interactions, regional=regional, recipe=Recipe(_FIRST_GUESS, everywhere), settings=settings)
    weights = _learned_weights(guess, interactions, later)
    with_own, without_own = (
        blend(interactions, regional=regional, recipe=Recipe(weights, gates), settings=settings)
        for gates in (everywhere, frozenset[str]())
    )
    gain = _ndcg_by_home(with_own, interactions, later) - _ndcg_by_home(without_own, interactions, later)
    open_gates = (part for p, part in enumerate(interactions.parts) if p in regional.tracks and gain[p] >= 0)
    return Recipe(weights, frozenset(open_gates))


def standardized(scores: FloatArray) -> FloatArray:
    """Return each row minus its mean, over its standard deviation; a constant row becomes zeros."""
    centred = scores - scores.mean(axis=1, keepdims=True)
    spread = centred.std(axis=1, keepdims=True)
    return np.asarray(np.divide(centred, spread, out=np.zeros_like(centred), where=spread > 0))


def _als(
    confidence: sparse.csr_array, start: Factors, *, sweeps: int, settings: ModelsSettings, threads: int
) -> Factors:
    """Run sweeps of ALS from given factors.

    implicit fits an all-zero matrix silently and lets a threaded BLAS slow it down threefold: neither happens here.
    """
    if confidence.nnz == 0:
        return Factors(np.zeros_like(start.listeners), np.zeros_like(start.tracks))
    ridge = settings.regularization * _interactions_per_vector(confidence)
    with threadpool_limits(1, "blas"):
        model = AlternatingLeastSquares(
            factors=settings.factors, regularization=ridge, alpha=1.0, iterations=sweeps, num_threads=threads
        )
        model.user_factors, model.item_factors = start.listeners.copy(), start.tracks.copy()
        model.fit(sparse.csr_matrix(confidence), show_progress=False)
    return Factors(model.user_factors, model.item_factors)


def _interactions_per_vector(confidence: sparse.csr_array) -> float:
    """Return the geometric mean of the numbers of tracks per listener and of listeners per played track.

    Times this, one ridge suits worlds and regions of every size and density; without, each would need its own.

    References
    ----------
    S. Rendle et al., "Revisiting the Performance of iALS on Item Recommendation Benchmarks" (RecSys 2022), who scale
    every vector's ridge by its own frequency; implicit has one ridge for all vectors.
    """
    played = len(np.unique(confidence.indices))
    return float(confidence.nnz / np.sqrt(confidence.shape[0] * played))


def _own_share(
    interactions: Interactions, *, regional: Regional, recipe: Recipe, settings: ModelsSettings
) -> NDArray[np.float64]:
    """Return (p + 1,) how much of an own model's weight each home gets; 0 without an own model or behind a gate."""
    residents = interactions.residents()
    used = [p in regional.tracks and part in recipe.open_gates for p, part in enumerate(interactions.parts)]
    return np.append(np.where(used, residents / (residents + settings.regional_shrinkage), 0), 0)


@dataclass(frozen=True)
class _Pool:
    """The k best unheard tracks of n listeners by a first guess, to be put in a better order.

    ``features`` is (n, k, 4); ``there`` (n, k) is false where a listener had fewer than k unheard tracks, ``played``
    (n, k) tells which ones were played later; ``relevant`` (n,) is how many such tracks the whole vocabulary has.
    """

    features: FloatArray = field(repr=False)
    there: BoolArray = field(repr=False)
    played: BoolArray = field(repr=False)
    relevant: IntArray = field(repr=False)

    def ndcg(self, weights: NDArray[np.float64]) -> float:
        """Return the mean NDCG at 10 of the pool in the order of the weighted sum."""
        scores = np.where(self.there, self.features @ weights.astype(np.float32), np.float32(-np.inf))
        order = top(scores, LENGTH)
        hits = np.take_along_axis(self.played, order, axis=1) & (order != NOTHING)
        lists = Lists(np.arange(len(order)), order, hits, self.relevant)
        return float(ndcg_at_10(lists).mean())


def _learned_weights(guess: Blend, interactions: Interactions, later: sparse.csr_array) -> NDArray[np.float64]:
    """Fit a logistic regression, and climb from there and from two plain guesses to the best NDCG."""
    new = without(later, interactions.confidence)
    learners = np.flatnonzero(np.diff(new.indptr))
    learners = learners[:: max(1, -(-len(learners) // _LEARNERS))]
    if len(learners) < _FEWEST_LEARNERS:
        return _FIRST_GUESS
    pools = [_pooled(guess, interactions, new, rows) for rows in np.array_split(learners, len(learners) // 100 + 1)]
    features, there, played = (np.concatenate(column) for column in zip(*pools, strict=True))
    pool = _Pool(features, there, played, np.diff(new.indptr)[learners])
    starts = [_FIRST_GUESS, _GLOBAL_ALONE, *_logistic_weights(pool)]
    return max((_climb(start, pool.ndcg) for start in starts), key=pool.ndcg)


def _pooled(
    guess: Blend, interactions: Interactions, new: sparse.csr_array, rows: IntArray
) -> tuple[FloatArray, BoolArray, BoolArray]:
    """Return the first three fields of the pool of some rows; own scores count as much as the part's size allows."""
    heard = interactions.confidence[rows].toarray() != 0
    best = top(np.where(heard, np.float32(-np.inf), guess.scores(rows)), min(_POOL, heard.shape[1]))
    own_share = guess.weights[guess.regional.homes[rows], FEATURES.index("own")] / _FIRST_GUESS[FEATURES.index("own")]
    shared, own, popular, recent = guess.features(rows)
    features = (shared, own * own_share[:, None].astype(np.float32), popular, recent)
    there = best != NOTHING
    played = np.take_along_axis(new[rows].toarray() > 0, best, axis=1) & there
    return np.stack([np.take_along_axis(feature, best, axis=1) for feature in features], axis=-1), there, played


def _logistic_weights(pool: _Pool) -> list[NDArray[np.float64]]:
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
    return [np.asarray(model.coef_[0], dtype=np.float64)]


def _climb(weights: NDArray[np.float64], worth: Callable[[NDArray[np.float64]], float]) -> NDArray[np.float64]:
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
            values = [worth(move) for move in moves]
            if max(values) <= best:
                break
            best, weights = max(values), moves[int(np.argmax(values))]
    return weights


def _ndcg_by_home(model: Blend, interactions: Interactions, later: sparse.csr_array) -> NDArray[np.float64]:
    """Return (p,) mean NDCG at 10 of each part's listeners on unheard tracks; NaN where there is no listener."""
    lists = rank(model, later=later, heard=interactions.confidence)
    homes = interactions.homes[lists.listeners]
    placed = homes >= 0
    sizes = np.bincount(homes[placed], minlength=len(interactions.parts))
    sums = np.bincount(homes[placed], weights=ndcg_at_10(lists)[placed], minlength=len(sizes))
    return np.asarray(np.divide(sums, sizes, out=np.full(len(sizes), np.nan), where=sizes > 0))
