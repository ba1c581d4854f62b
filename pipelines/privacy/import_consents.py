"""The job that brings a consent log in: importing the same file twice changes nothing."""

from collections.abc import Callable, Iterable, Iterator
from hashlib import blake2b
from typing import Any

from pipelines.base.terminal import counted, log, tell_of
from recsys.arrivals import permission
from recsys.arrivals.input_tables import digest_of, files_of
from recsys.consents.log import Entry, consent_log
from recsys.locations import Location
from recsys.settings import Settings
from recsys.workspace import Workspace

_TELL = 10_000  # entries after which it is told how many there were


def import_consents(file: Location, *, workspace: Workspace, settings: Settings) -> dict[str, Any]:
    """Append the entries of a consents file to the workspace's log.

    A file that was imported already adds nothing. Of a longer one nothing is taken in about who was erased since, and
    no consent that is not later than what the listener decided at the endpoint.

    Returns
    -------
    dict
        ``rows`` in the file, ``new`` entries, ``bad_rows`` by reason, and ``other_notices``: how many of the entries
        read are under a notice that is not in force, so that they allow nothing.

    Raises
    ------
    InputError
        If the file is missing, unreadable, or more than ``arrivals.max_bad_share`` of its rows are bad; the log is
        then unchanged.
    """
    key = workspace.listener_key()
    read = read_consents(file, key=key, settings=settings)
    known = _Known(settings.consents.in_force)
    with counted("consents") as told:
        entries = known.count(read.entries, told=lambda done: told(done, read.rows - sum(read.bad.values())))
        new = consent_log(workspace, settings=settings).append(entries, digest=_digest(file, key))
    if known.others:
        log.warning("consents under other notices allow nothing: see consents.notice_version", entries=known.others)
    return {"rows": read.rows, "new": new, "bad_rows": read.bad, "other_notices": known.others}


def read_consents(file: Location, *, key: bytes, settings: Settings) -> permission.ReadConsents:
    """Read and check a consents file, without changing the log."""
    read = permission.read_entries(file, key=key, max_bad_share=settings.arrivals.max_bad_share)
    tell_of(read.counts)
    return read


class _Known:
    """Counts entries under notices that are not in force while they go by."""

    def __init__(self, notices: frozenset[str] | None) -> None:
        self._notices = notices
        self.others = 0

    def count(self, entries: Iterable[Entry], *, told: Callable[[int], None]) -> Iterator[Entry]:
        """Yield the entries, and tell now and then how many went by."""
        number = 0
        for number, entry in enumerate(entries, 1):
            self.others += self._notices is not None and entry.notice_version not in self._notices
            yield entry
            if number % _TELL == 0:
                told(number)
        told(number)


def _digest(source: Location, key: bytes) -> str:
    """Return what tells one import from another: the bytes read, and the key that turns users into listeners."""
    digests = "".join(map(digest_of, files_of(source)))
    return blake2b(digests.encode(), key=key, digest_size=16).hexdigest()
