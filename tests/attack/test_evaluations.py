"""Promise 9: no figure of one person leaves the private folder, and none outlives its listener there."""

import json
import re
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from support.night import (
    FARO,
    LISBON,
    NOW,
    PORTO,
    TRACKS,
    deployed,
    night_of,
    noon,
    row,
    small_settings,
    write_catalogue,
    write_consents,
    write_listens,
)
from support.sealing import content_of, rows_of

from pipelines.base.experiment_config import Config
from pipelines.base.job_context import JobContext, Sources
from pipelines.experiments import evaluate
from pipelines.experiments.compare import compare
from pipelines.experiments.paired_runs import Figures
from pipelines.mlflow import tracking
from pipelines.mlflow.metric_keys import dotted
from pipelines.mlflow.model_registry import Registry
from pipelines.night.nightly import run_nightly
from pipelines.privacy.export import records_in
from pipelines.privacy.forget import forget
from recsys.consents.log import Entry, Purpose, State
from recsys.workspace import listener_of

AT_LEAST = 10  # models.min_listeners_in_table
HOMES = {**{f"lisbon-{i}": LISBON for i in range(30)}, **{f"porto-{i}": PORTO for i in range(20)},
         **{f"faro-{i}": FARO for i in range(3)}}  # fmt: skip
RARE = ("lisbon-0", "lisbon-1", "lisbon-2", "lisbon-3")  # who played little before: fewer than a figure needs, too
ANA = "lisbon-7"


@dataclass(frozen=True)
class Ran:
    """A workspace after a night, and everything that the night logged."""

    job: JobContext
    mlruns: Path

    @property
    def listeners(self) -> dict[str, str]:
        key = self.job.workspace.listener_key()
        return {user: listener_of(user, key=key) for user in HOMES}

    def private(self) -> pl.DataFrame:
        """The rows of all runs that are kept."""
        files = sorted((self.job.workspace.private / "evaluations").rglob("*.parquet"))
        return pl.concat([rows_of(file) for file in files])

    def again(self, *, days: int = 1) -> JobContext:
        """The next run: everything is opened anew."""
        return replace(self.job, now=self.job.now + timedelta(days=days))


def write_world(folder: Path) -> Sources:
    """Three regions, one of three listeners; on the last of four nights everybody plays what was new to them."""
    for number in range(4):
        some = [user for user in HOMES if user not in RARE or number in {0, 3}]
        rows = [
            row(user, TRACKS[(sum(user.encode()) + 2 * number + which) % len(TRACKS)], noon(night_of(number)), home)
            for user, home in HOMES.items()
            if user in some
            for which in range(2)
        ]
        write_listens(folder / "listens", night_of(number), rows)
    consents = write_consents(folder / "consents.csv", HOMES)
    return Sources(folder / "listens", write_catalogue(folder / "catalogue.csv"), consents)


@pytest.fixture(scope="module")
def once(tmp_path_factory: pytest.TempPathFactory, mlruns_template: Path) -> Path:
    """A world, its workspace and its runs after one night."""
    folder = tmp_path_factory.mktemp("evaluations")
    shutil.copytree(mlruns_template, folder / "mlruns")
    run_nightly(opened(folder, write_world(folder)).job)
    return folder


@pytest.fixture
def ran(once: Path, tmp_path: Path) -> Ran:
    """The same for each test. MLflow keeps paths in its database; nothing of the night is read by them here."""
    for name in ("workspace", "listens"):
        shutil.copytree(once / name, tmp_path / name)
    for name in ("catalogue.csv", "consents.csv"):
        shutil.copy(once / name, tmp_path / name)
    shutil.copytree(once / "mlruns", tmp_path / "mlruns")
    with closing(sqlite3.connect(tmp_path / "mlruns/mlflow.db")) as database, database:
        moved = (str(once), str(tmp_path))
        database.execute("UPDATE experiments SET artifact_location = replace(artifact_location, ?, ?)", moved)
        database.execute("UPDATE runs SET artifact_uri = replace(artifact_uri, ?, ?)", moved)
    return opened(tmp_path, Sources(tmp_path / "listens", tmp_path / "catalogue.csv", tmp_path / "consents.csv"))


def opened(folder: Path, sources: Sources) -> Ran:
    models = {"factors": 4, "iterations": 2, "min_listeners_per_track": 2, "min_listeners_per_region": 4}
    models |= {"validation_nights": 1, "test_nights": 1, "min_listeners_in_table": AT_LEAST, "ranker": "none"}
    settings = small_settings(folder / "mlruns", models=models)
    return Ran(deployed(folder, sources, settings), folder / "mlruns")


