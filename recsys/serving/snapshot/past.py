"""The past of a snapshot: the charts of all nights until then, which may be away while its own are served."""

import sqlite3
from collections.abc import Callable

from recsys.artifacts.chart_history import NO_HISTORY, ChartHistory
from recsys.causes import not_ready
from recsys.errors import InputError, NotReadyError


class Past:
    """A chart history, opened now if it can be, else by whoever needs it first once it can.

    Parameters
    ----------
    opened : callable
        Opens it.

    Attributes
    ----------
    refusal : NotReadyError or None
        Why it could not be opened the last time.
    """

    refusal: NotReadyError | None = None

    def __init__(self, opened: Callable[[], ChartHistory]) -> None:
        self._opened = opened
        self._found = self._try()

    def get(self) -> ChartHistory:
        """Return the history.

        Raises
        ------
        NotReadyError
            If it cannot be read now.
        """
        if self._found is None:
            self._found = self._try()
        if self._found is None:
            # A new exception for every request: a shared one would gather the tracebacks of all of them.
            raise NotReadyError(self.refusal.message if self.refusal else "", hint=_LATER)
        return self._found

    def close(self) -> None:
        """Close it, for all threads."""
        if self._found:
            self._found.close()

    def _try(self) -> ChartHistory | None:
        try:
            found = self._opened()
        except (sqlite3.Error, OSError, ValueError, InputError) as error:
            unread = NotReadyError(f"{_WHAT} cannot be read ({type(error).__name__})")
            self.refusal = not_ready(error, _WHAT) or unread
            return None
        self.refusal = None
        return found


NO_PAST = Past(lambda: NO_HISTORY)
"""Of a workspace without one."""

_WHAT = "the chart history"
_LATER = "Try again later; the operator restores history.db from a backup where it is damaged."
