"""Timeouts of slow clients: how long the body of a request, and the reading of an answer, are waited for."""

import asyncio

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from recsys.serving.requests.headers import announces_body, brings_picture
from recsys.serving.requests.metrics import Metrics
from recsys.settings import ServingSettings

_PIECE = 65_536  # bytes of an answer that are handed to the server at once


class ClientNotReadingError(Exception):
    """Whoever asked does not read the answer, and gets no more of it."""


class Timeouts:
    """The ASGI layer that gives up clients who do not send what they announced, or do not read what they asked for.

    The time of a body is that of the whole, or a byte now and then would do; it begins when somebody wants to read it.
    A large answer goes to the server piece by piece, and each has its time: the next one is taken when the client has
    read. Heads are for the server to time.

    Parameters
    ----------
    app : ASGI application
    settings : ServingSettings
    metrics : Metrics
        Told of every client that was given up.
    picture_seconds : int, optional
        Of a picture's body, which is a thousand times as long as any other.
    """

    def __init__(
        self, app: ASGIApp, *, settings: ServingSettings, metrics: Metrics, picture_seconds: int | None = None
    ) -> None:
        self._app, self._settings, self._metrics = app, settings, metrics
        self._of_picture = picture_seconds or settings.body_seconds

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sent(message: Message) -> None:
            if message.get("more_body") or len(message.get("body", b"")) > _PIECE:
                await self._send_pieces(send, message)
            else:
                await send(message)

        # Without a body, who receives waits for the client to go away, however long the answer takes.
        await self._app(scope, self._timed(receive, scope) if announces_body(scope["headers"]) else receive, sent)

    def _timed(self, receive: Receive, scope: Scope) -> Receive:
        """Return what waits for the body until its time is over; then the client is as good as gone."""
        is_picture = brings_picture(scope["method"], scope["path"])
        seconds = self._of_picture if is_picture else self._settings.body_seconds
        due, is_whole = 0.0, False

        async def received() -> Message:
            nonlocal due, is_whole
            if is_whole:
                return await receive()
            due = due or asyncio.get_running_loop().time() + seconds
            try:
                async with asyncio.timeout_at(due):
                    message = await receive()
            except TimeoutError:
                self._metrics.dropped("body")
                return {"type": "http.disconnect"}
            is_whole = not message.get("more_body")
            return message

        return received

    async def _send_pieces(self, send: Send, message: Message) -> None:
        body, more = message["body"], message.get("more_body", False)
        for start in range(0, max(len(body), 1), _PIECE):
            end = start + _PIECE
            piece = {"type": message["type"], "body": body[start:end], "more_body": more or end < len(body)}
            try:
                await asyncio.wait_for(send(piece), self._settings.write_seconds)
            except TimeoutError:
                self._metrics.dropped("write")
                raise ClientNotReadingError from None
