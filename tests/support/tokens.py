"""Tokens and key sets for tests: good ones, and all kinds of bad ones, signed as an issuer would sign them."""

import base64
import json
from typing import Any

from joserfc import jws
from joserfc.jwk import ECKey, Key, OctKey, OKPKey, RSAKey
from support.edge import NOW

NAMES = {"EdDSA": "ed", "ES256": "ec", "RS256": "rsa"}
KEYS: dict[str, Any] = {
    "EdDSA": OKPKey.generate_key("Ed25519", {"kid": "ed"}),
    "ES256": ECKey.generate_key("P-256", {"kid": "ec"}),
    "RS256": RSAKey.generate_key(2048, {"kid": "rsa"}),
}
GOOD: dict[str, Any] = {
    "iss": "hearabouts",
    "aud": "hearabouts",
    "sub": "someone",
    "exp": int(NOW.timestamp()) + 60,
    "iat": int(NOW.timestamp()),
}
ALL = ["HS256", "HS384", "HS512", "RS256", "RS384", "PS256", "ES256", "EdDSA", "Ed25519"]


class _Any(jws.JWSRegistry):
    """Signs with whatever is asked for."""

    def get_alg(self, name: str) -> Any:
        return self.algorithms[name]

    def check_header(self, header: Any) -> None:
        """Let every header pass."""


def signed(claims: dict[str, Any] | str, key: Key, *, alg: str, **header: Any) -> str:
    """A token with these claims, or with this text in their place."""
    payload = claims if isinstance(claims, str) else json.dumps(claims)
    return str(jws.serialize_compact({"alg": alg, **header}, payload, key, registry=_Any(algorithms=ALL)))


def secret(claims: dict[str, Any] | str, *, key: bytes, alg: str = "HS256", **header: Any) -> str:
    """A token signed with a secret."""
    return signed(claims, OctKey.import_key(key), alg=alg, **header)


def part(value: Any) -> str:
    """A part of a token, as it is encoded."""
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def jwks(*keys: Key, **more: Any) -> bytes:
    """A key set of the public halves."""
    return json.dumps({"keys": [{**key.as_dict(private=False), **more} for key in keys]}).encode()
