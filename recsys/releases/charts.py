"""What is popular where, and how sure that is: every public chart, from released counts only."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.atlas import WORLD, Atlas
from recsys.errors import NotReadyError
from recsys.releases import shrinkage
from recsys.releases.counts import Released
from recsys.releases.shrinkage import Array, Belief, Noisy, Prior
from recsys.schemas import Chart, at_border
from recsys.settings import ChartsSettings

POPULAR = "popular"

_BLOCK = 1 << 17  # cells (places x tracks) at a time, each with fifty grid points: memory does not grow with places
_SAMPLE = 256  # places that tell how much places of their level usually differ
_MARGIN = 3  # times the length of a chart are looked at closely


def popular(released: Released, *, atlas: Atlas, settings: ChartsSettings) -> pl.DataFrame:
    """Rank tracks by estimated contributing listeners, for the world, every country and every region.

    The world is read by itself; a country in the light of the rest of the world, and a region in the light of the rest
    of its country: "the rest", so that a place which dominates its surroundings is not heard twice. The estimate is
    the posterior mean, the interval holds 95 % of the posterior. No place is too small for a chart: with little
    evidence it reads like its surroundings, with wide intervals.

    Parameters
    ----------
    released : Released
        The window of nights.
    atlas : Atlas
        The one that the nights were released under.
    settings : ChartsSettings

    Returns
    -------
    polars.DataFrame
        A Chart, by place (the world, countries, regions) and rank. Estimates are listeners a night; of equal
        estimates the first track id ranks first.

    Raises
    ------
    NotReadyError
        If the nights were released under another atlas.
    """
    if atlas.version != released.atlas:
        raise NotReadyError(
            "the last nights were released under another atlas", hint="Release a night under the present settings."
        )
    window, children = _Window(released, atlas.members), _children(atlas)
    world = _read_world(window)
    countries: dict[str, _Reading] = {}
    frames = [_chart(world, world=world, window=window, length=settings.size)]
    for reading in _read_parts([(world, children.get(WORLD, []))], window=window):
        frames.append(_chart(reading, world=world, window=window, length=settings.size))
        countries |= {place: reading.one(i) for i, place in enumerate(reading.places)}
    families = [(country, children[place]) for place, country in countries.items() if place in children]
    for reading in _read_parts(families, window=window):
        frames.append(_chart(reading, world=world, window=window, length=settings.size))
    return at_border(pl.concat(frames), Chart)


@dataclass(frozen=True)
class _Window:
    """The counts of some nights, for places that are sums of parts."""

    released: Released
    members: Mapping[str, tuple[str, ...]]

    def noisy(self, places: Sequence[str]) -> Noisy:
        """Return the counts of places and the variance of their noise, shape (places, tracks)."""
        return _stacked(
            [self._summed(place) & own if (own := self._own(place)) else self._summed(place) for place in places]
        )

    def rest(self, whole: str, places: Sequence[str]) -> Noisy:
        """Return the counts of a place without each of the places in it, shape (places, tracks).

        The sum of the other parts, and the place's own count less the smaller place's, measure the same; their noise
        is independent, the smaller place's being in the second alone.
        """
        summed, own = self._summed(whole), self._own(whole)
        rests = []
        for place in places:
            part = self._summed(place)
            others = Noisy(summed.counts - part.counts, summed.variance - part.variance)
            around = own and Noisy(own.counts - part.counts, own.variance + part.variance)
            rests.append(others & around if around else others)
        return _stacked(rests)

    def _summed(self, place: str) -> Noisy:
        """Return a place's counts as the sum of its parts; their noise is independent, so variances add."""
        rows = np.searchsorted(self.released.rows, self.members[place])
        counts = self.released.sums[rows].sum(axis=0, dtype=np.float64)
        return Noisy(counts[None], len(rows) * self.released.variances["part"][None])

    def _own(self, place: str) -> Noisy | None:
        """Return a larger place's own counts, where it has any."""
        tier = self.released.tiers.get(place, "part")
        if tier == "part":
            return None
        row = np.searchsorted(self.released.rows, place)
        return Noisy(self.released.sums[row][None].astype(np.float64), self.released.variances[tier][None])

    def portion(self, place: str, of: str) -> float:
        """Return how many of a place's parts belong to a place in it, as a share."""
        return len(self.members[place]) / len(self.members[of])


@dataclass(frozen=True)
class _Reading:
    """Some places with what is believed of them.

    Parameters
    ----------
    places : tuple of str
    noisy : Noisy, shape (places, tracks)
        What was released.
    around : Belief or None
        About the rest of the larger place; None for the world.
    prior : Prior
        Expected before reading ``noisy``.
    belief : Belief
        After reading it.
    spread : numpy.ndarray, shape (places,)
        How much a place departs from what is around it.
    """

    places: tuple[str, ...]
    noisy: Noisy
    around: Belief | None
    prior: Prior
    belief: Belief
    spread: Array

    def one(self, index: int) -> "_Reading":
        """Return the reading of one of the places."""
        row = slice(index, index + 1)
        around = self.around and self.around[row]
        return _Reading(self.places[row], self.noisy[row], around, self.prior[row], self.belief[row], self.spread[row])

    def without(self, places: Sequence[str], *, window: _Window) -> Belief:
        """Return what is believed of a single place without each of some places in it, shape (places, tracks)."""
        rest = window.rest(self.places[0], places)
        if self.around is None:
            return shrinkage.belief(rest, self.prior)
        size, spread = (np.repeat(value, len(places)) for value in (self.belief.mean.sum(), self.spread))
        return shrinkage.belief(rest, shrinkage.prior_of_part(rest, rest=self.around, spread=spread, typical=size))


