"""PRECISE: read one night's listens, check every row, and set bad rows aside with a reason.

The days of a folder of ``date=YYYY-MM-DD/`` partitions are the partitions' names: every row of a partition belongs to
its night, and a row of another day is bad. In flat input (a file, or a folder of files) a row belongs to the UTC day of
its ``played_at``. A row without such a day (its time is missing, unparsable or in the future) is counted with the
**last night of the input that is over**; where there is none, with yesterday. So every row is counted exactly once.
Since such rows come from many nights, they are judged as a share of all rows of the input.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from pathlib import Path

import polars as pl
import polars_h3

from recsys.arrivals import input_tables
from recsys.arrivals.input_tables import Counts, Kind, TableFile
from recsys.errors import InputError
from recsys.schemas import Listens, at_border

_TABLE = input_tables.Table(
    required={"user_id": Kind.TEXT, "track_id": Kind.TEXT, "played_at": Kind.INSTANT},
    optional={
        "latitude": Kind.NUMBER,
        "longitude": Kind.NUMBER,
        "cell": Kind.TEXT,
        "ms_played": Kind.NUMBER,
    },
)
_PARTITION = "date="


@dataclass(frozen=True)
class CheckedNight:
    """The rows of one night, each with the reason why it is bad or null where it is good; nothing is read yet.

    Parameters
    ----------
    night : date
        The UTC day.
    source : Path
        Where the rows come from, for messages.
    rows : polars.LazyFrame
        The columns of :class:`recsys.schemas.Listens` and ``reason``.
    rows_of_input : int or None
        All rows of a flat input; None where the input has partitions.
    """

    night: date
    source: Path
    rows: pl.LazyFrame
    rows_of_input: int | None = None

    @property
    def listens(self) -> pl.LazyFrame:
        """The good rows: a lazy frame of schema :class:`recsys.schemas.Listens`."""
        good = self.rows.filter(pl.col("reason").is_null()).drop("reason")
        return at_border(good.with_columns(pl.col("ms_played").cast(pl.Int64)), Listens)

    def counts(self) -> Counts:
        """Count rows, good rows and bad rows by reason in one streaming pass.

        Raises
        ------
        InputError
            If a file turns out to be damaged.
        """
        counts = input_tables.count(self.rows, what=f"listens of {self.night} in {self.source}", source=self.source)
        return replace(counts, rows_of_input=self.rows_of_input)


def nights(source: Path, *, now: datetime) -> dict[date, int]:
    """Return how many rows each night of the input has; the values add up to the rows of the input.

    Parameters
    ----------
    source : Path
        A file, a folder of files, or a folder of ``date=YYYY-MM-DD/`` partitions.
    now : datetime
        With a time zone; later rows have no night of their own (see the top of the module).

    Returns
    -------
    dict of date to int
        In the order of time; an empty partition has 0.

    Raises
    ------
    InputError
        If there is no input, or it cannot be read, or its columns do not fit.
    """
    partitions = _partitions(source)
    if partitions:
        return {
            night: sum(_rows(file) for file in input_tables.files_of(folder)) for night, folder in partitions.items()
        }
    return _nights_of(source, _flat_files(source), now=now)


def files_of_night(source: Path, night: date, *, now: datetime) -> dict[str, int]:
    """Return how many rows of a night each file has, by the file's name; parameters and errors as of :func:`nights`."""
    partitions = _partitions(source)
    if partitions:
        folder = partitions.get(night)
        return {file.path.name: _rows(file) for file in input_tables.files_of(folder)} if folder else {}
    return {file.path.name: rows for file in _flat_files(source) if (rows := _tally(file, now=now).get(night, 0))}


