"""What the command line says where something happened that nobody foresaw: where, and none of its words."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, NoReturn

import pytest
from polars.exceptions import PanicException
from support.commands import Done, runner

import pipelines.privacy.forget

VALUE = "38.7223"


@pytest.fixture
def forgetting(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> Callable[[BaseException], Done]:
    """Run `hearabouts forget` in a workspace of the test's own, where the job raises something."""

    def run(failure: BaseException) -> Done:
        def fail(*_: Any, **__: Any) -> NoReturn:
            raise failure

        monkeypatch.setattr(pipelines.privacy.forget, "forget", fail)
        return runner(monkeypatch, capfd)("forget", "somebody", "--workspace", tmp_path / "workspace")

    return run


@pytest.mark.parametrize("failure", [ValueError(VALUE), PanicException(VALUE)], ids=["error", "panic"])
def test_what_nobody_foresaw_is_told_without_its_message(
    forgetting: Callable[[BaseException], Done], failure: BaseException
) -> None:
    done = forgetting(failure)
    name = type(failure).__name__
    assert (done.code, done.summary) == (
        1,
        {"status": "failed", "problem": "unforeseen", "message": name, "hint": ""},
    )
    assert f"unforeseen {name}" in done.err
    assert VALUE not in done.out + done.err
    assert "Traceback" not in done.err


def test_whoever_interrupts_a_job_is_obeyed(forgetting: Callable[[BaseException], Done]) -> None:
    done = forgetting(KeyboardInterrupt())
    assert (done.code, done.out) == (130, "")
