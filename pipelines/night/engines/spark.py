"""The engine of many machines: a server that speaks Spark Connect, asked through its DataFrame API alone.

What the workers do is :mod:`pipelines.night.engines.spark_tasks`; here is where their rows come from and go to.
"""

import re
import secrets
import socket
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import date
from functools import partial
from typing import Any, NoReturn
from urllib.parse import urlsplit

import pyarrow as pa
from cryptography.exceptions import InvalidTag
from pyspark.errors import PySparkException, PySparkValueError
from pyspark.sql import DataFrame
from pyspark.sql.connect.client.core import DefaultChannelBuilder
from pyspark.sql.connect.client.retries import DefaultPolicy
from pyspark.sql.connect.session import SparkSession

from pipelines.night.engines import spark_tasks as tasks
from pipelines.night.engines.engine import Bound, Coarse, Done, Thing
from recsys.arrivals.listens import Part
from recsys.cells.contributions import Bounded
from recsys.cells.store import Buckets, Store
from recsys.errors import NotReadyError, RecsysError, SettingsError
from recsys.settings import SparkSettings
from recsys.workspace import KEY_BYTES

_PORT = 15_002  # of Spark Connect, where an address names none
_PATIENCE = 10  # seconds until a server that does not answer is none
_RETRIES = 6  # of a request, over about a minute: as long may a server be away
_KNOWN = "4."  # versions of Spark Connect that this release was tried with
_MESSAGE = 64 << 20  # bytes, about, that one job is sent: a server takes 128 MiB in a message
_DIED = "failed in the middle of the work"
_STATUS = re.compile(r"StatusCode\.(\w+)")


class Spark:
    """A server, and a session with it for each piece of work: see :class:`pipelines.night.engines.engine.Engine`.

    Between them the job imports, checks and draws for as long as it takes, and a server forgets who is idle.

    Parameters
    ----------
    remote : str
        As Spark Connect has it, maybe with a token.
    where : str
        Host and port, for messages.
    """

    name = "spark"

    def __init__(self, remote: str, *, where: str) -> None:
        self._remote, self._where = remote, where

    @contextmanager
    def bounded(
        self, parts: Sequence[Part], *, coarse: Coarse, bound: Bound, store: Store, after: date | None
    ) -> Iterator[Iterator[tuple[Buckets, Bounded]]]:
        """Let every file be a task that makes its coarse listens, then every bucket one that bounds them."""
        key = secrets.token_bytes(KEY_BYTES)
        split = partial(tasks.split_parts, work=tasks.seal((coarse, store.buckets), key=key), key=key)
        work = tasks.seal(bound, key=key)

        def join(bucket: pa.Table) -> pa.Table:  # a function by its type hints: of others the client is not sure
            return tasks.bound_bucket(bucket, work=work, key=key)

        saved = ((bucket, tasks.Saved(store.balances((bucket,), after=after))) for bucket in range(store.buckets))
        with self._refusing(), self._session() as session:
            listens = _frame(enumerate(parts), session=session, key=key).repartition(max(1, len(parts)))
            rows = listens.mapInArrow(split, tasks.COLUMNS).unionByName(_frame(saved, session=session, key=key))
            yield _things(rows.groupBy("bucket").applyInArrow(join, tasks.COLUMNS), key=key)

    def map(self, function: Callable[[Thing], Done], things: Iterable[Thing]) -> Iterator[Done]:
        """Apply the function to as many things at a time as a message holds, each of them a task."""
        with self._refusing(), self._session() as session:
            yield from _called(function, things, session=session)

    def check(self) -> None:
        """Refuse a server whose workers would not compute what this machine computes.

        Raises
        ------
        NotReadyError
            If the server, or what is installed for its workers, is of another version.
        """
        with self._session() as session:
            with self._refusing("does not speak Spark Connect"):
                spoken = session.version
            if not spoken.startswith(_KNOWN):
                known = f"speaks Spark Connect {spoken}, expected {_KNOWN}x"
                self._refuse(known, hint="Use a server of Spark 4, or Sail.")
            with self._refusing("cannot call Hearabouts on a worker"):
                (there,) = _called(tasks.versions, [None], session=session)
        here = tasks.versions()
        other = [f"{name} {there.get(name)}, here {here[name]}" for name in here if there.get(name) != here[name]]
        if other:
            self._refuse(
                f"has workers of other versions ({'; '.join(other)})",
                hint="Install the same release of Hearabouts, from the same lock, for the workers as here.",
            )

    @contextmanager
    def _session(self) -> Iterator[SparkSession]:
        """Yield a session, and let the server forget what it was sent, however the work ends."""
        session = SparkSession(connection=self._remote)
        session.client.set_retry_policies([DefaultPolicy(max_retries=_RETRIES)])
        try:
            yield session
        finally:
            session.client.set_retry_policies([DefaultPolicy(max_retries=0)])  # of a server that died there is nothing
            with suppress(PySparkException):
                session.client.release_session()
            session.client.close()

    @contextmanager
    def _refusing(self, failing: str = _DIED) -> Iterator[None]:
        """Turn what the server's client raises into a NotReadyError, without its words, which are not ours."""
        try:
            yield
        except (PySparkException, InvalidTag) as error:
            status = _STATUS.search(str(error))
            self._refuse(f"{failing} ({status[1] if status else type(error).__name__})")

    def _refuse(self, how: str, *, hint: str = "") -> NoReturn:
        raise NotReadyError(
            f"the engine at {self._where} {how}",
            hint=hint or "Look at its log, then run again: nothing was spent on this night or is half-written.",
        ) from None


