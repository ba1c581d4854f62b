"""The page of a run: which model was better where, in words and charts, in one file that needs no network."""

from collections.abc import Mapping, Sequence
from datetime import date
from html import escape
from importlib.resources import files

import numpy as np
import polars as pl

from pipelines.report.drawing import Dot, country_map, dots, lines, world_map
from pipelines.report.maps import largest_countries
from pipelines.report.wording import NAMES, sentences
from recsys.geography.atlas import Atlas
from recsys.geography.places import Place
from recsys.models.bootstrap import Difference, paired
from recsys.models.evaluation import Evaluation
from recsys.models.report_tables import HISTORIES, MODELS, SERVED

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
    title = f"Models for the nights to {night}"
    if not evaluation.metrics:
        return _page(title, [_section("Nothing was measured", f"<p>{escape(evaluation.note)}</p>")])
    gains = regional_gains(regions)
    sections = [
        _tiles(evaluation, gains),
        _section("In short", _said(sentences(evaluation, gains))),
        _section("Models side by side", _models(evaluation), _MODELS_NOTE),
        _section("What each region gains over the global model", _regions(gains), _REGIONS_NOTE, wide=True),
        _section("On the map", _maps(gains, atlas), _MAPS_NOTE, wide=True),
        _section("By how much a listener played before", _histories(evaluation), _HISTORIES_NOTE),
        _section("Training", _curve(evaluation), "Loss of the global model after every sweep."),
        _section("What the lists are like", _portraits(evaluation), _PORTRAITS_NOTE, wide=True),
    ]
    return _page(title, sections)


def regional_gains(regions: pl.DataFrame) -> pl.DataFrame:
    """Return what each region gains over the global model, best first.

    Returns
    -------
    polars.DataFrame
        ``place, name, country, listeners, gain, low, high``: listeners are those of the test.
    """
    over = f"{SERVED}_minus.global.ndcg_at_10"
    return regions.select(
        "place",
        "name",
        "country",
        pl.col("test_listeners").alias("listeners"),
        *(pl.col(f"{over}{end}").alias(name) for end, name in (("", "gain"), ("_low", "low"), ("_high", "high"))),
    ).sort(["gain", "place"], descending=[True, False])


def _tiles(evaluation: Evaluation, gains: pl.DataFrame) -> str:
    """Return the four numbers to see first."""
    metrics, over = evaluation.metrics, f"{SERVED}_minus.global.macro_ndcg_at_10"
    if not np.isfinite(metrics[over]):
        return ""
    surely = gains.filter(pl.col("low") > 0).height
    found = {
        "macro NDCG@10 of what is served": f"{metrics[f'{SERVED}.macro_ndcg_at_10']:.4f}",
        f"over one global model, {metrics[f'{over}_low']:+.4f} to {metrics[f'{over}_high']:+.4f}": (
            f"{metrics[f'{over}_relative']:+.1%}"
        ),
        f"of {gains.height} regions surely gain over the global model": f"{surely}",
        "surely lose against it or a model of their own alone": f"{metrics['regions.surely_below_either']:.0f}",
    }
    tiles = [f'<div class="tile"><b>{escape(number)}</b>{escape(what)}</div>' for what, number in found.items()]
    return f'<div class="tiles wide">{"".join(tiles)}</div>'


def _models(evaluation: Evaluation) -> str:
    at_home = evaluation.listeners.drop_nulls("part").sort("row")
    frame = at_home if at_home.height else evaluation.listeners
    there = [model for model in MODELS if not frame[model].is_nan().all()]
    strata = frame["part"].rank("dense").fill_null(0).to_numpy()
    found = dict(zip(there, paired(frame.select(there).to_numpy(), strata), strict=True))
    ordered = sorted(found, key=lambda model: -found[model].mean)
    return dots([_model_row(model, found[model]) for model in ordered])


def _model_row(model: str, found: Difference) -> Dot:
    kind = "served" if model == SERVED else ""
    return Dot(NAMES[model], found.mean, found.low, found.high, f"{found.mean:.4f}", kind)


def _regions(gains: pl.DataFrame) -> str:
    if gains.is_empty():
        return "<p>No region has enough test listeners.</p>"
    rows = [_region_row(row) for row in gains.iter_rows(named=True)]
    if len(rows) <= 2 * NAMED:
        return dots(rows, zero=True)
    first, last = rows[:NAMED], rows[-NAMED:]
    between = f'<p class="between">{len(rows) - 2 * NAMED} regions between</p>'
    sides = (dots(first, beside=last, zero=True), between, dots(last, beside=first, zero=True))
    return f'<div class="sides">{"".join(sides)}</div>'


