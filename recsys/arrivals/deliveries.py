"""PRECISE in, numbers out: what came for one night, counted for the judgement whether that is all of it.

Who and where is looked at only as far as it is allowed: countries are those of listeners who may be placed, after
coarsening. Of a large night, listeners and rows are sampled by hash, so that memory does not grow with it.
"""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from typing import NamedTuple

import polars as pl

from recsys.arrivals import input_tables
from recsys.arrivals.coarsening import coarsen
from recsys.arrivals.listens import CheckedNight, Part
from recsys.arrivals.permission import Permissions, keep_allowed
from recsys.geography.atlas import REMAINDER, Atlas

BUCKETS = 64  # of a sketch

_SAMPLED = 250_000  # rows at most, about, of which listeners, places and repetitions are counted
_HOURS = 4  # of a block of the day: in longer ones half a night hides, in shorter ones summer time does
_NAMED = 30  # kinds of files at most
_OTHERS = ""  # kinds beyond these, of which nothing is said
_NOBODY = pl.DataFrame(schema={"listener": pl.String, "cell": pl.UInt64})
_FAR_BETTER = 2  # times as many in regions: real listens of no country have more than 1.6 by being exchanged
_VARYING = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|[0-9a-f]*[0-9][0-9a-f]*")  # UUIDs, dates, numbers


@dataclass(frozen=True)
class Delivery:
    """The numbers of one night: true ones, for the private store.

    Parameters
    ----------
    rows, positioned : int
        Good rows, and those of them with a position or a cell.
    listeners : int
        Distinct users; of a large night extrapolated from a sample.
    repeated : float
        Share of rows, 0 to 1, whose user, track and time another row of the night has, too.
    times : int
        Distinct times of day, in a sample.
    by_hours : mapping of str to int
        Rows by hours of the day (UTC).
    sketch : tuple of int
        Which rows the night has, whatever their order and date: of each of 64 buckets of rows eight bits of the least
        keyed hash of user, track and time of day; -1 for an empty one. The share of equal ones estimates which share
        of all rows two nights have in common, and tells of no row whether it is there.
    consenting : int or None
        Listeners who allow any use of any of their listens; None where consents were not looked at.
    by_country : mapping of country to int
        Those of them who may be placed.
    by_source : mapping of str to int
        Rows by kind of file.
    swapped : sequence of str
        Kinds of files whose positions would lie far better with latitude and longitude exchanged.

    References
    ----------
    P. Li and A. C. König, "b-Bit Minwise Hashing" (WWW 2010); P. Li et al., "One Permutation Hashing" (NIPS 2012).
    """

    rows: int
    positioned: int
    listeners: int
    repeated: float
    times: int
    by_hours: Mapping[str, int]
    sketch: tuple[int, ...]
    consenting: int | None = None
    by_country: Mapping[str, int] = field(default_factory=dict)
    by_source: Mapping[str, int] = field(default_factory=dict)
    swapped: Sequence[str] = ()


@dataclass(frozen=True)
class Placing:
    """What is needed to tell who allows what, and to find the country of whom may be placed.

    Parameters
    ----------
    permissions : Permissions
    key : bytes
        Turns user ids into listeners.
    atlas : Atlas
    countries : mapping of part to country
        From :func:`recsys.geography.atlas.countries`.
    """

    permissions: Permissions
    key: bytes
    atlas: Atlas
    countries: Mapping[str, str]


