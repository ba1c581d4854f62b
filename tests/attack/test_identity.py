"""Whatever is wrong with a token, the answer is the same 401 to the byte, under a key set and the development key."""

import base64
import codecs
import hashlib
import hmac
import json
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from joserfc.jwk import ECKey, OctKey, OKPKey, RSAKey
from joserfc.jws import JWSRegistry
from support.edge import NOW, Client, publish, told
from support.tokens import GOOD, KEYS, NAMES, jwks, part, secret, signed

from recsys.errors import IdentityError, InputError
from recsys.serving.auth.jwks import ALGORITHMS, DevelopmentKey, trusted_keys
from recsys.serving.auth.tokens import verify
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace

DEVELOPMENT = b"k" * 32
SECONDS = int(NOW.timestamp())
ED, EC, RSA = KEYS["EdDSA"], KEYS["ES256"], KEYS["RS256"]
STRANGER = OKPKey.generate_key("Ed25519", {"kid": "ed"})
DEEP = '{"a":' * 900 + "1" + "}" * 900


def good(claims: dict[str, Any] | str = GOOD, alg: str = "EdDSA", **header: Any) -> str:
    """Signed by the issuer, as it should be."""
    return signed(claims, KEYS[alg], alg=alg, **{"kid": NAMES[alg], **header})


def text(**claims: Any) -> str:
    return good({**GOOD, **claims})


def confused(key: Any, encoding: str, alg: str) -> str:
    """A public key, which everybody knows, used as a secret."""
    raw = key.as_pem(private=False) if encoding == "PEM" else json.dumps(key.as_dict(private=False)).encode()
    header, payload = part({"alg": alg, "kid": key.kid}), part(GOOD)
    digest = {"HS256": hashlib.sha256, "HS512": hashlib.sha512}[alg]
    mac = hmac.new(raw, f"{header}.{payload}".encode(), digest).digest()
    return f"{header}.{payload}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


