"""PRECISE: read one night's listens, check every row, and set bad rows aside with a reason.

The days of a folder of ``date=YYYY-MM-DD/`` partitions are the partitions' names: every row of a partition belongs to
its night, and a row of another day is bad. In flat input (a file, or a folder of files) a row belongs to the UTC day of
its ``played_at``. A row without such a day (its time is missing, unparsable, in the future, older than any play can
be, or so far from all others that it is no night of theirs) is counted with the **last night of the input that is
over**; where there is none, with its first. So every row is counted exactly once. Since such rows come from many
nights, they are judged as a share of all rows of the input.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache, partial
from itertools import pairwise

import polars as pl

from recsys.arrivals import input_tables
from recsys.arrivals.input_tables import Counts, TableFile
from recsys.arrivals.parsing import EARLIEST, FAULT, FAULTS, INSTANT, Kind, is_float, literal, parse, position_faults
from recsys.errors import InputError
from recsys.locations import Location, place
from recsys.printable import given
from recsys.schemas import Listens, at_border

_TABLE = input_tables.Table(
    required={"user_id": Kind.TEXT, "track_id": Kind.TEXT, "played_at": Kind.INSTANT},
    optional={
        "latitude": Kind.NUMBER,
        "longitude": Kind.NUMBER,
        "cell": Kind.CELL,
        "ms_played": Kind.NUMBER,
    },
)
_PARTITION = "date="
_FAR = timedelta(days=92)
_FEW = 0.01  # share of an input's rows: fewer, and far before all others, are no nights of it


@dataclass(frozen=True)
class _Days:
    """The nights of a flat input.

    Parameters
    ----------
    rows : mapping of date to int
        In the order of time; the rows without a day are with ``last``.
    begin : date
        What is before has no day.
    last : date
        The night with which the rows without a day are counted.
    """

    rows: Mapping[date, int]
    begin: date
    last: date


@dataclass(frozen=True)
class Part:
    """What one file has of a night.

    Parameters
    ----------
    file : TableFile
        By its absolute path.
    rows : polars.LazyFrame
        Parsed, not checked; nothing is read yet.
    """

    file: TableFile
    rows: pl.LazyFrame


@dataclass(frozen=True)
class CheckedNight:
    """The rows of one night, each with the reason why it is bad or null where it is good; nothing is read yet.

    Parameters
    ----------
    night : date
        The UTC day.
    source : Location
        Where the rows come from, for messages.
    parts : sequence of Part
        The parsed rows, file by file.
    check : callable
        Gives parsed rows their ``reason``.
    files : sequence of TableFile
        Where they stand; of a flat input all, also those without a row of the night.
    rows_of_input : int or None
        All rows of a flat input; None where the input has partitions.
    """

    night: date
    source: Location
    parts: Sequence[Part]
    check: Callable[[pl.LazyFrame], pl.LazyFrame]
    files: Sequence[TableFile] = ()
    rows_of_input: int | None = None

    @property
    def rows(self) -> pl.LazyFrame:
        """All rows: the columns of :class:`recsys.schemas.Listens`, ``reason`` and ``at_row``."""
        return self.check(_together(self.parts))

    @property
    def listens(self) -> pl.LazyFrame:
        """The good rows: a lazy frame of schema :class:`recsys.schemas.Listens`."""
        good = self.rows.filter(pl.col("reason").is_null()).drop("reason", input_tables.AT)
        return at_border(good.with_columns(pl.col("ms_played").cast(pl.Int64)), Listens)

    def counts(self) -> Counts:
        """Count rows, good rows and bad rows by reason in one streaming pass.

        Raises
        ------
        InputError
            If a file turns out to be damaged.
        NotReadyError
            If a file changed meanwhile.
        """
        what = f"listens of {self.night} in {given(self.source)}"
        return replace(input_tables.count(self.rows, what=what, files=self.files), rows_of_input=self.rows_of_input)

    @contextmanager
    def unchanged(self) -> Iterator[None]:
        """Raise a NotReadyError (exit 75) at the end of a block, however it ends, where a file is not as it was found.

        What was read of it may be half of it, and the rows that were counted others than those that were taken.
        """
        try:
            yield
        finally:
            for file in self.files:
                file.confirm_unchanged()


def nights(source: Location, *, now: datetime) -> dict[date, int]:
    """Return how many rows each night of the input has; the values add up to the rows of the input.

    Parameters
    ----------
    source : Location
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
    return dict(_days(source, _flat_files(source), now=now).rows)


