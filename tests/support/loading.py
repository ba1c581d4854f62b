"""A server under everything at once: browsing, changes of mind, new snapshots, slow and broken clients."""

import asyncio
import contextlib
import random
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta

import httpx
import psutil
from support.edge import LISBON, PORTO, SUVA, bearer, publish
from support.serving import Server

from recsys.settings import load_settings

FIRST = date(2026, 10, 1)
UNLIMITED = {"listener_requests": 0, "address_requests": 0, "given_a_day": 0}  # of a server that is to be loaded
_SETTINGS = load_settings()
_HELD = 4  # seconds for which a client that says nothing keeps its connection at most, if it may
_BROKEN = (
    b"GET /v1/regions HTTP/1.1\r\nHost: x\r\nContent-Le",
    b"PUT /v1/me/consents/local_trends HTTP/1.1\r\nHost: x\r\nContent-Length: 900\r\n\r\n{",
    b"\0\1\2\r\n\r\n",
    b"GET /v1/regions?limit=20000 HTTP/1.1\r\nHost: x\r\n\r\n",  # and never reads the answer
    b"GET / HTTP/9.9\r\n\r\n",
)


@dataclass
class Load:
    """What happened.

    Parameters
    ----------
    statuses : Counter
        Answers by status.
    stale : int
        Lists that did not follow the decision before.
    decisions, swaps, broken, held : int
    memory : list of float
        Resident megabytes of the server, four times a second.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    stale: int = 0
    decisions: int = 0
    swaps: int = 0
    broken: int = 0
    held: int = 0
    memory: list[float] = field(default_factory=list)

    @property
    def failures(self) -> int:
        """Answers of 500 and more."""
        return sum(count for status, count in self.statuses.items() if status >= 500)

    def growth(self) -> float:
        """Return how many megabytes the last fifth of the time took more than the second fifth: the first warms up."""
        fifth = len(self.memory) // 5
        early, late = sorted(self.memory[fifth : 2 * fifth]), sorted(self.memory[-fifth:])
        return late[len(late) // 2] - early[len(early) // 2]


async def load(server: Server, *, seconds: float, seed: int = 20151) -> Load:
    """Load a server for some seconds; it serves a snapshot of :func:`edge.publish` and is :data:`UNLIMITED`."""
    found, dice, limits = Load(), random.Random(seed), httpx.Limits(max_connections=40)
    async with httpx.AsyncClient(base_url=server.url, limits=limits, timeout=30) as client:
        await client.get("/healthz")
        until = time.monotonic() + seconds

        async def again(act: Callable[[], Awaitable[None]]) -> None:
            while time.monotonic() < until:
                await act()

        async def ask(method: str, url: str, **options: object) -> httpx.Response:
            answer = await client.request(method, url, **options)  # type: ignore[arg-type]
            found.statuses[answer.status_code] += 1
            return answer

        def listener(name: str) -> Callable[[], Awaitable[None]]:
            headers = bearer(name, workspace=server.workspace, settings=_SETTINGS, now=datetime.now(UTC))

            async def changes_its_mind() -> None:
                for state in ("given", "withdrawn"):
                    decision = {"state": state, "notice_version": _SETTINGS.consents.notice_version}
                    decided = await ask("PUT", "/v1/me/consents/local_trends", headers=headers, json=decision)
                    decided.raise_for_status()  # what was not decided cannot be stale
                    found.decisions += 1
                    near = await ask("GET", f"/v1/me/trending?cell={LISBON}&limit=5", headers=headers)
                    near.raise_for_status()
                    found.stale += near.json().get("location_used") is not (state == "given")

            return changes_its_mind

        async def browse() -> None:
            place = dice.choice([LISBON, PORTO, SUVA, "PT", "world", "nowhere"])
            chart = dice.choice(["popular", "rising", "local", "loudest"])
            await ask("GET", f"/v1/regions/{place}/charts/{chart}?limit={dice.randint(0, 40)}")
            url = dice.choice(["/v1/regions?q=l", "/readyz", "/metrics", "/v1/transparency", "/v1/me/data", "/x"])
            await ask("GET", url)

        async def swap() -> None:
            await asyncio.sleep(0.4)
            found.swaps += 1
            await asyncio.to_thread(publish, server.workspace, as_of=str(FIRST + timedelta(days=found.swaps % 28)))

        async def break_off() -> None:
            found.broken += 1
            await _break_off(server, dice.choice(_BROKEN))

        async def hold() -> None:
            found.held += 1
            await _break_off(server, dice.choice(_BROKEN), after=dice.uniform(0.5, _HELD))

        async def watch() -> None:
            found.memory.append(psutil.Process(server.process.pid).memory_info().rss / 1e6)
            await asyncio.sleep(0.25)

        acts = [browse, browse, browse, swap, break_off, break_off, watch, *map(listener, ("a", "b", "c"))]
        acts += [hold] * 10
        await asyncio.gather(*map(again, acts))
    return found


async def _break_off(server: Server, request: bytes, *, after: float = 0) -> None:
    """Send what no good client sends, wait some seconds, and be gone."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(server.url.rsplit(":", 1)[1]))
    with contextlib.suppress(OSError):
        for start in range(0, len(request), 20):  # slowly
            writer.write(request[start : start + 20])
            await writer.drain()
            await asyncio.sleep(0.005)
        await asyncio.sleep(after)
    writer.close()
    del reader
