"""The contract as tools read it: references, bounds, names, examples, and nothing lost since the last release."""

import asyncio
import json
from collections.abc import Iterator
from datetime import date
from pathlib import Path
from typing import Any

import httpx
import jsonschema_rs
import pytest
from starlette.applications import Starlette
from support.edge import LISBON, Client, publish

from recsys.serving.app import routed
from recsys.serving.middleware.deprecation import Deprecation, Retirement
from recsys.settings import Settings
from recsys.workspace import Workspace

DOCS = Path(__file__).parents[2] / "docs"
LAST = json.loads((DOCS / "openapi-1.json").read_text(encoding="utf-8"))

Document = dict[str, Any]


@pytest.fixture(scope="module")
def document(settings: Settings) -> Document:
    found: Document = json.loads(json.dumps(routed(settings=settings).openapi()))
    return found


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    publish(workspace)
    return Client(workspace, settings=settings)


def walked(value: Any) -> Iterator[dict[str, Any]]:
    """Yield every object within a document."""
    if isinstance(value, dict):
        yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from walked(each)


def operations(document: Document) -> Iterator[tuple[str, Document]]:
    for path, methods in document["paths"].items():
        yield from ((f"{method.upper()} {path}", operation) for method, operation in methods.items())


def lost(before: Any, now: Any, *, at: str = "", documents: tuple[Document, Document] = (LAST, LAST)) -> Iterator[str]:
    """Yield what a contract had and another has not: requests, parameters, answers, fields of answers."""
    before, now = _resolved(before, documents[0]), _resolved(now, documents[1])
    if isinstance(before, dict) and isinstance(now, dict):
        for key in before.keys() - _WORDS:
            if key not in now:
                yield f"{at}/{key}"
            else:
                yield from lost(before[key], now[key], at=f"{at}/{key}", documents=documents)
    elif isinstance(before, list) and isinstance(now, list):
        if all(isinstance(each, str) for each in before):
            yield from (f"{at}/{each}" for each in before if each not in now and not at.endswith("required"))
        else:
            known = {_named(each): each for each in now}
            for each in before:
                name = _named(each)
                yield from (
                    lost(each, known[name], at=f"{at}/{name}", documents=documents)
                    if name in known
                    else [f"{at}/{name}"]
                )


# Words for readers; bounds and shapes of one value may become clearer.
_WORDS = {"description", "summary", "example", "examples", "title", "operationId", "tags", "const", "$ref", "$defs"}


def _resolved(value: Any, document: Document) -> Any:
    reference = value.get("$ref", "") if isinstance(value, dict) else ""
    if not reference.startswith("#/components/"):
        return value
    _, kind, name = reference.removeprefix("#/").split("/")
    return document["components"][kind][name]


def _named(each: Any) -> str:
    """Name a parameter, or a shape that a value may have."""
    return str(each.get("name") or each.get("type") or each.get("$ref")) if isinstance(each, dict) else str(each)


def test_nothing_is_lost_since_the_last_release(document: Document) -> None:
    """A field goes with a new version of the path alone, after its time with ``Deprecation`` and ``Sunset``."""
    assert list(lost(LAST["paths"], document["paths"], documents=(LAST, document))) == []


def test_what_is_lost_would_be_found(document: Document) -> None:
    changed = json.loads(json.dumps(document))
    del changed["components"]["schemas"]["Item"]["properties"]["lift"]
    del changed["paths"]["/healthz"]
    found = set(lost(LAST["paths"], changed["paths"], documents=(LAST, changed)))
    assert "//healthz" in found
    assert any(each.endswith("/properties/lift") for each in found)


def test_every_reference_leads_somewhere(document: Document) -> None:
    references = {each["$ref"] for each in walked(document) if isinstance(each.get("$ref"), str)}
    for reference in references:
        value: Any = document
        for step in reference.removeprefix("#/").split("/"):
            value = value[step]
    assert references


def test_no_value_is_a_constant_among_others(document: Document) -> None:
    """A generated Python client takes a ``const`` for given, and cannot read the other shapes."""
    assert not [each for each in walked(document) if any("const" in shape for shape in each.get("anyOf", ()))]


