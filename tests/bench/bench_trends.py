"""Trends, measured: how soon planted ones are found, and how much is found where there is none.

Run it with ``PYTHONPATH=tests python tests/bench/bench_trends.py [WORLDS] [--seed N] [--workspace DIR]``. Worlds are
simulated listener by listener: three countries of nine regions, three each of 300, 1,000 and 3,000 daily listeners;
2,000 tracks, Zipf 1, with tastes that depart by a log deviation of 0.4 in a country and of 0.7 more in a region; 15
plays a night by every listener; totals that go with the weekday and grow by 1 % a night; every tenth track a party
song, played twice as much on Saturdays; 35 nights, released in the product's tiers with the default budget. All of a
region's daily listeners contribute, by what they have earned: as they listen every night, each track weighs what
:func:`recsys.cells.earnings.pay` leaves in the steady state, and the noise is that of the product over this weight.

On the 29th night two trends begin in every third region, each in that region alone: one of a track with a past there
(a *mover*, between the region's 100th and 500th) and one of a track that nobody could count before (a *debut*). From
then on 5, 10 or 20 % of the region's listeners play it once more a night than they would: all at once (*step*), or a
quarter of them more each night (*growing*). Charts are drawn on each
of the seven nights that follow, and these are printed by size and gain:

- precision: lines of the regions' rising charts that are planted trends (regions without any trend have a row of their
  own, with gain 0); recall: trends found within seven nights; night n: those found by the n-th night;
- false discoveries: of a night's rising lines of all places the share that is false, on average over nights, of which
  those without any line have none. That is the false discovery rate, which is promised to be a tenth at most; and the
  share of all lines of all nights, which is larger, as a night that names more by chance has more lines. In a country
  and in the world a line is right if the trend of one of its regions is;
- delay: the median night on which a trend is first in the chart, the night on which it begins being 1, and a trend that
  is not found being endless;
- coverage: how many of the 95 % intervals of listeners and of lift hold the truth. The truth of listeners is the true
  count in the nights of the line. The truth of lift is the rate with the trend over the rate without, of at least one
  listener a night, as the chart has it; what never was before has no lift, so debuts are left out.

Then the same worlds without trends: places with any rising line, all of which are false; also with tracks that wander
(every track's popularity by 3 % a night). Local charts are measured on the last night: what of them is truly more
common in the region than in the rest of the world, how many trends they hold, the coverage of listeners and of lift
(the ratio of shares in the region and in the rest of the world, where it has the track), and what they hold where all
places have the same taste. With ``--workspace`` the rising charts of the sample's released nights are measured against
``data/sample/truth``.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from support.releasing import small_atlas
from support.simulated_worlds import steady_weight

from recsys.artifacts.list_candidates import SURELY
from recsys.geography.atlas import Atlas, load_atlas
from recsys.geography.places import WORLD, Place
from recsys.releases.charts import charts
from recsys.releases.counts import release
from recsys.releases.counts.release_reader import Released, ReleaseReader
from recsys.settings import PrivacySettings, load_settings
from recsys.workspace import Workspace

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
SIZES, GAINS = (300, 1_000, 3_000), (0.05, 0.1, 0.2)
TRACKS, NIGHTS, ONSET, PLAYS = 2_000, 35, 28, 15
COUNTRIES, ALIKE, EVERY = 3, 3, 3  # countries; regions of a size in each; every third has trends
GROWTH, PARTY, GROWING = 1.01, 0.1, 4  # a night; share of tracks; nights
WEEK = np.array([0.9, 0.9, 0.95, 1.0, 1.1, 1.2, 0.95])  # listeners by weekday, Monday first
PARTY_WEEK = np.array([0.8, 0.8, 0.8, 0.8, 1.2, 2.0, 1.0])
SETTINGS = load_settings()


@dataclass(frozen=True)
class Trend:
    """A planted trend: in one region, of one track, from the onset on."""

    region: int
    track: int
    size: int
    gain: float
    kind: str
    shape: str

    def share(self, night: int) -> float:
        """Return the share of the region's listeners who play the track once more because of it."""
        since = night - ONSET + 1
        return self.gain * float(np.clip(since / GROWING if self.shape == "growing" else since, 0, 1))