def tables(mlruns: Path) -> Iterator[tuple[str, pl.DataFrame]]:
    """Every table that any run logged."""
    for file in mlruns.rglob("artifacts/*/artifacts/*.json"):
        told = json.loads(file.read_text())
        yield file.name, pl.DataFrame(told["data"], schema=told["columns"], orient="row", infer_schema_length=None)


def logged(mlruns: Path) -> dict[str, float]:
    """Every number of every run; NaN is stored as a flag."""
    with closing(sqlite3.connect(mlruns / "mlflow.db")) as database:
        return dotted(dict(database.execute("SELECT key, value FROM metrics WHERE NOT is_nan").fetchall()))


def holders(folder: Path, *listeners: str) -> list[str]:
    """The files that hold a listener, as text or as bytes; Parquet is packed, so that its rows are searched, too."""
    wanted = [needle for who in listeners for needle in (who.encode(), bytes.fromhex(who))]
    files = [path for path in folder.rglob("*") if path.is_file()]
    return [str(path) for path in files if any(needle in unpacked(path) for needle in wanted)]


def unpacked(file: Path) -> bytes:
    content = content_of(file)
    return content + (pl.read_parquet(content).write_ndjson().encode() if content.startswith(b"PAR1") else b"")


def test_the_night_measured_something(ran: Ran) -> None:
    """Without this the other tests would find nothing because there is nothing."""
    assert {name for name, _ in tables(ran.mlruns)} == {
        "countries.json",
        "metrics.json",
        "regions.json",
        "histories.json",
        "popularity.json",
        "comparisons.json",
        "curve.json",
    }
    assert logged(ran.mlruns)["size.test_listeners"] == len(HOMES)
    assert set(ran.private()["listener"]) == set(ran.listeners.values())
    assert sorted(ran.private().group_by("part").len()["len"]) == [3, 20, 30]


def test_nobody_is_in_mlflow_by_hash_or_by_place_in_their_order(ran: Ran) -> None:
    assert holders(ran.mlruns, *ran.listeners.values()) == []
    everybody = pl.Series(sorted(ran.listeners.values()))
    places = set(everybody.search_sorted(ran.private()["listener"]).to_list())
    for name, table in tables(ran.mlruns):
        for column in table.iter_columns():
            assert set(column.to_list()) != places, (name, column.name)


def test_no_table_in_mlflow_has_a_line_for_each_listener(ran: Ran) -> None:
    figures = ran.private()
    served = figures["blend"].round(9).sort().to_list()
    for name, table in tables(ran.mlruns):
        assert "part" not in table.columns or table["part"].is_unique().all(), name
        assert "listener" not in table.columns
        for column in table.select(pl.col(pl.Float64)).iter_columns():
            assert column.round(9).sort().to_list() != served, (name, column.name)


def counts(ran: Ran) -> Iterator[tuple[str, float]]:
    """Every number of listeners that MLflow holds, whatever it is called there."""
    for key, value in logged(ran.mlruns).items():
        if "listeners" in key:
            yield key, value
    for name, table in tables(ran.mlruns):
        for column in table.columns:
            if "listeners" in column:
                yield from (
                    (f"{name}: {column}", value) for value in table[column].cast(pl.Float64).drop_nulls().drop_nans()
                )


def test_no_count_of_few_listeners_is_in_mlflow(ran: Ran) -> None:
    found = list(counts(ran))
    assert len(found) == 4  # listeners and test listeners, of all and of Lisbon
    assert [(name, value) for name, value in found if value < AT_LEAST] == []
    page = next(ran.mlruns.rglob("report.html")).read_text()
    said = [int(number.replace(",", "")) for number in re.findall(r"([\d,]*\d) (?:of [\d,]+ )?listeners", page)]
    assert said
    assert min(said) >= AT_LEAST


def test_no_count_of_few_listeners_follows_from_those_in_mlflow(ran: Ran) -> None:
    """A region, or a history, that is not told, is not the difference of all and those that are."""
    found, numbers = dict(tables(ran.mlruns)), logged(ran.mlruns)
    regions, histories = found["regions.json"], found["histories.json"]
    warm = histories.filter(pl.col("model") == "blend", pl.col("history") != "0")["test_listeners"]
    assert regions["name"].to_list() == ["Lisbon"]  # Porto's 20 would tell of Faro's 3
    for all_, told in (
        (numbers["size.listeners"], regions["listeners"].sum()),
        (numbers["size.test_listeners"], regions["test_listeners"].sum()),
        (numbers["size.test_listeners"], warm.cast(pl.Float64).drop_nans().sum()),
    ):
        assert all_ == told or all_ - told >= AT_LEAST


