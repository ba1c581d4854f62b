"""What is shown where a place's list is empty, and what stands in the reasons, from charts to answers and tables."""

import random
from itertools import product
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from pydantic import TypeAdapter
from support.lines import told
from support.releasing import NIGHT, catalogue, small_atlas

from pipelines.base.terminal import chart_table
from recsys.artifacts.reasons import reason
from recsys.releases.charts.charts import Charts
from recsys.releases.snapshot import publishing
from recsys.schemas import Chart as Lines
from recsys.serving.lists.responses import Chart, chart_answer
from recsys.serving.pages.chart_rows import rows
from recsys.serving.snapshot.snapshot_reader import Published, open_published
from recsys.workspace import Workspace

LINE: dict[str, Any] = {
    "rank": 1,
    "previous_rank": None,
    "nights_on_chart": 1,
    "track_id": "t00",
    "estimate": 84.4,
    "low": 61.0,
    "high": 99.6,
    "lift": 3.12,
    "lift_low": 2.2,
    "lift_high": 14.4,
    "kind": None,
    "nights": 7,
    "grade": None,
}


def line(place: str, chart: str, **changes: object) -> dict[str, Any]:
    return LINE | {"place": place, "chart": chart} | changes


def published(root: Path, *rows: dict[str, Any], kinds: tuple[str, ...] = ("popular", "rising", "local")) -> Published:
    """Publish charts of the world, country AA, and regions aa1 and bb1; BB and CC are not served."""
    popular = [line(place, "popular") for place in ("world", "AA", "aa1", "bb1")]
    schema = {name: column.dtype for name, column in Lines.columns().items()}
    workspace = Workspace(root).prepare()
    publishing.publish(
        workspace,
        charts=Charts(pl.DataFrame([*popular, *rows], schema=schema), kinds),
        catalogue=catalogue(),
        atlas=small_atlas(),
        nights=[NIGHT],
        settings_digest="s",
        ledger_numbers=[1],
    )
    return open_published(workspace)


def test_an_empty_list_shows_the_nearest_larger_places(tmp_path: Path) -> None:
    found = published(tmp_path, line("AA", "rising", kind="mover", nights=2))
    answer = chart_answer(found, place_id="aa1", chart="rising", limit=5)
    assert (answer["region"]["id"], answer["scope"], len(answer["items"])) == ("aa1", "country", 1)
    assert answer["why"].startswith(
        "Nothing in Náme aa1 seems to rise above its own past, so this is what rises in Náme AA. Rising in Náme AA, "
    )
    TypeAdapter(Chart).validate_python(answer, strict=True)


def test_a_short_list_goes_on_with_larger_places_and_its_lines_say_so(tmp_path: Path) -> None:
    own = [line("aa1", "local", track_id=f"t{i:02}", rank=i + 1, grade="surely") for i in range(3)]
    larger = [
        line("AA", "local", track_id=f"t{i:02}", rank=i - 1, previous_rank=7, grade="likely") for i in range(2, 14)
    ]
    found = published(tmp_path, *own, *larger)
    answer = chart_answer(found, place_id="aa1", chart="local", limit=50)
    items = answer["items"]
    assert [item["track_id"] for item in items] == [f"t{i:02}" for i in range(10)]
    assert [item["rank"] for item in items] == list(range(1, 11))
    assert [item.get("source") for item in items] == [None] * 3 + [{"chart": "local", "place": "AA"}] * 7
    assert items[2]["reason"].startswith("About 84 contributing listeners a night, 3.1 times")
    assert items[3]["reason"].startswith("In Náme AA: Likely: about 84 contributing listeners a night, 3.1 times")
    assert answer["why"].endswith("the list goes on with larger ones, and its lines say so.")
    assert len(chart_answer(found, place_id="AA", chart="local", limit=50)["items"]) == 12
    TypeAdapter(Chart).validate_python(answer, strict=True)
    cells = {str(column.header): list(column.cells) for column in chart_table(answer).columns}
    assert cells[""][2:4] == ["surely", "likely, in AA"]
    assert cells["was"][2:4] == ["new", ""]  # its rank of before is one on another list


