"""The data set: who played what, when and where, from a frame of pandas, Polars or Arrow, checked before it is used."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Literal

import narwhals as nw
import polars as pl

from recsys.library.frames import Columns, as_given, check, check_names, chosen, coded, to_polars

Repeats = Literal["refuse", "count"]


@dataclass(frozen=True, repr=False)
class Dataset:
    """Plays of users; made by :meth:`from_frame`.

    Parameters
    ----------
    frame : pandas.DataFrame, polars.DataFrame or pyarrow.Table
        The columns that were named, in the library they came in: what a model of one's own learns from.
    columns : Columns
        What they are called.
    plays : polars.DataFrame
        ``listener, night, part, track_id`` of the same rows, ids as text: what our models learn from.
    """

    frame: Any
    columns: Columns
    plays: pl.DataFrame = field(repr=False)

    @classmethod
    def from_frame(
        cls,
        frame: Any,
        *,
        user: str = "user",
        item: str = "item",
        time: str = "time",
        region: str | None = None,
        repeats: Repeats = "refuse",
    ) -> "Dataset":
        """Check a frame with one row a play, and return it as a data set.

        Parameters
        ----------
        frame : pandas.DataFrame, polars.DataFrame, polars.LazyFrame or pyarrow.Table
        user, item : str
            Columns of ids: text or whole numbers.
        time : str
            A column of dates, or of dates and times; models see the day.
        region : str, optional
            A column that says where the play was; missing values are of no region. A user is at home where they play
            on most days. Without, everybody is of one place.
        repeats : {"refuse", "count"}
            What rows are that are alike in all these columns: a mistake, or as many plays.

        Raises
        ------
        FrameError
            If a column is missing, has missing values or another kind, if that of users or items is called as a column
            of answers is, if rows repeat others or are in the future, or if there is one user, one item or one region
            alone.
        """
        columns = Columns(user, item, time, region)
        check_names(columns)
        given = chosen(frame, columns.names)
        plays = coded(given, columns)
        check(plays, columns, may_repeat=repeats == "count")
        return cls(given.to_native(), columns, plays.drop("at"))

    @cached_property
    def rows(self) -> pl.DataFrame:
        """Return the plays as :class:`~recsys.schemas.Contributions`, one row per user, day, region and item."""
        keys = ["listener", "night", "part", "track_id"]
        counted = self.plays.group_by(keys).agg(pl.len().cast(pl.UInt32).alias("plays")).sort(keys)
        return counted.with_columns(
            pl.lit(0, pl.UInt8).alias("weight"),
            pl.lit(value=True).alias("trained"),
            pl.lit(None, pl.String).alias("partner_part"),
        )

    @property
    def users(self) -> Any:
        """Return the sorted ids of users, as a series of the frame's library."""
        return self._distinct(self.columns.user)

    @property
    def items(self) -> Any:
        """Return the sorted ids of items, as a series of the frame's library."""
        return self._distinct(self.columns.item)

    def where(self, kept: pl.Series) -> "Dataset":
        """Return some of the rows, chosen by a boolean series."""
        some = nw.from_native(self.frame, eager_only=True).filter(kept.to_list())
        return Dataset(some.to_native(), self.columns, self.plays.filter(kept))

    def ids(self, users: pl.Series) -> list[Any]:
        """Return ids of users that are text as they are in the frame."""
        return self._typed(users, self.columns.user).to_list()

    def lists(self, users: pl.Series, items: pl.Series, *, rank: pl.Series, score: pl.Series) -> Any:
        """Return ids that are text as a frame in the library, and with the kinds of ids, of this data set."""
        user, item = self.columns.user, self.columns.item
        ids = {user: self._typed(users, user), item: self._typed(items, item)}
        return as_given(pl.DataFrame({**ids, "rank": rank, "score": score}), like=self.frame)

    def __repr__(self) -> str:
        """Return one line that says how much there is of what."""
        first, last = self.plays["night"].min(), self.plays["night"].max()
        regions = f", {self.plays['part'].drop_nulls().n_unique():,} regions" if self.columns.region else ""
        return (
            f"Dataset({self.plays.height:,} plays, {self.plays['listener'].n_unique():,} users, "
            f"{self.plays['track_id'].n_unique():,} items{regions}, {first!s} to {last!s})"
        )

    def _typed(self, ids: pl.Series, column: str) -> pl.Series:
        """Return ids that are text as whole numbers, where the frame's column has such."""
        kind = to_polars(chosen(self.frame, [column]).head(0)).schema[column]
        return ids.cast(kind, strict=False) if kind.is_integer() else ids

    def _distinct(self, column: str) -> Any:
        return nw.from_native(self.frame, eager_only=True)[column].unique().sort().to_native()