BAD: dict[str, str | None] = {
    "none at all": None,
    "garbage": "not a token",
    "dots": "...",
    "three letters": "a.b.c",
    "alg none": f"{part({'alg': 'none'})}.{part(GOOD)}.",
    "alg None": f"{part({'alg': 'None', 'kid': 'ed'})}.{part(GOOD)}.x",
    "alg is a list": f"{part({'alg': ['EdDSA'], 'kid': 'ed'})}.{part(GOOD)}.x",
    "no alg": f"{part({'kid': 'ed'})}.{part(GOOD)}.x",
    "header is a list": f"{part([])}.{part(GOOD)}.x",
    "header is deep": f"{part(json.loads(DEEP))}.{part(GOOD)}.x",
    "key confusion with PEM": confused(RSA, "PEM", "HS256"),
    "key confusion with JWK": confused(ED, "JWK", "HS256"),
    "key confusion with HS512": confused(EC, "PEM", "HS512"),
    "the development key": secret(GOOD, key=DEVELOPMENT),
    "the development key under a known kid": secret(GOOD, key=DEVELOPMENT, kid="ed"),
    "another alg of the same key": signed(GOOD, RSA, alg="PS256", kid="rsa"),
    "another digest of the same key": signed(GOOD, RSA, alg="RS384", kid="rsa"),
    "another key's kid": signed(GOOD, EC, alg="ES256", kid="rsa"),
    "a stranger's key": signed(GOOD, STRANGER, alg="EdDSA", kid="ed"),
    "a stranger's key in the header": signed(GOOD, STRANGER, alg="EdDSA", kid="x", jwk=STRANGER.as_dict(private=False)),
    "its own jwk for a known kid": signed(GOOD, STRANGER, alg="EdDSA", kid="ed", jwk=STRANGER.as_dict(private=False)),
    "jku": signed(GOOD, STRANGER, alg="EdDSA", kid="x", jku="https://127.0.0.1:1/jwks"),
    "x5u": signed(GOOD, STRANGER, alg="EdDSA", kid="x", x5u="https://127.0.0.1:1/x"),
    "no kid where there are several keys": signed(GOOD, ED, alg="EdDSA"),
    "kid is a path": good(kid="../../../../dev/null"),
    "kid is SQL": good(kid="' OR 1=1 --"),
    "kid is a number": good(kid=1),
    "kid is a list": good(kid=["ed"]),
    "kid is null": good(kid=None),
    "unknown crit": good(crit=["shoesize"], shoesize=44),
    "known crit": good(crit=["b64"], b64=True),
    "signature cut": good()[:-3],
    "another payload": ".".join([good().split(".")[0], part({**GOOD, "sub": "else"}), good().split(".")[2]]),
    "padding": good() + "=",
    "oversized": text(x="x" * 5_000),
    "nested": good(good(), cty="JWT"),
    "deep claims": good(DEEP),
    "claims are a list": good("[]"),
    "claims are no JSON": good("{"),
    "sub twice": good(json.dumps(GOOD)[:-1] + ', "sub": "else"}'),
    "another header": good().replace(good().split(".")[0], part({"alg": "EdDSA"})),
    "wrong iss": text(iss="else"),
    "iss is a list": text(iss=["hearabouts"]),
    "wrong aud": text(aud="else"),
    "other auds": text(aud=["a", "b"]),
    "aud holds ours as a part": text(aud="hearabouts.example"),
    "expired": text(exp=SECONDS),
    "exp is text": text(exp=str(SECONDS + 60)),
    "exp is true": text(exp=True),
    "exp is endless": good(json.dumps({**GOOD, "exp": float("inf")})),
    "exp is no number": good(json.dumps({**GOOD, "exp": float("nan")})),
    "not before later": text(nbf=SECONDS + 9),
    "issued tomorrow": text(iat=SECONDS + 86_400),
    "iat is text": text(iat="now"),
    "exp beyond all numbers": good(json.dumps(GOOD)[:-1].replace(str(GOOD["exp"]), "1" + "0" * 400) + "}"),
    "iat is true": text(iat=True),
    "aud is an object": text(aud={"hearabouts": 1}),
    "aud is empty": text(aud=[]),
    "empty sub": text(sub=""),
    "sub is a number": text(sub=7),
    "sub is half a letter": good(json.dumps({**GOOD, "sub": "\ud800"})),
    "sub is a book": text(sub="x" * 300),
    **{f"no {name}": good({k: v for k, v in GOOD.items() if k != name}) for name in ("iss", "aud", "sub", "exp")},
}


@pytest.fixture
def with_keys(tmp_path: Path) -> Settings:
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(*KEYS.values()))
    return load_settings(overrides={"serving": {"jwks": str(file), "jwks_cooldown_seconds": 1}})


def answers(client: Client, tokens: list[str | None], *more: dict[str, str]) -> list[tuple[object, ...]]:
    headers = [{} if token is None else {"Authorization": f"Bearer {token}"} for token in tokens]
    return list(map(told, client.all([("GET", "/v1/me/trending", {"headers": each}) for each in (*headers, *more)])))


def test_all_the_attacks_get_the_same_bytes(workspace: Workspace, with_keys: Settings) -> None:
    publish(workspace, size=1)
    (workspace.root / "token.key").write_bytes(DEVELOPMENT)
    client = Client(workspace, settings=with_keys)
    odd = [{"Authorization": good()}, {"Authorization": f"Basic {good()}"}, {"Authorization": "Bearer"}]
    found = answers(client, list(BAD.values()), *odd)
    told_apart = [name for name, answer in zip(BAD, found, strict=False) if answer != found[0]]
    assert told_apart == []
    assert len(set(found)) == 1
    status, headers, body = found[0]
    assert status == 401
    assert ("www-authenticate", "Bearer") in headers  # type: ignore[operator]
    assert json.loads(body)["type"] == "/problems/identity"  # type: ignore[arg-type]