def files_of_night(source: Location, night: date, *, now: datetime) -> dict[str, int]:
    """Return how many rows of a night each file has, by the file's name; parameters and errors as of :func:`nights`."""
    partitions = _partitions(source)
    if partitions:
        folder = partitions.get(night)
        return {file.path.name: _rows(file) for file in input_tables.files_of(folder)} if folder else {}
    return {file.path.name: rows for file in _flat_files(source) if (rows := _tally(file, now=now).get(night, 0))}


def read_night(source: Location, night: date, *, catalogue: pl.DataFrame, now: datetime) -> CheckedNight:
    """Find one night's rows and how each of them is to be checked, without reading them yet.

    Parameters
    ----------
    source : Location
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
    if partitions:
        files = input_tables.files_of(partitions[night]) if night in partitions else ()
        parts, begin, of_input = _partition(files), EARLIEST.date(), None
    else:
        files = _flat_files(source)
        days = _days(source, files, now=now)
        parts, begin, of_input = _flat(files, night, days=days, now=now), days.begin, sum(days.rows.values())
    check = partial(_checked, known=catalogue.select("track_id", known=True), night=night, now=now, begin=begin)
    return CheckedNight(night, source, parts, check, files, of_input)


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
            hint=f"Deliver the night's listens and run again. {counts.hint}",
        )
    return counts


def _partitions(source: Location) -> dict[date, Location]:
    """List the ``date=`` folders of a source in the order of time; none where the input is flat."""
    if not source.is_dir():
        return {}
    folders = [path for path in source.iterdir() if path.is_dir() and path.name.startswith(_PARTITION)]
    if folders and any(path.is_file() and not path.name.startswith((".", "_")) for path in source.iterdir()):
        raise InputError(
            f"{given(source)} mixes date= partitions and loose files", hint="Put every file into its partition."
        )
    return dict(sorted((_day_of(folder, source=source), folder) for folder in folders))


def _day_of(folder: Location, *, source: Location) -> date:
    try:
        return datetime.strptime(folder.name, f"{_PARTITION}%Y-%m-%d").replace(tzinfo=UTC).date()
    except ValueError:
        raise InputError(
            f"{place(folder, source=source)} names no day", hint="A partition is named date=YYYY-MM-DD."
        ) from None


def _flat_files(source: Location) -> tuple[TableFile, ...]:
    files = input_tables.files_of(source)
    if not files:
        raise InputError(f"{given(source)} holds no file", hint="Check the path, and whether the delivery arrived.")
    return files


def reasons() -> tuple[str, ...]:
    """Return why a row may be bad, in the order in which the reasons are tried."""
    return (*FAULTS, *_checks(date.min, now=datetime.min, begin=date.min))  # not at import: it starts Polars' threads


def _checked(rows: pl.LazyFrame, *, known: pl.DataFrame, night: date, now: datetime, begin: date) -> pl.LazyFrame:
    found = rows.join(known.lazy(), on="track_id", how="left", build_side="force_right")
    return found.with_columns(_reason(night, now=now, begin=begin).alias("reason")).drop("known", FAULT)


def _partition(files: Sequence[TableFile]) -> list[Part]:
    parsed = ((file, parse(_scan(file), kinds=_TABLE.columns)) for file in files)
    return [
        Part(file.absolute, input_tables.located(rows, number=number)) for number, (file, rows) in enumerate(parsed)
    ]


def _flat(files: Sequence[TableFile], night: date, *, days: _Days, now: datetime) -> list[Part]:
    held = [(number, file) for number, file in enumerate(files) if _holds(_tally(file, now=now), night, days=days)]
    parts = ((number, file, _of_night(_scan(file), night, days=days, now=now)) for number, file in held)
    return [Part(file.absolute, input_tables.located(rows, number=number)) for number, file, rows in parts]


def _holds(tally: Mapping[date | None, int], night: date, *, days: _Days) -> bool:
    return night in tally or (night == days.last and any(day is None or day < days.begin for day in tally))


def _of_night(rows: pl.LazyFrame, night: date, *, days: _Days, now: datetime) -> pl.LazyFrame:
    """Keep a night's rows: first by the file's own type, whose statistics then decide what is read, then exactly."""
    last, dtype = night == days.last, rows.collect_schema()["played_at"]
    if isinstance(dtype, pl.Datetime):
        candidates = _inside(night, dtype=dtype)
        rows = rows.filter(candidates | _dayless(now, begin=days.begin, dtype=dtype) if last else candidates)
    dayless = _dayless(now, begin=days.begin, dtype=INSTANT)
    own = pl.when(dayless).then(last).otherwise(_inside(night, dtype=INSTANT))
    return parse(rows, kinds=_TABLE.columns).filter(own)


def _inside(night: date, *, dtype: pl.DataType) -> pl.Expr:
    since, until = (literal(_start(day), dtype=dtype) for day in (night, night + timedelta(days=1)))
    return (pl.col("played_at") >= since) & (pl.col("played_at") < until)


def _dayless(now: datetime, *, begin: date, dtype: pl.DataType) -> pl.Expr:
    played = pl.col("played_at")
    return played.is_null() | (played > literal(now, dtype=dtype)) | (played < literal(_start(begin), dtype=dtype))


def _start(day: date) -> datetime:
    return datetime.combine(day, time(), UTC)


def _days(source: Location, files: Sequence[TableFile], *, now: datetime) -> _Days:
    found: Counter[date | None] = Counter()
    for file in files:
        found.update(_tally(file, now=now))
    if not found:
        raise InputError(f"{given(source)} holds no row", hint="Deliver the listens and run again.")
    begin = _begin({day: rows for day, rows in found.items() if day is not None}, rows=found.total())
    days = {day: rows for day, rows in found.items() if day is not None and day >= begin}
    if not days:
        raise _no_day(source, files, now=now)
    last = max((day for day in days if day < now.astimezone(UTC).date()), default=min(days))
    days[last] += found.total() - sum(days.values())
    return _Days(dict(sorted(days.items())), begin, last)


def _begin(days: Mapping[date, int], *, rows: int) -> date:
    """Return the first day that can be a night: no earlier than plays can be, and not far before all the others."""
    begin, before = EARLIEST.date(), 0
    possible = sorted(day for day in days if day >= begin)
    for day, following in pairwise(possible):
        before += days[day]
        if following - day > _FAR and before < _FEW * rows:
            begin = following
    return begin


def _no_day(source: Location, files: Sequence[TableFile], *, now: datetime) -> InputError:
    rows = _together(_partition(files)).with_columns(known=True)
    reason = _reason(EARLIEST.date(), now=now, begin=EARLIEST.date()).alias("reason")
    counts = input_tables.count(rows.with_columns(reason), what=f"{given(source)}", files=files)
    hint = f"Deliver the listens with their times and run again. {counts.hint}"
    return InputError(f"{counts.what} has no row with the time of a night ({counts.by_reason})", hint=hint)


@lru_cache(maxsize=4096)  # a catch-up asks once for every night of a flat input
def _tally(file: TableFile, *, now: datetime) -> dict[date | None, int]:
    """Count a file's rows by day; None stands for the rows without a time, or with one that is still to come."""
    played = parse(_scan(file), kinds=_TABLE.columns).select("played_at")
    day = pl.when(pl.col("played_at") <= now).then(pl.col("played_at").dt.date())
    with input_tables.reading(file):
        return dict(played.group_by(day=day).len().collect(engine="streaming").iter_rows())


