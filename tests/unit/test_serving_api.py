"""The contract of section 3.4, request by request."""

import json

import pytest
from pydantic import TypeAdapter
from support.edge import LISBON, PORTO, Client, bearer, decide, listed, publish

from recsys.consents.log import State
from recsys.errors import RecsysError
from recsys.serving import middleware
from recsys.serving.lists.responses import Chart, FeatureCollection, Regions, chart_answer
from recsys.serving.middleware import position_filter
from recsys.serving.middleware.position_filter import refusal_of
from recsys.serving.openapi.examples import CHART, GEOJSON_REGIONS, PROBLEM, REGIONS, TRENDING
from recsys.serving.requests.problems import Problem, problem_of
from recsys.serving.snapshot.snapshot_reader import open_published
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    publish(workspace)
    return Client(workspace, settings=settings)


def test_regions_are_found_by_name(client: Client) -> None:
    answer = client.get("/v1/regions", params={"q": "pórto", "limit": 1})
    assert answer.status_code == 200
    assert answer.headers["vary"] == "Accept, Accept-Encoding"
    (region,) = TypeAdapter(Regions).validate_json(answer.content, strict=True)["regions"]
    assert (region["id"], region["name"], region["country"], region["level"]) == (PORTO, "Pôrto", "Portugal", "region")


@pytest.mark.parametrize("accept", ["application/geo+json", "Application/Geo+JSON;q=0.9, */*;q=0.1"])
def test_regions_come_as_geojson_where_asked(client: Client, accept: str) -> None:
    answer = client.get("/v1/regions", headers={"Accept": accept})
    assert answer.headers["content-type"] == "application/geo+json"
    assert len(TypeAdapter(FeatureCollection).validate_json(answer.content)["features"]) == 3


def test_a_chart_is_what_the_command_line_prints(client: Client, workspace: Workspace) -> None:
    for place in (LISBON, PORTO, "PT", "world"):
        expected = chart_answer(open_published(workspace), place_id=place, chart="popular", limit=4)
        answer = client.get(f"/v1/regions/{place}/charts/popular?limit=4")
        assert answer.json() == expected
        TypeAdapter(Chart).validate_json(answer.content, strict=True)


def test_lists_are_as_long_as_the_settings_say(workspace: Workspace) -> None:
    publish(workspace)
    client = Client(workspace, settings=load_settings(overrides={"charts": {"size": 60}, "serving": {"list_size": 7}}))
    url = "/v1/regions/PT/charts/popular"
    assert len(client.get(url).json()["items"]) == 7
    assert len(client.get(url, params={"limit": 60}).json()["items"]) == 60
    for limit in (0, -1, 61, 10**30, "ten", ""):
        assert client.get(url, params={"limit": limit}).status_code == 400


def test_unknown_places_and_charts_are_404(client: Client) -> None:
    place, chart = client.get("/v1/regions/atlantis/charts/popular"), client.get("/v1/regions/PT/charts/loudest")
    assert (place.status_code, place.json()["type"]) == (404, "/problems/unknown-place")
    assert (chart.status_code, chart.json()["type"]) == (404, "/problems/unknown-chart")
    assert "atlantis" not in place.text
    assert "loudest" not in chart.text


def test_trending_follows_the_cell_of_who_allows_it(client: Client, workspace: Workspace, settings: Settings) -> None:
    decide(workspace, "ana", State.GIVEN)
    answer = client.get(
        f"/v1/me/trending?cell={LISBON}&limit=3", headers=bearer("ana", workspace=workspace, settings=settings)
    )
    assert answer.headers["cache-control"] == "private, no-store"
    assert answer.json()["items"] == listed(LISBON, size=3)
    assert answer.json()["location_used"] is True


@pytest.mark.parametrize(
    "url",
    [
        "/v1/regions?unheard=of",
        "/v1/regions/PT/charts/popular?q=x",
        "/v1/me/trending?access_token=canary",
        "/v1/regions?Q=x",
    ],
)
def test_other_parameters_are_refused_unrepeated(
    client: Client, workspace: Workspace, settings: Settings, url: str
) -> None:
    answer = client.get(url, headers=bearer("ana", workspace=workspace, settings=settings))
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-input")
    assert answer.json()["detail"] == "there is a parameter that this request does not have"


