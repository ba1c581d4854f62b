"""Text from outside on a terminal, in a pipe, in a log and in JSON: shown as it is, and no control character."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import structlog
from rich.table import Table

from pipelines.base import terminal
from recsys.errors import InputError
from recsys.locations import place
from recsys.printable import escaped, given, names, printable

ODD = ["Escape [/]", "Ctrl [/home]", "Song [feat. Ana]", "[link=https://example.org]x[/link]", ":heart: of [red]glass"]
HOSTILE = "\x1b[31mred\x1b[0m \x9b2J\x07 \u202etxt.exe\u2066 \x00\x7f a\r\nb\u2028c"


@pytest.mark.parametrize("title", ODD)
@pytest.mark.parametrize("is_terminal", [False, True])
def test_markup_is_shown_as_it_is(
    title: str, is_terminal: bool, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_terminal:
        monkeypatch.setenv("FORCE_COLOR", "1")
        monkeypatch.setenv("COLUMNS", "200")
    table = Table(title=title, caption=f"why {title}")
    table.add_column(f"head {title}")
    table.add_row(title)
    terminal.print_table(table)
    assert capsys.readouterr().out.count(title) == 4


def test_nothing_that_a_terminal_obeys_gets_through(capsys: pytest.CaptureFixture[str]) -> None:
    table = Table("x")
    table.add_row(HOSTILE)
    terminal.print_table(table)
    terminal.say_error(InputError(HOSTILE, hint=HOSTILE))
    captured = capsys.readouterr()
    assert not {"\x1b", "\x9b", "\x07", "\x00", "\u202e", "\u2066", "\r", "\u2028"} & set(captured.out + captured.err)


def test_a_chart_shows_titles_and_artists_as_they_are(capsys: pytest.CaptureFixture[str]) -> None:
    figures = {"estimate": 3.0, "low": 1.0, "high": 9.0}
    item = {"rank": 1, "previous_rank": "new", "nights_on_chart": 1, "listeners": figures, "lift": 2.0}
    item |= {"lift_interval": figures, "title": "Escape [/]", "artist": "\x1b[2J:heart: [/home]"}
    region = {"name": "World", "country": None, "level": "world"}
    answer: Any = {"region": region, "chart": "popular", "as_of": "2026-11-01", "why": "why", "items": [item]}
    terminal.print_table(terminal.chart_table(answer))
    shown = capsys.readouterr().out
    assert "Escape [/]" in shown
    assert "\ufffd[2J:heart: [/home]" in shown


def test_a_log_line_is_one_line_without_control_characters(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    terminal.configure_logging()
    structlog.get_logger().warning("odd", what=HOSTILE)
    found = capsys.readouterr().err
    assert found.count("\n") == 1
    assert "\x1b[31mred" not in found
    assert not {"\x9b", "\x07", "\u202e"} & set(found)


def test_what_people_write_stays() -> None:
    for text in ("Ó Gente · “Fado”", "می‌خواهم", "👩‍🎤 live", "日本語", "a\u00a0b"):
        assert printable(text) == text
    assert printable("a\tb\nc\ud800") == "a b c\ufffd"


def test_json_means_the_same() -> None:
    summary = {"title": HOSTILE, "flag": "\U000e0067"}
    found = escaped(json.dumps(summary, ensure_ascii=False))
    assert json.loads(found) == summary
    assert printable(found) == found


def test_only_known_names_of_columns_are_shown() -> None:
    assert names(["user_id", "38.7171237"], known=["user_id"]) == "user_id, 1 column that is not known"
    assert names(["ana", "38.7171237"], known=["user_id"]) == "2 columns that are not known"
    assert names(["b", "a"], known="abc") == "a, b"


def test_only_ordinary_names_of_files_are_shown(tmp_path: Path) -> None:
    for name in ("38.7171237,-9.1398765.csv", "ana.csv", "part-00000.csv", "listens-2026-11-01.csv"):
        (tmp_path / name).touch()
    spark = tmp_path / "part-00000-3e0f2c0a-1b2c-4d5e-8f90-0123456789ab-c000.snappy.parquet"
    spark.touch()
    assert place(tmp_path / "ana.csv", source=tmp_path) == f"{tmp_path} (number 2 of 5 by name)"
    assert place(tmp_path / "38.7171237,-9.1398765.csv", source=tmp_path) == f"{tmp_path} (number 1 of 5 by name)"
    for name in ("part-00000.csv", "listens-2026-11-01.csv", spark.name):
        assert place(tmp_path / name, source=tmp_path) == f"{tmp_path}/{name}"
    assert place(tmp_path / "date=2026-11-01" / "part-00000.csv", source=tmp_path).endswith("01/part-00000.csv")


def test_a_file_that_is_gone_is_still_told(tmp_path: Path) -> None:
    assert place(tmp_path / "ana.csv", source=tmp_path) == f"{tmp_path} (number 1 of 1 by name)"
    assert place(tmp_path / "gone" / "ana.csv", source=tmp_path / "gone") == f"{tmp_path}/gone (which is gone)"


def test_the_decimals_of_a_typed_path_are_hidden() -> None:
    assert given(Path("in/38.7171237,-9.1398765.csv")) == "in/…,-….csv"
    assert given(Path("v1.2/listens.csv")) == "v1.2/listens.csv"
