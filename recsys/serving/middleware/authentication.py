"""Authentication and rate limit: learns who is asking, honours the browser's opt-out, lets nobody ask too often."""

from typing import TYPE_CHECKING

import structlog
from starlette.concurrency import run_in_threadpool
from starlette.types import ASGIApp, Receive, Scope, Send

from recsys.consents.log import Channel, Entry, Purpose, State
from recsys.errors import RecsysError, TooManyRequestsError
from recsys.serving.auth.tokens import refusal
from recsys.serving.requests.credentials import ALLOWANCE, LISTENER, address_of, bearer_of, opts_out
from recsys.serving.requests.problems import problem_of
from recsys.serving.requests.rate_limit import UNLIMITED, Allowance, Limits

if TYPE_CHECKING:
    from recsys.serving.state.endpoint import Endpoint

_PERSONAL = ("/v1/me/", "/v1/voice/")
_ANONYMOUS = "/v1/me/data/erasures/"


class Authentication:
    """The ASGI layer that finds out who is asking, and how often, behind the position filter.

    Of a token nothing but the listener goes further. Who sends a good one is counted as that listener, everybody else
    by address. What is wrong with a request, its token included, is answered by the application: a layer that did
    would tell a bad token from a bad parameter.

    Parameters
    ----------
    app : ASGI application
    endpoint : Endpoint
    limits : Limits
    log : structlog logger
    """

    def __init__(
        self, app: ASGIApp, *, endpoint: "Endpoint", limits: Limits, log: structlog.typing.FilteringBoundLogger
    ) -> None:
        self._app, self._endpoint, self._limits, self._log = app, endpoint, limits, log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or answer it with 429."""
        if scope["type"] != "http" or scope["path"] in UNLIMITED:
            await self._app(scope, receive, send)
            return
        try:
            answer = await self._opened(scope)
        except RecsysError as error:
            answer = problem_of(error, log=self._log)
        await answer(scope, receive, send)

    async def _opened(self, scope: Scope) -> ASGIApp:
        state, path = scope.setdefault("state", {}), scope["path"]
        if not path.startswith(_PERSONAL) or path.startswith(_ANONYMOUS):
            allowance = self._limits.of_address(self._address(scope))
        else:
            state[LISTENER] = found = await self._listener(scope)
            is_known, limits = isinstance(found, str), self._limits
            allowance = limits.of_listener(str(found)) if is_known else limits.of_address(self._address(scope))
        state[ALLOWANCE] = allowance
        if allowance and allowance.remaining < 0:
            self._endpoint.metrics.limited()
            raise _too_many(allowance)
        if isinstance(state.get(LISTENER), str) and opts_out(scope):
            await run_in_threadpool(self._opt_out, state[LISTENER])
        return self._app

    def _address(self, scope: Scope) -> str:
        return address_of(scope, proxies=self._endpoint.settings.serving.proxies)

    async def _listener(self, scope: Scope) -> str | RecsysError:
        """Return the listener of the request's token, or what is wrong with it."""
        token, now = bearer_of(scope), self._endpoint.clock().timestamp()
        if token is None:
            return refusal()
        identity = self._endpoint.identity
        listener = identity.remembered(token, now=now)
        if listener is not None:
            return listener
        try:
            return await run_in_threadpool(identity.listener, token, now=now)
        except RecsysError as error:
            return error

    def _opt_out(self, listener: str) -> None:
        """Enter ``Sec-GPC: 1`` as a withdrawal, once, where there is something to withdraw.

        The signal comes with every request. Who never allowed it, or had everything erased, is not put on record by it.
        """
        log, notice = self._endpoint.consents, self._endpoint.settings.consents.notice_version
        purpose, state = Purpose.PARTNER_STATISTICS, State.WITHDRAWN
        now = self._endpoint.clock()
        if not any((entry.purpose, entry.state) == (purpose, State.GIVEN) for entry in log.newest(listener, at=now)):
            return
        if log.decide(Entry(listener, purpose, state, now, notice, Channel.GPC)):
            self._endpoint.metrics.decided(purpose, state)


def _too_many(allowance: Allowance) -> TooManyRequestsError:
    return TooManyRequestsError(
        f"more than {allowance.limit} requests in a while", hint="Wait as many seconds as the header Retry-After says."
    )
