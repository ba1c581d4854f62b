"""COARSE: the private store of contributions, by night and listener bucket; erasable and expiring.

``contributions/date=YYYY-MM-DD/bucket=NN.parquet`` below the root, folders 0700 and files 0600. A bucket holds the
listeners whose hash begins alike, so that a night never needs to be in memory as a whole, and an erasure rewrites one
small file a night. Empty buckets have no file; a night without contributions is an empty folder.

``balances/bucket=NN.parquet`` in a night's folder is what the bound over time is read from: what each listener has
earned and not spent after that night. It is on disk with the night's contributions or not at all. Every night begins
from the balances after the last one that was released, whatever else was begun since; where these are gone, nobody is
known. Only the last two are kept, and of listeners who were not there for as long as nights are kept, none but debts:
being forgotten never lets anybody add more who owes nothing.

All of these files are sealed (:mod:`recsys.sealed_files`), and what a night streams to its stage is under a key that is
never written anywhere.
"""

import io
import json
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import date, timedelta
from pathlib import Path
from typing import TypeVar

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recsys.causes import not_ready
from recsys.cells.contributions import Bounded
from recsys.cells.earnings import BALANCES
from recsys.cells.takeover import COUNTED
from recsys.errors import InputError, NotReadyError, SettingsError
from recsys.schemas import CoarseListens, Contributions, at_border, to_the_end
from recsys.sealed_files import SealedFiles
from recsys.settings import StoreSettings
from recsys.workspace import KEY_BYTES, fsync, make_folder, replace_file, staged, sweep

Buckets = tuple[int, ...]
Part = TypeVar("Part")

_PREFIX_DIGITS = 8
_BATCH_BYTES = 8 << 20  # of compressed coarse listens: small buckets are worked on together
_STAGED_ROWS = 20_000  # rows a bucket holds in memory until they are written: larger groups measured 300 MB more
_SCHEMA = {name: column.dtype for name, column in Contributions.columns().items()}
_BALANCES = "balances"
_RESTORE = (
    "Restore it from a backup. Without one, move the file away: its listeners are not learned from for that night, and "
    "begin with nothing saved where it is of balances."
)


