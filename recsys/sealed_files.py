"""Files at rest: whatever is about single listeners is sealed with a key of its day, and these keys with the store key.

``private/keys.json`` (mode 0600) holds the key of each day, random and wrapped (RFC 3394) under the store key, whose
fingerprint it knows. A sealed file is a mark, a nonce, and AES-256-GCM over the whole content, bound to its place below
``private/``: one that was changed, cut off or put in the place of another does not open. Where a day's key is
destroyed, nothing of that day can be read any more, in whatever copy of the files. The store key is
:mod:`recsys.store_key`'s.

Files of before, which are plain, are read until a night has sealed them all, and refused from then on.
"""

import fcntl
import json
import os
import re
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import date
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.keywrap import InvalidUnwrap, aes_key_unwrap, aes_key_wrap

from recsys.errors import InputError, SettingsError
from recsys.settings import StoreSettings
from recsys.store_key import DEFAULT, forget_told, is_in_workspace, store_key
from recsys.versions import check_version
from recsys.workspace import KEY_BYTES, accepting, fingerprint, fsync, replace_file

FOLDERS = ("contributions", "evaluations", "tastes")
"""What is sealed, below ``private/``."""

SEALED = b"hearabouts-sealed-1\n"
"""What a sealed file begins with."""

_NONCE = 12  # bytes; random: a day's key seals some thousands of files, where 2^32 would be too many
_VERSION = 1
_DAY = re.compile(r"\d{4}-\d\d-\d\d")
_RESTORE = "Restore it from a backup."


@dataclass(frozen=True)
class Keys:
    """The keys of the days, as they lie on the disk.

    Parameters
    ----------
    store_key : str
        The fingerprint of the one that wraps them.
    all_sealed : bool
        Whether nothing plain is left, and none is believed.
    days : mapping of str to str
        Wrapped keys in hex, by day in ISO form.
    """

    store_key: str
    all_sealed: bool = False
    days: Mapping[str, str] = field(default_factory=dict, repr=False)


