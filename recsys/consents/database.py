"""One database behind a log: a SQLite file by default, PostgreSQL where one machine is not enough.

Both are used in the same way: statements are written once, in SQLAlchemy Core, and compiled once; a reading takes a
pooled connection for its statements, a writing is one transaction that is on disk when it ends.
"""

import os
import sqlite3
import weakref
from collections.abc import Collection, Iterator, Mapping
from contextlib import closing, contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite

from recsys.causes import not_ready
from recsys.errors import InputError, NotReadyError, SettingsError

Values = Mapping[str, Any]

_PATIENCE = 5  # seconds that one writer waits for another
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_PIECE = 10_000  # rows that PostgreSQL sends at a time of a long answer


class Database:
    """A SQLite file or a PostgreSQL database, safe to share between threads; a forked process gets connections anew.

    Parameters
    ----------
    place : Path or str
        A path is a SQLite file, created (mode 0600) when missing; a text is a PostgreSQL URL.
    of : str
        What it holds, in words for whoever reads an error.
    setting : str
        Which setting names it.

    Raises
    ------
    SettingsError
        If the URL is none, or names a database that is not PostgreSQL, or its driver is not installed.
    NotReadyError
        If the file cannot be used now.
    InputError
        If it is no database.
    """

    def __init__(self, place: Path | str, *, of: str = "consent log", setting: str = "consents.url") -> None:
        self.name = f"{of} {place if isinstance(place, Path) else 'in PostgreSQL'}"
        if isinstance(place, Path):
            _create(place, name=self.name)
        self._engine = _sqlite(place) if isinstance(place, Path) else _postgresql(place, setting=setting)
        self._failures = (sa.exc.SQLAlchemyError, self._engine.dialect.loaded_dbapi.Error)
        weakref.finalize(self, self._engine.dispose)
        _forget_when_forked(self._engine)
        if not self.is_postgresql:
            self._open()

    @property
    def is_postgresql(self) -> bool:
        """Whether this is PostgreSQL, and not SQLite."""
        return self._engine.dialect.name == "postgresql"

    def compiled(self, statement: sa.ClauseElement) -> str:
        """Return a statement in the words of this database; parameters stay named.

        The same statement is compiled once in a process: that takes milliseconds.
        """
        return _compiled(statement, self._engine.dialect.name)

    def insert_new(
        self, table: sa.Table, *, taken: sa.ColumnElement[bool] | None = None, changing: Collection[str] = ()
    ) -> str:
        """Return the statement that adds a row unless its primary key is there already, or a condition fails.

        Parameters
        ----------
        table : sqlalchemy.Table
        taken : sqlalchemy condition, optional
        changing : collection of str
            Columns that a row which is there already takes over.
        """
        return self.compiled(_insertion(table, self._engine.dialect.name, taken, tuple(changing)))

    def read(self, query: str, values: Values) -> list[tuple[Any, ...]]:
        """Return all rows of one compiled query, in a transaction of its own.

        Raises
        ------
        NotReadyError
            If the database cannot be used now.
        """
        return self.read_each((query, values))[0]

    def read_each(self, *asked: tuple[str, Values]) -> list[list[tuple[Any, ...]]]:
        """Return all rows of each of some compiled queries, by one connection: to get it takes as long as a query.

        Raises
        ------
        NotReadyError
            If the database cannot be used now.
        """
        try:
            return self._read(*asked)
        except self._failures as error:
            # A server that was restarted leaves all pooled connections as dead as this one.
            if not (self.is_postgresql and isinstance(error, self._engine.dialect.loaded_dbapi.OperationalError)):
                raise self._refusal(error) from None
        self._engine.dispose()
        with self._asked():
            return self._read(*asked)

    def stream(self, query: str, values: Values, *, piece: int = _PIECE) -> Iterator[tuple[Any, ...]]:
        """Yield the rows of one compiled query that may be longer than memory, of which a piece has so many.

        Raises
        ------
        NotReadyError
            If the database cannot be used now.
        """
        with self._asked(), closing(self._engine.raw_connection()) as connection:
            driver: Any = connection.driver_connection
            if self.is_postgresql:
                with driver.transaction(), driver.cursor(name="stream") as cursor:
                    cursor.itersize = piece
                    yield from cursor.execute(query, values)
            else:
                with closing(driver.execute(query, values)) as cursor:
                    yield from cursor

    @contextmanager
    def writing(self) -> Iterator[sa.Connection]:
        """Open a transaction that is on disk when the block ends, and undone when it fails.

        Raises
        ------
        NotReadyError
            If the database cannot be used now.
        """
        with self._asked(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def deciding(self, subject: str) -> Iterator[sa.Connection]:
        """Open a transaction as :meth:`writing` does; no other of the same subject runs until it has ended."""
        with self.writing() as connection:
            if self.is_postgresql:  # SQLite has one writer at a time in any case
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(subject))))
            yield connection

    def scrub(self, *tables: sa.Table) -> None:
        """Bring what was deleted from some tables off the disk, as far as the database can.

        SQLite overwrites what it deletes, and its log of writes is emptied here. PostgreSQL is told to vacuum; what its
        log of writes and its backups hold is for whoever operates it.

        Raises
        ------
        NotReadyError
            If somebody is still reading what was deleted; it is deleted all the same.
        """
        if self.is_postgresql:
            with self._asked(), closing(self._engine.raw_connection()) as connection:
                connection.cursor().execute(f"VACUUM {', '.join(table.name for table in tables)}")
            return
        ((busy, *_),) = self.read("PRAGMA wal_checkpoint(TRUNCATE)", {})
        if busy:
            raise NotReadyError(f"the {self.name} is being read", hint="Try again.")

    def _read(self, *asked: tuple[str, Values]) -> list[list[tuple[Any, ...]]]:
        connection = self._engine.raw_connection()
        try:
            cursor: Any = connection.cursor()
            rows = [cursor.execute(*each).fetchall() for each in asked]  # all: an open cursor is a lock
        except BaseException:
            connection.invalidate()
            raise
        connection.close()  # back to the pool
        return rows

    @contextmanager
    def _asked(self) -> Iterator[None]:
        """Turn every failure of the database into one error, without values, addresses or passwords."""
        try:
            yield
        except self._failures as error:
            raise self._refusal(error) from None

    def _open(self) -> None:
        """Set the journal's mode, which finds out whether the file is a database at all."""
        try:
            self._read(("PRAGMA journal_mode = WAL", {}))
        except self._failures as error:
            if (getattr(error, "sqlite_errorcode", 0) & 0xFF) not in _DAMAGED:
                raise self._refusal(error) from None
            raise InputError(
                f"the {self.name} is damaged, or no database",
                hint="Restore it from a backup; without it nobody's consent is known, and nothing is released.",
            ) from None

    def _refusal(self, error: Exception) -> NotReadyError:
        cause = getattr(error, "orig", None) or error
        return not_ready(error, f"the {self.name}") or NotReadyError(
            f"the {self.name} cannot be used now ({type(cause).__name__})",
            hint="See to its database, and try again.",
        )