@pytest.mark.parametrize("alg", NAMES)
def test_what_the_issuer_signs_is_good(workspace: Workspace, with_keys: Settings, alg: str) -> None:
    publish(workspace, size=1)
    unheeded = {"jku": "https://127.0.0.1:1/jwks", "typ": "JWT"}
    ((status, *_), (again, *_)) = answers(
        Client(workspace, settings=with_keys), [good(alg=alg), good(alg=alg, **unheeded)]
    )
    assert (status, again) == (200, 200)


def test_under_the_development_key_an_issuer_s_token_is_as_bad(workspace: Workspace, settings: Settings) -> None:
    publish(workspace, size=1)
    (workspace.root / "token.key").write_bytes(DEVELOPMENT)
    tokens = [
        None,
        good(),
        secret(GOOD, key=b"x" * 32),
        secret(GOOD, key=DEVELOPMENT, alg="HS512"),
        secret(GOOD, key=DEVELOPMENT, crit=["x"], x=1),
        f"{part({'alg': 'none'})}.{part(GOOD)}.",
    ]
    found = answers(Client(workspace, settings=settings), tokens)
    assert len(set(found)) == 1
    assert found[0][0] == 401
    assert answers(Client(workspace, settings=settings), [secret(GOOD, key=DEVELOPMENT)])[0][0] == 200


def test_a_remembered_token_expires_all_the_same(workspace: Workspace, with_keys: Settings) -> None:
    publish(workspace, size=1)
    client = Client(workspace, settings=with_keys)
    assert [status for status, *_ in answers(client, [good(), good()])] == [200, 200]
    client.now = NOW + timedelta(seconds=60)
    assert answers(client, [good()])[0][0] == 401


def test_a_remembered_token_does_not_outlive_its_key(
    workspace: Workspace, with_keys: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(workspace, size=1)
    client = Client(workspace, settings=with_keys)
    assert [status for status, *_ in answers(client, [good(), good()])] == [200, 200]
    Path(with_keys.serving.jwks).write_bytes(jwks(EC, RSA))
    monkeypatch.setattr(client.app.state.endpoint.identity._keys, "_every", 0.0)  # instead of waiting for a second
    assert [status for status, *_ in answers(client, [good(), good(alg="ES256")])] == [401, 200]


def test_keys_that_are_no_public_signature_keys_are_not_trusted() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # joserfc warns of what is refused here
        weak = RSAKey.generate_key(1024)
    secret_, curve = OctKey.import_key(b"x" * 32), ECKey.generate_key("P-384")
    others = [key.as_dict(private=key is secret_) for key in (weak, secret_, curve)]
    others += [{**ED.as_dict(private=False), "use": "enc"}, {**ED.as_dict(private=True)}, {"kty": "moon"}, 7]
    assert trusted_keys(json.dumps({"keys": others}).encode()) == {}
    named = {**EC.as_dict(private=False), "alg": "ES256", "use": "sig"}
    key = trusted_keys(json.dumps({"keys": [*others, named]}).encode())["ec"]
    assert [each.name for each in JWSRegistry.filter_algorithms(key, list(ALGORITHMS))] == ["ES256"]


def test_a_set_that_begins_with_a_mark_of_its_encoding_is_read() -> None:
    assert set(trusted_keys(codecs.BOM_UTF8 + jwks(EC, RSA))) == set(trusted_keys(jwks(EC, RSA)))


@pytest.mark.parametrize("depth", [900, 100_000])
def test_a_set_that_is_nested_deep_is_refused(depth: int) -> None:
    with pytest.raises((InputError, ValueError)):
        trusted_keys(b"[" * depth + b"]" * depth)


@given(
    st.one_of(
        st.text(),
        st.lists(st.text(), min_size=3, max_size=3).map(".".join),
        st.binary().map(lambda b: b.decode("latin-1")),
        st.dictionaries(st.sampled_from(["alg", "kid", "crit", "typ"]), st.text()).map(
            lambda header: f"{part(header)}.{part(GOOD)}.x"
        ),
    )
)
def test_no_text_breaks_it(token: str) -> None:
    with pytest.raises(IdentityError):
        verify(token, keys=DevelopmentKey(DEVELOPMENT), settings=_SETTINGS, now=NOW.timestamp())


_SETTINGS = load_settings().serving