@dataclass(frozen=True)
class World:
    """A simulated world.

    Parameters
    ----------
    atlas : Atlas
    days : tuple of date
    sizes : numpy.ndarray, shape (regions,)
    trends : tuple of Trend
    counts : numpy.ndarray of int, shape (nights, regions, tracks)
        True contributing listeners.
    usual, trending : numpy.ndarray, shape (nights, regions, tracks)
        Their expectation without and with trends.
    """

    atlas: Atlas
    days: tuple[date, ...]
    sizes: np.ndarray
    trends: tuple[Trend, ...]
    counts: np.ndarray
    usual: np.ndarray
    trending: np.ndarray


@dataclass(frozen=True)
class Kind:
    """What a world is like: how large regions are, how much tastes differ, how much tracks wander, and its trends."""

    sizes: tuple[int, ...] = SIZES
    gains: tuple[float, ...] = GAINS
    country: float = 0.4
    region: float = 0.7
    wander: float = 0.0
    trends: bool = True


# ------------------------------------------------------------------------------------------------ the simulated world


def simulate(kind: Kind, *, number: int, random: np.random.Generator) -> World:
    """Draw a world; the weekday of the onset goes with its number, three days at a time."""
    sizes = np.tile(np.repeat(kind.sizes, ALIKE), COUNTRIES)
    rates = tastes(kind, random)
    trends = plant(rates, sizes, gains=kind.gains, number=number, random=random) if kind.trends else ()
    for trend in trends:
        rates[:, trend.track] *= trend.kind == "mover"  # a debut has no listener but by its trend
    days = tuple(date(2026, 9, 1) + timedelta(days=3 * number + night) for night in range(NIGHTS))
    party = random.random(TRACKS) < PARTY
    wander = np.exp(kind.wander * random.normal(size=(NIGHTS, TRACKS)).cumsum(axis=0))
    found = [
        [
            count(weekly(rates[region], day, party) * wander[night], heads(sizes[region], night, day),
                  [(t.track, t.share(night)) for t in trends if t.region == region], random)
            for region in range(len(sizes))
        ]
        for night, day in enumerate(days)
    ]  # fmt: skip
    return World(
        atlas_of(sizes), days, sizes, trends, *(np.array([[x[i] for x in n] for n in found]) for i in range(3))
    )


def tastes(kind: Kind, random: np.random.Generator) -> np.ndarray:
    """Return what is played in each region, up to a factor, shape (regions, tracks)."""
    base = random.permutation(1 / np.arange(1, TRACKS + 1))
    country = np.exp(kind.country * random.normal(size=(COUNTRIES, TRACKS)))
    region = np.exp(kind.region * random.normal(size=(COUNTRIES * len(SIZES) * ALIKE, TRACKS)))
    return np.asarray(base * np.repeat(country, len(SIZES) * ALIKE, axis=0) * region)


