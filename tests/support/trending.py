"""A small world of many nights for charts that compare nights, whose true rates are known."""

from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import date, timedelta

import numpy as np
import polars as pl
from support.releasing import small_atlas, window

from recsys.artifacts.list_candidates import SURELY
from recsys.releases.charts import charts
from recsys.releases.counts.release_reader import Released
from recsys.settings import ChartsSettings, load_settings

ATLAS = small_atlas()
PARTS = list(ATLAS.parts)
TRACKS = 200
SIGMA = (10 / 0.03) ** 0.5  # of the noise in a part's count of a night, as `releasing.window` says
FIRST = date(2026, 8, 31)  # a Monday
CHARTS: ChartsSettings = load_settings(overrides={"charts": {"size": 10}}).charts


def steady(nights: int = 35, *, listeners: float = 4000.0) -> np.ndarray:
    """Rates by night, part and track that never change: Zipf's law, the same everywhere."""
    return np.broadcast_to(listeners / np.arange(1, TRACKS + 1), (nights, len(PARTS), TRACKS)).copy()


def counted(rates: np.ndarray, *, random: np.random.Generator) -> np.ndarray:
    """Count listeners by chance and add the noise of a release."""
    return random.poisson(rates) + np.round(random.normal(0, SIGMA, rates.shape)).astype(np.int64)


def drawn(
    counts: np.ndarray, *, settings: ChartsSettings = CHARTS, born: dict[str, date] | None = None
) -> charts.Charts:
    """Draw the charts of the last of some nights."""
    days = [FIRST + timedelta(days=i) for i in range(len(counts))]

    def read(nights: Sequence[date]) -> Released:
        sums = counts[[days.index(night) for night in nights]].sum(axis=0)
        return replace(window(sums, atlas=ATLAS, nights=len(nights)), nights=tuple(nights))

    return charts.draw(read, days, atlas=ATLAS, born=born or {}, settings=settings)


def lines(found: charts.Charts, chart: str, places: Iterable[str] = (), *, unsure: bool = False) -> pl.DataFrame:
    """Return what is surely on one chart, of some places or of all; or, with ``unsure``, the rest."""
    some = found.lines.filter(pl.col("chart") == chart, pl.col("place").is_in(list(places) or list(ATLAS.members)))
    return some.filter((pl.col("grade").fill_null(SURELY) != SURELY) == unsure)
