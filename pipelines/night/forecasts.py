"""The step of the night that forecasts next week, from the chart history alone."""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts.chart_history import RankedLists, ranked_lists
from recsys.artifacts.moves import AHEAD
from recsys.geography.atlas import Atlas
from recsys.geography.places import WORLD
from recsys.models.forecast import Charts, Codes, Forecaster, Question, learn
from recsys.settings import ChartsSettings, ForecastsSettings
from recsys.workspace import Workspace

_WEEKS = 4  # before the last night: those whose hits and misses are shown
_LEAST = 0.1  # chance of what is kept


def forecast_next_week(
    workspace: Workspace, *, atlas: Atlas, charts: ChartsSettings, settings: ForecastsSettings
) -> int:
    """Forecast the last night of the chart history, and the nights whole weeks before it; what is kept stays.

    Each learns from nights that were over by then alone, so that the forecast of an earlier night is as it would have
    been then.

    Returns
    -------
    int
        Of how many nights something was forecast now.
    """
    with ranked_lists(workspace.history) as lists:
        last = lists.nights[-1]
        wanted = {last - AHEAD * week for week in range(_WEEKS + 1)} & set(lists.nights)
        missing = sorted(wanted - lists.forecast_nights()) if settings.lessons else []
        return sum(_forecast(lists, night, atlas=atlas, size=charts.size, settings=settings) for night in missing)


def asked_of(lists: RankedLists, *, atlas: Atlas, size: int) -> tuple[Charts, list[str]]:
    """Return the charts that questions are about, and the places that have some."""
    larger = {id_: place.parent or WORLD for id_, place in atlas.places.items()}
    places = [place for place in lists.places if place in larger]
    countries = [place for place in places if atlas.places[place].level == "country"]
    return Charts(lists.read, larger, countries, size), places


def lessons(lists: RankedLists, places: Sequence[str], *, night: int, number: int) -> set[tuple[int, str]]:
    """Return so many past nights and places at most, at random, that every run would choose alike."""
    nights = [each for each in lists.nights if each <= night - AHEAD]
    every = len(nights) * len(places)
    chosen = np.random.default_rng(night).choice(every, min(number, every), replace=False)
    return {(nights[each // len(places)], places[each % len(places)]) for each in chosen.tolist()}


def _forecast(lists: RankedLists, night: int, *, atlas: Atlas, size: int, settings: ForecastsSettings) -> bool:
    """Forecast a night, if enough happened before it."""
    charts, places = asked_of(lists, atlas=atlas, size=size)
    forecaster = learn(charts, lessons(lists, places, night=night, number=settings.lessons))
    if forecaster is None:
        return False
    asked = {place: charts.question(place, night) for place in places}
    lists.keep(night, _chances(forecaster, {place: each for place, each in asked.items() if each is not None}))
    return True


def _chances(forecaster: Forecaster, asked: Mapping[str, Question]) -> dict[str, tuple[Codes, NDArray[np.float64]]]:
    """Return what is kept by place: the tracks that have some chance, the most probable first."""
    found = np.split(forecaster.chances(list(asked.values())), np.cumsum([len(each.tracks) for each in asked.values()]))
    kept = {}
    for (place, question), chances in zip(asked.items(), found[:-1], strict=True):
        order = np.argsort(-chances, kind="stable")
        order = order[chances[order] >= _LEAST]
        kept[place] = question.tracks[order], chances[order]
    return kept
