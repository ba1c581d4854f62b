"""The figures of single listeners: private, durable, by night, erased and expired, whoever writes beside."""

import io
import os
import threading
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest
from support.runs import figures, listener
from support.sealing import content_of, sealed_in

from pipelines.privacy.forget import forget
from recsys.cells import evaluations
from recsys.errors import InputError
from recsys.models.evaluation.report_tables import LISTENER_SCHEMA, MODELS
from recsys.sealed_files import SealedFiles
from recsys.settings import Settings
from recsys.workspace import Workspace, listener_of

NIGHT, DAY = date(2026, 10, 4), timedelta(days=1)
RUN, OTHER = "a" * 32, "b" * 32
GAINS, PARTS = [0.1, 0.2, 0.3], ["PT-1", None, "PT-2"]


def at_rest(workspace: Workspace) -> SealedFiles:
    return sealed_in(workspace.private)


def write(workspace: Workspace, *, run: str = RUN, night: date = NIGHT, rows: pl.DataFrame | None = None) -> None:
    with evaluations.held(at_rest(workspace)):
        evaluations.write(at_rest(workspace), figures(GAINS, PARTS) if rows is None else rows, run=run, night=night)


def left(workspace: Workspace) -> list[Path]:
    return sorted(path.relative_to(workspace.private / "evaluations") for path in workspace.private.rglob("*.parquet"))


def test_a_run_s_rows_come_back_and_other_runs_have_none(workspace: Workspace) -> None:
    assert evaluations.read(at_rest(workspace), run=RUN) is None
    write(workspace)
    found = evaluations.read(at_rest(workspace), run=RUN)
    assert found is not None
    assert found.equals(figures(GAINS, PARTS))
    assert found.columns == ["listener", "part", "history", *MODELS, "draws"]
    assert evaluations.read(at_rest(workspace), run=OTHER) is None


def test_rows_of_before_there_were_draws_are_of_one(workspace: Workspace) -> None:
    write(workspace)
    (file,) = (workspace.private / "evaluations").rglob("*.parquet")
    old = io.BytesIO()
    figures(GAINS, PARTS).drop("draws").write_parquet(old)
    file.write_bytes(at_rest(workspace).sealed(old.getvalue(), file))
    found = evaluations.read(at_rest(workspace), run=RUN)
    assert found is not None
    assert found["draws"].to_list() == [[0.1], [0.2], [0.3]]


def test_the_same_rows_are_the_same_bytes_and_none_are_no_file(workspace: Workspace) -> None:
    write(workspace)
    write(workspace, run=OTHER, rows=figures(GAINS, PARTS).reverse())
    first, second = (workspace.private / "evaluations" / file for file in left(workspace))
    assert content_of(first) == content_of(second)
    write(workspace, run="c" * 32, night=NIGHT + DAY, rows=pl.DataFrame(schema=LISTENER_SCHEMA))
    assert len(left(workspace)) == 2


def test_only_the_owner_can_read_them(workspace: Workspace) -> None:
    before = os.umask(0)
    try:
        write(workspace)
    finally:
        os.umask(before)
    root = workspace.private / "evaluations"
    modes = {path.relative_to(root).as_posix(): path.stat().st_mode & 0o777 for path in (root, *root.rglob("*"))}
    assert modes == {".": 0o700, f"date={NIGHT}": 0o700, f"date={NIGHT}/{RUN}.parquet": 0o600}


def test_a_column_that_does_not_belong_there_is_refused(workspace: Workspace) -> None:
    with pytest.raises(InputError, match="Figures has columns that do not fit"):
        write(workspace, rows=figures(GAINS, PARTS).with_columns(user_id=pl.lit("ana")))
    assert left(workspace) == []


def test_erased_rows_are_in_no_file_nor_in_its_statistics_and_others_stay(workspace: Workspace) -> None:
    gone, last = listener(0), listener(2)
    for run, night in ((RUN, NIGHT), (OTHER, NIGHT - DAY)):
        write(workspace, run=run, night=night)
    write(workspace, run="c" * 32, rows=figures([0.1], [None]))  # a run that asked nobody else
    assert evaluations.erase(at_rest(workspace), [gone, listener(7)]) == 3
    assert len(left(workspace)) == 2
    for file in left(workspace):
        content = workspace.private / "evaluations" / file
        assert gone.encode() not in content_of(content)
        statistics = pq.read_metadata(io.BytesIO(content_of(content))).row_group(0).column(0).statistics
        assert (statistics.min, statistics.max) == (listener(1), last)
    kept = evaluations.read(at_rest(workspace), run=OTHER)
    assert kept is not None
    assert kept.equals(figures(GAINS, PARTS).tail(2))
    assert evaluations.erase(at_rest(workspace), [gone]) == 0


