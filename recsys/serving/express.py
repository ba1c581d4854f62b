"""The short way to a chart that was asked for before: its bytes, straight from the connection that the request came by.

All that is done for a request is done here too, but without a task, a search for a route and two messages: the guard
looks at the headers (the address was looked at when the answer was made), the request is counted and may be one too
many, it is measured and logged. Whatever is not as simple as that takes the ordinary way.
"""

import time
from asyncio import Event

from recsys.serving.middleware.access_log import NOSNIFF, Journal
from recsys.serving.middleware.authentication import address_of
from recsys.serving.middleware.position_filter import tells_position, too_long
from recsys.serving.patience import PatientProtocol
from recsys.serving.requests.rate_limit import Limits
from recsys.serving.requests.request_id import request_id
from recsys.serving.snapshot.response_cache import Headers
from recsys.serving.state.endpoint import Endpoint

_LAST = b"%s: %s\r\n\r\n" % NOSNIFF
_OTHER = frozenset({b"if-none-match", b"origin", b"expect", b"content-length", b"transfer-encoding"})


class Express:
    """Answers from what is prepared.

    Parameters
    ----------
    endpoint : Endpoint
    limits : Limits
    journal : Journal
    """

    def __init__(self, endpoint: Endpoint, *, limits: Limits, journal: Journal) -> None:
        self._endpoint, self._limits, self._journal = endpoint, limits, journal
        self._common: tuple[Headers, bytes] = ([], b"")

    def heads(self, common: Headers) -> bytes:
        """Return the headers of every answer as they are written; the server makes new ones every second."""
        if self._common[0] is not common:
            self._common = common, b"".join(b"%s: %s\r\n" % header for header in common)
        return self._common[1]

    def answer(self, url: bytes, headers: Headers, client: tuple[str, int] | None) -> list[bytes] | None:
        """Return headers and body of an answer, to follow the status line; None where it takes the ordinary way."""
        started, endpoint = time.perf_counter(), self._endpoint
        found = endpoint.prepared.find(url, of=endpoint.current.settled())
        if (
            found is None
            or too_long(headers)
            or any(name in _OTHER or tells_position(name, value) for name, value in headers)
        ):
            return None
        scope = {"client": client, "headers": headers}
        allowance = self._limits.of_address(address_of(scope, proxies=endpoint.settings.serving.proxies))
        if allowance and allowance.remaining < 0:
            return None
        name = request_id(headers)
        seconds = time.perf_counter() - started
        self._journal.note(name, "GET", found.route, 200, found.scope, seconds=seconds)
        chosen = found.chosen(headers)
        return [chosen.head, _LAST, bytes(chosen.body)]


class ExpressProtocol(PatientProtocol):
    """Uvicorn's own, patient within bounds, with the short way in front of the ordinary one.

    The application has an attribute ``express``.
    """

    def on_headers_complete(self) -> None:
        """Answer a request at once if that can be, or start its task."""
        answer = self._answer() if self.parser.get_method() == b"GET" and self._is_plain() else None
        if answer is None:
            super().on_headers_complete()
            return
        heads = self.config.app.express.heads(self.server_state.default_headers)  # type: ignore[union-attr]
        self.cycle = _Answered()  # type: ignore[assignment]
        self.transport.write(b"".join([b"HTTP/1.1 200 OK\r\n", heads, *answer]))
        self.on_response_complete()

    def _answer(self) -> list[bytes] | None:
        found: list[bytes] | None = self.config.app.express.answer(self.url, self.headers, self.client)  # type: ignore[union-attr]
        return found

    def _is_plain(self) -> bool:
        """Tell whether nothing is under way on this connection that the answer would have to wait for."""
        free = (self.cycle is None or self.cycle.response_complete) and not self.pipeline
        kept = self.parser.get_http_version() == "1.1" and self.parser.should_keep_alive()
        return free and kept and not self.flow.write_paused and not self.parser.should_upgrade()


class _Answered:
    """Stands where uvicorn keeps what is under way: nothing is."""

    response_complete, disconnected, keep_alive = True, False, True
    message_event = Event()
