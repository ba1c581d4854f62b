"""Rank history: ranks per night, derived from releases and kept, so that a line can say where it was before."""

import io
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from datetime import date
from pathlib import Path

import polars as pl

from recsys.errors import InputError, NotReadyError
from recsys.releases.charts.charts import Charts
from recsys.schemas import READ_FAILURES, Chart, Ranks, at_border
from recsys.workspace import replace_file

_KEPT = 7  # nights of ranks that are kept
_DERIVED = 3  # nights at most whose charts are drawn: a catch-up of many nights must not cost as many charts

_FORMAT = "3"  # of the files, and of how charts are drawn: other ones are derived anew

Draw = Callable[[Sequence[date]], Charts]


def with_history(nights: Sequence[date], *, draw: Draw, folder: Path, version: str) -> Charts:
    """Return the charts of the last night, each line with its rank of the night before and its nights in a row.

    Ranks follow from the releases, the atlas and the settings. Those of earlier nights are read from files; where they
    are missing or were derived otherwise, the charts of the last three nights are drawn, so that a track which was on
    the chart all the time counts at most as many nights as the files go back.

    Parameters
    ----------
    nights : sequence of date
        All released nights, in order; at least one.
    draw : callable
        Returns the charts of the last of some nights, in order (:func:`recsys.releases.charts.charts.draw`).
    folder : Path
        Of the files, one a night, ``DATE.parquet``; those of nights before the last seven are removed.
    version : str
        What the charts are derived by (settings and atlas): files of another version are not read.

    Raises
    ------
    NotReadyError
        If the last night was released under another atlas.
    """
    folder.mkdir(parents=True, exist_ok=True)
    version = f"{_FORMAT} {version}"
    known, before = _latest(nights[:-1][-_DERIVED:], folder=folder, version=version)
    missing = nights[-_DERIVED:] if known is None else [night for night in nights if night > known]
    for night in missing[:-1]:
        until = [earlier for earlier in nights if earlier <= night]
        with suppress(NotReadyError):  # a night under another atlas has no charts under this one
            before = _drawn(until, before, draw=draw, folder=folder, version=version).lines
    charts = _drawn(nights, before, draw=draw, folder=folder, version=version)
    _forget(folder, {str(night) for night in nights[-_KEPT:]})
    return charts


def lists_of(nights: Sequence[date], *, draw: Draw, folder: Path, version: str) -> pl.DataFrame:
    """Return which tracks were on the charts of the last night: as they were kept, else as they are drawn again.

    Parameters
    ----------
    nights : sequence of date
        Released nights, in order; at least one.
    draw, folder, version
        As :func:`with_history` takes them.

    Returns
    -------
    polars.DataFrame
        ``place``, ``chart`` and ``track_id``, by place, chart and rank.

    Raises
    ------
    NotReadyError
        If the last night was released under another atlas.
    """
    ranks = _read(folder, nights[-1], version=f"{_FORMAT} {version}")
    lines = draw(nights).lines if ranks is None else ranks
    return lines.select("place", "chart", "track_id")


def _latest(nights: Sequence[date], *, folder: Path, version: str) -> tuple[date | None, pl.DataFrame | None]:
    """Return the last of some nights whose ranks are there, and those ranks."""
    for night in reversed(nights):
        ranks = _read(folder, night, version=version)
        if ranks is not None:
            return night, ranks
    return None, None


def _drawn(nights: Sequence[date], before: pl.DataFrame | None, *, draw: Draw, folder: Path, version: str) -> Charts:
    """Draw the charts of the last night, compare them with the night before, and keep their ranks."""
    charts = _followed(draw(nights), before)
    _write(charts.lines.select(Ranks.column_names()), folder=folder, night=nights[-1], version=version)
    return charts


def _followed(charts: Charts, before: pl.DataFrame | None) -> Charts:
    """Compare charts with the ranks of the night before."""
    if before is None:
        return charts
    last = before.select(Ranks.column_names()).rename({"rank": "last_rank", "nights_on_chart": "last_nights"})
    lines = charts.lines.join(last, on=["place", "chart", "track_id"], how="left", maintain_order="left")
    followed = lines.with_columns(
        previous_rank="last_rank", nights_on_chart=pl.col("last_nights").fill_null(0) + pl.col("nights_on_chart")
    )
    return replace(charts, lines=at_border(followed.select(Chart.column_names()), Chart))


def _read(folder: Path, night: date, *, version: str) -> pl.DataFrame | None:
    """Return a night's ranks; None where they are missing, damaged or of another version."""
    file = folder / f"{night}.parquet"
    try:
        alike = pl.read_parquet_metadata(file).get("version") == version
        return at_border(pl.read_parquet(file), Ranks) if alike else None
    except (InputError, *READ_FAILURES):
        return None


def _write(ranks: pl.DataFrame, *, folder: Path, night: date, version: str) -> None:
    content = io.BytesIO()
    at_border(ranks, Ranks).write_parquet(content, metadata={"version": version})
    replace_file(folder / f"{night}.parquet", content.getvalue())


def _forget(folder: Path, kept: set[str]) -> None:
    for file in folder.glob("[0-9]*.parquet"):
        if file.stem not in kept:
            file.unlink()
