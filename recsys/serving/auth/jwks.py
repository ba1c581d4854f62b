"""Whose signature a token must bear: the development key, or the public keys of a JWKS that may change at any time."""

import hmac
import time
import urllib.request
from codecs import BOM_UTF8
from collections.abc import Callable, Mapping
from http.client import HTTPException
from pathlib import Path
from threading import Lock
from typing import Any

import orjson
import structlog
from joserfc import jwk
from joserfc.errors import InvalidKeyTypeError, MissingKeyError
from joserfc.jwk import JWKRegistry, Key, OctKey, RSAKey
from joserfc.jws import JWSRegistry

from recsys.errors import InputError, NotReadyError, RecsysError, SettingsError
from recsys.settings import ServingSettings

# A token never chooses how it is checked (RFC 8725, 3.1): each kind of key has one algorithm, which may have two names.
DEVELOPMENT = ("HS256",)
_ED25519 = ("Ed25519", "EdDSA")  # since RFC 9864, and before
_KINDS = ("Ed25519", "ES256", "RS256")
ALGORITHMS = (*_KINDS, "EdDSA")

_LONGEST = 1 << 18  # bytes of a JWKS
_PATIENCE = 12  # times jwks_seconds that keys are trusted without having been seen again
_TIMEOUT = 5  # seconds for an address to answer
_LOOK = 1.0  # seconds between two looks at a file
_BROKEN = (InputError, OSError, ValueError, HTTPException)  # whatever an address may answer
_HINT = "Name a file or an https:// address of a JWKS with Ed25519, P-256 or RSA (2048 bits) public keys."


class DevelopmentKey:
    """The workspace's own secret, which signs the tokens of ``hearabouts token``."""

    algorithms = DEVELOPMENT
    generation = 0
    due = False

    def __init__(self, secret: bytes) -> None:
        self._key = OctKey.import_key(secret)

    def refresh(self) -> None:
        """Do nothing: the key does not change while a server runs."""

    def find(self, kid: str | None) -> Key | None:  # noqa: ARG002
        """Return the key, whatever it is called."""
        return self._key


