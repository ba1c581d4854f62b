"""The endpoint under a mixed load on loopback: browsing, listeners who change their minds, new snapshots, bad clients.

Run it with ``python tests/bench/bench_load.py [SECONDS]`` (by default 600). It prints answers by status (none may be
500 or more), lists that did not follow the decision before (none may), and the memory over time; then how likely
the times of listeners of different kinds differ by chance alone, over 5,000 interleaved requests (two-sided
Mann-Whitney test, against somebody who was never seen; the bar: none under 0.05 / the number of comparisons).
"""

import asyncio
import sys
import tempfile
from contextlib import redirect_stderr
from io import StringIO
from pathlib import Path

import numpy as np
from scipy.stats import mannwhitneyu
from support.edge import Client, publish
from support.loading import FIRST, UNLIMITED, load
from support.serving import Server
from support.sides import LOUD, QUIET, interleaved, prepare

from recsys.settings import load_settings
from recsys.workspace import Workspace

REQUESTS = 5_000 // 8  # of each of eight kinds
SEED = 20151


def main(seconds: float) -> int:
    with tempfile.TemporaryDirectory() as folder:
        failed = hold(Workspace(Path(folder) / "workspace").prepare(), seconds)
    with tempfile.TemporaryDirectory() as folder:
        return failed + compare_times(Workspace(Path(folder) / "workspace").prepare())


def hold(workspace: Workspace, seconds: float) -> int:
    """Load a server, say how it did, and return 1 where it failed."""
    publish(workspace, as_of=str(FIRST))
    server = Server(workspace, **UNLIMITED)
    try:
        found = asyncio.run(load(server, seconds=seconds))
    finally:
        server.stop()
    print(f"{seconds:.0f} s: {found.statuses.total():,} answers, by status {dict(sorted(found.statuses.items()))}")
    print(f"{found.decisions:,} decisions, {found.swaps:,} new snapshots, {found.broken:,} clients that broke off")
    print(f"answers of 500 and more: {found.failures}; stale consents: {found.stale}")
    tenths = [f"{np.median(part):.0f}" for part in np.array_split(found.memory, 10) if len(part)]
    print(f"memory by tenth of the time, MB: {', '.join(tenths)}; growth {found.growth():+.1f} MB")
    return int(found.failures + found.stale > 0 or found.growth() > 10)


def compare_times(workspace: Workspace) -> int:
    """Say whether times tell kinds of listeners apart, and return 1 where they do."""
    chosen = {"serving": {"listener_requests": 0, "address_requests": 0}, "consents": {"earlier_notices": {}}}
    settings = load_settings(overrides=chosen)
    publish(workspace)
    prepare(workspace)
    client = Client(workspace, settings=settings)
    with redirect_stderr(StringIO()):  # where its log goes
        answers = interleaved(client, workspace=workspace, settings=settings, requests=REQUESTS, seed=SEED)
    times = {kind: [taken for _, taken in some] for kind, some in answers.items()}
    found = {kind: mannwhitneyu(times["unknown"], times[kind]).pvalue for kind in QUIET[1:]}
    for kind, p in found.items():
        print(f"{kind}: median {np.median(times[kind]) * 1e3:.3f} ms, p = {p:.2f} against who was never seen")
    for kind in LOUD:
        print(f"{kind} (whose list is another): median {np.median(times[kind]) * 1e3:.3f} ms")
    return int(min(found.values()) < 0.05 / len(found))


if __name__ == "__main__":
    sys.exit(main(float(sys.argv[1]) if len(sys.argv) > 1 else 600))