def test_an_erasure_takes_what_a_crash_left_and_what_cannot_be_read(workspace: Workspace) -> None:
    write(workspace)
    folder = workspace.private / "evaluations" / f"date={NIGHT}"
    (folder / f".{RUN}.parquet.0123abcd.staged").write_bytes(listener(0).encode())
    (folder.parent / ".date=2026-08-01.0123abcd.staged").mkdir()
    (folder / f"{OTHER}.parquet").write_bytes(b"PAR1 " + listener(0).encode())
    assert evaluations.erase(at_rest(workspace), [listener(0)]) == 1
    assert [path.name for path in folder.iterdir()] == [f"{RUN}.parquet"]
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]


def test_nobody_to_erase_and_nothing_to_expire_make_no_folder(workspace: Workspace) -> None:
    assert evaluations.erase(at_rest(workspace), [listener(0)]) == 0
    assert evaluations.expire(at_rest(workspace), NIGHT, nights=35) == 0
    assert list(workspace.private.iterdir()) == []


def test_rows_go_with_the_last_night_of_their_data(workspace: Workspace) -> None:
    write(workspace)
    write(workspace, run=OTHER, night=NIGHT - DAY)
    assert evaluations.expire(at_rest(workspace), NIGHT + 33 * DAY, nights=35) == 0
    assert evaluations.expire(at_rest(workspace), NIGHT + 34 * DAY, nights=35) == 1
    assert left(workspace) == [Path(f"date={NIGHT}/{RUN}.parquet")]
    assert evaluations.expire(at_rest(workspace), NIGHT + 35 * DAY, nights=35) == 1
    assert list((workspace.private / "evaluations").iterdir()) == []


def test_the_rows_of_one_listener_are_told_run_by_run(workspace: Workspace) -> None:
    write(workspace)
    write(workspace, run=OTHER, night=NIGHT - DAY, rows=figures([0.4], ["PT-3"]))
    found = [(night, rows["blend"].to_list()) for night, rows in evaluations.rows_of(at_rest(workspace), listener(0))]
    assert found == [(NIGHT - DAY, [0.4]), (NIGHT, [0.1])]
    assert [len(rows) for _, rows in evaluations.rows_of(at_rest(workspace), listener(9))] == [0, 0]


def test_a_forgotten_listener_is_in_the_rows_of_no_run(workspace: Workspace, settings: Settings) -> None:
    ana, others = listener_of("ana", key=workspace.listener_key()), figures(GAINS, PARTS)
    write(workspace, rows=pl.concat([others, others.head(1).with_columns(listener=pl.lit(ana))]))
    forget("ana", workspace=workspace, settings=settings, now=datetime(2026, 10, 6, tzinfo=UTC))
    found = evaluations.read(at_rest(workspace), run=RUN)
    assert found is not None
    assert found.equals(others)


def test_an_erasure_waits_for_who_is_writing_and_then_finds_the_file(workspace: Workspace) -> None:
    """An experiment holds no lock of the workspace: what it writes must not slip past an erasure at that moment."""
    write(workspace, rows=figures([0.4], [None]), run=OTHER)
    with evaluations.held(at_rest(workspace)):
        erasing = threading.Thread(target=evaluations.erase, args=(at_rest(workspace), [listener(0)]))
        erasing.start()
        erasing.join(1)
        assert erasing.is_alive()
        evaluations.write(at_rest(workspace), figures(GAINS, PARTS), run=RUN, night=NIGHT)
    erasing.join(60)
    assert not erasing.is_alive()
    assert left(workspace) == [Path(f"date={NIGHT}/{RUN}.parquet")]
    found = evaluations.read(at_rest(workspace), run=RUN)
    assert found is not None
    assert found["listener"].to_list() == [listener(1), listener(2)]
