"""Regional models: the world's model, what every large enough place departs from it, and who is served which."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from recsys.models import als, ease
from recsys.models.interactions import FloatArray, IntArray, Interactions, TrainingMatrices
from recsys.models.learners import drawn
from recsys.models.place_tree import WORLD_ROW, Places
from recsys.settings import ModelsSettings
from recsys.threads import in_threads


class TrackSide(Protocol):
    """What an engine learned about tracks: it scores them for any listeners, known or new, from what these played."""

    @property
    def width(self) -> int:
        """The number of tracks of the vocabulary."""
        ...

    def scores(self, interactions: Interactions, rows: IntArray, *, threads: int = 1) -> FloatArray:
        """Return (len(rows), m) finite float32; 0 for tracks that the model does not know."""
        ...

    @property
    def columns(self) -> IntArray:
        """The tracks that the model knows."""
        ...


PlaceMatrices = tuple[int, TrainingMatrices]
PlaceSide = tuple[int, TrackSide]
Spread = Callable[[Callable[[PlaceMatrices], PlaceSide], Iterable[PlaceMatrices]], Iterable[PlaceSide]]
"""Applies a function, which fits one place, to each of many, in whatever order and on whatever machine."""


@dataclass(frozen=True)
class Global:
    """The world's model, asked for the listeners of some interactions."""

    interactions: Interactions = field(repr=False)
    tracks: TrackSide = field(repr=False)

    def scores(self, listeners: IntArray) -> FloatArray:
        """Return (len(listeners), m) scores."""
        return self.tracks.scores(self.interactions, listeners)


@dataclass(frozen=True)
class Own:
    """The own model of each listener's place: of their part, else of their country, else the world's.

    Parameters
    ----------
    interactions : Interactions
        Whose listeners are asked for.
    homes : numpy.ndarray
        (n,) place of each listener.
    world : TrackSide
    sides : mapping of int to TrackSide
        The own models by place.
    serving : numpy.ndarray
        (p + c + 1,) the place whose model serves each place, the world's as the last row.
    """

    interactions: Interactions = field(repr=False)
    homes: IntArray = field(repr=False)
    world: TrackSide = field(repr=False)
    sides: Mapping[int, TrackSide] = field(repr=False)
    serving: IntArray = field(repr=False)

    def scores(self, listeners: IntArray) -> FloatArray:
        """Return (len(listeners), m) scores of each listener's place's model."""
        found = np.empty((len(listeners), self.world.width), dtype=np.float32)
        for chosen, side in self.groups(listeners):
            found[chosen] = side.scores(self.interactions, listeners[chosen])
        return found

    def groups(self, listeners: IntArray) -> Iterator[tuple[IntArray, TrackSide]]:
        """Yield the positions of the listeners who are served the same model, and the model."""
        served = self.serving[self.homes[listeners]]
        for place in np.unique(served):
            yield np.flatnonzero(served == place), self.sides.get(int(place), self.world)


@dataclass(frozen=True)
class Fitted:
    """The world's model and those of all places that are large enough.

    Parameters
    ----------
    interactions : Interactions
        Of all listeners that can be asked for.
    places : Places
    sizes : numpy.ndarray
        (p + c,) listeners of each place that were learned from.
    world : TrackSide
    sides : mapping of int to TrackSide
        The own models by place.
    beside : TrackSide, optional
        The world's model by the other engine.
    learners : numpy.ndarray, optional
        (r,) sorted rows of the listeners that were learned from; by default everybody.
    """

    interactions: Interactions = field(repr=False)
    places: Places = field(repr=False)
    sizes: IntArray = field(repr=False)
    world: TrackSide = field(repr=False)
    sides: Mapping[int, TrackSide] = field(repr=False)
    beside: TrackSide | None = field(default=None, repr=False)
    learners: IntArray | None = field(default=None, repr=False)

    @cached_property
    def learned(self) -> Interactions:
        """What was learned from."""
        return self.interactions if self.learners is None else self.interactions.of(self.learners)

    def own(self, chosen: frozenset[int] | None = None) -> Own:
        """Return the own models of the chosen places, by default of all, each serving whoever has no nearer one."""
        serving = self.places.nearest(frozenset(self.sides) if chosen is None else chosen)
        homes = self.places.homes_of(self.interactions)
        return Own(self.interactions, homes, self.world, self.sides, serving)

    def asked_again(self) -> "Fitted":
        """Return the same, to be asked again and again for the learners, whom it remembers: never to be written."""
        known, everywhere = self.interactions, np.arange(self.interactions.shape[0])
        learners = everywhere if self.learners is None else self.learners
        world = _of_residents(self.world, known, learners)
        sides = {
            place: _of_residents(
                side, known, np.intersect1d(self.places.rows(known, place), learners, assume_unique=True)
            )
            for place, side in self.sides.items()
        }
        beside = _of_residents(self.beside, known, learners) if self.beside else None
        return replace(self, world=world, sides=sides, beside=beside)