def _called(function: Callable[[Any], Any], things: Iterable[Any], *, session: SparkSession) -> Iterator[Any]:
    key = secrets.token_bytes(KEY_BYTES)
    call = partial(tasks.call_each, work=tasks.seal(function, key=key), key=key)
    for some in _messages(tasks.table_of([(0, thing)], key=key) for thing in things):
        rows = session.createDataFrame(pa.concat_tables(some)).repartition(len(some))
        yield from _things(rows.mapInArrow(call, tasks.COLUMNS), key=key)


def _messages(tables: Iterable[pa.Table]) -> Iterator[list[pa.Table]]:
    """Yield tables as they come, together as many as make a message."""
    some, size = list[pa.Table](), 0
    for table in tables:
        some.append(table)
        size += table.nbytes
        if size >= _MESSAGE:
            yield some
            some, size = [], 0
    if some:
        yield some


def _frame(rows: Iterable[tuple[int, object]], *, session: SparkSession, key: bytes) -> DataFrame:
    return session.createDataFrame(tasks.table_of(rows, key=key))


def _things(frame: DataFrame, *, key: bytes) -> Iterator[Any]:
    """Yield what the workers made, as it comes; what one of them refused is refused here."""
    for row in frame.toLocalIterator():
        thing = tasks.opened(bytes(row["sealed"]), key=key)
        if isinstance(thing, RecsysError):
            raise thing
        yield thing


def connected(settings: SparkSettings) -> Spark:
    """Return the server of the settings, once it is sure that it computes what this machine would.

    Raises
    ------
    SettingsError
        If the settings name no server, or not as the client takes it.
    NotReadyError
        If it cannot be reached, or is of another version.
    """
    remote = settings.remote.get_secret_value()
    if not remote:
        raise SettingsError(
            "--engine spark needs a server, and spark.remote names none",
            hint="Set it as HEARABOUTS__SPARK__REMOTE=sc://HOST:15002/;use_ssl=true.",
        )
    _check_address(remote)
    address = urlsplit(remote)
    host, port = address.hostname or "", address.port or _PORT
    where = f"{host}:{port}"
    _check_reached(host, port, where=where)
    warnings.filterwarnings("ignore", r"\[RETRIES_EXCEEDED\]")  # an error follows, and says so
    engine = Spark(remote, where=where)
    engine.check()
    return engine


def _check_address(remote: str) -> None:
    """Refuse what the client does not take, and a session's id: there are several sessions in a night."""
    with suppress(PySparkValueError):
        if DefaultChannelBuilder(remote).session_id is None:
            return
    raise SettingsError(
        "spark.remote is not an address as Spark Connect takes it, or has a session_id",
        hint="Behind the host stand NAME=VALUE alone: sc://HOST:15002/;use_ssl=true;token=TOKEN.",
    )


def _check_reached(host: str, port: int, *, where: str) -> None:
    try:
        socket.create_connection((host, port), timeout=_PATIENCE).close()
    except OSError as error:
        raise NotReadyError(
            f"the engine at {where} cannot be reached ({error.strerror or type(error).__name__})",
            hint="Start the server, or correct spark.remote; `--engine polars` needs none. Nothing was begun.",
        ) from None
