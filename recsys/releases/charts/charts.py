"""What is popular, rising and special where, and how sure that is: every public chart, from released counts only."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.artifacts.chart_database import Price
from recsys.artifacts.list_candidates import (
    CHARTS,
    DEBUT,
    GUESS,
    LIKELY,
    LOCAL,
    MOVER,
    POPULAR,
    RISING,
    SURELY,
)
from recsys.errors import NotReadyError
from recsys.geography.atlas import Atlas
from recsys.geography.places import WORLD
from recsys.releases.charts.lines import Lines, laid_out
from recsys.releases.charts.price import price_of_found, price_of_popular
from recsys.releases.counts.mean_weights import IN_FULL, MeanWeight, PlaceTotals, mean_weights
from recsys.releases.counts.noisy_counts import Array, Noisy
from recsys.releases.counts.release_reader import Released
from recsys.releases.counts.window import Tracks, Window
from recsys.releases.inference import posterior, significance
from recsys.releases.inference.coarse_grid import Prior
from recsys.releases.inference.hierarchy import Reading, read_places, rest_of
from recsys.releases.inference.memory import NOTHING, Diary, Memory, Recollection
from recsys.releases.inference.posterior import Belief
from recsys.releases.inference.significance import Counted, Expected, Interval
from recsys.releases.inference.trend_baseline import Read, Span, Trends, spans, trends
from recsys.schemas import Chart, at_border
from recsys.settings import ChartsSettings

_WEIGHED_NIGHTS = 35  # whose totals tell the mean weights: they hardly change, and a few nights are mostly noise
_UNSTEADY = 0.015  # deviation of the mean weight of a window from that of those nights: listeners do not play alike
_MARGIN = 3  # times the length of a chart are looked at closely
_A_PAST = 1.0  # listener a night: below there is no past to multiply
_HARDLY_ANY = 0.05  # of the listeners that a track has now: with so few before it is a debut
_TASTE = 0.7  # log deviation with which places differ from the world, while a place's size is measured
_STABILISER = 0.002  # of a place's size: what a rising track's gain is weighed against, beside its own past
_LEAST = 1e-6  # listeners
_TWENTIETH, _STANDS_OUT = 0.05, 4.0  # of a place's size; standard deviations
_LIKELY = 0.8  # probability of a lift above 1 from which on it is likely, and no guess
_GUESSES = 10  # on a list at most: there are always more, and they say less and less


ReadTotals = Callable[[Sequence[date]], PlaceTotals]


@dataclass(frozen=True)
class Charts:
    """The charts of a night.

    Parameters
    ----------
    lines : polars.DataFrame
        A Chart.
    kinds : tuple of str
        Which charts were drawn: of these, a place without lines has an empty list.
    nights : tuple of date
        The released nights of their window, in order.
    ledger_numbers : tuple of int
        The ledger entries that paid for these nights.
    prices : mapping of (str, str) to Price
        By place and chart, where a track could be listed at all.
    memory : Memory
        What places remember after this night.
    """

    lines: pl.DataFrame
    kinds: tuple[str, ...]
    nights: tuple[date, ...] = ()
    ledger_numbers: tuple[int, ...] = ()
    prices: Mapping[tuple[str, str], Price] = field(default_factory=dict)
    memory: Memory = NOTHING


@dataclass(frozen=True)
class Found:
    """What may be on a list of a place.

    Parameters
    ----------
    lines : Lines
        What was found, in any order.
    p : numpy.ndarray, shape (lines,)
        Of each line.
    tested : int
        Of how many tracks these are the smallest.
    merit : numpy.ndarray, shape (lines,)
        What the list is ordered by, the largest first.
    place : str
    bounds : numpy.ndarray, shape (lines,)
        The lower bound, in listeners a night, at which a track that nobody played before would have each merit.
    least : float
        The bound that any line has to exceed.
    noise : float
        Standard deviation of a track's count a night, over the longest of the windows.
    windows : int
        In how many windows of nights tracks were tested.
    hints : Lines
        These and other tracks, graded by how probably their lift exceeds 1; the best first.
    """

    lines: Lines
    p: Array
    tested: int
    merit: Array
    place: str
    bounds: Array
    least: float
    noise: float
    windows: int
    hints: Lines


@dataclass(frozen=True)
class View:
    """A place in its surroundings: what its three charts are made of.

    Parameters
    ----------
    reading : Reading
    world : Reading
        Of the whole world, in the same window.
    window : Window
    trends : Trends or None
        None where there is too little past.
    weight : MeanWeight
        Of the place, in units of the world's mean, which counts are divided by already.
    """

    reading: Reading
    world: Reading
    window: Window
    trends: Trends | None
    weight: MeanWeight

    @property
    def is_world(self) -> bool:
        """Whether the place is all of the world."""
        return self.window.portion(self.reading.place, WORLD) == 1

    def heard(self, listeners: Interval) -> Interval:
        """Return what was counted in this place in its own listeners, as uncertain as its mean weight is."""
        return significance.ratio(listeners, significance.about(self.weight.mean, self.weight.relative_variance))


def draw(
    read: Read,
    nights: Sequence[date],
    *,
    atlas: Atlas,
    born: Mapping[str, date],
    settings: ChartsSettings,
    totals: ReadTotals | None = None,
    artists: Mapping[str, str] | None = None,
    memory: Memory = NOTHING,
) -> Charts:
    """Draw the three charts of every place for the last of some released nights.

    *popular* are the tracks with the most contributing listeners. *rising* are those whose listeners of the last
    nights clearly exceed what the same weekdays of the weeks before let expect, the growth of the place as a whole
    aside. *local* are those whose listeners clearly exceed what the rest of the world lets expect of a place of this
    size. Of the rising tracks that are found over all places, at most ``false_discovery_rate`` is expected to be there
    by chance; so of the local ones before those with a doubtful lift are dropped. Of a list, which is cut to ``size``,
    that is not proved (docs/charts-model.md).

    Parameters
    ----------
    read : callable
        Returns the sum of some nights' releases (:meth:`recsys.releases.counts.release_reader.ReleaseReader.read`).
    nights : sequence of date
        All released nights, in order; the charts are those of the last.
    atlas : Atlas
        The one that the nights were released under.
    born : mapping of str to date
        When tracks were released, where that is known.
    settings : ChartsSettings
    totals : callable, optional
        Returns the totals of some nights' places
        (:meth:`recsys.releases.counts.release_reader.ReleaseReader.totals`); without them all count in full.
    artists : mapping of str to str, optional
        Whose tracks are, where that is known.
    memory : Memory
        What places remember of a night before the window: how they depart from their surroundings.

    Returns
    -------
    Charts
        By place (the world, countries, regions), chart and rank; every track as if it were new. There is no local chart
        of the world, and no rising chart with less than ``min_past_nights`` of past.

    Raises
    ------
    NotReadyError
        If the last night was released under another atlas.
    ValueError
        If a night of the window is in the memory already.
    """
    weights, weighed = _in_listeners(read, nights, totals=totals, atlas=atlas)
    window = _window(weighed(window_of(nights, settings=settings)), atlas=atlas)
    recollection = _recollection(memory, window, artists=artists)
    diary = Diary(recollection)
    past = spans(weighed, nights, tracks=window.tracks, atlas=atlas, settings=settings)
    is_new = _is_new(window.tracks, born=born, past=past)
    lists: list[Lines] = []
    rising: list[Found] = []
    local: list[Found] = []
    prices: dict[tuple[str, str], Price] = {}
    for view in _views(window, past=past, weights=weights, atlas=atlas, recollection=recollection):
        place = view.reading.place
        _write_down(view.reading, diary)
        lines, prices[place, POPULAR] = _popular(view, settings=settings)
        lists.append(lines)
        rising += _rising(view, is_new=is_new, settings=settings)
        local += _local(view, settings=settings)
    for chart, some in ((RISING, rising), (LOCAL, local)):
        for found, listed, price in _listed(some, weight=weights[WORLD].mean, settings=settings):
            lists.append(listed)
            if price:
                prices[found.place, chart] = price
    every = laid_out(lists, window.tracks)
    places = every["place"].unique(maintain_order=True)  # every place is among the first lists
    ordered = every.sort(pl.col("place").cast(pl.Enum(places)), pl.col("chart").cast(pl.Enum(CHARTS)), "rank")
    kinds = CHARTS if past else (POPULAR, LOCAL)
    remembered = diary.memory(window.dates[-1])
    return Charts(at_border(ordered, Chart), kinds, window.dates, window.ledger_numbers, prices, remembered)


def remember(
    read: Read,
    nights: Sequence[date],
    *,
    atlas: Atlas,
    settings: ChartsSettings,
    totals: ReadTotals | None = None,
    artists: Mapping[str, str] | None = None,
    memory: Memory = NOTHING,
) -> Memory:
    """Return what places remember after the last of some nights, without drawing its charts.

    Parameters and errors are those of :func:`draw`, of whose charts the memory is a part.
    """
    _, weighed = _in_listeners(read, nights, totals=totals, atlas=atlas)
    window = _window(weighed(window_of(nights, settings=settings)), atlas=atlas)
    recollection = _recollection(memory, window, artists=artists)
    diary = Diary(recollection)
    for reading in read_places(window, atlas=atlas, past=recollection):
        _write_down(reading, diary)
    return diary.memory(window.dates[-1])


def popular(
    released: Released,
    *,
    atlas: Atlas,
    settings: ChartsSettings,
    artists: Mapping[str, str] | None = None,
    memory: Memory = NOTHING,
) -> pl.DataFrame:
    """Rank tracks by estimated contributing listeners, for the world, every country and every region.

    The world is read by itself; a country in the light of the rest of the world, and a region in the light of the rest
    of its country (:mod:`recsys.releases.inference.hierarchy`). The estimate is the posterior mean, the interval holds
    95 % of the posterior. No place is too small for a chart: with little evidence it reads like its surroundings, with
    wide intervals.

    Parameters
    ----------
    released : Released
        The window of nights.
    atlas : Atlas
        The one that the nights were released under.
    settings : ChartsSettings
    artists : mapping of str to str, optional
    memory : Memory
        As :func:`draw` takes them.

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
    window = _window(released, atlas=atlas)
    recollection = _recollection(memory, window, artists=artists)
    weights = dict.fromkeys(atlas.members, IN_FULL)
    views = _views(window, past=(), weights=weights, atlas=atlas, recollection=recollection)
    return at_border(laid_out([_popular(view, settings=settings)[0] for view in views], window.tracks), Chart)


