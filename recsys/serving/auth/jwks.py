"""Whose signature a token must bear: the development key, or the public keys of a JWKS that may change at any time."""

import hmac
import json
import time
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from threading import Lock
from typing import Any, Protocol

from joserfc.jwk import ECKey, JWKRegistry, Key, OctKey, OKPKey, RSAKey

from recsys.errors import SettingsError
from recsys.settings import ServingSettings

# A token never chooses how it is checked (RFC 8725, 3.1): each kind of key has its algorithms, and no key has two.
DEVELOPMENT = ("HS256",)
_RSA, _EC, _OKP = ("RS256",), ("ES256",), ("EdDSA", "Ed25519")
ALGORITHMS = (*_OKP, *_EC, *_RSA)

_LONGEST = 1 << 18  # bytes of a JWKS
_PATIENCE = 12  # times jwks_seconds that keys are trusted without having been seen again
_TIMEOUT = 5  # seconds for an address to answer
_LOOK = 1.0  # seconds between two looks at a file
_UNREADABLE = (OSError, ValueError, HTTPException, RecursionError)  # whatever an address may answer
_HINT = "Name a file or an https:// address of a JWKS with Ed25519, P-256 or RSA (2048 bits) public keys."


@dataclass(frozen=True)
class Trusted:
    """One key and the algorithms that it checks."""

    key: Key
    algorithms: tuple[str, ...]


class Keys(Protocol):
    """What tokens are checked with."""

    @property
    def generation(self) -> int:
        """Another number whenever a key may have gone: what was verified before does not count any more."""

    @property
    def due(self) -> bool:
        """Whether :meth:`refresh` has something to do."""

    def refresh(self) -> None:
        """Read the keys again where it is time; may wait for a disk or a network."""

    def find(self, kid: str | None) -> Trusted | None:
        """Return the key with an id, or None; without an id the only key there is."""


class DevelopmentKey:
    """The workspace's own secret, which signs the tokens of ``hearabouts token``."""

    generation = 0
    due = False

    def __init__(self, secret: bytes) -> None:
        self._trusted = Trusted(OctKey.import_key(secret), DEVELOPMENT)

    def refresh(self) -> None:
        """Do nothing: the key does not change while a server runs."""

    def find(self, kid: str | None) -> Trusted | None:  # noqa: ARG002
        """Return the key, whatever it is called."""
        return self._trusted


