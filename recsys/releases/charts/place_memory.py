"""Place memory: what places remember after each night, derived from releases and kept, for the nights a week later."""

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recsys.errors import InputError, NotReadyError
from recsys.releases.charts.charts import Charts
from recsys.releases.inference.memory import NOTHING, Memory, Sums
from recsys.schemas import READ_FAILURES, Remembered, at_border
from recsys.workspace import replace_file

_KEPT = 14  # nights whose memories are kept: tomorrow needs the one of a week before, or the last before that
_DERIVED = 8  # windows at most that are read to derive what is missing
_SUMS = ("counts", "variances", "rest", "nearby")
_FORMAT = "2"  # of the files, and of how they are derived: other ones are derived anew

Draw = Callable[..., Charts]  # of nights and, by name, a memory
Remember = Callable[..., Memory]  # of the same


def with_memory(
    nights: Sequence[date], *, draw: Draw, remember: Remember, folder: Path, version: str, window_nights: int
) -> Charts:
    """Return the charts of the last night in the light of what places remember, and keep what they remember then.

    A memory holds the windows that ended a window's length before its night, twice that, and so on: as many chains run
    beside each other as a window has nights, so that no night is counted twice and a night costs one reading. Memories
    follow from releases, atlas and settings. Where the one that is needed is missing or was derived otherwise, up to
    eight earlier windows are read again.

    Parameters
    ----------
    nights : sequence of date
        All released nights, in order; at least one.
    draw : callable
        Takes nights and, by name, a ``memory``; returns the charts of the last
        (:func:`recsys.releases.charts.charts.draw`).
    remember : callable
        Takes the same, and returns only the memory (:func:`recsys.releases.charts.charts.remember`).
    folder : Path
        Of the files, one a night, ``DATE.parquet``; all but the last are removed.
    version : str
        What memories are derived by (settings and atlas): files of another version are not read.
    window_nights : int
        Length of a chart's window.

    Raises
    ------
    NotReadyError
        If the last night was released under another atlas.
    """
    folder.mkdir(parents=True, exist_ok=True)
    files = _Files(folder, f"{_FORMAT} {version}")
    before = _before(nights, depth=_DERIVED, files=files, remember=remember, step=timedelta(days=window_nights))
    charts = draw(nights, memory=before)
    files.write(charts.memory)
    files.forget()
    return charts


class _Files:
    """The files of memories."""

    def __init__(self, folder: Path, version: str) -> None:
        self._folder, self._version = folder, version

    def nights(self) -> list[date]:
        """Return the nights of which there is a file, in order."""
        return sorted(date.fromisoformat(file.stem) for file in self._folder.glob("[0-9]*.parquet"))

    def latest(self, until: date, *, after: date) -> Memory:
        """Return the last memory of some nights that is whole and of this version, or nothing."""
        for night in reversed(self.nights()):
            memory = self._read(night) if after < night <= until else None
            if memory is not None:
                return memory
        return NOTHING

    def write(self, memory: Memory) -> None:
        content = io.BytesIO()
        _frame(memory).write_parquet(content, metadata={"version": self._version})
        replace_file(self._folder / f"{memory.night}.parquet", content.getvalue())

    def forget(self) -> None:
        """Remove all but the last; another process may do the same."""
        for night in self.nights()[:-_KEPT]:
            (self._folder / f"{night}.parquet").unlink(missing_ok=True)

    def _read(self, night: date) -> Memory | None:
        file = self._folder / f"{night}.parquet"
        try:
            alike = pl.read_parquet_metadata(file).get("version") == self._version
            return _memory(night, at_border(pl.read_parquet(file), Remembered)) if alike else None
        except (InputError, *READ_FAILURES):
            return None


def _before(nights: Sequence[date], *, depth: int, files: _Files, remember: Remember, step: timedelta) -> Memory:
    """Return the memory of the last night before the window of the last of some nights: as kept, else derived."""
    earlier = [night for night in nights if night <= nights[-1] - step]
    if not earlier or not depth:
        return NOTHING
    known = files.latest(earlier[-1], after=earlier[-1] - step)
    if known.night is None:
        older = _before(earlier, depth=depth - 1, files=files, remember=remember, step=step)
        with suppress(NotReadyError):  # a night under another atlas has nothing to remember under this one
            known = remember(earlier, memory=older)
            files.write(known)
    return known


def _frame(memory: Memory) -> pl.DataFrame:
    """Lay out a memory by place and track."""
    lengths = np.diff(memory.starts)
    place = pl.Series(np.repeat(np.arange(len(lengths)), lengths))
    columns = {
        "place": pl.Series(memory.places, dtype=pl.String)[place],
        "track_id": pl.Series(memory.tracks, dtype=pl.String)[pl.Series(memory.positions)],
        **{name: getattr(memory.sums, name).astype(np.float32) for name in _SUMS},
    }
    return at_border(pl.DataFrame(columns), Remembered)


def _memory(night: date, frame: pl.DataFrame) -> Memory:
    places, tracks = (tuple(frame[name].unique().sort().to_list()) for name in ("place", "track_id"))
    starts = np.append(frame["place"].search_sorted(pl.Series(places)).to_numpy(), frame.height)
    sums = Sums(*(frame[name].to_numpy().astype(np.float64) for name in _SUMS))
    positions = pl.Series(tracks, dtype=pl.String).search_sorted(frame["track_id"]).to_numpy().astype(np.int32)
    return Memory(night, places, tracks, starts.astype(np.int64), positions, sums)
