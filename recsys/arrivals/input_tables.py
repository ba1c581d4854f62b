"""Read any table of section 3.1 lazily: find its files, scan each format, parse each column, count misfits."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import Enum, auto
from functools import lru_cache
from glob import escape
from pathlib import Path
from typing import Any

import polars as pl

from recsys.causes import not_ready
from recsys.errors import InputError
from recsys.schemas import READ_FAILURES

INSTANT = pl.Datetime("us", "UTC")

_SUFFIXES = (".parquet", ".csv", ".csv.gz", ".ndjson")
_HINT = "A table is Parquet, CSV (also .gz) or NDJSON: one file, a folder of files, or a folder of date=YYYY-MM-DD/."


class Kind(Enum):
    """How the values of a column are read, whatever type the file gives them."""

    TEXT = auto()
    INSTANT = auto()
    NUMBER = auto()
    DATE = auto()


@dataclass(frozen=True)
class Table:
    """The columns of one table of the contract.

    Parameters
    ----------
    required, optional : mapping of column name to Kind
        An absent optional column reads as null; any other column is an error.
    """

    required: Mapping[str, Kind]
    optional: Mapping[str, Kind] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, Kind]:
        """All columns, the required ones first."""
        return {**self.required, **self.optional}


@dataclass(frozen=True)
class TableFile:
    """One file as it is now: what is remembered of it is forgotten when its size or time changes."""

    path: Path
    size: int
    modified: int


DAYLESS = ("unparsable_time", "future_time")  # why a row of a flat input belongs to no night


@dataclass(frozen=True)
class Counts:
    """How many rows there were, and how many were set aside, by reason.

    Parameters
    ----------
    what : str
        What was read, for messages: a table and its path.
    rows : int
    bad : mapping of reason to int
        A bad row has one reason: the first that applies.
    rows_of_input : int or None
        Where these are the rows of one night of a flat input: all rows of it. Rows without a day are then those of
        many nights, and are judged as a share of all.
    """

    what: str
    rows: int
    bad: Mapping[str, int]
    rows_of_input: int | None = None

    @property
    def good(self) -> int:
        """Rows that fit."""
        return self.rows - sum(self.bad.values())

    @property
    def bad_share(self) -> float:
        """Share of rows that do not fit, 0 to 1; 0 where there is no row."""
        if not self.rows:
            return 0.0
        dayless = sum(self.bad.get(reason, 0) for reason in DAYLESS) if self.rows_of_input else 0
        return (sum(self.bad.values()) - dayless) / self.rows + dayless / (self.rows_of_input or self.rows)

    @property
    def by_reason(self) -> str:
        """The bad rows as text, the most frequent reason first: ``12 unknown_track, 3 missing_user``."""
        ordered = sorted(self.bad.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count} {reason}" for reason, count in ordered) or "none"

    def within(self, max_bad_share: float) -> "Counts":
        """Return self, or raise an InputError (exit 65) if more than this share of the rows is bad."""
        if self.bad_share > max_bad_share:
            raise InputError(
                f"{self.what}: {self.rows - self.good} of {self.rows} rows do not fit, more than the allowed"
                f" {max_bad_share:.1%} ({self.by_reason})",
                hint="Correct the input and run again; arrivals.max_bad_share sets the allowed share.",
            )
        return self


def files_of(source: Path) -> tuple[TableFile, ...]:
    """List the files of one table: the file itself, or those of a folder, sorted by name.

    Names that begin with ``.`` or ``_`` (markers such as ``_SUCCESS``) are no data.

    Raises
    ------
    InputError
        If there is no such path, or something in the folder is not a table.
    """
    if not source.exists():
        raise InputError(f"there is no {source}", hint="Check the path.")
    inside = sorted(source.iterdir()) if source.is_dir() else [source]
    paths = [path for path in inside if path == source or not path.name.startswith((".", "_"))]
    for path in paths:
        if not path.is_file() or not path.name.endswith(_SUFFIXES):
            raise InputError(f"{path} is not a table that can be read", hint=_HINT)
    return tuple(TableFile(path, (stat := path.stat()).st_size, stat.st_mtime_ns) for path in paths)


def scan(file: TableFile, *, table: Table) -> pl.LazyFrame:
    """Scan one file as it is: all columns of the table, in its order, with the file's own types.

    Raises
    ------
    InputError
        If the file cannot be read, a column is missing or unexpected (named, never its values), or its type is not
        of its kind.
    """
    found = columns_of(file)
    if not found:  # NDJSON without lines has no rows and no names
        return pl.LazyFrame(schema=dict.fromkeys(table.columns, pl.String()))
    missing = sorted(table.required.keys() - found.keys())
    unexpected = sorted(found.keys() - table.columns.keys())
    mistyped = sorted(name for name, dtype in found.items() if name in table.columns and not _fits(table, name, dtype))
    if missing or unexpected or mistyped:
        wrong = {"missing": missing, "unexpected": unexpected, "of a wrong type": mistyped}
        listed = "; ".join(f"{fault}: {', '.join(names)}" for fault, names in wrong.items() if names)
        raise InputError(f"{file.path} has columns that do not fit ({listed})", hint=_expected(table))
    absent = [pl.lit(None, pl.String).alias(name) for name in table.columns if name not in found]
    return _open(file.path, columns=tuple(found)).with_columns(absent).select(table.columns.keys())


def columns_of(file: TableFile) -> Mapping[str, pl.DataType]:
    """Return the columns that a file really has, with its own types; text where the format has none.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    with reading(file.path):
        return _types(file)


