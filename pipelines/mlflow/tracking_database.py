"""MLflow's database, whole or not at all: made and migrated beside the place where it is used, and then renamed."""

import fcntl
import logging
import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import cache
from pathlib import Path
from secrets import token_hex

import mlflow
from alembic.script import ScriptDirectory
from mlflow.db import upgrade

from recsys.causes import not_ready
from recsys.errors import NotReadyError
from recsys.workspace import fsync, make_folder

DATABASE = "mlflow.db"

_PATIENCE = 5  # seconds that one writer waits for another
_MIGRATIONS = Path(mlflow.__file__).parent / "store" / "db_migrations"


def address(file: Path) -> str:
    """Return the address of a database, once it is there, whole, and of this MLflow's version.

    One that is missing is made. So is one that a kill left half-made, before any run was logged: MLflow could neither
    go on with it nor begin again. One of an earlier version is migrated as a copy, which takes its place; what was
    there before is kept beside it, as ``mlflow.db.before``.

    Raises
    ------
    NotReadyError
        If it cannot be used now, with the cause.
    """
    make_folder(file.parent, mode=0o700)
    with _alone(file):
        if not file.exists() or _version(file) != _wanted():
            _replace(file, keep=file.exists() and _has_runs(file))
        file.chmod(0o600)
    return f"sqlite:///{file.resolve()}"


def check(file: Path) -> None:
    """Find out what keeps a database from being used.

    Raises
    ------
    NotReadyError
        If something does, with the cause.
    """
    _version(file)


def is_half_made(file: Path) -> bool:
    """Tell whether the next job makes a database anew, or migrates it."""
    return _version(file) != _wanted()


@contextmanager
def quiet() -> Iterator[None]:
    """Keep to itself what a migration logs of its steps, and MLflow of its tracebacks."""
    loggers = [logging.getLogger(name) for name in ("mlflow", "alembic")]
    before = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _version(file: Path) -> str | None:
    """Return the version of a database that can be written; None where it has none yet."""
    with _asked(file) as connection:
        connection.execute("BEGIN IMMEDIATE")  # finds out whether it is locked, read-only, or none at all
        if not _tables(connection) >= {"alembic_version"}:
            return None
        found = connection.execute("SELECT version_num FROM alembic_version").fetchone()
        return str(found[0]) if found else None


def _has_runs(file: Path) -> bool:
    with _asked(file) as connection:
        return "runs" in _tables(connection) and bool(connection.execute("SELECT 1 FROM runs LIMIT 1").fetchone())


def _tables(connection: sqlite3.Connection) -> set[str]:
    return {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def _replace(file: Path, *, keep: bool) -> None:
    """Make a database beside, with what the old one holds or empty, and put it in the place of the old one."""
    for left in file.parent.glob(f".{file.name}.*"):  # which a kill left half-made
        left.unlink()
    stage = file.with_name(f".{file.name}.{token_hex(4)}.staged")
    if keep:
        with _asked(file) as old, closing(sqlite3.connect(stage)) as copy:
            old.backup(copy)
    with quiet():
        try:
            upgrade.main([f"sqlite:///{stage.resolve()}"], standalone_mode=False)
        except Exception as error:  # whatever a migration may raise
            raise not_ready(error, f"MLflow's database {file}") or NotReadyError(
                f"MLflow's database {file} is of another version, and could not be brought to this one",
                hint="Install the MLflow that made it, or move it away: a new one is made.",
            ) from None
    fsync(stage)
    if file.exists():
        file.replace(file.with_name(f"{file.name}.before"))
    stage.replace(file)
    fsync(file.parent)


@contextmanager
def _asked(file: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(sqlite3.connect(file, timeout=_PATIENCE, isolation_level=None)) as connection:
            yield connection
    except sqlite3.Error as error:
        raise not_ready(error, f"MLflow's database {file}") or NotReadyError(
            f"MLflow's database {file} is damaged, or none",
            hint="Restore it from a backup, or move it away: a new one is made.",
        ) from None


@contextmanager
def _alone(file: Path) -> Iterator[None]:
    """Let one job at a time make the database."""
    with file.with_name(f".{file.name}-lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@cache
def _wanted() -> str:
    """Return the version that this MLflow needs."""
    return str(ScriptDirectory(str(_MIGRATIONS)).get_current_head())
