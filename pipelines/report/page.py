"""The page of a run: which model was better where, in words and charts, in one file that needs no network."""

from collections.abc import Mapping
from datetime import date
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup

from pipelines.report.drawing import Dot, country_map, dots, lines, world_map
from pipelines.report.html_templates import template, text_of
from pipelines.report.maps import largest_countries
from pipelines.report.wording import NAMES, sentences
from recsys.geography.atlas import Atlas
from recsys.models.evaluation.by_popularity import AT
from recsys.models.evaluation.evaluation import Evaluation
from recsys.models.evaluation.intervals import Difference, paired, sure
from recsys.models.evaluation.report_tables import HISTORIES, MODELS, SERVED

NAMED = 15  # regions that gain most, and as many that gain least, are named
PANELS = 4  # countries shown larger
DRAWN = (SERVED, "global", "recent_region", "popular_world")  # models whose lines are drawn by history


def render(evaluation: Evaluation, *, regions: pl.DataFrame, atlas: Atlas, night: date) -> str:
    """Return the page of an evaluation.

    Parameters
    ----------
    evaluation : Evaluation
    regions : polars.DataFrame
        Its ``by_part`` with columns ``place``, ``name`` and ``country`` before it.
    atlas : Atlas
    night : date
        The last night.

    Returns
    -------
    str
        HTML with its style inside.
    """
    page = template("page.html.j2")
    title, style = f"Models for the nights to {night}", Markup(text_of("report.css"))  # noqa: S704 - our own
    found = _found(evaluation, regional_gains(regions), atlas=atlas) if evaluation.metrics else None
    return page.render(title=title, style=style, note=evaluation.note, found=found)


def regional_gains(regions: pl.DataFrame) -> pl.DataFrame:
    """Return what each region gains over the global model, best first.

    Returns
    -------
    polars.DataFrame
        ``place, name, country, listeners, gain, low, high, sure``: listeners are those of the test, and of the gains
        that are sure one in twenty is chance (:func:`~recsys.models.evaluation.intervals.sure`).
    """
    over = f"{SERVED}_minus.global.ndcg_at_10"
    return regions.select(
        "place",
        "name",
        "country",
        pl.col("test_listeners").alias("listeners"),
        *(pl.col(f"{over}{end}").alias(name) for end, name in (("", "gain"), ("_low", "low"), ("_high", "high"))),
        pl.Series("sure", sure(regions[f"{over}_chance"].to_list())),
    ).sort(["gain", "place"], descending=[True, False])


def _found(evaluation: Evaluation, gains: pl.DataFrame, *, atlas: Atlas) -> dict[str, Any]:
    """Return what the page shows of an evaluation in which something was measured."""
    return {
        "tiles": _tiles(evaluation, gains),
        "sentences": sentences(evaluation, gains),
        "models": _models(evaluation),
        "regions": _regions(gains),
        "between": gains.height - 2 * NAMED,
        "histories": _histories(evaluation),
        "popularities": _popularities(evaluation),
        "countries": [_country(row, atlas) for row in evaluation.by_country.iter_rows(named=True)],
        "importances": _importances(evaluation),
        "curve": _curve(evaluation),
        "columns": list(_BEYOND_ACCURACY.values()),
        "beyond_accuracy": [_beyond_accuracy(model, evaluation.metrics) for model in MODELS],
        **_maps(gains, atlas),
    }


def _tiles(evaluation: Evaluation, gains: pl.DataFrame) -> dict[str, tuple[str, str]]:
    """Return the four numbers to see first, by what they are, each with its class."""
    metrics, over = evaluation.metrics, f"{SERVED}_minus.global.macro_ndcg_at_10"
    if not np.isfinite(metrics[over]):
        return {}
    surely = gains.filter(pl.col("sure") & (pl.col("gain") > 0)).height
    low, high = metrics[f"{over}_low"], metrics[f"{over}_high"]
    return {
        "macro NDCG@10 of what is served": (f"{metrics[f'{SERVED}.macro_ndcg_at_10']:.4f}", ""),
        f"over one global model, {low:+.4f} to {high:+.4f}": (f"{metrics[f'{over}_relative']:+.1%}", _kind(low, high)),
        f"of {gains.height} regions surely gain over the global model": (f"{surely}", ""),
        "surely lose against it or a model of their own alone": (f"{metrics['regions.surely_below_either']:.0f}", ""),
    }


def _kind(low: float, high: float) -> str:
    """Return the class, and with it the colour, of a difference by its interval: none where it is not sure."""
    return "gain" if low > 0 else "loss" if high < 0 else ""