def window_of(nights: Sequence[date], *, settings: ChartsSettings) -> list[date]:
    """Return the nights behind the charts of the last released night; older ones do not stand in for missing ones."""
    first = nights[-1] - timedelta(days=settings.window_nights - 1)
    return [night for night in nights if night >= first]


def _window(released: Released, *, atlas: Atlas) -> Window:
    if atlas.version != released.atlas:
        raise NotReadyError(
            "the last nights were released under another atlas", hint="Release a night under the present settings."
        )
    return Window(released, atlas.members)


def _in_listeners(
    read: Read, nights: Sequence[date], *, totals: ReadTotals | None, atlas: Atlas
) -> tuple[Mapping[str, MeanWeight], Read]:
    """Return the mean weights of places by the last of some nights, and what reads nights in listeners by them."""
    found = totals(nights[-_WEIGHED_NIGHTS:]) if totals else PlaceTotals({}, {})
    weights = mean_weights(found, atlas=atlas)

    def weighed(nights: Sequence[date]) -> Released:
        return replace(read(nights), weight=found.over(nights, weight=weights[WORLD].mean))

    return weights, weighed


def _recollection(memory: Memory, window: Window, *, artists: Mapping[str, str] | None) -> Recollection:
    """View a memory from a window, none of whose nights may be in it: what is counted twice looks twice as sure."""
    if memory.night is None:
        return Recollection(NOTHING, nights=0, tracks=window.tracks, artists={})
    if memory.night >= window.dates[0]:
        raise ValueError(f"the memory of {memory.night} holds nights of the window from {window.dates[0]}")
    nights = (window.dates[-1] - memory.night).days
    return Recollection(memory, nights=nights, tracks=window.tracks, artists=artists or {})


