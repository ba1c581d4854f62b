"""What of a night goes to MLflow: settings, numbers, a table and a map by region; nothing about a listener."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import date
from hashlib import sha256
from pathlib import Path

import polars as pl

from pipelines.deployment import Deployment, Sources
from pipelines.maps import draw_map
from pipelines.tracking import Run
from recsys.atlas import Atlas
from recsys.models.evaluation import Evaluation
from recsys.releases.accounting import summary
from recsys.workspace import digest

COLOURED_BY = "blend.ndcg_at_10"


def log_inputs(run: Run, sources: Sources, *, nights: Sequence[date]) -> None:
    """Log the digests of what was read: the listens of the nights, the catalogue, the consents."""
    run.dataset("listens", digest_of(listens_files(sources.listens, nights=nights)))
    run.dataset("catalogue", digest(sources.catalogue))
    if sources.consents:
        run.dataset("consents", digest(sources.consents))


@contextmanager
def spending(run: Run, deployment: Deployment) -> Iterator[None]:
    """Log by the ledger what the block spent, also when it fails, what was spent in all, and what that guarantees."""
    before = _spent(deployment)
    try:
        yield
    finally:
        total = _spent(deployment)
        guarantees = {f"privacy.{key}": value for key, value in summary(deployment.settings.privacy).items()}
        run.metrics({"privacy.rho_spent": total - before, "privacy.rho_spent_in_all": total, **guarantees})


def _spent(deployment: Deployment) -> float:
    return sum(entry.spend.rho for entry in deployment.ledger.entries())


def log_models(run: Run, evaluation: Evaluation, *, atlas: Atlas, night: date) -> None:
    """Log how good the models are: overall, as a table by region, and as a map."""
    run.metrics(evaluation.metrics)
    by_region = named(evaluation.by_part, atlas=atlas)
    if by_region.height:
        run.table(by_region, "regions")
        values = dict(by_region.filter(pl.col(COLOURED_BY).is_not_nan()).select("place", COLOURED_BY).iter_rows())
        title = f"How well the blend ranks, by region, for the nights to {night}"
        run.figure(draw_map(values, atlas=atlas, title=title, label=COLOURED_BY), "map")


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


def listens_files(source: Path, *, nights: Sequence[date]) -> list[Path]:
    """Return the files that hold the listens of some nights: those of their partitions, or all of a flat input."""
    if source.is_file():
        return [source]
    partitions = [folder for night in nights if (folder := source / f"date={night}").is_dir()]
    return sorted(file for folder in partitions or [source] for file in folder.rglob("*") if file.is_file())


def digest_of(files: Sequence[Path]) -> str:
    """Return one SHA-256 over the digests of several files."""
    return sha256("".join(digest(file) for file in files).encode()).hexdigest()