def read_night(source: Path, night: date, *, catalogue: pl.DataFrame, now: datetime) -> CheckedNight:
    """Find one night's rows and how each of them is to be checked, without reading them yet.

    Parameters
    ----------
    source : Path
        As for :func:`nights`.
    night : date
        The UTC day.
    catalogue : polars.DataFrame
        Schema :class:`recsys.schemas.Catalogue`; a track that is not in it makes a row bad.
    now : datetime
        With a time zone; a later ``played_at`` makes a row bad.

    Returns
    -------
    CheckedNight
        Streams: its memory grows neither with the night's rows nor with the number of nights.

    Raises
    ------
    InputError
        If there is no input, or it cannot be read, or its columns do not fit.
    """
    partitions = _partitions(source)
    rows = _partition(partitions.get(night)) if partitions else _flat(source, night, now=now)
    known = catalogue.lazy().select("track_id", known=True)
    checked = rows.join(known, on="track_id", how="left", build_side="force_right")
    checked = checked.with_columns(_reason(night, now=now).alias("reason")).drop("known")
    return CheckedNight(night, source, checked, None if partitions else sum(nights(source, now=now).values()))


def check_share(counts: Counts, *, max_bad_share: float) -> Counts:
    """Return the counts of a night that may go on.

    Raises
    ------
    InputError
        If there is no row, no good row, or more than ``max_bad_share`` (0 to 1) of the rows is bad; the message lists
        the bad rows by reason.
    """
    counts.within(max_bad_share)
    if counts.good == 0:
        raise InputError(
            f"{counts.what}: no good row among {counts.rows} (bad rows: {counts.by_reason})",
            hint="Deliver the night's listens and run again.",
        )
    return counts


def _partitions(source: Path) -> dict[date, Path]:
    """List the ``date=`` folders of a source in the order of time; none where the input is flat."""
    if not source.is_dir():
        return {}
    folders = [path for path in source.iterdir() if path.is_dir() and path.name.startswith(_PARTITION)]
    if folders and any(path.is_file() and not path.name.startswith((".", "_")) for path in source.iterdir()):
        raise InputError(f"{source} mixes date= partitions and loose files", hint="Put every file into its partition.")
    return dict(sorted((_day_of(folder), folder) for folder in folders))