def _write_down(reading: Reading, diary: Diary) -> None:
    if reading.expected is not None:
        diary.write(reading.place, reading.tracks, noisy=reading.noisy, expected=reading.expected)


def _views(
    window: Window,
    *,
    past: Sequence[Span],
    weights: Mapping[str, MeanWeight],
    atlas: Atlas,
    recollection: Recollection,
) -> Iterator[View]:
    """Read the places, larger ones first; one that is all of the larger one shares its present and past."""
    larger: dict[str, Trends | None] = {}
    world: Reading | None = None
    unsteady = 0.0 if all(weight == IN_FULL for weight in weights.values()) else _UNSTEADY**2
    for reading in read_places(window, atlas=atlas, past=recollection):
        world = world or reading
        place = atlas.places[reading.place]
        within = larger[place.parent] if place.parent else None
        same = place.parent is not None and window.portion(place.id, place.parent) == 1
        here = within if same or not past else trends(reading, spans=past, within=within)
        if place.level != "region":
            larger[place.id] = here
        own = weights[place.id]
        weight = MeanWeight(own.mean / weights[WORLD].mean, own.relative_variance + unsteady)
        yield View(reading, world, window, here, weight)


def _popular(view: View, *, settings: ChartsSettings) -> tuple[Lines, Price]:
    """Rank the tracks of a place by listeners and keep the first; return also what it costs to be among them."""
    reading, world = view.reading, view.world
    likely = _largest(reading.belief.mean[0], _MARGIN * settings.size)
    listeners = _read_closely(reading, likely)
    order = np.argsort(-listeners.estimate, kind="stable")[: settings.size]
    tracks, listeners = reading.tracks[likely[order]], listeners[order]
    if view.is_world:
        ones = np.ones(len(order))
        lift = Interval(ones, ones, ones)
    else:
        everywhere = significance.around(_expected(world.belief, world.at(tracks)))
        lift = significance.ratio(listeners, everywhere) * (world.belief.mean.sum() / reading.belief.mean.sum())
    heard, nights = view.heard(listeners * (1 / view.window.nights)), view.window.nights
    price = price_of_popular(reading, listeners.estimate, nights=nights, weight=view.window.weight)
    return Lines.of(reading.place, POPULAR, tracks=tracks, listeners=heard, lift=lift, nights=nights), price


