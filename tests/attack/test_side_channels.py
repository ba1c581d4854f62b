"""From no answer, its length or its time, and from nothing that is written, can it be told who exists or consented."""

import json
import signal
from datetime import UTC, datetime

import h3
import httpx
import pytest
from scipy.stats import mannwhitneyu
from support.edge import ALENTEJO, LISBON, OCEAN, PORTO, SUVA, Client, bearer, decide, publish, remember, told
from support.serving import Server
from support.sides import LOUD, QUIET, interleaved, prepare

from recsys.consents.log import ConsentLog, Purpose, State
from recsys.serving.requests.one_size import STEP
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace, listener_of

SEED = 20151
UNLIMITED = load_settings(
    overrides={
        "serving": {"listener_requests": 10**6, "address_requests": 10**6},
        "consents": {"earlier_notices": {}},  # so that what was given under an earlier one has lapsed
    }
)


@pytest.fixture
def client(workspace: Workspace) -> Client:
    publish(workspace)
    prepare(workspace)
    return Client(workspace, settings=UNLIMITED)


def test_kinds_of_listeners_cannot_be_told_apart(client: Client, workspace: Workspace) -> None:
    """Bytes and headers agree; times are compared at a level that chance passes once in 100,000 runs.

    The benchmark does the same with 5,000 requests and prints the probabilities.
    """
    print("seed", SEED)
    found = interleaved(client, workspace=workspace, settings=UNLIMITED, requests=100, seed=SEED)
    answers = {kind: [answer for answer, _ in some] for kind, some in found.items()}
    quiet = {told(answer) for kind in QUIET for answer in answers[kind]}
    assert len(quiet) == 1
    ((_, headers, body),) = quiet
    for kind in LOUD:
        ((status, own_headers, own_body),) = set(map(told, answers[kind]))
        assert status == 200
        assert [name for name, _ in own_headers] == [name for name, _ in headers]  # type: ignore[attr-defined]
        assert json.loads(own_body).keys() == json.loads(body).keys()  # type: ignore[arg-type]
        assert len(own_body) == len(body)  # type: ignore[arg-type]
    times = {kind: [taken for _, taken in some] for kind, some in found.items()}
    for kind, other in [*((QUIET[0], kind) for kind in QUIET[1:]), LOUD]:
        assert mannwhitneyu(times[kind], times[other]).pvalue > 1e-5 / len(QUIET), other


def test_the_length_of_an_answer_tells_neither_place_nor_choice(workspace: Workspace) -> None:
    """Whoever asks near whichever place, and whatever the switches are, all answers are of one length."""
    publish(workspace)
    prepare(workspace)
    remember(workspace, {kind: {"track-9": 2.0, "track-50": 1.0} for kind in ("both", "plays")}, played=["track-9"])
    client = Client(workspace, settings=UNLIMITED, records=lambda _: iter(()))
    for kind, purposes in {"both": Purpose, "plays": [Purpose.PERSONALISATION], "near": [Purpose.LOCAL_TRENDS]}.items():
        for purpose in purposes:
            decide(workspace, kind, State.GIVEN, purpose=purpose)
    cells = ("", *(f"cell={cell}&" for cell in (LISBON, PORTO, SUVA, ALENTEJO, OCEAN)))
    lists = [f"/v1/me/trending?{cell}limit={limit}" for limit in (1, 5, 50, 100) for cell in cells]
    lengths: dict[str, set[tuple[int, str]]] = {}
    for kind in ("nobody", "both", "plays", "near", "erased"):
        headers = bearer(kind, workspace=workspace, settings=UNLIMITED)
        for url in (*lists, "/v1/me/consents", "/v1/me/data", "/v1/me/consents/receipts"):
            answer = client.get(url, headers=headers)
            assert answer.status_code == 200
            assert json.loads(answer.text.splitlines()[0])
            of = f"limit={url.partition('limit=')[2]}" if "trending" in url else url
            lengths.setdefault(of, set()).add((len(answer.content), answer.headers.get("content-encoding", "")))
    receipts = lengths.pop("/v1/me/consents/receipts")  # of four switches, or of none: as many steps as they need
    assert {of: len(found) for of, found in lengths.items()} == dict.fromkeys(lengths, 1)
    assert all(length % STEP == 0 for length, _ in receipts)


