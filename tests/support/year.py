"""A year of deliveries in numbers: weekends, holidays, growth, a hit and noise; and what may go wrong with a night."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import date, timedelta

import numpy as np

from recsys.arrivals.completeness import judge
from recsys.arrivals.deliveries import BUCKETS, Delivery
from recsys.settings import CompletenessSettings

FIRST = date(2025, 3, 3)
NIGHTS = 365
WEEK = np.array([0.97, 0.95, 1.0, 1.03, 1.13, 1.14, 0.98])
HOURS = [f"{hour:02}-{hour + 4:02}" for hour in range(0, 24, 4)]
DAY = np.array([0.05, 0.08, 0.19, 0.22, 0.27, 0.19])  # of one country's rows
SOURCES = {"android.parquet": 0.6, "ios.parquet": 0.3, "web.csv": 0.1}

Deliveries = dict[date, Delivery]


def year(random: np.random.Generator, *, listeners: int = 8_000, countries: int = 30) -> Deliveries:
    """Return 365 nights of a service that grows by about half.

    A country has nine holidays with 0.6 to 1.5 times its listeners, and two in three keep Christmas, three days with
    half of them; at New Year all have a third more. For two weeks a hit triples a country's listeners, and fades.
    """
    size = listeners * (share := 1 / np.arange(1, countries + 1)) / share.sum()
    drift = np.cumsum(random.normal(0, 0.004, (NIGHTS, countries)), axis=0) + np.linspace(0, 0.4, NIGHTS)[:, None]
    factor = np.exp(drift + random.normal(0, 0.03, (NIGHTS, 1)) + random.normal(0, 0.06, (NIGHTS, countries)))
    factor *= WEEK[np.arange(NIGHTS) % 7, None]
    for country in range(countries):
        factor[random.choice(NIGHTS, 9, replace=False), country] *= random.uniform(0.6, 1.5, 9)
    christmas = (date(2025, 12, 24) - FIRST).days
    factor[christmas : christmas + 3, random.random(countries) < 2 / 3] *= 0.5
    factor[christmas + 7] *= 1.33
    start, hit = random.integers(60, NIGHTS - 80), random.integers(1, countries) if countries > 1 else 0
    factor[start : start + 60, hit] *= 1 + (2 if countries > 1 else 0.5) * np.exp(-np.arange(60) / 14)
    there = random.poisson(size * factor)
    zones = random.integers(0, 6, countries)
    return {FIRST + timedelta(days=day): _delivery(random, there[day], zones, day) for day in range(NIGHTS)}


def _delivery(random: np.random.Generator, there: np.ndarray, zones: np.ndarray, day: int) -> Delivery:
    consents = 0.35 + 0.3 * day / NIGHTS
    rows = random.poisson(there * random.gamma(60, 5 / 60, len(there)))
    hours = sum(count * np.roll(DAY, zone) for count, zone in zip(rows, zones, strict=True))
    consenting = random.binomial(there, consents)
    return Delivery(
        rows=int(rows.sum()),
        positioned=int(random.binomial(rows.sum(), 0.91)),
        listeners=int(there.sum()),
        repeated=abs(random.normal(0.004, 0.002)),
        times=5_000,
        by_hours=dict(zip(HOURS, map(int, random.poisson(hours)), strict=True)),
        sketch=tuple(map(int, random.integers(0, 256, BUCKETS))),
        consenting=int(consenting.sum()),
        by_country={f"C{number:02}": int(count) for number, count in enumerate(consenting * 9 // 10) if count},
        by_source={name: int(random.poisson(rows.sum() * part)) for name, part in SOURCES.items()},
    )


def _times(found: Delivery, factor: float, *, repeated: float = 0.0) -> Delivery:
    """All of a night so many times: of as many listeners where rows are repeated, else of so many more."""
    listeners = 1.0 if repeated else factor
    return replace(
        found,
        rows=round(found.rows * factor),
        positioned=round(found.positioned * factor),
        repeated=max(found.repeated, repeated),
        listeners=round(found.listeners * listeners),
        consenting=round((found.consenting or 0) * listeners),
        by_country=_each(found.by_country, listeners),
        by_hours=_each(found.by_hours, factor),
        by_source=_each(found.by_source, factor),
    )


def _each(parts: Mapping[str, int], factor: float) -> dict[str, int]:
    return {name: round(count * factor) for name, count in parts.items()}


def _largest_gone(found: Delivery) -> Delivery:
    """Without its second country, or its only one."""
    gone = sorted(found.by_country, key=lambda name: -found.by_country[name])[:2][-1]
    kept = {name: count for name, count in found.by_country.items() if name != gone}
    share = found.by_country[gone] / sum(found.by_country.values())
    return replace(_times(found, 1 - share), by_country=kept)


def _until(found: Delivery, hour: int) -> Delivery:
    kept = {name: count for name, count in found.by_hours.items() if int(name[:2]) < hour}
    return replace(_times(found, sum(kept.values()) / found.rows), by_hours=kept)


def _one_source_cut(found: Delivery) -> Delivery:
    cut = found.by_source["ios.parquet"] - 70
    return replace(_times(found, 1 - cut / found.rows), by_source={**found.by_source, "ios.parquet": 70})


FAULTS: Mapping[str, Callable[[Delivery, Delivery], Delivery]] = {  # of the night, and of the one before
    "half a night": lambda found, _: _times(found, 0.5),
    "a twentieth": lambda found, _: _times(found, 40 / 779),
    "cut at 16 h": lambda found, _: _until(found, 16),
    "the same rows twice": lambda found, _: _times(found, 2, repeated=1 / 2),
    "in three formats": lambda found, _: _times(found, 3, repeated=2 / 3),
    "other rows, doubled": lambda found, _: _times(found, 2),
    "other rows, fivefold": lambda found, _: _times(found, 5),
    "a country gone": lambda found, _: _largest_gone(found),
    "all positions null": lambda found, _: replace(found, positioned=0, by_country={}),
    "one source with latitude and longitude exchanged": lambda found, _: replace(found, swapped=("ios.parquet",)),
    "one source cut to 70 rows": lambda found, _: _one_source_cut(found),
    "all cut to 70 rows": lambda found, _: _times(found, 70 / found.rows),
    "yesterday again": lambda _, before: before,
    "nobody allows anything": lambda found, _: replace(found, consenting=0, by_country={}),
    "a tenth of the consents": lambda found, _: replace(
        found, consenting=(found.consenting or 0) // 10, by_country=_each(found.by_country, 0.1)
    ),
}


def said_of(
    night: date, nights: Deliveries, *, settings: CompletenessSettings, faulty: Delivery | None = None
) -> list[str]:
    """Judge a night as on the morning after, when all before it are released."""
    known = {other: found for other, found in nights.items() if night - timedelta(days=60) <= other <= night}
    judged = {**known, night: faulty or nights[night]}
    return judge(night, nights=judged, released=known.keys() - {night}, settings=settings, least=20)


def stops(nights: Deliveries, *, settings: CompletenessSettings) -> dict[date, list[str]]:
    """Return the nights of a year that are stopped, each of which somebody accepts the same day."""
    return {night: said for night in nights if (said := said_of(night, nights, settings=settings))}
