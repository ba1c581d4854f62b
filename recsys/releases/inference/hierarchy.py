"""The hierarchical model: the world by itself, each smaller place in the light of what is around it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from recsys.geography.atlas import Atlas
from recsys.geography.places import WORLD
from recsys.releases.counts.noisy_counts import Array, Noisy
from recsys.releases.counts.window import Tracks, Window
from recsys.releases.inference import neighbours, posterior
from recsys.releases.inference.coarse_grid import Prior
from recsys.releases.inference.memory import NOTHING, Recollection
from recsys.releases.inference.posterior import Belief, Size

_SAMPLE = 256  # places that tell how much places of their level usually differ
_LIKELY = 0.7  # spread of log factors, where only a rough one is needed
_NEARBY = 0.5  # the same of a neighbourhood, in which tastes partly cancel


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
        About what is around it, up to a factor: its neighbourhood and the rest of the larger place, times the factors
        by which the place is known to depart from them; None for the world.
    prior : Prior
        Expected before reading ``noisy``.
    belief : Belief, shape (1, tracks)
        After reading it.
    spread : float
        How much the place departs from what is around it: standard deviation of log factors over tracks.
    deviation : numpy.ndarray, shape (1, tracks)
        How much it may still depart from ``around``; standard deviation of each log factor.
    expected : numpy.ndarray or None, shape (2, tracks)
        What the rest of the larger place alone, and what the neighbourhood alone let expect, to be remembered; None
        where a place is all of the larger one.
    """

    place: str
    tracks: Tracks
    noisy: Noisy
    around: Belief | None
    prior: Prior
    belief: Belief
    spread: float
    deviation: Array
    expected: Array | None

    def at(self, tracks: Tracks) -> Tracks:
        """Return where some tracks stand among this place's; all of them must be counted here."""
        return np.searchsorted(self.tracks, tracks)


def read_places(window: Window, *, atlas: Atlas, past: Recollection | None = None) -> Iterator[Reading]:
    """Read the world, then every country, then every region.

    The world is read by itself; every other place in the light of its neighbourhood and of the rest of the larger
    place: "the rest", so that a place which dominates its surroundings is not heard twice. The neighbourhood is read
    in the light of that rest, too, and which of the two tells more about a place is learned from all places of its
    level and from its own counts. Where a place remembers how it departs from its surroundings, that is expected of it.
    A place that is all of the larger one reads like it.

    Parameters
    ----------
    window : Window
    atlas : Atlas
        The one that the nights were released under.
    past : Recollection, optional
        What places remember of the nights before; by default nothing.

    Yields
    ------
    Reading
        Of every served place, larger places first.
    """
    children = _children(atlas)
    world = _read_world(window)
    yield world
    countries = []
    for country in _read_within([(world, children.get(WORLD, []))], window=window, atlas=atlas, past=past):
        yield country
        if country.place in children:
            countries.append((country, children[country.place]))
    yield from _read_within(countries, window=window, atlas=atlas, past=past)


def rest_of(whole: str, place: str, *, known: Noisy, tracks: Tracks, window: Window) -> Noisy:
    """Return the counts of a larger place without a place in it, shape (1, tracks).

    The sum of the other parts measures them, and so does the larger place's own count less what is known of the place:
    the message that a sum passes to one of its terms in belief propagation. Taking off the place's released count
    instead would carry its noise into its surroundings with the opposite sign, which makes it look smaller than it is.

    Parameters
    ----------
    whole, place : str
    known : Noisy
        Means and variances of the place's counts, noise averaged out.
    tracks : numpy.ndarray of intp, shape (tracks,)
    window : Window

    References
    ----------
    F. Kschischang, B. Frey, H.-A. Loeliger, "Factor Graphs and the Sum-Product Algorithm" (2001).
    """
    own = window.own(whole, tracks)
    around = Noisy(own.counts - known.counts, own.variance + known.variance)
    return window.others(whole, place, tracks) & around


_Family = tuple[Reading, Sequence[str]]  # a place and the smaller places in it


@dataclass(frozen=True)
class _Level:
    """What is known of a level from all of its places: sizes, neighbours, relations to what is around, and the past."""

    sizes: Mapping[str, Size]
    near: Mapping[str, tuple[list[str], Array]]
    usual: Array
    past: Recollection


@dataclass(frozen=True)
class _Seen:
    """A place, its possible surroundings, and how well each of them explains it."""

    tracks: Tracks
    noisy: Noisy
    around: tuple[Belief, Belief]
    typical: Array
    evidence: Array


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
    prior = posterior.prior_of_whole(noisy)
    nothing = np.zeros_like(noisy.counts)
    return Reading(WORLD, tracks, noisy, None, prior, posterior.belief(noisy, prior), 0.0, nothing, None)


def _read_within(
    families: Sequence[_Family], *, window: Window, atlas: Atlas, past: Recollection | None
) -> Iterator[Reading]:
    """Read the places of one level."""
    level, seen = _learn(families, window=window, atlas=atlas, past=past)
    for whole, children in families:
        for place in children:
            if place in level.sizes:
                known = seen.pop(place) if place in seen else _see(place, whole, level=level, window=window)
                yield _read(place, known, level=level)
            else:
                yield replace(whole, place=place, expected=None)