@pytest.mark.parametrize("chart", ["popular", "rising", "local"])
def test_whoever_is_shown_the_list_of_a_larger_place_is_never_told_that_it_is_here(chart: str, tmp_path: Path) -> None:
    rows = [line(place, "rising", kind=kind) for place, kind in (("AA", "debut"), ("world", "mover"))]
    found = published(tmp_path, *rows, line("AA", "local", grade="guess"))
    for place in ("aa1", "bb1", "BB", "CC"):
        answer = chart_answer(found, place_id=place, chart=chart, limit=50)
        for item in answer["items"]:
            assert " here" not in item["reason"]
            assert ("source" in item) == (answer["scope"] != answer["region"]["level"])


def test_a_place_without_lists_and_an_empty_one_are_told_apart(tmp_path: Path) -> None:
    found = published(tmp_path, line("world", "rising", kind="debut", nights=1))
    why = [chart_answer(found, place_id=place, chart="rising", limit=5)["why"] for place in ("bb1", "CC", "world")]
    assert why[0].startswith(
        "Nothing in Náme bb1 seems to rise above its own past, so this is what rises in the world."
    )
    assert why[1].startswith("Náme CC has no chart of its own, so this is what rises in the world. ")
    assert why[2].startswith("Rising in the world, by listeners who contribute, in the last nights to 2026-10-01")


def test_where_nothing_rises_anywhere_the_list_is_empty_and_says_so(tmp_path: Path) -> None:
    answer = chart_answer(published(tmp_path), place_id="aa1", chart="rising", limit=5)
    assert (answer["items"], answer["scope"]) == ([], "region")
    assert answer["why"] == "Nothing in Náme aa1 or Náme AA or the world seems to rise above its own past."


def test_without_a_past_there_is_no_rising_chart(tmp_path: Path) -> None:
    answer = chart_answer(published(tmp_path, kinds=("popular", "local")), place_id="aa1", chart="rising", limit=5)
    assert answer["items"] == []
    assert answer["why"].startswith("There is no rising chart yet")


def test_the_world_is_not_compared_with_the_rest_of_the_world(tmp_path: Path) -> None:
    found = published(tmp_path, line("AA", "local"))
    assert chart_answer(found, place_id="aa1", chart="local", limit=5)["scope"] == "country"
    answer = chart_answer(found, place_id="world", chart="local", limit=5)
    assert (answer["items"], answer["scope"]) == ([], "world")
    assert answer["why"].startswith("The local chart compares a place with the rest of the world")
    nowhere = chart_answer(found, place_id="bb1", chart="local", limit=5)
    assert nowhere["why"] == "Nothing in Náme bb1 seems to stand out against the rest of the world."


@pytest.mark.parametrize(
    ("chart", "changes", "expected"),
    [
        (
            "rising",
            {"kind": "mover", "nights": 2},
            "About 84 contributing listeners a night over the last 2 nights, 3.1 times (2.2 to 14) what the weeks "
            "before would let expect.",
        ),
        (
            "rising",
            {"kind": "debut", "nights": 1},
            "New: about 84 contributing listeners a night over the last night, between 61 and 100 with 95 % "
            "certainty, and hardly any before.",
        ),
        (
            "rising",
            {"kind": "mover", "nights": 2, "lift_low": 1.0, "grade": "surely"},
            "About 84 contributing listeners a night over the last 2 nights, 3.1 times (1.0 to 14) what the weeks "
            "before would let expect. It may still be chance.",
        ),
        (
            "local",
            {"estimate": 1.1},
            "About 1 contributing listener a night, 3.1 times (2.2 to 14) what the rest of the world would let "
            "expect of a place this size.",
        ),
        (
            "rising",
            {"kind": "debut", "nights": 2, "lift_low": 0.4, "grade": "likely"},
            "Likely: new: about 84 contributing listeners a night over the last 2 nights, between 61 and 100 with 95 % "
            "certainty, and hardly any before.",
        ),
        (
            "local",
            {"lift_low": 0.4, "grade": "guess"},
            "A guess: about 84 contributing listeners a night, 3.1 times (0.40 to 14) what the rest of the world would "
            "let expect of a place this size. It may well be chance.",
        ),
        (
            "popular",
            {},
            "About 84 contributing listeners a night; its share is 3.1 times (2.2 to 14) the world's.",
        ),
        (
            "popular",
            {"lift_low": 0.9},
            "About 84 contributing listeners a night; no clear difference from its share in the world.",
        ),
        (
            "popular",
            {"place": "world"},
            "About 84 contributing listeners a night worldwide, between 61 and 100 with 95 % certainty.",
        ),
    ],
)
def test_reasons_name_the_numbers(chart: str, changes: dict[str, Any], expected: str) -> None:
    place = str(changes.get("place", "aa1"))
    assert reason(told(line(place, chart) | changes), chart=chart, place=place) == expected


