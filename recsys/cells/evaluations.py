"""COARSE: how well each model ranked for each test listener of a run; in the private store alone, erasable, expiring.

``evaluations/date=YYYY-MM-DD/RUN.parquet`` below the private folder, folders 0700 and files 0600, sealed: one file a
run of MLflow, which holds no figure of one person itself. The date is the last night of the data that the run stands
on, so that a run's rows go when the last of that data goes. Listeners are the store's keyed hashes: two runs on the
same data are paired by them.

Experiments write beside a night and without the workspace's lock, so the folder has one of its own, held for moments.
"""

import fcntl
import io
import os
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from recsys.errors import InputError
from recsys.schemas import READ_FAILURES, Figures, at_border
from recsys.sealed_files import SealedFiles
from recsys.workspace import fsync, make_folder, remove_folder, replace_file, sweep


@contextmanager
def held(files: SealedFiles) -> Iterator[None]:
    """Hold the folder, once whoever holds it has let go, cleared of what a crash left half-written.

    Who writes asks within it, who is still there: an erasure that was asked for before is seen then, and one that comes
    after finds the file.
    """
    root = _root(files)
    make_folder(root, mode=0o700)
    descriptor = os.open(root, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        for folder in (root, *_nights(files)):
            sweep(folder)
        yield
    finally:
        os.close(descriptor)


def write(files: SealedFiles, figures: pl.DataFrame, *, run: str, night: date) -> None:
    """Write the rows of a run, durably; to be called while the folder is held.

    Parameters
    ----------
    files : SealedFiles
        Of the private store.
    figures : polars.DataFrame
        Schema :class:`recsys.schemas.Figures`; nothing is written where there are no rows.
    run : str
        The id of the run's record, which the run in MLflow has as a tag.
    night : date
        The last night of the data.
    """
    rows = at_border(figures, Figures)
    if rows.is_empty():
        return
    folder = _root(files) / f"{_DATE}{night.isoformat()}"
    if not folder.exists():
        folder.mkdir(mode=0o700)
        fsync(folder.parent)
    _replace(files, folder / f"{run}.parquet", rows)


def read(files: SealedFiles, *, run: str) -> pl.DataFrame | None:
    """Return the rows of a run; None where there are none, or none that can be read."""
    for file in _root(files).glob(f"{_DATE}*/{run}.parquet"):
        try:
            return _read(files, file)
        except _UNREADABLE:  # gone meanwhile, or damaged
            continue
    return None


def rows_of(files: SealedFiles, listener: str) -> Iterator[tuple[date, pl.DataFrame]]:
    """Yield the last night and the row of one listener, run by run; a run that expires meanwhile is left out.

    As many files are read for a listener who was never seen.
    """
    for file in _files(files):
        try:
            rows = _read(files, file)
        except FileNotFoundError:
            continue
        yield _night(file.parent), rows.filter(pl.col("listener") == listener)


def erase(files: SealedFiles, listeners: Collection[str]) -> int:
    """Rewrite every file without some listeners, durably; return how many rows there were.

    A file that cannot be read is taken off as a whole: what is in it can be measured again, and nobody stays in it.
    """
    if not listeners or not _root(files).exists():
        return 0
    with held(files):
        return sum(_erase(files, file, listeners) for file in _files(files))


def expire(files: SealedFiles, night: date, *, nights: int) -> int:
    """Delete the runs whose data is no longer kept once ``night`` is the last; return of how many nights.

    Parameters
    ----------
    files : SealedFiles
        Of the private store.
    night : date
    nights : int
        That are kept: ``store.nights`` of the settings.
    """
    if not _root(files).exists():
        return 0
    first = night - timedelta(days=nights - 1)
    with held(files):
        old = [folder for folder in _nights(files) if _night(folder) < first]
        for folder in old:
            remove_folder(folder)
        fsync(_root(files))
    return len(old)


_DATE = "date="
_UNREADABLE = (*READ_FAILURES, InputError)


def _root(files: SealedFiles) -> Path:
    return files.private / "evaluations"


def _nights(files: SealedFiles) -> list[Path]:
    return sorted(_root(files).glob(f"{_DATE}*"))


def _night(folder: Path) -> date:
    return date.fromisoformat(folder.name.removeprefix(_DATE))


def _files(files: SealedFiles) -> list[Path]:
    return [file for folder in _nights(files) for file in sorted(folder.glob("*.parquet"))]


def _read(files: SealedFiles, file: Path) -> pl.DataFrame:
    rows = pl.read_parquet(files.read(file), hive_partitioning=False)
    return rows if "draws" in rows.columns else rows.with_columns(draws=pl.concat_list("blend"))  # of before there were


def _replace(files: SealedFiles, file: Path, rows: pl.DataFrame) -> None:
    """Write a file anew; one without rows is removed."""
    if rows.is_empty():
        file.unlink()
        fsync(file.parent)
        return
    content = io.BytesIO()
    rows.sort("listener").write_parquet(content)
    replace_file(file, files.sealed(content.getvalue(), file), mode=0o600)


def _erase(files: SealedFiles, file: Path, listeners: Collection[str]) -> int:
    """Replace a file by one without the listeners, in its rows as in its statistics."""
    try:
        rows = _read(files, file)
        kept = rows.filter(~pl.col("listener").is_in(list(listeners)))
    except _UNREADABLE:
        file.unlink()
        fsync(file.parent)
        return 0
    if len(kept) < len(rows):
        _replace(files, file, kept)
    return len(rows) - len(kept)
