"""The baseline of trends: what each place's own past lets expect of its present, weekday by weekday."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
from numpy.typing import NDArray

from recsys.geography.atlas import Atlas
from recsys.releases.counts.noisy_counts import Array, Noisy
from recsys.releases.counts.release import Released
from recsys.releases.counts.window import UNKNOWN, Window
from recsys.releases.inference import posterior, significance
from recsys.releases.inference.coarse_grid import Prior
from recsys.releases.inference.hierarchy import Reading
from recsys.releases.inference.posterior import Belief
from recsys.releases.inference.significance import Counted, Expected
from recsys.settings import ChartsSettings

WEEK = 7

_UNCOUNTED = UNKNOWN / 1e3  # a variance beyond this: the track was not counted
_WEEKDAYS = 0.3  # log deviation of a track's weekday from the place's weekday: small tracks are read as if less
_OWN_GROWTH = 0.1  # how much a place's growth departs from that of the larger place
_TRACK_DEVIATION = 0.3  # log deviation with which tracks are taken to move while a place's growth is measured
_HIGH_SNR, _ENOUGH = 5.0, 10  # standard deviations of noise; tracks
_LARGEST = 100  # tracks of the world that tell how overdispersed tracks are
_OVERDISPERSIONS = np.arange(0, 0.61, 0.02)  # log deviations
_HALF_OF_SQUARES = 0.4549  # median of the square of a standard normal variable
_LEAST = 1e-3  # listeners a night: an expectation is positive

Factor = tuple[float, float]  # and its variance
Read = Callable[[Sequence[date]], Released]


@dataclass(frozen=True)
class Side:
    """Some nights, seen from the tracks of the chart's own nights.

    Parameters
    ----------
    window : Window or None
        None where none of the nights was released.
    at : numpy.ndarray of intp, shape (tracks,)
        Where each of the chart's tracks stands in the window's; anywhere where it does not.
    there : numpy.ndarray of bool, shape (tracks,)
        Whether it does.
    days : tuple of date
        The nights that were released, in order.
    """

    window: Window | None
    at: NDArray[np.intp]
    there: NDArray[np.bool_]
    days: tuple[date, ...]

    @property
    def nights(self) -> int:
        """How many nights were released."""
        return len(self.days)

    @property
    def first(self) -> date | None:
        """The first of the nights, where there is one."""
        return self.days[0] if self.days else None


@dataclass(frozen=True)
class Span:
    """Some nights that follow each other, and the same weekdays of the weeks before."""

    now: Side
    before: Side


@dataclass(frozen=True)
class Trends:
    """A place's present beside its past, over several windows of last nights: the rows of all arrays.

    Parameters
    ----------
    tracks : numpy.ndarray of intp, shape (tracks,)
        As in the place's reading.
    nights : tuple of int
        How many nights each window has.
    counted : Counted, shape (windows, tracks)
    expected : Expected, shape (windows, tracks)
    past : Belief, shape (1, tracks)
        About the whole past.
    has_past : numpy.ndarray of bool, shape (tracks,)
        Whether the track was counted here on any night of the past.
    size : float
        All that was counted a night in the past.
    present : float
        All that is counted in the chart's window.
    weekdays, growth : tuple of (float, float)
        For each window, by which factor the place's past on its weekdays differs from the place's whole past, and by
        which factor the present differs from that; each with its variance.
    overdispersion : float
        Log deviation with which tracks go up and down without any trend.
    """

    tracks: NDArray[np.intp]
    nights: tuple[int, ...]
    counted: Counted
    expected: Expected
    past: Belief
    has_past: NDArray[np.bool_]
    size: float
    present: float
    weekdays: tuple[Factor, ...]
    growth: tuple[Factor, ...]
    overdispersion: float


def spans(
    read: Read, nights: Sequence[date], *, tracks: Sequence[str], atlas: Atlas, settings: ChartsSettings
) -> tuple[Span, ...]:
    """Read the nights that the rising charts compare, the latest span first; none where there is too little past.

    The windows of ``rising_nights`` nights share nights, so they are read as spans which add up to them. Each span goes
    with the same weekdays of up to ``past_weeks`` weeks before the chart's own, as far as those were released.

    Parameters
    ----------
    read : callable
        Returns the sum of some nights' releases (:meth:`recsys.releases.counts.release_reader.ReleaseReader.read`).
    nights : sequence of date
        The released nights, in order; the last one is the chart's.
    tracks : sequence of str
        Of the chart's own window, sorted.
    atlas : Atlas
        Nights that were released under another atlas do not count.
    settings : ChartsSettings
    """
    days = [nights[-1] - timedelta(days=back) for back in range(max(settings.rising_nights))]
    weeks = [timedelta(days=WEEK * week) for week in range(1, settings.past_weeks + 1)]
    bounds = zip((0, *settings.rising_nights), settings.rising_nights, strict=False)
    found = [
        Span(
            now=_side(read, set(days[first:last]) & set(nights), tracks=tracks, atlas=atlas),
            before=_side(
                read, {d - w for d in days[first:last] for w in weeks} & set(nights), tracks=tracks, atlas=atlas
            ),
        )
        for first, last in bounds
    ]
    past = sum(span.before.nights for span in found)
    return tuple(found) if past >= settings.min_past_nights else ()


def trends(reading: Reading, *, spans: Sequence[Span], within: Trends | None) -> Trends:
    """Compare a place's present with its past.

    What is expected of a track in a window is its mean on the same weekdays of the past weeks, times the growth of the
    place as a whole. Small tracks, whose mean on so few nights is mostly noise, are read from all nights of the past in
    the light of the larger place's past; large ones, whose weekdays show, from those weekdays: each is weighed by what
    it knows.

    Parameters
    ----------
    reading : Reading
        Of the present.
    spans : sequence of Span
    within : Trends or None
        Of the larger place; None for the world.
    """
    now = _stack([_counted(span.now, reading) for span in spans])
    before = _stack([_counted(span.before, reading) for span in spans])
    past_nights = float(before.nights.max(axis=1).sum())
    all_past = _mean(before, upto=len(spans), weights=before.nights)
    typical = _typical(reading, within=within)
    past = _past(reading, all_past, typical=typical, nights=past_nights)
    usual = _little(_usual(past, nights=past_nights), where=all_past.variance >= _UNCOUNTED)
    shape = _high_snr(usual, all_past) if typical is None else typical.mean[0] / past_nights
    matched = [_mean(before, upto=i, weights=now.nights) for i in range(len(spans))]
    counted = [_mean(now, upto=i, weights=now.nights) for i in range(len(spans))]
    nights = tuple(int(sum(span.now.nights for span in spans[: i + 1])) for i in range(len(spans)))
    weekdays = _factors(matched, [all_past] * len(spans), shape=shape, within=within.weekdays if within else None)
    growth = _factors(counted, matched, shape=shape, within=within.growth if within else None)
    weekly = [_on_weekdays(usual, m, by=f, nights=n) for m, f, n in zip(matched, weekdays, nights, strict=True)]
    grown = [e.times(*g) for e, g in zip(weekly, growth, strict=True)]
    overdispersion = within.overdispersion if within else _overdispersion(counted[-1], grown[-1])
    expected = [Expected(e.mean, e.variance + (overdispersion * e.mean) ** 2) for e in grown]
    size, present = float(past.mean.sum() / past_nights), float(reading.belief.mean.sum())
    has_past = before.nights.max(axis=0) > 0
    return Trends(
        reading.tracks,
        nights,
        _stack(counted),
        _both(expected),
        past,
        has_past,
        size,
        present,
        weekdays,
        growth,
        overdispersion,
    )


def _side(read: Read, nights: set[date], *, tracks: Sequence[str], atlas: Atlas) -> Side:
    released = read(sorted(nights)) if nights else None
    if released is None or released.atlas != atlas.version or not released.tracks:
        return Side(None, np.zeros(len(tracks), dtype=np.intp), np.zeros(len(tracks), dtype=bool), ())
    known, wanted = np.asarray(released.tracks), np.asarray(tracks)
    at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return Side(Window(released, atlas.members), at, known[at] == wanted, released.nights)


def _counted(side: Side, reading: Reading) -> Counted:
    """Return a place's counts a night; of tracks that were not counted there, none."""
    nothing = np.zeros(len(reading.tracks))
    if side.window is None:
        return Counted(nothing, nothing + UNKNOWN, nothing)
    noisy = side.window.noisy(reading.place, side.at[reading.tracks])
    counted = side.there[reading.tracks] & (noisy.variance[0] < _UNCOUNTED)
    return Counted(
        np.where(counted, noisy.counts[0] / side.nights, 0.0),
        np.where(counted, noisy.variance[0] / side.nights**2, UNKNOWN),
        np.where(counted, float(side.nights), 0.0),
    )


