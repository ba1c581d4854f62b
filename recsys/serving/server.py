"""Runs the endpoint, with logs that hold neither a query nor an address."""

import logging
import socket
import sys
from datetime import UTC, datetime

import uvicorn

from recsys.errors import NotReadyError
from recsys.serving.access import JsonFormatter
from recsys.serving.api import create_app
from recsys.serving.rights import Held
from recsys.settings import Settings
from recsys.workspace import Workspace


def serve(
    workspace: Workspace,
    *,
    settings: Settings,
    held: Held | None = None,
    host: str = "127.0.0.1",
    port: int = 8000,
) -> None:
    """Serve a workspace until told to stop; requests under way are finished first.

    Parameters
    ----------
    workspace : Workspace
    settings : Settings
    held : Held, optional
        Reads what the private store holds about a listener.
    host : str
    port : int
        0 for a free one; the log says which.
    """
    _log_as_json()
    _check_free(host, port)
    uvicorn.run(
        create_app(workspace, settings=settings, clock=lambda: datetime.now(UTC), held=held),
        host=host,
        port=port,
        log_config=None,
        access_log=False,  # it would hold the query, and so the cell
        ws="none",  # the refusal of a WebSocket is logged with its query
        proxy_headers=False,
        server_header=False,
        lifespan="off",
        timeout_graceful_shutdown=10,
    )


def _check_free(host: str, port: int) -> None:
    """Refuse an address in words, before uvicorn would with a code of its own."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as error:
            raise NotReadyError(
                f"{host}:{port} cannot be listened on ({error.strerror})", hint="Choose another --port or --host."
            ) from None


def _log_as_json() -> None:
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING, force=True)
    logging.getLogger("uvicorn").setLevel(logging.INFO)
