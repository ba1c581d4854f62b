"""What docs/operating.md says is so: its commands are run in order, its files are those of examples/, and they work."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any
from urllib.request import urlopen

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families
from support import night
from support.commands import Done, Run
from support.proxying import configured, program
from support.unit_files import sections

from pipelines.__main__ import app
from pipelines.base.job_context import Sources
from pipelines.night.nightly import run_night
from pipelines.night.schedule import plan_nights
from pipelines.night.settle import _ACCEPTED
from pipelines.privacy.import_consents import import_consents
from recsys.errors import RecsysError
from recsys.releases.budget.ledger import Ledger
from recsys.releases.budget.witnessing import SKEW
from recsys.settings import load_settings
from recsys.workspace import Workspace

ROOT = Path(__file__).parents[2]
EXAMPLES = ROOT / "examples"
PAGE = (ROOT / "docs" / "operating.md").read_text(encoding="utf-8")
SECTIONS = dict(re.findall(r"^## (.*?)\n(.*?)(?=^## |\Z)", PAGE, re.M | re.S))
COMMANDS = {
    title: [line[2:] for block in re.findall(r"```console\n(.*?)```", text, re.S) for line in block.splitlines()]
    for title, text in SECTIONS.items()
}
SETTINGS = (
    f"{night.AREA_IN_TOML}[store]\nbuckets = 4\n"
    "[models]\nfactors = 4\niterations = 2\nmin_listeners_per_track = 2\nmin_listeners_per_region = 4\n"
)
USERS = [f"user-{number}" for number in range(12)]
NIGHTLY = "hearabouts nightly --listens listens --catalogue catalogue.csv"
WITH_CONSENTS = "nightly --listens listens --consents consents.csv --catalogue catalogue.csv"
SCHEDULED = f"/opt/hearabouts/bin/hearabouts {WITH_CONSENTS} --settings settings.toml"
Tasks = dict[str, Callable[[], Any]]
OF_REQUESTS = {
    "unknown-purpose",
    "unknown-receipt",
    "unknown-list",
    "unknown-picture",
    "large-picture",
    "no-picture",
    "unknown-night",
    "unknown-song",
    "too-many-requests",
    "stale-notice",
    "opted-out",
}


@pytest.mark.skipif(not (shutil.which("sqlite3") and shutil.which("flock")), reason="sqlite3 or flock is not installed")
def test_a_backup_is_made_restored_refused_and_settled_as_the_page_says(hearabouts: Run, tmp_path: Path) -> None:
    sources = night.write_world(tmp_path, nights=2, users=USERS)
    (tmp_path / "settings.toml").write_text(SETTINGS)

    def run(command: str) -> Done:
        if command.startswith("hearabouts "):
            return hearabouts(*shlex.split(command)[1:], "--settings", "settings.toml")
        done = subprocess.run(["bash", "-c", command], cwd=tmp_path, capture_output=True, text=True)
        return Done(done.returncode, done.stdout, done.stderr)

    assert run_due(tmp_path, sources) == 2
    commands = COMMANDS["Backup"] + COMMANDS["Restore"]
    assert len(commands) == 10
    for command in commands:
        if command == "mv workspace damaged":  # some time after the backup
            add_night(tmp_path, 2)
            assert run_due(tmp_path, sources) == 1
        if command.endswith("--accept spends"):
            refused = run(NIGHTLY)
            assert (refused.code, refused.summary["problem"]) == (77, "privacy-budget")
            assert "hearabouts privacy settle --accept spends" in refused.summary["hint"]
            add_night(tmp_path, 3)
        done = run(command)
        assert done.code == 0, (command, done.err)
        if command == "hearabouts privacy settle":
            assert list(done.summary["lost"]) == ["spends"]
        if command == "hearabouts privacy report":
            assert (done.summary["witness"]["drawn"], done.summary["witness"]["lost"]) == (3, 0)
            assert "saw the same 3 releases as the ledger" in " ".join(done.out.split())
    assert (done.summary["nights"], done.summary["through"]) == (1, "2026-10-04")
    first, *_, lost, last = Ledger(tmp_path / "workspace" / "ledger.db").entries()
    damaged = Ledger(tmp_path / "damaged" / "ledger.db").entries()
    assert lost.release == damaged[-1].release
    assert last.spend.night == night.night_of(3)
    seen = "the witness saw this drawn"
    assert seen in run(f"hearabouts privacy verify workspace/releases/{first.spend.night}").out
    assert run(f"hearabouts privacy verify damaged/releases/{lost.spend.night} --workspace damaged").code == 0
    (tmp_path / "mlruns" / "witness.db").rename(tmp_path / "elsewhere.db")
    assert run(NIGHTLY).code == 77
    assert run("hearabouts privacy report").summary["witness"] is None


@pytest.mark.slow
def test_a_deployment_runs_as_the_page_says(
    hearabouts: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    """From the first night over a missing one, an erasure and PostgreSQL to an upgrade; alerts watch what is there."""
    night.write_world(tmp_path, nights=2, users=USERS)
    (tmp_path / "settings.toml").write_text(SETTINGS)
    try:
        monkeypatch.setenv("CONSENTS", request.getfixturevalue("postgresql").new_database())
        tried = {*COMMANDS}
    except pytest.skip.Exception as reason:
        tried, without = {*COMMANDS} - {"PostgreSQL for consents"}, reason

    def run(command: str) -> Done:
        words = [os.path.expandvars(word) for word in shlex.split(command)]
        if words[0] == "export":
            monkeypatch.setenv(*words[1].split("=", 1))
            return Done(0, "", "")
        assert words[0] == "hearabouts"
        return hearabouts(*words[1:], "--settings", "settings.toml")

    for section in (
        "Install",
        "Every day",
        "A night that does not look whole",
        "Erasure requests",
        "PostgreSQL for consents",
        "Upgrade",
    ):
        assert COMMANDS[section]
        if section == "A night that does not look whole":  # 2 is missing
            add_night(tmp_path, 3)
            refused = run(NIGHTLY)
            assert (refused.code, refused.summary["problem"]) == (65, "incomplete-night")
        for command in COMMANDS[section] if section in tried else ():
            done = run(command)
            assert done.code == 0, (command, done.out, done.err)
    assert done.summary["status"] == "nothing new"
    assert [entry.spend.night for entry in Ledger(tmp_path / "workspace" / "ledger.db").entries()] == [
        night.night_of(number) for number in (0, 1, 3)
    ]
    edge_answers(tmp_path)
    if "PostgreSQL for consents" not in tried:
        pytest.skip(f"all but PostgreSQL was tried: {without}")


def edge_answers(folder: Path) -> None:
    """Start the endpoint as its unit does, but for the port: every metric that an alert reads is there."""
    command = sections(EXAMPLES / "systemd" / "hearabouts-edge.service")["Service"]["ExecStart"].split()
    assert command[:2] == ["/opt/hearabouts/bin/hearabouts", "serve"]
    started = [sys.executable, "-m", "pipelines", *command[1:-1], "0"]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with (folder / "edge.log").open("wb") as log:
        process = subprocess.Popen(started, cwd=folder, env=environment, stdout=log, stderr=log)
    try:
        url = wait_for_url(folder / "edge.log", process)
        assert b"ready" in urlopen(f"{url}/readyz").read()
        families = list(text_string_to_metric_families(urlopen(f"{url}/metrics").read().decode()))
        there = {sample.name for family in families for sample in family.samples} | {"up"}
        (group,) = yaml.safe_load((EXAMPLES / "alerts.yml").read_text())["groups"]
        read = {name for rule in group["rules"] for name in re.findall(r"\b(hearabouts_\w+|up\b)", rule["expr"])}
        assert len(read) > 6
        assert read <= there
        assert all(rule["annotations"]["summary"].endswith(".") for rule in group["rules"])
    finally:
        process.send_signal(signal.SIGTERM)
        code = process.wait(timeout=30)
    assert code == 0


def wait_for_url(log: Path, process: "subprocess.Popen[bytes]") -> str:
    for _ in range(600):
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            return found.group()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(timeout=0.1)
    raise AssertionError(log.read_text())


def run_due(folder: Path, sources: Sources) -> int:
    """Release the nights that are due, as a night does it; what is published of them is not of interest here."""
    job = night.deployed(folder, sources, night.small_settings(folder / "mlruns"))
    with job.begun():
        import_consents(folder / "consents.csv", workspace=job.workspace, settings=job.settings)
        due = plan_nights(job).due
        for some in due:
            run_night(job, some)
    return len(due)


def add_night(folder: Path, number: int) -> None:
    some = night.night_of(number)
    night.write_listens(folder / "listens", some, night.plays(some, users=USERS))


def test_every_setting_and_word_that_the_page_names_exists() -> None:
    told = re.findall(r"^\| `(\w+)` \|", PAGE.split("| `--accept` |")[1], re.M)
    assert sorted(told) == sorted(_ACCEPTED)
    assert f"at most {SKEW.seconds // 60} minutes" in PAGE


def test_every_console_command_is_tried_by_one_of_these_tests() -> None:
    tried = {"Install", "Every day", "A night that does not look whole", "Erasure requests", "PostgreSQL for consents"}
    tried |= {"Upgrade", "Backup", "Restore"}
    assert {title for title, commands in COMMANDS.items() if commands} == tried


def test_every_quoted_file_is_the_one_in_examples() -> None:
    quoted = re.findall(r"```(ini|text|python|dockerfile|yaml)\n(.*?)```", PAGE, re.S)
    files = [
        path
        for path in EXAMPLES.rglob("*")
        if path.is_file() and path.suffix not in {".toml", ".conf", ".ipynb", ".pyc"}
    ]
    files = [path for path in files if path.name != "contacts.py"]  # which is for who writes an app
    assert len(files) == 8
    assert [path.name for path in files if path.read_text() not in {text for _, text in quoted}] == []
    others = [text for _, text in quoted if text not in {path.read_text() for path in files}]
    assert ["pip install" in others[0], "docker run" in others[1], len(others)] == [True, True, 2]


def test_every_link_leads_somewhere() -> None:
    links = [link for link in re.findall(r"\]\(([^)]+)\)", PAGE) if "://" not in link]
    assert [link for link in links if not (ROOT / "docs" / link.partition("#")[0]).exists()] == []
    anchors = {
        re.sub(r"[^a-z0-9 -]", "", title.lower()).replace(" ", "-") for title in re.findall(r"^#+ (.*)", PAGE, re.M)
    }
    assert {link[1:] for link in links if link.startswith("#")} <= anchors


def test_the_table_of_exit_codes_is_the_code_s() -> None:
    families = [RecsysError]
    for family in families:
        families.extend(family.__subclasses__())
    found = {(family.exit_code, family.problem) for family in families if family.problem not in OF_REQUESTS}
    table = SECTIONS["Exit codes"]
    told = {
        (int(code), problem)
        for code, problems in re.findall(r"^\| (\d+) \| (.*?) \|", table, re.M)
        for problem in re.findall(r"`([a-z-]+)`", problems)
    }
    assert told == found | {(1, "unforeseen")}
    final = {code for code, _ in found} - {75}
    assert "Exit codes: 0 done, 2 usage, 65 bad data, 75 try again, 77 consent or budget refused, 78 settings." in str(
        app.help_epilogue
    )
    unit = sections(EXAMPLES / "systemd" / "hearabouts-nightly.service")["Service"]
    assert {int(code) for code in unit["RestartPreventExitStatus"].split()} == final


def test_the_settings_of_a_deployment_are_settings() -> None:
    settings = load_settings(EXAMPLES / "production.toml")
    assert settings.serving.proxies == ("127.0.0.1",)


def test_units_cron_and_dag_run_the_night_that_was_tried() -> None:
    assert COMMANDS["Install"][-1] == f"hearabouts {WITH_CONSENTS}"
    unit = sections(EXAMPLES / "systemd" / "hearabouts-nightly.service")["Service"]
    assert unit["ExecStart"] == SCHEDULED
    assert f"&& {SCHEDULED} >" in (EXAMPLES / "hearabouts.cron").read_text()
    for name in ("nightly", "edge"):
        service = sections(EXAMPLES / "systemd" / f"hearabouts-{name}.service")["Service"]
        assert (service["User"], service["WorkingDirectory"]) == ("hearabouts", "/srv/hearabouts")
        assert service["ProtectSystem"] == "strict"
        assert "/srv/hearabouts/workspace" in service["ReadWritePaths"]


def test_systemd_understands_the_units(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("there is no systemd-analyze on this machine")
    stub(tmp_path, "exit 0")
    units = []
    for path in sorted((EXAMPLES / "systemd").iterdir()):
        units.append(tmp_path / path.name)
        units[-1].write_text(path.read_text().replace("/opt/hearabouts", str(tmp_path)))
    assert len(units) == 3
    done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], capture_output=True, text=True)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "hearabouts" in line]) == (0, [])


@pytest.mark.parametrize("code", [0, 65])
def test_cron_sends_a_mail_only_where_a_night_failed(tmp_path: Path, code: int) -> None:
    stub(tmp_path, f'echo "$@"; echo log >&2; exit {code}')
    lines = (EXAMPLES / "hearabouts.cron").read_text().splitlines()
    (line,) = [line for line in lines if re.match(r"[\d,*]", line)]
    *_, user, command = line.split(maxsplit=6)
    assert (user, "%" in line) == ("hearabouts", False)  # which cron takes for the end of a line
    command = command.replace("/opt/hearabouts", str(tmp_path)).replace("/srv/hearabouts", str(tmp_path))
    done = subprocess.run(["/bin/sh", "-c", command], cwd="/", capture_output=True, text=True)
    assert (tmp_path / "night.out").read_text().strip() == f"{WITH_CONSENTS} --settings settings.toml"
    assert done.stdout == (f"log\n{(tmp_path / 'night.out').read_text()}" if code else "")


@pytest.mark.parametrize("code", [0, 65, 75, 78])
def test_the_dag_tries_again_only_what_passes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    """Airflow itself is not needed: what a task is, is its function."""
    stub(tmp_path, f'echo tables; echo \'{{"status": "x", "message": "said", "args": "\'"$*"\'"}}\'; exit {code}')
    tasks, ended = stand_in_for_airflow(monkeypatch)
    source = (EXAMPLES / "airflow_dag.py").read_text()
    source = source.replace("/opt/hearabouts", str(tmp_path)).replace("/srv/hearabouts", str(tmp_path))
    exec(compile(source, "airflow_dag.py", "exec"), {})
    if code:
        with pytest.raises(ended[code == 75], match="said"):
            tasks["nightly"]()
    else:
        assert tasks["nightly"]()["args"] == f"{WITH_CONSENTS} --settings settings.toml"


def stand_in_for_airflow(monkeypatch: pytest.MonkeyPatch) -> tuple[Tasks, list[type[Exception]]]:
    """Put modules in the place of Airflow's, which keep the functions of tasks; return these and two exceptions."""
    tasks: Tasks = {}

    def task(**options: object) -> Callable[[Callable[[], Any]], Callable[[], None]]:
        assert options["retries"]
        return lambda function: lambda: tasks.update({function.__name__: function})

    failed, again = type("AirflowFailException", (Exception,), {}), type("AirflowException", (Exception,), {})
    dag = lambda **_: lambda function: function  # noqa: E731
    modules = {
        "airflow": {},
        "airflow.sdk": {"task": task, "dag": dag},
        "airflow.exceptions": {"AirflowFailException": failed, "AirflowException": again},
    }
    for name, content in modules.items():
        module = ModuleType(name)
        vars(module).update(content)
        monkeypatch.setitem(sys.modules, name, module)
    return tasks, [failed, again]


