"""The log of the endpoint: its lines, whoever writes them."""

import io
import json
import logging
from datetime import UTC, datetime

from recsys.serving.middleware.access_log import JsonFormatter, json_log


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