def plant(
    rates: np.ndarray, sizes: np.ndarray, *, gains: Sequence[float], number: int, random: np.random.Generator
) -> tuple[Trend, ...]:
    """Plant a mover and a debut in every third region, gains and shapes in turn."""
    trends: list[Trend] = []
    free = random.permutation(TRACKS)
    ranks = np.argsort(np.argsort(-rates, axis=1), axis=1)
    for region, size in enumerate(sizes):
        if (region + region // ALIKE + region // (ALIKE * len(SIZES)) + number) % EVERY:
            continue
        gain, shapes = gains[region % len(gains)], ("step", "growing")
        turn = number // EVERY + region
        mover = next(t for t in free if 100 <= ranks[region, t] < 500)
        debut = next(t for t in free if t != mover and ranks[region, t] >= 500)
        for kind, track in (("mover", mover), ("debut", debut)):
            turn += 1
            trends.append(Trend(region, int(track), int(size), gain, kind, shapes[turn % 2]))
        free = free[(free != mover) & (free != debut)]
    return tuple(trends)


def heads(size: int, night: int, day: date) -> int:
    """Return the listeners of a night: ``size`` on the night of the onset, weekdays aside."""
    return round(size * WEEK[day.weekday()] * GROWTH ** (night - ONSET))


def weekly(rates: np.ndarray, day: date, party: np.ndarray) -> np.ndarray:
    """Return the rates of a weekday."""
    return np.asarray(rates * np.where(party, PARTY_WEEK[day.weekday()], 1.0))


def count(
    rates: np.ndarray, listeners: int, trends: Sequence[tuple[int, float]], random: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count distinct listeners by track in a night: as it came out, expected without trends, and with them."""
    rates = rates / rates.sum()
    plays = np.searchsorted(rates.cumsum()[:-1], random.random((listeners, PLAYS)))
    more = [np.where(random.random(listeners) < share, track, -1) for track, share in trends]
    plays = np.sort(np.column_stack([plays, *more]), axis=1)
    order = random.random(plays.shape)
    order[plays < 0] = 2
    order[:, 1:][plays[:, 1:] == plays[:, :-1]] = 2  # a repeated play is no track of its own
    usual, trending = (1 - rates) ** PLAYS, (1 - rates) ** PLAYS
    for track, share in trends:
        trending[track] *= 1 - share
    counted = np.bincount(plays[order < 2], minlength=TRACKS)
    return counted, listeners * (1 - usual), listeners * (1 - trending)


def usual_weight() -> float:
    """Return what a track weighs of listeners who play every night."""
    zipf = np.cumsum(1 / np.arange(1, TRACKS + 1))
    plays = np.searchsorted(zipf / zipf[-1], np.random.default_rng(0).random((2_000, PLAYS)))
    return steady_weight(np.array([len(set(row)) for row in plays.tolist()]))


def atlas_of(sizes: np.ndarray) -> Atlas:
    """Return an atlas of the regions, without remainders; a name holds the region's number."""
    regions = {f"r{region:02}": f"C{region // (len(SIZES) * ALIKE)}" for region in range(len(sizes))}
    levels = {WORLD: ("world", None)} | dict.fromkeys(sorted(set(regions.values())), ("country", WORLD))
    levels |= {region: ("region", country) for region, country in regions.items()}
    places = {id_: Place(id_, id_, "", level, parent, 0, 0, 0) for id_, (level, parent) in levels.items()}
    small = small_atlas()
    settings = small.settings.model_copy(update={"service_area": tuple(sorted(regions))})
    return replace(small, places=places, settings=settings)


# ------------------------------------------------------------------------------------------------- its released nights


class Releases:
    """The released nights of a simulated world, with seeded noise, so that a run can be repeated."""

    def __init__(self, world: World, *, privacy: PrivacySettings, random: np.random.Generator) -> None:
        self._world, self._atlas = world, world.atlas
        self._tiers = release.tiers(world.atlas, settings=privacy)
        self._rows = tuple(sorted(row for tier in self._tiers for row in tier.rows))
        self._tier_of = {row: tier.name for tier in self._tiers for row in tier.rows}
        sigma = {tier.name: tier.sigma_squared / usual_weight() ** 2 for tier in self._tiers}
        self._variance = np.array([sigma[self._tier_of[row]] for row in self._rows])
        parts = world.atlas.parts
        members = np.array([np.isin(parts, world.atlas.members[row]) for row in self._rows])
        true = np.einsum("rp,npt->nrt", members, world.counts)
        noise = random.normal(size=true.shape) * np.sqrt(self._variance)[:, None]
        self._noisy = true + np.rint(noise).astype(np.int64)
        self._there = np.ones((NIGHTS, TRACKS), dtype=bool)  # a debut is counted from its first night on
        self._there[:ONSET, [trend.track for trend in world.trends if trend.kind == "debut"]] = False

    def read(self, nights: Sequence[date]) -> Released:
        """Sum some nights, as :meth:`recsys.releases.counts.release_reader.ReleaseReader.read` does."""
        which = [self._world.days.index(night) for night in sorted(set(nights))]
        exposures = np.broadcast_to(self._there[which].sum(axis=0), self._noisy.shape[1:])
        sums = (self._noisy[which] * self._there[which][:, None]).sum(axis=0)
        row, position = np.nonzero(exposures)
        variances = exposures * self._variance[:, None]
        return Released(
            nights=tuple(self._world.days[i] for i in which),
            atlas=self._atlas.version,
            rows=self._rows,
            tracks=tuple(f"t{i:04}" for i in range(TRACKS)),
            tiers=self._tier_of,
            starts=np.searchsorted(row, np.arange(len(self._rows) + 1)),
            positions=position.astype(np.int32),
            sums=sums[row, position].astype(np.int32),
            exposures=exposures[row, position].astype(np.uint8),
            variances=variances[row, position].astype(np.float32),
            ledger_numbers=tuple(which),
        )

    def lines(self, night: int) -> pl.DataFrame:
        """Return all charts of a night, with the number of the night."""
        drawn = charts.draw(
            self.read, self._world.days[: night + 1], atlas=self._atlas, born={}, settings=SETTINGS.charts
        )
        return drawn.lines.with_columns(pl.lit(night).alias("night"))


# ---------------------------------------------------------------------------------------------------- what was found


def region_lines(lines: pl.DataFrame, chart: str) -> pl.DataFrame:
    """Return the lines of a chart of all regions, with the numbers of region and track."""
    numbers = (pl.col(name).str.slice(1).cast(pl.Int64).alias(number) for name, number in PLACES.items())
    return lines.filter(pl.col("chart") == chart, pl.col("place").str.starts_with("r")).with_columns(numbers)


PLACES = {"place": "region", "track_id": "track"}


def with_trends(lines: pl.DataFrame, world: World) -> pl.DataFrame:
    """Tell of each line whether it is a planted trend, with the size and gain of its region."""
    gains = {trend.region: trend.gain for trend in world.trends}
    rows = [(region, int(size), gains.get(region, 0.0)) for region, size in enumerate(world.sizes)]
    of_region = pl.DataFrame(rows, OF_REGION, orient="row")
    planted = pl.DataFrame([(t.region, t.track, True) for t in world.trends], PLANTED, orient="row")
    found = lines.join(of_region, on="region").join(planted, on=["region", "track"], how="left")
    return found.with_columns(pl.col("planted").fill_null(value=False))


OF_REGION = {"region": pl.Int64, "size": pl.Int64, "gain": pl.Float64}
PLANTED = {"region": pl.Int64, "track": pl.Int64, "planted": pl.Boolean}


def with_rising_truth(lines: pl.DataFrame, world: World) -> pl.DataFrame:
    """Tell of each rising line whether its intervals hold the truth."""
    debuts = {trend.track for trend in world.trends if trend.kind == "debut"}
    rows = []
    for line in lines.iter_rows(named=True):
        first = max(line["night"] - line["nights"] + 1, ONSET if line["track"] in debuts else 0)
        here = (slice(first, line["night"] + 1), line["region"], line["track"])
        lift = None if line["track"] in debuts else world.trending[here].mean() / max(world.usual[here].mean(), 1.0)
        rows.append(within(line, listeners=world.counts[here].mean(), lift=lift))
    return lines.hstack(pl.DataFrame(rows, COVERED, orient="row"))


def with_local_truth(lines: pl.DataFrame, world: World) -> pl.DataFrame:
    """Tell of each local line whether its intervals hold the truth, and whether it is truly local."""
    window = slice(NIGHTS - SETTINGS.charts.window_nights, NIGHTS)
    rates, true = world.trending[window].mean(axis=0), world.counts[window].mean(axis=0)
    rest = rates.sum(axis=0) - rates
    shares = rates / rates.sum(axis=1)[:, None], np.maximum(rest, 1e-9) / rest.sum(axis=1)[:, None]
    lifts = shares[0] / shares[1]
    at = [(line["region"], line["track"]) for line in lines.iter_rows(named=True)]
    rows = [
        within(line, listeners=true[here], lift=lifts[here] if rest[here] > 0 else None)
        for here, line in zip(at, lines.iter_rows(named=True), strict=True)
    ]
    local = pl.Series("local", [bool(lifts[here] > 1) for here in at], dtype=pl.Boolean)
    return lines.hstack(pl.DataFrame(rows, COVERED, orient="row")).with_columns(local)


def within(line: dict[str, float], *, listeners: float, lift: float | None) -> tuple[bool, bool | None]:
    """Tell whether the intervals of a line hold the true listeners and the true lift, where there is one."""
    return (
        bool(line["low"] - 1e-9 <= listeners <= line["high"] + 1e-9),
        None if lift is None else bool(line["lift_low"] - 1e-9 <= lift <= line["lift_high"] + 1e-9),
    )


COVERED = {"listeners_held": pl.Boolean, "lift_held": pl.Boolean}


def with_grade_truth(lines: pl.DataFrame, world: World) -> pl.DataFrame:
    """Tell of each line of the last night whether what its grade is about holds.

    A rising track was truly counted more often than its rates on the same weekdays of four weeks before, times the
    growth of its region, let expect; a local one truly has a larger share in the region than in the rest of the world.
    """
    window = slice(NIGHTS - SETTINGS.charts.window_nights, NIGHTS)
    rates = world.trending[window].mean(axis=0)
    rest = rates.sum(axis=0) - rates
    shares = rates / rates.sum(axis=1)[:, None], rest / rest.sum(axis=1)[:, None]
    special = shares[0] > shares[1] * (1 + 1e-6)
    holds = []
    for line in lines.iter_rows(named=True):
        here = (line["region"], line["track"])
        now = np.arange(NIGHTS - line["nights"], NIGHTS)
        before = (now[:, None] - 7 * np.arange(1, 5)).ravel()
        growth = world.usual[now, here[0]].sum() / world.usual[before, here[0]].sum() * 4
        more = world.counts[now, *here].mean() > growth * world.usual[before, *here].mean()
        holds.append(bool(more if line["chart"] == charts.RISING else special[here]))
    return lines.with_columns(pl.Series("holds", holds, dtype=pl.Boolean))


def delays(found: pl.DataFrame, world: World) -> pl.DataFrame:
    """Return for each planted trend the night on which it is first in the chart (the first being 1), or infinity."""
    first = (
        found.filter("planted").group_by("region", "track").agg((pl.col("night").min() - ONSET + 1.0).alias("delay"))
    )
    trends = pl.DataFrame([vars(trend) for trend in world.trends])
    return trends.join(first, on=["region", "track"], how="left").with_columns(pl.col("delay").fill_null(np.inf))


# -------------------------------------------------------------------------------------------------------- the tables


def named_by_night(lines: pl.DataFrame, world: World) -> pl.DataFrame:
    """Return for each night how many rising lines all places have, how many of them are false, and their share."""
    risen = [
        (place, f"t{trend.track:04}", False)
        for place, parts in world.atlas.members.items()
        for trend in world.trends
        if f"r{trend.region:02}" in parts
    ]
    right = pl.DataFrame(risen, {"place": pl.String, "track_id": pl.String, "false": pl.Boolean}, orient="row").unique()
    judged = lines.filter(chart=charts.RISING).join(right, on=["place", "track_id"], how="left")
    named = judged.group_by("night").agg(lines=pl.len(), false=pl.col("false").fill_null(value=True).sum())
    nights = pl.DataFrame({"night": range(ONSET, NIGHTS)}, {"night": named.schema["night"]})
    share = (pl.col("false") / pl.col("lines")).fill_null(0.0).alias("share")
    return nights.join(named, on="night", how="left").with_columns(share, pl.col("lines", "false").fill_null(0))


def print_false(named: Sequence[pl.DataFrame]) -> None:
    """Print the false discovery rate, with its standard error over worlds, and the share of all lines."""
    rates = np.array([nights["share"].mean() for nights in named], dtype=float)
    lines, false = (sum(nights[column].sum() for nights in named) for column in ("lines", "false"))
    error = rates.std(ddof=1) / np.sqrt(len(rates)) if len(rates) > 1 else np.nan
    print(f"\nfalse discovery rate of a night {rates.mean():.3f} ± {error:.3f}; of all {lines} lines {false} are false")


def print_trends(worlds: Sequence[World], random: np.random.Generator) -> None:
    """Print how soon planted trends are found, and what the local charts hold of them."""
    rising, late, local, graded, named = [], [], [], [], []
    for world in worlds:
        releases = Releases(world, privacy=SETTINGS.privacy, random=random)
        every = [releases.lines(night) for night in range(ONSET, NIGHTS)]
        both = pl.concat(region_lines(every[-1], chart) for chart in (charts.RISING, charts.LOCAL))
        graded.append(with_trends(with_grade_truth(both, world), world))
        nights = [lines.filter(pl.col("grade").fill_null(SURELY) == SURELY) for lines in every]
        named.append(named_by_night(pl.concat(nights), world))
        found = with_trends(region_lines(pl.concat(nights), charts.RISING), world)
        rising.append(with_rising_truth(found, world))
        late.append(delays(found, world))
        local.append(with_local_truth(with_trends(region_lines(nights[-1], charts.LOCAL), world), world))
    by = ["size", "gain"]
    trends, lines = pl.concat(late), pl.concat(rising)
    shown(
        "rising charts: planted trends",
        found_by(trends, by).join(quality_of(lines, by), on=by, how="full", coalesce=True),
    )
    print_false(named)
    shown("the same by shape", found_by(trends, ["size", "gain", "shape"]))
    shown("the same by kind", found_by(trends, ["size", "gain", "kind"]))
    places = pl.concat(local)
    truth = pl.col("local").mean().alias("truly local"), pl.len().alias("lines")
    shown("local charts on the seventh night", coverage(places, ["size"], *truth))
    held = places.filter("planted").group_by(by).len("held").join(trends.group_by(by).len("trends"), on=by, how="right")
    show_grades("grades on the seventh night: more than was to be expected, and planted", graded, "chart", "grade")
    shown(
        "planted trends in local charts",
        held.select(*by, "trends", (pl.col("held").fill_null(0) / pl.col("trends")).alias("recall")),
    )


def show_grades(title: str, graded: Sequence[pl.DataFrame], *by_what: str) -> None:
    """Print by grade how many lines there are, and what of them is as it is said."""
    by = pl.concat(graded).group_by(*by_what, "size")
    shown(title, by.agg(pl.len().alias("lines"), pl.col("holds", "planted").mean()))


def found_by(trends: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Return recall and delay of trends."""
    soon = [(pl.col("delay") <= night).mean().alias(f"night {night}") for night in (1, 2, 3, 4, 6)]
    return trends.group_by(by).agg(
        pl.len().alias("trends"),
        pl.col("delay").is_finite().mean().alias("recall"),
        *soon,
        pl.col("delay").median().alias("delay"),
    )


def quality_of(lines: pl.DataFrame, by: list[str]) -> pl.DataFrame:
    """Return precision and coverage of lines."""
    return coverage(lines, by, pl.col("planted").mean().alias("precision"), pl.len().alias("lines"))


def coverage(lines: pl.DataFrame, by: list[str], *more: pl.Expr) -> pl.DataFrame:
    """Return how many intervals hold the truth, beside more."""
    return lines.group_by(by).agg(*more, pl.col("listeners_held", "lift_held").mean())


def print_nothing(kinds: dict[str, list[World]], chart: str, random: np.random.Generator) -> None:
    """Print how much is found where there is nothing."""
    rows, graded = [], []
    for name, worlds in kinds.items():
        for world in worlds:
            lines = Releases(world, privacy=SETTINGS.privacy, random=random).lines(NIGHTS - 1)
            found = lines.filter(chart=chart, grade=SURELY).group_by("place").len("lines")
            some = with_trends(with_grade_truth(region_lines(lines, chart), world), world)
            graded.append(some.with_columns(pl.lit(name).alias("world")))
            places = pl.DataFrame({"place": list(world.atlas.members)}).join(found, on="place", how="left")
            rows.append(places.with_columns(pl.lit(name).alias("world"), pl.col("lines").fill_null(0)))
    false = (pl.col("lines") > 0).mean().alias("places with any line"), pl.col("lines").mean().alias("lines a place")
    shown(
        f"{chart} charts where there is nothing",
        pl.concat(rows).group_by("world").agg(pl.len().alias("places"), *false),
    )
    show_grades(f"grades of {chart} charts there", graded, "world", "grade")


def print_sample(folder: Path, *, step: int = 3) -> None:
    """Print what the rising charts of the sample's released nights are made of, and which planted trends they found.

    A line is a planted trend if one has begun in its country (for the world: anywhere); other lines may be right, too:
    tracks of the sample drift, and new ones appear. Charts are drawn of every ``step``-th night.
    """
    settings, releases = load_settings(SAMPLE / "settings.toml"), Workspace(folder).releases
    atlas, reader = load_atlas(settings.atlas), ReleaseReader(releases)
    nights = reader.nights()
    songs = pl.read_parquet(SAMPLE / "catalogue.parquet").drop_nulls("released")
    born = dict(songs.select("track_id", "released").iter_rows())
    drawn = []
    for last in range(len(nights), 2 * 7, -step):
        found = charts.draw(reader.read, nights[:last], atlas=atlas, born=born, settings=settings.charts).lines
        drawn.append(found.filter(chart=charts.RISING, grade=SURELY).with_columns(pl.lit(nights[last - 1]).alias("of")))
    lines = pl.concat(drawn).with_columns(
        level=pl.col("place").map_elements(lambda place: atlas.places[place].level, return_dtype=pl.String),
        country=pl.col("place").map_elements(
            lambda place: atlas.places[place].country or WORLD, return_dtype=pl.String
        ),
    )
    trends = pl.read_parquet(SAMPLE / "truth" / "trends.parquet").with_columns(
        country=pl.col("place").map_elements(lambda place: atlas.places[place].country or WORLD, return_dtype=pl.String)
    )
    everywhere = pl.concat([trends, trends.with_columns(country=pl.lit(WORLD))])
    begun = everywhere.group_by("trend", "kind", "track_id", "country").agg(pl.col("start").min(), pl.col("peak").max())
    judged = lines.join(begun, on=["track_id", "country"], how="left", suffix="_of_trend")
    tracks = pl.read_parquet(SAMPLE / "truth" / "tracks.parquet").select("track_id", "drift", "nights_before_first")
    judged = judged.join(tracks, on="track_id").with_columns(
        what=pl.when(pl.col("start") <= pl.col("of")).then(pl.lit("planted"))
        .when((pl.col("drift") > 0) | (pl.col("nights_before_first") < 7)).then(pl.lit("drifting or new"))
        .otherwise(pl.lit("other"))
    )  # fmt: skip
    shares = [(pl.col("what") == what).mean().alias(what) for what in ("planted", "drifting or new", "other")]
    shown(
        f"sample, {len(drawn)} nights: lines of rising charts",
        judged.group_by("level").agg(pl.len().alias("lines"), *shares),
    )
    first = (
        judged.filter(pl.col("what") == "planted").group_by("trend", "country").agg(pl.col("of").min().alias("found"))
    )
    table = begun.join(first, on=["trend", "country"], how="left")
    after = (pl.col("found") - pl.col("start")).dt.total_days() + 1
    recall = (
        pl.len().alias("trends"),
        pl.col("found").is_not_null().mean().alias("recall"),
        after.median().alias("nights"),
    )
    shown("sample: trends by kind, found anywhere in the country", table.group_by("kind").agg(*recall))


def shown(title: str, table: pl.DataFrame) -> None:
    """Print a table as markdown."""
    print(f"\n{title}")
    with pl.Config(
        tbl_formatting="MARKDOWN", tbl_rows=100, tbl_cols=20, tbl_width_chars=200, float_precision=3
    ) as config:
        config.set_tbl_hide_dataframe_shape().set_tbl_hide_column_data_types()
        print(table.sort(table.columns[:3]))


def main() -> None:
    """Read the arguments and print everything."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("worlds", type=int, nargs="?", default=4)
    arguments.add_argument("--seed", type=int, default=20261)
    arguments.add_argument("--sizes", type=int, nargs=3, default=SIZES, help="of regions")
    arguments.add_argument("--gains", type=float, nargs=3, default=GAINS, help="of trends")
    arguments.add_argument("--workspace", type=Path)
    given = arguments.parse_args()
    print(f"seed {given.seed}, {given.worlds} worlds")
    random = np.random.default_rng(given.seed)
    start = time.perf_counter()

    def draw(kind: Kind) -> list[World]:
        return [simulate(kind, number=number, random=random) for number in range(given.worlds)]

    sized = Kind(sizes=tuple(given.sizes), gains=tuple(given.gains))
    print_trends(draw(sized), random)
    nothing = {
        "weekdays and growth": replace(sized, trends=False),
        "and wandering tracks": replace(sized, trends=False, wander=0.03),
    }
    print_nothing({name: draw(kind) for name, kind in nothing.items()}, charts.RISING, random)
    alike = {"the same taste everywhere": draw(replace(sized, country=0, region=0, trends=False))}
    print_nothing(alike, charts.LOCAL, random)
    if given.workspace:
        print_sample(given.workspace)
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