def _rising(view: View, *, is_new: NDArray[np.bool_], settings: ChartsSettings) -> list[Found]:
    """Find the tracks of a place that exceed its own past; nothing where a track's gain could not be told from noise.

    First comes what surely multiplies most: the lower bound of its listeners over what was expected, to both of which a
    five-hundredth of all that is counted in the place is added. So a track known to nobody ranks by what it gains, one
    that many know by its lift, and neither a handful of listeners more nor a few per cent more of a hit come first.
    """
    here, reading = view.trends, view.reading
    if here is None or not _detectable(here.size, here.counted.variance[-1]):
        return []
    exceeding = significance.excess(here.counted, here.expected)
    p = significance.p_values(exceeding)
    found = significance.discoveries(p, rate=settings.false_discovery_rate)
    best = exceeding[:, found].argmax(axis=0)
    counted, expected = here.counted.at(best, found), here.expected.at(best, found)
    share = max(len(found), 1) / len(p)
    listeners, rate = significance.read_chosen(counted, expected, share=share)
    lines = Lines.of(
        reading.place,
        RISING,
        tracks=here.tracks[found],
        listeners=view.heard(listeners),
        lift=_at_least(1.0, _over_at_least_one(rate, expected)),
        nights=np.array(here.nights)[best],
        kind=_kind(here, found, listeners, expected=expected, is_new=is_new),
    ).graded(SURELY)
    some = _STABILISER * here.size
    merit, noise = (listeners.low + some) / (expected.mean + some), _noise(here.counted.variance[-1])
    hints = _rising_hints(view, here, exceeding, share=share, is_new=is_new, most=_MARGIN * settings.size)
    bounds = some * (merit - 1)
    return [Found(lines, p[found], len(p), merit, reading.place, bounds, 0.0, noise, len(exceeding), hints)]


