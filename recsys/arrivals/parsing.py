"""PRECISE: the one place where a time, an id, a position and a number are parsed and bounded."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from enum import Enum, auto

import polars as pl
import polars_h3

from recsys.arrivals.text_files import MALFORMED

INSTANT = pl.Datetime("us", "UTC")
FAULT = "fault"
FAULTS = ("malformed_line", "time_is_a_number")
"""What cannot be seen of a row any more once it is parsed."""

EARLIEST = datetime(2002, 1, 1, tzinfo=UTC)
"""No play and no consent is older: what is, comes from a clock without a time, and their zeros are 1970 to 2001."""

_FIRST, _LAST = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)  # what Python can tell
_DATES = date.min, date.max


class Kind(Enum):
    """How the values of a column are read, whatever type the file gives them."""

    TEXT = auto()
    CELL = auto()
    INSTANT = auto()
    NUMBER = auto()
    DATE = auto()


def fits(kind: Kind, dtype: pl.DataType) -> bool:
    """Tell whether a column of a file's own type can be read as its kind: text always can."""
    native = {
        Kind.TEXT: dtype.is_integer(),
        Kind.CELL: dtype.is_integer(),
        Kind.INSTANT: dtype == pl.Datetime,
        Kind.NUMBER: dtype.is_numeric(),
        Kind.DATE: any(dtype == day for day in (pl.Date, pl.Datetime)),
    }
    return native[kind] or any(dtype == text for text in (pl.String, pl.Null, pl.Categorical, pl.Enum))


def parse(rows: pl.LazyFrame, *, kinds: Mapping[str, Kind]) -> pl.LazyFrame:
    """Give every column the type of its kind: String, Datetime in UTC, Float64 or Date.

    What is no instant or no date, or outside the years 1 to 9999, becomes null; what is no number becomes NaN; an empty
    text becomes null.

    Returns
    -------
    polars.LazyFrame
        The columns, and ``fault`` instead of ``malformed``: why a row cannot be read, one of ``FAULTS``, or null.
    """
    types = rows.collect_schema()
    numbers = [
        _is_number(name) for name, kind in kinds.items() if kind is Kind.INSTANT and not types[name].is_temporal()
    ]
    bad = (pl.col(MALFORMED), pl.any_horizontal(pl.lit(value=False), *numbers))
    fault = pl.coalesce(pl.when(one).then(pl.lit(reason)) for reason, one in zip(FAULTS, bad, strict=True))
    parsed = (_PARSERS[kind](pl.col(name), types[name]).alias(name) for name, kind in kinds.items())
    return rows.with_columns(*parsed, fault.alias(FAULT)).drop(MALFORMED)


def position_faults() -> dict[str, pl.Expr]:
    """Return what makes the position of a row bad, by reason; one that is absent is not.

    H3 wraps coordinates that are out of range into valid cells silently, so the range is checked here. Zero and zero is
    what devices tell that do not know where they are.
    """
    latitude, longitude, cell = pl.col("latitude"), pl.col("longitude"), pl.col("cell")
    half = latitude.is_null() != longitude.is_null()
    return {
        "position_not_a_number": half | ~latitude.is_finite() | ~longitude.is_finite(),
        "latitude_out_of_range": latitude.abs() > 90,
        "longitude_out_of_range": longitude.abs() > 180,
        "null_island": (latitude == 0) & (longitude == 0),
        "malformed_cell": cell.is_not_null() & ~polars_h3.is_valid_cell(polars_h3.str_to_int("cell")),
    }


def is_float(identifier: str) -> pl.Expr:
    """Tell whether an id is what table programs make of a whole number, ``100.0``: it matches nobody whose is 100."""
    return pl.col(identifier).str.contains(r"^\d+\.0+$")


def literal(instant: datetime, *, dtype: pl.DataType) -> pl.Expr:
    """Return an instant as a literal of a file's own type, so that a filter is decided from the file's statistics."""
    naive = isinstance(dtype, pl.Datetime) and dtype.time_zone is None
    return pl.lit(instant.astimezone(UTC).replace(tzinfo=None) if naive else instant).cast(dtype)


def _is_number(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).str.contains(r"^\s*[+-]?\d{6,}(\.\d*)?\s*$")


def _text(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:  # noqa: ARG001
    text = column.cast(pl.String)
    return pl.when(text != "").then(text)


def _cell(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Read an H3 index as text in hexadecimal, or as a number; one in decimal has 18 or 19 digits, the other 15."""
    text = _text(column, dtype)
    number = pl.when(text.str.contains(r"^\d{18,19}$")).then(text).cast(pl.UInt64, strict=False)
    return pl.coalesce(polars_h3.int_to_str(number), text)


def _number(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    given = _text(column, dtype) if not dtype.is_numeric() else column
    number = given.cast(pl.Float64, strict=False)
    return pl.when(given.is_not_null() & number.is_null()).then(float("nan")).otherwise(number)


def _instant(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    if not isinstance(dtype, pl.Datetime):
        return _bounded(_instant_of_text(column.cast(pl.String)), INSTANT)
    zoned = column.dt.replace_time_zone("UTC") if dtype.time_zone is None else column
    bounded = _bounded(zoned, pl.Datetime(dtype.time_unit, dtype.time_zone or "UTC"))
    return bounded if dtype == INSTANT else bounded.cast(INSTANT)


def _bounded(column: pl.Expr, dtype: pl.Datetime) -> pl.Expr:
    """Keep the instants that Python can tell; nanoseconds reach from 1677 to 2262 anyway."""
    if dtype.time_unit == "ns":
        return column
    return pl.when(column.is_between(literal(_FIRST, dtype=dtype), literal(_LAST, dtype=dtype))).then(column)


def _instant_of_text(text: pl.Expr) -> pl.Expr:
    """Read ISO 8601 with ``Z``, an offset or neither (then UTC), with or without seconds and their fraction."""
    ended = text.str.strip_chars().str.to_uppercase().str.replace(" ", "T", literal=True).str.replace("Z$", "+00:00")
    zoned = pl.when(ended.str.contains(r"T.*[+-]\d{2}(:?\d{2})?$")).then(ended).otherwise(ended + "+00:00")
    formats = ("%Y-%m-%dT%H:%M:%S%.f%#z", "%Y-%m-%dT%H:%M%#z")
    return pl.coalesce(zoned.str.to_datetime(form, time_unit="us", strict=False) for form in formats)


def _date(column: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    day = column.cast(pl.Date) if dtype.is_temporal() else column.cast(pl.String).str.to_date("%Y-%m-%d", strict=False)
    return pl.when(day.is_between(*_DATES)).then(day)


_PARSERS = {
    Kind.TEXT: _text,
    Kind.CELL: _cell,
    Kind.INSTANT: _instant,
    Kind.NUMBER: _number,
    Kind.DATE: _date,
}
