"""Is a night whole? Judged by its own numbers, by other nights' rows, and by how many other nights of its weekday had.

What a night tells by itself holds from the first one on: that none of its listeners allows anything, that its rows
repeat each other, that its positions make sense the other way round only. The second night tells whether it is the
first one again. From the second night on all nights near tell what is usual, and from the fourth week on those of the
same weekday. In a catch-up the nights that are due are each other's past.

What is usual is the median of the nights compared with. How far nights stray from it is learned from them too (their
median absolute deviation), with the setting as a floor, which is all there is where they are too few to learn from, and
a ceiling, so that no past is so restless that anything passes. How many listeners there are, and how much each of them
plays, stray for reasons of their own: each is judged by itself, and the rows, which are their product, by a limit wider
by the square root of two, as spreads add up. A night that strays as the last released one clearly did is not stopped
again: what somebody accepted is usual now. Of countries, kinds of files and hours the share is judged, and only whether
it is gone: on a holiday a country may well have half.
"""

import math
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from statistics import median, median_high, median_low

from recsys.arrivals.deliveries import Delivery
from recsys.settings import CompletenessSettings

Nights = Mapping[date, Delivery]
Part = Callable[[Delivery], Mapping[str, int]]

_STRAYS = 4.0  # spreads: further by chance is rare
_MOST_CHANGE, _MOST_PART_CHANGE = 4.0, 20.0  # factors: more is too much however restless the past was
_ENOUGH = 3  # nights of the same weekday; where there are fewer, all nights near are compared. To learn a spread, too
_ALIKE = 0.5  # share of rows that two nights have in common: habits alone make far less
_FINE = 20  # times of day: where there are fewer, as where times are dates, habits alone make nights alike
_MAD = 1.4826  # what a median absolute deviation is to be multiplied by, to be a standard deviation
_LATELY = 7  # days


@dataclass(frozen=True)
class _Number:
    """A number of a night: what it is called, and how many of how many it is (of one where it is no share).

    ``factors`` says of how many numbers that stray each by itself it is the product.
    """

    what: str
    counted: Callable[[Delivery], tuple[int, int] | None]
    in_rows: bool = False
    may_grow: bool = True
    part: bool = False
    factors: int = 1


_NUMBERS = (
    _Number("rows", lambda found: (found.rows, 0), in_rows=True, may_grow=False, factors=2),
    _Number("listeners", lambda found: (found.listeners, 0), may_grow=False),
    _Number("rows per listener", lambda found: (found.rows, found.listeners), in_rows=True, may_grow=False),
    _Number(
        "share of listeners who allow any use",
        lambda found: None if found.consenting is None else (found.consenting, found.listeners),
    ),
    _Number("share of rows with a position", lambda found: (found.positioned, found.rows), in_rows=True),
)


_PARTS: tuple[tuple[str, Part, bool], ...] = (
    ("share of listeners in {}", lambda found: found.by_country, False),
    ("share of rows in files like '{}'", lambda found: found.by_source, True),
    ("share of rows from {} h UTC", lambda found: found.by_hours, True),
)


def judge(
    night: date, *, nights: Nights, released: Collection[date], settings: CompletenessSettings, least: int
) -> list[str]:
    """Say what makes a night look not whole, or not new; nothing where it looks right.

    Parameters
    ----------
    night : date
        One of ``nights``.
    nights : mapping of date to Delivery
        The nights that are due, and the released ones of which the numbers are kept.
    released : collection of date
        Which of them are released already.
    settings : CompletenessSettings
    least : int
        Listeners: where fewer are usual, nothing is judged, and so nothing said.

    Returns
    -------
    list of str
        What and where. Ratios with one digit, and no number of listeners: what is true is private.
    """
    found = nights[night]
    near = {
        other: numbers
        for other, numbers in nights.items()
        if other != night and abs((other - night).days) <= 7 * settings.weeks
    }
    passed = {kind for other, numbers in near.items() if other in released for kind in numbers.swapped}
    lately = [other for other in near if other in released and 0 < (night - other).days <= _LATELY]
    strayed = _Strayed(night, near, max(lately, default=None), settings, least)
    return [
        *_by_itself(found, near, settings),
        *_exchanged(found, passed),
        *_same_again(night, near, found),
        *strayed.said(found),
    ]


def _by_itself(found: Delivery, near: Nights, settings: CompletenessSettings) -> Iterator[str]:
    usual = median(other.repeated for other in near.values()) if near else 0.0
    if found.repeated > settings.max_repeated_share + usual:
        yield f"{_percent(found.repeated)} of its rows repeat another (the same user, track and time)"
    if found.listeners and found.consenting == 0:
        yield "none of its listeners allows any use (are user ids written alike in listens and consents?)"


def _exchanged(found: Delivery, passed: Collection[str]) -> Iterator[str]:
    """Say which files have positions the wrong way round, unless somebody let a night with such files pass."""
    for kind in sorted(set(found.swapped).difference(passed)):
        yield (
            f"positions in files like '{kind}' are where people live if latitude and longitude are exchanged, "
            "and hardly as they are (are the two swapped?)"
        )


