"""The consent log, measured: what a reading costs in serving and in a night, and whether times tell who decided what.

Run it with ``python tests/bench/bench_consents.py [LISTENERS]`` (by default 50,000, each with three purposes). For both
databases it prints the microseconds of

- ``allows``: one reading of serving; ``standings``: all switches of a listener; ``decide``: one decision, on disk,

against a plain query on an open connection, and on one that is opened for it; then a night's reading in rows a second;
and for 5,000 interleaved requests of five kinds of listeners how likely their times differ by chance alone (two-sided
Mann-Whitney test, against somebody who was never seen).
"""

import sqlite3
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from itertools import cycle
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import mannwhitneyu
from support.databases import cluster, psycopg
from support.edge import LISBON, NOW, Client, bearer, decide, publish

from recsys.arrivals.permission import permissions
from recsys.consents.log import ConsentLog, Entry, Purpose, State
from recsys.settings import load_settings
from recsys.workspace import Workspace

T0 = datetime(2026, 1, 1, tzinfo=UTC)
PURPOSES = (Purpose.LOCAL_TRENDS, Purpose.CONTRIBUTE_TRENDS, Purpose.PERSONALISATION)
SETTINGS = load_settings()
REQUESTS = 5_000 // 5  # of each kind
PLAIN = "SELECT state FROM entries WHERE listener = {0} AND purpose = {0} AND at <= {0} ORDER BY at DESC LIMIT 1"


def main(listeners: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "consents.db"
        measure("SQLite", path, listeners, lambda: sqlite3.connect(path), PLAIN.format("?"))
    try:
        with cluster() as running:
            url = running.new_database()
            measure("PostgreSQL", url, listeners, lambda: psycopg.connect(url, autocommit=True), PLAIN.format("%s"))
    except pytest.skip.Exception as reason:
        print(f"PostgreSQL: skipped, {reason}")
    with tempfile.TemporaryDirectory() as folder:
        compare_times(Workspace(Path(folder)).prepare())


def measure(name: str, place: Path | str, listeners: int, connect: Callable, plain: str) -> None:  # type: ignore[type-arg]
    log = ConsentLog(place, notices=SETTINGS.consents.in_force)
    everybody = [f"{number:032x}" for number in range(listeners)]
    entries = (Entry(who, purpose, State.GIVEN, T0, "2026-09") for who in everybody for purpose in PURPOSES)
    started = time.perf_counter()
    log.append(entries)
    print(f"{name}: {3 * listeners / (time.perf_counter() - started):,.0f} entries a second written")
    who, now, purpose = cycle(everybody[:: max(listeners // 10_000, 1)]), datetime.now(UTC), Purpose.LOCAL_TRENDS
    later = iter(now + timedelta(microseconds=number) for number in range(10**6))
    states = cycle([State.WITHDRAWN, State.GIVEN])
    with closing(connect()) as connection:
        values = (purpose.value, int(now.timestamp() * 1e6))
        peer = microseconds(lambda: connection.execute(plain, (next(who), *values)).fetchone())
    anew = microseconds(lambda: once(connect, plain, (next(who), *values)), times=50)
    print(f"  a plain query: {peer:.0f} µs; with a connection opened for it: {anew:.0f} µs")
    allows = microseconds(lambda: log.allows(next(who), purpose, at=now))
    standings = microseconds(lambda: log.standings(next(who), at=now))
    decision = microseconds(
        lambda: log.decide(Entry(everybody[0], purpose, next(states), next(later), "2026-09")), times=50
    )
    print(f"  allows: {allows:.0f} µs, {allows / peer:.1f} plain queries")
    print(f"  standings: {standings:.0f} µs; decide: {decision:.0f} µs")
    started = time.perf_counter()
    permissions(log, now=now)
    print(f"  a night's reading of {listeners:,} listeners: {time.perf_counter() - started:.1f} s")


def once(connect: Callable, plain: str, values: tuple) -> None:  # type: ignore[type-arg]
    with closing(connect()) as connection:
        connection.execute(plain, values).fetchone()


def microseconds(action: Callable[[], object], *, times: int = 1_000) -> float:
    """The median over 5 rounds."""
    rounds = []
    for _ in range(5):
        started = time.perf_counter()
        for _ in range(times):
            action()
        rounds.append((time.perf_counter() - started) / times * 1e6)
    return float(np.median(rounds))


def compare_times(workspace: Workspace) -> None:
    publish(workspace)
    decide(workspace, "withdrew", State.GIVEN, at=NOW - timedelta(days=2))
    decide(workspace, "withdrew", State.WITHDRAWN)
    decide(workspace, "lapsed", State.GIVEN, notice="2020-01")
    decide(workspace, "erased", State.GIVEN)
    client = Client(workspace, settings=SETTINGS)
    client.request("DELETE", "/v1/me/data", headers=bearer("erased", workspace=workspace, settings=SETTINGS))
    kinds = ["never seen", "never seen, too", "withdrew", "lapsed", "erased"]
    tokens = {kind: bearer(kind, workspace=workspace, settings=SETTINGS) for kind in kinds}
    order = np.random.default_rng(20151).permuted(np.repeat(np.arange(len(kinds)), REQUESTS))
    taken: dict[str, list[float]] = {kind: [] for kind in kinds}

    def requests() -> Iterator[tuple[str, str, dict[str, dict[str, str]]]]:
        for number in order:
            started = time.perf_counter()
            yield "GET", f"/v1/me/trending?cell={LISBON}&limit=5", {"headers": tokens[kinds[number]]}
            taken[kinds[number]].append(time.perf_counter() - started)

    client.all(requests())
    for kind in kinds[1:]:
        p = mannwhitneyu(taken["never seen"], taken[kind]).pvalue
        print(f"{kind}: median {np.median(taken[kind]) * 1e3:.3f} ms, p = {p:.2f} against who was never seen")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 50_000)
