"""The image of examples/Containerfile: built where a builder is at hand, and its steps done without one elsewhere."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILE = ROOT / "examples" / "Containerfile"
INSTRUCTIONS = [
    tuple(line.split(maxsplit=1))
    for line in FILE.read_text().replace("\\\n", " ").splitlines()
    if line and not line.startswith("#")
]
SECRETS = re.compile(r"\b(workspace|mlruns|data|tests)\b")


def of(word: str) -> list[str]:
    return [rest for instruction, rest in INSTRUCTIONS if instruction == word]


def test_what_runs_is_no_root_and_writes_only_where_it_is_told() -> None:
    assert [image.split()[0] for image in of("FROM")] == ["python:3.11-slim"] * 2  # an image's name, of no registry
    last = INSTRUCTIONS[max(at for at, (word, _) in enumerate(INSTRUCTIONS) if word == "FROM") :]
    made = next(rest for word, rest in last if word == "RUN")
    assert ("useradd --system" in made, dict(last)["USER"]) == (True, "hearabouts")
    volumes = re.findall(r'"(.*?)"', dict(last)["VOLUME"])
    assert volumes == ["/srv/hearabouts/workspace", "/srv/hearabouts/mlruns"]
    assert all(f" {volume}" in made for volume in volumes)  # made for that user, as a new volume takes its owner
    assert [name for word, rest in last if word == "COPY" for name in rest.split()[:1]] == ["--from=build"]


def test_nothing_private_is_copied_and_all_that_is_copied_is_there() -> None:
    sources = [source for rest in of("COPY") if "--from" not in rest for source in rest.split()[:-1]]
    assert sources
    assert [source for source in sources if not (ROOT / source).exists() or SECRETS.search(source)] == []


@pytest.mark.slow
def test_what_its_steps_make_is_whole_and_runs(tmp_path: Path) -> None:
    """The steps are done in order, without root and network: what the lock file would bring is this environment's.

    All files that the program needs are in it, and its entry point runs where it may write to the two volumes alone.
    """
    source, venv, home = tmp_path / "src", tmp_path / "opt" / "hearabouts", tmp_path / "srv" / "hearabouts"
    for word, rest in INSTRUCTIONS:
        if word == "COPY" and "--from" not in rest:
            *names, target = rest.split()
            for name in names:
                copy(ROOT / name, source / (name if target == "./" else target))
        for step in rest.split("&&") if word == "RUN" else ():
            done_in(step, tmp_path, venv=venv)
    (site,) = venv.glob("lib/python*/site-packages")
    there = {str(path.relative_to(site)) for path in site.rglob("*") if path.is_file()}
    needed = {
        str(path.relative_to(ROOT))
        for zone in ("recsys", "pipelines")
        for path in (ROOT / zone).rglob("*")
        if path.is_file() and not {"__pycache__", "node_modules", "built"} & {*path.parts}
    }
    assert needed - there == set()
    assert sorted(path.name for path in home.iterdir()) == ["mlruns", "workspace"]
    assert {path.stat().st_mode & 0o777 for path in (home, *home.iterdir())} == {0o750}
    command = [venv / "bin" / name for name in re.findall(r'"(.*?)"', dict(INSTRUCTIONS)["ENTRYPOINT"])]
    default = re.findall(r'"(.*?)"', dict(INSTRUCTIONS)["CMD"])
    for arguments, code in ((default, 0), (["nightly", "--help"], 0), (["doctor"], 75)):  # nothing is published
        environment = {"PATH": f"{venv / 'bin'}:/usr/bin:/bin", "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        ran = subprocess.run([*command, *arguments], cwd=home, env=environment, capture_output=True, text=True)
        assert ran.returncode == code, ran.stderr
    assert [path.name for path in home.rglob("*") if path.parent == home] == ["mlruns", "workspace"]


def done_in(step: str, folder: Path, *, venv: Path) -> None:
    """Do a step of a RUN instruction with all its absolute paths in a folder."""
    words = [f"{folder}{word}" if word.startswith("/") else word for word in step.split()]
    if words[0] == "useradd":
        return  # root alone can, and so what the user would own is whoever's who runs the tests
    if "--require-hashes" in words:  # the network: instead, what is installed here is taken along
        (site,) = venv.glob("lib/python*/site-packages")
        (site / "here.pth").write_text("\n".join(path for path in sys.path if path.endswith("site-packages")))
        return
    if words[:3] == ["python", "-m", "venv"]:
        words = [sys.executable, *words[1:3], "--without-pip", *words[3:]]
    elif words[:2] == ["pip", "install"]:
        words = [sys.executable, "-m", "pip", "--python", str(venv / "bin" / "python"), *words[1:], "--no-index"]
    else:
        words = [word for at, word in enumerate(words) if not {word, words[at - 1]} & {"-o", "-g"}]
    (folder / "src").mkdir(exist_ok=True)
    subprocess.run(words, cwd=folder / "src", check=True, capture_output=True)


def copy(source: Path, target: Path) -> None:
    ignored = shutil.ignore_patterns("__pycache__", "node_modules", "built")
    target.parent.mkdir(parents=True, exist_ok=True)
    shutil.copytree(source, target, ignore=ignored) if source.is_dir() else shutil.copy(source, target)


@pytest.mark.slow
def test_the_image_is_built(tmp_path: Path) -> None:
    builders = [name for name in ("podman", "buildah", "docker") if shutil.which(name)]
    working = [name for name in builders if subprocess.run([name, "info"], capture_output=True).returncode == 0]
    if not working:
        pytest.skip("there is no podman, buildah or docker on this machine, or none that can build")
    command = [working[0], "build", "-f", FILE, "-t", "hearabouts-test", ROOT]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode and re.search(r"resolve|registry|network|dial|timeout", done.stderr, re.IGNORECASE):
        pytest.skip("the base image or packages cannot be fetched from here")
    assert done.returncode == 0, done.stderr
    if working[0] != "buildah":
        run = [working[0], "run", "--rm", "--read-only", "--tmpfs", "/tmp", "hearabouts-test", "--help"]
        assert subprocess.run(run, capture_output=True).returncode == 0
