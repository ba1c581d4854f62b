"""Who is asking: a signed token that names the listener, or the same refusal whatever is wrong with it."""

from datetime import datetime, timedelta

from joserfc import jwt
from joserfc.jwk import OctKey
from joserfc.jws import JWSRegistry

from recsys.errors import IdentityError, PositionError
from recsys.serving.positions import names_position
from recsys.settings import Settings
from recsys.workspace import Workspace

ALGORITHMS = ("HS256",)  # named here and nowhere else: a token never chooses how it is checked (RFC 8725, 3.1)


def verify(token: str | None, *, key: bytes, settings: Settings, now: datetime) -> str:
    """Return the user id (``sub``) of a token that is signed, meant for us, and not expired.

    Parameters
    ----------
    token : str or None
        A JWT (RFC 7519) with ``iss``, ``aud``, ``sub`` and ``exp``.
    key : bytes
        The secret of HS256.
    settings : Settings
        ``serving.issuer`` and ``serving.audience`` are required of the token.
    now : datetime
        With a time zone.

    Raises
    ------
    IdentityError
        If there is no token or anything is wrong with it, always with the same words.
    PositionError
        If the token is good but carries a position.
    """
    claims = _claims(token, key=key, settings=settings, now=now)
    if any(names_position(name) for name in claims):
        raise PositionError("the token carries a position", hint="Mint tokens that name the listener and nothing else.")
    return str(claims["sub"])


def mint(user_id: str, *, workspace: Workspace, settings: Settings, now: datetime) -> str:
    """Return a token for trying the endpoint, signed with the workspace's own development key.

    It is valid for ``serving.token_minutes`` from ``now``.
    """
    expires = now + timedelta(minutes=settings.serving.token_minutes)
    claims = {
        "iss": settings.serving.issuer,
        "aud": settings.serving.audience,
        "sub": user_id,
        "iat": int(now.timestamp()),
        "exp": int(expires.timestamp()),
    }
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key(workspace.token_key()))


def _claims(token: str | None, *, key: bytes, settings: Settings, now: datetime) -> dict[str, object]:
    required = jwt.JWTClaimsRegistry(
        now=int(now.timestamp()),
        iss={"essential": True, "value": settings.serving.issuer},
        aud={"essential": True, "value": settings.serving.audience},
        sub={"essential": True},
        exp={"essential": True},
    )
    try:
        registry = JWSRegistry(algorithms=ALGORITHMS)
        claims = jwt.decode(token or "", OctKey.import_key(key), algorithms=ALGORITHMS, registry=registry).claims
        required.validate(claims)
        claims["sub"].encode()  # a lone surrogate is no name
    except Exception:  # whatever a forged token breaks on the way, the answer is the same
        raise IdentityError("the request has no valid token", hint=_HINT) from None
    return claims


_HINT = "Send `Authorization: Bearer TOKEN`; for trying the endpoint, `hearabouts token USER_ID` prints one."