@lru_cache(maxsize=256)
def _insertion(
    table: sa.Table, dialect: str, taken: sa.ColumnElement[bool] | None, changing: tuple[str, ...]
) -> sa.ClauseElement:
    insert: Any = {"postgresql": postgresql, "sqlite": sqlite}[dialect].insert(table)
    if taken is not None:
        row = sa.select(*(sa.bindparam(column.name, type_=column.type) for column in table.c)).where(taken)
        insert = insert.from_select(table.c.keys(), row)
    if changing:
        new = {name: insert.excluded[name] for name in changing}
        return insert.on_conflict_do_update(index_elements=table.primary_key, set_=new)  # type: ignore[no-any-return]
    return insert.on_conflict_do_nothing()  # type: ignore[no-any-return]


@lru_cache(maxsize=256)
def _compiled(statement: sa.ClauseElement, dialect: str) -> str:
    return str(statement.compile(dialect=_DIALECTS[dialect]))


_DIALECTS = {"sqlite": sqlite.dialect(paramstyle="named"), "postgresql": postgresql.psycopg.dialect()}  # type: ignore[no-untyped-call]


def _create(path: Path, *, name: str) -> None:
    try:
        path.touch(mode=0o600)
    except OSError as error:
        raise not_ready(error, f"the {name}") or error from None


