"""What the workers of a cluster do: open what was sealed, call a function of the domain, seal what comes of it.

Everything that goes through the cluster is a row of a bucket's number and sealed bytes: AES-256-GCM under a key that is
made for one job and kept in memory. What a cluster spills, shuffles or caches of a night is read by nobody, and has no
column that could be looked at. A listen with a position exists in the memory of one task, between reading its file and
the first row that leaves it. What goes wrong there comes back as a value, sealed too: a cluster keeps the words of an
exception, which might quote a row.
"""

import os
import pickle
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache, partial
from importlib.metadata import version
from platform import python_version_tuple
from typing import Any

import polars as pl
import pyarrow as pa
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from polars.exceptions import PanicException
from threadpoolctl import threadpool_limits

from pipelines.base.code_digest import code_digest
from recsys.causes import not_ready
from recsys.cells.store import split
from recsys.errors import NotReadyError, RecsysError

SCHEMA = pa.schema({"bucket": pa.int32(), "sealed": pa.binary()})
COLUMNS = "bucket int, sealed binary"
"""The same in Spark's words."""

_CODEC = "zstd"
_NONCE, _SIZE = 12, 8  # bytes
_ROWS = 1_000_000  # coarse listens of a file that are in memory at a time
_COMPARED = ("polars", "polars-h3", "pyarrow", "numpy", "scipy", "implicit")  # what decides what comes of a task
_FAILURES = (Exception, PanicException)  # a panic of Polars' Rust code is no Exception


@dataclass(frozen=True)
class Saved:
    """What the listeners of a bucket had earned and not spent: the one row of a bucket that is no listens."""

    balances: pl.DataFrame


def seal(thing: object, *, key: bytes) -> bytes:
    """Return anything that can be pickled as bytes that only who has the key can read or could have made."""
    content, nonce = pickle.dumps(thing, protocol=5), os.urandom(_NONCE)
    compressed = len(content).to_bytes(_SIZE) + pa.compress(content, codec=_CODEC, asbytes=True)
    return nonce + AESGCM(key).encrypt(nonce, compressed, None)


def opened(sealed: bytes, *, key: bytes) -> Any:
    """Return what was sealed."""
    content = AESGCM(key).decrypt(sealed[:_NONCE], sealed[_NONCE:], None)
    size = int.from_bytes(content[:_SIZE])
    return pickle.loads(pa.decompress(content[_SIZE:], size, codec=_CODEC))  # noqa: S301 (made by who has the key)


def split_parts(batches: Iterator[pa.RecordBatch], *, work: bytes, key: bytes) -> Iterator[pa.RecordBatch]:
    """Make coarse listens, by bucket, of unread parts of a night: the first stage, before anything is shuffled.

    Parameters
    ----------
    batches : iterator of pyarrow.RecordBatch
        Parts of a night.
    work : bytes
        Sealed: what makes coarse listens of some parts, and the number of buckets.
    key : bytes
    """
    coarse, buckets = _work(work, key=key)
    for part in _things(batches, key=key):
        for bucket, rows in _split(partial(coarse, [part]), buckets=buckets):
            yield _row(bucket, rows, key=key)


def bound_bucket(table: pa.Table, *, work: bytes, key: bytes) -> pa.Table:
    """Make the contributions of a bucket of all its coarse listens and what was saved; none where nobody listened.

    What went wrong in the first stage is what comes of the bucket.
    """
    things, bucket = list(_things(table.to_batches(), key=key)), table["bucket"][0].as_py()
    wrong = [thing for thing in things if isinstance(thing, RecsysError)]
    listens = [thing for thing in things if isinstance(thing, pl.DataFrame)]
    (saved,) = (thing for thing in things if isinstance(thing, Saved))
    if wrong:
        return pa.Table.from_batches([_row(bucket, wrong[0], key=key)])
    if not listens:
        return SCHEMA.empty_table()
    bound = _work(work, key=key)
    done = _attempted(lambda: ((bucket,), bound(pl.concat(listens).lazy(), balances=saved.balances)))
    return pa.Table.from_batches([_row(bucket, done, key=key)])


def call_each(batches: Iterator[pa.RecordBatch], *, work: bytes, key: bytes) -> Iterator[pa.RecordBatch]:
    """Call a function with each of some things; bits of a product depend on how many threads BLAS has."""
    function = _work(work, key=key)
    with threadpool_limits(1, "blas"):
        for thing in _things(batches, key=key):
            yield _row(0, _attempted(partial(function, thing)), key=key)


def versions(_: object = None) -> dict[str, str]:
    """Return what must be the same on every machine, for the same code to give the same answers."""
    python = ".".join(python_version_tuple()[:2])
    return {"Python": python, **{name: version(name) for name in _COMPARED}, "code": code_digest()}


@lru_cache(maxsize=1)  # it holds keys and permissions: no more of them stay in a worker than those of its last stage
def _work(work: bytes, *, key: bytes) -> Any:
    """Open what all tasks of a stage do once, and not for each of them."""
    return opened(work, key=key)


def table_of(rows: Iterable[tuple[int, object]], *, key: bytes) -> pa.Table:
    """Return things as sealed rows, each with the number of its bucket."""
    return pa.Table.from_batches([_row(bucket, thing, key=key) for bucket, thing in rows], schema=SCHEMA)


def _row(bucket: int, thing: object, *, key: bytes) -> pa.RecordBatch:
    return pa.RecordBatch.from_pydict({"bucket": [bucket], "sealed": [seal(thing, key=key)]}, schema=SCHEMA)


def _things(batches: Iterable[pa.RecordBatch], *, key: bytes) -> Iterator[Any]:
    return (opened(sealed.as_py(), key=key) for batch in batches for sealed in batch["sealed"])


def _split(coarse: Callable[[], pl.LazyFrame], *, buckets: int) -> Iterator[tuple[int, pl.DataFrame | RecsysError]]:
    try:
        for rows in coarse().collect_batches(chunk_size=_ROWS, maintain_order=False, engine="streaming"):
            yield from split(rows, buckets=buckets)
    except _FAILURES as error:
        refusal = _refusal(error)
        yield from ((bucket, refusal) for bucket in range(buckets))  # or those that come first are bounded without it


def _attempted(task: Callable[[], object]) -> object:
    try:
        return task()
    except _FAILURES as error:
        return _refusal(error)


def _refusal(error: BaseException) -> RecsysError:
    """Return what may be said of an error."""
    if isinstance(error, RecsysError):
        return error
    return not_ready(error, "what a worker of the engine reads") or NotReadyError(
        f"a worker of the engine failed ({type(error).__name__})", hint="Run again: nothing was spent on this night."
    )