_Family = tuple[_Reading, Sequence[str]]  # a place and the smaller places in it


def _stacked(rows: Sequence[Noisy]) -> Noisy:
    return Noisy(np.concatenate([row.counts for row in rows]), np.concatenate([row.variance for row in rows]))


def _children(atlas: Atlas) -> dict[str, list[str]]:
    """Return the served places directly within each place, sorted."""
    children: dict[str, list[str]] = {}
    for place in sorted(atlas.members):
        parent = atlas.places[place].parent
        if parent is not None:
            children.setdefault(parent, []).append(place)
    return children


def _read_world(window: _Window) -> _Reading:
    noisy = window.noisy([WORLD])
    prior = shrinkage.prior_of_whole(noisy)
    return _Reading((WORLD,), noisy, None, prior, shrinkage.belief(noisy, prior), np.zeros(1))


def _read_parts(families: Sequence[_Family], *, window: _Window) -> Iterator[_Reading]:
    """Read the places of one level, some at a time; a place that is all of the larger one reads like it."""
    usual = _usual_spreads(families, window=window)
    for whole, children in families:
        for place in children:
            if window.portion(place, whole.places[0]) == 1:
                yield replace(whole, places=(place,))
        for places in _blocks(_proper(whole, children, window=window), tracks=len(window.released.tracks)):
            noisy, around, typical = _around(whole, places, window=window)
            evidence = shrinkage.evidence_for_spreads(noisy, rest=around, typical=typical)
            spread = shrinkage.spreads(evidence, usual=usual)
            prior = shrinkage.prior_of_part(noisy, rest=around, spread=spread, typical=typical)
            yield _Reading(tuple(places), noisy, around, prior, shrinkage.belief(noisy, prior), spread)


def _usual_spreads(families: Sequence[_Family], *, window: _Window) -> Array:
    """Learn how much places of a level usually depart from what is around them, from evenly chosen ones."""
    pairs = [(whole, place) for whole, children in families for place in _proper(whole, children, window=window)]
    evidence = [np.zeros((0, len(shrinkage.SPREADS)))]
    for whole, place in pairs[:: -(-len(pairs) // _SAMPLE) or 1]:
        noisy, around, typical = _around(whole, [place], window=window)
        evidence.append(shrinkage.evidence_for_spreads(noisy, rest=around, typical=typical))
    return shrinkage.usual_spreads(np.concatenate(evidence))


def _around(whole: _Reading, places: Sequence[str], *, window: _Window) -> tuple[Noisy, Belief, Array]:
    """Return the counts of places, what is believed of the rest around each, and their usual sizes."""
    noisy = window.noisy(places)
    portions = np.array([window.portion(place, whole.places[0]) for place in places])
    return noisy, whole.without(places, window=window), whole.belief.mean.sum() * portions


def _proper(whole: _Reading, children: Iterable[str], *, window: _Window) -> list[str]:
    return [place for place in children if window.portion(place, whole.places[0]) < 1]


def _blocks(places: Sequence[str], *, tracks: int) -> Iterator[Sequence[str]]:
    size = max(1, _BLOCK // tracks)
    return (places[start : start + size] for start in range(0, len(places), size))


def _chart(reading: _Reading, *, world: _Reading, window: _Window, length: int) -> pl.DataFrame:
    """Rank the tracks of some places and keep the first of each."""
    exposures = window.released.exposures
    rates = reading.belief.mean / exposures
    likely = _largest(rates, _MARGIN * length)
    close = shrinkage.estimate(*shrinkage.take(reading.noisy, reading.prior, likely))
    order = np.argsort(-close.mean / exposures[likely], axis=1, kind="stable")[:, :length]
    chosen, width = np.take_along_axis(likely, order, axis=1), order.shape[1]
    shares = np.take_along_axis(rates / rates.sum(axis=1, keepdims=True), chosen, axis=1)
    world_rates = world.belief.mean[0] / exposures
    frame = {
        "place": np.repeat(np.array(reading.places), width),
        "chart": np.repeat(POPULAR, chosen.size),
        "rank": np.tile(np.arange(1, width + 1, dtype=np.uint32), len(chosen)),
        "track_id": np.array(window.released.tracks)[chosen].ravel(),
        "lift": (shares / (world_rates / world_rates.sum())[chosen]).ravel(),
    }
    for name, values in (("estimate", close.mean), ("low", close.low), ("high", close.high)):
        frame[name] = (np.take_along_axis(values, order, axis=1) / exposures[chosen]).ravel()
    return pl.DataFrame({name: frame[name] for name in Chart.column_names()}, schema_overrides={"rank": pl.UInt32})


def _largest(values: Array, number: int) -> NDArray[np.intp]:
    """Return the columns of the largest values of each row, in ascending order of the column."""
    number = min(number, values.shape[1])
    return np.sort(np.argpartition(-values, number - 1, axis=1)[:, :number], axis=1)
