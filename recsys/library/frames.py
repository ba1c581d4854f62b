"""Frames of whatever library: read into what our models learn from, checked, and given back as they came."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple

import narwhals as nw
import polars as pl

from recsys.errors import FrameError

_FRAMES = "a frame of pandas, Polars or Arrow"
_ANSWERED = ("rank", "score")  # beside the ids, in the lists of our models
_CODED = ("listener", "track_id", "night", "part")


class Columns(NamedTuple):
    """What the columns of a frame are called."""

    user: str
    item: str
    time: str
    region: str | None

    @property
    def names(self) -> list[str]:
        """Those that there are."""
        return [name for name in self if name is not None]


def read(frame: Any) -> nw.DataFrame[Any]:
    """Return a frame as narwhals sees it; a lazy one is collected.

    Raises
    ------
    FrameError
        If it is none.
    """
    try:
        found = nw.from_native(frame)
        return found.collect() if isinstance(found, nw.LazyFrame) else found
    except TypeError:
        raise FrameError(
            f"found {type(frame).__name__} where {_FRAMES} is expected", hint="pandas.DataFrame(...) makes one."
        ) from None
    except nw.exceptions.DuplicateError:
        raise FrameError("two columns of the frame have the same name", hint="Rename one, or leave it out.") from None


def check_names(columns: Columns) -> None:
    """Refuse to call ids as something else in the lists of our models is called.

    Raises
    ------
    FrameError
    """
    if taken := [name for name in (columns.user, columns.item) if name in _ANSWERED]:
        raise FrameError(
            f"the column of users or items is called {taken[0]!r}, and lists have a column {taken[0]!r} of their own",
            hint="Rename it, to user or item say; every name but rank and score will do.",
        )


def chosen(frame: Any, names: Sequence[str]) -> nw.DataFrame[Any]:
    """Return some columns of a frame.

    Raises
    ------
    FrameError
        If it is none, or lacks one, or one is named twice.
    """
    found = read(frame)
    if missing := [name for name in names if name not in found.columns]:
        raise FrameError(
            f"the frame has no column {', '.join(map(repr, missing))}; it has {', '.join(map(repr, found.columns))}",
            hint="Name its columns: Dataset.from_frame(frame, user=..., item=..., time=..., region=...).",
        )
    if len(set(names)) < len(names):
        raise FrameError("a column is named for two things", hint="user, item, time and region are different columns.")
    return found.select(names)


def coded(given: nw.DataFrame[Any], columns: Columns) -> pl.DataFrame:
    """Return ``listener, track_id, night, part, at`` row by row: ids as text, times as days and as they came.

    Raises
    ------
    FrameError
        If a column has missing values, or is of another kind.
    """
    found = to_polars(_local(given, columns.time))
    for name in (columns.user, columns.item, columns.time):
        _check_whole(found[name])
    for name in {*columns.names} - {columns.time}:
        _check_ids(found[name])
    if not isinstance(found.schema[columns.time], pl.Date | pl.Datetime):
        raise FrameError(
            f"column {columns.time!r} holds {found.schema[columns.time]}, and dates or datetimes are expected",
            hint="pandas.to_datetime(column), with unit='s' where it counts seconds since 1970, makes them of others.",
        )
    part = pl.col(columns.region).cast(pl.String) if columns.region else pl.lit(None, pl.String)
    return found.select(
        pl.col(columns.user).cast(pl.String).alias("listener"),
        pl.col(columns.item).cast(pl.String).alias("track_id"),
        pl.col(columns.time).dt.date().alias("night"),
        part.alias("part"),
        pl.col(columns.time).alias("at"),
    )


def check(plays: pl.DataFrame, columns: Columns, *, may_repeat: bool) -> None:
    """Refuse plays that nothing can be learned from, or that are probably not what they are taken for.

    Parameters
    ----------
    plays : polars.DataFrame
        Of :func:`coded`.
    columns : Columns
    may_repeat : bool

    Raises
    ------
    FrameError
    """
    for coded_name, name in zip(_CODED, (columns.user, columns.item, None, columns.region), strict=True):
        if name is not None and (number := plays[coded_name].drop_nulls().n_unique()) < 2:
            _refuse_one(name, number, is_region=coded_name == "part")
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).date()  # somewhere it has begun
    later = plays.filter(pl.col("night") > tomorrow).height
    if later:
        raise FrameError(
            f"{later:,} of {plays.height:,} rows have a time in the future, up to {plays['night'].max()!s}",
            hint="Check the unit of the times (seconds, milliseconds), or leave these rows out.",
        )
    repeated = 0 if may_repeat else plays.is_duplicated().sum()
    if repeated:
        raise FrameError(
            f"{repeated:,} of {plays.height:,} rows are alike in {', '.join(columns.names)}",
            hint="frame.drop_duplicates() or frame.unique() where a play is there twice; repeats='count' where it was "
            "played so often, as where times are days.",
        )


def to_polars(given: nw.DataFrame[Any]) -> pl.DataFrame:
    """Return the frame as Polars has it.

    Raises
    ------
    FrameError
        If a column mixes kinds of values.
    """
    try:
        return given.to_polars()
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError):  # whose message would show values
        raise FrameError(
            f"one of the columns {', '.join(map(repr, given.columns))} mixes kinds of values, or holds too large ones",
            hint="frame[column].astype(str) makes text of ids.",
        ) from None


def codes(ids: Iterable[Any]) -> pl.Series:
    """Return ids as text, each once, in their order."""
    found = pl.Series("id", list(ids), strict=False)
    return (found if found.dtype == pl.String else found.cast(pl.String)).unique(maintain_order=True)


def as_given(frame: pl.DataFrame, *, like: Any) -> Any:
    """Return a frame in the library of another."""
    library = nw.from_native(like, eager_only=True).implementation
    return nw.from_arrow(frame.to_arrow(), backend=library).to_native()


def _local(given: nw.DataFrame[Any], time: str) -> nw.DataFrame[Any]:
    """Return the times as clocks showed them: the day is that of their own zone."""
    kind = given.schema[time]
    zoned = isinstance(kind, nw.Datetime) and kind.time_zone is not None
    return given.with_columns(nw.col(time).dt.replace_time_zone(None)) if zoned else given


def _check_whole(column: pl.Series) -> None:
    if missing := column.null_count() + (int(column.is_nan().sum()) if column.dtype.is_float() else 0):
        raise FrameError(
            f"column {column.name!r} has {missing:,} missing values of {len(column):,}",
            hint="Leave these rows out: frame.dropna() or frame.drop_nulls(). Only a region may be missing.",
        )


def _check_ids(column: pl.Series) -> None:
    kind = column.dtype
    if not (kind.is_integer() or isinstance(kind, pl.String | pl.Categorical | pl.Enum | pl.Null)):
        raise FrameError(
            f"column {column.name!r} holds {kind}, and ids are text or whole numbers",
            hint="frame[column].astype(str) or .cast(pl.String) makes text of them.",
        )


def _refuse_one(name: str, number: int, *, is_region: bool) -> None:
    hint = (
        "Leave region out: without regions everybody is of one place."
        if is_region
        else "Check that the columns are not exchanged; one alone cannot be compared with others."
    )
    raise FrameError(f"column {name!r} has {number} distinct values, and 2 are needed at least", hint=hint)
