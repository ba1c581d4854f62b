"""The workspace: whole or not at all, one job at a time, secrets for their owner."""

import hashlib
import json
import os
from pathlib import Path

import pytest

from recsys import workspace as module
from recsys.errors import InputError, NotReadyError, SettingsError
from recsys.workspace import Workspace, listener_of, read_manifest, replace_file, staged, sweep, write_manifest


class CutOffError(Exception):
    """Stands for a crash."""


def test_a_stage_becomes_its_target(tmp_path: Path) -> None:
    with staged(tmp_path / "deep" / "target") as stage:
        (stage / "sub").mkdir()
        (stage / "sub" / "file").write_text("whole")
        assert not (tmp_path / "deep" / "target").exists()
    assert (tmp_path / "deep" / "target" / "sub" / "file").read_text() == "whole"
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["target"]


def test_a_stage_replaces_the_target_as_a_whole(tmp_path: Path) -> None:
    for name in ("old", "new"):
        with staged(tmp_path / "target") as stage:
            (stage / name).touch()
    assert [path.name for path in (tmp_path / "target").iterdir()] == ["new"]


def _cut_off(path: Path) -> None:
    raise CutOffError


def test_a_failure_in_the_block_leaves_the_old_target(tmp_path: Path) -> None:
    with staged(tmp_path / "target") as stage:
        (stage / "old").touch()
    with pytest.raises(CutOffError), staged(tmp_path / "target") as stage:
        _cut_off(stage)
    assert [path.name for path in tmp_path.rglob("*")] == ["target", "old"]


def test_a_failure_to_reach_the_disk_leaves_the_old_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with staged(tmp_path / "target") as stage:
        (stage / "old").touch()
    monkeypatch.setattr(module, "fsync", _cut_off)
    with pytest.raises(CutOffError), staged(tmp_path / "target") as stage:
        (stage / "new").touch()
    assert [path.name for path in tmp_path.rglob("*")] == ["target", "old"]


def test_everything_is_on_disk_before_the_rename(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[str] = []
    monkeypatch.setattr(
        module, "fsync", lambda path: synced.append(path.name if path == tmp_path or path.is_file() else "stage")
    )
    with staged(tmp_path / "target") as stage:
        (stage / "file").touch()
    assert synced == ["file", "stage", tmp_path.name]


def test_what_a_crash_left_is_swept(tmp_path: Path) -> None:
    (tmp_path / ".target.00ff.staged" / "sub").mkdir(parents=True)
    (tmp_path / ".file.00ff.staged").touch()
    (tmp_path / "kept").touch()
    sweep(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["kept"]


def test_a_replaced_file_is_old_or_new(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "current"
    replace_file(file, b"old", mode=0o600)
    assert file.stat().st_mode & 0o777 == 0o600
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", _cut_off)
        with pytest.raises(CutOffError):
            replace_file(file, b"new")
    assert file.read_bytes() == b"old"
    replace_file(file, b"new")
    assert file.read_bytes() == b"new"


def test_a_manifest_finds_every_change(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("one")
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b").write_text("two")
    write_manifest(tmp_path, {"id": "x"})
    assert read_manifest(tmp_path)["id"] == "x"
    for change in (lambda f: f.write_text("owt"), lambda f: f.write_text("two and more"), lambda f: f.unlink()):
        change(tmp_path / "sub" / "b")
        with pytest.raises(InputError, match="is not the file that was published"):
            read_manifest(tmp_path)


@pytest.mark.parametrize("content", [None, "", "{"])
def test_a_folder_without_a_readable_manifest_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(InputError, match="no readable manifest"):
        read_manifest(tmp_path)


def test_a_manifest_is_the_same_for_the_same_files(tmp_path: Path) -> None:
    for name in ("b", "a"):
        (tmp_path / name).write_text(name)
    write_manifest(tmp_path, {"z": 1, "a": 2})
    assert list(json.loads((tmp_path / "manifest.json").read_text())["files"]) == ["a", "b"]


def test_a_manifest_of_some_files_may_vouch_for_a_manifest_of_others(tmp_path: Path) -> None:
    (tmp_path / "a").write_text("a")
    (tmp_path / "public").mkdir()
    (tmp_path / "public" / "b").write_text("b")
    write_manifest(tmp_path / "public", {})
    write_manifest(tmp_path, {}, names=["public/manifest.json", "a"])
    (tmp_path / "public" / "b").write_text("c")
    assert list(read_manifest(tmp_path)["files"]) == ["a", "public/manifest.json"]
    (tmp_path / "public" / "manifest.json").write_text("{}")
    with pytest.raises(InputError, match="is not the file that was published"):
        read_manifest(tmp_path)


def test_a_folder_of_many_files_is_brought_to_the_disk_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    each, whole = list[Path](), []
    monkeypatch.setattr("recsys.workspace.fsync", each.append)
    monkeypatch.setattr("recsys.workspace.os.sync", lambda: whole.append(len(each)))
    monkeypatch.setattr("recsys.workspace.sys.platform", "linux")
    with staged(tmp_path / "target") as stage:
        (stage / "many").mkdir()
        for number in range(300):
            (stage / "many" / str(number)).touch()
        (stage / "manifest.json").touch()
    assert whole == [0]  # before the others: what follows names what is there
    assert [path.name for path in each[:-2]] in (["many", "manifest.json"], ["manifest.json", "many"])
    assert [each[-2], each[-1]] == [stage, tmp_path]


def test_a_second_job_is_told_to_wait(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w").prepare()
    with (
        workspace.locked(),
        pytest.raises(NotReadyError, match="another job") as raised,
        Workspace(tmp_path / "w").locked(),
    ):
        pass
    assert raised.value.exit_code == 75
    with workspace.locked():
        pass


def test_secrets_are_made_once_and_for_their_owner_alone(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "w").prepare()
    key = workspace.listener_key()
    assert len(key) == 32
    assert key == Workspace(tmp_path / "w").listener_key() != workspace.token_key()
    assert {path.stat().st_mode & 0o777 for path in workspace.root.glob("*.key")} == {0o600}
    assert workspace.private.stat().st_mode & 0o777 == 0o700


@pytest.mark.parametrize(
    "begun", ["releases/2026-10-01", "private/nights/2026-10-01.json", "private/contributions/date=2026-10-01"]
)
def test_a_lost_listener_key_is_not_made_anew(tmp_path: Path, begun: str) -> None:
    workspace = Workspace(tmp_path / "w").prepare()
    (workspace.root / begun).mkdir(parents=True)
    with pytest.raises(SettingsError, match=r"listener\.key is lost"):
        workspace.listener_key()
    assert not workspace.listener_key_file.exists()


def test_a_listener_is_nothing_without_the_key() -> None:
    found = [listener_of(user, key=key) for user in ("ana", "bo") for key in (bytes(32), b"\x01" * 32)]
    assert len({*found, hashlib.blake2b(b"ana", digest_size=16).hexdigest()}) == 5
    assert listener_of("ana", key=bytes(32)) == found[0]
    assert all(len(listener) == 32 and set(listener) <= set("0123456789abcdef") for listener in found)
