"""Runs written by hand: what comparing and promoting read of an MLflow store and a workspace, and nothing else."""

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
from support.sealing import sealed_in

from pipelines.experiments.paired_runs import Figures
from pipelines.mlflow.handover import run_of
from pipelines.mlflow.model_registry import LoggedRun, Registry
from pipelines.mlflow.tracking import Store
from recsys.cells import evaluations
from recsys.consents.log import ConsentLog, Entry, Purpose, State
from recsys.models.evaluation.report_tables import LISTENER_SCHEMA, MODELS
from recsys.settings import load_settings
from recsys.workspace import Workspace

PARTS = ("PT-1", "PT-1", "PT-1", "PT-2")
LAST_NIGHT = date(2026, 10, 4)
NOW = datetime(2026, 10, 5, 6, 0, tzinfo=UTC)


def workspace_of(folder: Path) -> Workspace:
    """The workspace of the runs that are logged in a folder."""
    return Workspace(folder / "workspace").prepare()


def figures_of(folder: Path) -> Figures:
    return Figures(workspace_of(folder), load_settings(), NOW)


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
    luck: Sequence[float] = (0.0, 0.0, 0.0),
    facts: Mapping[str, Mapping[str, object]] | None = None,
    store: Store | None = None,
) -> LoggedRun:
    """Log a run of a region's means, with the served model's NDCG by listener; or one of too few nights, without any.

    All listeners allow everything, and so few are enough, unless the models' settings say otherwise. The folder is
    that of the workspace, and of the store unless there is another. The luck of each draw is added to all gains.
    """
    store = store or folder
    asked = {"min_listeners_in_table": 1, **(models or {})}
    keys = load_settings().model_copy().flat() | {f"models.{key}": value for key, value in asked.items()}
    digests = {"data.digest": data, "code.digest": code, "atlas.version": atlas}
    tags = {
        **digests,
        "night": LAST_NIGHT.isoformat(),
        "champion.version": "none",
        "catalogue": str(folder / "tracks.csv"),
    }
    spool = workspace_of(folder).unlogged
    with run_of(spool, store, experiment="evaluate", name=name, params=keys, tags=tags) as run:
        if measured:
            listeners = figures(gains, parts, luck=luck)
            decide(folder, *range(len(gains)))
            with evaluations.held(sealed_in(workspace_of(folder).private)):
                evaluations.write(sealed_in(workspace_of(folder).private), listeners, run=run.id, night=LAST_NIGHT)
            run.table(_regions(listeners, facts or {}), "regions")
            run.metrics({"blend.ndcg_at_10": sum(gains) / len(gains), **(metrics or {})})
    return next(Registry(store).runs())


def figures(
    gains: Sequence[float], parts: Sequence[str | None], *, luck: Sequence[float] = (0.0, 0.0, 0.0)
) -> pl.DataFrame:
    """Rows of the private store: a listener each, whose lists by every model are as good."""
    rows = {"listener": list(map(listener, range(len(gains)))), "part": parts, "history": "1-5"}
    draws = [[gain + each for each in luck] for gain in gains]
    return pl.DataFrame({**rows, **dict.fromkeys(MODELS, gains), "draws": draws}, schema=LISTENER_SCHEMA)


def listener(number: int) -> str:
    return f"{number:032x}"


def decide(folder: Path, *numbers: int, state: State = State.GIVEN, purpose: Purpose | None = None) -> None:
    """Let some listeners give consent for two days, or withdraw it for one; for all purposes unless one is named."""
    at, purposes = NOW - timedelta(days=1 + (state == State.GIVEN)), [purpose] if purpose else list(Purpose)
    log = ConsentLog(workspace_of(folder).consents)
    log.append([Entry(listener(number), each, state, at, "2026-09") for number in numbers for each in purposes])


def withdraw(folder: Path, *numbers: int) -> None:
    """Let some listeners withdraw personalisation."""
    decide(folder, *numbers, state=State.WITHDRAWN, purpose=Purpose.PERSONALISATION)


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