def _rising_hints(
    view: View, here: Trends, exceeding: Array, *, share: float, is_new: NDArray[np.bool_], most: int
) -> Lines:
    """Grade the tracks that exceed the place's own past most, found or not; first what is likely to gain most."""
    some, which = _STABILISER * here.size, _largest(exceeding.max(axis=0), most)
    best = exceeding[:, which].argmax(axis=0)
    counted, expected = here.counted.at(best, which), here.expected.at(best, which)
    wander = (here.overdispersion * expected.mean) ** 2
    listeners, probability, mean = significance.read_any(counted, expected, wander=wander, share=share)
    lines = Lines.of(
        view.reading.place,
        RISING,
        tracks=here.tracks[which],
        listeners=view.heard(listeners),
        lift=_over_at_least_one(listeners, expected),
        nights=np.array(here.nights)[best],
        kind=_kind(here, which, listeners, expected=expected, is_new=is_new),
    )
    return _graded(lines, probability, merit=(mean + some) / (expected.mean + some))


def _kind(
    here: Trends, which: Tracks, listeners: Interval, *, expected: Expected, is_new: NDArray[np.bool_]
) -> NDArray[np.str_]:
    """Tell what is new from what has a past: hardly anybody played it here before, or it was only then released."""
    debut = (expected.mean < np.maximum(_A_PAST, _HARDLY_ANY * listeners.estimate)) | ~here.has_past[which]
    return np.where(debut | is_new[here.tracks[which]], DEBUT, MOVER)


def _local(view: View, *, settings: ChartsSettings) -> list[Found]:
    """Find the tracks of a place that exceed what the rest of the world lets expect of a place of this size.

    First comes what is surely most special: the lower bound of the lift. Only lines whose lift surely exceeds 1 are
    kept, by which the false discovery rate is that of the set before: what goes is the least sure, but not by p values.
    Where no track could stand out of the noise, none is tested, and all that can be said is what is likely.
    """
    if view.is_world:
        return []
    reading, nights = view.reading, view.window.nights
    every = np.arange(len(reading.tracks))
    counted = Counted(reading.noisy.counts[0], reading.noisy.variance[0], np.ones(len(every)))
    rest = _rest_of_the_world(view)
    even = _expected(Belief(posterior.shares(rest) * reading.belief.mean.sum(), rest.relative_variance), every)
    expected = even.times(*significance.scale(counted, even, shape=even.mean, spread=_TASTE))
    tested = every if _detectable(reading.belief.mean.sum(), reading.noisy.variance) else every[:0]
    p = significance.p_values(significance.excess(counted, expected)[None])[tested]
    found = np.sort(significance.discoveries(p, rate=settings.false_discovery_rate))
    seen = np.union1d(found, _departing(reading, expected, nights=nights, most=_MARGIN * settings.size))
    listeners = _read_closely(reading, seen) * (1 / nights)
    lift = _over_at_least_one(listeners, expected[seen].times(1 / nights, 0))
    lines = Lines.of(
        reading.place, LOCAL, tracks=reading.tracks[seen], listeners=view.heard(listeners), lift=lift, nights=nights
    )
    sure = np.flatnonzero(np.isin(seen, found) & (lift.low > 1))  # what a list claims, its intervals do not take back
    merit, noise = lift.low[sure], _noise(counted.variance) / nights
    hints = _graded(lines, significance.above_one(lift), merit=lift.low)
    named = lines[sure].graded(SURELY)
    return [Found(named, p[seen[sure]], len(p), merit, reading.place, merit, _A_PAST, noise, 1, hints)]


def _departing(reading: Reading, expected: Expected, *, nights: int, most: int) -> Tracks:
    """Return the tracks that are estimated to exceed expectation most, of those with a listener a night."""
    lift = reading.belief.mean[0] / np.maximum(expected.mean, _A_PAST * nights)
    return np.intersect1d(_largest(lift, most), np.flatnonzero(lift > 1))


def _graded(lines: Lines, probability: Array, *, merit: Array) -> Lines:
    """Return the lines whose lift is estimated above 1, with their grades: first what is likely, both by merit."""
    grade = np.where(probability >= _LIKELY, LIKELY, GUESS)
    above = np.flatnonzero(lines.columns["lift"] > 1)
    order = above[np.lexsort((-merit[above], grade[above] == GUESS))]
    return lines.graded(grade)[order]


