"""What holds for every answer: caching, other origins, names of requests, limits, probes, metrics, and the contract."""

import hashlib
import json
import re
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from httpx import Response
from prometheus_client.parser import text_string_to_metric_families
from support.edge import AS_OF, LISBON, NOW, Client, bearer, decide, keep_nights, publish

from recsys.consents.log import ConsentLog, State
from recsys.serving.requests.rate_limit import Limits
from recsys.serving.requests.request_id import request_id
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace, listener_of

OPENAPI = Path(__file__).parents[2] / "docs" / "openapi.json"
CHART = f"/v1/regions/{LISBON}/charts/popular"
APP = "https://app.example"
LIMITS = {"RateLimit-Policy", "RateLimit"}


def set_to(workspace: Workspace, **serving: object) -> Client:
    publish(workspace)
    return Client(workspace, settings=load_settings(overrides={"serving": serving}))


@pytest.fixture
def client(workspace: Workspace) -> Client:
    return set_to(workspace)


def test_the_contract_is_the_committed_one(client: Client) -> None:
    """Where this fails, the contract changes: `make openapi` writes it anew, for a reviewer to see."""
    assert json.loads(OPENAPI.read_text(encoding="utf-8")) == client.get("/openapi.json").json()


@pytest.mark.parametrize(
    ("path", "status", "names"),
    [
        ("/v1/regions/{id}/charts/{chart}", "200", {"ETag", "Cache-Control", "Vary"}),
        ("/v1/regions/{id}/charts/{chart}", "304", {"ETag", "Cache-Control", "Vary"}),
        ("/v1/me/trending", "200", {"Cache-Control", *LIMITS, "X-Request-Id"}),
        ("/v1/me/trending", "401", {"Cache-Control", *LIMITS, "X-Request-Id", "WWW-Authenticate"}),
        ("/v1/me/trending", "429", {"Cache-Control", *LIMITS, "X-Request-Id", "Retry-After"}),
        ("/healthz", "200", {"X-Request-Id"}),
    ],
)
def test_the_contract_names_the_headers_of_an_answer(client: Client, path: str, status: str, names: set[str]) -> None:
    document = client.get("/openapi.json").json()
    assert document["paths"][path]["get"]["responses"][status]["headers"].keys() == names
    assert names <= document["components"]["headers"].keys()


