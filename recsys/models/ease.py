"""EASE: which track goes with which, in closed form, from what listeners play and from what they play in one night."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy import linalg, sparse

from recsys.models.interactions import FloatArray, IntArray, Interactions, TrainingMatrices
from recsys.settings import ModelsSettings


@dataclass(frozen=True)
class TrackWeights:
    """A weight from each of k tracks to each other; the other tracks of m score 0.

    Parameters
    ----------
    columns : numpy.ndarray
        (k,) sorted columns of the tracks with weights.
    weights : numpy.ndarray
        (k, k) float32, zero on the diagonal.
    width : int
        m.
    """

    columns: IntArray = field(repr=False)
    weights: FloatArray = field(repr=False)
    width: int

    def scores(self, interactions: Interactions, rows: IntArray, *, threads: int = 1) -> FloatArray:  # noqa: ARG002
        """Return (len(rows), m) sums of the weights from each listener's tracks."""
        found = np.zeros((len(rows), self.width), dtype=np.float32)
        found[:, self.columns] = interactions.query[rows][:, self.columns] @ self.weights
        return found


@dataclass(frozen=True)
class ExampleWeights:
    """The same weights as :class:`TrackWeights`, kept by r examples where these are fewer than the k tracks.

    With Z the examples, D the diagonal of ridges and K = Z D^-1 Z' + I, Woodbury's identity gives
    P = (Z'Z + D)^-1 = D^-1 - D^-1 Z' K^-1 Z D^-1, and a query q scores q - (q P) / diag(P).

    Parameters
    ----------
    columns : numpy.ndarray
        (k,) sorted columns of the tracks with weights.
    examples : scipy.sparse.csr_array
        (r, k) float32: Z.
    inverse : numpy.ndarray
        (r, r) float32: K^-1.
    ridge, diagonal : numpy.ndarray
        (k,) float32: the diagonals of D and of P.
    width : int
        m.
    """

    columns: IntArray = field(repr=False)
    examples: sparse.csr_array = field(repr=False)
    inverse: FloatArray = field(repr=False)
    ridge: FloatArray = field(repr=False)
    diagonal: FloatArray = field(repr=False)
    width: int

    def scores(self, interactions: Interactions, rows: IntArray, *, threads: int = 1) -> FloatArray:  # noqa: ARG002
        """Return (len(rows), m) sums of the weights from each listener's tracks."""
        query = interactions.query[rows][:, self.columns]
        scaled = query.multiply(1 / self.ridge).tocsr()
        like = (scaled @ self.examples.T).toarray() @ self.inverse
        product = scaled.toarray() - (self.examples.T @ like.T).T / self.ridge
        found = np.zeros((len(rows), self.width), dtype=np.float32)
        found[:, self.columns] = query.toarray() - product / self.diagonal
        return found


def fit_world(interactions: Interactions, *, settings: ModelsSettings) -> TrackWeights | ExampleWeights:
    """Learn the weights of all listeners."""
    matrices = TrainingMatrices(interactions.confidence, interactions.sessions)
    return fit_ease(matrices, ridge=settings.ease_ridge, settings=settings)


def fit_place(matrices: TrainingMatrices, *, settings: ModelsSettings) -> TrackWeights | ExampleWeights:
    """Learn the weights of a place's listeners alone."""
    return fit_ease(matrices, ridge=settings.ease_regional_ridge, settings=settings)


def fit_ease(matrices: TrainingMatrices, *, ridge: float, settings: ModelsSettings) -> TrackWeights | ExampleWeights:
    """Learn the weights that predict best what listeners play from what else they play, by the smaller inverse.

    With X the plays (log2(1 + plays)) of the listeners and S the ones of their sessions, weight w of the sessions and
    a ridge, the weights are I - P / diag(P), where ``P = (Z'Z + D)^-1``, Z is ``sqrt(1 - w) X`` above ``sqrt(w) S``,
    and ``D_jj = ridge + dropout * x_j + w * max(x_j - s_j, 0)`` for the squared sums x_j and s_j of the columns.

    Parameters
    ----------
    matrices : TrainingMatrices
        Of the listeners to learn from.
    ridge : float
    settings : ModelsSettings
        ``ease_dropout`` and ``sitting_weight``.

    References
    ----------
    H. Steck, "Embarrassingly Shallow Autoencoders for Sparse Data" (WWW 2019), and "Autoencoders that don't overfit
    towards the Identity" (NeurIPS 2020) for the dropout. With repeated plays a session can weigh more than its
    listener, which is why the last term stops at zero: every ridge stays positive.
    """
    plays = matrices.confidence.copy()
    plays.data = (plays.data - 1) / np.float32(settings.alpha * np.log(2))
    columns = np.unique(plays.indices).astype(np.int64)
    if not len(columns):
        return TrackWeights(columns, np.zeros((0, 0), dtype=np.float32), plays.shape[1])
    examples = plays[:, columns]
    squares, sessions = _squares(examples), matrices.sessions[:, columns]
    ridges = ridge + settings.ease_dropout * squares
    weight = settings.sitting_weight if sessions.shape[0] else 0.0  # who has no sessions has plays alone
    if weight:
        ridges += weight * np.maximum(squares - _squares(sessions), 0)
        both = [np.float32(np.sqrt(1 - weight)) * examples, np.float32(np.sqrt(weight)) * sessions]
        examples = sparse.csr_array(sparse.vstack(both), dtype=np.float32)
    kind = _by_examples if examples.shape[0] < len(columns) else _by_tracks
    return kind(examples, ridges, columns=columns, width=plays.shape[1])


def _by_tracks(
    examples: sparse.csr_array, ridges: NDArray[np.float64], *, columns: IntArray, width: int
) -> TrackWeights:
    gram = np.asarray((examples.T @ examples).toarray(), dtype=np.float32, order="F")
    gram[np.diag_indices_from(gram)] += ridges.astype(np.float32)
    weights = _inverse(gram)
    weights /= -np.diag(weights).copy()
    np.fill_diagonal(weights, 0)
    return TrackWeights(columns, weights, width)


def _by_examples(
    examples: sparse.csr_array, ridges: NDArray[np.float64], *, columns: IntArray, width: int
) -> ExampleWeights:
    scaled = examples.multiply(1 / ridges).tocsr()
    kernel = np.asarray((scaled @ examples.T).toarray(), dtype=np.float64, order="F")
    kernel[np.diag_indices_from(kernel)] += 1
    inverse = _inverse(kernel)
    reached = np.asarray(scaled.multiply(inverse @ scaled).sum(axis=0)).ravel()
    ridge, diagonal = ridges.astype(np.float32), (1 / ridges - reached).astype(np.float32)
    return ExampleWeights(columns, examples, inverse.astype(np.float32), ridge, diagonal, width)


def _squares(matrix: sparse.csr_array) -> NDArray[np.float64]:
    return np.asarray(matrix.astype(np.float64).power(2).sum(axis=0)).ravel()


def _inverse(matrix: NDArray[np.floating]) -> NDArray[np.floating]:
    """Invert a symmetric positive definite matrix by Cholesky: less than half of the time of a general inverse."""
    factorize, invert = linalg.get_lapack_funcs(("potrf", "potri"), (matrix,))
    factor, bad = factorize(matrix, lower=True, overwrite_a=True)
    if bad:
        raise np.linalg.LinAlgError("not positive definite: raise the ridge")
    lower, _ = invert(factor, lower=True, overwrite_c=True)
    return np.asarray(np.tril(lower) + np.tril(lower, -1).T)