class Store:
    """The private store below one folder; jobs that write to it hold the workspace's lock.

    Parameters
    ----------
    root : Path
        ``workspace/private``.
    settings : StoreSettings
        How many nights are kept, in how many buckets, and where the store key is.

    Raises
    ------
    SettingsError
        If the store was written with another number of buckets.
    """

    def __init__(self, root: Path, settings: StoreSettings) -> None:
        self._root = root / "contributions"
        self._settings = settings
        self.sealed = SealedFiles(root, settings)
        self._check_buckets()

    @property
    def buckets(self) -> int:
        """How many buckets there are."""
        return self._settings.buckets

    def check(self) -> None:
        """Look at every file before anything is spent: whether it opens, and its columns.

        Raises
        ------
        InputError
            If one cannot be read, or is of another release; the message names it.
        SettingsError
            If the store key is missing or another.
        """
        for path in self.files():
            self.check_file(path)

    def files(self) -> Iterator[Path]:
        """Yield every file of contributions and of balances."""
        for night in self.nights():
            yield from self._files(night)
            yield from self._balances_after(night)

    def check_file(self, path: Path) -> None:
        """Refuse a file that was cut off or changed, or has other columns than this release writes.

        Raises
        ------
        InputError
            With the file's name.
        """
        columns = list(BALANCES) if path.parent.name == _BALANCES else Contributions.column_names()
        try:
            found = pq.read_schema(pa.BufferReader(self.sealed.read(path))).names
        except (pa.ArrowInvalid, OSError) as error:
            raise not_ready(error, str(path)) or InputError(f"{path} is cut off or damaged", hint=_RESTORE) from None
        if found != columns:
            raise InputError(f"{path} has other columns than this release of Hearabouts writes", hint=_RESTORE)

    @contextmanager
    def bucketed(self, coarse: pl.LazyFrame) -> Iterator[Iterator[tuple[Buckets, pl.LazyFrame]]]:
        """Stream a night's coarse listens to a private stage by bucket, and yield them bucket by bucket.

        Parameters
        ----------
        coarse : polars.LazyFrame
            Schema :class:`recsys.schemas.CoarseListens`; read once, never in memory as a whole.

        Yields
        ------
        iterator of (buckets, polars.LazyFrame)
            All rows of one bucket, or of several small ones, unread; empty buckets are left out. The stage is deleted
            when the block ends, however it ends.

        Raises
        ------
        InputError
            If the frame has other columns, or cannot be read to its end.
        """
        self._prepare()
        sweep(self._root)
        bucket = {"bucket": _bucket_of(pl.col("listener"), buckets=self.buckets)}
        key = secrets.token_bytes(KEY_BYTES)  # in memory alone: nobody ever reads the stage of a night that was cut off
        with _stage(self._root) as stage:
            with to_the_end("the night's listens"):
                at_border(coarse, CoarseListens).sink_parquet(
                    pl.PartitionBy(stage, key=bucket, include_key=False),
                    row_group_size=_STAGED_ROWS,
                    maintain_order=False,
                    mkdir=True,
                    engine="streaming",
                    encryption=pl.ParquetEncryptionProperties(footer_key=key),
                )
            yield _staged(stage, key=key)

    def write_night(self, night: date, frames: Iterable[tuple[Buckets, Bounded]], *, after: date | None = None) -> None:
        """Write a night's contributions and the balances after it, all or nothing; an existing night is replaced.

        Parameters
        ----------
        night : date
        frames : iterable of (buckets, Bounded)
            A bucket comes once, as a whole; the balances of those that do not come stay as they are.
        after : date, optional
            The last night that was released.
        """
        self._prepare()
        with staged(self._folder(night)) as stage:
            stage.chmod(0o700)
            (stage / _BALANCES).mkdir(mode=0o700)
            came: set[int] = set()
            for buckets, bounded in frames:
                came.update(buckets)
                for folder, rows in (
                    (".", at_border(bounded.contributions, Contributions)),
                    (_BALANCES, self._kept(bounded.balances, night)),
                ):
                    for bucket, some in split(_in_order(rows), buckets=self.buckets):
                        self._create(stage, night, f"{folder}/{_name(bucket)}", some)
            for path in self._balances_after(after):
                if _bucket(path) not in came:
                    self._create(stage, night, f"{_BALANCES}/{path.name}", self._kept(self._rows(path), night))

    def scan(self, nights: Iterable[date] | None = None) -> pl.LazyFrame:
        """Return the contributions of some nights, or of all that are kept: schema Contributions, lazy.

        The files are opened here, and kept in memory as they are on the disk, a small part of what is in them.
        """
        wanted = self.nights() if nights is None else tuple(nights)
        return self._scan([path for night in wanted for path in self._files(night)])

    def batches(self, night: date) -> Iterator[pl.LazyFrame]:
        """Yield the contributions of a night, lazy, some buckets at a time: no listener is in two of them."""
        sizes = {path: path.stat().st_size for path in self._files(night)}
        return map(self._scan, _batched(sizes))

    def nights(self) -> tuple[date, ...]:
        """Return the nights that are in the store, in order."""
        return tuple(
            sorted(date.fromisoformat(folder.name.removeprefix("date=")) for folder in self._root.glob("date=*"))
        )

    def balances(self, buckets: Buckets, *, after: date | None) -> pl.DataFrame:
        """Return what listeners of some buckets had earned and not spent after a night, as far as that is known.

        Parameters
        ----------
        buckets : tuple of int
        after : date or None
            The last night that was released; None before the first.

        Returns
        -------
        polars.DataFrame
            Schema :data:`recsys.cells.earnings.BALANCES`.
        """
        wanted = [path for path in self._balances_after(after) if _bucket(path) in buckets]
        return pl.concat([pl.DataFrame(schema=BALANCES), *map(self._rows, wanted)])

    def expire(self, night: date) -> int:
        """Delete what is no longer kept once ``night`` is the last; return how many nights that were.

        Balances are kept of ``night`` and of the one before, from which ``night`` could be run again.
        """
        before = max((other for other in self.nights() if other < night), default=night)
        for other in self.nights():
            if other < before and (self._folder(other) / _BALANCES).exists():
                self._remove(self._folder(other) / _BALANCES)
        first = night - timedelta(days=self._settings.nights - 1)
        old = [other for other in self.nights() if other < first]
        for other in old:
            self._remove(self._folder(other))
        return len(old)

    def rows_of(self, listener: str) -> Iterator[pl.DataFrame]:
        """Yield all rows of one listener, file by file; a night that expires meanwhile is left out.

        As many files are read for a listener who was never seen.
        """
        for path in self._files_of(listener):
            try:
                yield self._rows(path).filter(pl.col("listener") == listener)
            except FileNotFoundError:
                continue

    def erase(self, listener: str) -> int:
        """Rewrite the files of a listener's bucket without the listener, durably; return how many rows there were."""
        sweep(self._root)
        (bucket, _), *_ = split(pl.DataFrame({"listener": [listener]}), buckets=self.buckets)
        before = self._root.parent / COUNTED / _name(bucket)  # of a store that no night has taken over yet
        files = [*self._files_of(listener), before]
        for path in files:
            sweep(path.parent)  # what an erasure that was cut off left there
        return sum(self._erase(path, listener) for path in files)

    def _scan(self, paths: Iterable[Path]) -> pl.LazyFrame:
        if (self._root.parent / COUNTED).exists():
            raise NotReadyError(
                "the private store is from before weights were earned",
                hint="Run `hearabouts nightly` first: it takes the store over.",
            )
        files = [self.sealed.read(path) for path in paths]
        stored = pl.scan_parquet(files, hive_partitioning=False) if files else pl.LazyFrame(schema=_SCHEMA)
        return at_border(stored, Contributions)

    def _rows(self, path: Path) -> pl.DataFrame:
        return pl.read_parquet(self.sealed.read(path), hive_partitioning=False)

    def _create(self, stage: Path, night: date, name: str, rows: pl.DataFrame) -> None:
        """Write a file of a night's stage, sealed for where it will be; one without rows is not written."""
        if not rows.is_empty():
            content = self.sealed.sealed(_bytes(rows), self._folder(night) / name)
            with os.fdopen(os.open(stage / name, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)

    def _replace(self, path: Path, rows: pl.DataFrame) -> None:
        """Write a bucket's file anew, durably; one without rows is removed."""
        if rows.is_empty():
            path.unlink(missing_ok=True)
            fsync(path.parent)
        else:
            content = _bytes(rows) if path.parent.name == COUNTED else self.sealed.sealed(_bytes(rows), path)
            replace_file(path, content, mode=0o600)

    def _erase(self, path: Path, listener: str) -> int:
        """Replace a bucket's file by one without the listener, in its rows as in its statistics."""
        if not path.exists():
            return 0
        rows = self._rows(path)
        kept = rows.filter(pl.col("listener") != listener)
        if len(kept) < len(rows):
            self._replace(path, kept)
        return len(rows) - len(kept)

    def _files_of(self, listener: str) -> list[Path]:
        """Return every file that may hold a listener: the same for an export as for an erasure."""
        (bucket, _), *_ = split(pl.DataFrame({"listener": [listener]}), buckets=self.buckets)
        nights = [self._folder(night) for night in self.nights()]
        return [folder / _name(bucket) for night in nights for folder in (night, night / _BALANCES)]

    def _balances_after(self, night: date | None) -> list[Path]:
        """Return the files of the balances after a night; none where they are gone."""
        return sorted((self._folder(night) / _BALANCES).glob("bucket=*.parquet")) if night else []

    def _kept(self, balances: pl.DataFrame, night: date) -> pl.DataFrame:
        """Return the balances of listeners who were there in the nights that are kept, and all debts."""
        there = pl.col("night") > night - timedelta(days=self._settings.nights)
        return balances.filter(there | pl.any_horizontal(pl.col("of_28", "of_365") < 0))

    def _remove(self, folder: Path) -> None:
        """Remove a folder; renamed first, so that a crash in between leaves a stage to sweep, not half of it."""
        gone = folder.rename(self._root / f".{folder.parent.name}.{folder.name}.staged")
        fsync(self._root)
        shutil.rmtree(gone)

    def _folder(self, night: date) -> Path:
        return self._root / f"date={night.isoformat()}"

    def _files(self, night: date) -> list[Path]:
        return sorted(self._folder(night).glob("bucket=*.parquet"))

    def _prepare(self) -> None:
        make_folder(self._root, mode=0o700)
        if not self._recorded.exists() or self._is_empty():
            replace_file(self._recorded, json.dumps({"buckets": self._settings.buckets}).encode(), mode=0o600)

    @property
    def _recorded(self) -> Path:
        return self._root / "store.json"

    def _check_buckets(self) -> None:
        if not self._recorded.exists() or self._is_empty():
            return
        try:
            recorded = int(json.loads(self._recorded.read_text(encoding="utf-8"))["buckets"])
        except (ValueError, LookupError, TypeError):
            raise InputError(
                f"{self._recorded} does not say how many buckets the private store has",
                hint='Restore it from a backup, or write {"buckets": N} into it, with the store.buckets of before.',
            ) from None
        if recorded != self._settings.buckets:
            raise SettingsError(
                f"the private store has {recorded} buckets, the settings say store.buckets = {self._settings.buckets}",
                hint=f"Set store.buckets back to {recorded}, or start with an empty workspace.",
            )

    def _is_empty(self) -> bool:
        return not self.nights()


def split(frame: pl.DataFrame, *, buckets: int) -> list[tuple[int, pl.DataFrame]]:
    """Split the rows of listeners by bucket; buckets without rows are left out."""
    parts = frame.group_by(_bucket_of(pl.col("listener"), buckets=buckets).alias("bucket"), maintain_order=True)
    return sorted(((bucket, rows) for (bucket,), rows in parts), key=lambda part: part[0])


def _bucket_of(listener: pl.Expr, *, buckets: int) -> pl.Expr:
    """Return the bucket of a listener (hex digits, evenly spread): its first digits, by the number of buckets."""
    return listener.str.head(_PREFIX_DIGITS).str.to_integer(base=16) % buckets


@contextmanager
def _stage(root: Path) -> Iterator[Path]:
    """Yield a private folder that vanishes when the block ends; after a crash, with the next sweep."""
    stage = Path(tempfile.mkdtemp(prefix=".coarse.", suffix=".staged", dir=root))  # mode 0700
    try:
        yield stage
    finally:
        shutil.rmtree(stage)


def _staged(stage: Path, *, key: bytes) -> Iterator[tuple[Buckets, pl.LazyFrame]]:
    """Yield whole buckets, as many small ones together as fit a batch."""
    sizes = {int(folder.name.removeprefix("bucket=")): _size(folder) for folder in stage.iterdir()}
    return ((buckets, _staged_rows(stage, buckets, key=key)) for buckets in _batched(dict(sorted(sizes.items()))))


def _batched(sizes: Mapping[Part, int]) -> Iterator[tuple[Part, ...]]:
    """Yield what has a size (bytes), as many small ones together as fit a batch."""
    batch: list[Part] = []
    for part in sizes:
        if batch and sum(sizes[each] for each in (*batch, part)) > _BATCH_BYTES:
            yield tuple(batch)
            batch = []
        batch.append(part)
    if batch:
        yield tuple(batch)


def _size(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.iterdir())


def _staged_rows(stage: Path, buckets: Iterable[int], *, key: bytes) -> pl.LazyFrame:
    files = [path for bucket in buckets for path in sorted((stage / f"bucket={bucket}").iterdir())]
    decryption = pl.ParquetDecryptionProperties(footer_key=key)
    return pl.scan_parquet(files, hive_partitioning=False, glob=False, decryption=decryption)


def _name(bucket: int) -> str:
    return f"bucket={bucket:02d}.parquet"


def _bucket(path: Path) -> int:
    return int(path.stem.removeprefix("bucket="))


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Return the rows as they are written: files are the same, in whatever order threads delivered them."""
    return rows.sort("listener", "track_id" if "track_id" in rows.columns else "night")


def _bytes(rows: pl.DataFrame) -> bytes:
    content = io.BytesIO()
    rows.write_parquet(content)
    return content.getvalue()
