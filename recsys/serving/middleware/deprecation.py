"""Deprecation: addresses that are to go say so with every answer, and when (RFC 9745, RFC 8594)."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from email.utils import format_datetime

from starlette.types import ASGIApp, Message, Receive, Scope, Send


@dataclass(frozen=True)
class Retirement:
    """An address that is to go.

    Parameters
    ----------
    path : str
        As the contract has it: ``/v1/regions/{id}``.
    since : date
        From when on nobody should begin to use it.
    until : date
        It is not answered for after this day began.
    instead : str
        Where to read of what takes its place.
    """

    path: str
    since: date
    until: date
    instead: str

    def is_of(self, path: str) -> bool:
        """Tell whether a path is of this address."""
        return re.fullmatch(re.sub(r"\\{\w+\\}", "[^/]+", re.escape(self.path)), path) is not None

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        """What its answers say."""
        since, until = (datetime.combine(day, time(), UTC) for day in (self.since, self.until))
        facts = {
            "deprecation": f"@{int(since.timestamp())}",
            "sunset": format_datetime(until, usegmt=True),
            "link": f'<{self.instead}>; rel="deprecation"',
        }
        return [(name.encode(), value.encode()) for name, value in facts.items()]


RETIRING: tuple[Retirement, ...] = ()
"""What is to go: nothing today. A field goes with its address, whose next version comes before."""


class Deprecation:
    """The ASGI layer that lets answers of addresses that are to go say so.

    Parameters
    ----------
    app : ASGI application
    retiring : sequence of Retirement
    """

    def __init__(self, app: ASGIApp, *, retiring: Sequence[Retirement] = RETIRING) -> None:
        self._app, self._retiring = app, retiring

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and its answer with what is to be said."""
        asked = scope["path"] if self._retiring and scope["type"] == "http" else ""
        said = next((each.headers for each in self._retiring if each.is_of(asked)), None)

        async def saying(message: Message) -> None:
            is_start = message["type"] == "http.response.start"
            await send({**message, "headers": [*message["headers"], *(said or ())]} if is_start else message)

        await self._app(scope, receive, saying if said else send)
