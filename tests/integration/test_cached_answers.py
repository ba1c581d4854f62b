"""A chart that is asked for again has the same bytes, headers, log and limit, and nothing refused gets through."""

import json
import re
import signal
import socket
from collections.abc import Iterator

import h3
import httpx
import pytest
from support.edge import LISBON, publish
from support.serving import Server

from recsys.workspace import Workspace

CHART = f"/v1/regions/{LISBON}/charts/popular?limit=3"
OWN = {"x-request-id", "ratelimit-policy", "ratelimit"}


@pytest.fixture
def server(workspace: Workspace) -> Iterator[Server]:
    publish(workspace, as_of="2026-10-01")
    server = Server(workspace, address_requests=60)
    yield server
    server.stop(signal.SIGKILL)


def test_a_chart_asked_for_again_is_answered_as_before(server: Server, workspace: Workspace) -> None:
    with httpx.Client(base_url=server.url) as client:
        first, *others = [client.get(CHART) for _ in range(4)]
        told = [{key: value for key, value in answer.headers.items() if key != "date"} for answer in (first, *others)]
        assert all(each == told[0] for each in told)
        assert {answer.content for answer in others} == {first.content}
        assert not OWN & told[0].keys()  # a cache would send them to others
        assert ";r=55;" in client.get("/v1/x").headers["ratelimit"]  # but all are counted
        name = "0f8fad5bd9cb469fa16570867728950e"
        assert name not in str(client.get(CHART, headers={"X-Request-Id": name}).headers)
        assert client.get(CHART, headers={"If-None-Match": first.headers["etag"]}).status_code == 304
        for hidden in ({"X-Lat": "38"}, {"Referer": "https://maps.test/?lat=38.7"}, {"X-Where": "38.716,-9.133"}):
            assert client.get(CHART, headers=hidden).json()["type"] == "/problems/position"
        fine = h3.cell_to_center_child(LISBON, 7)
        assert fine not in str(client.get(CHART, headers={"X-Request-Id": fine}).headers)
        assert client.request("GET", CHART, content=b"x").status_code == 400
        assert client.head(CHART).status_code == 200
        long = CHART.partition("?")[0]
        ways = [client.get(long, headers={"Accept-Encoding": each}) for each in ("gzip", "gzip", "identity", "br")]
        assert [each.headers.get("content-encoding") for each in ways] == ["gzip", "gzip", None, None]
        assert len({each.content for each in ways}) == 1
        assert [each.headers["etag"] for each in ways[::2]] == [each.headers["etag"] for each in ways[1::2]]
        publish(workspace, as_of="2026-10-02", size=2)
        assert len(client.get(CHART).json()["items"]) == 2
        codes = [client.get(CHART).status_code for _ in range(60)]
        assert (codes[0], codes[-1]) == (200, 429)
        assert codes == sorted(codes)
        counted = client.get("/metrics").text
    written = [json.loads(line) for line in server.stop().splitlines()]
    assert [line["route"] for line in written if line.get("request_id") == name] == ["/v1/regions/{id}/charts/{chart}"]
    answered = [line for line in written if (line.get("method"), line.get("status")) == ("GET", 200)]
    served = [line for line in answered if line.get("route", "").endswith("{chart}")]
    assert {line["scope"] for line in served} == {"region"}
    template = 'method="GET",route="/v1/regions/{id}/charts/{chart}",status="200"'
    assert f"hearabouts_request_seconds_count{{{template}}} {len(served)}.0" in counted


def test_requests_that_do_not_wait_for_answers_are_answered_in_order(server: Server) -> None:
    httpx.get(server.url + CHART)
    port = int(server.url.rsplit(":", 1)[1])
    urls = [CHART, "/healthz", CHART, CHART, "/v1/regions/world/charts/popular?limit=1", CHART, "/healthz"]
    request = "".join(f"GET {url} HTTP/1.1\r\nHost: x\r\n\r\n" for url in urls)
    request += f"GET {CHART} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request.encode())
        answers = b"".join(iter(lambda: connection.recv(65536), b"")).decode()
    bodies = re.findall(r"\r\n\r\n(\{.*?\})(?=HTTP/1\.1|$)", answers, flags=re.S)
    shown = [json.loads(body).get("region", {}).get("id", "alive") for body in bodies]
    assert shown == [LISBON, "alive", LISBON, LISBON, "world", LISBON, "alive", LISBON]
