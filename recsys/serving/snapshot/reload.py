"""Hot reload: what a pointer on disk names is opened by the first request that finds it changed, for all others too."""

import asyncio
import os
from collections.abc import Callable
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from threading import Lock
from typing import Generic, NoReturn, TypeVar

import structlog

from recsys.errors import NotReadyError

T = TypeVar("T")
Other = TypeVar("Other")


class HotReload(Generic[T]):
    """What a pointer names, kept open.

    One thread opens what is new while the others go on with the old; a request keeps what it started with. What does
    not verify is not used: what was there before goes on, and :meth:`check` says so.

    Parameters
    ----------
    pointer : Path
        A file that is replaced whenever there is something new.
    opened : callable
        Opens what the pointer names; raises NotReadyError where it is not there or not whole.
    what : str
        What it is, in the log.
    log : structlog logger
        Told what is used from now on, or why something new is not.
    named : callable, optional
        What the log calls one of them: its ``id`` by default.
    found : callable, optional
        Told ``served`` or ``refused`` of everything new.
    instead : callable, optional
        Returns what to begin with where what the pointer names is not whole; None where there is nothing.
    """

    def __init__(
        self,
        pointer: Path,
        *,
        opened: Callable[[], T],
        what: str,
        log: structlog.typing.FilteringBoundLogger,
        named: Callable[[T], str] = attrgetter("id"),
        found: Callable[[str], None] = lambda _: None,
        instead: Callable[[], T | None] = lambda: None,
    ) -> None:
        self._instead = instead
        self._pointer, self._opened, self._what = str(pointer), opened, what
        self._log, self._named, self._found = log, named, found
        self._opening = Lock()
        self._seen: _Seen[T] = _Seen(None, None, NotReadyError("nothing was opened yet"))

    def get(self) -> T:
        """Return the newest that verified.

        Raises
        ------
        NotReadyError
            If there is none.
        """
        seen = self._follow(again=self._seen.found is None)
        return _raise(seen.refusal) if seen.found is None else seen.found

    def newest(self) -> T | None:
        """Return the newest that verified, or None where there is none."""
        return self._follow(again=False).found

    def is_followed(self) -> bool:
        """Tell whether there is nothing new behind the pointer: finding the newest takes no more than a look at it."""
        return _signature(self._pointer) == self._seen.pointer

    def loaded(self) -> T | None:
        """Return the newest where that takes no more than a look at the pointer, else None."""
        return self._seen.found if self.is_followed() else None

    async def get_aside(self) -> T:
        """Return the newest that verified, as :meth:`get` does; what is new is opened in another thread."""
        loaded = self.loaded()
        return await asyncio.to_thread(self.get) if loaded is None else loaded

    def get_or(self, otherwise: Other) -> T | Other:
        """Return what the pointer names, or something else where that is not whole: older private data is not used."""
        seen = self._follow(again=False)
        return otherwise if seen.found is None or seen.refusal else seen.found

    def check(self) -> T:
        """Return what the pointer names.

        Raises
        ------
        NotReadyError
            If there is nothing or it does not verify, even where something older is still in use.
        """
        found, refusal = self.state()
        return _raise(refusal) if refusal or found is None else found

    def state(self, *, again: bool = True) -> tuple[T | None, NotReadyError | None]:
        """Return what is in use, and why what the pointer names is not, where that is so: by a look of now if asked."""
        seen = self._follow(again=again)
        return seen.found, seen.refusal

    def _follow(self, *, again: bool) -> "_Seen[T]":
        seen, pointer = self._seen, _signature(self._pointer)
        if pointer == seen.pointer and not (again and seen.refusal):
            return seen
        if not self._opening.acquire(blocking=seen.found is None):
            return seen
        try:
            if self._seen is seen:
                self._seen = self._look(pointer, before=seen)
            return self._seen
        finally:
            self._opening.release()

    def _look(self, pointer: "_Pointer", *, before: "_Seen[T]") -> "_Seen[T]":
        try:
            found = self._opened()
        except NotReadyError as refusal:
            if pointer != before.pointer:
                self._log.error(f"{self._what} refused", reason=refusal.message)
                self._found("refused")
            return _Seen(pointer, before.found or self._begin_with_another(), refusal)
        self._log.info(self._what, id=self._named(found))
        self._found("served")
        return _Seen(pointer, found, None)

    def _begin_with_another(self) -> T | None:
        found = self._instead()
        if found is not None:
            self._log.warning(f"{self._what} of before", id=self._named(found))
        return found


_Pointer = tuple[int, int, int] | None


@dataclass(frozen=True)
class _Seen(Generic[T]):
    """What was found behind the pointer, as one value, so that it changes at once for every thread."""

    pointer: _Pointer
    found: T | None
    refusal: NotReadyError | None


def _signature(pointer: str) -> _Pointer:
    """Return what changes whenever the pointer is replaced: it is a new file each time."""
    try:
        found = os.stat(pointer)  # noqa: PTH116 - at every request: half the time of Path.stat
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns


def _raise(refusal: NotReadyError | None) -> NoReturn:
    # A new exception for every request: a shared one would gather the tracebacks of all of them.
    raise NotReadyError(refusal.message if refusal else "nothing is there", hint=refusal.hint if refusal else "")
