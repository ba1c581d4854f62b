"""Requests of listeners of different kinds, interleaved, with their times: can anybody tell the kinds apart?"""

import time
from collections.abc import Iterator, Mapping
from datetime import timedelta

import httpx
import numpy as np
from support.edge import LISBON, NOW, PORTO, SUVA, Client, bearer, decide, remember

from recsys.consents.log import Purpose, State
from recsys.settings import Settings
from recsys.workspace import Workspace

LOUD = ("consents", "consents in a small place")  # whose lists are those of a region and of its country
QUIET = ("unknown", "never consented", "withdrew", "lapsed", "erased", "small place")  # whose lists are the world's


def prepare(workspace: Workspace) -> None:
    """Let every kind of listener have its past, and half of them plays that were kept from before."""
    remember(workspace, {who: {"track-9": 2.0} for who in ("withdrew", "erased", "consents", "small place")})
    decide(workspace, "never consented", State.GIVEN, purpose=Purpose.CONTRIBUTE_TRENDS)
    decide(workspace, "withdrew", State.GIVEN, at=NOW - timedelta(days=2))
    decide(workspace, "withdrew", State.WITHDRAWN)
    decide(workspace, "lapsed", State.GIVEN, notice="2020-01")
    for kind in LOUD:
        decide(workspace, kind, State.GIVEN)


def interleaved(
    client: Client, *, workspace: Workspace, settings: Settings, requests: int, seed: int
) -> Mapping[str, list[tuple[httpx.Response, float]]]:
    """Send that many requests of every kind in a random order; return the answers and seconds by kind."""
    cells = {"small place": SUVA, "consents in a small place": PORTO}
    kinds = [*QUIET, *LOUD]
    tokens = {kind: bearer(kind, workspace=workspace, settings=settings) for kind in kinds}
    client.request("DELETE", "/v1/me/data", headers=tokens["erased"])
    order = np.random.default_rng(seed).permuted(np.repeat(np.arange(len(kinds)), requests))
    seconds: list[float] = []

    def asked() -> Iterator[tuple[str, str, dict[str, object]]]:
        for number in order:
            kind = kinds[number]
            started = time.perf_counter()
            yield "GET", f"/v1/me/trending?cell={cells.get(kind, LISBON)}&limit=5", {"headers": tokens[kind]}
            seconds.append(time.perf_counter() - started)

    answers = client.all(asked())
    found: dict[str, list[tuple[httpx.Response, float]]] = {kind: [] for kind in kinds}
    for number, answer, taken in zip(order, answers, seconds, strict=True):
        found[kinds[number]].append((answer, taken))
    return found
