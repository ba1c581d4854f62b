"""The server holds: under a mixed load nothing fails and no consent is stale; and it does what its contract says."""

import asyncio
import json
import signal
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, seed, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance
from support.edge import bearer, publish
from support.loading import FIRST, UNLIMITED, load
from support.serving import Server

from recsys.settings import load_settings
from recsys.workspace import Workspace


@pytest.fixture
def server(workspace: Workspace) -> Iterator[Server]:
    publish(workspace, as_of=str(FIRST))
    server = Server(workspace, **UNLIMITED, head_seconds=2, body_seconds=2, write_seconds=2)
    yield server
    server.stop(signal.SIGKILL)


def test_a_mixed_load_is_held(server: Server) -> None:
    """A shorter one of tests/bench/bench_load.py: it looks at failures and stale consents, and not at memory much."""
    found = asyncio.run(load(server, seconds=8))
    assert (found.failures, found.stale) == (0, 0), found.statuses
    assert min(found.decisions, found.swaps, found.broken, found.held, found.statuses[200]) > 0
    assert found.growth() < 40
    log = [json.loads(line) for line in server.stop().splitlines()]
    assert server.process.returncode == 0
    assert {line["event"] for line in log if line["level"] == "error"} == set()


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_requests_that_fit_the_contract_and_such_that_do_not(server: Server, workspace: Workspace) -> None:
    """Every answer has a documented status, type and shape, and none is a failure of ours."""
    schema = schemathesis.openapi.from_url(f"{server.url}/openapi.json")
    headers = bearer("ana", workspace=workspace, settings=load_settings(), now=datetime.now(UTC))
    asked = 0
    for found in schema.get_all_operations():
        operation = found.ok()

        @seed(20151)
        @settings(
            max_examples=12,
            database=None,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def fits(case: schemathesis.Case) -> None:
            nonlocal asked
            asked += 1
            answer = case.call(headers=headers, timeout=10)
            assert answer.status_code < 500, (case.method, case.path)
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])  # the most items are a setting

        fits()
    assert asked > 50
