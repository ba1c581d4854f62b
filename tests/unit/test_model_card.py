"""What MLflow's page shows of a registered model: its card, description, example, types and origin."""

from pathlib import Path

import mlflow
import pytest
from support.runs import NOW, log_run, workspace_of

from pipelines.base.code_digest import TOP, lock_digest
from pipelines.experiments.promote import promote
from pipelines.mlflow import run_tags, tracking
from pipelines.mlflow.model_registry import MODEL
from pipelines.mlflow.pyfunc_model import EXAMPLE, INPUT, OUTPUT


def test_a_version_tells_what_it_is_how_good_it_was_and_where_it_comes_from(mlruns: Path) -> None:
    folder = mlruns.parent
    measured = {"blend.macro_ndcg_at_10": 0.1234, "blend.recall_at_20": float("nan"), "blend.coverage": 0.5}
    over = {f"blend_minus.global.macro_ndcg_at_10{end}": value for end, value in {"": 0.02, "_low": 0.01}.items()}
    run = log_run(folder, "first", gains=[0.1, 0.2], parts=["PT-1"] * 2, metrics={**measured, **over}, store=mlruns)
    promote(mlruns, run.id, workspace=workspace_of(folder).root, now=NOW)
    store = tracking.client(mlruns)
    version = store.get_model_version_by_alias(MODEL, "champion")
    assert "A version is settings" in store.get_registered_model(MODEL).description
    assert f"# first ({run.id[:8]})" in version.description
    assert "| macro NDCG@10, every region counting the same | 0.1234 |" in version.description
    assert "| +0.0200 (+0.0100 to not measured) |" in version.description
    assert "| recall@20 | not measured |" in version.description
    assert "`engine` als" in version.description
    assert {"data.digest", "code.digest", "atlas.version", "night"} <= set(version.tags)
    saved = mlflow.models.Model.load(f"models:/{MODEL}@champion")
    assert saved.flavors["python_function"]["config"]["catalogue"] == run.tags["catalogue"]
    assert Path(run.tags["catalogue"]).is_absolute()
    assert [(column.name, column.type.name) for column in saved.signature.inputs] == [
        (name, dtype) for name, dtype in INPUT.items()
    ]
    assert saved.signature.outputs.input_names() == list(OUTPUT)
    where = mlflow.artifacts.download_artifacts(f"models:/{MODEL}@champion", dst_path=str(folder / "model"))
    assert saved.load_input_example(where).equals(EXAMPLE)


def test_a_run_tells_its_commit_and_lock_where_the_program_lies_in_its_checkout(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = run_tags.origin()
    assert found["lock.digest"] == lock_digest()
    assert len(found.get("mlflow.source.git.commit", "0" * 40)) == 40
    assert ("mlflow.source.git.commit" in found) == (TOP / ".git").exists()
    monkeypatch.setattr(run_tags, "TOP", tmp_path)  # as where all packages are installed, inside of another checkout
    monkeypatch.setattr(run_tags, "lock_digest", lambda: "")
    assert run_tags.origin() == {}
