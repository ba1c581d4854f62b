"""Who is asking: a signed token that names the listener, or the same refusal whatever is wrong with it."""

import hashlib
import json
import math
import re
import secrets
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any

from joserfc import jwt
from joserfc.jwk import GuestProtocol, Key, OctKey
from joserfc.jws import JWSRegistry
from joserfc.jwt import JWTClaimsRegistry

from recsys.errors import IdentityError, PositionError, SettingsError
from recsys.geography.positions import names_position
from recsys.serving.auth.jwks import Keys
from recsys.settings import ServingSettings, Settings
from recsys.workspace import Workspace, listener_of

_LONGEST = 4096  # characters of a token
_LONGEST_NAME = 256  # characters of a user id
_MOST_IDENTIFIERS = 5
_SKEW = 60  # seconds that an issuer's clock may be ahead in "iat", which proves nothing
_REMEMBERED = 20_000  # tokens: some megabytes


@dataclass(frozen=True)
class Verified:
    """What a good token says.

    Parameters
    ----------
    user_id : str
    not_before, expires : float
        Seconds since 1970: within them the token is good, for as long as its key is.
    identifiers : tuple of str
        The numbers and addresses that whoever signed the token has verified to be the listener's.
    """

    user_id: str
    not_before: float
    expires: float
    identifiers: tuple[str, ...] = field(default=(), repr=False)


@dataclass(frozen=True, slots=True)
class _Remembered:
    generation: int
    verified: Verified
    listener: str


class Identity:
    """Turns tokens into listeners, and remembers for a while which were good.

    What is remembered is a hash of the token, under a key that each start draws anew, and the listener: neither token
    nor user id. It never outlives the token's own times, and is forgotten whole as soon as the key set changes.

    Parameters
    ----------
    keys : Keys
    settings : ServingSettings
    listener_key : bytes
        What turns a user id into a listener.
    """

    def __init__(self, keys: Keys, *, settings: ServingSettings, listener_key: bytes) -> None:
        self._keys, self._settings, self._listener_key = keys, settings, listener_key
        self._salt = secrets.token_bytes(32)
        self._good: OrderedDict[bytes, _Remembered] = OrderedDict()

    def remembered(self, token: str, *, now: float) -> str | None:
        """Return the listener of a token that was good before and still is; None where that takes a closer look."""
        found = None if self._keys.due else self._good.get(self._digest(token))
        if found is None or found.generation != self._keys.generation:
            return None
        return found.listener if found.verified.not_before <= now < found.verified.expires else None

    def listener(self, token: str | None, *, now: float) -> str:
        """Return the listener of a token; may wait for the keys to be read again.

        Raises
        ------
        IdentityError, PositionError
            As :func:`verify` does.
        """
        self._keys.refresh()
        generation = self._keys.generation  # of before: keys that go meanwhile take what they verified with them
        verified = verify(token, keys=self._keys, settings=self._settings, now=now)
        listener = listener_of(verified.user_id, key=self._listener_key)
        self._good[self._digest(str(token))] = _Remembered(
            generation, replace(verified, user_id="", identifiers=()), listener
        )
        if len(self._good) > _REMEMBERED:
            with suppress(KeyError):  # another thread may have made room
                self._good.popitem(last=False)
        return listener

    def identifiers(self, token: str | None, *, now: float) -> tuple[str, ...]:
        """Return the numbers and addresses of a token, which is looked at once more: they are not remembered.

        Raises
        ------
        IdentityError, PositionError
            As :func:`verify` does.
        """
        return verify(token, keys=self._keys, settings=self._settings, now=now).identifiers

    def names(self, text: str, *, listener: str) -> bool:
        """Tell whether a text is a listener, or the user id of one."""
        return listener in (text.lower(), listener_of(text, key=self._listener_key))

    def _digest(self, token: str) -> bytes:
        return hashlib.blake2b(token.encode("utf-8", "surrogatepass"), key=self._salt, digest_size=16).digest()


def verify(token: str | None, *, keys: Keys, settings: ServingSettings, now: float) -> Verified:
    """Return what a token says that is signed by one of the keys, meant for us, and not expired.

    Parameters
    ----------
    token : str or None
        A JWT (RFC 7519) with ``iss``, ``aud``, ``sub`` and ``exp``.
    keys : Keys
        What it may be signed with, and by which algorithms: nothing in the token has a say in that but ``kid``, which
        picks one of them.
    settings : ServingSettings
        ``issuer`` and ``audience`` are required of the token.
    now : float
        Seconds since 1970.

    Raises
    ------
    IdentityError
        If there is no token or anything is wrong with it, always with the same words.
    PositionError
        If the token is good but carries a position.
    """
    try:
        claims = _claims(token or "", keys=keys)
        verified = _checked(claims, settings=settings, now=now)
    except Exception:  # whatever a forged token breaks on the way, the answer is the same
        raise refusal() from None
    if any(names_position(name) for name in claims):
        raise PositionError("the token carries a position", hint="Mint tokens that name the listener and nothing else.")
    return verified


