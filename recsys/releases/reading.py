"""What is believed of every place: the world by itself, each smaller place in the light of what is around it."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recsys.atlas import WORLD, Atlas
from recsys.releases import shrinkage
from recsys.releases.shrinkage import Array, Belief, Noisy, Prior
from recsys.releases.window import Tracks, Window

_SAMPLE = 256  # places that tell how much places of their level usually differ


@dataclass(frozen=True)
class Reading:
    """A place with what is believed of its counts over the whole window.

    Parameters
    ----------
    place : str
    tracks : numpy.ndarray of intp, shape (tracks,)
        The tracks that are counted here, as positions in the window's.
    noisy : Noisy, shape (1, tracks)
        What was released.
    around : Belief or None, shape (1, tracks)
        About the rest of the larger place; None for the world.
    prior : Prior
        Expected before reading ``noisy``.
    belief : Belief, shape (1, tracks)
        After reading it.
    spread : float
        How much the place departs from what is around it: standard deviation of log factors.
    """

    place: str
    tracks: Tracks
    noisy: Noisy
    around: Belief | None
    prior: Prior
    belief: Belief
    spread: float

    def at(self, tracks: Tracks) -> Tracks:
        """Return where some tracks stand among this place's; all of them must be counted here."""
        return np.searchsorted(self.tracks, tracks)


def read_places(window: Window, *, atlas: Atlas) -> Iterator[Reading]:
    """Read the world, then every country, then every region.

    The world is read by itself; a country in the light of the rest of the world, and a region in the light of the rest
    of its country: "the rest", so that a place which dominates its surroundings is not heard twice. A place that is all
    of the larger one reads like it.

    Parameters
    ----------
    window : Window
    atlas : Atlas
        The one that the nights were released under.

    Yields
    ------
    Reading
        Of every served place, larger places first.
    """
    children = _children(atlas)
    world = _read_world(window)
    yield world
    countries = []
    for country in _read_within([(world, children.get(WORLD, []))], window=window):
        yield country
        if country.place in children:
            countries.append((country, children[country.place]))
    yield from _read_within(countries, window=window)


_Family = tuple[Reading, Sequence[str]]  # a place and the smaller places in it


def _children(atlas: Atlas) -> dict[str, list[str]]:
    """Return the served places directly within each place, sorted."""
    children: dict[str, list[str]] = {}
    for place in sorted(atlas.members):
        parent = atlas.places[place].parent
        if parent is not None:
            children.setdefault(parent, []).append(place)
    return children


def _read_world(window: Window) -> Reading:
    tracks = window.known(WORLD)
    noisy = window.noisy(WORLD, tracks)
    prior = shrinkage.prior_of_whole(noisy)
    return Reading(WORLD, tracks, noisy, None, prior, shrinkage.belief(noisy, prior), 0.0)


def _read_within(families: Sequence[_Family], *, window: Window) -> Iterator[Reading]:
    """Read the places of one level."""
    usual = _usual_spreads(families, window=window)
    for whole, children in families:
        for place in children:
            if window.portion(place, whole.place) == 1:
                yield replace(whole, place=place)
            else:
                yield _read(place, whole, usual=usual, window=window)


def _read(place: str, whole: Reading, *, usual: Array, window: Window) -> Reading:
    tracks, noisy, around, typical = _around(place, whole, window=window)
    spread = shrinkage.spreads(shrinkage.evidence_for_spreads(noisy, rest=around, typical=typical), usual=usual)
    prior = shrinkage.prior_of_part(noisy, rest=around, spread=spread, typical=typical)
    return Reading(place, tracks, noisy, around, prior, shrinkage.belief(noisy, prior), float(spread[0]))


def _usual_spreads(families: Sequence[_Family], *, window: Window) -> Array:
    """Learn how much places of a level usually depart from what is around them, from evenly chosen ones."""
    pairs = [(place, whole) for whole, children in families for place in _proper(whole, children, window=window)]
    evidence = [np.zeros((0, len(shrinkage.SPREADS)))]
    for place, whole in pairs[:: -(-len(pairs) // _SAMPLE) or 1]:
        _, noisy, around, typical = _around(place, whole, window=window)
        evidence.append(shrinkage.evidence_for_spreads(noisy, rest=around, typical=typical))
    return shrinkage.usual_spreads(np.concatenate(evidence))


def _around(place: str, whole: Reading, *, window: Window) -> tuple[Tracks, Noisy, Belief, Array]:
    """Return a place's tracks and counts, what is believed of the rest around it, and its usual size."""
    tracks = window.known(place)
    typical = whole.belief.mean.sum() * np.array([window.portion(place, whole.place)])
    return tracks, window.noisy(place, tracks), _without(place, whole, tracks=tracks, window=window), typical


def _without(place: str, whole: Reading, *, tracks: Tracks, window: Window) -> Belief:
    """Return what is believed of a larger place without a place in it, shape (1, tracks)."""
    rest, at = window.rest(whole.place, place, tracks), whole.at(tracks)
    if whole.around is None:
        prior = whole.prior
        return shrinkage.belief(rest, Prior(prior.centre[:, at], prior.width[:, at], prior.grid, prior.log_density))
    size, spread = np.array([whole.belief.mean.sum()]), np.array([whole.spread])
    around = Belief(whole.around.mean[:, at], whole.around.doubt[:, at])
    return shrinkage.belief(rest, shrinkage.prior_of_part(rest, rest=around, spread=spread, typical=size))


def _proper(whole: Reading, children: Iterable[str], *, window: Window) -> list[str]:
    return [place for place in children if window.portion(place, whole.place) < 1]
