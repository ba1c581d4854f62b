"""The terminal: how far a long job is, on a terminal and in a pipe."""

from io import StringIO

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from pipelines.base import terminal


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> StringIO:
    """What a terminal of 100 columns gets to see."""
    text = StringIO()
    monkeypatch.setattr(terminal, "progress_console", Console(file=text, width=100, force_terminal=True))
    return text


def work() -> None:
    with terminal.parts("models") as told:
        told("train", 0.0)
        told("other_draws", 0.75)


def test_a_terminal_shows_what_is_done_how_much_and_how_long_it_will_take(shown: StringIO) -> None:
    work()
    text = shown.getvalue()
    assert "models: other draws" in text
    assert "75%" in text
    assert "left:" in text
    assert text.rstrip().endswith("models")  # with a tick, where the bar was
    assert "✓" in text


def test_a_pipe_has_a_line_for_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "progress_console", Console(file=StringIO()))
    with capture_logs() as lines:
        work()
    said = [(line["event"], line["part"], line["done"]) for line in lines]
    assert said == [("models", "train", "0%"), ("models", "other draws", "75%")]


def test_a_job_within_another_shows_both(shown: StringIO) -> None:
    with terminal.step("search"):
        done = list(terminal.followed(range(3), "trials"))
    assert done == [0, 1, 2]
    assert "3/3" in shown.getvalue()
