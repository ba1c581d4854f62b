"""What docs/endpoint.md says is so: its commands run against a real server, its tables are the code's."""

import os
import re
import shutil
import signal
import subprocess
from datetime import UTC, datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families
from support.edge import LISBON, Client, decide, keep_nights, publish
from support.serving import Server
from support.tokens import jwks

from recsys.consents.log import State
from recsys.errors import RecsysError
from recsys.serving.auth.tokens import mint
from recsys.serving.lists.list_ids import public_list
from recsys.serving.requests.problems import SENT
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "endpoint.md").read_text(encoding="utf-8")
COMMANDS = [line[2:] for block in re.findall(r"```console\n(.*?)```", PAGE, re.S) for line in block.splitlines()]
CURLS = [command for command in COMMANDS if command.startswith("curl ")]
OF_HTTP = {("not-found", 404), ("method-not-allowed", 405)}
OF_THE_COMMAND_LINE = {*("usage", "privacy-budget", "settings", "unknown-run", "not-better", "incomplete-night")}


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_every_command_works(workspace: Workspace, settings: Settings) -> None:
    keep_nights(workspace, nights=60)
    snapshot = publish(workspace)
    decide(workspace, "u000002", State.GIVEN, at=datetime(2026, 1, 1, tzinfo=UTC))
    token = mint("u000002", workspace=workspace, settings=settings, now=datetime.now(UTC))
    server = Server(workspace)
    try:
        variables = os.environ | {"HEARABOUTS": server.url, "TOKEN": token, "CELL": LISBON}
        variables |= {"TRACK": "track-1", "ARTIST": "%C3%BCnits", "LIST": public_list(snapshot, "world", "popular")}
        assert len(CURLS) > 12
        for command in CURLS:
            ran = subprocess.run(
                ["bash", "-o", "pipefail", "-c", command], env=variables, capture_output=True, text=True
            )
            assert (ran.returncode, bool(ran.stdout)) == (0, True), (command, ran.stderr)
    finally:
        server.stop(signal.SIGKILL)


def test_the_table_of_errors_is_the_code_s() -> None:
    families = [RecsysError]
    for family in families:
        families.extend(family.__subclasses__())
    sent = {(family.problem, family.status) for family in families if family.problem not in OF_THE_COMMAND_LINE}
    told = {(slug, int(status)) for slug, status in re.findall(r"^\| `/problems/([a-z-]+)` \| (\d+) \|", PAGE, re.M)}
    assert told == sent | OF_HTTP
    assert {slug for slug, _ in told} == set(SENT)


def test_every_setting_of_the_endpoint_is_named() -> None:
    assert [key for key in type(load_settings().serving).model_fields if f"`{key}`" not in PAGE] == []


def test_every_metric_and_every_fact_of_the_log_is_named(
    workspace: Workspace, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    publish(workspace, size=1)
    client = Client(workspace, settings=settings)
    families = list(text_string_to_metric_families(client.get("/metrics").text))
    ours = {sample.name for family in families for sample in family.samples if sample.name.startswith("hearabouts")}
    ours = {re.sub(r"_(bucket|sum|count|created)$", "", name) for name in ours}
    named = set(re.findall(r"`(hearabouts_\w+)`", PAGE))
    assert {name.removesuffix("_total") for name in ours} - {"hearabouts_request_seconds"} <= {
        name.removesuffix("_total") for name in named
    }
    assert named
    request = next(line for line in capsys.readouterr().err.splitlines() if '"event": "request"' in line)
    assert [key for key in re.findall(r'"(\w+)": ', request) if f"`{key}`" not in PAGE] == []


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGE) if "://" not in link]
    assert links
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_the_page_s_python_mints_a_token_that_is_accepted(workspace: Workspace, tmp_path: Path) -> None:
    (source,) = re.findall(r"```python\n(.*?)```", PAGE, re.S)
    made: dict[str, object] = {}
    exec(source, made)
    keys = tmp_path / "jwks.json"
    keys.write_bytes(jwks(made["key"]))  # type: ignore[arg-type]
    publish(workspace, size=1)
    settings = load_settings(overrides={"serving": {"jwks": str(keys), "issuer": "https://login.example"}})
    client = Client(workspace, settings=settings)
    client.now = datetime.now(UTC)
    assert client.get("/v1/me/trending", headers={"Authorization": f"Bearer {made['token']}"}).status_code == 200
