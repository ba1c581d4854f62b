"""What the system says becomes its true cause and exit code 75: never a bug, and never damage that is not there."""

import errno
import json
import os
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import sqlalchemy as sa
from support.commands import Run

from pipelines import __main__ as command_line
from recsys.arrivals.input_tables import files_of
from recsys.causes import cause_of, not_ready
from recsys.errors import InputError, NotReadyError
from recsys.releases.budget.ledger import Ledger
from recsys.serving.snapshot.snapshot_reader import open_published
from recsys.workspace import Workspace, read_manifest, write_manifest

NUMBERS = ["ENOSPC", "EDQUOT", "EROFS", "EACCES", "EMFILE", "ENFILE", "EIO", "ENOENT", "EFBIG"]


def refusing(number: str, path: str = "file") -> OSError:
    return OSError(getattr(errno, number), os.strerror(getattr(errno, number)), path)


@pytest.mark.parametrize("number", NUMBERS)
def test_every_command_tells_the_cause(hearabouts: Run, monkeypatch: pytest.MonkeyPatch, number: str) -> None:
    def raises(*_: object, **__: object) -> Any:
        raise refusing(number, "some\x1b[31m/file")

    monkeypatch.setattr(command_line, "load_settings", raises)
    done = hearabouts("promote", "--back")
    assert (done.code, done.summary["problem"]) == (75, "not-ready")
    assert "some\ufffd[31m/file cannot be used now: " in done.summary["message"]
    assert done.summary["hint"]
    assert "bug" not in done.err
    assert "Traceback" not in done.err


def test_what_is_a_bug_stays_one(hearabouts: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for error in (KeyError("x"), OSError("a text"), BrokenPipeError(errno.EPIPE, "pipe"), sqlite3.IntegrityError()):
        assert cause_of(error) is None
    monkeypatch.setattr(command_line, "load_settings", lambda *_: {}["secret"])
    done = hearabouts("promote", "--back")
    assert (done.code, done.summary["problem"], "secret" in done.err) == (1, "unforeseen", False)


def locked(folder: Path) -> Iterator[BaseException]:
    with closing(sqlite3.connect(folder / "db")) as one, closing(sqlite3.connect(folder / "db", timeout=0)) as other:
        one.execute("BEGIN IMMEDIATE")
        with pytest.raises(sqlite3.OperationalError) as refused:
            other.execute("BEGIN IMMEDIATE")
        yield refused.value


def read_only(folder: Path) -> Iterator[BaseException]:
    (folder / "db").touch()
    with closing(sqlite3.connect(f"file:{folder / 'db'}?mode=ro", uri=True)) as database:
        with pytest.raises(sqlite3.OperationalError) as refused:
            database.execute("CREATE TABLE x (y)")
        yield refused.value


def not_opened(folder: Path) -> Iterator[BaseException]:
    with pytest.raises(sqlite3.OperationalError) as refused:
        sqlite3.connect(folder / "none" / "db")
    yield refused.value


def full(folder: Path) -> Iterator[BaseException]:
    with closing(sqlite3.connect(folder / "db")) as database:
        database.execute("PRAGMA max_page_count = 2")
        with pytest.raises(sqlite3.OperationalError) as refused:
            database.executescript("CREATE TABLE x (y); CREATE TABLE z (y)")
        yield refused.value


@pytest.mark.parametrize(
    ("meets", "said"),
    [(locked, "locked"), (read_only, "read-only"), (not_opened, "cannot be opened"), (full, "no space")],
)
def test_sqlite_tells_the_cause_also_through_sqlalchemy(tmp_path: Path, meets: Any, said: str) -> None:
    error = next(found := meets(tmp_path))
    for each in (error, sa.exc.OperationalError("SELECT 'secret'", {}, error)):
        refused = not_ready(each, "the ledger")
        assert refused is not None
        assert said in refused.message
        assert "secret" not in refused.message
    found.close()


def test_polars_tells_the_cause(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError) as gone:
        pl.read_parquet(tmp_path / "none.parquet")
    assert cause_of(gone.value) is not None
    assert cause_of(pl.exceptions.ComputeError("No space left on device (os error 28)")) == cause_of(refusing("ENOSPC"))
    assert cause_of(pl.exceptions.ComputeError("value 28")) is None


@pytest.mark.parametrize("number", ["EMFILE", "EIO", "EACCES"])
def test_a_folder_that_is_whole_is_not_called_damaged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: str
) -> None:
    (tmp_path / "a").write_text("a")
    write_manifest(tmp_path, {})

    def raises(*_: object, **__: object) -> Any:
        raise refusing(number)

    monkeypatch.setattr(Path, "read_text", raises)
    with pytest.raises(OSError, match=os.strerror(getattr(errno, number))):
        read_manifest(tmp_path)


def test_a_snapshot_that_cannot_be_opened_now_is_not_called_damaged(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace.current.write_text("2026-10-31-00000000")
    monkeypatch.setattr(
        "recsys.serving.snapshot.snapshot_reader.read_manifest", lambda _: (_ for _ in ()).throw(refusing("EMFILE"))
    )
    with pytest.raises(NotReadyError, match="too many files are open"):
        open_published(workspace)


def test_a_ledger_on_a_full_disk_is_not_told_to_be_in_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    error = sqlite3.OperationalError("disk I/O error")
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR
    monkeypatch.setattr(sqlite3, "connect", lambda *_, **__: (_ for _ in ()).throw(error))
    with pytest.raises(NotReadyError, match="the disk is full, or fails") as refused:
        Ledger(tmp_path / "ledger.db")
    assert "Another job" not in refused.value.hint


def test_a_pipe_is_no_table(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "catalogue.csv")
    with pytest.raises(InputError, match="is not a table that can be read"):
        files_of(tmp_path / "catalogue.csv")


@pytest.mark.parametrize(
    ("limit", "most"), [(resource.RLIMIT_FSIZE, 2_000), (resource.RLIMIT_NOFILE, 16)], ids=["size", "files"]
)
def test_a_real_process_at_its_limit(tmp_path: Path, limit: int, most: int) -> None:
    Workspace(tmp_path / "workspace").prepare()
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "forget", "ana"],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2]), "PYTHONDONTWRITEBYTECODE": "1"},
        preexec_fn=lambda: resource.setrlimit(limit, (most, most)),
        capture_output=True,
        text=True,
    )
    assert done.returncode in {0, 75}, (done.stdout, done.stderr)
    assert json.loads(done.stdout.splitlines()[-1]).get("problem") in {None, "not-ready"}
    assert "which is a bug" not in done.stderr
