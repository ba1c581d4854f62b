"""What the system says when it cannot: one mapping to the true cause and what to do, for every job and the endpoint."""

import errno
import re
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recsys.errors import NotReadyError
from recsys.printable import given

_OS_ERROR = re.compile(r"\(os error (\d+)\)")  # how Polars' Rust code repeats what the system said
OF_A_STORE = "object-store error"
"""How Polars begins what an object store, or the way to it, refused."""

_DEEPEST = 8  # exceptions in a chain that are looked at
_SHOWN = 200  # characters of a file's name


@dataclass(frozen=True)
class Cause:
    """Why the system refused.

    Parameters
    ----------
    what : str
        In words.
    hint : str
        What to do.
    """

    what: str
    hint: str


_FULL = Cause("no space is left on the disk", "Free some space, then run the same command again: it goes on.")
_READ_ONLY = Cause("it is read-only", "Make the file system, or the file, writable; then run the same command again.")
_DENIED = Cause("permission is denied", "Run it as the user whom the files belong to, or correct their modes.")
_HANDLES = Cause("too many files are open", "Raise the limit (`ulimit -n`), then run the same command again.")
_BROKEN = Cause("the disk fails to read or write", "Look at the disk (`dmesg`) before anything else is run.")
_GONE = Cause("it is gone", "Something else removed or moved it meanwhile, or it was never there: check the path.")
_LARGE = Cause("a file may not grow so large", "Raise the limit (`ulimit -f`), then run the same command again.")
_MEMORY = Cause("no memory is left", "Free memory, or give the machine more; then run the same command again.")
_UNREACHED = Cause(
    "the object store does not answer, broke off, or does not let us in", "See to it, then run the same command again."
)
_LOCKED = Cause("it is locked, another job is using it", "Wait until that has finished and try again.")
_CLOSED = Cause(  # SQLite does not say why
    "it cannot be opened",
    "Check that its folder is there and may be read and written by this user, and how many files may be open "
    "(`ulimit -n`).",
)

_BY_NUMBER = {
    errno.ENOSPC: _FULL,
    errno.EDQUOT: Cause("the disk quota is used up", _FULL.hint),
    errno.EROFS: _READ_ONLY,
    errno.EACCES: _DENIED,
    errno.EPERM: _DENIED,
    errno.EMFILE: _HANDLES,
    errno.ENFILE: _HANDLES,
    errno.EIO: _BROKEN,
    errno.ENOENT: _GONE,
    errno.ESTALE: _GONE,
    errno.EFBIG: _LARGE,
    errno.ENOMEM: _MEMORY,
    errno.EAGAIN: _LOCKED,
    errno.EBUSY: _LOCKED,
    errno.ETXTBSY: _LOCKED,
}

_BY_SQLITE = {
    sqlite3.SQLITE_FULL: _FULL,
    sqlite3.SQLITE_READONLY: _READ_ONLY,
    sqlite3.SQLITE_PERM: _DENIED,
    sqlite3.SQLITE_BUSY: _LOCKED,
    sqlite3.SQLITE_LOCKED: _LOCKED,
    sqlite3.SQLITE_CANTOPEN: _CLOSED,
    sqlite3.SQLITE_IOERR: Cause("the disk is full, or fails to read or write", _FULL.hint),
    sqlite3.SQLITE_NOMEM: _MEMORY,
}


def cause_of(error: BaseException) -> Cause | None:
    """Return what the system said, if that is what is behind an error, however often it was wrapped; else None."""
    return next((found for each in _chain(error) if (found := _said(each))), None)


def not_ready(error: BaseException, what: str = "") -> NotReadyError | None:
    """Return what to raise instead of an error behind which is the system; None where something else is.

    Parameters
    ----------
    error : BaseException
    what : str
        What could not be used, as ``the ledger DIR/ledger.db``; by default the file that the system names.
    """
    cause = cause_of(error)
    if cause is None:
        return None
    named = what or next((name for each in _chain(error) if (name := _file(each))), "")
    return NotReadyError(f"{named or 'a file'} cannot be used now: {cause.what}", hint=cause.hint)


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield an error and what it was made of: by Python's chain, SQLAlchemy's ``orig``, or MLflow's own argument."""
    todo: list[BaseException | None] = [error]
    for _ in range(_DEEPEST):
        if not todo:
            return
        found = todo.pop(0)
        if found is not None:
            yield found
            inner = (getattr(found, "orig", None), *found.args, found.__cause__)  # not what was only being handled
            todo += [each for each in inner if isinstance(each, BaseException)]


def _said(error: BaseException) -> Cause | None:
    if isinstance(error, MemoryError):
        return _MEMORY
    if isinstance(error, sqlite3.Error):
        return _BY_SQLITE.get(getattr(error, "sqlite_errorcode", 0) & 0xFF)
    if isinstance(error, OSError) and error.errno is not None:
        return _BY_NUMBER.get(error.errno)
    if isinstance(error, OSError) or type(error).__module__.startswith("polars"):
        told = str(error)
        number = _OS_ERROR.search(told)
        return _BY_NUMBER.get(int(number[1])) if number else _UNREACHED if OF_A_STORE in told else None
    return None


def _file(error: BaseException) -> str:
    """Return the path of the file that the system named, fit to be shown; a number of an open file is none."""
    name = getattr(error, "filename", None) if isinstance(error, OSError) else None
    if not isinstance(name, str):
        return ""
    return given(Path(name))[:_SHOWN]