def _models(evaluation: Evaluation) -> Markup:
    at_home = evaluation.listeners.drop_nulls("part").sort("listener")
    frame = at_home if at_home.height else evaluation.listeners
    there = [model for model in MODELS if not frame[model].is_nan().all()]
    strata = frame["part"].rank("dense").fill_null(0).to_numpy()
    found = dict(zip(there, paired(frame.select(there).to_numpy(), strata), strict=True))
    ordered = sorted(found, key=lambda model: -found[model].mean)
    return dots([_model_row(model, found[model]) for model in ordered])


def _model_row(model: str, found: Difference) -> Dot:
    kind = "served" if model == SERVED else ""
    return Dot(NAMES[model], found.mean, found.low, found.high, f"{found.mean:.4f}", kind)


def _regions(gains: pl.DataFrame) -> list[Markup]:
    """Return the chart of all regions; where they are many, one of the best and one of the worst."""
    rows = [_region_row(row) for row in gains.iter_rows(named=True)]
    if len(rows) <= 2 * NAMED:
        return [dots(rows, zero=True)] if rows else []
    first, last = rows[:NAMED], rows[-NAMED:]
    return [dots(first, beside=last, zero=True), dots(last, beside=first, zero=True)]


def _region_row(row: Mapping[str, str | int | float]) -> Dot:
    low, high, gain = float(row["low"]), float(row["high"]), float(row["gain"])
    kind = ("gain" if gain > 0 else "loss") if row["sure"] else ""
    return Dot(str(row["name"]), gain, low, high, f"{gain:+.3f}", kind)


def _maps(gains: pl.DataFrame, atlas: Atlas) -> dict[str, Any]:
    values = dict(gains.select("place", "gain").iter_rows())
    places = [place for id_ in values if (place := atlas.places[id_]).level == "region"]
    countries = [atlas.places[country] for country in largest_countries(places)[:PANELS]]
    panels = {each.name: country_map([p for p in places if p.parent == each.id], values) for each in countries}
    return {"world": world_map(places, values), "panels": panels}


def _histories(evaluation: Evaluation) -> Markup:
    table = evaluation.by_history
    series = {NAMES[model]: table.filter(pl.col("model") == model)["ndcg_at_10"].to_list() for model in DRAWN}
    return lines(series, across=HISTORIES)


def _popularities(evaluation: Evaluation) -> Markup:
    table = evaluation.by_popularity
    recall = {model: table.filter(pl.col("model") == model)[f"recall_at_{AT}"].to_list() for model in DRAWN}
    tracks = table.filter(pl.col("model") == SERVED)["tracks"].to_list()
    return lines({NAMES[model]: values for model, values in recall.items()}, across=[f"{each:,}" for each in tracks])


def _country(row: Mapping[str, Any], atlas: Atlas) -> dict[str, str]:
    """Return the row of a country as it is shown; a part whose country is not known keeps its id."""
    place = atlas.places.get(row["country"])
    return {
        "name": place.name if place else row["country"],
        "played": f"{row['local_share_played']:.1%}",
        "listed": f"{row['local_share_listed']:.1%}",
        "points": f"{row['points']:+.1f}",
    }


def _importances(evaluation: Evaluation) -> Markup | None:
    ordered = sorted(evaluation.importances.items(), key=lambda found: (-found[1], found[0]))
    rows = [Dot(name.replace("_", " "), value, value, value, f"{value:+.4f}") for name, value in ordered]
    return dots(rows, zero=True) if rows else None


def _curve(evaluation: Evaluation) -> Markup | None:
    curve = evaluation.curve
    if curve.is_empty():
        return None
    series = {str(model): frame["loss"].to_list() for (model,), frame in curve.group_by("model", maintain_order=True)}
    return lines(series, across=[str(step + 1) for step in sorted(curve["step"].unique())])


def _beyond_accuracy(model: str, metrics: Mapping[str, float]) -> dict[str, Any]:
    values = [metrics[f"{model}.{name}"] for name in _BEYOND_ACCURACY]
    figures = [f"{value:.3f}" if np.isfinite(value) else "–" for value in values]
    return {"name": NAMES[model], "served": model == SERVED, "figures": figures}


_BEYOND_ACCURACY = {
    "ndcg_at_10": "NDCG@10",
    "with_heard_ndcg_at_10": "heard kept",
    "recall_at_100": "recall@100",
    "mrr": "MRR",
    "worst_ndcg_at_10": "worst regions",
    "worst_ndcg_at_10_by_chance": "worst, by chance",
    "coverage": "coverage",
    "novelty": "novelty, bits",
    "overlap": "overlap",
    "local_share": "local artists",
    "popularity_lift_niche": "lift, niche",
    "popularity_lift_mainstream": "lift, mainstream",
}
