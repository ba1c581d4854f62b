"""Files at rest: sealed for their place and day, readable with the right store key alone, gone with their day's key."""

import json
import os
import secrets
from collections.abc import Callable
from datetime import date, timedelta
from pathlib import Path

import pytest
from pydantic import SecretStr

from recsys import sealed_files as module
from recsys.errors import InputError, NotReadyError, SettingsError
from recsys.sealed_files import SEALED, SealedFiles
from recsys.settings import StoreSettings, load_settings
from recsys.store_key import forget_told
from recsys.workspace import replace_file

DAY, NEXT = date(2026, 10, 4), date(2026, 10, 5)
CONTENT = b"a canary among many rows " * 9
KEY = bytes(range(32))


def settings(**where: object) -> StoreSettings:
    return StoreSettings(nights=35, buckets=8, **where)  # type: ignore[arg-type]


@pytest.fixture
def private(tmp_path: Path) -> Path:
    (tmp_path / "private").mkdir(mode=0o700)
    return tmp_path / "private"


@pytest.fixture
def files(private: Path) -> SealedFiles:
    return SealedFiles(private, settings())


def bucket(private: Path, *, day: date = DAY, number: int = 1) -> Path:
    return private / "contributions" / f"date={day}" / f"bucket={number:02d}.parquet"


def written(files: SealedFiles, path: Path, content: bytes = CONTENT) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(files.sealed(content, path))
    return path


def test_what_is_sealed_opens_and_shows_nothing(files: SealedFiles, private: Path) -> None:
    path = written(files, bucket(private))
    assert files.read(path) == CONTENT
    assert SealedFiles(private, settings()).read(path) == CONTENT  # another process
    for file in private.parent.rglob("*"):
        assert not file.is_file() or b"canary" not in file.read_bytes()
    assert files.sealed(CONTENT, path) != files.sealed(CONTENT, path)  # no nonce twice


def test_keys_are_for_their_owner_alone_and_each_day_has_its_own(files: SealedFiles, private: Path) -> None:
    before = os.umask(0)
    try:
        for day in (DAY, NEXT):
            written(files, bucket(private, day=day))
    finally:
        os.umask(before)
    assert {path.stat().st_mode & 0o777 for path in (files.keys_file, files.default_key)} == {0o600}
    days = json.loads(files.keys_file.read_text())["days"]
    assert sorted(days) == [str(DAY), str(NEXT)]
    assert len(set(days.values())) == 2


@pytest.mark.parametrize("place", [{"number": 2}, {"day": NEXT}])
def test_a_file_in_the_place_of_another_does_not_open(
    files: SealedFiles, private: Path, place: dict[str, object]
) -> None:
    moved, there = written(files, bucket(private)), written(files, bucket(private, **place))  # type: ignore[arg-type]
    there.write_bytes(moved.read_bytes())
    with pytest.raises(InputError, match="not the file that was written there") as raised:
        files.read(there)
    assert str(there) in raised.value.message


@pytest.mark.parametrize("at", range(0, 300, 7))
def test_a_file_that_was_changed_anywhere_does_not_open(files: SealedFiles, private: Path, at: int) -> None:
    path = written(files, bucket(private))
    files.take_in()
    content = bytearray(path.read_bytes())
    content[at % len(content)] ^= 1
    path.write_bytes(content)
    with pytest.raises(InputError, match="cut off or damaged"):
        files.read(path)


@pytest.mark.parametrize("length", [0, 3, len(SEALED), len(SEALED) + 5, len(SEALED) + 20, -1])
def test_a_file_that_was_cut_off_does_not_open(files: SealedFiles, private: Path, length: int) -> None:
    path = written(files, bucket(private))
    files.take_in()
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(InputError, match="cut off or damaged"):
        files.read(path)