def test_after_forgetting_no_private_file_holds_the_listener(ran: Ran) -> None:
    who = ran.listeners[ANA]
    evaluate.run_evaluate(ran.again(), config=Config(), times=1)
    files = holders(ran.job.workspace.private / "evaluations", who)
    assert len(files) == 2  # that of the night, and that of the experiment
    stage = Path(files[0]).with_name(f".{Path(files[0]).name}.0123abcd.staged")
    shutil.copy(files[0], stage)  # what an erasure that was cut off left there
    forget(ANA, workspace=ran.job.workspace, settings=ran.job.settings, now=NOW + timedelta(days=2))
    assert holders(ran.job.workspace.root, who) == []
    assert holders(ran.mlruns, who) == []
    assert ran.private()["listener"].n_unique() == len(HOMES) - 1  # and all others stay, in both
    assert all(Path(file).is_file() for file in files)


def test_two_runs_are_paired_by_what_is_private(ran: Ran) -> None:
    evaluate.run_evaluate(ran.again(), config=Config(), times=1)
    registry = Registry(ran.mlruns)
    right, left = registry.runs()
    here = Figures(ran.job.workspace, ran.job.settings, NOW + timedelta(days=2))
    found = compare(registry, left, right, figures=here)
    assert found.unpaired == ""
    assert found.gain is not None
    assert (found.gain.listeners, found.gain.difference) == (len(HOMES), 0)


def test_who_is_forgotten_while_an_experiment_runs_is_not_in_what_it_keeps(
    ran: Ran, monkeypatch: pytest.MonkeyPatch
) -> None:
    job, measure = ran.again(), evaluate.measure
    job.permissions  # noqa: B018 - which were read before

    def meanwhile(rows: pl.DataFrame, **given: Any) -> evaluate.Measured:
        measured = measure(rows, **given)
        forget(ANA, workspace=job.workspace, settings=job.settings, now=NOW + timedelta(days=2))
        return measured

    monkeypatch.setattr(evaluate, "measure", meanwhile)
    done = evaluate.run_evaluate(job, config=Config(), times=1)
    run = Registry(ran.mlruns).find(done.summary["mlflow_run"])
    [file] = (job.workspace.private / "evaluations").rglob(f"{run.record}.parquet")
    assert rows_of(file)["listener"].n_unique() == len(HOMES) - 1
    assert holders(job.workspace.root, ran.listeners[ANA]) == []


def test_who_withdraws_is_in_the_rows_of_no_later_run(ran: Ran) -> None:
    who = ran.listeners[ANA]
    ran.job.consents.append([Entry(who, Purpose.PERSONALISATION, State.WITHDRAWN, NOW, "2026-09")])
    done = evaluate.run_evaluate(ran.again(), config=Config(), times=1)
    run = Registry(ran.mlruns).find(done.summary["mlflow_run"])
    [file] = (ran.job.workspace.private / "evaluations").rglob(f"{run.record}.parquet")
    assert len(holders(file.parent, who)) == 1  # that of the night before, which no comparison uses for it


def test_the_listener_sees_what_is_kept(ran: Ran) -> None:
    records = list(records_in(ran.job.workspace, settings=ran.job.settings)(ran.listeners[ANA]))
    [record] = [record for record in records if record.kind == "evaluation"]
    assert (record.night, record.stored_for) == (night_of(3), (Purpose.PERSONALISATION,))
    [kept] = ran.private().filter(pl.col("listener") == ran.listeners[ANA]).rows(named=True)
    assert record.ndcg is not None
    assert (record.history, record.ndcg["blend"]) == (kept["history"], kept["blend"])
    assert record.ndcg["draw_1"] == kept["draws"][0]
    assert record.place is not None


def test_the_next_night_takes_out_what_earlier_releases_logged(ran: Ran) -> None:
    """Also a night that finds nothing new to do; the run and its other tables stay."""
    run = next(Registry(ran.mlruns).runs())
    [regions] = ran.mlruns.rglob(f"artifacts/{run.id}/artifacts/regions.json")
    shutil.copy(regions, regions.with_name("listeners.json"))
    listed = [*json.loads(run.tags["mlflow.loggedArtifacts"]), {"path": "listeners.json", "type": "table"}]
    tracking.client(ran.mlruns).set_tag(run.id, "mlflow.loggedArtifacts", json.dumps(listed))
    assert run_nightly(ran.again())["status"] == "nothing new"
    assert {name for name, _ in tables(ran.mlruns)} >= {"regions.json", "comparisons.json"}
    assert "listeners.json" not in {name for name, _ in tables(ran.mlruns)}
    listed = json.loads(Registry(ran.mlruns).find(run.id).tags["mlflow.loggedArtifacts"])
    assert "regions.json" in {table["path"] for table in listed}
    assert "listeners.json" not in {table["path"] for table in listed}
