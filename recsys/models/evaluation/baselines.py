"""Baselines: popularity by world and region, recent popularity, item neighbours, EASE, and every region alone."""

from dataclasses import dataclass, field, replace

import numpy as np
from implicit.nearest_neighbours import ItemItemRecommender
from scipy import sparse

from recsys.models import ease
from recsys.models.interactions import FloatArray, IntArray, Interactions
from recsys.models.metrics import Model
from recsys.models.regional import Global
from recsys.settings import ModelsSettings

NEIGHBOURS = 50


def fit_baselines(interactions: Interactions, *, settings: ModelsSettings) -> dict[str, Model]:
    """Fit ``popular_world``, ``popular_region``, ``recent_region``, ``neighbours`` and, up to a size, ``ease``.

    The time of EASE grows with the cube of the number of tracks: beyond ``ease_max_tracks`` it is left out.
    """
    models: dict[str, Model] = {
        "popular_world": PopularWorld.fit(interactions),
        "popular_region": PopularRegion.fit(interactions),
        "recent_region": RecentRegion.fit(interactions),
        "neighbours": ItemNeighbours.fit(interactions),
    }
    if interactions.shape[1] <= settings.ease_max_tracks:
        models["ease"] = Global(interactions, ease.fit_world(interactions, settings=settings))
    return models


@dataclass(frozen=True)
class PopularWorld:
    """Everybody gets the tracks with most listeners in the world."""

    fame: FloatArray = field(repr=False)

    @classmethod
    def fit(cls, interactions: Interactions) -> "PopularWorld":
        """Count the listeners of every track."""
        return cls(_heard(interactions).sum(axis=0).astype(np.float32))

    def scores(self, listeners: IntArray) -> FloatArray:
        """Return the same row for everybody."""
        return np.tile(self.fame, (len(listeners), 1))

    def fold_in(self, interactions: Interactions) -> "PopularWorld":  # noqa: ARG002
        """Return the same: every listener gets it."""
        return self


@dataclass(frozen=True)
class PopularRegion:
    """Everybody gets the tracks with most listeners at home in the same part; nobody's home is the world.

    ``fame`` has one row per part and the world's as its last, so that home -1 finds it. Among tracks nobody in the
    part plays, and among equals, the order is the world's.
    """

    fame: FloatArray = field(repr=False)
    homes: IntArray = field(repr=False)
    parts: tuple[str, ...] = field(repr=False)

    @classmethod
    def fit(cls, interactions: Interactions) -> "PopularRegion":
        """Count the listeners of every track in every part."""
        return cls(fame_by_part(interactions, _heard(interactions)), interactions.homes, interactions.parts)

    def scores(self, listeners: IntArray) -> FloatArray:
        """Return the row of each listener's home."""
        return self.fame[self.homes[listeners]]

    def fold_in(self, interactions: Interactions) -> "PopularRegion":
        """Return the same counts, asked for the listeners of other interactions over the same tracks."""
        row = {part: position for position, part in enumerate(self.parts)}
        rows = np.array([*(row.get(part, -1) for part in interactions.parts), -1], dtype=np.int64)
        return replace(self, homes=rows[interactions.homes])


class RecentRegion(PopularRegion):
    """As :class:`PopularRegion`, counting nights on which listeners played a track, halved every half-life."""

    @classmethod
    def fit(cls, interactions: Interactions) -> "RecentRegion":
        """Sum the decayed nights of every track in every part."""
        return cls(fame_by_part(interactions, interactions.recent), interactions.homes, interactions.parts)


@dataclass(frozen=True)
class ItemNeighbours:
    """Tracks like those a listener plays: cosine of TF-IDF weights, the nearest neighbours of each track.

    References
    ----------
    M. Deshpande, G. Karypis, "Item-based top-N recommendation algorithms" (TOIS 2004); neighbours by implicit.
    """

    played: sparse.csr_array = field(repr=False)
    similar: sparse.csr_array = field(repr=False)

    @classmethod
    def fit(cls, interactions: Interactions, *, threads: int = 0) -> "ItemNeighbours":
        """Find every track's nearest neighbours; ``threads`` 0 means all cores and does not change the result."""
        model = ItemItemRecommender(K=NEIGHBOURS, num_threads=threads)
        model.fit(sparse.csr_matrix(_unit_columns(_tf_idf(interactions.confidence))), show_progress=False)
        return cls(interactions.confidence, sparse.csr_array(model.similarity).astype(np.float32))

    def scores(self, listeners: IntArray) -> FloatArray:
        """Return the similarities to each listener's tracks, weighted by confidence and summed."""
        return np.asarray((self.played[listeners] @ self.similar).toarray())


def fame_by_part(interactions: Interactions, weights: sparse.csr_array) -> FloatArray:
    """Return (p + 1, m) the weights summed over each part's listeners, and over the world in the last row.

    A part's row has the world's added, scaled to less than any one listener, so that it decides among equals only.
    """
    homes = interactions.homes
    here = np.flatnonzero(homes >= 0)
    at_home = sparse.csr_array((np.ones(len(here)), (homes[here], here)), shape=(len(interactions.parts), len(homes)))
    world = weights.sum(axis=0, dtype=np.float64)
    local = (at_home @ weights.astype(np.float64)).toarray()
    smallest = weights.data.min(initial=1)
    tie_break = world * (smallest / 2 / max(world.max(initial=0), 1))
    return np.vstack([local + tie_break, world]).astype(np.float32)


def _heard(interactions: Interactions) -> sparse.csr_array:
    heard = interactions.confidence.copy()
    heard.data[:] = 1
    return heard


def _tf_idf(confidence: sparse.csr_array) -> sparse.csr_array:
    """Weigh a play less, the more tracks its listener plays; unlike implicit's own weight, never by zero or less."""
    heard = np.diff(confidence.indptr)
    rarity = np.log1p(confidence.shape[1] / np.maximum(heard, 1))
    weighted = confidence.astype(np.float64)
    weighted.data = np.sqrt(weighted.data) * np.repeat(rarity, heard)
    return weighted


def _unit_columns(weighted: sparse.csr_array) -> sparse.csr_array:
    lengths = np.sqrt(weighted.power(2).sum(axis=0))
    scaled = weighted.copy()
    scaled.data /= lengths[weighted.indices]
    return scaled