def _rows(file: TableFile) -> int:
    with input_tables.reading(file):
        return int(_scan(file).select(pl.len()).collect(engine="streaming").item())


def _scan(file: TableFile) -> pl.LazyFrame:
    rows = input_tables.scan(file, table=_TABLE)
    if ("latitude" in input_tables.columns_of(file)) != ("longitude" in input_tables.columns_of(file)):
        raise InputError(f"{file} has one of latitude and longitude", hint="A position is both, or a cell, or neither.")
    return rows


def _together(parts: Sequence[Part]) -> pl.LazyFrame:
    return pl.concat([part.rows for part in parts]) if parts else input_tables.empty(_TABLE)


def _reason(night: date, *, now: datetime, begin: date) -> pl.Expr:
    """Return the first reason that applies to a row, or null."""
    checks = _checks(night, now=now, begin=begin)
    return pl.coalesce(pl.col(FAULT), *(pl.when(bad).then(pl.lit(reason)) for reason, bad in checks.items()))


def _checks(night: date, *, now: datetime, begin: date) -> dict[str, pl.Expr]:
    """Return what makes a row bad, by reason."""
    col = pl.col
    return {
        "missing_user": col("user_id").is_null(),
        "missing_track": col("track_id").is_null(),
        "unparsable_time": col("played_at").is_null(),
        "future_time": col("played_at") > now,
        "outside_catalogue_years": col("played_at") < EARLIEST,
        "far_from_other_nights": col("played_at") < _start(begin),
        "wrong_day": col("played_at").dt.date() != night,
        "user_id_is_a_float": is_float("user_id"),
        "unknown_track": col("known").is_null(),
        **position_faults(),
        "unparsable_ms_played": ~col("ms_played").is_finite(),
        "negative_ms_played": col("ms_played") < 0,
    }