def stub(folder: Path, script: str) -> None:
    """Put a program in the place of the command line's."""
    file = folder / "bin" / "hearabouts"
    file.parent.mkdir()
    file.write_text(f"#!/bin/sh\n{script}\n")
    file.chmod(0o755)


def test_prometheus_understands_its_files() -> None:
    config = yaml.safe_load((EXAMPLES / "prometheus.yml").read_text())
    (job,) = config["scrape_configs"]
    rules = yaml.safe_load((EXAMPLES / "alerts.yml").read_text())["groups"][0]["rules"]
    assert (EXAMPLES / config["rule_files"][0]).exists()
    assert f'up{{job="{job["job_name"]}"}} == 0' in [rule["expr"] for rule in rules]
    if shutil.which("promtool") is None:
        pytest.skip("all but their expressions: there is no promtool on this machine")
    assert subprocess.run(["promtool", "check", "config", EXAMPLES / "prometheus.yml"]).returncode == 0


def test_nginx_takes_the_lines_for_tls(tmp_path: Path) -> None:
    if shutil.which("openssl") is None:
        pytest.skip("there is no openssl on this machine")
    nginx = program()
    subject = ["-subj", "/CN=localhost", "-days", "2"]
    made = ["-keyout", tmp_path / "key.pem", "-out", tmp_path / "fullchain.pem"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *made], check=True, capture_output=True
    )
    (block,) = re.findall(r"```nginx\n(.*?)```", PAGE, re.S)
    block = block.replace("/etc/ssl/hearabouts", str(tmp_path)).replace("443", "127.0.0.1:8443").strip()
    text = configured(Workspace(tmp_path), endpoint="127.0.0.1:1", port=8443, folder=tmp_path)
    assert text.count("listen 127.0.0.1:8443;") == 1
    (tmp_path / "nginx.conf").write_text(text.replace("listen 127.0.0.1:8443;", block))
    done = subprocess.run(
        [nginx, "-t", "-e", tmp_path / "e.log", "-c", tmp_path / "nginx.conf"], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_the_containers_commands_fit_the_command_line(monkeypatch: pytest.MonkeyPatch) -> None:
    (block,) = [text for text in re.findall(r"```text\n(.*?)```", PAGE, re.S) if "docker run" in text]
    runs = [line for line in block.splitlines() if "docker run" in line]
    assert len(runs) == 2
    for line in runs:
        options, command = line.split(" hearabouts ", 1)
        assert "--read-only --tmpfs /tmp" in options
        assert app.parse_args(shlex.split(command), exit_on_error=False, print_error=False)
