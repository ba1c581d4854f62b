"""Keys of metrics: with slashes in MLflow, with dots in ours, and runs of earlier releases read like those of today."""

from pathlib import Path

import mlflow
import pytest
from support.runs import NOW, figures_of, log_run, workspace_of

from pipelines.experiments.compare import KEPT, compare
from pipelines.experiments.promote import promote
from pipelines.mlflow import tracking
from pipelines.mlflow.metric_keys import COMPARED, HEADLINE, dotted, grouped, logged_keys
from pipelines.mlflow.model_registry import Registry
from recsys.models.evaluation.report_tables import MODELS, metric_keys

LOW, HIGH = [0.1, 0.2, 0.3, 0.4], [0.3, 0.4, 0.5, 0.6]


def test_every_key_comes_back_as_it_was() -> None:
    numbers = {key: float(number) for number, key in enumerate(metric_keys())}
    assert dotted({grouped(key): value for key, value in numbers.items()}) == numbers
    assert dotted(numbers) == numbers  # as earlier releases logged them
    assert not [key for key in numbers if "/" in key]


def test_what_jobs_read_of_runs_is_logged_and_no_region_has_a_number_of_its_own() -> None:
    logged = set(logged_keys())
    assert logged < set(metric_keys())
    assert {HEADLINE, COMPARED, *KEPT, *(f"{model}.macro_ndcg_at_10" for model in MODELS)} <= logged
    others = [model for model in MODELS if model != "blend"]
    assert {f"blend_minus.{model}.macro_ndcg_at_10{end}" for model in others for end in ("", "_low", "_high")} <= logged
    assert len(logged) < 150
    assert not [key for key in logged if "with_heard" in key]


def test_a_run_with_the_keys_of_earlier_releases_is_compared_and_stays_champion(
    mlruns: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = mlruns.parent
    with monkeypatch.context() as earlier:
        earlier.setattr(tracking, "grouped", lambda key: key)
        before = log_run(folder, "before", gains=LOW, models={"factors": 16}, metrics={HEADLINE: 0.25}, store=mlruns)
        log_run(folder, "defaults", gains=[0.0] * 4, store=mlruns)
    assert "blend.ndcg_at_10" in mlflow.get_run(before.id).data.metrics
    assert promote(mlruns, before.id, workspace=workspace_of(folder).root, now=NOW)["champion"] == 1
    now = log_run(folder, "now", gains=HIGH, models={"factors": 8}, metrics={HEADLINE: 0.45}, store=mlruns)
    assert "blend/ndcg_at_10" in mlflow.get_run(now.id).data.metrics
    registry = Registry(mlruns)
    champion = registry.champion()
    assert champion is not None
    assert champion.run.metrics[HEADLINE] == 0.25
    assert set(champion.run.metrics) == set(now.metrics)
    found = compare(registry, registry.find("champion"), now, figures=figures_of(folder))
    assert found.as_json()["difference"] == 0.2
    assert promote(mlruns, now.id, workspace=workspace_of(folder).root, now=NOW)["champion"] == 2