def test_answers_have_the_headers_that_the_contract_names(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    keep_nights(workspace, nights=2)
    document = client.get("/openapi.json").json()
    ana = bearer("ana", workspace=workspace, settings=settings)
    described = {name.casefold() for name in document["components"]["headers"]}
    for path, operations in document["paths"].items():
        url = next((path.replace(kind, f"{kind[:-4]}{id_}") for kind, id_ in IDS.items() if kind in path), path)
        answer = client.get(
            url.format(chart="popular", purpose="x", receipt="x", list="twin", name="x"),
            headers=ana if "/me/" in path else {},
        )
        responses = operations.get("get", {}).get("responses", {})
        if answer.status_code == 200:
            named = {name.casefold() for name in responses["200"].get("headers", {})}
            assert described & set(answer.headers) == named, path


IDS = {"/regions/{id}": LISBON, "/tracks/{id}": "track-1", "/artists/{id}": "ünits"}


def test_the_contract_names_headers_of_requests_and_the_types_of_problems(client: Client) -> None:
    document = client.get("/openapi.json").json()
    taken = {
        path: {parameter["name"] for parameter in operations["get"].get("parameters", [])}
        for path, operations in document["paths"].items()
        if "get" in operations
    }
    assert {path for path, names in taken.items() if "Sec-GPC" in names} == {
        "/v1/me/trending",
        "/v1/me/twin",
        "/v1/me/contacts",
        "/v1/me/contacts/trending",
        "/v1/me/consents",
        "/v1/me/consents/receipts",
        "/v1/me/data",
        "/v1/me/images",
        "/v1/me/images/profile",
        "/v1/me/images/covers/{list}",
    }
    for path, names in taken.items():
        assert ("If-None-Match" in names) == ("304" in document["paths"][path]["get"]["responses"])
    assert "Location" in document["paths"]["/v1/me/data"]["delete"]["responses"]["202"]["headers"]
    assert "/problems/stale-notice" in document["components"]["schemas"]["Problem"]["properties"]["type"]["enum"]
    assert {"200", "default"} == document["paths"]["/healthz"]["get"]["responses"].keys()


@pytest.mark.parametrize("url", [CHART, "/v1/regions?q=li", "/v1/transparency"])
def test_public_answers_have_a_tag_and_are_not_sent_twice(client: Client, workspace: Workspace, url: str) -> None:
    first = client.get(url, headers={"Accept-Encoding": "identity"})  # its bytes, as the tag is of what is sent
    tag = first.headers["etag"]
    digest = hashlib.sha256(first.content).hexdigest()
    assert tag == f'"{int(digest[:8], 16) >> 1:x}-{len(first.content):x}"'  # strong, and what nginx makes of a file
    assert first.headers["cache-control"] == "public, max-age=300, stale-while-revalidate=3600"
    for known in (tag, f'"other", {tag}', f"W/{tag}", "*"):
        same = client.get(url, headers={"If-None-Match": known, "Accept-Encoding": "identity"})
        assert (same.status_code, same.content, same.headers["etag"]) == (304, b"", tag)
        assert same.headers["cache-control"] == first.headers["cache-control"]
        assert same.headers.get("vary") == first.headers.get("vary")
    for unknown in ('"other"', tag.strip('"')):
        assert (
            client.get(url, headers={"If-None-Match": unknown, "Accept-Encoding": "identity"}).content == first.content
        )
    assert client.get(url, headers={"Accept-Encoding": "identity"}).headers["etag"] == tag


def test_a_new_snapshot_has_new_tags(client: Client, workspace: Workspace) -> None:
    old = client.get(CHART)
    assert client.get(CHART).content == old.content
    publish(workspace, as_of="2026-11-01", size=3)
    new = client.get(CHART, headers={"If-None-Match": old.headers["etag"]})
    assert (new.status_code, len(new.json()["items"])) == (200, 3)


def test_how_long_others_keep_an_answer_is_a_setting(workspace: Workspace) -> None:
    client = set_to(workspace, cache_seconds=0, stale_seconds=7)
    assert client.get(CHART).headers["cache-control"] == "public, max-age=0, stale-while-revalidate=7"


def test_answers_to_a_listener_are_kept_by_nobody(client: Client, workspace: Workspace, settings: Settings) -> None:
    ana = bearer("ana", workspace=workspace, settings=settings)
    for answer in (client.get("/v1/me/trending", headers=ana), client.get("/v1/me/trending"), client.get("/v1/me/x")):
        assert answer.headers.get_list("cache-control") == ["private, no-store"]
        assert "etag" not in answer.headers


@pytest.mark.parametrize("url", [CHART, "/v1/regions", "/v1/regions?q=li", "/v1/transparency", "/.well-known/gpc.json"])
def test_what_a_cache_sends_to_others_is_about_no_asker(client: Client, url: str) -> None:
    """`RateLimit-*` of one asker would slow down another, and a request's name is nobody else's."""
    first = client.get(url, headers={"X-Request-Id": "0f8fad5bd9cb469fa16570867728950e"})
    same = client.get(url, headers={"If-None-Match": first.headers.get("etag", "")})
    head = client.request("HEAD", url)
    for answer in (first, same, head):
        assert answer.headers["cache-control"].startswith("public")
        assert not {name for name in answer.headers if name.startswith(("ratelimit", "x-request"))}
    assert "x-request-id" in client.get("/v1/x").headers


def test_no_page_elsewhere_may_call_by_default(client: Client) -> None:
    answer = client.get(CHART, headers={"Origin": APP})
    assert not [name for name in answer.headers if name.startswith("access-control")]
    preflight = {"Origin": APP, "Access-Control-Request-Method": "GET"}
    assert client.request("OPTIONS", CHART, headers=preflight).status_code == 405


def test_the_pages_of_the_settings_may_call(workspace: Workspace) -> None:
    client = set_to(workspace, cors_origins=[APP])
    answer = client.get(CHART, headers={"Origin": APP})
    assert answer.headers["access-control-allow-origin"] == APP
    assert "ETag" in answer.headers["access-control-expose-headers"]
    assert "access-control-allow-credentials" not in answer.headers
    for other in ({"Origin": "https://else.example"}, {}):
        answer = client.get(CHART, headers=other)
        assert "access-control-allow-origin" not in answer.headers
        assert "Origin" in answer.headers["vary"]  # or a cache would hand it to the page that may
    asked = {"Access-Control-Request-Method": "PUT", "Access-Control-Request-Headers": "authorization, content-type"}
    allowed = client.request("OPTIONS", "/v1/me/consents/local_trends", headers={"Origin": APP, **asked})
    assert (allowed.status_code, allowed.headers["access-control-allow-origin"]) == (200, APP)
    assert "PUT" in allowed.headers["access-control-allow-methods"]
    refused = client.request("OPTIONS", CHART, headers={"Origin": "https://else.example", **asked})
    assert (refused.status_code, refused.headers["content-type"]) == (400, "application/problem+json")
    hidden = client.get("/v1/regions?lat=1", headers={"Origin": APP})
    assert (hidden.json()["type"], hidden.headers["access-control-allow-origin"]) == ("/problems/position", APP)


@pytest.mark.parametrize("path", ["/", CHART, "/v1/regions", "/healthz", "/v1/me/data", "/nothing"])
def test_head_is_what_get_would_answer_without_its_body(client: Client, path: str) -> None:
    asked, got = client.request("HEAD", path), client.get(path)
    assert (asked.status_code, asked.content) == (got.status_code, b"")
    assert asked.headers["content-length"] == got.headers["content-length"]


def test_what_an_address_cannot_do_names_all_that_it_can(client: Client) -> None:
    documented = client.get("/openapi.json").json()["paths"]
    addresses = {path: {method.upper() for method in methods} for path, methods in documented.items()}
    addresses |= {"/": {"GET"}, "/openapi.json": {"GET"}}
    assert addresses["/v1/me/data"] == {"GET", "DELETE"}
    addresses["/v1/me/consents/receipts"].add("PUT")  # which is answered there: no switch has that name
    for path, methods in addresses.items():
        can = methods | ({"HEAD"} if "GET" in methods else set())
        for method in {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"} - can:
            answer = client.request(method, re.sub(r"{\w+}", "x", path))
            assert (answer.status_code, answer.headers["allow"]) == (405, ", ".join(sorted(can))), (method, path)
            assert answer.headers["content-type"] == "application/problem+json"


def test_all_places_at_once_are_made_once_and_packed(client: Client) -> None:
    map_ = {"Accept": "application/geo+json"}
    ways = [{**map_, "Accept-Encoding": each} for each in ("identity", "gzip")]
    plain, packed = (client.get("/v1/regions", headers=way) for way in ways)
    assert "content-encoding" not in plain.headers
    assert packed.headers["content-encoding"] == "gzip"
    assert packed.json() == plain.json()
    assert packed.json()["type"] == "FeatureCollection"
    assert packed.headers["etag"] != plain.headers["etag"]
    again = client.get("/v1/regions", headers={**ways[1], "If-None-Match": packed.headers["etag"]})
    assert again.status_code == 304
    assert "regions" in client.get("/v1/regions", headers={"Accept-Encoding": "gzip"}).json()


def test_a_chart_is_packed_for_who_takes_it_and_has_a_tag_for_either_way(client: Client) -> None:
    plain, packed = (client.get(CHART, headers={"Accept-Encoding": each}) for each in ("identity", "gzip"))
    assert (packed.headers["content-encoding"], packed.json()) == ("gzip", plain.json())
    assert 4 * int(packed.headers["content-length"]) < int(plain.headers["content-length"])
    assert plain.headers["vary"] == packed.headers["vary"] == "Accept-Encoding"
    assert plain.headers["etag"] != packed.headers["etag"]
    for coding, answer, other in (("identity", plain, packed), ("gzip", packed, plain)):
        for tag, status in ((answer.headers["etag"], 304), (other.headers["etag"], 200)):
            again = client.get(CHART, headers={"Accept-Encoding": coding, "If-None-Match": tag})
            assert (again.status_code, again.headers["etag"]) == (status, answer.headers["etag"])
            assert again.headers["vary"] == "Accept-Encoding"
            assert status == 200 or "content-encoding" not in again.headers


@pytest.mark.parametrize(
    ("accepted", "coding"),
    [
        ("br, gzip;q=0.5", "gzip"),
        ("GZIP", "gzip"),
        ("*", "gzip"),
        ("", None),
        ("br", None),
        ("gzip; q=0", None),
        ("gzip;q=0.000, *", None),
        ("identity, *;q=0", None),
    ],
)
def test_who_takes_gzip(client: Client, accepted: str, coding: str | None) -> None:
    assert client.get(CHART, headers={"Accept-Encoding": accepted}).headers.get("content-encoding") == coding


def test_what_is_short_or_about_a_listener_is_never_packed(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    """What a stranger can add to beside a secret must not be packed: the length would tell (BREACH)."""
    ana = {**bearer("ana", workspace=workspace, settings=settings), "Accept-Encoding": "gzip"}
    for url in (f"{CHART}?limit=1", "/v1/me/trending", "/v1/me/twin", "/v1/me/consents", "/v1/me/consents/receipts"):
        assert "content-encoding" not in client.get(url, headers=ana).headers


def test_headers_beyond_what_is_looked_at_are_refused(client: Client) -> None:
    answer = client.get(CHART, headers={"X-Long": "1.22" + " " * 17_000 + "x"})
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-input")


def test_a_length_that_is_no_length_is_refused(client: Client) -> None:
    path = "/v1/me/consents/local_trends"
    answer = client.request("PUT", path, headers={"Content-Length": "0" * 4_500 + "5"})
    assert answer.status_code == 400


@pytest.mark.parametrize(
    "name", ["0f8fad5b-d9cb-469f-a165-70867728950e", "4bf92f3577b34da6a3ce929d0e0e4736", "01J9ZK7V5QX8M2T4B6N8P0R2S4"]
)
def test_a_plain_name_of_a_request_is_taken_over(client: Client, name: str) -> None:
    assert client.get("/healthz", headers={"X-Request-Id": name}).headers["x-request-id"] == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "short",
        "x" * 65,
        "with space",
        'quote"d',
        "3871667091333",
        "38.71667-9.13333",
        "38-9-12345678",
        LISBON,
        f"x{LISBON}",
        LISBON.upper(),
        "eyJhbGciOiJIUzI1NiJ9",
        "a.b.cdefghijk",
        "line\tfeed",
        "ünïcödeünïcöde",
    ],
)
def test_a_name_that_could_be_something_else_is_replaced(name: str) -> None:
    made = request_id([(b"x-request-id", name.encode("latin-1"))])
    assert re.fullmatch(r"[0-9a-f]{16}", made)
    assert made != request_id(())


def test_a_request_is_not_named_after_its_listener(
    client: Client, workspace: Workspace, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    user, ana = "anaanaana7", bearer("anaanaana7", workspace=workspace, settings=settings)
    urls = ("/v1/me/trending", "/v1/me/trending?lat=1", CHART, f"{CHART}?lat=1", "/v1/me/data/erasures/x", "/nothing")
    for name in (user, listener_of(user, key=workspace.listener_key())):
        for url in urls:
            answer = client.get(url, headers={**ana, "X-Request-Id": name})
            assert name not in str(answer.headers)
            assert name not in "".join(capsys.readouterr())
    plain = "0f8fad5bd9cb469fa16570867728950e"
    assert client.get("/v1/me/trending", headers={**ana, "X-Request-Id": plain}).headers["x-request-id"] == plain


def test_the_name_is_in_the_log(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    name = client.get("/v1/canary").headers["x-request-id"]
    assert f'"request_id": "{name}"' in "".join(capsys.readouterr())


def allowance(answer: Response) -> tuple[str, int, int]:
    """The policy, the requests that are left and the seconds until the window ends, as the draft's syntax has them."""
    found = re.fullmatch(r'"(\w+)";r=(\d+);t=(\d+)', answer.headers["ratelimit"])
    assert found
    return found[1], int(found[2]), int(found[3])


def test_listeners_are_limited_each_and_alike(workspace: Workspace) -> None:
    client = set_to(workspace, listener_requests=3, address_requests=5)
    settings = load_settings()
    decide(workspace, "ana", State.GIVEN)
    ana, ben = (bearer(who, workspace=workspace, settings=settings) for who in ("ana", "ben"))
    seen = {}
    for who, headers in (("ana", ana), ("ben", ben)):
        answers = client.all([("GET", f"/v1/me/trending?cell={LISBON}", {"headers": headers})] * 5)
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429, 429]
        seen[who] = [(answer.headers["ratelimit-policy"], *allowance(answer)[:2]) for answer in answers]
        refused = answers[-1]
        assert refused.json()["type"] == "/problems/too-many-requests"
        assert refused.headers["content-type"] == "application/problem+json"
        assert int(refused.headers["retry-after"]) == allowance(refused)[2]
        assert 1 <= int(refused.headers["retry-after"]) <= 61
        assert {answer.headers["cache-control"] for answer in answers} == {"private, no-store"}
    assert seen["ana"] == seen["ben"] == [('"listener";q=3;w=60', "listener", left) for left in (2, 1, 0, 0, 0)]
    charts = [client.get(CHART) for _ in range(6)]  # nobody used up what addresses may
    assert [answer.status_code for answer in charts] == [200, 200, 200, 200, 200, 429]
    assert charts[-1].headers["ratelimit-policy"] == '"address";q=5;w=60'
    assert allowance(charts[-1])[:2] == ("address", 0)
    assert client.get("/v1/me/trending").status_code == 429  # without a token one is an address
    assert client.get("/healthz").status_code == client.get("/readyz").status_code == 200


def test_without_a_limit_there_is_no_header(workspace: Workspace) -> None:
    answer = set_to(workspace, address_requests=0).get("/v1/me/trending")
    assert not [name for name in answer.headers if name.startswith("ratelimit")]


def test_a_window_ends_and_the_next_begins() -> None:
    clock = iter([0.0, 1.0, 59.9, 60.0, 60.1])
    settings = load_settings(overrides={"serving": {"address_requests": 2}}).serving
    limits = Limits(settings, clock=lambda: next(clock))
    found = [limits.of_address("192.0.2.7") for _ in range(5)]
    assert [(one.remaining, one.reset) for one in found if one] == [(1, 61), (0, 60), (-1, 1), (1, 61), (0, 60)]


def test_addresses_are_kept_as_hashes_and_networks_count_as_one() -> None:
    limits = Limits(load_settings().serving)
    remaining = [limits.of_address(address) for address in ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")]
    assert [one.limit - one.remaining for one in remaining if one] == [1, 2, 1]
    assert "2001" not in str(limits._addresses)
    other = Limits(load_settings().serving)
    other.of_address("2001:db8::1")
    assert not set(other._addresses) & set(limits._addresses)


def test_addresses_beyond_all_bounds_share_and_listeners_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.serving.requests.rate_limit._MOST", 2)
    limits = Limits(load_settings().serving)
    found = [limits.of_address(f"192.0.2.{last}") for last in (1, 2, 3, 4, 1)]
    assert [one.limit - one.remaining for one in found if one] == [1, 1, 1, 2, 2]
    found = [limits.of_listener(who) for who in ("a", "b", "a", "c", "a", "b")]
    assert [one.limit - one.remaining for one in found if one] == [1, 1, 2, 1, 3, 1]  # who was away longest begins anew
    assert len(limits._listeners) == 2


def test_a_proxy_of_ours_says_who_asks(workspace: Workspace) -> None:
    client = set_to(workspace, address_requests=1, proxies=["127.0.0.1", "192.0.2.1"])
    said = ["203.0.113.5", "203.0.113.6, 192.0.2.1", "198.51.100.9, 203.0.113.6"]
    codes = [client.get(CHART, headers={"X-Forwarded-For": text}).status_code for text in said]
    assert codes == [200, 200, 429]
    other = set_to(workspace, address_requests=1)
    codes = [other.get(CHART, headers={"X-Forwarded-For": text}).status_code for text in said]
    assert codes == [200, 429, 429]


def test_an_old_snapshot_is_served_and_told_of(workspace: Workspace) -> None:
    client = set_to(workspace, snapshot_max_age_days=1)
    assert client.get("/readyz").status_code == 200
    client.now = NOW + timedelta(days=1)
    old = client.get("/readyz")
    assert (old.status_code, old.json()["old"]) == (200, True)  # a stopped night job does not take the site down
    assert f"{AS_OF}, 2 days ago" in old.json()["why"]
    assert client.get(CHART).status_code == 200
    assert values(client)["hearabouts_snapshot_old[]"] == 1
    assert not set_to(workspace, snapshot_max_age_days=0).get("/readyz").json()["old"]


def test_without_the_consent_log_it_is_not_ready_though_charts_are_served(
    client: Client, workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert client.get("/readyz").status_code == 200
    monkeypatch.setattr("recsys.serving.routes.health._PATIENCE", 0.1)
    with monkeypatch.context() as slow:
        slow.setattr(ConsentLog, "choices", lambda *_, **__: time.sleep(0.5))
        assert client.get("/readyz").status_code == 503
    time.sleep(0.5)
    assert client.get("/readyz").status_code == 200
    workspace.consents.unlink()
    away = client.get("/readyz")
    assert (away.status_code, away.json()["type"]) == (503, "/problems/not-ready")
    assert away.json()["hint"].startswith("The consent log cannot be read")
    assert client.get(CHART).status_code == 200


def values(client: Client) -> dict[str, float]:
    text = client.get("/metrics").text
    families = text_string_to_metric_families(text)
    return {
        f"{sample.name}{sorted(sample.labels.values())}": sample.value
        for family in families
        for sample in family.samples
    }


def test_the_metrics_count_what_happens(client: Client, workspace: Workspace, settings: Settings) -> None:
    ana = bearer("ana", workspace=workspace, settings=settings)
    client.get(CHART)
    client.get("/v1/canary?cell=canary")
    give = {"state": "given", "notice_version": settings.consents.notice_version}
    client.request("PUT", "/v1/me/consents/partner_statistics", headers=ana, json=give)
    for _ in range(2):  # the second changes nothing
        client.request("PUT", "/v1/me/consents/local_trends", headers=ana, json=give)
        client.get("/v1/me/trending", headers={**ana, "Sec-GPC": "1"})
    publish(workspace, as_of="2026-11-01")
    client.get(CHART)
    found = values(client)
    template = "/v1/regions/{id}/charts/{chart}"
    assert found[f"hearabouts_request_seconds_count{sorted(['GET', template, '200'])}"] == 2
    assert found[f"hearabouts_request_seconds_count{sorted(['GET', 'none', '404'])}"] == 1
    assert found["hearabouts_consent_changes_total['given', 'local_trends']"] == 1
    assert found["hearabouts_consent_changes_total['partner_statistics', 'withdrawn']"] == 1
    assert found["hearabouts_snapshots_total['served']"] == 2
    assert found["hearabouts_snapshot_age_seconds[]"] == pytest.approx(-18 * 3600, abs=1)
    text = client.get("/metrics").text
    for canary in ("canary", "ana", LISBON, "127.0.0.1"):
        assert canary not in text


@pytest.mark.parametrize(
    ("who", "headers", "status"),
    [
        ("loopback", {}, 200),
        ("loopback", {"X-Forwarded-For": "127.0.0.1"}, 404),
        ("loopback", {"Forwarded": "for=127.0.0.1"}, 404),
        ("loopback", {"Via": "1.1 proxy"}, 404),
        ("everyone", {"Via": "1.1 proxy"}, 200),
        ("nobody", {}, 404),
    ],
)
def test_who_may_read_the_metrics(workspace: Workspace, who: str, headers: dict[str, str], status: int) -> None:
    assert set_to(workspace, metrics=who).get("/metrics", headers=headers).status_code == status


def test_every_line_of_the_log_is_json(client: Client, capsys: pytest.CaptureFixture[str]) -> None:
    client.get(CHART)
    client.request("CANARY", "/x")
    lines: Iterator[dict[str, object]] = map(json.loads, capsys.readouterr().err.splitlines())
    assert {line["event"] for line in lines} == {"snapshot", "request"}
