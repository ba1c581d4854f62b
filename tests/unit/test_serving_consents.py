"""The switches: one request to give, the same to withdraw, and a receipt of every decision."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from pydantic import TypeAdapter
from support.edge import LISBON, NOW, Client, bearer, decide, publish

from recsys.consents.log import Channel, ConsentLog, Purpose, State
from recsys.serving.openapi.examples_me import CONSENT, CONSENTS, RECEIPT
from recsys.serving.routes.consents import Consent, Consents
from recsys.serving.routes.receipts import SCHEMA, Receipt
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace, listener_of

GIVE = {"state": "given", "notice_version": "2026-09"}
WITHDRAW = {"state": "withdrawn", "notice_version": "2026-09"}
GPC = {"Sec-GPC": "1"}


class Ana:
    """A listener with a client, signed in."""

    def __init__(self, client: Client, workspace: Workspace, settings: Settings) -> None:
        self._client, self._workspace = client, workspace
        self._token = bearer("ana", workspace=workspace, settings=settings)

    def ask(self, method: str, url: str, **options: Any) -> httpx.Response:
        headers = self._token | options.pop("headers", {})
        self._client.now += timedelta(seconds=1)
        return self._client.request(method, url, headers=headers, **options)

    def put(self, purpose: str, body: object, **headers: str) -> httpx.Response:
        return self.ask("PUT", f"/v1/me/consents/{purpose}", json=body, headers=headers)

    def state(self, purpose: str, **headers: str) -> dict[str, Any]:
        found = self.ask("GET", "/v1/me/consents", headers=headers).json()["consents"]
        return dict(next(each for each in found if each["purpose"] == purpose))

    def entries(self) -> list[tuple[str, str, str]]:
        log = ConsentLog(self._workspace.consents)
        entries = log.entries(listener_of("ana", key=self._workspace.listener_key()))
        return [(entry.purpose.value, entry.state.value, entry.channel.value) for entry in entries]


@pytest.fixture
def ana(workspace: Workspace, settings: Settings) -> Ana:
    publish(workspace)
    return Ana(Client(workspace, settings=settings), workspace, settings)


def test_the_default_of_everything_is_no(ana: Ana) -> None:
    answer = ana.ask("GET", "/v1/me/consents")
    assert (answer.status_code, answer.headers["cache-control"]) == (200, "private, no-store")
    found = TypeAdapter(Consents).validate_json(answer.content, strict=True)
    assert found["notice_version"] == "2026-09"
    assert [each["purpose"] for each in found["consents"]] == list(Purpose)
    for each in found["consents"]:
        assert {each[key] for key in ("since", "notice_version", "channel")} == {None}
        assert (each["state"], each["asks_again"]) == ("withdrawn", False)
    assert ana.entries() == []  # asking leaves no trace


def test_giving_and_withdrawing_are_one_request_and_differ_in_one_word(ana: Ana) -> None:
    given = ana.put("local_trends", GIVE)
    assert given.status_code == 200
    expected = {"purpose": "local_trends", "state": "given", "since": "2026-11-01T06:00:01+00:00", "channel": "api"}
    assert expected.items() <= given.json().items()
    assert ana.state("local_trends") == given.json()
    assert ana.ask("GET", f"/v1/me/trending?cell={LISBON}").json()["location_used"] is True
    withdrawn = ana.put("local_trends", WITHDRAW)
    assert (withdrawn.status_code, withdrawn.json()["state"]) == (200, "withdrawn")
    assert ana.ask("GET", f"/v1/me/trending?cell={LISBON}").json()["location_used"] is False  # the very next request
    assert given.headers.keys() == withdrawn.headers.keys()
    assert given.json().keys() == withdrawn.json().keys()


def test_one_switch_turns_no_other(ana: Ana) -> None:
    ana.put("local_trends", GIVE)
    assert [ana.state(purpose)["state"] for purpose in Purpose] == ["given", *["withdrawn"] * (len(Purpose) - 1)]


def test_the_same_again_changes_nothing(ana: Ana) -> None:
    answers = [ana.put("personalisation", GIVE).json() for _ in range(3)]
    assert answers[0] == answers[1] == answers[2]
    assert ana.entries() == [("personalisation", "given", "api")]


def test_the_page_of_our_own_is_a_way_of_its_own(ana: Ana) -> None:
    ana.put("local_trends", GIVE, **{"Sec-Fetch-Site": "same-origin"})
    ana.put("local_trends", WITHDRAW, **{"Sec-Fetch-Site": "cross-site"})
    assert ana.entries() == [("local_trends", "given", "page"), ("local_trends", "withdrawn", "api")]


@pytest.mark.parametrize("version", ["2026-07", "2027-01", "", None])
def test_giving_needs_the_notice_of_today_and_withdrawing_none(ana: Ana, version: str | None) -> None:
    refused = ana.put("local_trends", {"state": "given", "notice_version": version})
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/stale-notice")
    assert refused.json()["hint"]
    assert ana.entries() == []
    assert ana.put("local_trends", {"state": "withdrawn", "notice_version": version}).status_code == 200
    assert ana.put("local_trends", {"state": "withdrawn"}).status_code == 200
    assert ana.entries() == [("local_trends", "withdrawn", "api")]


def test_a_new_notice_asks_who_gave_again_and_assumes_nothing(
    workspace: Workspace, ana: Ana, settings: Settings
) -> None:
    ana.put("local_trends", GIVE)
    ana.put("personalisation", WITHDRAW)
    newer = load_settings(overrides={"consents": {"notice_version": "2027-01"}})
    later = Ana(Client(workspace, settings=newer), workspace, newer)
    lapsed = later.state("local_trends")
    assert (lapsed["state"], lapsed["asks_again"], lapsed["notice_version"]) == ("withdrawn", True, "2026-09")
    assert later.ask("GET", f"/v1/me/trending?cell={LISBON}").json()["location_used"] is False
    assert later.state("personalisation")["asks_again"] is False  # who declined is left in peace
    assert later.state("contribute_trends")["asks_again"] is False
    assert later.put("local_trends", GIVE).status_code == 409
    given = later.put("local_trends", {"state": "given", "notice_version": "2027-01"}).json()
    assert (given["state"], given["asks_again"], given["notice_version"]) == ("given", False, "2027-01")


def test_what_was_given_under_a_notice_that_asks_for_the_same_stands(workspace: Workspace, ana: Ana) -> None:
    decide(workspace, "ana", State.GIVEN, notice="2026-07")
    decide(workspace, "ana", State.GIVEN, notice="2020-01", purpose=Purpose.PERSONALISATION)
    assert (ana.state("personalisation")["state"], ana.state("personalisation")["asks_again"]) == ("given", False)
    named = load_settings(overrides={"consents": {"earlier_notices": {"2026-09": ["2026-07"]}}})
    strict = Ana(Client(workspace, settings=named), workspace, named)
    assert (strict.state("local_trends")["state"], strict.state("local_trends")["asks_again"]) == ("given", False)
    lapsed = strict.state("personalisation")
    assert (lapsed["state"], lapsed["asks_again"]) == ("withdrawn", True)


def test_the_browsers_signal_withdraws_partner_statistics_and_is_recorded_once(ana: Ana) -> None:
    ana.put("partner_statistics", GIVE)
    ana.put("contribute_trends", GIVE)
    assert ana.state("partner_statistics", **{"Sec-GPC": "0"})["state"] == "given"
    for _ in range(3):
        assert ana.ask("GET", "/v1/me/trending", headers=GPC).status_code == 200
    assert ana.state("partner_statistics")["channel"] == "gpc"
    assert ana.state("contribute_trends")["state"] == "given"
    assert ana.entries() == [
        ("contribute_trends", "given", "api"),
        ("partner_statistics", "given", "api"),
        ("partner_statistics", "withdrawn", "gpc"),
    ]


def test_the_signal_puts_nobody_on_record_who_never_allowed_it_or_was_erased(ana: Ana) -> None:
    for purpose in ("partner_statistics", "contribute_trends"):
        assert ana.state(purpose, **GPC)["state"] == "withdrawn"
    assert ana.entries() == []
    ana.put("partner_statistics", GIVE)
    assert ana.ask("DELETE", "/v1/me/data", headers=GPC).status_code == 202
    assert ana.state("partner_statistics", **GPC)["since"] is None
    assert ana.entries() == []
    ana.put("partner_statistics", GIVE)  # who comes back is listened to again
    ana.state("partner_statistics", **GPC)
    assert [entry[1:] for entry in ana.entries()] == [("given", "api"), ("withdrawn", "gpc")]


def test_the_signal_stands_against_giving_in_the_same_request_and_without_it_the_listener_decides(ana: Ana) -> None:
    refused = ana.put("partner_statistics", GIVE, **GPC)
    assert (refused.status_code, refused.json()["type"]) == (409, "/problems/opted-out")
    assert ana.entries() == []
    assert ana.put("local_trends", GIVE, **GPC).status_code == 200  # the signal is about partners alone
    assert ana.put("partner_statistics", GIVE).json()["state"] == "given"


def test_the_site_says_that_it_honours_the_signal(ana: Ana) -> None:
    answer = ana.ask("GET", "/.well-known/gpc.json")
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["gpc"] is True
    assert answer.json()["lastUpdate"]


@pytest.mark.parametrize("purpose", ["newsletter", "LOCAL_TRENDS", "canary"])
def test_an_unknown_purpose_is_404_and_not_repeated(ana: Ana, purpose: str) -> None:
    answer = ana.put(purpose, GIVE)
    assert (answer.status_code, answer.json()["type"]) == (404, "/problems/unknown-purpose")
    assert "canary" not in answer.text
    assert ana.entries() == []


@pytest.mark.parametrize(
    "body",
    [
        b"", b"canary", b"[]", b"null", b'"given"', b"{}", b'{"state": "yes"}', b'{"state": true}',
        b'{"state": null}',
        b'{"state": "Given", "notice_version": "2026-09"}', b'{"state": "given", "notice_version": 2026}',
        b'{"state": "given", "notice_version": "2026-09", "canary": 1}', b"\xff\xfe", b"[" * 1000,
        b'{"state": "\\ud800"}',
    ],
)  # fmt: skip
def test_a_body_that_does_not_fit_is_refused_unrepeated(ana: Ana, body: bytes) -> None:
    answer = ana.ask("PUT", "/v1/me/consents/local_trends", content=body)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-input")
    assert "canary" not in answer.text
    assert ana.entries() == []


@pytest.mark.parametrize(
    "body",
    [
        {"state": "withdrawn", "latitude": 38.7},
        {"state": "withdrawn", "lng": 1},
        {"state": "withdrawn", "notice_version": "38.7167, -9.1333"},
        {"state": "withdrawn", "notice_version": "lat=38"},
    ],
)
def test_a_position_in_the_body_is_refused_as_a_position(ana: Ana, body: dict[str, Any]) -> None:
    answer = ana.put("local_trends", body)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/position")
    assert ana.entries() == []


def test_what_a_client_calls_its_notice_is_never_kept(ana: Ana, workspace: Workspace) -> None:
    ana.put("local_trends", {"state": "withdrawn", "notice_version": "canary"})
    assert ana.state("local_trends")["notice_version"] == "2026-09"
    assert all(b"canary" not in path.read_bytes() for path in workspace.root.glob("consents.db*"))


def test_only_a_short_body_of_known_length_is_read_and_only_where_there_is_one(ana: Ana) -> None:
    long = ana.put("local_trends", {"state": "withdrawn", "notice_version": "x" * 1024})
    assert (long.status_code, long.json()["type"]) == (400, "/problems/bad-input")
    streamed = ana.put("local_trends", WITHDRAW, **{"Transfer-Encoding": "chunked"})
    assert streamed.status_code == 400
    assert ana.ask("PUT", "/v1/me/consents", content=b"{}").status_code == 405  # whatever its body
    assert ana.ask("DELETE", "/v1/me/data", content=b"{}").status_code == 400
    assert ana.ask("PUT", "/v1/me/consents/local_trends?state=given").status_code == 400


def test_a_receipt_holds_every_decision(ana: Ana, workspace: Workspace) -> None:
    decide(workspace, "ana", State.GIVEN, notice="2025-11", at=NOW - timedelta(days=400))
    ana.put("local_trends", WITHDRAW)
    ana.put("personalisation", GIVE, **{"Sec-Fetch-Site": "same-origin"})
    answer = ana.ask("GET", "/v1/me/consents/receipts")
    assert answer.headers["content-disposition"].startswith("attachment")
    receipt = TypeAdapter(Receipt).validate_json(answer.content, strict=True)
    local, personal = receipt["consent_records"]
    assert [(e["event_state"], e["privacy_notice"], e["collection_method"]) for e in local["events"]] == [
        ("given", "2025-11", "import"),
        ("withdrawn", "2026-09", "api"),
    ]
    assert [event["collection_method"] for event in personal["events"]] == [Channel.PAGE]
    assert personal["purpose"]["retention_period"].startswith("35 nights; ")
    assert local["pii_principal_id"] == personal["pii_principal_id"]
    assert local["record_id"] != personal["record_id"]
    again = ana.ask("GET", "/v1/me/consents/receipts").json()["consent_records"]
    assert again == receipt["consent_records"]
    listener = listener_of("ana", key=workspace.listener_key())
    assert listener not in answer.text
    assert '"ana"' not in answer.text


def test_a_receipt_says_what_is_kept_as_the_account_of_what_is_collected_does(
    workspace: Workspace, settings: Settings
) -> None:
    """The place of a request is as fine as the endpoint accepts, not as the atlas is, and is not kept at all."""
    coarse = load_settings(overrides={"atlas": {"finest_resolution": 4}, "store": {"nights": 41}})
    ana = Ana(Client(workspace, settings=coarse), workspace, coarse)
    for purpose in Purpose:
        ana.put(purpose, GIVE)
    records = ana.ask("GET", "/v1/me/consents/receipts").json()["consent_records"]
    found = {record["purpose"]["purpose"]: record["purpose"] for record in records}
    assert {purpose: each["retention_period"].split(";")[0].split(":")[0] for purpose, each in found.items()} == {
        "local_trends": "not kept",
        "contribute_trends": "41 nights",
        "personalisation": "41 nights",
        "partner_statistics": "41 nights",
        "feedback": "35 days where it was played",
        "images": "until removed, replaced or withdrawn",
        "voice": "not kept",
        "contacts": "90 days for the other side, from when it was told",
    }
    assert found["local_trends"]["pii_information"] == ["place, as an H3 cell of resolution 5 or coarser"]
    assert "resolution 4" in found["contribute_trends"]["pii_information"][1]
    assert not any("place" in each for each in found["personalisation"]["pii_information"])
    collected = ana.ask("GET", "/v1/transparency").json()["collected"]
    (place,) = (each for each in collected if each["purposes"] == ["local_trends"])
    assert (place["kept"].startswith("not at all"), "resolution 5" in place["how_coarse"]) == (True, True)


def test_what_the_browser_withdrew_is_no_explicit_decision_in_the_receipt(ana: Ana) -> None:
    ana.put("partner_statistics", GIVE)
    (record,) = ana.ask("GET", "/v1/me/consents/receipts", headers=GPC).json()["consent_records"]
    assert [(each["event_state"], each["event_type"]) for each in record["events"]] == [
        ("given", "explicit"),
        ("withdrawn", "signal"),
    ]


def test_who_never_decided_gets_a_receipt_too(ana: Ana) -> None:
    answer = ana.ask("GET", "/v1/me/consents/receipts")
    assert (answer.status_code, answer.json()["consent_records"]) == (200, [])
    assert answer.json()["schema_version"] == SCHEMA


@pytest.mark.parametrize(
    ("method", "url"),
    [
        ("GET", "/v1/me/consents"),
        ("GET", "/v1/me/consents/receipts"),
        ("GET", "/v1/me/data"),
        ("DELETE", "/v1/me/data"),
        ("PUT", "/v1/me/consents/local_trends"),
    ],
)
def test_without_a_token_there_is_one_answer(workspace: Workspace, settings: Settings, method: str, url: str) -> None:
    body = {"json": WITHDRAW} if method == "PUT" else {}
    answer = Client(workspace, settings=settings).request(method, url, headers=GPC, **body)
    assert (answer.status_code, answer.json()["type"]) == (401, "/problems/identity")
    assert answer.headers["cache-control"] == "private, no-store"


@pytest.mark.parametrize("url", ["/v1/me/consents?x=1", "/v1/me/data?cell=canary", "/v1/me/consents/receipts?a="])
def test_other_parameters_are_refused_unrepeated(ana: Ana, url: str) -> None:
    answer = ana.ask("GET", url)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-input")
    assert "canary" not in answer.text


def test_the_examples_fit_their_schemas() -> None:
    for example, schema in [(CONSENT, Consent), (CONSENTS, Consents), (RECEIPT, Receipt)]:
        TypeAdapter(schema).validate_json(json.dumps(example), strict=True)


def test_who_gives_again_and_again_is_asked_to_wait_and_can_always_withdraw(
    workspace: Workspace,
) -> None:
    publish(workspace)
    few = load_settings(overrides={"consents": {"given_a_day": 3}})
    client = Client(workspace, settings=few)
    ana = Ana(client, workspace, few)
    for purpose in ("local_trends", "local_trends", "personalisation"):
        assert ana.put(purpose, GIVE).status_code == 200
        assert ana.put(purpose, GIVE).status_code == 200  # said already: it does not count
        assert ana.put(purpose, WITHDRAW).status_code == 200
    refused = ana.put("contribute_trends", GIVE)
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/too-many-requests")
    assert refused.headers["ratelimit-policy"] == '"decisions";q=3;w=86400'
    wait = int(refused.headers["retry-after"])
    assert 86_000 < wait < 86_400
    assert ana.put("local_trends", WITHDRAW).status_code == 200
    ben = bearer("ben", workspace=workspace, settings=few)
    assert client.request("PUT", "/v1/me/consents/local_trends", headers=ben, json=GIVE).status_code == 200
    client.now += timedelta(seconds=wait)
    ana._token = bearer("ana", workspace=workspace, settings=few, now=client.now)
    assert ana.put("contribute_trends", GIVE).status_code == 200
