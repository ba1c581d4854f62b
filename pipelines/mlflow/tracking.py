"""Runs in MLflow, for data scientists to compare."""

import json
import os
import warnings
from collections.abc import Mapping
from contextlib import suppress
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType

import polars as pl

# Before the import: telemetry would be sent otherwise. The migrations' logging would drown the night's progress.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.entities import DatasetInput, InputTag
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

from pipelines.mlflow.run_record import Record
from pipelines.mlflow.tracking_database import DATABASE, address

RECORD = "record.id"  # the tag with which the workspace finds what belongs to a run
_OURS = "hearabouts.version"  # the tag of all our runs
_LISTENERS = "listeners.json"  # of earlier releases: a line for each test listener
_TABLES = "mlflow.loggedArtifacts"  # the tag by which MLflow's page finds the tables of a run


def log(folder: Path, record: Record) -> str:
    """Log a record as a run in the MLflow store of a folder, creating the store when missing; return MLflow's id.

    A record that was logged already is not logged again; one whose logging was cut off is begun anew.

    Parameters
    ----------
    folder : Path
        Holds ``mlflow.db`` and ``artifacts/``.
    record : Record

    Raises
    ------
    NotReadyError
        If the store cannot be used now.
    """
    store = client(folder)
    experiment = _experiment(store, record.experiment, folder / "artifacts")
    done = _logged_before(store, record, experiment=experiment)
    if done is not None:
        return done
    tags = {**record.tags, RECORD: record.id}
    run = str(store.create_run(experiment, record.started, tags=tags, run_name=record.name).info.run_id)
    mlflow.log_params(dict(record.params), run_id=run)
    for at, numbers in record.metrics:
        mlflow.log_metrics(dict(numbers), run_id=run, timestamp=at)
    for name, digest in record.datasets.items():
        _log_dataset(store, run, name=name, digest=digest)
    for name, frame in record.tables():
        _log_table(run, frame, name=name)
    for file in record.artifacts():
        store.log_artifact(run, str(file))
    store.set_terminated(run, record.status, record.ended)
    return run


def end_lost(folder: Path) -> int:
    """End the runs that a kill left running when runs were still logged as they went; return how many there were."""
    store = client(folder)
    experiments = [experiment.experiment_id for experiment in store.search_experiments()]
    running = store.search_runs(experiments, filter_string="attributes.status = 'RUNNING'")
    lost = [run for run in running if _OURS in run.data.tags and RECORD not in run.data.tags]
    for run in lost:
        store.set_terminated(run.info.run_id, "KILLED")
    return len(lost)


def remove_listeners(folder: Path) -> int:
    """Delete the lines by listener that runs of earlier releases logged; return how many runs had some.

    The runs stay, with everything else that they hold.
    """
    found = list((folder / "artifacts").glob(f"*/artifacts/{_LISTENERS}"))
    for file in found:
        file.unlink()
        with suppress(MlflowException):  # a deleted run cannot be changed; its page is gone, too
            _forget_table(client(folder), run_id=file.parents[1].name)
    return len(found)


def is_there(folder: Path) -> bool:
    """Tell whether a folder holds an MLflow store."""
    return (folder / DATABASE).is_file()


def client(folder: Path) -> MlflowClient:
    """Return the client of a folder's store, which this makes the one that runs are logged to.

    Raises
    ------
    NotReadyError
        If the store cannot be used now.
    """
    uri = address(folder)
    mlflow.set_tracking_uri(uri)
    return MlflowClient(uri)


def register(
    folder: Path, *, run_id: str, model: str, loader: str, content: Mapping[str, str], config: Mapping[str, str]
) -> int:
    """Register a model that a module of ours loads, and return its version.

    Nothing is pickled: the artifact is MLflow's own description and one JSON file.

    Parameters
    ----------
    folder : Path
        Of the store.
    run_id : str
        The run that the model belongs to.
    model : str
        The name under which it is registered.
    loader : str
        A module with ``_load_pyfunc(path, config)``, ``INPUT``, ``OUTPUT`` and ``PARAMETERS`` (columns and types).
    content : mapping of str to str
        Small files by name.
    config : mapping of str to str
        What the model finds where it is loaded; whoever loads it may give other values.
    """
    store = client(folder)
    with TemporaryDirectory() as made, warnings.catch_warnings():
        data, saved = Path(made) / "data", Path(made) / model
        data.mkdir()
        for name, text in content.items():
            (data / name).write_text(text, encoding="utf-8")
        # MLflow asks for an example, which would be listens, and warns of its own types when it first loads this part.
        warnings.filterwarnings("ignore", message=".*(input example|AnyType)")
        mlflow.pyfunc.save_model(  # not log_model: it would add the config to the settings of the run
            saved,
            loader_module=loader,
            data_path=str(data),
            model_config=dict(config),
            signature=_signature(import_module(loader)),
            pip_requirements=[f"hearabouts=={version('hearabouts')}"],
        )
        store.log_artifacts(run_id, str(saved), model)
    return _version(store, model=model, source=f"runs:/{run_id}/{model}", run_id=run_id)


def _forget_table(store: MlflowClient, *, run_id: str) -> None:
    """Take the lines by listener off the list of a run's tables."""
    listed = json.loads(store.get_run(run_id).data.tags.get(_TABLES, "[]"))
    store.set_tag(run_id, _TABLES, json.dumps([table for table in listed if table.get("path") != _LISTENERS]))


def _version(store: MlflowClient, *, model: str, source: str, run_id: str) -> int:
    with suppress(MlflowException):  # which says that the name is taken
        store.create_registered_model(model)
    return int(store.create_model_version(model, source=source, run_id=run_id).version)


def _signature(loader: ModuleType) -> ModelSignature:
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
        store.set_terminated(run.info.run_id, "KILLED")
        store.delete_run(run.info.run_id)
    return None


def _log_dataset(store: MlflowClient, run: str, *, name: str, digest: str) -> None:
    source = CodeDatasetSource(tags={"name": name})
    dataset = MetaDataset(source, name=name, digest=digest[:36])  # type: ignore[abstract]
    tags = [InputTag(key="mlflow.data.context", value="nightly")]
    store.log_inputs(run, [DatasetInput(dataset._to_mlflow_entity(), tags)])


def _log_table(run: str, frame: pl.DataFrame, *, name: str) -> None:
    texts = {column: object for column, dtype in frame.schema.items() if dtype == pl.String}
    # As objects: MLflow 3.17 asks for them and warns of the text type of pandas 3.
    mlflow.log_table(frame.to_pandas().astype(texts), f"{name}.json", run_id=run)


def _experiment(store: MlflowClient, name: str, artifacts: Path) -> str:
    found = store.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    return str(store.create_experiment(name, artifact_location=artifacts.resolve().as_uri()))
