"""What a night logs to MLflow: settings, numbers, tables, a map and a page to look at; no figure of one person."""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import date
from hashlib import sha256

import dataframely as dy
import polars as pl
from matplotlib.figure import Figure

from pipelines.base.job_context import JobContext, Sources
from pipelines.mlflow.metric_keys import COMPARED, HEADLINE, logged_keys
from pipelines.mlflow.run_record import Run
from pipelines.report.maps import draw_map
from pipelines.report.page import render
from recsys.arrivals.input_tables import Counts, TableFile, digest_of, files_of
from recsys.geography.atlas import Atlas
from recsys.locations import Location
from recsys.models.blending import TREE_FEATURES
from recsys.models.collaborative import FEATURES
from recsys.models.evaluation.evaluation import SECONDS, SIZES, Evaluation
from recsys.models.evaluation.report_tables import METRICS_OF_MODELS, MODELS, SERVED
from recsys.releases.budget.accounting import summary
from recsys.schemas import Contributions, Listens

_SERVED, _SHARED = f"{SERVED}.ndcg_at_10", "global.ndcg_at_10"  # columns of the regions, whose difference is the map


def log_inputs(run: Run, sources: Sources, *, nights: Sequence[date]) -> None:
    """Log the digests of what was read: the listens of the nights, if there are any, the catalogue, the consents."""
    if nights:
        listens = digest_of_all(listens_files(sources.listens, nights=nights))
        run.dataset("listens", listens, source="what the app's backend delivers a night", columns=_types(Listens))
    run.dataset("catalogue", _digest(sources.catalogue), source="the tracks", columns=_CATALOGUE)
    if sources.consents:
        source = "decisions that were taken elsewhere"
        run.dataset("consents", _digest(sources.consents), source=source, columns=_CONSENTS)


def log_data(run: Run, digest: str) -> None:
    """Log on which contributions models were measured: the digest that says which runs were asked the same."""
    source = "the workspace's private store, as far as listeners allow personalisation"
    run.dataset("contributions", digest, source=source, columns=_types(Contributions))


def _types(schema: type[dy.Schema]) -> dict[str, str]:
    """Return MLflow's types of a schema's columns."""
    return {name: _TYPES[type(column.dtype)] for name, column in schema.columns().items()}


_TYPES = {
    pl.String: "string",
    pl.Date: "datetime",
    pl.Datetime: "datetime",
    pl.Float64: "double",
    pl.Int64: "long",
    pl.UInt32: "long",
    pl.UInt8: "integer",
    pl.Boolean: "boolean",
}
_CATALOGUE = {
    **dict.fromkeys(("track_id", "title", "artist_id", "artist", "artist_country"), "string"),
    "released": "datetime",
}
_CONSENTS = {
    **dict.fromkeys(("user_id", "purpose", "state", "notice_version"), "string"),
    "at": "datetime",
}


def _digest(source: Location) -> str:
    """Return the digest of a file, or one over those of a folder."""
    files = files_of(source)
    return digest_of(files[0]) if source.is_file() else digest_of_all(files)


@contextmanager
def spending(run: Run, job: JobContext) -> Iterator[None]:
    """Log by the ledger what the block spent, also when it fails, what was spent in all, and what that guarantees."""
    before = _spent(job)
    try:
        yield
    finally:
        total = _spent(job)
        guarantees = {f"privacy.{key}": value for key, value in summary(job.settings.privacy).items()}
        run.metrics({"privacy.rho_spent": total - before, "privacy.rho_spent_in_all": total, **guarantees})


def _spent(job: JobContext) -> float:
    return sum(entry.spend.rho for entry in job.ledger.entries())


def log_models(run: Run, evaluation: Evaluation, *, atlas: Atlas, night: date) -> None:
    """Log how good the models are: numbers, tables, a map, and a page that shows them."""
    run.metrics(numbers(evaluation))
    for (model,), curve in evaluation.curve.group_by("model", maintain_order=True):
        run.curve(f"loss.{model}", curve["loss"].to_list())
    by_region = named(evaluation.by_part, atlas=atlas)
    tables = {
        "metrics": models_side_by_side(evaluation.metrics),
        "regions": by_region,
        "histories": evaluation.by_history,
        "popularity": evaluation.by_popularity,
        "countries": evaluation.by_country,
        "comparisons": evaluation.comparisons,
        "curve": evaluation.curve,
    }
    for name, table in tables.items():
        if table.height:
            run.table(table, name)
    if by_region.height:
        run.figure(_map(by_region, atlas=atlas, night=night), "map")
    run.text(render(evaluation, regions=by_region, atlas=atlas, night=night), "report.html")


