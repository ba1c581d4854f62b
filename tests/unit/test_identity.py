"""A token proves who is asking, or the answer is the same refusal whatever is wrong with it."""

import base64
import json
from datetime import timedelta
from typing import Any

import pytest
from edge import NOW, Client, publish
from hypothesis import given
from hypothesis import strategies as st
from joserfc import jws, jwt
from joserfc.jwk import OctKey, RSAKey

from recsys.errors import IdentityError, PositionError
from recsys.serving.identity import mint, verify
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace

KEY = b"k" * 32
GOOD = {"iss": "hearabouts", "aud": "hearabouts", "sub": "someone", "exp": int(NOW.timestamp()) + 60}


def signed(claims: dict[str, Any], *, key: bytes = KEY, **header: Any) -> str:
    return jwt.encode({"alg": "HS256", **header}, claims, OctKey.import_key(key), algorithms=["HS256", "HS512"])


def signed_text(payload: str) -> str:
    return jws.serialize_compact({"alg": "HS256"}, payload, OctKey.import_key(KEY))


def part(value: Any) -> str:
    return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()


def resigned_with_a_public_key() -> str:
    """Key confusion: a public RSA key, which everybody knows, used as a secret."""
    public = RSAKey.generate_key(2048).as_pem(private=False)
    return signed(GOOD, key=public.replace(b"-----", b""))


BAD = {
    "none at all": lambda: None,
    "empty": lambda: "",
    "garbage": lambda: "not a token",
    "three dots": lambda: "a.b.c",
    "not ascii": lambda: "ü.ü.ü",
    "alg none": lambda: f"{part({'alg': 'none'})}.{part(GOOD)}.",
    "alg None": lambda: f"{part({'alg': 'None'})}.{part(GOOD)}.",
    "alg is a list": lambda: f"{part({'alg': ['HS256']})}.{part(GOOD)}.x",
    "header is a list": lambda: f"{part([])}.{part(GOOD)}.x",
    "deep header": lambda: f"{part({'alg': 'HS256'})[:-4]}{'W' * 400}.{part(GOOD)}.x",
    "another alg": lambda: signed(GOOD, alg="HS512"),
    "wrong key": lambda: signed(GOOD, key=b"x" * 32),
    "key confusion": resigned_with_a_public_key,
    "signature cut": lambda: signed(GOOD)[:-3],
    "no signature": lambda: signed(GOOD).rsplit(".", 1)[0] + ".",
    "another payload": lambda: ".".join(
        [signed(GOOD).split(".")[0], part({**GOOD, "sub": "else"}), signed(GOOD).split(".")[2]]
    ),
    "unknown crit": lambda: f"{part({'alg': 'HS256', 'crit': ['shoesize'], 'shoesize': 44})}.{part(GOOD)}.x",
    "key in the header": lambda: signed(GOOD, key=b"x" * 32, jwk={"kty": "oct", "k": "eHh4eHh4eHh4eHh4eHh4eHh4eA"}),
    "wrong iss": lambda: signed({**GOOD, "iss": "someone else"}),
    "wrong aud": lambda: signed({**GOOD, "aud": "someone else"}),
    "other auds": lambda: signed({**GOOD, "aud": ["a", "b"]}),
    "expired": lambda: signed({**GOOD, "exp": int(NOW.timestamp())}),
    "exp is text": lambda: signed({**GOOD, "exp": "tomorrow"}),
    "exp is endless": lambda: signed({**GOOD, "exp": float("nan")}),
    "not before tomorrow": lambda: signed({**GOOD, "nbf": int(NOW.timestamp()) + 9}),
    "empty sub": lambda: signed({**GOOD, "sub": ""}),
    "sub is a number": lambda: signed({**GOOD, "sub": 7}),
    "sub is half a letter": lambda: signed_text(json.dumps({**GOOD, "sub": "\ud800"})),
    "claims are a list": lambda: signed_text("[]"),
    "claims are no JSON": lambda: signed_text("{"),
    **{f"no {name}": lambda name=name: signed({k: v for k, v in GOOD.items() if k != name}) for name in GOOD},
}


@pytest.mark.parametrize("kind", BAD)
def test_whatever_is_wrong_the_refusal_is_the_same(settings: Settings, kind: str) -> None:
    with pytest.raises(IdentityError) as refusal:
        verify(BAD[kind](), key=KEY, settings=settings, now=NOW)
    assert refusal.value.message == "the request has no valid token"
    assert refusal.value.__cause__ is None
    assert refusal.value.__suppress_context__


def test_whatever_is_wrong_the_answer_is_the_same(
    workspace: Workspace, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(workspace, size=1)
    (workspace.root / "token.key").write_bytes(KEY)
    client = Client(workspace, settings=settings)
    tokens = [make() for make in BAD.values()]
    ascii_only = [token for token in tokens if token is None or token.isascii()]
    headers = [{} if token is None else {"Authorization": f"Bearer {token}"} for token in ascii_only]
    headers += [{"Authorization": signed(GOOD)}, {"Authorization": f"Basic {signed(GOOD)}"}]
    answers = client.all([("GET", "/v1/me/trending", {"headers": each}) for each in headers])
    seen = {(answer.status_code, tuple(sorted(answer.headers.items())), answer.text) for answer in answers}
    assert len(seen) == 1
    assert answers[0].status_code == 401
    assert answers[0].headers["www-authenticate"] == "Bearer"


def test_a_good_token_names_the_listener(settings: Settings) -> None:
    assert verify(signed(GOOD), key=KEY, settings=settings, now=NOW) == "someone"
    assert verify(signed({**GOOD, "aud": ["x", "hearabouts"]}), key=KEY, settings=settings, now=NOW) == "someone"


def test_the_issuer_and_the_audience_are_settings() -> None:
    other = load_settings(overrides={"serving": {"issuer": "app", "audience": "charts"}})
    assert verify(signed({**GOOD, "iss": "app", "aud": "charts"}), key=KEY, settings=other, now=NOW) == "someone"
    with pytest.raises(IdentityError):
        verify(signed(GOOD), key=KEY, settings=other, now=NOW)


@pytest.mark.parametrize("claim", ["lat", "latitude", "userLongitude", "geo", "position"])
def test_a_token_that_carries_a_position_is_refused(settings: Settings, claim: str) -> None:
    with pytest.raises(PositionError):
        verify(signed({**GOOD, claim: 38.7}), key=KEY, settings=settings, now=NOW)


def test_a_minted_token_is_good_until_it_expires(workspace: Workspace, settings: Settings) -> None:
    token = mint("someone", workspace=workspace, settings=settings, now=NOW)
    almost = NOW + timedelta(minutes=settings.serving.token_minutes) - timedelta(seconds=1)
    key = workspace.token_key()
    assert verify(token, key=key, settings=settings, now=almost) == "someone"
    with pytest.raises(IdentityError):
        verify(token, key=key, settings=settings, now=almost + timedelta(seconds=1))


@given(
    st.one_of(
        st.text(),
        st.lists(st.text(), min_size=3, max_size=3).map(".".join),
        st.binary().map(lambda b: b.decode("latin-1")),
    )
)
def test_no_text_breaks_it(token: str) -> None:
    with pytest.raises(IdentityError):
        verify(token, key=KEY, settings=_SETTINGS, now=NOW)


_SETTINGS = load_settings()
