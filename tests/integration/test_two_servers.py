"""Two server processes on one consent log: both write at once, none loses an entry, each sees the other's at once."""

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from threading import Thread

import httpx
from support.edge import LISBON, bearer, publish

from recsys.consents.log import ConsentLog, Purpose, State
from recsys.settings import Settings
from recsys.workspace import Workspace, listener_of

GIVE, WITHDRAW = ({"state": state, "notice_version": "2026-09"} for state in ("given", "withdrawn"))
LISTENERS, ROUNDS = 5, 5


@contextmanager
def server(workspace: Workspace, url: str) -> Iterator[str]:
    """`hearabouts serve` in a process of its own; yields where it listens."""
    command = [sys.executable, "-W", "error", "-m", "pipelines", "serve", "--port", "0", "--workspace", workspace.root]
    environment = {**os.environ, "HEARABOUTS__CONSENTS__URL": url}
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment)
    assert process.stderr is not None
    try:
        line = next(line for line in process.stderr if "http://" in line)
        Thread(target=process.stderr.read, daemon=True).start()  # or it would wait for somebody to read its log
        yield re.findall(r"http://127\.0\.0\.1:\d+", line)[0]
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(timeout=30)
        process.stderr.close()


def test_two_servers_write_at_once_and_lose_nothing(
    workspace: Workspace, place: Path | str, settings: Settings
) -> None:
    publish(workspace, size=1)
    url = "" if isinstance(place, Path) else place
    users = [f"user-{number}" for number in range(LISTENERS)]
    now = datetime.now(UTC)  # the servers' own clock is the real one
    headers = {user: bearer(user, workspace=workspace, settings=settings, now=now) for user in users}

    async def decide(clients: list[httpx.AsyncClient], user: str) -> None:
        for number in range(2 * ROUNDS):
            one, other = clients[number % 2], clients[(number + 1) % 2]
            for purpose in Purpose:
                answer = await one.put(
                    f"/v1/me/consents/{purpose}", json=[GIVE, WITHDRAW][number % 2], headers=headers[user]
                )
                assert answer.status_code == 200, answer.text
            near = await other.get(f"/v1/me/trending?cell={LISBON}", headers=headers[user])
            assert near.json()["location_used"] is (number % 2 == 0)  # by the other server, from the next request on

    async def run(urls: list[str]) -> None:
        async with Clients(urls) as clients:
            await asyncio.gather(*(decide(clients, user) for user in users))

    with ExitStack() as servers:
        pair = [servers.enter_context(server(workspace, url)) for _ in range(2)]
        asyncio.run(run(pair))
        check_erasure(*pair, bearer("ana", workspace=workspace, settings=settings, now=now))
    log = ConsentLog(place if url else workspace.consents)
    for user in users:
        entries = log.entries(listener_of(user, key=workspace.listener_key()))
        for purpose in Purpose:
            states = [entry.state for entry in entries if entry.purpose == purpose]
            assert states == [State.GIVEN, State.WITHDRAWN] * ROUNDS


def check_erasure(one: str, other: str, token: dict[str, str]) -> None:
    """What is erased at one server is unknown to the other from the next request on."""
    for _ in range(3):
        assert httpx.put(f"{one}/v1/me/consents/local_trends", json=GIVE, headers=token).status_code == 200
        assert len(httpx.get(f"{other}/v1/me/data", headers=token).text.splitlines()) == 3
        erased = httpx.delete(f"{one}/v1/me/data", headers=token)
        assert len(httpx.get(f"{other}/v1/me/data", headers=token).text.splitlines()) == 2
        assert httpx.get(f"{other}{erased.headers['location']}").json() == erased.json()


class Clients:
    """One client for each server."""

    def __init__(self, urls: list[str]) -> None:
        self._clients = [httpx.AsyncClient(base_url=url, timeout=30) for url in urls]

    async def __aenter__(self) -> list[httpx.AsyncClient]:
        return self._clients

    async def __aexit__(self, *_: object) -> None:
        for client in self._clients:
            await client.aclose()