def test_who_is_asking_is_asked_before_what(client: Client) -> None:
    for url in ("/v1/me/trending?access_token=canary", "/v1/me/trending?limit=canary", "/v1/me/trending?cell=canary"):
        answer = client.get(url)
        assert (answer.status_code, "canary" in answer.text) == (401, False)


def test_a_parameter_of_ours_is_named_but_its_value_is_not(client: Client) -> None:
    answer = client.get("/v1/regions", params={"q": "x" * 101, "limit": "canary"})
    assert answer.json()["detail"] == "limit does not fit; q does not fit"
    assert "canary" not in answer.text


@pytest.mark.parametrize(
    ("method", "url", "status", "kind"),
    [
        ("GET", "/v1/canary", 404, "/problems/not-found"),
        ("GET", "/v1/regions/", 404, "/problems/not-found"),  # a redirect would repeat the query
        ("GET", "/docs", 404, "/problems/not-found"),
        ("POST", "/v1/regions", 405, "/problems/method-not-allowed"),
        ("CANARY", "/v1/regions", 405, "/problems/method-not-allowed"),
        ("GET", "/v1/me/trending", 401, "/problems/identity"),
    ],
)
def test_every_error_is_a_problem(client: Client, method: str, url: str, status: int, kind: str) -> None:
    answer = client.request(method, url)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = TypeAdapter(Problem).validate_json(answer.content, strict=True)
    assert (problem["type"], problem["status"]) == (kind, status)
    assert problem["hint"]
    assert "canary" not in answer.text.lower()
    assert ("allow" in answer.headers) == (status == 405)


def test_every_family_of_errors_has_its_problem() -> None:
    families = [RecsysError]
    for family in families:
        families.extend(family.__subclasses__())
    own = [family for family in families if "problem" in vars(family)]
    assert {family.__name__ for family in families} - {family.__name__ for family in own} == {
        "FrameError",
        "ListsError",
    }
    problems = [(family, json.loads(bytes(problem_of(family("message", hint="hint")).body))) for family in families]
    assert len({problem["type"] for _, problem in problems}) == len(own)  # a notebook's are no answers of the endpoint
    for family, problem in problems:
        assert problem["status"] == family.status
        assert ("message" in problem["detail"]) == (family.status < 500)  # what the server says of itself stays inside


