"""The lists that the endpoint answers with, and that the command line prints."""

import subprocess
import sys

import pytest
from pydantic import TypeAdapter
from support.edge import LISBON, PORTO, SUVA, items, publish

from recsys.errors import UnknownChartError, UnknownPlaceError
from recsys.serving.lists.responses import Chart, chart_answer
from recsys.serving.snapshot.snapshot_reader import Published, open_published
from recsys.workspace import Workspace


@pytest.fixture
def published(workspace: Workspace) -> Published:
    publish(workspace, size=5)
    return open_published(workspace)


def test_an_answer_has_the_shape_of_the_contract(published: Published) -> None:
    answer = chart_answer(published, place_id=LISBON, chart="popular", limit=3)
    assert list(answer) == ["region", "scope", "chart", "as_of", "location_used", "why", "items", "list", "price"]
    assert answer["price"] is None  # nothing is known of it here
    assert answer["items"] == items(LISBON, size=3)
    assert answer["region"] == {
        "id": LISBON,
        "name": "Lisboa",
        "country": "Portugal",
        "level": "region",
        "parent": "PT",
        "centre": {"latitude": 38.7, "longitude": -9.1},
        "population": 500_000,
    }
    assert (answer["scope"], answer["chart"], answer["as_of"]) == ("region", "popular", "2026-10-31")
    assert answer["location_used"] is False
    assert answer["why"] == "Popular in Lisboa, Portugal, by listeners who contribute, over the 7 nights to 2026-10-31."
    TypeAdapter(Chart).validate_python(answer, strict=True)


@pytest.mark.parametrize(
    ("place", "scope", "source"),
    [
        (LISBON, "region", LISBON),
        (PORTO, "country", "PT"),
        ("PT", "country", "PT"),
        (SUVA, "world", "world"),
        ("FJ", "world", "world"),
    ],
)
def test_a_place_without_a_chart_gets_its_nearest_larger_places(
    published: Published, place: str, scope: str, source: str
) -> None:
    answer = chart_answer(published, place_id=place, chart="popular", limit=1)
    assert answer["region"]["id"] == place
    assert answer["scope"] == scope
    assert answer["items"][0]["title"] == f"Song 1 of {source}"
    assert ("has no chart of its own" in answer["why"]) == (place != source)


def test_unknown_names_are_told_apart(published: Published) -> None:
    with pytest.raises(UnknownPlaceError):
        chart_answer(published, place_id="XX", chart="popular", limit=1)
    with pytest.raises(UnknownChartError) as refusal:
        chart_answer(published, place_id="PT", chart="loudest", limit=1)
    assert refusal.value.hint == "Charts are: popular, rising, local."


def test_answers_need_no_web_framework() -> None:
    """The command line prints a chart without loading a server, and serving loads no frame or model library."""
    script = (
        "import sys, recsys.serving.lists.responses, recsys.serving.lists.trending\n"
        "heavy = {'fastapi', 'starlette', 'uvicorn', 'polars', 'pandas', 'pyarrow', 'implicit', 'sklearn', 'mlflow'}\n"
        "sys.exit(', '.join(heavy & set(sys.modules)) or 0)"
    )
    run = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