def numbers(evaluation: Evaluation) -> dict[str, float]:
    """Return what a run logs of its models: the same keys whatever was measured, NaN for what was not."""
    groups: Mapping[str, tuple[Sequence[str], Mapping[str, float]]] = {
        "size": (SIZES, evaluation.sizes),
        "weight": (FEATURES, evaluation.weights),
        "importance": (TREE_FEATURES, evaluation.importances),
        "seconds": (SECONDS, evaluation.seconds),
    }
    found = {key: evaluation.metrics.get(key, math.nan) for key in logged_keys()}
    for group, (names, values) in groups.items():
        found |= {f"{group}.{name}": float(values.get(name, math.nan)) for name in names}
    return found


def log_night(run: Run, evaluation: Evaluation, *, night: date, rows: Mapping[date, Counts]) -> None:
    """Add nights to the series over all nights: their rows, and what the models were worth after the last one."""
    for each, tally in rows.items():
        run.series(each, {"nights.rows": tally.rows, "nights.bad_rows": tally.rows - tally.good})
    found = {key: evaluation.metrics.get(key, math.nan) for key in (HEADLINE, COMPARED, *_OVER_NIGHTS)}
    measured = {f"nights.{key}": value for key, value in found.items() if not math.isnan(value)}
    run.series(night, measured)


_OVER_NIGHTS = (f"{SERVED}.recall_at_20", f"{SERVED}.coverage")


def models_side_by_side(metrics: Mapping[str, float]) -> pl.DataFrame:
    """Return all metrics, a row each and a column a model; no row where nothing was measured."""
    columns = {model: [metrics.get(f"{model}.{name}") for name in METRICS_OF_MODELS] for model in MODELS}
    table = pl.DataFrame({"metric": METRICS_OF_MODELS, **columns}, schema_overrides=dict.fromkeys(MODELS, pl.Float64))
    return table.filter(pl.any_horizontal(pl.col(MODELS).is_not_null()))


def headline(evaluation: Evaluation) -> dict[str, float]:
    """Return the NDCG at 10 of every model that could be measured, rounded to be read."""
    return {f"{model}.ndcg_at_10": value for model, value in by_model(evaluation.metrics, "ndcg_at_10").items()}


def by_model(metrics: Mapping[str, float], metric: str) -> dict[str, float]:
    """Return a metric of every model that has it, rounded to be read."""
    found = {model: metrics.get(f"{model}.{metric}", math.nan) for model in MODELS}
    return {model: round(value, 4) for model, value in found.items() if not math.isnan(value)}


def _map(by_region: pl.DataFrame, *, atlas: Atlas, night: date) -> Figure:
    values = dict(by_region.select("place", pl.col(_SERVED) - pl.col(_SHARED)).iter_rows())
    title = f"What regions gain over the global model, for the nights to {night}"
    return draw_map(values, atlas=atlas, title=title, label="NDCG at 10, blend minus global")


def named(by_part: pl.DataFrame, *, atlas: Atlas) -> pl.DataFrame:
    """Put the names of places before a table by part of the atlas."""
    places = [atlas.places[atlas.place_of(part)] for part in by_part["part"]]
    names = pl.DataFrame(
        {
            "place": [place.id for place in places],
            "name": [place.name for place in places],
            "country": [place.country for place in places],
        },
        schema={"place": pl.String, "name": pl.String, "country": pl.String},
    )
    return pl.concat([names, by_part], how="horizontal")


def listens_files(source: Location, *, nights: Sequence[date]) -> list[TableFile]:
    """Return the files that hold the listens of some nights: those of their partitions, or all of a flat input."""
    partitions = [folder for night in sorted(nights) if (folder := source / f"date={night}").is_dir()]
    return [file for folder in partitions or [source] for file in files_of(folder)]


def digest_of_all(files: Sequence[TableFile]) -> str:
    """Return one SHA-256 over the digests of several files."""
    return sha256("".join(map(digest_of, files)).encode()).hexdigest()
