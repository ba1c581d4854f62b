"""Alternating least squares by implicit: tracks as vectors, and listeners' made of what they play when asked."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares, _als
from scipy import sparse

from recsys.models.interactions import FloatArray, IntArray, Interactions, TrainingMatrices
from recsys.settings import ModelsSettings

_FOLD_STEPS = 12  # of conjugate gradients from zero: the lists they give equal those of an exact solution

Watch = Callable[[int, float], None]  # called with every sweep's number and loss


@dataclass(frozen=True)
class Factors:
    """The vectors of some of m tracks; the others score 0. No listener's vector is kept.

    Parameters
    ----------
    columns : numpy.ndarray
        (k,) sorted columns of the tracks that have a vector.
    vectors : numpy.ndarray
        (k, factors) float32.
    width : int
        m.
    ridge : float
        With which a listener's vector is found; see :func:`fit_world`.
    """

    columns: IntArray = field(repr=False)
    vectors: FloatArray = field(repr=False)
    width: int
    ridge: float

    def scores(self, interactions: Interactions, rows: IntArray, *, threads: int = 1) -> FloatArray:
        """Return (len(rows), m) products of the tracks' vectors with those of listeners, folded in from their plays."""
        return self.products(self.folded_in(interactions, rows, threads=threads))

    def folded_in(self, interactions: Interactions, rows: IntArray, *, threads: int = 1) -> FloatArray:
        """Return (len(rows), factors) the vectors of listeners; of how many at once changes no bit of any."""
        return fold_in(interactions.confidence[rows][:, self.columns], self, threads=threads)

    def products(self, listeners: FloatArray) -> FloatArray:
        """Return (n, m) products of the tracks' vectors with (n, factors) those of listeners."""
        known = listeners @ self.vectors.T
        if len(self.columns) == self.width:
            return known
        found = np.zeros((len(listeners), self.width), dtype=np.float32)
        found[:, self.columns] = known
        return found


@dataclass(frozen=True)
class Residents:
    """Factors and the vectors of a place's listeners, which are found once and held in memory for as long as this is.

    Parameters
    ----------
    factors : Factors
    interactions : Interactions
        Whose listeners are asked for; those of others are folded in each time.
    rows : numpy.ndarray
        (r,) sorted listeners of the place, who are remembered; others of the interactions are folded in each time.
    """

    factors: Factors = field(repr=False)
    interactions: Interactions = field(repr=False)
    rows: IntArray = field(repr=False)

    @property
    def columns(self) -> IntArray:
        """The tracks that have a vector."""
        return self.factors.columns

    @property
    def width(self) -> int:
        """The number of tracks of the vocabulary."""
        return self.factors.width

    @cached_property
    def _vectors(self) -> FloatArray:
        return self.factors.folded_in(self.interactions, self.rows, threads=0)

    def scores(self, interactions: Interactions, rows: IntArray, *, threads: int = 1) -> FloatArray:
        """Return what the factors return."""
        if interactions is not self.interactions:
            return self.factors.scores(interactions, rows, threads=threads)
        return self.factors.products(self._of(rows, threads=threads))

    def _of(self, rows: IntArray, *, threads: int) -> FloatArray:
        place = np.searchsorted(self.rows[1:], rows, side="right")  # of the last one that is not after it
        known = self.rows[place] == rows
        if known.all():
            return self._vectors[place]
        found = np.empty((len(rows), self.factors.vectors.shape[1]), dtype=np.float32)
        found[known] = self._vectors[place[known]]
        found[~known] = self.factors.folded_in(self.interactions, rows[~known], threads=threads)
        return found


def fit_world(
    interactions: Interactions, *, settings: ModelsSettings, threads: int = 0, watch: Watch | None = None
) -> Factors:
    """Factorize the matrix of all listeners; whoever calls holds BLAS to one thread.

    Parameters
    ----------
    interactions : Interactions
    settings : ModelsSettings
    threads : int
        0 means all cores. Every row is solved on its own, so that their number does not change a bit of the result.
    watch : callable, optional
        Called with the number and the loss of every sweep.
    """
    start = _random(interactions.shape[1], settings=settings)
    columns = np.arange(interactions.shape[1])
    sweeps, ridge = settings.iterations, settings.regularization
    examples = interactions.confidence
    return _fit(examples, columns, start, sweeps=sweeps, ridge=ridge, threads=threads, watch=watch)