def test_the_headers_of_a_refusal_tell_nobody_apart(workspace: Workspace) -> None:
    publish(workspace)
    prepare(workspace)
    few = load_settings(overrides={"serving": {"listener_requests": 2}})
    client = Client(workspace, settings=few)
    refused = []
    for kind in ("unknown", "withdrew", "consents"):
        headers = bearer(kind, workspace=workspace, settings=few)
        refused += client.all([("GET", f"/v1/me/trending?cell={LISBON}", {"headers": headers})] * 3)[-1:]
    assert len(set(map(told, refused))) == 1
    assert refused[0].status_code == 429


@pytest.mark.parametrize("failing", ["choices", "standings", "entries"])
def test_a_forced_failure_leaks_nothing(
    client: Client,
    workspace: Workspace,
    settings: Settings,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    failing: str,
) -> None:
    def broken(*values: object, **named: object) -> None:
        raise ZeroDivisionError(f"canary {values} {named}")

    monkeypatch.setattr(ConsentLog, failing, broken)
    cell = h3.cell_to_parent(LISBON, 4)
    headers = bearer("canary-ana", workspace=workspace, settings=settings)
    urls = [f"/v1/me/trending?cell={cell}", "/v1/me/consents", "/v1/me/consents/receipts", "/v1/me/data"]
    answers = client.all([("GET", url, {"headers": headers}) for url in urls])
    failed = [answer for answer in answers if answer.status_code == 500]
    assert failed
    assert {answer.json()["type"] for answer in failed} == {"/problems/internal"}
    assert {answer.headers["cache-control"] for answer in failed} == {"private, no-store"}
    said = "".join(capsys.readouterr()) + "".join(answer.text + str(answer.headers) for answer in failed)
    assert "ZeroDivisionError" in said
    listener = listener_of("canary-ana", key=workspace.listener_key())
    for secret in ("canary", cell, listener, headers["Authorization"].split(".")[1]):
        assert secret not in said


def test_everything_a_server_wrote_holds_no_canary(workspace: Workspace, settings: Settings) -> None:
    """A real server: standard output and error, metrics, and every file but the consent log's own entries."""
    publish(workspace, as_of="2026-10-01")
    decide(workspace, "canary-ana", State.GIVEN, at=datetime(2026, 1, 1, tzinfo=UTC))
    server = Server(workspace, address_requests=2)
    try:
        ana = bearer("canary-ana", workspace=workspace, settings=settings, now=datetime.now(UTC))
        cell, fine = h3.cell_to_parent(LISBON, 4), h3.cell_to_center_child(LISBON, 9)
        with httpx.Client(base_url=server.url) as client:
            for url in (f"/v1/me/trending?cell={cell}", f"/v1/me/trending?cell={fine}", "/v1/me/data", "/v1/me/x"):
                client.get(url, headers={**ana, "X-Request-Id": listener_of("x", key=b"")})
                client.get(url, headers={"Authorization": ana["Authorization"] + "x", "X-Request-Id": cell})
            give = {"state": "given", "notice_version": settings.consents.notice_version}
            client.put("/v1/me/consents/personalisation", headers=ana, json=give)
            client.get("/v1/canary", headers={"User-Agent": "canary"})
            metrics = client.get("/metrics").text
        written = server.stop() + metrics
    finally:
        server.stop(signal.SIGKILL)
    assert '"status": 429' in written
    listener = listener_of("canary-ana", key=workspace.listener_key())
    secrets = ["canary", cell, fine, listener, *ana["Authorization"].split()[1].split(".")[1:], "127.0.0.1:", "X-Req"]
    assert [secret for secret in secrets if secret in written.replace(server.url, "")] == []
    files = {path: path.read_bytes() for path in workspace.root.parent.rglob("*") if path.is_file()}
    for secret in ("canary", cell.removesuffix("f"), fine):
        found = [
            path.name for path, content in files.items() if secret.encode() in content and path.name != "charts.db"
        ]
        assert found == [], secret
    assert {path.name for path, content in files.items() if listener.encode() in content} <= {
        "consents.db",
        "consents.db-wal",
    }