def refusal() -> IdentityError:
    """Return the one refusal of whatever is no good token."""
    return IdentityError("the request has no valid token", hint=_HINT)


def mint(
    user_id: str, *, workspace: Workspace, settings: Settings, now: datetime, identifiers: Sequence[str] = ()
) -> str:
    """Return a token for trying the endpoint, signed with the workspace's own development key.

    It is valid for ``serving.token_minutes`` from ``now``, and says of the identifiers that they are the listener's.

    Raises
    ------
    SettingsError
        If a key set is configured: the endpoint would not accept the token.
    """
    if settings.serving.jwks:
        raise SettingsError(
            "serving.jwks names a key set, so the development key signs nothing",
            hint="Have a token minted by whoever signs the listeners in.",
        )
    expires = now + timedelta(minutes=settings.serving.token_minutes)
    claims = {
        "iss": settings.serving.issuer,
        "aud": settings.serving.audience,
        "sub": user_id,
        "iat": int(now.timestamp()),
        "exp": int(expires.timestamp()),
        **({"identifiers": list(identifiers)} if identifiers else {}),
    }
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(workspace.token_key()))


def _claims(token: str, *, keys: Keys) -> dict[str, Any]:
    """Return the claims of a token whose signature holds."""
    if len(token) > _LONGEST or not _COMPACT.fullmatch(token):
        raise ValueError

    def named(signed: GuestProtocol) -> Key:
        key = keys.find(signed.headers().get("kid"))
        if key is None:
            raise ValueError
        return key

    return jwt.decode(token, named, registry=_Registry(algorithms=keys.algorithms), decoder_cls=_Strict).claims


_HEADERS = {name: each for name, each in JWSRegistry.default_header_registry.items() if name not in {"crit", "b64"}}


class _Registry(JWSRegistry):
    """Allows what is named and no more, without a warning: EdDSA is called Ed25519 since RFC 9864, but not by all.

    Nothing is critical to us, and so no header may say that something is.
    """

    default_header_registry = _HEADERS

    def get_alg(self, name: str) -> Any:
        if name not in (self.allowed or ()):
            raise ValueError
        return self.algorithms[name]


class _Claims(JWTClaimsRegistry):
    """What a token must say: an issuer's clock may be a little ahead in ``iat``, and a user id is not a book."""

    def validate_iat(self, value: object) -> None:
        JWTClaimsRegistry(self.now, leeway=_SKEW).validate_iat(value)

    def validate_sub(self, value: object) -> None:
        super().validate_sub(value)
        if len(str(value).encode()) > _LONGEST_NAME:  # a lone surrogate is no name
            raise ValueError


def _checked(claims: dict[str, Any], *, settings: ServingSettings, now: float) -> Verified:
    expected = _Claims(
        math.floor(now),
        iss={"essential": True, "value": settings.issuer},
        aud={"essential": True, "value": settings.audience},
        sub={"essential": True},
        exp={"essential": True},
    )
    expected.validate(claims)
    times = float(claims.get("nbf", 0)), float(claims["exp"])
    return Verified(claims["sub"], *times, identifiers=_identifiers(claims.get("identifiers")))


def _identifiers(claim: object) -> tuple[str, ...]:
    """Return the numbers and addresses of a claim as far as they are written in the one way that all write them in."""
    given = claim if isinstance(claim, list) else []
    known = [each for each in given if isinstance(each, str) and is_identifier(each)]
    return tuple(dict.fromkeys(known))[:_MOST_IDENTIFIERS]


def is_identifier(text: str) -> bool:
    """Tell whether a text is a number or an address as it is blinded: E.164, or with small letters and no spaces."""
    return bool(_NUMBER.fullmatch(text) or (_ADDRESS.fullmatch(text) and text == text.lower()))


_NUMBER = re.compile(r"\+[1-9][0-9]{6,14}")
_ADDRESS = re.compile(r"[^\s@]{1,64}@[^\s@]{1,189}")


class _Strict(json.JSONDecoder):
    """Reads objects in which no name comes twice: of two claims, two readers could believe different ones."""

    def __init__(self) -> None:
        super().__init__(object_pairs_hook=_once)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    if len(dict(pairs)) != len(pairs):
        raise ValueError
    return dict(pairs)


_COMPACT = re.compile(r"[\w-]+\.[\w-]+\.[\w-]+", re.ASCII)
_HINT = "Send `Authorization: Bearer TOKEN`; for trying the endpoint, `hearabouts token USER_ID` prints one."