def _stack(rows: Sequence[Counted]) -> Counted:
    return Counted(*(np.stack([getattr(row, field) for row in rows]) for field in ("mean", "variance", "nights")))


def _both(rows: Sequence[Expected]) -> Expected:
    return Expected(np.stack([row.mean for row in rows]), np.stack([row.variance for row in rows]))


def _mean(counted: Counted, *, upto: int, weights: Array) -> Counted:
    """Return the mean a night over the first spans, each with the weight of its present nights."""
    here = slice(0, upto + 1)
    weight = np.where(counted.nights[here] > 0, weights[here], 0.0)
    total = np.maximum(weight.sum(axis=0), 1e-9)
    nights = total**2 / np.maximum((weight**2 / np.maximum(counted.nights[here], 1e-9)).sum(axis=0), 1e-9)
    known = weight.sum(axis=0) > 0
    variance = (weight**2 * counted.variance[here]).sum(axis=0) / total**2
    mean = (weight * counted.mean[here]).sum(axis=0) / total
    return Counted(np.where(known, mean, 0.0), np.where(known, variance, UNKNOWN), np.where(known, nights, 1.0))


def _typical(reading: Reading, *, within: Trends | None) -> Belief | None:
    """Return what the larger place's past lets expect of a place of this size."""
    if within is None:
        return None
    at = np.searchsorted(within.tracks, reading.tracks)
    return Belief(
        within.past.mean[:, at] * reading.belief.mean.sum() / within.present, within.past.relative_variance[:, at]
    )