class KeySet:
    """The public keys of a JWKS (RFC 7517), read again when the file changes, or every ``jwks_seconds`` at an address.

    A key that is not there any more works until then; where the keys cannot be read again, those that were read last
    are trusted for twelve times as long, and then none is. An unknown key id has them read at once, but not again
    within ``jwks_cooldown_seconds``. What the log gets holds neither the address, which may have a password in it, nor
    what it answered.

    Parameters
    ----------
    settings : ServingSettings
        ``jwks`` and its times.
    log : structlog logger
        Told of new keys, and once why the set cannot be used any more.
    found : callable, optional
        Told ``used`` of every new set, and ``refused`` or ``unreadable`` whenever it is looked for in vain.
    read : callable, optional
        Returns the text behind an address or path.
    clock : callable, optional
        Seconds, which only go forward.

    Raises
    ------
    SettingsError
        If there are no usable keys to begin with.
    NotReadyError
        If an address does not answer to begin with.

    Attributes
    ----------
    generation : int
        Another number whenever a key may have gone: what was verified before does not count any more.
    """

    def __init__(
        self,
        settings: ServingSettings,
        *,
        log: structlog.typing.FilteringBoundLogger,
        found: Callable[[str], None] = lambda _: None,
        read: Callable[[str], bytes] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings, self._log, self._found, self._clock, self._reading = settings, log, found, clock, Lock()
        self._remote = settings.jwks.startswith("https://")
        self._read = read or (fetch if self._remote else _read_file)
        self._every = float(settings.jwks_seconds) if self._remote else min(_LOOK, float(settings.jwks_seconds))
        self._keys: Mapping[str | None, Key] = {}
        self._text, self._fault, self.generation = b"", "", 0
        self._looked = self._seen = self._forced = -1e9
        try:
            self._take(self._read(settings.jwks))
        except _BROKEN as error:
            found("unreadable" if isinstance(error, (OSError, HTTPException)) else "refused")
            if self._remote and isinstance(error, (OSError, HTTPException)):
                raise NotReadyError(
                    f"the key set of serving.jwks cannot be fetched now ({_reason(error)})",
                    hint="See to whoever answers at that address, and start again: without keys nobody is let in.",
                ) from None
            raise SettingsError(f"serving.jwks names no key set ({_reason(error)})", hint=_HINT) from None
        if not self._keys:
            raise SettingsError("serving.jwks names a key set without a usable key", hint=_HINT)
        self._looked = self._seen = self._clock()

    algorithms = ALGORITHMS

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

    def find(self, kid: str | None) -> Key | None:
        """Return the key with an id; without an id the only one; None where there is none, or the keys are too old.

        Of several threads with an unknown id one looks again, and the others go on with what there is.
        """
        if kid not in self._keys and self._reading.acquire(blocking=False):
            try:
                if self._clock() - self._forced >= self._settings.jwks_cooldown_seconds:
                    self._forced = self._clock()
                    self._look()
            finally:
                self._reading.release()
        return self._keys.get(kid)

    def _look(self) -> None:
        self._looked, outcome = self._clock(), "unreadable"
        try:
            text = self._read(self._settings.jwks)
            outcome = "refused"
            self._take(text)
        except _BROKEN as error:
            self._miss(outcome, _reason(error))
        else:
            self._seen = self._clock()
            if self._fault:
                self._log.info("key set usable again")
                self._fault = ""

    def _take(self, text: bytes) -> None:
        if hmac.compare_digest(text, self._text):
            return
        self._keys, self._text = trusted_keys(text), text
        self.generation += 1
        self._log.info("key set", keys=len(self._keys.keys() - {None}))
        self._found("used")

    def _miss(self, outcome: str, reason: str) -> None:
        """Say once what is wrong, and go on with the keys of before for as long as they are trusted."""
        self._found(outcome)
        if reason != self._fault:
            self._log.error(f"key set {outcome}", reason=reason)
            self._fault = reason
        if self._keys and self._clock() - self._seen > _PATIENCE * self._settings.jwks_seconds:
            self._keys, self._text = {}, b""
            self.generation += 1
            self._log.error("key set given up, so that nobody is let in", reason=reason)


Keys = DevelopmentKey | KeySet
"""What tokens are checked with."""


def keys_of(
    settings: ServingSettings,
    *,
    secret: bytes,
    log: structlog.typing.FilteringBoundLogger,
    found: Callable[[str], None] = lambda _: None,
) -> Keys:
    """Return the key set of the settings; where none is configured, the development key."""
    return KeySet(settings, log=log, found=found) if settings.jwks else DevelopmentKey(secret)


def trusted_keys(text: bytes) -> dict[str | None, Key]:
    """Return the usable keys of a JWKS by their ids, if there are any; the only one also without.

    A key without an id is called by its thumbprint (RFC 7638), by which a key that is listed twice is one. Keys for
    encryption, secrets, and kinds that no algorithm of ours is for, are passed over.

    Raises
    ------
    InputError, ValueError
        If it is no JWKS, or has two usable keys with one id.
    """
    found = orjson.loads(text.removeprefix(BOM_UTF8))
    listed = found.get("keys") if isinstance(found, dict) else None
    if not isinstance(listed, list):
        raise InputError("no list of keys", hint=_HINT)
    try:
        keys = _KeySet.import_key_set({"keys": listed}).keys
    except MissingKeyError:
        return {}
    named: dict[str | None, Key] = {key.kid: key for key in keys}
    if any(key.thumbprint() != named[key.kid].thumbprint() for key in keys):
        raise InputError("two keys of one id", hint=_HINT)
    is_only = len({key.thumbprint() for key in keys}) == 1
    return named | ({None: keys[0]} if is_only else {})


class _PublicKeys(JWKRegistry):
    """Knows the public keys that our algorithms check with; of any other, a set is read without it (RFC 7517, 5)."""

    @classmethod
    def import_key(cls, data: Any, key_type: str | None = None, parameters: Any = None) -> Key:
        try:
            key = super().import_key(_without_name(data), key_type, parameters)
            key.check_key_op("verify")
            is_ours = not key.is_private and bool(JWSRegistry.filter_algorithms(key, list(_KINDS)))
        except Exception as error:  # whatever is wrong with one key, the others are good
            raise InvalidKeyTypeError from error
        if not is_ours or (isinstance(key, RSAKey) and key.raw_value.key_size < 2048):
            raise InvalidKeyTypeError
        return key


class _KeySet(jwk.KeySet):
    registry_cls = _PublicKeys


def _without_name(data: Any) -> Any:
    """Return an Ed25519 key without the name of its algorithm: either goes with a token that has the other."""
    is_named = isinstance(data, dict) and data.get("alg") in _ED25519
    return {name: value for name, value in data.items() if name != "alg"} if is_named else data


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


def _reason(error: BaseException) -> str:
    """Say what is wrong with a set in our own words: those of a library may repeat the address or what is there."""
    return error.message if isinstance(error, RecsysError) else type(error).__name__