def _learn(
    families: Sequence[_Family], *, window: Window, atlas: Atlas, past: Recollection | None = None
) -> tuple[_Level, dict[str, _Seen]]:
    """Learn what is usual in a level: sizes of all places, relations from evenly chosen ones, which are returned."""
    near = {place: some for _, children in families for place, some in _near(children, atlas=atlas).items()}
    wholes = {place: whole for whole, children in families for place in children}
    proper = [place for place, whole in wholes.items() if window.portion(place, whole.place) < 1]
    sizes = {place: _first_size(place, wholes[place], window=window) for place in proper}
    nothing = Recollection(NOTHING, nights=0, tracks=window.tracks, artists={})
    level = _Level(sizes, near, np.zeros(0), past or nothing)
    some = proper[:: -(-len(proper) // _SAMPLE) or 1]
    seen = {place: _see(place, wholes[place], level=level, window=window) for place in some}
    return replace(level, usual=posterior.usual_relations([each.evidence for each in seen.values()])), seen


def _near(children: Sequence[str], *, atlas: Atlas) -> dict[str, tuple[list[str], Array]]:
    found, closeness = neighbours.nearest([atlas.places[place] for place in children])
    return {place: ([children[i] for i in some], closeness) for place, some in zip(children, found, strict=True)}


def _first_size(place: str, whole: Reading, *, window: Window) -> Size:
    """Return what is believed of a place's size in the light of the larger place."""
    tracks = window.known(place)
    noisy, around = window.noisy(place, tracks), _of(whole.belief, whole.at(tracks))
    return _size(noisy, around, spread=np.array([_LIKELY]), typical=_typical(place, whole, window=window))


def _see(place: str, whole: Reading, *, level: _Level, window: Window) -> _Seen:
    tracks = window.known(place)
    noisy, typical = window.noisy(place, tracks), _typical(place, whole, window=window)
    rest = _rest(place, whole, noisy=noisy, size=level.sizes[place], tracks=tracks, window=window)
    around = (rest, _nearby(place, rest, level=level, tracks=tracks, window=window))
    size = _size(noisy, rest, spread=np.array([_LIKELY]), typical=typical)
    evidence = [posterior.evidence_for_spreads(noisy, rest=some, size=size)[0] for some in around]
    return _Seen(tracks, noisy, around, typical, np.stack(evidence))


def _read(place: str, seen: _Seen, *, level: _Level) -> Reading:
    nearness, spread = posterior.relation(seen.evidence, usual=level.usual)
    even = posterior.blend(*seen.around, share=nearness)
    departure = level.past.departure(place, seen.tracks, nearness=nearness, spread=spread)
    around, deviation = Belief(even.mean * departure.mean, even.relative_variance), departure.deviation[None]
    size = _size(seen.noisy, around, spread=deviation, typical=seen.typical)
    prior = posterior.prior_of_size(seen.noisy, rest=around, spread=deviation, size=size)
    belief = posterior.belief(seen.noisy, prior)
    expected = size.mean[0] * np.concatenate([posterior.shares(some) for some in seen.around])
    return Reading(place, seen.tracks, seen.noisy, around, prior, belief, spread, deviation, expected)


def _rest(place: str, whole: Reading, *, noisy: Noisy, size: Size, tracks: Tracks, window: Window) -> Belief:
    """Return what is believed of a larger place without a place in it, shape (1, tracks)."""
    at, spread = whole.at(tracks), np.array([_LIKELY])
    known = posterior.linear(noisy, rest=_of(whole.belief, at), spread=spread, size=size)
    rest = rest_of(whole.place, place, known=known, tracks=tracks, window=window)
    if whole.around is None:
        prior = whole.prior
        return posterior.belief(rest, Prior(prior.centre[:, at], prior.width[:, at], prior.grid, prior.log_density))
    typical, spread = np.array([whole.belief.mean.sum()]), whole.deviation[:, at]
    prior = posterior.prior_of_part(rest, rest=_of(whole.around, at), spread=spread, typical=typical)
    return posterior.belief(rest, prior)


def _nearby(place: str, rest: Belief, *, level: _Level, tracks: Tracks, window: Window) -> Belief:
    """Return what is believed of a place's neighbourhood, up to a factor: the rest where nobody is near."""
    places, closeness = level.near[place]
    if not places:
        return rest
    sizes = np.array([level.sizes[neighbour].mean[0] for neighbour in places])
    counted = [window.noisy(neighbour, tracks) for neighbour in places]
    share = posterior.shares(rest)[0]
    nearby = neighbours.pooled(counted, sizes=sizes, closeness=closeness, share=share, spread=_LIKELY)
    spread, typical = np.array([_NEARBY]), sizes.sum(keepdims=True)
    return posterior.belief(nearby, posterior.prior_of_part(nearby, rest=rest, spread=spread, typical=typical))


def _size(noisy: Noisy, around: Belief, *, spread: Array, typical: Array) -> Size:
    measured = posterior.measured_size(noisy, rest=around, spread=spread, typical=typical)
    return posterior.likely_size(measured, typical)


def _typical(place: str, whole: Reading, *, window: Window) -> Array:
    """Return a place's even share of the larger place."""
    return np.array([whole.belief.mean.sum() * window.portion(place, whole.place)])


def _of(belief: Belief, tracks: Tracks) -> Belief:
    return Belief(belief.mean[:, tracks], belief.relative_variance[:, tracks])
