"""The terminal: how far a long job is, on a terminal and in a pipe."""

import re
from collections.abc import Iterator
from io import StringIO

import pytest
from rich.console import Console
from structlog.testing import capture_logs

from pipelines.base import terminal


class Shown:
    """A terminal of 100 columns, and a clock that stands still unless it is set."""

    def __init__(self) -> None:
        self.now, self.text = 0.0, StringIO()
        self.console = Console(file=self.text, width=100, force_terminal=True, get_time=lambda: self.now)

    def left(self) -> list[str]:
        """What it said of the time that was left."""
        return list(dict.fromkeys(re.findall(r"(\d:\d\d:\d\d) left", self.text.getvalue())))


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Shown:
    found = Shown()
    monkeypatch.setattr(terminal, "progress_console", found.console)
    return found


def work() -> Iterator[None]:
    with terminal.parts("models") as told:
        told("train", 0.0)
        yield
        told("other_draws", 0.75)
        yield


def test_a_terminal_shows_what_is_done_how_much_and_how_long_it_will_take(shown: Shown) -> None:
    """After three quarters in 90 seconds a quarter is left, of 30: also where no part took less than a minute."""
    for _ in work():
        shown.now += 90
    text = shown.text.getvalue()
    assert "models: other draws" in text
    assert "75%" in text
    assert shown.left()[0] == "0:00:30"
    assert "✓" in text
    assert text.rstrip().endswith("models")  # with a tick, where the bar was


def test_after_the_first_of_some_it_is_known_how_long_the_others_will_take(shown: Shown) -> None:
    for number in terminal.followed(range(3), "nights"):
        shown.now += 60 if number < 2 else 0
    assert shown.left()[:2] == ["0:02:00", "0:01:00"]


def test_who_counts_shows_the_same(shown: Shown) -> None:
    with terminal.counted("charts") as told:
        for done in (1, 2, 3):
            shown.now += 60
            told(done, 3)
    assert "3/3" in shown.text.getvalue()
    assert shown.left()[:2] == ["0:02:00", "0:01:00"]


def test_a_pipe_has_a_line_for_what_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "progress_console", Console(file=StringIO()))
    with capture_logs() as lines, terminal.counted("charts") as told:
        told(1, 1)
    assert [line["event"] for line in lines] == ["charts"]


def test_a_pipe_has_a_line_for_each_part(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(terminal, "progress_console", Console(file=StringIO()))
    with capture_logs() as lines:
        for _ in work():
            pass
    said = [(line["event"], line["part"], line["done"]) for line in lines]
    assert said == [("models", "train", "0%"), ("models", "other draws", "75%")]


def test_a_job_within_another_shows_both(shown: Shown) -> None:
    with terminal.step("search"):
        done = list(terminal.followed(range(3), "trials"))
    assert done == [0, 1, 2]
    assert "3/3" in shown.text.getvalue()
