"""What the endpoint says of itself is generated: where a setting, the atlas or the ledger changes, it changes."""

import json
import re
from html import unescape
from pathlib import Path

import h3
import pytest
from pydantic import TypeAdapter
from support.edge import LISBON, PORTO, SUVA, Client, publish

from recsys.artifacts.privacy_account import ACCOUNT
from recsys.consents.log import Purpose
from recsys.serving.openapi.examples_transparency import TRANSPARENCY
from recsys.serving.routes.transparency import Transparency
from recsys.settings import load_settings
from recsys.workspace import Workspace, replace_file

SPENT = {
    "at": "2026-11-01T04:00:00+00:00",
    "delta": 1e-6,
    "spent": [{"purpose": "charts", "nights": "last night", "releases": 1, "rho": 0.015, "epsilon": 0.77}],
    "meaning": "What <this> means for you.",
}


def said(workspace: Workspace, **overrides: dict[str, object]) -> Transparency:
    answer = Client(workspace, settings=load_settings(overrides=overrides)).get("/v1/transparency")
    return TypeAdapter(Transparency).validate_json(answer.content, strict=True)


def test_the_example_fits_its_schema() -> None:
    TypeAdapter(Transparency).validate_python(TRANSPARENCY, strict=True)


def test_settings_decide_what_it_says(workspace: Workspace) -> None:
    found = said(workspace, store={"nights": 41}, privacy={"most_per_night": 3}, consents={"controller": "Ana Ltd"})
    assert [each["kept"] for each in found["collected"]][:2] == ["41 nights", "41 nights"]
    assert any("41 nights" in text for text in found["not_private"])
    assert (found["privacy"]["most_per_night"], found["controller"]) == (3, "Ana Ltd")
    assert (found["privacy"]["most_per_28_nights"], found["privacy"]["most_per_365_nights"]) == (120, 1_000)
    assert {each["purpose"]: each["text"] for each in found["purposes"]} == {p.value: p.explained for p in Purpose}
    assert {each["default"] for each in found["purposes"]} == {"withdrawn"}


@pytest.mark.parametrize("resolution", [4, 5])
def test_the_area_of_a_cell_is_computed(workspace: Workspace, resolution: int) -> None:
    area = said(workspace, atlas={"finest_resolution": resolution})["area"]
    average = h3.average_hexagon_area(resolution, unit="km^2")
    assert area["average_cell_km2"] == round(average, 1)
    assert f"resolution {resolution} covers {average:,.0f} km²" in area["explained"]
    assert area["precise_by_law_km2"] == 3.14  # a radius of 1,000 m
    assert area["smallest_region_km2"] is None


def test_the_regions_are_those_of_the_snapshot(workspace: Workspace) -> None:
    publish(workspace, size=1)
    found = said(workspace)
    areas = [h3.cell_area(cell, unit="km^2") for cell in (LISBON, PORTO, SUVA)]
    assert (found["area"]["regions"], found["last_night"]) == (3, "2026-10-31")
    assert found["area"]["smallest_region_km2"] == round(min(areas), 1)
    assert found["area"]["largest_region_km2"] == round(max(areas), 1)


def test_what_was_spent_is_what_the_night_wrote(workspace: Workspace) -> None:
    assert said(workspace)["privacy"]["account"] is None
    replace_file(workspace.root / ACCOUNT, json.dumps(SPENT).encode())
    found = said(workspace)
    assert found["privacy"]["account"] == SPENT
    assert found["last_run"] == SPENT["at"]


def test_a_new_account_is_read_without_a_restart(workspace: Workspace) -> None:
    client = Client(workspace, settings=load_settings())
    assert client.get("/v1/transparency").json()["last_run"] is None
    for at in ("2026-11-01T04:00:00+00:00", "2026-11-02T04:00:00+00:00"):
        replace_file(workspace.root / ACCOUNT, json.dumps(SPENT | {"at": at}).encode())
        assert client.get("/v1/transparency").json()["last_run"] == at
    replace_file(workspace.root / ACCOUNT, b"{")
    assert client.get("/v1/transparency").json()["last_run"] is None


def test_the_page_says_the_same_and_needs_nothing_from_elsewhere(workspace: Workspace, tmp_path: Path) -> None:
    publish(workspace, size=1)
    replace_file(workspace.root / ACCOUNT, json.dumps(SPENT).encode())
    client = Client(workspace, settings=load_settings())
    page, found = client.get("/transparency"), client.get("/v1/transparency").json()
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page.headers["content-security-policy"]
    text = unescape(page.text)
    said = [*found["not_private"], found["area"]["explained"], found["contact"], found["last_run"], "0.77"]
    said += [each["text"] for each in found["purposes"]] + [each["how_coarse"] for each in found["collected"]]
    assert [each for each in said if each not in text] == []
    assert "What <this> means" not in page.text
    assert re.findall(r"(?:src|href)=\"(?!/|#|\?)[^\"]*\"", page.text) == []
    assert "contribute_trends" not in page.text, "purposes are called as the switches are"
    assert page.text.count("<script") == len(re.findall(r'<script(?: type="module")? src="/', page.text))


def test_the_page_stands_before_the_first_night(workspace: Workspace) -> None:
    page = Client(workspace, settings=load_settings()).get("/transparency")
    assert (page.status_code, "No night has written yet" in page.text) == (200, True)
