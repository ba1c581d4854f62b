"""Runs written by hand into an MLflow store: what a run logs that comparing and promoting read, and nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from pipelines.experiments.paired_runs import LISTENERS
from pipelines.mlflow import tracking
from pipelines.mlflow.model_registry import LoggedRun, Registry
from recsys.settings import load_settings

PARTS = ("PT-1", "PT-1", "PT-1", "PT-2")


def log_run(
    folder: Path,
    name: str,
    *,
    gains: Sequence[float],
    parts: Sequence[str | None] = PARTS,
    data: str = "d1",
    code: str = "c1",
    atlas: str = "a1",
    measured: bool = True,
    models: Mapping[str, object] | None = None,
    metrics: Mapping[str, float] | None = None,
    facts: Mapping[str, Mapping[str, object]] | None = None,
) -> LoggedRun:
    """Log a run of the served model's NDCG by listener, and a region's means; or one of too few nights, without any."""
    keys = load_settings().model_copy().flat() | {f"models.{key}": value for key, value in (models or {}).items()}
    digests = {"data.digest": data, "code.digest": code, "atlas.version": atlas}
    tags = {**digests, "night": "2026-10-04", "champion.version": "none"}
    with tracking.run(folder, experiment="evaluate", name=name, params=keys, tags=tags) as run:
        if measured:
            listeners = pl.DataFrame({"row": range(len(gains)), "part": parts, "history": "1-5", "blend": gains})
            run.table(listeners, LISTENERS)
            run.table(_regions(listeners, facts or {}), "regions")
            run.metrics({"blend.ndcg_at_10": sum(gains) / len(gains), **(metrics or {})})
    return next(Registry(folder).runs())


def _regions(listeners: pl.DataFrame, facts: Mapping[str, Mapping[str, object]]) -> pl.DataFrame:
    means = listeners.drop_nulls("part").group_by("part", maintain_order=True).agg(pl.len(), pl.col("blend").mean())
    usual = {"listeners": 30, "train_rows": 300, "own_model": True, "gate_open": True, "own_weight": 0.25}
    return pl.DataFrame(
        [
            {
                "name": f"City {part}",
                "country": "Portugal",
                "part": part,
                "test_listeners": size,
                **usual,
                **{f"{model}.ndcg_at_10": mean for model in ("global", "regional", "blend")},
                **facts.get(part, {}),
            }
            for part, size, mean in means.iter_rows()
        ]
    )