@pytest.mark.parametrize(
    ("chart", "changes", "expected"),
    [
        ("popular", {"lift_low": 1.004}, "no clear difference from its share in the world."),
        (
            "popular",
            {"lift_low": 0.9, "lift": 0.95, "lift_high": 0.996},
            "no clear difference from its share in the world.",
        ),
        ("rising", {"kind": "mover", "grade": "surely", "lift_low": 1.004}, "It may still be chance."),
        (
            "local",
            {"lift": 2.3499},
            ", 2.4 times (2.2 to 14) what the rest of the world would let expect of a place this size.",
        ),
        (
            "local",
            {"lift": 2.2451},
            ", 2.3 times (2.2 to 14) what the rest of the world would let expect of a place this size.",
        ),
        (
            "popular",
            {"estimate": 0.99996},
            "About 1 contributing listener a night; its share is 3.1 times (2.2 to 14) the world's.",
        ),
    ],
)
def test_a_reason_is_that_of_the_numbers_beside_it(
    chart: str, changes: dict[str, Any], expected: str, tmp_path: Path
) -> None:
    """As an answer rounds them: it and the page, which has nothing else, say the same."""
    assert_said(published(tmp_path, line("AA", chart, track_id="t01", **changes)), chart=chart, ending=expected)


def test_answers_and_pages_give_the_same_reasons_of_any_numbers(tmp_path: Path) -> None:
    drawn = random.Random(7)
    many = [
        line(place, chart, track_id=f"t{at:02}", rank=at + 1, kind=drawn.choice(["mover", "debut"]), grade=grade)
        | {name: drawn.choice([0.5, 1, 10, 100]) * drawn.uniform(0.98, 1.02) for name in NUMBERS}
        for place, chart, at in product(("world", "AA", "bb1"), ("rising", "local"), range(14))
        for grade in [drawn.choice(["surely", "likely", "guess"])]
        if (place, chart) != ("world", "local")
    ]
    found = published(tmp_path, *many)
    for place, chart in product(("world", "AA", "aa1", "bb1"), ("popular", "rising", "local")):
        assert_said(found, place=place, chart=chart)


NUMBERS = ("estimate", "low", "high", "lift", "lift_low", "lift_high")


def assert_said(found: Published, *, place: str = "AA", chart: str, ending: str = "") -> None:
    items = chart_answer(found, place_id=place, chart=chart, limit=50)["items"]
    said = [item["reason"] for item in items]
    assert all(each.endswith(ending) for each in said[-1:])
    assert said == [row.reason for row in rows(items, chart=chart, place=place, called=lambda x: found.places[x].name)]


def test_the_table_shows_where_a_track_came_from(tmp_path: Path) -> None:
    rows = [
        line(
            "AA", "rising", kind="mover", track_id=f"t{rank:02d}", rank=rank, previous_rank=previous, nights_on_chart=9
        )
        for rank, previous in ((1, 4), (2, 2), (3, 1), (4, None))
    ]
    answer = chart_answer(published(tmp_path, *rows), place_id="AA", chart="rising", limit=5)
    assert [(item["previous_rank"], item["kind"]) for item in answer["items"]] == [
        (4, "mover"),
        (2, "mover"),
        (1, "mover"),
        ("new", "mover"),
    ]
    cells = {str(column.header): list(column.cells) for column in chart_table(answer).columns}
    assert cells["was"] == ["↑ 4", "= 2", "↓ 1", "new"]
    assert cells["nights"] == ["9"] * 4
    assert cells["listeners a night"][0] == "84 (61 – 100)"
    assert cells["lift"][0] == "3.1× (2.2 – 14)"
