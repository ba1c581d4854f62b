"""COARSE: the private store of contributions, by night and listener bucket; erasable and expiring.

``contributions/date=YYYY-MM-DD/bucket=NN.parquet`` below the root, folders 0700 and files 0600. A bucket holds the
listeners whose hash begins alike, so that a night never needs to be in memory as a whole, and an erasure rewrites one
small file a night. Empty buckets have no file; a night without contributions is an empty folder.

``counted/bucket=NN.parquet`` is what the bound over time is read from: which listener was counted on which night, for a
year. A night's contributions are on disk before its record, and both before its release: where a crash came in between,
the night is run again, and its record replaced.
"""

import io
import json
import os
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path

import polars as pl

from recsys.cells.contributions import WINDOW_NIGHTS, YEAR_NIGHTS
from recsys.errors import InputError, SettingsError
from recsys.schemas import READ_FAILURES, CoarseListens, Contributions, at_border
from recsys.settings import StoreSettings
from recsys.workspace import fsync, replace_file, staged, sweep

Buckets = tuple[int, ...]

_PREFIX_DIGITS = 8
_BATCH_BYTES = 8 << 20  # of compressed coarse listens: small buckets are worked on together
_STAGED_ROWS = 20_000  # rows a bucket holds in memory until they are written: larger groups measured 300 MB more
_SCHEMA = {name: column.dtype for name, column in Contributions.columns().items()}
_COUNTED = {"listener": pl.String(), "night": pl.Date()}


