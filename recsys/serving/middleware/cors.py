"""CORS: which pages may call the endpoint from a browser; those whose origins the settings name, by default none."""

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import ASGIApp

from recsys.errors import InputError
from recsys.serving.requests.problems import problem_of

_EXPOSED = (
    "ETag",
    "Location",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-Id",
)


class Cors(CORSMiddleware):
    """Starlette's own, for our methods and headers, whose refusal is a problem like all others.

    Parameters
    ----------
    app : ASGI application
    origins : sequence of str
        As ``https://app.example``; ``*`` for all.
    """

    def __init__(self, app: ASGIApp, *, origins: tuple[str, ...]) -> None:
        super().__init__(
            app,
            allow_origins=origins,
            allow_methods=("GET", "PUT", "POST", "DELETE"),
            allow_headers=("Authorization", "Content-Type", "If-None-Match", "X-Request-Id"),
            expose_headers=_EXPOSED,
            max_age=600,
        )

    def preflight_response(self, request_headers: Headers) -> Response:
        """Answer whether a request would be allowed."""
        answer = super().preflight_response(request_headers)
        return answer if answer.status_code < 400 else problem_of(_REFUSED)


_REFUSED = InputError(
    "this origin, method or header is not allowed", hint="The operator names origins in serving.cors_origins."
)