def test_the_key_of_a_day_that_is_over_is_destroyed_and_the_files_with_it(files: SealedFiles, private: Path) -> None:
    old, new = (written(files, bucket(private, day=day)) for day in (DAY, NEXT))
    copied = old.read_bytes()
    assert files.expire(NEXT) == 1
    assert files.expire(NEXT) == 0
    assert files.read(new) == CONTENT
    with pytest.raises(InputError, match="the key of its day is destroyed or lost"):
        files.read(old)
    files.sealed(CONTENT, old)  # a key of the same day again is another
    old.write_bytes(copied)
    with pytest.raises(InputError, match="not the file that was written there"):
        files.read(old)


def test_files_of_before_are_read_until_all_are_sealed(files: SealedFiles, private: Path) -> None:
    plain = [bucket(private), bucket(private, number=2), private / "evaluations" / f"date={DAY}" / "run.parquet"]
    for path in plain:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(CONTENT)
    assert [files.read(path) for path in plain] == [CONTENT] * 3
    assert files.take_in() == 3
    assert files.take_in() == 0
    assert all(path.read_bytes().startswith(SEALED) for path in plain)
    assert {path.stat().st_mode & 0o777 for path in plain} == {0o600}
    assert [files.read(path) for path in plain] == [CONTENT] * 3
    plain[0].write_bytes(CONTENT)
    with pytest.raises(InputError, match="it is not sealed"):
        files.read(plain[0])


@pytest.mark.parametrize("dies_at", range(5))
def test_a_crash_while_they_are_sealed_loses_nothing(
    files: SealedFiles, private: Path, monkeypatch: pytest.MonkeyPatch, dies_at: int
) -> None:
    """Two files, the key of their day, and the word that all are sealed: four files are written, and one never."""
    plain = [bucket(private, number=number) for number in (1, 2)]
    plain[0].parent.mkdir(parents=True)
    for path in plain:
        path.write_bytes(CONTENT)
    left = iter(range(dies_at, -1, -1))

    def dies(path: Path, content: bytes, *, mode: int) -> None:
        if next(left) == 0:
            raise KeyboardInterrupt
        replace_file(path, content, mode=mode)

    with monkeypatch.context() as crashing:
        crashing.setattr(module, "replace_file", dies)
        if dies_at < 4:
            with pytest.raises(KeyboardInterrupt):
                files.take_in()
    again = SealedFiles(private, settings())
    assert [again.read(path) for path in plain] == [CONTENT] * 2
    again.take_in()
    assert [again.read(path) for path in plain] == [CONTENT] * 2


def test_another_store_key_is_refused_before_anything_is_read(files: SealedFiles, private: Path) -> None:
    path = written(files, bucket(private))
    files.default_key.write_bytes(secrets.token_bytes(32))
    other = SealedFiles(private, settings())
    for use in (other.check, lambda: other.read(path), lambda: other.sealed(CONTENT, path), other.take_in):
        with pytest.raises(SettingsError, match="the store key is another"):
            use()


def test_a_lost_store_key_is_not_replaced(files: SealedFiles, private: Path) -> None:
    path = written(files, bucket(private))
    files.default_key.unlink()
    other = SealedFiles(private, settings())
    for use in (other.check, lambda: other.read(path), lambda: other.sealed(CONTENT, path)):
        with pytest.raises(SettingsError, match=r"store\.key is lost"):
            use()
    assert not files.default_key.exists()


def test_lost_keys_of_the_days_are_not_replaced_while_something_lies_sealed(files: SealedFiles, private: Path) -> None:
    path = written(files, bucket(private))
    files.keys_file.unlink()
    for use in (files.check, lambda: files.sealed(CONTENT, path), files.take_in):
        with pytest.raises(InputError, match=r"keys\.json is lost"):
            use()
    with pytest.raises(InputError, match="destroyed or lost"):
        files.read(path)


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"version": 1, "days": 3}', '{"version": 9, "store_key": ""}'])
def test_damaged_keys_are_named(files: SealedFiles, private: Path, damage: str) -> None:
    written(files, bucket(private))
    files.keys_file.write_text(damage)
    with pytest.raises(InputError, match=r"keys\.json"):
        SealedFiles(private, settings()).check()