def parse(rows: pl.LazyFrame, *, table: Table) -> pl.LazyFrame:
    """Give every column the type of its kind: String, Datetime in UTC, Float64 or Date.

    What is no instant or no date becomes null, what is no number becomes NaN, an empty text becomes null.
    """
    types = rows.collect_schema()
    return rows.with_columns(
        _PARSERS[kind](pl.col(name), types[name]).alias(name) for name, kind in table.columns.items()
    )


def literal(instant: datetime, *, dtype: pl.DataType) -> pl.Expr:
    """Return an instant as a literal of a file's own type, so that a filter is decided from the file's statistics."""
    naive = isinstance(dtype, pl.Datetime) and dtype.time_zone is None
    return pl.lit(instant.astimezone(UTC).replace(tzinfo=None) if naive else instant).cast(dtype)


def empty(table: Table) -> pl.LazyFrame:
    """Return a parsed table without rows."""
    return parse(pl.LazyFrame(schema=dict.fromkeys(table.columns, pl.String())), table=table)


def count(checked: pl.LazyFrame, *, what: str, source: Path) -> Counts:
    """Count the rows of a frame by its column ``reason`` (null for a good row), in one streaming pass."""
    with reading(source):
        tally = checked.group_by("reason").len().collect(engine="streaming")
    reasons = {reason: int(rows) for reason, rows in tally.sort("reason", nulls_last=True).iter_rows()}
    rows = sum(reasons.values())
    reasons.pop(None, None)
    return Counts(what, rows, reasons)


@contextmanager
def reading(source: Path) -> Iterator[None]:
    """Turn what goes wrong in reading a file into an InputError that names the file and none of its content."""
    try:
        yield
    except READ_FAILURES as error:
        raise not_ready(error, str(source)) or InputError(
            f"{source} cannot be read: it is cut off, damaged, or not what its name says",
            hint="Deliver the file again, whole; " + _HINT,
        ) from None


@lru_cache(maxsize=4096)  # inferring a schema reads the whole of an NDJSON file
def _types(file: TableFile) -> pl.Schema:
    if file.path.name.endswith(".ndjson"):
        names = _lines(file.path, infer_schema_length=None).collect_schema().names() if file.size else []
        return pl.Schema(dict.fromkeys(names, pl.String()))
    return _open(file.path).collect_schema()


def _open(path: Path, columns: tuple[str, ...] = ()) -> pl.LazyFrame:
    """Scan with the types of a Parquet file, and everything as text where the format has no types."""
    if path.name.endswith(".parquet"):
        return pl.scan_parquet(path, hive_partitioning=False, glob=False)
    if path.name.endswith(".ndjson"):
        return _lines(path, schema=dict.fromkeys(columns, pl.String()))
    return pl.scan_csv(path, infer_schema=False, glob=False)


def _lines(path: Path, **how: Any) -> pl.LazyFrame:
    return pl.scan_ndjson(escape(str(path)), **how)  # it has no switch against globbing


def _fits(table: Table, name: str, dtype: pl.DataType) -> bool:
    native = {
        Kind.TEXT: dtype.is_integer(),
        Kind.INSTANT: dtype == pl.Datetime,
        Kind.NUMBER: dtype.is_numeric(),
        Kind.DATE: any(dtype == day for day in (pl.Date, pl.Datetime)),
    }
    return native[table.columns[name]] or any(dtype == text for text in (pl.String, pl.Null, pl.Categorical, pl.Enum))


def _expected(table: Table) -> str:
    optional = f" and may have {', '.join(table.optional)}" if table.optional else ""
    return f"The table has the columns {', '.join(table.required)}{optional}."


def _text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:  # noqa: ARG001
    text = column.cast(pl.String)
    return pl.when(text != "").then(text)


def _number(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    given = _text(column, dtype) if not dtype.is_numeric() else column
    number = given.cast(pl.Float64, strict=False)
    return pl.when(given.is_not_null() & number.is_null()).then(float("nan")).otherwise(number)


def _instant(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if not isinstance(dtype, pl.Datetime):
        return _instant_of_text(column.cast(pl.String))
    zoned = column.dt.replace_time_zone("UTC") if dtype.time_zone is None else column
    return zoned if dtype == INSTANT else zoned.cast(INSTANT)


def _instant_of_text(text: pl.Expr) -> pl.Expr:
    """Read ISO 8601 with ``Z``, an offset or neither (then UTC), with or without seconds and their fraction."""
    ended = text.str.strip_chars().str.replace(" ", "T", literal=True).str.replace("[Zz]$", "+00:00")
    zoned = pl.when(ended.str.contains(r"T.*[+-]\d{2}(:?\d{2})?$")).then(ended).otherwise(ended + "+00:00")
    formats = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")
    return pl.coalesce(zoned.str.to_datetime(form, time_unit="us", strict=False) for form in formats)


def _date(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    return column.cast(pl.Date) if dtype.is_temporal() else column.cast(pl.String).str.to_date("%Y-%m-%d", strict=False)


_PARSERS = {Kind.TEXT: _text, Kind.NUMBER: _number, Kind.INSTANT: _instant, Kind.DATE: _date}
