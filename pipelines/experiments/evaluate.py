"""The job that measures models on what the workspace holds, and logs one run to compare."""

import math
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl
from rich import box
from rich.table import Table
from rich.text import Text

from pipelines.base.experiment_config import Config
from pipelines.base.job_context import JobContext
from pipelines.base.machine import PROCESS, side_by_side
from pipelines.base.terminal import parts, step
from pipelines.experiments.paired_runs import DRAWS, keep
from pipelines.experiments.search import Found, search
from pipelines.mlflow import logbook
from pipelines.mlflow.run_record import Run, Status, Trial
from pipelines.mlflow.run_tags import DATA_DIGEST, NIGHT, allowed_rows, tags_of_data, tracked
from pipelines.mlflow.tracking import DESCRIPTION
from pipelines.mlflow.views import TRIAL
from recsys.errors import InputError
from recsys.geography.atlas import countries
from recsys.models.evaluation.evaluation import Evaluation, evaluate
from recsys.models.evaluation.report_tables import MODELS, SERVED
from recsys.models.interactions import nights
from recsys.settings import MachineSettings, ModelsSettings

SHOWN = ("macro_ndcg_at_10", "ndcg_at_10", "recall_at_20", "coverage")

_FEW = 20_000  # rows: from so many on, a training takes longer than a process to begin

BEST = "search.best.macro_ndcg_at_10"  # of the validation nights; NaN without a search, so that all runs have the key


@dataclass(frozen=True)
class Measured:
    """How good the models are on some data.

    Parameters
    ----------
    evaluation : Evaluation
    tags : mapping of str to str
        Which data, and up to which night.
    """

    evaluation: Evaluation
    tags: Mapping[str, str]


@dataclass(frozen=True)
class Done:
    """What an experiment found.

    Parameters
    ----------
    summary : dict
        What the command line prints.
    metrics : mapping of str to float
    """

    summary: dict[str, Any]
    metrics: Mapping[str, float] = field(repr=False)


def measure(rows: pl.DataFrame, *, job: JobContext, models: ModelsSettings, times: int = 1) -> Measured:
    """Measure the models on contributions that may be trained on: for a night and an experiment alike.

    Where that is done several times, in as many processes as there are cores and as fit into memory.
    """
    artists = dict(job.catalogue.select("track_id", "artist_id").iter_rows())
    with parts("models") as told:
        evaluation = evaluate(
            rows,
            settings=models,
            parents=countries(job.atlas),
            artists=artists,
            origins=job.origins,
            times=times,
            workers=workers_for(rows, machine=job.settings.machine),
            told=told,
        )
    return Measured(evaluation, {**tags_of_data(rows), DESCRIPTION: described(evaluation)})


def workers_for(rows: pl.DataFrame, *, machine: MachineSettings) -> int:
    """Return how many processes may work beside a training on some contributions."""
    return side_by_side(machine, each=PROCESS) if rows.height > _FEW else 1


def described(evaluation: Evaluation) -> str:
    """Return what MLflow's page says of a run: how good the served model is, and where to look."""
    metrics = evaluation.metrics
    if not metrics:
        return evaluation.note
    key = f"{SERVED}_minus.global.{SHOWN[0]}"
    return (
        f"The served model has a macro NDCG@10 of **{metrics[f'{SERVED}.{SHOWN[0]}']:.4f}** on unheard tracks, "
        f"{metrics[key]:+.4f} ({metrics[f'{key}_low']:+.4f} to {metrics[f'{key}_high']:+.4f}) over one global model. "
        "Look at `report.html` among the artifacts. " + evaluation.note
    ).strip()