def _listed(
    places: Sequence[Found], *, weight: float, settings: ChartsSettings
) -> Iterator[tuple[Found, Lines, Price | None]]:
    """Yield the list of each place and the price of what is sure on it, which none has where nothing was tested.

    Sure is, of what was found, what is confirmed beside all others; it comes first, the best first. The false discovery
    rate is that of all that is confirmed, before lists are cut to their length by merit. What is likely and what is a
    guess follows.
    """
    kept = significance.confirmed(
        [place.p for place in places], [place.tested for place in places], rate=settings.false_discovery_rate
    )
    named, tested = sum(map(len, kept)), sum(place.tested for place in places)
    for place, which in zip(places, kept, strict=True):
        best = which[np.argsort(-place.merit[which], kind="stable")][: settings.size]
        named_here = place.lines[best]
        lines = named_here + _unsure(place.hints, beside=named_here, size=settings.size)
        least = min((len(which) + 1) / max(place.tested, 1), (named + 1) / max(tested, 1))
        price = price_of_found(
            place.bounds[best].tolist(),
            noise=place.noise,
            p=least * settings.false_discovery_rate,
            windows=place.windows,
            least=place.least,
            weight=weight,
        )
        yield place, lines, price if place.tested else None


def _unsure(hints: Lines, *, beside: Lines, size: int) -> Lines:
    """Return what a list names after what is sure."""
    others = hints[~np.isin(hints.columns["track"], beside.columns["track"])]
    few = others[np.cumsum(others.columns["grade"] == GUESS) <= _GUESSES]
    return few[: size - len(beside)]


def _noise(variance: Array) -> float:
    """Return the standard deviation of the noise that most tracks have."""
    return float(np.sqrt(np.median(variance)))


def _detectable(size: float, variance: Array) -> bool:
    """Tell whether a track with a twentieth of all that is counted in a place would stand out of the noise there."""
    return bool(_TWENTIETH * size > _STANDS_OUT * np.sqrt(np.median(variance)))


def _over_at_least_one(listeners: Interval, expected: Expected) -> Interval:
    """Return lifts over at least one listener a night: there is no multiple of nothing."""
    return significance.ratio(listeners, _at_least(_A_PAST, significance.around(expected)))


def _at_least(least: float, interval: Interval) -> Interval:
    return Interval(*(np.maximum(values, least) for values in (interval.estimate, interval.low, interval.high)))


def _read_closely(reading: Reading, which: Tracks) -> Interval:
    """Return the posterior of some tracks' counts, by their position in the reading."""
    close = posterior.estimate(*posterior.take(reading.noisy, reading.prior, which[None]))
    return Interval(close.mean[0], close.low[0], close.high[0])


def _rest_of_the_world(view: View) -> Belief:
    """Return what is believed of the world without a place in it, shape (1, tracks)."""
    reading, prior = view.reading, view.world.prior
    at, mean = view.world.at(reading.tracks), reading.belief.mean
    here = Prior(prior.centre[:, at], prior.width[:, at], prior.grid, prior.log_density)
    known = Noisy(mean, reading.belief.relative_variance * mean**2)
    rest = rest_of(WORLD, reading.place, known=known, tracks=reading.tracks, window=view.window)
    return posterior.belief(rest, here)


def _expected(belief: Belief, which: Tracks) -> Expected:
    mean = np.maximum(belief.mean[0, which], _LEAST)
    return Expected(mean, belief.relative_variance[0, which] * mean**2)


def _is_new(names: Sequence[str], *, born: Mapping[str, date], past: Sequence[Span]) -> NDArray[np.bool_]:
    """Tell which tracks were released within the past that the present is compared with, or later."""
    first = min((span.before.first for span in past if span.before.first), default=date.max)
    return np.array([name in born and born[name] >= first for name in names], dtype=bool)


def _largest(values: Array, number: int) -> NDArray[np.intp]:
    """Return the positions of the largest values, ascending."""
    number = min(number, len(values))
    return np.sort(np.argpartition(-values, number - 1)[:number])