def outside(tmp_path: Path) -> dict[str, StoreSettings]:
    for name, content in (("raw", KEY), ("hex", KEY.hex().encode() + b"\n")):
        (tmp_path / name).touch(mode=0o600)
        (tmp_path / name).write_bytes(content)
    return {
        "file": settings(key_file=tmp_path / "raw"),
        "hex file": settings(key_file=tmp_path / "hex"),
        "variable": settings(key=SecretStr(KEY.hex())),
        "command": settings(key_command=SecretStr(f"cat '{tmp_path}/hex'")),
    }


@pytest.mark.parametrize("where", ["file", "hex file", "variable", "command"])
def test_the_store_key_may_be_elsewhere(private: Path, tmp_path: Path, where: str) -> None:
    forget_told()
    files = SealedFiles(private, outside(tmp_path)[where])
    path = written(files, bucket(private))
    assert not files.default_key.exists()
    assert SealedFiles(private, settings(key=SecretStr(KEY.hex()))).read(path) == CONTENT
    assert all(KEY not in file.read_bytes() for file in private.rglob("*") if file.is_file())


def not_there(tmp_path: Path) -> StoreSettings:
    return settings(key_file=tmp_path / "nowhere")


def everybody_s(tmp_path: Path) -> StoreSettings:
    (tmp_path / "key").write_bytes(KEY)
    (tmp_path / "key").chmod(0o604)
    return settings(key_file=tmp_path / "key")


def too_short(_: Path) -> StoreSettings:
    return settings(key=SecretStr("secret-canary"))


def no_program(_: Path) -> StoreSettings:
    return settings(key_command=SecretStr("/nowhere/vault secret-canary"))


def says_nothing(_: Path) -> StoreSettings:
    return settings(key_command=SecretStr("true secret-canary"))


def fails(_: Path) -> StoreSettings:
    return settings(key_command=SecretStr("false secret-canary"))


@pytest.mark.parametrize(
    ("where", "kind", "message"),
    [
        (not_there, SettingsError, "cannot be read"),
        (everybody_s, SettingsError, "its mode is 0604, expected 0600"),
        (too_short, SettingsError, "expected 64 hex digits"),
        (no_program, SettingsError, "cannot be run"),
        (says_nothing, SettingsError, "expected 64 hex digits"),
        (fails, NotReadyError, "failed"),
    ],
)
def test_a_store_key_that_cannot_be_had_is_told_without_a_secret(
    private: Path, tmp_path: Path, where: Callable[[Path], StoreSettings], kind: type[Exception], message: str
) -> None:
    forget_told()
    with pytest.raises(kind, match=message) as raised:
        SealedFiles(private, where(tmp_path)).sealed(CONTENT, bucket(private))
    assert "canary" not in f"{raised.value} {raised.value.__cause__} {where(tmp_path)!r}"
    assert list(private.iterdir()) == []


def test_two_places_of_one_key_are_refused_and_none_is_in_a_dump() -> None:
    with pytest.raises(ValueError, match="there is one store key"):
        settings(key=SecretStr(KEY.hex()), key_command=SecretStr("true"))
    flat = load_settings(overrides={"store": {"key_command": "vault secret-canary"}}).flat()
    assert "canary" not in str(flat)
    assert not any(name.startswith("store.key") for name in flat)


def test_the_keys_of_the_days_go_under_another_store_key_at_once(files: SealedFiles, private: Path) -> None:
    paths = [written(files, bucket(private, day=DAY + timedelta(days=days))) for days in range(3)]
    assert files.rewrap(KEY) == 3
    with pytest.raises(SettingsError, match="another"):
        SealedFiles(private, settings()).check()
    other = SealedFiles(private, settings(key=SecretStr(KEY.hex())))
    other.check()
    assert [other.read(path) for path in paths] == [CONTENT] * 3