def run_evaluate(
    job: JobContext, *, config: Config, times: int = DRAWS, in_force: ModelsSettings | None = None
) -> Done:
    """Search if the config asks for it, measure the best once on the test nights, and log it all as one run.

    Reads what the workspace's store holds of listeners who still allow it. Nothing of the workspace changes, but that
    the figures of the test listeners, by which runs are paired, are kept beside the store.

    Parameters
    ----------
    job : JobContext
        With the settings that the config changed.
    config : Config
    times : int
        How often to train and measure, each time by another luck, of which the figures are means: a night does it once.
    in_force : ModelsSettings, optional
        What the next night would use, with which a search compares what it found; by default the job's settings.

    Raises
    ------
    InputError
        If there is no workspace, or its store holds nothing that may be learned from.
    NotReadyError
        If another job holds the workspace.
    """
    started, settings = time.monotonic(), job.settings
    rows = _rows(job)
    with tracked(job, experiment=settings.tracking.evaluations, name=config.name, params={}) as run:
        found = _searched(run, rows, job=job, config=config, in_force=in_force)
        models = found.models if found else settings.models
        run.params(settings.model_copy(update={"models": models}).flat())
        measured = measure(rows, job=job, models=models, times=times)
        run.tags(measured.tags)
        logbook.log_data(run, measured.tags[DATA_DIGEST])
        run.metrics({"seconds.total": round(time.monotonic() - started, 1), BEST: found.value if found else math.nan})
        night = nights(rows)[-1]
        logbook.log_models(run, measured.evaluation, atlas=job.atlas, night=night)
        keep(job, measured.evaluation, run=run.id, night=night)
    return Done(_summary(run, config, measured, found), measured.evaluation.metrics)


def models_table(metrics: Mapping[str, float], *, title: str) -> Table:
    """Return the metrics by model as a table, the best of each column bold; a dash for what was not measured."""
    table = Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD)
    table.add_column("model")
    columns = [logbook.by_model(metrics, metric) for metric in SHOWN]
    for metric in SHOWN:
        table.add_column(metric, justify="right")
    for name in (name for name in MODELS if f"{name}.{SHOWN[0]}" in metrics):
        table.add_row(name, *(_cell(column, name) for column in columns))
    return table


def _cell(column: Mapping[str, float], model: str) -> Text:
    value = column.get(model)
    if value is None:
        return Text("–")
    return Text.assemble((f"{value:.4f}", "bold" if value == max(column.values()) else ""))


def _rows(job: JobContext) -> pl.DataFrame:
    """Return what models may learn from, or say that there is nothing; a workspace that is not there is not made."""
    hint = "Run `hearabouts nightly` first, and check --workspace: only who allows personalisation counts."
    if not job.workspace.private.is_dir():
        raise InputError(f"there is no workspace at {job.workspace.root}", hint=hint)
    with step("contributions"), job.workspace.prepare().locked():
        rows = allowed_rows(job)
    if rows.is_empty():
        raise InputError("the workspace holds no contribution that models may learn from", hint=hint)
    return rows


def _searched(
    run: Run, rows: pl.DataFrame, *, job: JobContext, config: Config, in_force: ModelsSettings | None
) -> Found | None:
    """Carry out the search of a config, and log its trials: as a table, and each as a run below this one."""
    if config.search is None:
        return None
    with step("search"):
        models, parents = job.settings.models, countries(job.atlas)
        found = search(
            rows, asked=config.search, settings=models, parents=parents, origins=job.origins, in_force=in_force
        )
    run.table(found.trials, "trials")
    for row in found.trials.iter_rows(named=True):
        run.trial(_trial(row))
    run.tags({f"search.{key}": str(getattr(config.search, key)) for key in ("trials", "seed", "sampler", "share")})
    return found


def _trial(row: Mapping[str, Any]) -> Trial:
    """Return a trial as its run shows it: what was varied, and what came of it as far as it went."""
    numbers = {TRIAL: row["value"], "search.first_look": row["first_look"], "search.seconds": row["seconds"]}
    return Trial(
        f"trial {row['trial']}",
        _STATES[row["state"]],
        {key: str(value) for key, value in row.items() if key.startswith("models.")},
        {key: float(value) for key, value in numbers.items() if value is not None},
    )


_STATES: Mapping[str, Status] = {"complete": "FINISHED", "pruned": "KILLED", "fail": "FAILED"}


def _number(value: float) -> float | None:
    """Return a number as it is printed; none where nothing was measured."""
    return None if math.isnan(value) else round(value, 4)


def _summary(run: Run, config: Config, measured: Measured, found: Found | None) -> dict[str, Any]:
    searched = (
        {
            "trials": found.trials.height,
            "best": {key: getattr(found.models, key) for key in config.search.models},
            "best_value": round(found.value, 4),
            "value_in_force": _number(found.before),
            "difference": _number(found.value - found.before),
        }
        if found and config.search
        else {}
    )
    return {
        "status": "done",
        "mlflow_run": run.logged,
        "name": config.name,
        "night": measured.tags[NIGHT],
        "data": measured.tags[DATA_DIGEST],
        **searched,
        "models": logbook.by_model(measured.evaluation.metrics, SHOWN[0]),
        "note": measured.evaluation.note,
    }
