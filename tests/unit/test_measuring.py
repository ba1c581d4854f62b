"""The job that measures: what it passes on, prints, and refuses before it touches anything."""

import math
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path

import polars as pl
import pytest
from rich.console import Console
from support.commands import Run
from support.listening import world

from pipelines import __main__ as command_line
from pipelines.base.experiment_config import Config
from pipelines.base.job_context import JobContext, Sources
from pipelines.experiments.evaluate import Measured, measure, models_table, run_evaluate
from pipelines.mlflow import tracking
from pipelines.mlflow.logbook import by_model
from recsys.errors import InputError
from recsys.settings import ModelsSettings, Settings, load_settings
from recsys.workspace import Workspace

TINY = {
    "factors": 4,
    "iterations": 2,
    "regional_iterations": 1,
    "min_listeners_per_track": 3,
    "validation_nights": 2,
    "test_nights": 2,
    "ease_max_tracks": 10,  # fewer than there are tracks: EASE is not compared
}


def tiny(folder: Path, **models: object) -> Settings:
    sections = {"models": {**TINY, **models}, "atlas": {"service_area": ["PT"]}, "tracking": {"folder": folder}}
    return load_settings(overrides=sections)


def measured(folder: Path, *, times: int) -> Measured:
    rows = world(5, listeners=120, tracks=40, parts=2, nights=8, plays=40)
    catalogue = folder / "catalogue.csv"
    tracks = rows["track_id"].unique().sort()
    pl.DataFrame({"track_id": tracks, "title": tracks, "artist_id": tracks, "artist": tracks}).write_csv(catalogue)
    job = JobContext(Workspace(folder), tiny(folder), Sources(folder, catalogue), datetime(2026, 10, 5, tzinfo=UTC))
    return measure(rows, job=job, models=job.settings.models, times=times)


def test_a_second_draw_measures_stability_and_without_it_there_is_none(tmp_path: Path) -> None:
    once, twice = (measured(tmp_path, times=times).evaluation.metrics for times in (1, 2))
    assert math.isnan(once["blend.stability"])
    assert 0 < twice["blend.stability"] <= 1
    assert once.keys() == twice.keys()
    assert once["popular_world.ndcg_at_10"] == pytest.approx(twice["popular_world.ndcg_at_10"])  # no luck in it


def test_a_model_that_was_not_measured_is_left_out_of_the_line_and_a_dash_in_the_table(tmp_path: Path) -> None:
    metrics = measured(tmp_path, times=1).evaluation.metrics
    assert math.isnan(metrics["ease.macro_ndcg_at_10"])
    assert "ease" not in by_model(metrics, "macro_ndcg_at_10")
    text = StringIO()
    Console(file=text, width=120, force_terminal=True).print(models_table(metrics, title="tiny"))
    lines = {line.split()[0]: line for line in text.getvalue().splitlines() if line.strip()}
    assert lines["ease"].split()[1:] == ["–"] * 4
    bold = [line for line in lines.values() if "\x1b[1m0." in line]
    assert bold, "the best of each column is bold, whatever else is missing"
    assert "nan" not in text.getvalue()


def test_a_workspace_that_is_not_there_is_refused_and_not_made(tmp_path: Path) -> None:
    missing = Workspace(tmp_path / "none")
    job = JobContext(missing, tiny(tmp_path / "mlruns"), Sources(tmp_path, tmp_path), datetime(2026, 10, 5, tzinfo=UTC))
    with pytest.raises(InputError, match="there is no workspace"):
        run_evaluate(job, config=Config())
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("catalogue", [True, False])
def test_the_samples_settings_go_with_the_samples_catalogue(
    hearabouts: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, catalogue: bool
) -> None:
    """The sample's file does not fit here: where it is read that is said, and otherwise that there is no workspace."""
    sample = tmp_path / "sample"
    sample.mkdir()
    (sample / "settings.toml").write_text("[models]\nfactors = -1\n")
    monkeypatch.setattr(command_line, "SAMPLE", sample)
    done = hearabouts("evaluate", *(["--catalogue", tmp_path / "c.csv"] if catalogue else []))
    assert done.code == (65 if catalogue else 78)
    assert done.summary["problem"] == ("bad-input" if catalogue else "settings")


def test_three_draws_are_measured_unless_fewer_are_asked_for_on_the_command_line(
    hearabouts: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And what is in force is what a night would use, whatever an experiment changes."""
    asked: list[tuple[int, int, int]] = []
    (tmp_path / "wide.toml").write_text("[models]\nfactors = 256\n")

    def stop(job: JobContext, *, config: Config, times: int, in_force: ModelsSettings) -> None:
        asked.append((times, job.settings.models.factors, in_force.factors))
        raise InputError("seen")

    monkeypatch.setattr("pipelines.experiments.evaluate.run_evaluate", stop)
    for flags in ([], ["--draws", 1], ["--config", tmp_path / "wide.toml"]):
        hearabouts("evaluate", "--catalogue", tmp_path / "c.csv", *flags)
    assert asked == [(3, 128, 128), (1, 128, 128), (3, 256, 128)]
    assert hearabouts("evaluate", "--draws", "0").code == 2


def test_the_store_of_the_runs_is_the_operators_alone(mlruns: Path) -> None:
    (mlruns / "mlflow.db").chmod(0o644)
    tracking.client(mlruns)
    assert (mlruns / "mlflow.db").stat().st_mode & 0o777 == 0o600
    assert mlruns.stat().st_mode & 0o777 == 0o700