def fit(
    interactions: Interactions,
    *,
    settings: ModelsSettings,
    threads: int = 0,
    watch: als.Watch | None = None,
    spread: Spread | None = None,
) -> Fitted:
    """Fit the world, and let every place with enough listeners depart from it; and the world by the engine beside.

    All learn from the same listeners, who are drawn where there are too many (:func:`~recsys.models.learners.drawn`);
    everybody else is folded in when asked for. A country with a single part would repeat it, and has no model of its
    own. The places are fitted side by side, each by one thread, so that their number does not change a bit of the
    result; by default on this machine.
    """
    rows, places = drawn(interactions, settings=settings), Places.of(interactions)
    learned = interactions.of(rows)
    learners = None if learned is interactions else rows
    sizes = places.sizes(learned)
    with threadpool_limits(1, "blas"):  # for all places at once: see recsys/models/als.py
        world = _fit_world(learned, settings=settings, threads=threads, watch=watch)
        fit_place = _fit_place(world, settings=settings)
        chosen = _large_enough(places, sizes, at_least=settings.min_listeners_per_region)
        sides = _fit_places(learned, places, chosen, fit_place, threads=threads, spread=spread)
        beside = _fit_beside(learned, settings=settings, threads=threads)
    return Fitted(interactions, places, sizes, world, sides, beside, learners)


def fit_alone(fitted: Fitted, *, settings: ModelsSettings, threads: int = 0) -> Own:
    """Fit every part without a look at the world: what its own learners tell, and no more, however few they are.

    Who is at home nowhere is served the world's model.
    """
    parts = range(fitted.places.parts)
    with threadpool_limits(1, "blas"):
        fit_place = _fit_place(None, settings=settings)
        sides = _fit_places(fitted.learned, fitted.places, parts, fit_place, threads=threads)
    return replace(fitted.own(frozenset(parts)), sides=sides)


def _of_residents(side: TrackSide, interactions: Interactions, rows: IntArray) -> TrackSide:
    return als.Residents(side, interactions, rows) if isinstance(side, als.Factors) else side


_FitPlace = Callable[[TrainingMatrices], TrackSide]


def _fit_world(
    interactions: Interactions, *, settings: ModelsSettings, threads: int, watch: als.Watch | None
) -> TrackSide:
    if settings.engine == "ease":
        return ease.fit_world(interactions, settings=settings)
    return als.fit_world(interactions, settings=settings, threads=threads, watch=watch)


def _fit_beside(interactions: Interactions, *, settings: ModelsSettings, threads: int) -> TrackSide | None:
    """Fit the world by the other engine; None where that is off or nothing learns from it, or has too many tracks."""
    if not settings.both_engines or settings.ranker == "none" or not settings.has_ease(interactions.shape[1]):
        return None
    other = settings.model_copy(update={"engine": "ease" if settings.engine == "als" else "als"})
    return _fit_world(interactions, settings=other, threads=threads, watch=None)


def _fit_place(world: TrackSide | None, *, settings: ModelsSettings) -> _FitPlace:
    if settings.engine == "ease":
        return partial(ease.fit_place, settings=settings)
    return partial(als.fit_place, world=world if isinstance(world, als.Factors) else None, settings=settings)


def _large_enough(places: Places, sizes: IntArray, *, at_least: int) -> list[int]:
    children = np.bincount(places.parents[places.parents != WORLD_ROW], minlength=len(places))
    distinct = (np.arange(len(places)) < places.parts) | (children > 1)
    return np.flatnonzero((sizes >= at_least) & distinct).tolist()


def _fit_places(
    interactions: Interactions,
    places: Places,
    chosen: Sequence[int],
    fit_place: _FitPlace,
    *,
    threads: int,
    spread: Spread | None = None,
) -> Mapping[int, TrackSide]:
    def matrices(place: int) -> TrainingMatrices:
        return interactions.matrices(places.rows(interactions, place))

    if spread is None:  # then each thread takes what is of its place, and not all of it lies there at once
        fitted = in_threads(lambda place: fit_place(matrices(place)), chosen, threads=threads)
        return dict(zip(chosen, fitted, strict=True))
    return dict(spread(partial(_placed, fit_place), ((place, matrices(place)) for place in chosen)))


def _placed(fit_place: _FitPlace, matrices: PlaceMatrices) -> PlaceSide:
    place, learned = matrices
    return place, fit_place(learned)