def fit_place(
    matrices: TrainingMatrices, *, world: Factors | None, settings: ModelsSettings, threads: int = 1
) -> Factors:
    """Factorize the matrix of a place's listeners: from the world's vectors on by a few sweeps, or alone.

    The parameters are those of :func:`fit_world`, the matrices of the place's listeners; without ``world`` the place
    starts from its own random vectors, with as many sweeps as the world has, and no longer ones than it has listeners:
    products of longer ones can be no other. A track that nobody in the place plays gets no vector.
    """
    examples = matrices.confidence
    columns, listeners = np.unique(examples.indices).astype(np.int64), examples.shape[0]
    start = world.vectors[columns] if world else _random(len(columns), settings=settings, at_most=listeners)
    sweeps = settings.regional_iterations if world else settings.iterations
    ridge = settings.regional_regularization
    return _fit(examples, columns, start, sweeps=sweeps, ridge=ridge, threads=threads)


def fold_in(confidence: sparse.csr_array, factors: Factors, *, threads: int = 1) -> FloatArray:
    """Return (n, factors) the listeners' vectors that fit their (n, k) confidences best, tracks' vectors being given.

    References
    ----------
    G. Takács, I. Pilászy, D. Tikk, "Applications of the conjugate gradient method for implicit feedback collaborative
    filtering" (RecSys 2011).
    """
    found = np.zeros((confidence.shape[0], factors.vectors.shape[1]), dtype=np.float32)
    if confidence.nnz:
        matrix = sparse.csr_matrix(confidence)
        _als.least_squares_cg(matrix, found, factors.vectors, factors.ridge, num_threads=threads, cg_steps=_FOLD_STEPS)
    return found


def _random(tracks: int, *, settings: ModelsSettings, at_most: int | None = None) -> FloatArray:
    rng, factors = np.random.default_rng(settings.seed), min(settings.factors, at_most or settings.factors)
    return rng.random((tracks, factors), dtype=np.float32) * np.float32(0.01)


def _fit(
    examples: sparse.csr_array,
    columns: IntArray,
    start: FloatArray,
    *,
    sweeps: int,
    ridge: float,
    threads: int,
    watch: Watch | None = None,
) -> Factors:
    """Run sweeps from given vectors; implicit fits an all-zero matrix silently, here it gets no vectors.

    Rows are solved by threads already, which those of BLAS would hold up. It is held to one of them once for all
    places, as finding its libraries takes ten milliseconds; implicit warns where it is not.
    """
    width = examples.shape[1]
    if examples.nnz == 0:
        return Factors(np.array([], np.int64), start[:0], width, 1.0)
    matrix = sparse.csr_matrix(examples[:, columns])
    ridge *= _interactions_per_vector(matrix)
    model = AlternatingLeastSquares(
        factors=start.shape[1],
        regularization=ridge,
        alpha=1.0,
        iterations=sweeps,
        num_threads=threads,
        calculate_training_loss=watch is not None,
    )
    model.item_factors = start.copy()
    model.user_factors = fold_in(matrix, Factors(columns, start, width, ridge), threads=threads)
    model.fit(matrix, show_progress=False, callback=_callback(watch) if watch else None)
    return Factors(columns, model.item_factors, width, ridge)


def _callback(watch: Watch) -> Callable[[int, float, float], None]:
    return lambda step, _, loss: watch(step, float(loss))


def _interactions_per_vector(confidence: sparse.csr_matrix) -> float:
    """Return the geometric mean of the numbers of tracks per listener and of listeners per played track.

    Times this, one ridge suits worlds and regions of every size and density; without, each would need its own.

    References
    ----------
    S. Rendle et al., "Revisiting the Performance of iALS on Item Recommendation Benchmarks" (RecSys 2022), who scale
    every vector's ridge by its own frequency; implicit has one ridge for all vectors.
    """
    played = len(np.unique(confidence.indices))
    return float(confidence.nnz / np.sqrt(confidence.shape[0] * played))