def _day_of(folder: Path) -> date:
    try:
        return datetime.strptime(folder.name, f"{_PARTITION}%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise InputError(f"{folder} names no day", hint="A partition is named date=YYYY-MM-DD.") from None


def _flat_files(source: Path) -> tuple[TableFile, ...]:
    files = input_tables.files_of(source)
    if not files:
        raise InputError(f"{source} holds no file", hint="Check the path, and whether the delivery arrived.")
    return files


def _partition(folder: Path | None) -> pl.LazyFrame:
    files = input_tables.files_of(folder) if folder else ()
    return _together([input_tables.parse(_scan(file), table=_TABLE) for file in files])


def _flat(source: Path, night: date, *, now: datetime) -> pl.LazyFrame:
    files = _flat_files(source)
    found = _nights_of(source, files, now=now)
    last = night == _last_over(found, now=now)
    wanted = {night, None} if last else {night}
    held = [file for file in files if night in found and wanted & _tally(file, now=now).keys()]
    return _together([_of_night(_scan(file), night, last=last, now=now) for file in held])


def _of_night(rows: pl.LazyFrame, night: date, *, last: bool, now: datetime) -> pl.LazyFrame:
    """Keep a night's rows: first by the file's own type, whose statistics then decide what is read, then exactly."""
    dtype = rows.collect_schema()["played_at"]
    if isinstance(dtype, pl.Datetime):
        candidates = _inside(night, dtype=dtype)
        rows = rows.filter(candidates | _dayless(now, dtype=dtype) if last else candidates)
    own = (
        pl.when(_dayless(now, dtype=input_tables.INSTANT))
        .then(last)
        .otherwise(_inside(night, dtype=input_tables.INSTANT))
    )
    return input_tables.parse(rows, table=_TABLE).filter(own)


def _inside(night: date, *, dtype: pl.DataType) -> pl.Expr:
    start = datetime.combine(night, time(), UTC)
    since, until = (input_tables.literal(instant, dtype=dtype) for instant in (start, start + timedelta(days=1)))
    return (pl.col("played_at") >= since) & (pl.col("played_at") < until)


def _dayless(now: datetime, *, dtype: pl.DataType) -> pl.Expr:
    return pl.col("played_at").is_null() | (pl.col("played_at") > input_tables.literal(now, dtype=dtype))


def _nights_of(source: Path, files: tuple[TableFile, ...], *, now: datetime) -> dict[date, int]:
    found: dict[date | None, int] = {}
    for file in files:
        for night, rows in _tally(file, now=now).items():
            found[night] = found.get(night, 0) + rows
    if not found:
        raise InputError(f"{source} holds no row", hint="Deliver the listens and run again.")
    without_day = found.pop(None, 0)
    days = {night: rows for night, rows in found.items() if night is not None}
    if without_day:
        last = _last_over(days, now=now)
        days[last] = days.get(last, 0) + without_day
    return dict(sorted(days.items()))


def _last_over(days: Iterable[date], *, now: datetime) -> date:
    """Return the last of the days that is over, or yesterday."""
    today = now.astimezone(UTC).date()
    return max((day for day in days if day < today), default=today - timedelta(days=1))


@lru_cache(maxsize=4096)  # a catch-up asks once for every night of a flat input
def _tally(file: TableFile, *, now: datetime) -> dict[date | None, int]:
    """Count a file's rows by day; None stands for the rows without a day."""
    played = input_tables.parse(_scan(file), table=_TABLE).select("played_at")
    day = pl.when(~_dayless(now, dtype=input_tables.INSTANT)).then(pl.col("played_at").dt.date())
    with input_tables.reading(file.path):
        return dict(played.group_by(day=day).len().collect(engine="streaming").iter_rows())


def _rows(file: TableFile) -> int:
    with input_tables.reading(file.path):
        return int(_scan(file).select(pl.len()).collect(engine="streaming").item())


def _scan(file: TableFile) -> pl.LazyFrame:
    rows = input_tables.scan(file, table=_TABLE)
    if ("latitude" in input_tables.columns_of(file)) != ("longitude" in input_tables.columns_of(file)):
        raise InputError(
            f"{file.path} has one of latitude and longitude", hint="A position is both, or a cell, or neither."
        )
    return rows


def _together(parts: list[pl.LazyFrame]) -> pl.LazyFrame:
    return pl.concat(parts) if parts else input_tables.empty(_TABLE)


def _reason(night: date, *, now: datetime) -> pl.Expr:
    """Return the first reason that applies to a row, or null."""
    return pl.coalesce(pl.when(bad).then(pl.lit(reason)) for reason, bad in _checks(night, now=now).items())


def _checks(night: date, *, now: datetime) -> dict[str, pl.Expr]:
    """Return what makes a row bad, by reason.

    H3 wraps coordinates that are out of range into valid cells silently, so the range is checked here.
    """
    col = pl.col
    return {
        "missing_user": col("user_id").is_null(),
        "missing_track": col("track_id").is_null(),
        "unparsable_time": col("played_at").is_null(),
        "future_time": col("played_at") > now,
        "wrong_day": col("played_at").dt.date() != night,
        "unknown_track": col("known").is_null(),
        "position_not_a_number": _not_numbers(),
        "latitude_out_of_range": col("latitude").abs() > 90,
        "longitude_out_of_range": col("longitude").abs() > 180,
        "malformed_cell": col("cell").is_not_null() & ~polars_h3.is_valid_cell(polars_h3.str_to_int("cell")),
        "unparsable_ms_played": ~col("ms_played").is_finite(),
        "negative_ms_played": col("ms_played") < 0,
    }


def _not_numbers() -> pl.Expr:
    """Tell whether a position is only half there, or NaN or infinite (as which text is read, too)."""
    latitude, longitude = pl.col("latitude"), pl.col("longitude")
    return (latitude.is_null() != longitude.is_null()) | ~latitude.is_finite() | ~longitude.is_finite()


REASONS = tuple(_checks(date.min, now=datetime.min))
"""Why a row may be bad, in the order in which the reasons are tried."""
