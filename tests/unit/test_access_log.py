"""The log of the endpoint: its lines, whoever writes them."""

import io
import json
import logging
from datetime import UTC, datetime

import httpx
import pytest
from support.edge import Client

from recsys.serving.middleware.access_log import JsonFormatter, json_log
from recsys.settings import Settings
from recsys.workspace import Workspace

CANARY = "8539a0c7fffffff"


class _Calls(io.StringIO):
    """Keeps what each call wrote: between two calls, another thread may write to a stream of the operating system."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []

    def write(self, text: str) -> int:
        self.calls.append(text)
        return super().write(text)


def test_a_line_is_written_with_its_end_in_one_call() -> None:
    stream = _Calls()
    json_log(stream).info("snapshot", id="2026-10-08-0123abcd")
    [line] = stream.calls
    assert line.endswith("}\n")
    assert json.loads(line)["event"] == "snapshot"


def test_all_lines_write_moments_alike() -> None:
    stream = io.StringIO()
    json_log(stream).info("snapshot")
    record = logging.makeLogRecord({"msg": "started", "created": 1_760_000_000.25})
    moments = [json.loads(line)["timestamp"] for line in (stream.getvalue(), JsonFormatter().format(record))]
    assert [moment[-1] for moment in moments] == ["Z", "Z"]
    assert datetime.fromisoformat(moments[1]) == datetime.fromtimestamp(1_760_000_000.25, UTC)


class Panic(BaseException):
    """What a library of Rust raises where it should not have come."""


@pytest.mark.parametrize("kind", [Panic, ValueError])
def test_whatever_a_route_raises_is_a_problem_and_its_message_is_written_nowhere(
    workspace: Workspace, settings: Settings, capsys: pytest.CaptureFixture[str], kind: type[BaseException]
) -> None:
    client = Client(workspace, settings=settings)

    @client.app.get("/breaks")
    def breaks() -> None:
        raise kind(CANARY)

    answer: httpx.Response = client.get("/breaks")
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal")
    assert (answer.headers["cache-control"], answer.headers["x-content-type-options"]) == ("no-store", "nosniff")
    written = "".join(capsys.readouterr())
    assert CANARY not in written
    failure = next(line for line in map(json.loads, written.splitlines()) if line["event"] == "failure")
    assert (failure["exception"], failure["request_id"]) == (kind.__name__, answer.headers["x-request-id"])


@pytest.mark.parametrize("kind", [KeyboardInterrupt, SystemExit])
def test_what_ends_the_program_is_passed_on(
    workspace: Workspace, settings: Settings, kind: type[BaseException]
) -> None:
    client = Client(workspace, settings=settings)

    @client.app.get("/ends")
    async def ends() -> None:
        raise kind

    with pytest.raises(kind):
        client.get("/ends")


@pytest.mark.parametrize(
    ("message", "arguments", "event"),
    [
        (
            f"it raised an exception\nTraceback\n  {CANARY}",
            (),
            "it raised an exception",
        ),
        ("failed: %s", (ValueError(CANARY),), "ValueError"),
        (ValueError(CANARY), (), "ValueError"),
        ("", (), ""),
    ],
)
def test_of_what_others_log_the_first_line_is_written_and_no_exception(
    message: object, arguments: tuple[object, ...], event: str
) -> None:
    error = ValueError(CANARY)
    facts = {"msg": message, "args": arguments, "exc_info": (ValueError, error, None)}
    line = JsonFormatter().format(logging.makeLogRecord(facts))
    assert (json.loads(line)["event"], json.loads(line)["exception"]) == (event, "ValueError")
    assert CANARY not in line
