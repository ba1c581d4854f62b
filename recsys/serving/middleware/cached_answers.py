"""The cache of public answers, in front of the routes: an address that was asked for before needs none of them."""

from starlette.types import ASGIApp, Receive, Scope, Send

from recsys.serving.snapshot.response_cache import Answer, ResponseCache, url_of
from recsys.serving.snapshot.snapshot_reader import Current


class CachedAnswers:
    """The ASGI layer that answers from what is responses.

    Parameters
    ----------
    app : ASGI application
        Makes all other answers, and has those kept that others may be given.
    responses : ResponseCache
    current : Current
        Answers are those of the newest snapshot.
    """

    def __init__(self, app: ASGIApp, *, responses: ResponseCache, current: Current) -> None:
        self._app, self._responses, self._current = app, responses, current

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request, or pass it on."""
        await (self._found(scope) or self._app)(scope, receive, send)

    def _found(self, scope: Scope) -> Answer | None:
        if scope["type"] != "http" or scope["method"] != "GET":
            return None
        return self._responses.find(url_of(scope), of=self._current.loaded())