def _sqlite(path: Path) -> sa.Engine:
    uri = f"file:{quote(str(path.resolve()))}?mode=rw"  # never created again: an empty log would be nobody's

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(
            uri, uri=True, timeout=_PATIENCE, isolation_level=None, check_same_thread=False, cached_statements=32
        )
        try:
            for pragma in ("synchronous = FULL", "secure_delete = ON"):
                connection.execute(f"PRAGMA {pragma}")
        except sqlite3.Error:
            connection.close()
            raise
        return connection

    engine = sa.create_engine("sqlite://", creator=connect, poolclass=sa.QueuePool, paramstyle="named", **_POOL)
    _follow_file(engine, path)
    _begin_with(engine, "BEGIN IMMEDIATE")
    return engine


def _postgresql(url: str, *, setting: str) -> sa.Engine:
    try:
        parsed = sa.make_url(url)
        known = parsed.get_backend_name() == "postgresql"
        # Autocommit: a reading needs no transaction, and so no second round trip; a writing begins its own.
        parsed = parsed.set(drivername="postgresql+psycopg")
        engine = sa.create_engine(parsed, connect_args={"autocommit": True, "connect_timeout": _PATIENCE}, **_POOL)
    except sa.exc.ArgumentError:
        raise SettingsError(f"{setting} is not the URL of a database", hint=_URL_HINT) from None
    except ImportError:
        raise SettingsError(
            f"{setting} names PostgreSQL, whose driver is not installed", hint="Install `hearabouts[postgres]`."
        ) from None
    if not known:
        raise SettingsError(f"{setting} names another database than PostgreSQL", hint=_URL_HINT)
    _begin_with(engine, "BEGIN", "SET LOCAL synchronous_commit = on")
    return engine


_URL_HINT = "Expected postgresql://USER:PASSWORD@HOST/DATABASE, or nothing for the SQLite file that is the default."

_POOL: dict[str, Any] = {
    "pool_size": 8,
    "max_overflow": 32,  # with the threads of one server process in mind, which are 40
    "pool_timeout": _PATIENCE,
    "pool_use_lifo": True,
    "pool_reset_on_return": None,  # nothing is left to reset: a reading has no transaction, a writing ends its own
    "hide_parameters": True,
}


def _begin_with(engine: sa.Engine, *statements: str) -> None:
    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        for statement in statements:
            connection.exec_driver_sql(statement)


def _follow_file(engine: sa.Engine, path: Path) -> None:
    """Let no connection outlive its file: a log that was replaced or removed would go on being served for ever."""

    @sa.event.listens_for(engine, "connect")
    def remember(_: object, record: Any) -> None:
        record.info["file"] = _identity(path)

    @sa.event.listens_for(engine, "checkout")
    def compare(_: object, record: Any, __: object) -> None:
        if record.info["file"] != _identity(path):
            raise sa.exc.DisconnectionError


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        found = os.stat(path)  # noqa: PTH116 - at every reading: half the time of Path.stat
    except FileNotFoundError:
        return None
    return found.st_dev, found.st_ino


def _forget_when_forked(engine: sa.Engine) -> None:
    """Let a forked process open connections of its own, and leave its parent's alone."""
    reference = weakref.ref(engine)

    def forget() -> None:
        inherited = reference()
        if inherited is not None:
            inherited.dispose(close=False)

    os.register_at_fork(after_in_child=forget)
