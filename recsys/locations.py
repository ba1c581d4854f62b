"""Where a table of the input lies: a path of this machine, or an address of an object store.

An object store is reached as Polars reaches it, by what the environment says: credentials, region and endpoint
(``AWS_ACCESS_KEY_ID``, ``AWS_SECRET_ACCESS_KEY``, ``AWS_REGION``, ``AWS_ENDPOINT_URL``, or what Google and Azure have
for them). No address holds any of it, and no setting.
"""

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from zlib import crc32

from obstore import open_reader
from obstore.exceptions import BaseError, InvalidPathError
from obstore.store import ObjectStore, from_url

from recsys.causes import OF_A_STORE
from recsys.errors import InputError, NotReadyError, UsageError
from recsys.printable import given

# Of Amazon's S3 and whatever speaks like it, of Google's Cloud Storage, and of Azure's Data Lake. What is typed has no
# query and no user: both may be secrets.
_ADDRESS = re.compile(
    r"((?:s3|gs)://[a-z0-9][a-z0-9._-]+|abfss://[a-z0-9-]+@[a-z0-9]+\.dfs\.core\.windows\.net)"
    r"(?:/([^?#\x00-\x1f\x7f\ud800-\udfff]*))?"
)
_MARKED = "_$folder$"  # the end of an object's name by which Hadoop marks a folder
# Names that writers of tables give by themselves, and those of the contract: none can be a value of a row.
_ORDINARY_NAME = re.compile(
    r"date=\d{4}-\d{2}-\d{2}"
    r"|((listens|consents|catalogue)([-_]\d{4}-\d{2}-\d{2})?|part-\d{1,6}(-[0-9a-f-]{36}(-c\d{3})?)?)"
    r"(\.snappy)?\.(parquet|csv|csv\.gz|ndjson)",
    re.IGNORECASE,
)
_BLOCK = 4 << 20  # bytes of an object that are asked for at a time
_PATIENCE: Any = {"max_retries": 3, "retry_timeout": timedelta(seconds=30)}
_PATIENCE_OF_POLARS = {"timeout": "60s", "max_retries": 1}  # a request; by itself it would wait for ever
_EPOCH, _SECOND = datetime(1970, 1, 1, tzinfo=UTC), timedelta(seconds=1)


class Status(NamedTuple):
    """What of :class:`os.stat_result` tells one state of a file from another, of an object.

    Parameters
    ----------
    st_size : int
        Bytes.
    st_mtime_ns : int
        When it was written, in nanoseconds since 1970: stores tell seconds, and the rest is of the tag of its content.
    """

    st_size: int
    st_mtime_ns: int


@dataclass(frozen=True, order=True)
class ObjectAddress:
    """An address in an object store, with as much of :class:`pathlib.Path` as the reading of tables asks for.

    A store has no folders: what the addresses of objects begin with is one. Whatever asks the store raises a
    NotReadyError (exit 75) where it does not answer or does not let us in.

    Parameters
    ----------
    root : str
        Scheme and bucket, as ``s3://music``.
    key : str
        The way from there, without a slash at either end; empty for the bucket itself.
    """

    root: str
    key: str = ""

    def __str__(self) -> str:
        return f"{self.root}/{self.key}" if self.key else self.root

    def __truediv__(self, name: str) -> "ObjectAddress":
        return ObjectAddress(self.root, f"{self.key}/{name}" if self.key else name)

    @property
    def name(self) -> str:
        """The last part of the way."""
        return PurePosixPath(self.key).name

    @property
    def parent(self) -> "ObjectAddress":
        """The folder in which it lies."""
        return ObjectAddress(self.root, self.key.rpartition("/")[0])

    def absolute(self) -> "ObjectAddress":
        """Return the same: it means the same from wherever it is read."""
        return self

    def relative_to(self, folder: "ObjectAddress") -> PurePosixPath:
        """Return the way from a folder to here."""
        return PurePosixPath(self.key).relative_to(folder.key)

    def exists(self) -> bool:
        """Tell whether there is such an object or folder."""
        return self.is_file() or self.is_dir()

    def is_file(self) -> bool:
        """Tell whether there is such an object."""
        try:
            return bool(self.key and self.stat())
        except FileNotFoundError:
            return False

    def is_dir(self) -> bool:
        """Tell whether anything lies in here, or a mark says that this is a folder."""
        return bool(self._listed())

    def iterdir(self) -> Iterator["ObjectAddress"]:
        """Yield what lies right in here, but for the empty objects by which some programs mark folders."""
        keys = (key for key in self._listed() if key != self.key and not key.endswith(_MARKED))
        yield from (ObjectAddress(self.root, key) for key in keys)

    def stat(self) -> Status:
        """Return the state of an object; a FileNotFoundError says that there is none."""
        with _asking(self) as store:
            told = store.head(self.key)
        seconds, tag = (told["last_modified"] - _EPOCH) // _SECOND, crc32((told["e_tag"] or "").encode())
        return Status(told["size"], seconds * 10**9 + tag % 10**9)

    def open(self, _mode: str = "rb") -> io.BufferedReader:
        """Open an object to read its bytes, block by block; an OSError says that it cannot be, as of a file."""
        return io.BufferedReader(_Blocks(self), _BLOCK)

    def _listed(self) -> list[str]:
        with _asking(self) as store:
            found = store.list_with_delimiter(self.key or None)
        return [*found["common_prefixes"], *(each["path"] for each in found["objects"])]