def test_an_unexpected_failure_tells_nothing(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("canary")

    monkeypatch.setattr("recsys.serving.routes.charts.regions_answer", broken)
    answer = client.get("/v1/regions?q=canary")
    assert (answer.status_code, answer.json()["type"]) == (500, "/problems/internal")
    log = "".join(capsys.readouterr())
    assert "ZeroDivisionError" in log
    assert "canary" not in answer.text + log


def test_the_probes_say_whether_there_is_something_to_serve(workspace: Workspace, settings: Settings) -> None:
    client = Client(workspace, settings=settings)
    assert client.get("/healthz").json() == {"status": "ok"}
    for url in ("/readyz", "/v1/regions", "/v1/regions/world/charts/popular"):
        answer = client.get(url)
        assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
        assert str(workspace.root) not in answer.text
    name = publish(workspace, size=1)
    assert client.get("/readyz").json() == {
        **{"status": "ready", "snapshot": name, "as_of": "2026-10-31"},
        **{"old": False, "why": ""},
    }


def test_an_app_can_start_before_its_workspace_exists(workspace: Workspace, settings: Settings) -> None:
    elsewhere = Workspace(workspace.root / "new" / "workspace")
    assert Client(elsewhere, settings=settings).get("/healthz").status_code == 200


def test_a_consent_log_that_cannot_be_read_is_503_and_not_a_yes(
    client: Client, workspace: Workspace, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    decide(workspace, "ana", State.GIVEN)
    assert client.get("/healthz").status_code == 200
    for path in workspace.root.glob("consents.db*"):
        path.unlink()
    answer = client.get(f"/v1/me/trending?cell={LISBON}", headers=bearer("ana", workspace=workspace, settings=settings))
    assert (answer.status_code, answer.json()["type"]) == (503, "/problems/not-ready")
    assert str(workspace.root) not in answer.text


def test_the_access_line_holds_six_facts(
    client: Client, workspace: Workspace, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    decide(workspace, "ana", State.GIVEN)
    capsys.readouterr()
    client.get(f"/v1/me/trending?cell={LISBON}", headers=bearer("ana", workspace=workspace, settings=settings))
    client.request("CANARY", "/v1/canary")
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    near, other = [line for line in lines if line["event"] == "request"]
    assert near["timestamp"].endswith("Z")
    assert near.keys() == {"event", "level", "timestamp", "request_id", "method", "route", "status", "scope", "ms"}
    assert [near[fact] for fact in ("method", "route", "status", "scope")] == ["GET", "/v1/me/trending", 200, "region"]
    assert [other[fact] for fact in ("method", "route", "status", "scope")] == ["other", None, 404, None]


def test_the_openapi_document_describes_every_request_with_examples(client: Client) -> None:
    document = client.get("/openapi.json").json()
    assert set(document["paths"]) == {
        "/v1/regions",
        "/v1/regions/all",
        "/v1/regions/map",
        "/v1/regions/{id}",
        "/v1/regions/{id}/charts/{chart}",
        "/v1/regions/{id}/next-week",
        "/v1/releases",
        "/v1/search",
        "/v1/tracks/{id}",
        "/v1/artists/{id}",
        "/v1/me/trending",
        "/v1/me/twin",
        "/v1/me/feedback",
        "/v1/voice/intent",
        "/v1/me/contacts",
        "/v1/me/contacts/blinded",
        "/v1/me/contacts/trending",
        "/v1/me/consents",
        "/v1/me/consents/{purpose}",
        "/v1/me/consents/receipts",
        "/v1/me/images",
        "/v1/me/images/profile",
        "/v1/me/images/covers/{list}",
        "/v1/images/{name}",
        "/v1/me/data",
        "/v1/me/data/erasures/{receipt}",
        "/v1/transparency",
        "/transparency",
        "/.well-known/gpc.json",
        "/healthz",
        "/readyz",
        "/metrics",
    }
    operations = [(path, one) for path, methods in document["paths"].items() for one in methods.values()]
    for path, operation in operations:
        assert operation["summary"], path
        assert operation["description"], path
        assert "422" not in operation["responses"], path
        assert all(parameter["description"] for parameter in operation.get("parameters", ())), path
        if path.startswith("/v1"):
            answers = [found for status, found in operation["responses"].items() if status in {"200", "202"}]
            assert all("example" in content for found in answers for content in found["content"].values()), path
    assert document["paths"]["/v1/me/trending"]["get"]["security"]


def test_the_examples_fit_their_schemas() -> None:
    for example, schema in [
        (CHART, Chart),
        (TRENDING, Chart),
        (REGIONS, Regions),
        (GEOJSON_REGIONS, FeatureCollection),
    ]:
        TypeAdapter(schema).validate_python(example, strict=True)
    assert json.loads(bytes(problem_of(_refused()).body)) == PROBLEM


def _refused() -> RecsysError:
    refusal = refusal_of({"type": "http", "path": "/", "query_string": b"lat=1", "headers": []})
    assert refusal is not None
    return refusal


def test_no_refused_position_stays_in_memory(client: Client) -> None:
    kept = (position_filter._remembered_question, position_filter._remembered_header)
    client.get("/v1/regions?q=lisboa")
    before = [each.cache_info().currsize for each in kept]
    for url, headers in (("/v1/regions?q=38.7167,-9.1333", {}), ("/v1/regions?q=lisboa", {"X-Where": "38.716,-9.133"})):
        assert client.get(url, headers=headers).json()["type"] == "/problems/position"
    assert [each.cache_info().currsize for each in kept] == before


def test_the_walk_through_the_middleware_is_the_one_that_is_written_down(workspace: Workspace) -> None:
    settings = load_settings(overrides={"serving": {"cors_origins": ["https://app.example"]}})
    walked = [each.cls.__module__ for each in Client(workspace, settings=settings).app.layers]
    ours = [name.rpartition(".")[2] for name in walked if name.startswith(middleware.__name__)]
    assert ", ".join(ours) in str(middleware.__doc__)
