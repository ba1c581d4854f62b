"""The blend, whose score is served: the world's model, the place's own, another engine's, and recent popularity."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from recsys.models.interactions import FloatArray, IntArray, Interactions
from recsys.models.local_music import Offsets
from recsys.models.metrics import BoolArray, Values, top
from recsys.models.place_tree import WORLD_ROW, Places
from recsys.models.ranker import Weights, reordered
from recsys.models.regional import Fitted, Global, Own
from recsys.models.trees import Trees
from recsys.models.trends import TRENDS, standardized, trends
from recsys.settings import ModelsSettings
from recsys.threads import in_threads

FEATURES = ("shared", "own", "beside", *TRENDS)
TREE_FEATURES = (
    *FEATURES,
    *(f"{trend}_world" for trend in TRENDS[:2]),
    "summed",
    *(f"behind_best_{of}" for of in ("shared", "own", "summed")),
    "history",
    "own_weight",
)
"""What the trees are shown of each of the best tracks, in the order of :meth:`Blend.pool`."""

_OF_MODELS = {"shared", "own", "beside", "summed", *(name for name in TREE_FEATURES if name.startswith("behind_best"))}
RISING = tuple(int(name in _OF_MODELS) for name in TREE_FEATURES)
"""1 for features of which trees must not hold more against a track: so they learn less of what is chance."""

_OWN = FEATURES.index("own")
_AT_ONCE = 200  # listeners whose features are in memory together
_POOL = 100  # best unheard tracks of a listener by the weighted sum: what is put in order
FIRST_GUESS = np.array([1.0, 0.4, 0.0, 0.3, 0.6, 0.0])
REGIONAL_ONLY = np.array([1.0, 0.5, 0.0, 0.0, 0.0, 0.0])
_UNKNOWN = np.eye(len(FEATURES))[FEATURES.index("recent")]  # of who has played nothing: what is played there


@dataclass(frozen=True)
class BlendParameters:
    """What was learned on the validation nights about blending.

    Parameters
    ----------
    weights : numpy.ndarray
        (6,) of the ``FEATURES``.
    open_gates : frozenset of str
        The parts and countries whose own model is used; see :func:`recsys.models.fit_blend.gated`.
    gains : mapping of str to float
        NDCG at 10 that the own model of a part adds to its parent's, by its validation listeners.
    trees : Trees, optional
        The order of the best tracks; without, it is that of the weighted sum.
    summed : frozenset of str
        The parts where it is that of the weighted sum, whatever the trees say.
    beside : bool
        Whether the engine beside is asked.
    """

    weights: Weights
    open_gates: frozenset[str] = field(repr=False)
    gains: Mapping[str, float] = field(default_factory=dict, repr=False)
    trees: Trees | None = field(default=None, repr=False)
    summed: frozenset[str] = field(default=frozenset(), repr=False)
    beside: bool = False

    def engines(self, settings: ModelsSettings) -> ModelsSettings:
        """Return the settings to fit by what is asked: where the engine beside says nothing, it is not fitted."""
        return settings if self.beside else settings.model_copy(update={"both_engines": False})


UNLEARNED = BlendParameters(FIRST_GUESS, frozenset())


@dataclass(frozen=True)
class Blend:
    """The served score: a weighted sum of z-scores with weights of the listener's place, its best tracks put in order.

    With g and l the listener's z-scores of the global model and of the own model of the place that serves them, b those
    of the world's model by the engine beside and t the z-scores of the trends at home, the score is
    ``w0 g + w1 s (l - g) + w2 b + sum of w t``, where ``s = n / (n + regional_shrinkage)`` for a serving place of n
    listeners, and 0 where the world serves: the smaller a place, the more it is served the global model. z-scores are
    taken over the tracks that the own model knows. Who has played nothing yet gets what is played recently at home:
    weights learned beside a history say nothing without. Who has played something gets offsets beside, by which the
    lists of a country keep the share of its own artists, as a whole and by place.

    Parameters
    ----------
    own : Own
    beside : Global, optional
        The other engine's model of the world; where there is none, its feature is 0.
    places : Places
    trends : numpy.ndarray
        (3, p + c + 1, m) z-scores, of each place and of the world; see :func:`recsys.models.trends.trends`.
    weights : numpy.ndarray
        (p + c + 1, 6) float32 of each place, in the order of ``FEATURES``, shrinkage and gates applied.
    trees : Trees, optional
    summed : numpy.ndarray
        (p + c + 1,) bool of each place, whether its listeners' tracks stay in the order of the weighted sum.
    offsets : Offsets, optional
        See :func:`recsys.models.local_music.keeping_shares`.
    """

    own: Own = field(repr=False)
    beside: Global | None = field(repr=False)
    places: Places = field(repr=False)
    trends: FloatArray = field(repr=False)
    weights: FloatArray = field(repr=False)
    trees: Trees | None = field(repr=False)
    summed: BoolArray = field(repr=False)
    offsets: Offsets | None = field(default=None, repr=False)

    def scores(self, listeners: IntArray) -> FloatArray:
        """Return (len(listeners), m) weighted sums, the best unheard dealt out in their learned order, plus offsets.

        Offsets come last, so that shares are those of the lists as they are served.
        """
        found = np.empty((len(listeners), self.own.world.width), dtype=np.float32)

        def score(some: IntArray) -> None:
            found[some] = self.scored(self.features(listeners[some]), listeners[some])

        in_threads(score, self.blocks(listeners))
        return found

    def blocks(self, listeners: IntArray) -> Sequence[IntArray]:
        """Return the positions of some listeners after the other, those at home in the same place together.

        So a place is asked once, and the features of a few listeners stay in a processor's cache.
        """
        by_home = np.argsort(self.own.homes[listeners], kind="stable")
        return np.array_split(by_home, len(by_home) // _AT_ONCE + 1)

    def fold_in(self, interactions: Interactions) -> "Blend":
        """Return the same fitted model, asked for the listeners of other interactions over the same tracks.

        A part that had no listener when the model was fitted is served its country's model and trends, else the
        world's.
        """
        homes = self.places.homes_of(interactions)
        beside = replace(self.beside, interactions=interactions) if self.beside else None
        return replace(self, own=replace(self.own, interactions=interactions, homes=homes), beside=beside)

    def features(self, listeners: IntArray) -> list[FloatArray]:
        """Return the six (len(listeners), m) features that are summed."""
        shared = self.own.world.scores(self.own.interactions, listeners)
        gap = np.zeros_like(shared)
        for chosen, side in self.own.groups(listeners):
            columns = slice(None) if side is self.own.world else side.columns
            shared[chosen] = standardized(shared[chosen], columns)
            if side is not self.own.world:
                scores = side.scores(self.own.interactions, listeners[chosen])
                gap[chosen] = standardized(scores, columns) - shared[chosen]
        beside = standardized(self.beside.scores(listeners)) if self.beside else np.zeros_like(shared)
        return [shared, gap, beside, *(trend[self.own.homes[listeners]] for trend in self.trends)]

    def scored(self, features: Sequence[FloatArray], listeners: IntArray) -> FloatArray:
        """Return what :meth:`scores` does, of given features of the listeners."""
        scores = self._ordered(features, listeners)
        if self.offsets is None:
            return scores
        homes = np.where(self._have_played(listeners), self.own.homes[listeners], WORLD_ROW)
        return self.offsets.added(scores, homes=homes, heard=self._heard(listeners))

    def _ordered(self, features: Sequence[FloatArray], listeners: IntArray) -> FloatArray:
        scores = self._summed(features, listeners)
        if self.trees is None or not len(listeners):
            return scores
        columns, values = self._candidates(scores, features, listeners)
        return reordered(scores, columns=columns, order=self.order(values, listeners))

    def pool(self, listeners: IntArray) -> tuple[IntArray, FloatArray]:
        """Return the (n, 100) best unheard tracks by the weighted sum, and their (n, 100, f) features of the trees."""
        features = self.features(listeners)
        return self._candidates(self._summed(features, listeners), features, listeners)

    def order(self, values: FloatArray, listeners: IntArray) -> Values:
        """Return (n, 100) what the tracks of :meth:`pool` are put in order by: what trees say, or as they are summed.

        Parameters
        ----------
        values : numpy.ndarray
            (n, 100, f) their features.
        listeners : numpy.ndarray
            (n,) rows of the interactions.
        """
        order = np.tile(-np.arange(values.shape[1], dtype=np.float64), (len(values), 1))
        by_trees = self._have_played(listeners) & ~self.summed[self.own.homes[listeners]]
        if self.trees is not None and by_trees.any():
            found = self.trees.decision_function(values[by_trees].reshape(-1, values.shape[-1]))
            order[by_trees] = found.reshape(-1, values.shape[1])
        return order

    def _summed(self, features: Sequence[FloatArray], listeners: IntArray) -> FloatArray:
        played = self._have_played(listeners)[:, None]
        weights = np.where(played, self.weights[self.own.homes[listeners]], _UNKNOWN).T[:, :, None]
        total = weights[0] * features[0]
        term = np.empty_like(total)
        for weight, feature in zip(weights[1:], features[1:], strict=True):
            total += np.multiply(weight, feature, out=term)
        return np.asarray(total, dtype=np.float32)

    def _have_played(self, listeners: IntArray) -> BoolArray:
        return np.asarray(np.diff(self.own.interactions.confidence.indptr)[listeners] > 0)

    def _heard(self, listeners: IntArray) -> BoolArray:
        return np.asarray(self.own.interactions.confidence[listeners].toarray() != 0)

    def _candidates(
        self, scores: FloatArray, features: Sequence[FloatArray], listeners: IntArray
    ) -> tuple[IntArray, FloatArray]:
        heard = self._heard(listeners)
        columns = top(np.where(heard, np.float32(-np.inf), scores), min(_POOL, scores.shape[1]))
        world = (trend[[WORLD_ROW]] for trend in self.trends[:2])
        wide = [np.broadcast_to(f, scores.shape) for f in (*features, *world, scores)]
        values = [np.take_along_axis(feature, columns, axis=1) for feature in wide]
        shared, gap = values[0], values[1]
        behind = [value - value.max(axis=1, keepdims=True) for value in (shared, shared + gap, values[-1])]
        history = np.broadcast_to(np.log1p(heard.sum(axis=1, keepdims=True)), columns.shape)
        share = np.broadcast_to(self.weights[self.own.homes[listeners], _OWN][:, None], columns.shape)
        return columns, np.stack([*values, *behind, history, share], axis=-1).astype(np.float32)


def blend(fitted: Fitted, *, parameters: BlendParameters, settings: ModelsSettings) -> Blend:
    """Mix fitted models as blend parameters say; they may come from the same places on earlier nights."""
    open_gates = frozenset(place for place in fitted.sides if fitted.places.names[place] in parameters.open_gates)
    seen = trends(fitted.interactions, places=fitted.places, settings=settings)
    return _mixed(fitted, seen, chosen=open_gates, parameters=parameters, settings=settings)


def regional_only(fitted: Fitted, *, like: Blend, settings: ModelsSettings) -> Blend:
    """Return the world's and all places' own scores alone: no gate, no trend, no learned order."""
    parameters = BlendParameters(REGIONAL_ONLY, frozenset())
    return _mixed(fitted, like.trends, chosen=frozenset(fitted.sides), parameters=parameters, settings=settings)


def _mixed(
    fitted: Fitted, seen: FloatArray, *, chosen: frozenset[int], parameters: BlendParameters, settings: ModelsSettings
) -> Blend:
    own = fitted.own(chosen)
    beside = Global(fitted.interactions, fitted.beside) if fitted.beside and parameters.beside else None
    sizes = np.append(fitted.sizes, 0)[own.serving]  # the world's is the last row
    weights = np.tile(parameters.weights, (len(own.serving), 1))
    weights[:, _OWN] *= sizes / (sizes + settings.regional_shrinkage)
    summed = np.array([*(name in parameters.summed for name in fitted.places.names), False])
    return Blend(own, beside, fitted.places, seen, weights.astype(np.float32), parameters.trees, summed)