class Store:
    """The private store below one folder; jobs that write to it hold the workspace's lock.

    Parameters
    ----------
    root : Path
        ``workspace/private``.
    settings : StoreSettings
        How many nights are kept, in how many buckets.

    Raises
    ------
    SettingsError
        If the store was written with another number of buckets.
    """

    def __init__(self, root: Path, settings: StoreSettings) -> None:
        self._root = root / "contributions"
        self._counted = root / "counted"
        self._settings = settings
        self._check_buckets()

    @contextmanager
    def bucketed(self, coarse: pl.LazyFrame) -> Iterator[Iterator[tuple[Buckets, pl.DataFrame]]]:
        """Stream a night's coarse listens to a private stage by bucket, and yield them bucket by bucket.

        Parameters
        ----------
        coarse : polars.LazyFrame
            Schema :class:`recsys.schemas.CoarseListens`; read once, never in memory as a whole.

        Yields
        ------
        iterator of (buckets, polars.DataFrame)
            All rows of one bucket, or of several small ones; empty buckets are left out. The stage is deleted when
            the block ends, however it ends.

        Raises
        ------
        InputError
            If the frame has other columns, or cannot be read to its end.
        """
        self._prepare()
        sweep(self._root)
        bucket = {"bucket": self._bucket_of(pl.col("listener"))}
        with _stage(self._root) as stage:
            try:
                at_border(coarse, CoarseListens).sink_parquet(
                    pl.PartitionBy(stage, key=bucket, include_key=False),
                    row_group_size=_STAGED_ROWS,
                    maintain_order=False,
                    mkdir=True,
                    engine="streaming",
                )
            except READ_FAILURES:  # whose words may quote a value
                raise InputError(
                    "the night's listens cannot be read to their end, or not be staged",
                    hint="Check the input files and the free space of the workspace's disk.",
                ) from None
            yield _batches(stage)

    def write_night(self, night: date, frames: Iterable[tuple[Buckets, pl.DataFrame]]) -> None:
        """Write a night's contributions, all or nothing, and who is counted in them; an existing night is replaced.

        Parameters
        ----------
        night : date
        frames : iterable of (buckets, polars.DataFrame)
            Schema :class:`recsys.schemas.Contributions`; a bucket comes once, as a whole.
        """
        self._prepare()
        with staged(self._folder(night)) as stage:
            stage.chmod(0o700)
            for _, frame in frames:
                for bucket, rows in self._split(at_border(frame, Contributions)):
                    with os.fdopen(
                        os.open(stage / _name(bucket), os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb"
                    ) as file:
                        file.write(_bytes(rows))
        self._record(night)

    def scan(self, nights: Iterable[date] | None = None) -> pl.LazyFrame:
        """Return the contributions of some nights, or of all that are kept: schema Contributions, lazy."""
        wanted = self.nights() if nights is None else tuple(nights)
        return _scan(path for night in wanted for path in self._files(night))

    def nights(self) -> tuple[date, ...]:
        """Return the nights that are in the store, in order."""
        return tuple(
            sorted(date.fromisoformat(folder.name.removeprefix("date=")) for folder in self._root.glob("date=*"))
        )

    def counted_nights(self, buckets: Buckets, night: date) -> pl.DataFrame:
        """Return ``listener``, ``night``: when listeners of some buckets counted within 364 nights of a night.

        What was counted stays counted: consent withdrawn later does not give a night back, since its release is out.

        Raises
        ------
        InputError
            If the night lies so far before the last one that what was counted around it has expired.
        """
        if night < max(self.nights(), default=night) - self._lateness:
            raise InputError(
                f"the night {night} is too long ago: what was counted in the year around it has expired",
                hint="Do without that night.",
            )
        reach = timedelta(days=YEAR_NIGHTS - 1)
        near = pl.col("night").is_between(night - reach, night + reach) & (pl.col("night") != night)
        rows = [_counted(self._counted / _name(bucket)) for bucket in buckets]
        return pl.concat([pl.DataFrame(schema=_COUNTED), *rows]).filter(near)

    def expire(self, night: date) -> int:
        """Delete the nights that are no longer kept once ``night`` is the last; return how many there were.

        Who was counted is kept for a year, and for as many nights more as a night can be late.
        """
        first_counted = night - timedelta(days=YEAR_NIGHTS - 1) - self._lateness
        self._rewrite({}, keep=pl.col("night") >= first_counted)
        first = night - timedelta(days=self._settings.nights - 1)
        old = [other for other in self.nights() if other < first]
        for other in old:
            # Renamed first: a crash in between leaves a stage to sweep, not half a night.
            gone = self._folder(other).rename(self._root / f".{other.isoformat()}.staged")
            fsync(self._root)
            shutil.rmtree(gone)
        return len(old)

    def rows_of(self, listener: str) -> Iterator[pl.DataFrame]:
        """Yield all rows of one listener, file by file; a night that expires meanwhile is left out.

        As many files are read for a listener who was never seen.
        """
        for path in self._files_of(listener):
            try:
                yield pl.read_parquet(path, hive_partitioning=False).filter(pl.col("listener") == listener)
            except FileNotFoundError:
                continue

    def erase(self, listener: str) -> int:
        """Rewrite the files of a listener's bucket without the listener, durably; return how many rows there were."""
        sweep(self._root)
        files = self._files_of(listener)
        for path in files:
            sweep(path.parent)  # what an erasure that was cut off left there
        return sum(_erase(path, listener) for path in files)

    def _files_of(self, listener: str) -> list[Path]:
        """Return every file that may hold a listener: the same for an export as for an erasure."""
        (bucket, _), *_ = self._split(pl.DataFrame({"listener": [listener]}))
        folders = [self._counted, *(self._folder(night) for night in self.nights())]
        return [folder / _name(bucket) for folder in folders]

    @property
    def _lateness(self) -> timedelta:
        """How long before the last night one can be run, so that the past around it is still there."""
        return timedelta(days=self._settings.nights - WINDOW_NIGHTS)

    def _record(self, night: date) -> None:
        """Bring the record of who is counted up to a night's contributions as they are on disk."""
        counted = {path.name: _scan([path]).filter("counted").select(*_COUNTED) for path in self._files(night)}
        self._rewrite({name: rows.unique().collect() for name, rows in counted.items()}, keep=pl.col("night") != night)

    def _rewrite(self, added: Mapping[str, pl.DataFrame], *, keep: pl.Expr) -> None:
        """Rewrite the files of the record, each at once: the rows that are kept, and added ones."""
        self._counted.mkdir(mode=0o700, parents=True, exist_ok=True)
        sweep(self._counted)
        for name in sorted({path.name for path in self._counted.glob("bucket=*.parquet")} | added.keys()):
            path = self._counted / name
            before = _counted(path)
            after = pl.concat([before.filter(keep), added.get(name, before.clear())]).sort(*_COUNTED)
            if not after.equals(before):
                _replace(path, after)

    def _folder(self, night: date) -> Path:
        return self._root / f"date={night.isoformat()}"

    def _files(self, night: date) -> list[Path]:
        return sorted(self._folder(night).glob("bucket=*.parquet"))

    def _prepare(self) -> None:
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self._recorded.exists() or self._is_empty():
            replace_file(self._recorded, json.dumps({"buckets": self._settings.buckets}).encode(), mode=0o600)

    @property
    def _recorded(self) -> Path:
        return self._root / "store.json"

    def _check_buckets(self) -> None:
        if not self._recorded.exists() or self._is_empty():
            return
        recorded = json.loads(self._recorded.read_text(encoding="utf-8"))["buckets"]
        if recorded != self._settings.buckets:
            raise SettingsError(
                f"the private store has {recorded} buckets, the settings say store.buckets = {self._settings.buckets}",
                hint=f"Set store.buckets back to {recorded}, or start with an empty workspace.",
            )

    def _is_empty(self) -> bool:
        return not self.nights() and not any(self._counted.glob("bucket=*.parquet"))

    def _bucket_of(self, listener: pl.Expr) -> pl.Expr:
        """Return the bucket of a listener (hex digits, evenly spread): its first digits, by the number of buckets."""
        return listener.str.head(_PREFIX_DIGITS).str.to_integer(base=16) % self._settings.buckets

    def _split(self, frame: pl.DataFrame) -> list[tuple[int, pl.DataFrame]]:
        parts = frame.group_by(self._bucket_of(pl.col("listener")).alias("bucket"), maintain_order=True)
        return sorted(((bucket, rows) for (bucket,), rows in parts), key=lambda part: part[0])


@contextmanager
def _stage(root: Path) -> Iterator[Path]:
    """Yield a private folder that vanishes when the block ends; after a crash, with the next sweep."""
    stage = Path(tempfile.mkdtemp(prefix=".coarse.", suffix=".staged", dir=root))  # mode 0700
    try:
        yield stage
    finally:
        shutil.rmtree(stage)


def _batches(stage: Path) -> Iterator[tuple[Buckets, pl.DataFrame]]:
    """Read whole buckets, as many small ones together as fit a batch."""
    sizes = {int(folder.name.removeprefix("bucket=")): _size(folder) for folder in stage.iterdir()}
    batch: list[int] = []
    for bucket in sorted(sizes):
        if batch and sum(sizes[b] for b in (*batch, bucket)) > _BATCH_BYTES:
            yield tuple(batch), _read(stage, batch)
            batch = []
        batch.append(bucket)
    if batch:
        yield tuple(batch), _read(stage, batch)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _read(stage: Path, buckets: Iterable[int]) -> pl.DataFrame:
    files = [path for bucket in buckets for path in sorted((stage / f"bucket={bucket}").iterdir())]
    return pl.read_parquet(files, hive_partitioning=False, glob=False)


def _name(bucket: int) -> str:
    return f"bucket={bucket:02d}.parquet"


def _scan(files: Iterable[Path]) -> pl.LazyFrame:
    found = list(files)
    stored = pl.scan_parquet(found, hive_partitioning=False, glob=False) if found else pl.LazyFrame(schema=_SCHEMA)
    return at_border(stored, Contributions)


def _counted(path: Path) -> pl.DataFrame:
    """Read one bucket of the record; a missing file is one without rows."""
    return pl.read_parquet(path, hive_partitioning=False) if path.exists() else pl.DataFrame(schema=_COUNTED)


def _bytes(rows: pl.DataFrame) -> bytes:
    """Return a file's content, the same for the same rows in whatever order threads delivered them."""
    content = io.BytesIO()
    rows.sort("listener", "track_id" if "track_id" in rows.columns else "night").write_parquet(content)
    return content.getvalue()


def _replace(path: Path, rows: pl.DataFrame) -> None:
    """Write a bucket's file anew, durably; one without rows is removed."""
    if rows.is_empty():
        path.unlink(missing_ok=True)
        fsync(path.parent)
    else:
        replace_file(path, _bytes(rows), mode=0o600)


def _erase(path: Path, listener: str) -> int:
    """Replace a bucket's file by one without the listener, in its rows as in its statistics."""
    if not path.exists():
        return 0
    rows = pl.read_parquet(path, hive_partitioning=False)
    kept = rows.filter(pl.col("listener") != listener)
    if len(kept) < len(rows):
        _replace(path, kept)
    return len(rows) - len(kept)
