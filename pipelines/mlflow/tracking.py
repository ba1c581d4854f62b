"""Runs in MLflow, for data scientists to compare; the only import of mlflow."""

import json
import os
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

import polars as pl
from matplotlib.figure import Figure

# Before the import: telemetry would be sent otherwise. The migrations' logging would drown the night's progress.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR", "false")

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.exceptions import MlflowException
from mlflow.models import ModelSignature
from mlflow.tracking import MlflowClient
from mlflow.types import ColSpec, ParamSchema, ParamSpec, Schema

_DATABASE = "mlflow.db"
_LISTENERS = "listeners.json"  # of earlier releases: a line for each test listener
_TABLES = "mlflow.loggedArtifacts"  # the tag by which MLflow's page finds the tables of a run


@dataclass(frozen=True)
class Run:
    """One open MLflow run; what is logged to it holds no listener, no figure of one person, no position and no factor.

    Parameters
    ----------
    id : str
        MLflow's run id.
    """

    id: str

    def metrics(self, values: Mapping[str, float]) -> None:
        """Log numbers under flat dotted keys."""
        mlflow.log_metrics(dict(values), run_id=self.id)

    def table(self, frame: pl.DataFrame, name: str) -> None:
        """Log a frame as a table that the MLflow page shows and ``mlflow.load_table`` returns."""
        texts = {column: object for column, dtype in frame.schema.items() if dtype == pl.String}
        # As objects: MLflow 3.17 asks for them and warns of the text type of pandas 3.
        mlflow.log_table(frame.to_pandas().astype(texts), f"{name}.json", run_id=self.id)

    def figure(self, figure: Figure, name: str) -> None:
        """Log a picture."""
        mlflow.log_figure(figure, f"{name}.png")

    def text(self, text: str, name: str) -> None:
        """Log a text file."""
        mlflow.log_text(text, name, run_id=self.id)

    def params(self, values: Mapping[str, Any]) -> None:
        """Log settings, flat; none that is logged already can change."""
        mlflow.log_params({key: str(value) for key, value in values.items()}, run_id=self.id)

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        mlflow.set_tags(dict(values))

    def dataset(self, name: str, digest: str) -> None:
        """Log that an input with this digest was used; the input itself is not copied."""
        source = CodeDatasetSource(tags={"name": name})
        mlflow.log_input(MetaDataset(source, name=name, digest=digest[:36]), context="nightly")  # type: ignore[abstract]


@contextmanager
def run(
    folder: Path, *, experiment: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str]
) -> Iterator[Run]:
    """Open a run in the MLflow store of a folder, creating the store when missing.

    Parameters
    ----------
    folder : Path
        Holds ``mlflow.db`` and ``artifacts/``.
    experiment, name : str
        Of the run.
    params : mapping
        The resolved settings, flat.
    tags : mapping of str to str

    Yields
    ------
    Run
        Marked failed when the block raises.
    """
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(0o700)  # true counts, for those who operate the job
    client(folder)
    mlflow.set_experiment(experiment_id=_experiment(experiment, folder / "artifacts"))
    (folder / _DATABASE).chmod(0o600)
    with mlflow.start_run(run_name=name, tags=dict(tags)) as active:
        opened = Run(active.info.run_id)
        opened.params(params)
        yield opened


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
    return (folder / _DATABASE).is_file()


def client(folder: Path) -> MlflowClient:
    """Return the client of a folder's store, which this makes the one that runs are logged to."""
    uri = f"sqlite:///{(folder / _DATABASE).resolve()}"
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


def _experiment(name: str, artifacts: Path) -> str:
    client = MlflowClient()
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(name, artifact_location=artifacts.resolve().as_uri()))