Location = Path | ObjectAddress
"""Where a table lies."""


def location(text: str) -> Location:
    """Return what a person names on the command line: an address where a scheme is before it, else a path.

    Raises
    ------
    UsageError
        If it is an address of another kind, or has more in it than a bucket and a way; it is not repeated, as it may
        hold a password.
    """
    if not re.match(r"[A-Za-z][A-Za-z0-9+.-]*://", text):
        return Path(text)
    found = _ADDRESS.fullmatch(text)
    root, key = (found[1], (found[2] or "").strip("/")) if found else ("", "")
    if not root or (key and not {"", ".", ".."}.isdisjoint(key.split("/"))):
        raise UsageError(
            "the address of the input is none that can be read",
            hint="Give a path, or s3://BUCKET/WAY, gs://BUCKET/WAY, or "
            "abfss://CONTAINER@ACCOUNT.dfs.core.windows.net/WAY. Credentials and endpoint are in the environment, not "
            "in the address.",
        )
    return ObjectAddress(root, key)


def options_of(path: Location) -> dict[str, Any] | None:
    """Return what Polars is to be told beside a path: how long an object store may take for what it is asked."""
    return _PATIENCE_OF_POLARS if isinstance(path, ObjectAddress) else None


def place(path: Location, *, source: Location) -> str:
    """Return where a file of an input lies, for a message.

    What a person named on the command line is shown as it was typed. What was found in there is shown by its name only
    where it has an ordinary one, because a name may be a value too: else it is counted, in the order of the names.
    """
    shown, at = given(source), source
    for part in path.relative_to(source).parts:  # type: ignore[arg-type]  # both are of one kind
        ordinary = _ORDINARY_NAME.fullmatch(part)
        shown += f"/{part}" if ordinary else _counted(at / part)
        at /= part
    return shown


def _counted(path: Location) -> str:
    """Tell which of its folder a file is, or was until it was taken away."""
    try:
        beside = {path.name, *(other.name for other in path.parent.iterdir())}
    except (OSError, NotReadyError):
        return " (which is gone)"
    return f" (number {1 + sum(name < path.name for name in beside)} of {len(beside)} by name)"


@contextmanager
def _asking(address: ObjectAddress) -> Iterator[ObjectStore]:
    """Give the store, whose own words about what it refuses hold addresses and more.

    Of an address no more is told than the bucket: the names in there may be values.
    """
    try:
        yield _store(address.root)
    except InvalidPathError:
        raise InputError(
            f"{given(address.root)} holds an object whose name cannot be read",
            hint="Rename it: a name has no two slashes in a row, no part of dots alone and no control character.",
        ) from None
    except BaseError as error:
        raise NotReadyError(
            f"the object store {given(address.root)} does not answer, knows no such bucket, or does not let us in "
            f"({type(error).__name__})",
            hint="Check the address, and what the environment says: credentials, region and endpoint.",
        ) from None


@lru_cache(maxsize=16)
def _store(root: str) -> ObjectStore:
    return from_url(root, retry_config=_PATIENCE)


@contextmanager
def _broken_off() -> Iterator[None]:
    """Turn what goes wrong while an object is read into what Polars makes of its own reading."""
    try:
        yield
    except (BaseError, OSError) as error:
        raise OSError(OF_A_STORE) from error


class _Blocks(io.RawIOBase):
    """The bytes of an object, for :class:`io.BufferedReader`."""

    def __init__(self, address: ObjectAddress) -> None:
        with _broken_off():
            self._file = open_reader(_store(address.root), address.key, buffer_size=_BLOCK)

    def readable(self) -> bool:
        """Tell that it can be read."""
        return True

    def readinto(self, buffer: Any) -> int:
        """Read some bytes into a buffer."""
        with _broken_off():
            found = self._file.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)