def test_requests_have_names_tags_bounds_and_say_whether_they_need_a_token(document: Document) -> None:
    found = dict(operations(document))
    names = [operation["operationId"] for operation in found.values()]
    assert len(set(names)) == len(names)
    assert all(name.isidentifier() and "__" not in name for name in names), names
    described = {tag["name"] for tag in document["tags"]}
    for name, operation in found.items():
        assert set(operation["tags"]) <= described, name
        personal = (" /v1/me/" in name and "erasures" not in name) or " /v1/voice/" in name
        assert bool(operation["security"]) == personal, name
        for parameter in operation.get("parameters", ()):
            if parameter["name"] == "limit":
                assert parameter["schema"]["anyOf"][0]["maximum"] == (20_000 if name.endswith("/regions") else 100)
    assert document["servers"]


def test_every_example_fits_its_schema(document: Document) -> None:
    checked = 0
    for content in (each for each in walked(document["paths"]) if "schema" in each):
        examples = [each["value"] for each in content.get("examples", {}).values()]
        examples += [content["example"]] if "example" in content else []
        for example in examples if isinstance(content["schema"], dict) else ():
            jsonschema_rs.validate({**content["schema"], "components": document["components"]}, example)
            checked += 1
    assert checked > 20


def test_places_are_found_by_id_level_and_parent(client: Client) -> None:
    def ids(query: str) -> list[str]:
        return [each["id"] for each in client.get(f"/v1/regions?{query}").json()["regions"]]

    assert ids("q=pt")[0] == ids("q=PT")[0] == "PT"
    assert ids("level=country") == ["PT", "FJ"]
    assert ids("level=country&q=fij") == ["FJ"]
    assert ids("parent=pt&level=region") == ids("parent=PT")
    assert set(ids("parent=world")) == {"PT", "FJ"}
    assert ids("level=world") == ["world"]
    assert ids("parent=XX") == []
    assert client.get("/v1/regions?level=town").status_code == 400
    drawn = client.get("/v1/regions?parent=PT", headers={"Accept": "application/geo+json"}).json()["features"]
    assert {each["id"] for each in drawn} == set(ids("parent=PT"))


def test_a_list_goes_on_where_it_ended(client: Client, workspace: Workspace) -> None:
    whole = client.get("/v1/regions").json()
    assert "next" not in whole
    parts, cursor = [], ""
    for _ in range(3):
        found = client.get(f"/v1/regions?limit=2{cursor}").json()
        parts += found["regions"]
        cursor = f"&cursor={found['next']}" if "next" in found else ""
    assert (parts, cursor) == (whole["regions"], "")
    old = client.get("/v1/regions?limit=2").json()["next"]
    publish(workspace, as_of="2026-11-01")
    for wrong in (old, "2", "x", f"{old}1", "９" + old[1:]):
        refused = client.get(f"/v1/regions?cursor={wrong}")
        assert (refused.status_code, refused.json()["type"]) == (400, "/problems/bad-input")


def test_a_place_has_an_address_of_its_own(client: Client) -> None:
    for asked in ("PT", "pt", "World", LISBON, LISBON.upper()):
        assert client.get(f"/v1/regions/{asked}").json()["id"].casefold() == asked.casefold()
    assert client.get("/v1/regions/fj").json()["name"] == "Fiji"
    assert client.get("/v1/regions/XX").status_code == 404
    assert client.get("/v1/regions/PT?limit=1").status_code == 400
    assert client.get("/v1/regions/pt/charts/popular").json() == client.get("/v1/regions/PT/charts/popular").json()


@pytest.mark.parametrize("path", ["/v1/regions", "/v1/regions/PT", "/v1/regions/PT/charts/popular", "/healthz"])
@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH", "DELETE"])
@pytest.mark.parametrize("body", [b"", b"{}", b"x" * 100_000])
def test_a_wrong_method_is_told_whatever_its_body(client: Client, path: str, method: str, body: bytes) -> None:
    answer = client.request(method, path, content=body)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET, HEAD")


def test_what_is_to_go_says_so_with_every_answer() -> None:
    retirement = Retirement("/v1/regions/{id}", date(2027, 1, 1), date(2027, 7, 1), "https://docs.example/next")

    async def said(path: str) -> dict[str, str]:
        app = Deprecation(Starlette(), retiring=[retirement])
        async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://x") as client:
            return dict((await client.get(path)).headers)

    found = asyncio.run(said("/v1/regions/PT"))
    assert found["deprecation"] == "@1798761600"
    assert found["sunset"] == "Thu, 01 Jul 2027 00:00:00 GMT"
    assert found["link"] == '<https://docs.example/next>; rel="deprecation"'
    assert not {"deprecation", "sunset"} & asyncio.run(said("/v1/regions/PT/charts/popular")).keys()
