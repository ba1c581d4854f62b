"""Past charts: each night's are drawn once and kept, so that a line can say how it has done over all nights."""

from bisect import bisect_left
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date, timedelta
from functools import partial
from itertools import count
from pathlib import Path
from typing import Any

import polars as pl

from recsys.artifacts.chart_history import Night, Standing, append, followed, listed, nights_of, standings
from recsys.errors import NotReadyError
from recsys.processes import mapping
from recsys.releases.charts.charts import Charts
from recsys.releases.snapshot.publishing import closed_up, lists_of
from recsys.schemas import OVER_ALL_NIGHTS, Chart, at_border
from recsys.settings import HistorySettings

Draw = Callable[[Sequence[date]], Charts]
Told = Callable[[int, int], None]


def _nobody(_: int, __: int) -> None:
    """Be told, and tell nobody."""


@dataclass(frozen=True)
class PastCharts:
    """The charts of all nights, drawn where they are not kept.

    Parameters
    ----------
    file : Path
        The chart history.
    draw : callable
        Returns the charts of the last of some nights, in order (:func:`recsys.releases.charts.charts.draw`).
    version : str
        What the charts are derived by (settings and atlas).
    catalogue : polars.DataFrame
        A Catalogue, for titles and artists.
    today : date
        What a night is marked with that is drawn now.
    settings : HistorySettings
    window_nights : int
        Nights that are nearer to each other than this are drawn without each other's memory.
    workers : int
        Processes that draw a backlog of more nights than that; with more than one, ``draw`` is copied to them.
    """

    file: Path
    draw: Draw
    version: str
    catalogue: pl.DataFrame
    today: date
    settings: HistorySettings
    window_nights: int = 1
    workers: int = 1

    def charts(self, nights: Sequence[date], *, told: Told = _nobody) -> Charts:
        """Return the charts of the last night, each line with how it has done over all nights.

        Nights since the last one that is kept, for which no run drew charts, are drawn first, in order, and kept like
        this one. What is kept stays as it is, also where the same night would be drawn otherwise now.

        Parameters
        ----------
        nights : sequence of date
            All released nights, in order; at least one.
        told : callable, optional
            Is called with how many nights are drawn, and how many there are to draw.

        Raises
        ------
        NotReadyError
            If the last night was released under another atlas, or a process that draws is killed.
        InputError
            If the history cannot be read.
        """
        known = max((night.night for night in nights_of(self.file)), default=date.min)
        missing = [night for night in nights[:-1] if night > known][-self.settings.catch_up_nights :]
        workers = self.workers if len(missing) > self.window_nights else 1
        due, done = [*missing, nights[-1]], count(1)
        found: Charts | None = None
        with mapping(partial(_if_possible, self.draw), workers=workers) as drawn:
            for near in _apart(due, window_nights=self.window_nights, workers=workers):
                for charts in drawn([night for night in nights if night <= last] for last in near):
                    found = charts and self._kept(charts)
                    told(next(done), len(due))
        return found or self._kept(self.draw(nights))  # which says why the last night has none

    def lists(self, nights: Sequence[date]) -> pl.DataFrame:
        """Return which tracks were on the charts of the last night: as they were kept, else as they are drawn again.

        Parameters
        ----------
        nights : sequence of date
            Released nights, in order; at least one.

        Returns
        -------
        polars.DataFrame
            ``place``, ``chart`` and ``track_id``, by place, chart and rank.

        Raises
        ------
        NotReadyError
            If the last night was released under another atlas.
        """
        kept = {(night.night, night.version) for night in nights_of(self.file)}
        if (nights[-1], self.version) in kept:
            columns = ("place", "chart", "track_id")
            return pl.DataFrame(listed(self.file, nights[-1]), schema=dict.fromkeys(columns, pl.String), orient="row")
        return self._closed_up(self.draw(nights)).lines.select("place", "chart", "track_id")

    def _kept(self, drawn: Charts) -> Charts:
        """Follow the lines of the charts of a night, and append them, of ranks as they are published."""
        last = drawn.nights[-1]
        charts = self._followed(self._closed_up(drawn), last)
        night = Night(last, self.today, len(charts.nights), self.version)
        artists = dict(self.catalogue.select("track_id", "artist_id").iter_rows())
        lists = lists_of(charts, catalogue=self.catalogue)
        append(self.file, night, lists, kept=self.settings.lines, artists=artists)
        return charts

    def _closed_up(self, charts: Charts) -> Charts:
        return replace(charts, lines=closed_up(charts.lines, catalogue=self.catalogue))

    def _followed(self, charts: Charts, night: date) -> Charts:
        places = charts.lines["place"].unique(maintain_order=True).to_list()
        by_place = charts.lines.partition_by("place", as_dict=True, maintain_order=True)
        before = standings(self.file, night, places=places)
        rows = (row for place, known in before for row in _rows(by_place[place,], known, night=night))
        columns = ("previous_rank", "nights_on_chart", *OVER_ALL_NIGHTS)
        schema = {name: Chart.columns()[name].dtype for name in columns}
        facts = pl.DataFrame(list(rows), schema=schema, orient="row")
        ordered = pl.concat([by_place[place,] for place in places]) if places else charts.lines
        lines = ordered.with_columns(facts.get_columns())
        return replace(charts, lines=at_border(lines, Chart))


def _if_possible(draw: Draw, nights: Sequence[date]) -> Charts | None:
    """Draw the charts of the last night, if it has some: one under another atlas has none under this one."""
    try:
        return draw(nights)
    except NotReadyError:
        return None


def _apart(nights: Sequence[date], *, window_nights: int, workers: int) -> Iterator[Sequence[date]]:
    """Yield nights in order, those together of which none remembers another: as many as workers share evenly."""
    while nights:
        near = bisect_left(nights, nights[0] + timedelta(days=window_nights))
        even = near - near % workers or near
        yield nights[:even]
        nights = nights[even:]


def _rows(lines: pl.DataFrame, known: Mapping[tuple[str, str], Standing], *, night: date) -> Iterator[tuple[Any, ...]]:
    """Yield what is to be said of each line of a place, by its standing before."""
    for chart, track, rank in lines.select("chart", "track_id", "rank").iter_rows():
        now = followed(known.get((chart, track)), night=night, rank=rank)
        yield now.previous_rank, now.in_row, now.first_night, now.first_rank, now.peak_rank, now.peak_night, now.nights
