"""Benchmarks are kept as runs, with what they print."""

from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest

from pipelines.mlflow import tracking
from recsys.settings import load_settings

RUN = Path(__file__).parents[1] / "bench" / "run.py"


def test_what_a_bench_prints_is_kept_with_its_exit_code(
    mlruns: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    spec = spec_from_file_location("run", RUN)
    assert spec is not None
    assert spec.loader is not None
    benches = module_from_spec(spec)
    spec.loader.exec_module(benches)
    bench = tmp_path / "bench_two.py"
    bench.write_text("print('one and one: 2')\nraise SystemExit(3)\n")
    assert benches.keep(bench, settings=load_settings(overrides={"tracking": {"folder": str(mlruns)}})) == 3
    store = tracking.client(mlruns)
    [run] = store.search_runs([store.get_experiment_by_name("bench").experiment_id])
    assert (run.data.tags["bench"], run.data.metrics["exit_code"]) == ("two", 3)
    kept = Path(store.download_artifacts(run.info.run_id, "tables.txt", str(tmp_path)))
    assert kept.read_text() == "one and one: 2\n"