def _high_snr(usual: Expected, counted: Counted) -> Array:
    """Return the means of the tracks that are far above the noise, and 0 for all others, if there are such tracks.

    The world has no surroundings that would tell which tracks should be large; among quiet ones the largest are those
    whose noise was.
    """
    loud = np.where(usual.mean > _HIGH_SNR * np.sqrt(counted.variance), usual.mean, 0.0)
    return loud if np.count_nonzero(loud) >= _ENOUGH else usual.mean


def _past(reading: Reading, counted: Counted, *, typical: Belief | None, nights: float) -> Belief:
    """Return what is believed of the sum over the past nights, in the light of the larger place's past."""
    noisy = Noisy((counted.mean * nights)[None], (counted.variance * nights**2)[None])
    if typical is None:
        return posterior.belief(noisy, _prior_of_whole(noisy, counted=counted.variance < _UNCOUNTED))
    spread, size = np.array([reading.spread]), np.array([typical.mean.sum()])
    return posterior.belief(noisy, posterior.prior_of_part(noisy, rest=typical, spread=spread, typical=size))


def _prior_of_whole(noisy: Noisy, *, counted: NDArray[np.bool_]) -> Prior:
    """Learn the prior from the tracks that were counted, for all."""
    learned = posterior.prior_of_whole(Noisy(noisy.counts[:, counted], noisy.variance[:, counted]))
    ones = np.ones_like(noisy.counts)
    return Prior(0 * ones, ones, learned.grid, learned.log_density)


def _usual(past: Belief, *, nights: float) -> Expected:
    """Return the mean a night over the whole past: the rate, of which the counts are one outcome."""
    mean = np.maximum(past.mean[0] / nights, _LEAST)
    return Expected(mean, past.relative_variance[0] * mean**2 + mean / nights)


def _little(usual: Expected, *, where: NDArray[np.bool_]) -> Expected:
    """Expect of tracks that were never counted in the past what is usual there: they were no candidates, so not large.

    The prior alone would allow them any size, and no count could ever exceed that.
    """
    if where.all() or not where.any():
        return usual
    little = float(np.median(usual.mean[~where]))
    return Expected(np.where(where, little, usual.mean), np.where(where, little**2, usual.variance))


def _on_weekdays(usual: Expected, matched: Counted, *, by: Factor, nights: int) -> Expected:
    """Correct the usual mean of a track for the weekdays of a window by its mean on these weekdays.

    The mean on some weekdays departs from the usual one by noise, whose variance is known, and by the track's own
    weekdays; the correction believes it as far as the second goes (a step of Kalman's filter). Whole weeks need none.
    """
    base = usual.times(*by)
    chance = matched.variance + base.mean / matched.nights
    noise = np.maximum(chance - base.variance, 1e-9)
    own = (_WEEKDAYS * base.mean) ** 2 * max(WEEK - nights, 0) / ((WEEK - 1) * nights)
    trust = own / (own + noise)
    mean = np.maximum(base.mean + trust * (matched.mean - base.mean), _LEAST)
    return Expected(mean, base.variance + trust**2 * noise + (1 - trust) ** 2 * own)


def _factors(
    counted: Sequence[Counted], base: Sequence[Counted], *, shape: Array, within: Sequence[Factor] | None
) -> tuple[Factor, ...]:
    """Return the factor of the place as a whole for each window: where it is hardly measured, the larger place's."""
    own = [
        significance.scale(some, other, shape=shape, spread=_TRACK_DEVIATION)
        for some, other in zip(counted, base, strict=True)
    ]
    return tuple(own) if within is None else tuple(map(_near, own, within))


def _near(own: Factor, outer: Factor) -> Factor:
    prior = outer[1] + (_OWN_GROWTH * outer[0]) ** 2
    trust = prior / (prior + own[1])
    return outer[0] + trust * (own[0] - outer[0]), trust * own[1]


def _overdispersion(counted: Counted, expected: Expected) -> float:
    """Return how much the loudest tracks depart from expectation beyond noise and chance, trends aside.

    It is the smallest log deviation with which the median of the squared departures is that of a standard normal
    variable: the median, because some tracks do have a trend.
    """
    loudest = np.argsort(-expected.mean, kind="stable")[:_LARGEST]
    some, usual = counted[loudest], expected[loudest]
    for overdispersion in _OVERDISPERSIONS:
        departures = significance.excess(
            some, Expected(usual.mean, usual.variance + (overdispersion * usual.mean) ** 2)
        )
        if np.median(departures**2) <= _HALF_OF_SQUARES:
            break
    return float(overdispersion)