def _same_again(night: date, near: Nights, found: Delivery) -> Iterator[str]:
    if found.times >= _FINE:
        again = [other for other in near if other < night and _in_common(near[other], found) >= _ALIKE]
        yield from (f"its rows are those of {other} again, but for the date" for other in sorted(again)[-1:])


def _in_common(left: Delivery, right: Delivery) -> float:
    """Estimate which share of all rows of two nights both of them have."""
    pairs = [pair for pair in zip(left.sketch, right.sketch, strict=True) if pair != (-1, -1)]
    return sum(one == other for one, other in pairs) / len(pairs) if pairs else 0.0


@dataclass(frozen=True)
class _Departure:
    """How far a number is from what is usual, and how far others are (in logarithms), and how many would be usual."""

    log_ratio: float
    spread: float
    usual: float


@dataclass(frozen=True)
class _Strayed:
    """What of a night is too far from what is usual in the nights near it."""

    night: date
    near: Nights
    before: date | None
    settings: CompletenessSettings
    least: int

    def said(self, found: Delivery) -> Iterator[str]:
        compared = self._compared(self.night)
        if not compared:
            return
        listeners = median(other.listeners for other in compared)
        a_row = listeners / max(median(other.rows for other in compared), 1)  # in listeners
        for number in (*_NUMBERS, *_parts(compared)):
            ratio = self._ratio(number, found, people=a_row if number.in_rows else 1.0)
            if listeners >= self.least and ratio is not None:
                yield f"{number.what}: {_said(ratio)} what is usual on {self._days(compared)}"

    def _ratio(self, number: _Number, found: Delivery, *, people: float) -> float | None:
        """Return found over usual where that is too far from 1, by a limit in logarithms."""
        here = _departure(number, found, self._compared(self.night))
        if here is None or here.usual * people < self.least:
            return None
        limit = self._limit(number, max(here.spread, (here.usual * people) ** -0.5))
        strays, before = here.log_ratio, self._before(number)
        as_before = abs(before) > limit / 2 and abs(strays - before) <= limit
        if abs(strays) <= limit or as_before or (number.may_grow and strays > 0):
            return None
        return math.exp(strays)

    def _limit(self, number: _Number, spread: float) -> float:
        floor, most = (
            (self.settings.part_change, _MOST_PART_CHANGE) if number.part else (self.settings.change, _MOST_CHANGE)
        )
        return min(max(math.log(floor) * math.sqrt(number.factors), _STRAYS * spread), math.log(most))

    def _before(self, number: _Number) -> float:
        """Return how far the last released night strayed."""
        before = self.before and _departure(number, self.near[self.before], self._compared(self.before))
        return before.log_ratio if before else 0.0

    def _compared(self, night: date) -> list[Delivery]:
        """Return the nights of the same weekday, or all where these are too few."""
        others = {other: numbers for other, numbers in self.near.items() if other != night}
        same = [numbers for other, numbers in others.items() if (other - night).days % 7 == 0]
        return same if len(same) >= _ENOUGH else list(others.values())

    def _days(self, compared: Sequence[Delivery]) -> str:
        return f"{self.night:%A}s" if len(compared) < len(self.near) else "other nights"


def _parts(compared: Sequence[Delivery]) -> Iterator[_Number]:
    """Yield the share of every country, kind of file and block of hours that the nights compared with have."""
    for what, of, in_rows in _PARTS:
        for name in sorted({name for other in compared for name in of(other)}):
            yield _Number(what.format(name), _share_of(name, of), in_rows=in_rows, part=True)


def _share_of(name: str, of: Part) -> Callable[[Delivery], tuple[int, int]]:
    return lambda found: (of(found).get(name, 0), sum(of(found).values()))


def _departure(number: _Number, found: Delivery, compared: Sequence[Delivery]) -> _Departure | None:
    mine, others = number.counted(found), [pair for other in compared if (pair := number.counted(other)) is not None]
    if mine is None or not others:
        return None
    logs = [_log(*pair) for pair in others]
    low, high = median_low(logs), median_high(logs)
    usual = (low + high) / 2
    spread = _MAD * median(abs(value - usual) for value in logs) if len(logs) >= _ENOUGH else 0.0
    strays = _log(*mine) - min(max(_log(*mine), low), high)
    return _Departure(strays, spread, math.exp(usual) * (mine[1] + 1))


def _log(count: int, of: int) -> float:
    """Return the logarithm of a share, or of a number (of 0), one more each, so that nothing has one too."""
    return math.log((count + 1) / (of + 1))


def _said(ratio: float) -> str:
    """Say a ratio so that no count can be told from it."""
    if ratio < 0.02:
        return "almost nothing of"
    return f"about {_percent(ratio)} of" if ratio < 1 else f"about {float(f'{ratio:.0e}'):.0f} times"


def _percent(share: float) -> str:
    return f"{float(f'{100 * share:.0e}'):.0f} %"