def _region_row(row: Mapping[str, str | int | float]) -> Dot:
    low, high, gain = float(row["low"]), float(row["high"]), float(row["gain"])
    kind = "gain" if low > 0 else "loss" if high < 0 else ""
    return Dot(str(row["name"]), gain, low, high, f"{gain:+.3f}", kind)


def _maps(gains: pl.DataFrame, atlas: Atlas) -> str:
    values = dict(gains.select("place", "gain").iter_rows())
    places = [place for id_ in values if (place := atlas.places[id_]).level == "region"]
    countries = largest_countries(places)[:PANELS]
    panels = [_panel([p for p in places if p.parent == country], values) for country in countries]
    return world_map(places, values) + f'<div class="panels">{"".join(panels)}</div>'


def _panel(places: Sequence[Place], gains: Mapping[str, float]) -> str:
    return f"<figure>{country_map(places, gains)}<figcaption>{escape(places[0].country or '')}</figcaption></figure>"


def _histories(evaluation: Evaluation) -> str:
    table = evaluation.by_history
    series = {NAMES[model]: table.filter(pl.col("model") == model)["ndcg_at_10"].to_list() for model in DRAWN}
    return lines(series, across=HISTORIES)


def _curve(evaluation: Evaluation) -> str:
    curve = evaluation.curve
    if curve.is_empty():
        return "<p>The engine solves a closed form: there is no curve.</p>"
    series = {str(model): frame["loss"].to_list() for (model,), frame in curve.group_by("model", maintain_order=True)}
    return lines(series, across=[str(step + 1) for step in sorted(curve["step"].unique())])


def _portraits(evaluation: Evaluation) -> str:
    head = "".join(f"<th>{escape(title)}</th>" for title in _PORTRAITS.values())
    rows = [_portrait(model, evaluation.metrics) for model in MODELS]
    return f'<div class="scrolled"><table><tr><th>model</th>{head}</tr>{"".join(rows)}</table></div>'


def _portrait(model: str, metrics: Mapping[str, float]) -> str:
    values = [metrics[f"{model}.{name}"] for name in _PORTRAITS]
    cells = "".join(f"<td>{value:.3f}</td>" if np.isfinite(value) else "<td>–</td>" for value in values)
    kind = ' class="served"' if model == SERVED else ""
    return f"<tr{kind}><th>{escape(NAMES[model])}</th>{cells}</tr>"


def _said(sentences: Sequence[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(sentence)}</li>" for sentence in sentences) + "</ul>"


def _section(title: str, content: str, note: str = "", *, wide: bool = False) -> str:
    below = f'<p class="note">{escape(note)}</p>' if note else ""
    kind = ' class="wide"' if wide else ""
    return f"<section{kind}><h2>{escape(title)}</h2>{below}{content}</section>"


def _page(title: str, sections: Sequence[str]) -> str:
    style = files("pipelines.report").joinpath("report.css").read_text(encoding="utf-8")
    head = f'<meta charset="utf-8"><meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
    body = f"<h1>{escape(title)}</h1><main>{''.join(sections)}</main>"
    return f'<!doctype html><html lang="en"><head>{head}<style>{style}</style></head><body>{body}</body></html>\n'


_PORTRAITS = {
    "ndcg_at_10": "NDCG@10",
    "with_heard_ndcg_at_10": "heard kept",
    "recall_at_100": "recall@100",
    "mrr": "MRR",
    "worst_ndcg_at_10": "worst regions",
    "coverage": "coverage",
    "novelty": "novelty, bits",
    "overlap": "overlap",
    "local_share": "local artists",
    "popularity_lift_niche": "lift, niche",
    "popularity_lift_mainstream": "lift, mainstream",
}
_MODELS_NOTE = (
    "NDCG at 10 on tracks a listener had not played before, every region counting the same; the line is the 95 % "
    "interval. All models were asked for the same listeners, so that two can differ surely where their lines overlap."
)
_REGIONS_NOTE = (
    "NDCG at 10 of what is served minus that of the global model, with 95 % intervals: blue surely gains, orange "
    "surely loses. Of many regions, one in twenty would look sure by chance."
)
_MAPS_NOTE = "Blue regions gain, orange ones lose; the stronger the colour, the more."
_HISTORIES_NOTE = "NDCG at 10 by past listens; 0 is somebody's first day, for which the global model has no order."
_PORTRAITS_NOTE = (
    "Heard kept: NDCG at 10 where what a listener had played before may be listed, too; elsewhere it is not. Worst "
    "regions: NDCG at 10 of the worst tenth. Overlap: how much of two regions' ten most listed tracks is the same. "
    "Lift: how much more popular tracks are than those a listener plays, 1 meaning twice as popular."
)