class KeySet:
    """The public keys of a JWKS (RFC 7517), read again when the file changes, or every ``jwks_seconds`` at an address.

    A key that is not there any more works until then; where the keys cannot be read again, those that were read last
    are trusted for twelve times as long, and then none is. An unknown key id has them read at once, but not again
    within ``jwks_cooldown_seconds``.

    Parameters
    ----------
    settings : ServingSettings
        ``jwks`` and its times.
    read : callable, optional
        Returns the text behind an address or path.
    clock : callable, optional
        Seconds, which only go forward.

    Raises
    ------
    SettingsError
        If there are no usable keys to begin with.
    """

    def __init__(
        self,
        settings: ServingSettings,
        *,
        read: Callable[[str], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._clock, self._reading = settings, clock, Lock()
        self._remote = settings.jwks.startswith("https://")
        self._read = read or (fetch if self._remote else _read_file)
        self._every = float(settings.jwks_seconds) if self._remote else min(_LOOK, float(settings.jwks_seconds))
        self._keys: Mapping[str | None, Trusted] = {}
        self._text, self.generation = b"", 0
        self._looked = self._seen = self._forced = -1e9
        try:
            self._take(self._read(settings.jwks))
        except _UNREADABLE as error:
            raise SettingsError(f"serving.jwks names no key set ({type(error).__name__})", hint=_HINT) from None
        if not self._keys:
            raise SettingsError("serving.jwks names a key set without a usable key", hint=_HINT)
        self._looked = self._seen = self._clock()

    @property
    def due(self) -> bool:
        """Whether it is time to look again."""
        return self._clock() - self._looked >= self._every

    def refresh(self) -> None:
        """Look again where it is time; of several threads one does, and the others go on with what there is."""
        if self.due and self._reading.acquire(blocking=False):
            try:
                self._look()
            finally:
                self._reading.release()

    def find(self, kid: str | None) -> Trusted | None:
        """Return the key with an id; without an id the only one; None where there is none, or the keys are too old."""
        if kid not in self._keys and self._clock() - self._forced >= self._settings.jwks_cooldown_seconds:
            with self._reading:
                if self._clock() - self._forced >= self._settings.jwks_cooldown_seconds:  # nobody did meanwhile
                    self._look()
                    self._forced = self._clock()
        return self._keys.get(kid)

    def _look(self) -> None:
        self._looked = self._clock()
        try:
            self._take(self._read(self._settings.jwks))
            self._seen = self._clock()
        except _UNREADABLE:
            trusted = _PATIENCE * self._settings.jwks_seconds
            if self._keys and self._clock() - self._seen > trusted:
                self._keys, self._text = {}, b""
                self.generation += 1

    def _take(self, text: bytes) -> None:
        if not hmac.compare_digest(text, self._text):
            self._keys, self._text = trusted_keys(text), text
            self.generation += 1


def keys_of(settings: ServingSettings, *, secret: bytes) -> Keys:
    """Return the key set of the settings; where none is configured, the development key."""
    return KeySet(settings) if settings.jwks else DevelopmentKey(secret)


def trusted_keys(text: bytes) -> dict[str | None, Trusted]:
    """Return the usable keys of a JWKS by their ids, if there are any; the only one also without.

    Keys for encryption, secrets, and kinds that no algorithm of ours is for, are passed over.

    Raises
    ------
    ValueError
        If it is no JWKS, or has two usable keys with one id.
    """
    found = json.loads(text)
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise ValueError("no keys")  # noqa: TRY004 - of the text, whatever is wrong with it
    usable = [(each.get("kid"), _trusted(each)) for each in listed if isinstance(each, dict) and _signs(each)]
    keys: dict[str | None, Trusted] = {kid: trusted for kid, trusted in usable if trusted}
    if len(keys) != sum(1 for _, trusted in usable if trusted):
        raise ValueError("two keys of one id")
    return keys | ({None: next(iter(keys.values()))} if len(keys) == 1 else {})


def fetch(address: str) -> bytes:
    """Return what an https address answers; a redirect is not followed: it could lead anywhere.

    Raises
    ------
    OSError
        If it does not answer, or with more than a JWKS can have.
    """
    opener = urllib.request.build_opener(_NoRedirect, urllib.request.HTTPSHandler)
    with opener.open(address, timeout=_TIMEOUT) as answer:
        return _bounded(answer.read(_LONGEST + 1))


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow nothing."""


def _read_file(path: str) -> bytes:
    with Path(path).open("rb") as file:
        return _bounded(file.read(_LONGEST + 1))


def _bounded(text: bytes) -> bytes:
    if len(text) > _LONGEST:
        raise OSError("longer than a JWKS can be")
    return text


def _signs(jwk: Mapping[str, Any]) -> bool:
    return jwk.get("use", "sig") == "sig" and isinstance(jwk.get("kid", ""), str) and "d" not in jwk


def _trusted(jwk: Mapping[str, Any]) -> Trusted | None:
    """Return a key with the algorithms of its kind, narrowed to the one that it names itself."""
    try:
        key = JWKRegistry.import_key(dict(jwk))
    except Exception:  # whatever is wrong with one key, the others are good
        return None
    named = jwk.get("alg")
    algorithms = tuple(alg for alg in _algorithms(key) if named is None or alg == named or {alg, named} <= set(_OKP))
    return Trusted(key, algorithms) if algorithms else None


def _algorithms(key: Key) -> tuple[str, ...]:
    if isinstance(key, OKPKey):
        return _OKP if key.curve_name == "Ed25519" else ()
    if isinstance(key, ECKey):
        return _EC if key.curve_name == "P-256" else ()
    return _RSA if isinstance(key, RSAKey) and key.raw_value.key_size >= 2048 else ()