class SealedFiles:
    """The sealed files below one private folder.

    Parameters
    ----------
    private : Path
        ``workspace/private``.
    settings : StoreSettings
        Where the store key is.
    """

    def __init__(self, private: Path, settings: StoreSettings) -> None:
        self.private, self.settings = private, settings
        self.keys_file, self.default_key = private / "keys.json", private.parent / DEFAULT
        self._opened: dict[str, bytes] = {}  # unwrapped keys by wrapped ones
        self._seen: tuple[object, Keys | None] = (None, None)

    def check(self) -> None:
        """Open the key of every day, so that a wrong store key is found before anything is spent.

        Raises
        ------
        SettingsError
            If the store key is missing or another.
        InputError
            If the keys are lost or damaged.
        """
        keys = self._keys()
        if keys is None:
            self._check_unsealed()
        else:
            self._store_key(keys)
            for day in keys.days:
                self._key(keys, day)

    def read(self, path: Path) -> bytes:
        """Return the content of a file, sealed or of before.

        Raises
        ------
        FileNotFoundError
            If it is not there.
        InputError
            If it does not open; the message names it.
        SettingsError
            If the store key is missing or another.
        """
        content = path.read_bytes()
        keys = self._keys()
        if not content.startswith(SEALED):
            if keys is not None and keys.all_sealed:
                raise InputError(f"{path} is cut off or damaged, or was put there: it is not sealed", hint=_RESTORE)
            return content
        cipher, body = self.cipher(path), memoryview(content)[len(SEALED) :]
        try:
            return cipher.decrypt(bytes(body[:_NONCE]), body[_NONCE:], self.name(path))
        except (InvalidTag, ValueError):
            raise InputError(
                f"{path} is cut off or damaged, or is not the file that was written there", hint=_RESTORE
            ) from None

    def sealed(self, content: bytes, path: Path) -> bytes:
        """Return what is to be written to a path so that it opens there, and nowhere else."""
        nonce = secrets.token_bytes(_NONCE)
        return SEALED + nonce + self.cipher(path, make=True).encrypt(nonce, content, self.name(path))

    def cipher(self, path: Path, *, make: bool = False) -> AESGCM:
        """Return the cipher of a file's day; the day's key is made where that is allowed."""
        day, keys = _day_of(self._below(path)), self._keys()
        if make and (keys is None or day not in keys.days):
            keys = self._with(day)
        if keys is None or day not in keys.days:
            raise InputError(
                f"{path} cannot be read: the key of its day is destroyed or lost",
                hint=f"Restore {self.keys_file} from a backup of the same day as the file.",
            )
        return AESGCM(self._key(keys, day))

    def name(self, path: Path) -> bytes:
        """Return what a sealed file is bound to: where it lies below the private folder, its day included."""
        return self._below(path).encode()

    def expire(self, first: date) -> int:
        """Destroy the keys of all days before one; return how many."""
        with self._held():
            keys = self._keys()
            old = [day for day in keys.days if day < first.isoformat()] if keys else []
            if keys and old:
                self._write(replace(keys, days={day: key for day, key in keys.days.items() if day not in old}))
        return len(old)

    def take_in(self) -> int:
        """Seal what lies there plain, and believe nothing plain from then on; return how many files that were.

        The workspace's lock must be held. After a crash it goes on.
        """
        keys = self._keys()
        if keys is not None and keys.all_sealed:
            return 0
        plain = [path for path in self._files() if not _is_sealed(path)]
        for path in plain:
            replace_file(path, self.sealed(path.read_bytes(), path), mode=0o600)
        with self._held():
            self._write(replace(self._begun(), all_sealed=True))
        return len(plain)

    def rewrap(self, key: bytes) -> int:
        """Put the keys of the days under another store key, all at once; return how many there are."""
        with self._held():
            keys = self._begun()
            days = {day: aes_key_wrap(key, self._key(keys, day)).hex() for day in keys.days}
            self._write(replace(keys, store_key=fingerprint(key), days=days))
        return len(days)

    def rotate(self, key: bytes) -> int:
        """Let another store key of the workspace take the place of the one there; return of how many days.

        After a crash one of the two opens what is there.
        """
        replace_file(self.next_key, key, mode=0o600)
        days = self.rewrap(key)
        self.next_key.replace(self.default_key)
        fsync(self.default_key.parent)
        return days

    @property
    def next_key(self) -> Path:
        """Where the next store key of the workspace lies until the keys of the days are under it."""
        return self.default_key.with_name(f"{DEFAULT}.next")

    def _below(self, path: Path) -> str:
        return path.relative_to(self.private).as_posix()

    def _files(self) -> Iterator[Path]:
        """Yield what is there to seal; lists are written anew every night."""
        for folder in ("contributions", "evaluations"):
            yield from sorted((self.private / folder).glob("date=*/**/*.parquet"))

    def _check_unsealed(self) -> None:
        """Refuse to begin with new keys where something lies sealed under others."""
        if any(map(_is_sealed, self._files())):
            raise InputError(
                f"{self.keys_file} is lost: nothing in the private store can be read without it",
                hint=f"Restore it from a backup. {accepting('store')}",
            )

    def _keys(self) -> Keys | None:
        """Return the keys on the disk, None before the first; they are read anew when the file was replaced."""
        try:
            found = self.keys_file.stat()
        except FileNotFoundError:
            return None
        signature = (found.st_ino, found.st_mtime_ns, found.st_size)
        seen = self._seen  # once: another thread may put newer or older ones there meanwhile
        if seen[0] != signature:
            seen = self._seen = (signature, _parsed(self.keys_file))
        return seen[1]

    def _begun(self) -> Keys:
        """Return the keys on the disk, or none yet, under a store key that is the right one."""
        keys = self._keys()
        if keys is None:
            self._check_unsealed()
            return Keys(fingerprint(store_key(self.settings, default=self.default_key)))
        self._store_key(keys)
        return keys

    def _with(self, day: str) -> Keys:
        """Return the keys with one of a day, which the first of several callers makes."""
        with self._held():
            keys = self._begun()
            if day not in keys.days:
                wrapped = aes_key_wrap(self._store_key(keys), secrets.token_bytes(KEY_BYTES)).hex()
                keys = replace(keys, days={**keys.days, day: wrapped})
                self._write(keys)
        return keys

    def _key(self, keys: Keys, day: str) -> bytes:
        wrapped = keys.days[day]
        if wrapped not in self._opened:
            try:
                self._opened[wrapped] = aes_key_unwrap(self._store_key(keys), bytes.fromhex(wrapped))
            except (InvalidUnwrap, ValueError):
                raise InputError(f"{self.keys_file} is damaged: the key of a day is none", hint=_RESTORE) from None
        return self._opened[wrapped]

    def _store_key(self, keys: Keys) -> bytes:
        """Return the store key that wraps the keys; a command is asked again where it told another."""
        key = self._found_key()
        if fingerprint(key) != keys.store_key:
            forget_told()
            self._finish_rotation(keys)
            key = self._found_key()
        if fingerprint(key) != keys.store_key:
            raise SettingsError(
                f"the store key is another than the one that {self.private} is sealed under",
                hint=f"Check [store] in the settings, or restore the key. {accepting('store')}",
            )
        return key

    def _finish_rotation(self, keys: Keys) -> None:
        """Put the next store key in its place, if a crash came after the keys of the days were under it."""
        if self.next_key.exists() and fingerprint(self.next_key.read_bytes()) == keys.store_key:
            self.next_key.replace(self.default_key)

    def _found_key(self) -> bytes:
        if is_in_workspace(self.settings) and not self.default_key.exists():
            raise SettingsError(
                f"{self.default_key} is lost: the private store is sealed under it",
                hint=f"Restore it from a backup, or say in [store] where it is. {accepting('store')}",
            )
        return store_key(self.settings, default=self.default_key)

    def _write(self, keys: Keys) -> None:
        content = {"version": _VERSION, **asdict(keys)}
        replace_file(self.keys_file, json.dumps(content, indent=1, sort_keys=True).encode(), mode=0o600)

    @contextmanager
    def _held(self) -> Iterator[None]:
        """Hold the keys for a moment: experiments make keys beside a night."""
        descriptor = os.open(self.private, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _parsed(file: Path) -> Keys:
    try:
        content = dict(json.loads(file.read_text(encoding="utf-8")))
        version = content.pop("version", None)
        keys = Keys(**content)
    except (ValueError, TypeError):
        raise InputError(f"{file} is damaged: it holds no keys", hint=_RESTORE) from None
    check_version(str(file), version, known=[_VERSION])
    return keys


def _is_sealed(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(len(SEALED)) == SEALED


def _day_of(name: str) -> str:
    """Return the day that a file belongs to by its name: the first in it; what is of no day has a key as well."""
    found = _DAY.search(name)
    return found[0] if found else date.min.isoformat()
