"""The README's commands do what it says: those of a terminal, in order, on a smaller sample world."""

import re
import shlex
from pathlib import Path

import polars as pl
import pytest
from support.commands import Run
from support.edge import Client, bearer
from support.small_sample import write_small_sample

from pipelines import __main__ as command_line
from recsys.geography.atlas import Atlas
from recsys.settings import load_settings
from recsys.workspace import Workspace

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line[2:] for block in re.findall(r"```console\n(.*?)```", README, re.S) for line in block.splitlines()]
EVALUATED = {
    "VALIDATION_NIGHTS": 2,  # so that few nights are enough
    "TEST_NIGHTS": 2,
    "ITERATIONS": 3,  # no command promises how good the models are
    "RANKER": "none",  # its trees take most of the time, and grow in other tests
}
TARGETS = re.findall(r"^([a-z]+):.*## ", (ROOT / "Makefile").read_text(), re.M)


def test_every_make_target_that_the_readme_names_exists() -> None:
    named = {target for _, target in re.findall(r"(`|\$ )make ([a-z]+)", README)}
    assert {"nightly", "test", "serve"} <= named <= set(TARGETS)


def test_every_file_that_the_readme_links_exists() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", README) if "://" not in link]
    assert [link for link in links if not (ROOT / link).exists()] == []


@pytest.mark.slow
def test_the_commands_of_the_readme_run_in_order(
    hearabouts: Run, world_atlas: Atlas, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`make nightly` is `hearabouts nightly`."""
    sample = tmp_path / "data" / "sample"
    write_small_sample(sample, atlas=world_atlas, nights=9, tracks=150)  # a backlog that processes draw
    for key, value in EVALUATED.items():
        monkeypatch.setenv(f"HEARABOUTS__MODELS__{key}", str(value))
    monkeypatch.setattr(command_line, "SAMPLE", sample)
    program = ".venv/bin/hearabouts "
    ran = ["nightly", *(command.removeprefix(program) for command in COMMANDS if command.startswith(program))]
    assert len(ran) > 4
    for command in ran:
        done = hearabouts(*shlex.split(command))
        assert done.code == 0, (command, done.err)
        if "--help" not in command:
            assert done.summary
        if command.startswith("evaluate"):
            assert done.summary["models"]  # there were nights enough to measure
    assert "nothing new" in hearabouts("nightly").out
    answers_to_curl(Workspace(tmp_path / "workspace"))


def answers_to_curl(workspace: Workspace) -> None:
    """Ask the endpoint what the README's curl lines ask; a real server answers in test_server.py."""
    settings = load_settings()
    client = Client(workspace, settings=settings)
    asked = [command for command in COMMANDS if command.startswith("curl ")]
    assert len(asked) == 3
    for command in asked:
        token = re.search(r"hearabouts token (\S+)\)", command)
        headers = bearer(token[1], workspace=workspace, settings=settings, now=client.now) if token else {}
        answer = client.get(re.findall(r"'http://127.0.0.1:8000(/[^']*)'", command)[0], headers=headers)
        assert answer.status_code == 200, command
        assert answer.json().get("items") or answer.json()["regions"]


def test_the_listener_whose_token_the_readme_shows_allows_a_location() -> None:
    (user,) = set(re.findall(r"hearabouts token (\S+?)\)", README))
    consents = pl.read_parquet(ROOT / "data/sample/consents.parquet").filter(
        pl.col("user_id") == user, pl.col("purpose") == "local_trends"
    )
    assert consents.sort("at")["state"].to_list()[-1:] == ["given"]
