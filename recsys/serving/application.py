"""FastAPI, and what stands in front of it."""

from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from recsys.serving.express import Express
from recsys.serving.openapi.document import completed
from recsys.serving.patience import Room


class Application(FastAPI):
    """FastAPI behind layers of our own: what they answer never gets as far as its routes, and is not slowed by them."""

    layers: ASGIApp
    express: Express
    room: Room

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        scope["app"] = self
        await self.layers(scope, receive, send)

    def openapi(self) -> dict[str, Any]:
        """Return the contract: what the routes say, and what the layers add."""
        if not self.openapi_schema:
            self.openapi_schema = completed(super().openapi())
        return self.openapi_schema

    async def inside(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the layers have passed on."""
        await super().__call__(scope, receive, send)