def measure(
    checked: CheckedNight, *, rows: int, files: Mapping[str, int], placing: Placing | None, seed: int, least: int
) -> Delivery:
    """Count what came for a night; its rows are read three times, as a stream.

    Parameters
    ----------
    checked : CheckedNight
    rows : int
        About how many rows it has: decides which share of them is sampled.
    files : mapping of name to int
        Rows of the night by file (:func:`recsys.arrivals.listens.files_of_night`).
    placing : Placing or None
        None where consents are not to be looked at.
    seed : int
        Secret, 64 bits: keys every hash.
    least : int
        Of the places of fewer listeners nothing is told.

    Raises
    ------
    InputError
        If a file turns out to be damaged.
    """
    one_of, by_source = -(-max(rows, 1) // _SAMPLED), _by_kind(files)
    with input_tables.reading(*checked.files):
        counted = _counted(checked.listens, night=checked.night, one_of=one_of, seed=seed)
        if placing:
            seen = dict(_seen_by_kind(checked, placing, kinds=by_source, one_of=one_of, seed=seed))
            counted = _placed(counted, [each.all for each in seen.values()], placing, one_of=one_of)
            swapped = _swapped(seen, placing.atlas, least=least)
            counted = replace(counted, swapped=tuple(swapped))
    return replace(counted, by_source=by_source)


def kind_of(name: str) -> str:
    """Return which kind of file a name is of: that of every night, without numbers, dates and digests."""
    stem, dot, suffix = name.partition(".")
    return re.sub(r"[^\w.-]", "", _VARYING.sub("", stem).strip("-_=") + dot + suffix)


def _counted(listens: pl.LazyFrame, *, night: date, one_of: int, seed: int) -> Delivery:
    """Count what needs no permission, all in one pass."""
    since = pl.lit(datetime.combine(night, time())).dt.replace_time_zone("UTC")
    told = listens.select(
        who=pl.col("user_id").hash(seed),
        at=pl.col("played_at") - since,
        row=pl.struct("user_id", "track_id", at=pl.col("played_at") - since).hash(seed),
        hours=pl.col("played_at").dt.hour() // _HOURS * _HOURS,
        positioned=pl.col("cell").is_not_null() | pl.col("latitude").is_not_null(),
    )
    some = told.filter(pl.col("row") // BUCKETS % one_of == 0)
    hours, listeners, copies, times, least = pl.collect_all(
        [
            told.group_by("hours").agg(rows=pl.len(), positioned=pl.col("positioned").sum()),
            told.filter(pl.col("who") % one_of == 0).group_by("who").agg().select(pl.len()),
            some.group_by("row").agg(rows=pl.len()).select(pl.col("rows").sum(), distinct=pl.len()),
            some.group_by("at").agg().select(pl.len()),
            told.group_by(bucket=pl.col("row") % BUCKETS).agg(least=pl.col("row").min() // BUCKETS % 256),
        ],
        engine="streaming",
    )
    sampled, distinct = copies.row(0)
    buckets = dict(least.iter_rows())
    return Delivery(
        rows=int(hours["rows"].sum()),
        positioned=int(hours["positioned"].sum()),
        listeners=int(listeners.item()) * one_of,
        repeated=1 - distinct / sampled if sampled else 0.0,
        times=int(times.item()),
        by_hours={f"{hour:02}-{hour + _HOURS:02}": rows for hour, rows, _ in hours.sort("hours").iter_rows()},
        sketch=tuple(int(buckets.get(bucket, -1)) for bucket in range(BUCKETS)),
    )


class _Seen(NamedTuple):
    """Listeners of a sample who allow any use, and the cells in which they played: distinct pairs of both.

    Parameters
    ----------
    all : polars.DataFrame
        Whatever they played; where no place may be used the cell is null.
    as_is, exchanged : polars.DataFrame
        What came with a position, by that position, and with latitude and longitude exchanged where that is possible.
    """

    all: pl.DataFrame
    as_is: pl.DataFrame
    exchanged: pl.DataFrame


def _placed(counted: Delivery, seen: Iterable[pl.DataFrame], placing: Placing, *, one_of: int) -> Delivery:
    """Count the listeners who allow any use, and by country those who may be placed."""
    every = pl.concat([_NOBODY, *seen]).unique()
    located = placing.atlas.locate(every.drop_nulls("cell").lazy()).collect()
    country = pl.col("part").replace_strict(placing.countries, default=None, return_dtype=pl.String)
    by_country = located.with_columns(country=country).drop_nulls("country").group_by("country")
    found = by_country.agg(pl.col("listener").n_unique()).sort("country")
    return replace(
        counted,
        consenting=every["listener"].n_unique() * one_of,
        by_country={name: count * one_of for name, count in found.iter_rows()},
    )


def _swapped(seen: Mapping[str, _Seen], atlas: Atlas, *, least: int) -> Iterator[str]:
    """Yield the kinds of files that have far more listeners where people live if latitude and longitude are exchanged.

    Of one row that tells nothing, as anybody may be anywhere; of many it does, because most of the world is empty.
    """
    for kind in sorted(seen.keys() - {_OTHERS}):
        as_is, exchanged = (_in_regions(each, atlas) for each in (seen[kind].as_is, seen[kind].exchanged))
        if exchanged >= max(least, _FAR_BETTER * as_is):
            yield kind


def _both_ways(allowed: pl.LazyFrame) -> tuple[pl.LazyFrame, pl.LazyFrame]:
    """Return the listens that came with a position, and those of them that can have the exchanged one."""
    positioned = allowed.filter(pl.col("cell").is_null(), pl.col("latitude").is_not_null())
    possible = positioned.filter(pl.col("longitude").abs() <= 90)
    return positioned, possible.with_columns(latitude="longitude", longitude="latitude")


def _in_regions(seen: pl.DataFrame, atlas: Atlas) -> int:
    """Count listeners in regions of the service area; where charts end at countries, in countries.

    Each once, however many cells they played in: one traveller is no sign of what a kind of file does.
    """
    located = atlas.locate(seen.drop_nulls("cell").lazy()).drop_nulls("part")
    if atlas.settings.finest == "region":
        located = located.filter(~pl.col("part").str.ends_with(REMAINDER))
    return int(located.select(pl.col("listener").n_unique()).collect().item())


def _seen_by_kind(
    checked: CheckedNight, placing: Placing, *, kinds: Collection[str], one_of: int, seed: int
) -> Iterator[tuple[str, _Seen]]:
    """Yield by kind of file where its listeners were seen: each kind is read by itself, as a stream."""
    parts: dict[str, list[Part]] = {}
    for part in checked.parts:
        kind = kind_of(part.file.path.name)
        parts.setdefault(kind if kind in kinds else _OTHERS, []).append(part)
    for kind in sorted(parts):
        yield kind, _seen(replace(checked, parts=parts[kind]), placing, one_of=one_of, seed=seed)


def _seen(checked: CheckedNight, placing: Placing, *, one_of: int, seed: int) -> _Seen:
    some = checked.listens.filter(pl.col("user_id").hash(seed) % one_of == 0)
    allowed = keep_allowed(some, permissions=placing.permissions, key=placing.key)
    coarse = (_coarse(rows, checked.night, placing) for rows in (allowed, *_both_ways(allowed)))
    distinct = [rows.select("listener", "cell").unique() for rows in coarse]
    return _Seen(*pl.collect_all(distinct, engine="streaming"))


def _coarse(allowed: pl.LazyFrame, night: date, placing: Placing) -> pl.LazyFrame:
    return coarsen(allowed, night=night, resolution=placing.atlas.settings.finest_resolution)


def _by_kind(files: Mapping[str, int]) -> dict[str, int]:
    kinds = Counter[str]()
    for name, rows in files.items():
        kinds[kind_of(name)] += rows
    return dict(kinds.most_common(_NAMED))
