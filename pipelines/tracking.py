"""Runs in MLflow, for data scientists to compare; the only import of mlflow."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from matplotlib.figure import Figure

# Before the import: telemetry would be sent otherwise. The migrations' logging would drown the night's progress.
os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
os.environ.setdefault("MLFLOW_LOGGING_LEVEL", "WARNING")

import mlflow
from mlflow.data.code_dataset_source import CodeDatasetSource
from mlflow.data.meta_dataset import MetaDataset
from mlflow.tracking import MlflowClient


@dataclass(frozen=True)
class Run:
    """One open MLflow run; what is logged to it holds no listener, no position and no factor.

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
    mlflow.set_tracking_uri(f"sqlite:///{(folder / 'mlflow.db').resolve()}")
    mlflow.set_experiment(experiment_id=_experiment(experiment, folder / "artifacts"))
    with mlflow.start_run(run_name=name, tags=dict(tags)) as active:
        mlflow.log_params({key: str(value) for key, value in params.items()})
        yield Run(active.info.run_id)


def _experiment(name: str, artifacts: Path) -> str:
    client = MlflowClient()
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    return str(client.create_experiment(name, artifact_location=artifacts.resolve().as_uri()))
