"""The lines of charts, put together place by place as arrays: a frame for each of a thousand lists takes longer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recsys.releases.counts.window import Tracks
from recsys.releases.inference.significance import Interval
from recsys.schemas import Chart


@dataclass(frozen=True)
class Lines:
    """Lines of a place's chart, in their order.

    Parameters
    ----------
    place, chart : str
    columns : mapping of str to numpy.ndarray, each of shape (lines,)
        ``track`` (a position in the window's), and by their names those of a Chart that are known by then.
    """

    place: str
    chart: str
    columns: Mapping[str, NDArray[Any]]

    @classmethod
    def of(
        cls,
        place: str,
        chart: str,
        *,
        tracks: Tracks,
        listeners: Interval,
        lift: Interval,
        nights: NDArray[np.integer[Any]] | int,
        kind: NDArray[np.str_] | None = None,
    ) -> "Lines":
        """Return the lines of tracks in the order given, without grades."""
        nothing = np.full(len(tracks), None)
        columns: dict[str, NDArray[Any]] = {
            "track": tracks,
            "estimate": listeners.estimate,
            "low": listeners.low,
            "high": listeners.high,
            "lift": lift.estimate,
            "lift_low": lift.low,
            "lift_high": lift.high,
            "kind": nothing if kind is None else kind.astype(object),
            "nights": np.broadcast_to(nights, len(tracks)),
            "grade": nothing,
        }
        return cls(place, chart, columns)

    def __len__(self) -> int:
        """Return how many lines there are."""
        return len(self.columns["track"])

    def __getitem__(self, some: NDArray[Any] | slice) -> "Lines":
        """Return some lines."""
        return replace(self, columns={name: column[some] for name, column in self.columns.items()})

    def __add__(self, other: "Lines") -> "Lines":
        """Return these lines and then others of the same chart."""
        columns = {name: np.concatenate([column, other.columns[name]]) for name, column in self.columns.items()}
        return replace(self, columns=columns)

    def graded(self, grade: NDArray[np.str_] | str) -> "Lines":
        """Return the lines with their grades."""
        return replace(self, columns={**self.columns, "grade": np.full(len(self), grade, dtype=object)})


def laid_out(lists: Sequence[Lines], tracks: Sequence[str]) -> pl.DataFrame:
    """Lay out lists, one at least, one after the other as a Chart; every track as if it were new.

    Parameters
    ----------
    lists : sequence of Lines
        Each begins with rank 1.
    tracks : sequence of str
        Of the window.
    """
    lengths = [len(each) for each in lists]
    of = np.repeat(np.arange(len(lists)), lengths)
    columns = {name: np.concatenate([each.columns[name] for each in lists]) for name in lists[0].columns}
    known: dict[str, Any] = {
        **columns,
        "place": pl.Series([each.place for each in lists])[of],
        "chart": pl.Series([each.chart for each in lists])[of],
        "rank": np.concatenate([np.arange(1, length + 1) for length in lengths]),
        "nights_on_chart": np.ones(len(of)),
        "track_id": pl.Series(tracks, dtype=pl.String)[columns["track"]],
        "kind": columns["kind"].tolist(),
        "grade": columns["grade"].tolist(),
    }
    nothing = [None] * len(of)
    schema = {name: column.dtype for name, column in Chart.columns().items()}
    return pl.DataFrame({name: pl.Series(known.get(name, nothing), dtype=dtype) for name, dtype in schema.items()})
