"""Runs in MLflow, for data scientists to compare."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import polars as pl

# Before the import: telemetry would be sent otherwise. The migrations' logging would drown the night's progress.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")
os.environ.setdefault("MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT", "true")  # where the summary is
os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "2")  # of 7: a server that is gone would hold a night up
os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "30")  # seconds, of 120

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag, Metric, Param
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from pipelines.mlflow import views
from pipelines.mlflow.metric_keys import grouped
from pipelines.mlflow.run_record import Numbers, Record
from pipelines.mlflow.tracking_database import DATABASE, address
from recsys.errors import NotReadyError
from recsys.settings import SQLITE

RECORD = "record.id"  # the tag with which the workspace finds what belongs to a run
_OURS = "hearabouts.version"  # the tag of all our runs
_LISTENERS = "listeners.json"  # of earlier releases: a line for each test listener
_TRACKING_URI, _REGISTRY_URI = "MLFLOW_TRACKING_URI", "MLFLOW_REGISTRY_URI"
DESCRIPTION = "mlflow.note.content"  # the tag that MLflow's page shows as a run's description
_PARENT = "mlflow.parentRunId"  # the tag by which MLflow's page puts a run below another
_TRIAL_OF = "trial.of"  # the record that a trial belongs to
_IN_ONE_REQUEST = 1_000  # numbers, the most that MLflow takes
_TAKEN = "RESOURCE_ALREADY_EXISTS"  # MLflow's code
_TABLES = "mlflow.loggedArtifacts"  # the tag by which MLflow's page finds the tables of a run


Store = Path | str
"""A folder that holds ``mlflow.db`` and ``artifacts/``, the address of a database (``sqlite:///``), or a server's."""


@dataclass(frozen=True)
class About:
    """What MLflow's page shows of a registered model.

    Parameters
    ----------
    description : str
        Of all versions, from the first on: it may be somebody's own by then.
    card : str
        Of this version, as Markdown.
    tags : mapping of str to str
        Of this version.
    """

    description: str
    card: str
    tags: Mapping[str, str]


def log(place: Store, record: Record) -> str:
    """Log a record as a run in an MLflow store, creating one of ours when missing; return MLflow's id.

    A record that was logged already is not logged again; one whose logging was cut off is begun anew.

    Parameters
    ----------
    place : Store
    record : Record

    Raises
    ------
    NotReadyError
        If the store cannot be used now.
    """
    store = client(place)
    experiment = _experiment(store, record.experiment, artifacts_of(place))
    done = _logged_before(store, record, experiment=experiment)
    if done is not None:
        return done
    tags = {**record.tags, RECORD: record.id}
    run = str(store.create_run(experiment, record.started, tags=tags, run_name=record.name).info.run_id)
    mlflow.log_params(dict(record.params), run_id=run)
    _log_numbers(store, run, record.metrics)
    for name, told in record.datasets.items():
        _log_dataset(store, run, name=name, told=told)
    for name, frame in record.tables():
        _log_table(run, frame, name=name)
    for file in record.artifacts():
        store.log_artifact(run, str(file))
    _log_series(store, record, experiment=experiment)
    _log_trials(store, run, record, experiment=experiment)
    store.set_terminated(run, record.status, record.ended)
    return run


def page_to_show(place: Store, names: Sequence[str]) -> str | None:
    """Return the page, without its server, of the first of some experiments that has runs; None where none has.

    It is the leaderboard; where a server lets us read and not save that, it is the plain list of runs.

    Raises
    ------
    NotReadyError
        If the store cannot be used now.
    """
    store = client(place)
    found = [each for name in names if (each := store.get_experiment_by_name(name)) is not None]
    shown = next(
        (str(each.experiment_id) for each in found if store.search_runs([each.experiment_id], max_results=1)), None
    )
    if shown is None:
        return None
    try:
        views.prepare(store, shown)
    except MlflowException:
        return views.page(shown, view=None)
    return views.page(shown)


def end_lost(place: Store) -> int:
    """End the runs that a kill left running when runs were still logged as they went; return how many there were."""
    store = client(place)
    experiments = [experiment.experiment_id for experiment in store.search_experiments()]
    running = store.search_runs(experiments, filter_string="attributes.status = 'RUNNING'")
    lost = [run for run in running if _OURS in run.data.tags and RECORD not in run.data.tags]
    for run in lost:
        store.set_terminated(run.info.run_id, "KILLED")
    return len(lost)


def remove_listeners(place: Store) -> int:
    """Delete the lines by listener that runs of earlier releases logged; return how many runs had some.

    The runs stay, with everything else that they hold. A server never had any: those releases knew folders alone.
    """
    artifacts = artifacts_of(place)
    found = list(artifacts.glob(f"*/artifacts/{_LISTENERS}")) if artifacts else []
    for file in found:
        file.unlink()
        with suppress(MlflowException):  # a deleted run cannot be changed; its page is gone, too
            _forget_table(client(place), run_id=file.parents[1].name)
    return len(found)


def is_there(place: Store) -> bool:
    """Tell whether there is a store; of a server it is not asked."""
    file = database_of(place)
    return file is None or file.is_file()


def database_of(place: Store) -> Path | None:
    """Return the file that holds a store; None of a server."""
    if isinstance(place, Path):
        return place / DATABASE
    return Path(place.removeprefix(SQLITE)) if place.startswith(SQLITE) else None


def artifacts_of(place: Store) -> Path | None:
    """Return the folder of a store's artifacts; None of a server, which says where they go."""
    file = database_of(place)
    return file.parent / "artifacts" if file else None


def client(place: Store) -> MlflowClient:
    """Return the client of a store, which this makes the one that runs are logged to.

    Raises
    ------
    NotReadyError
        If the store cannot be used now.
    """
    file = database_of(place)
    uri = address(file) if file else str(place)
    if isinstance(place, Path):
        place.chmod(0o700)  # true counts, for those who operate the job; of another folder its owner decides
    registry = os.environ.get(_REGISTRY_URI) or uri
    with _environment_kept():
        mlflow.set_tracking_uri(uri)
        mlflow.set_registry_uri(registry)  # else MLflow asks Spark for it wherever a part of that is installed
    store = MlflowClient(uri, registry)
    if file is None:
        _check_server(store, place)
    return store


@contextmanager
def _environment_kept() -> Iterator[None]:
    """Leave the environment as the operator has set it: MLflow writes down there what it is told."""
    before = {name: os.environ.get(name) for name in (_TRACKING_URI, _REGISTRY_URI)}
    yield
    for name, value in before.items():
        os.environ.pop(name, None)
        if value is not None:
            os.environ[name] = value


@contextmanager
def refusals_told(place: Store) -> Iterator[None]:
    """Say what to do where MLflow refuses what somebody asked for, as a server does that lets them read alone.

    Raises
    ------
    NotReadyError
        Instead of MLflow's own error.
    """
    try:
        yield
    except MlflowException as error:
        raise NotReadyError(
            f"MLflow in {place} does not do this now ({error.error_code})",
            hint="Check that you may log runs and register models there, or name another store.",
        ) from None


def _check_server(store: MlflowClient, place: Store) -> None:
    try:
        store.search_experiments(max_results=1)
    except MlflowException as error:
        raise NotReadyError(
            f"the MLflow server at {place} cannot be used now ({error.error_code})",
            hint="Check tracking.uri (or MLFLOW_TRACKING_URI), and that the server runs and lets you in.",
        ) from None


def register(
    place: Store,
    *,
    run_id: str,
    model: str,
    loader: str,
    content: Mapping[str, str],
    config: Mapping[str, str],
    about: About,
) -> int:
    """Register a model that a module of ours loads, and return its version.

    Nothing is pickled: the artifact is MLflow's own description and one JSON file.

    Parameters
    ----------
    place : Store
    run_id : str
        The run that the model belongs to.
    model : str
        The name under which it is registered.
    loader : str
        A module with ``_load_pyfunc(path, config)``, ``INPUT``, ``OUTPUT`` and ``PARAMETERS`` (columns and types), and
        ``EXAMPLE``, a frame that is nobody's.
    content : mapping of str to str
        Small files by name.
    config : mapping of str to str
        What the model finds where it is loaded; whoever loads it may give other values.
    about : About
        What MLflow's page shows of it.
    """
    store, module = client(place), import_module(loader)
    with TemporaryDirectory() as made, warnings.catch_warnings():
        data, saved = Path(made) / "data", Path(made) / model
        data.mkdir()
        for name, text in content.items():
            (data / name).write_text(text, encoding="utf-8")
        # MLflow warns of its own types when it first loads this part, and of its own use of pandas 3.
        warnings.filterwarnings("ignore", message=".*AnyType|Operation with range is deprecated")
        mlflow.pyfunc.save_model(  # not log_model: it would add the config to the settings of the run
            saved,
            loader_module=loader,
            data_path=str(data),
            model_config=dict(config),
            signature=signature_of(module),
            input_example=module.EXAMPLE,
            pip_requirements=[f"hearabouts=={version('hearabouts')}"],
        )
        store.log_artifacts(run_id, str(saved), model)
    return _version(store, model=model, source=f"runs:/{run_id}/{model}", run_id=run_id, about=about)


def _forget_table(store: MlflowClient, *, run_id: str) -> None:
    """Take the lines by listener off the list of a run's tables."""
    listed = json.loads(store.get_run(run_id).data.tags.get(_TABLES, "[]"))
    store.set_tag(run_id, _TABLES, json.dumps([table for table in listed if table.get("path") != _LISTENERS]))


def _version(store: MlflowClient, *, model: str, source: str, run_id: str, about: About) -> int:
    try:
        store.create_registered_model(model, description=about.description)
    except MlflowException as error:
        if error.error_code != _TAKEN:
            raise
    made = store.create_model_version(
        model, source=source, run_id=run_id, description=about.card, tags=dict(about.tags)
    )
    return int(made.version)


def signature_of(loader: ModuleType) -> ModelSignature:
    """Return the columns and parameters of a module's model, with their types."""
    inputs, outputs = (
        Schema([ColSpec(dtype, name, required=name not in loader.OPTIONAL) for name, dtype in side.items()])
        for side in (loader.INPUT, loader.OUTPUT)
    )
    params = ParamSchema([ParamSpec(name, "long", default) for name, default in loader.PARAMETERS.items()])
    return ModelSignature(inputs, outputs, params)


def _logged_before(store: MlflowClient, record: Record, *, experiment: str) -> str | None:
    """Return the run of a record that was logged to its end; one that was not is taken away."""
    for run in store.search_runs([experiment], filter_string=f"tags.`{RECORD}` = '{record.id}'"):
        if run.info.status != "RUNNING":
            return str(run.info.run_id)
        _take_away(store, run.info.run_id)
    for trial in store.search_runs([experiment], filter_string=f"tags.`{_TRIAL_OF}` = '{record.id}'"):
        _take_away(store, trial.info.run_id)
    return None


def _take_away(store: MlflowClient, run: str) -> None:
    store.set_terminated(run, "KILLED")
    store.delete_run(run)


def _log_numbers(store: MlflowClient, run: str, numbers: Sequence[Numbers]) -> None:
    """Log numbers under MLflow's keys, many in one request; what is there already is not there twice."""
    found = [Metric(grouped(key), value, each.at, each.step) for each in numbers for key, value in each.values.items()]
    for first in range(0, len(found), _IN_ONE_REQUEST):
        store.log_batch(run, metrics=found[first : first + _IN_ONE_REQUEST])


def _log_series(store: MlflowClient, record: Record, *, experiment: str) -> None:
    """Add nights to the run that has all nights of the experiment, making it when missing."""
    if not record.series:
        return
    found = store.search_runs([experiment], filter_string=f"tags.`{views.SERIES}` = 'nights'", max_results=1)
    if found:
        run = str(found[0].info.run_id)
    else:
        tags = {views.SERIES: "nights", **{key: value for key, value in record.tags.items() if key == _OURS}}
        run = str(store.create_run(experiment, record.started, tags=tags, run_name="all nights").info.run_id)
    _log_numbers(store, run, record.series)
    store.set_terminated(run, "FINISHED")
    views.prepare_nights(store, experiment)


def _log_trials(store: MlflowClient, run: str, record: Record, *, experiment: str) -> None:
    """Log the trials of a search as runs below its run, and save the view that compares them."""
    if not record.trials:
        return
    for trial in record.trials:
        tags = {_PARENT: run, _TRIAL_OF: record.id}
        child = str(store.create_run(experiment, record.started, tags=tags, run_name=trial.name).info.run_id)
        params = [Param(key, value) for key, value in trial.params.items()]
        store.log_batch(child, params=params)
        _log_numbers(store, child, [Numbers(record.ended, 0, trial.metrics)])
        store.set_terminated(child, trial.status, record.ended)
    link = views.prepare_trials(store, experiment, run=run, params=sorted(record.trials[0].params))
    store.set_tag(run, DESCRIPTION, f"{record.tags.get(DESCRIPTION, '')} [Compare the trials]({link}).".strip())


def _log_dataset(store: MlflowClient, run: str, *, name: str, told: Mapping[str, Any]) -> None:
    source = CodeDatasetSource(tags={"name": name, "source": told.get("source", "")})
    told_columns = told.get("columns", {})
    columns = Schema([ColSpec(dtype, column) for column, dtype in told_columns.items()]) if told_columns else None
    dataset = MetaDataset(source, name=name, digest=told["digest"][:36], schema=columns)  # type: ignore[abstract]
    tags = [InputTag(key="mlflow.data.context", value="nightly")]
    store.log_inputs(run, [DatasetInput(dataset._to_mlflow_entity(), tags)])


def _log_table(run: str, frame: pl.DataFrame, *, name: str) -> None:
    texts = {column: object for column, dtype in frame.schema.items() if dtype == pl.String}
    # As objects: MLflow 3.17 asks for them and warns of the text type of pandas 3.
    mlflow.log_table(frame.to_pandas().astype(texts), f"{name}.json", run_id=run)


def _experiment(store: MlflowClient, name: str, artifacts: Path | None) -> str:
    found = store.get_experiment_by_name(name)
    where = artifacts.resolve().as_uri() if artifacts else None
    id_ = str(found.experiment_id if found else store.create_experiment(name, artifact_location=where))
    views.prepare(store, id_)
    return id_
