"""Clients that others' tools generate from the contract, where these tools are at hand: they read what is answered.

The tools are none of ours, and a test fetches nothing: ``npx`` finds in its cache what it was run with once
(``npx openapi-typescript --version``, ``npx @redocly/cli --version``), the others are looked for on the path.
"""

import importlib
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from support.edge import LISBON, Client, bearer, publish

from recsys.settings import Settings
from recsys.workspace import Workspace

CONTRACT = Path(__file__).parents[2] / "docs" / "openapi.json"


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(each) for each in command], cwd=cwd, capture_output=True, text=True, check=False)


def npx(package: str, *command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    """Run a tool of npm's cache, or skip the test where it is not there."""
    if not shutil.which("npx") or run("npx", "--offline", "--yes", package, "--version", cwd=cwd).returncode:
        pytest.skip(f"{package} is not in npm's cache")
    return run("npx", "--offline", "--yes", package, *command, cwd=cwd)


def tool(name: str) -> str:
    found = shutil.which(name)
    if not found:
        pytest.skip(f"{name} is not installed")
    return str(found)


def test_a_typescript_client_is_generated_with_every_request(tmp_path: Path) -> None:
    made = npx("openapi-typescript", CONTRACT, "-o", "api.d.ts", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    types = (tmp_path / "api.d.ts").read_text(encoding="utf-8")
    assert 'previous_rank: number | "new";' in types
    assert all(name in types for name in ("decide: {", "region: {", "trending: {", '"given" | "withdrawn"'))


def test_a_python_client_reads_what_is_answered(
    tmp_path: Path, workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    generate = ("generate", "--path", CONTRACT, "--output-path", tmp_path / "made", "--meta", "none")
    made = run(tool("openapi-python-client"), *generate, cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    code = (tmp_path / "made" / "models" / "item.py").read_text(encoding="utf-8")
    assert "must match const" not in code
    assert (tmp_path / "made" / "api" / "consents" / "decide.py").exists()
    publish(workspace)
    client = Client(workspace, settings=settings)
    head = bearer("u", workspace=workspace, settings=settings)
    answers = {
        "chart": client.get(f"/v1/regions/{LISBON}/charts/popular").json(),
        "regions": client.get("/v1/regions?limit=2").json(),
        "consents": client.get("/v1/me/consents", headers=head).json(),
    }
    new = {**answers["chart"], "items": [{**each, "previous_rank": "new"} for each in answers["chart"]["items"]]}
    pytest.importorskip("attrs")
    monkeypatch.syspath_prepend(tmp_path)
    for kind, answer in [*answers.items(), ("chart", new)]:
        model = getattr(importlib.import_module(f"made.models.{kind}"), kind.title())
        assert model.from_dict(answer).to_dict() == answer
    for name in [name for name in sys.modules if name.split(".")[0] == "made"]:
        del sys.modules[name]


def test_linters_find_nothing(tmp_path: Path) -> None:
    checked = run(tool("openapi-spec-validator"), CONTRACT, cwd=tmp_path)
    assert checked.returncode == 0, checked.stdout + checked.stderr


def test_redocly_finds_nothing(tmp_path: Path) -> None:
    found = npx("@redocly/cli", "lint", CONTRACT, "--format", "json", cwd=tmp_path)
    assert found.returncode == 0, found.stdout
    assert '"errors": 0' in found.stdout
    assert "no-invalid-media-type-examples" not in found.stdout
