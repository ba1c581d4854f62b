"""A token proves who is asking: what is good, for how long, and where the keys come from."""

import json
import threading
from concurrent.futures import ThreadPoolExecutor
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest
from joserfc.jwk import ECKey, Key
from structlog import get_logger
from structlog.testing import capture_logs
from support.commands import Run
from support.edge import NOW, Client, bearer, publish
from support.tokens import GOOD, KEYS, NAMES, jwks, secret, signed

from recsys.errors import IdentityError, NotReadyError, PositionError, SettingsError
from recsys.serving.auth.jwks import DevelopmentKey, KeySet
from recsys.serving.auth.tokens import Identity, mint, verify
from recsys.serving.server import serve
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace, listener_of

KEY = b"k" * 32
KEYED = DevelopmentKey(KEY)
SECONDS = NOW.timestamp()
ADDRESS = "https://user:word@issuer.example/jwks?key=word"


class Issuer:
    """An address with a key set that changes or fails, and a clock that goes forward when told."""

    def __init__(self, *kinds: str) -> None:
        self.text: bytes | None = jwks(*(KEYS[kind] for kind in kinds))
        self.now, self.reads = 0.0, 0
        self.outcomes: list[str] = []

    def read(self, _: str) -> bytes:
        self.reads += 1
        if self.text is None:
            raise OSError
        return self.text

    def keys(self) -> KeySet:
        settings = load_settings(overrides={"serving": {"jwks": ADDRESS}}).serving
        return KeySet(settings, log=get_logger(), found=self.outcomes.append, read=self.read, clock=lambda: self.now)


def token(kind: str = "EdDSA") -> str:
    return signed(GOOD, KEYS[kind], alg=kind, kid=NAMES[kind])


def identity(keys: KeySet | DevelopmentKey, settings: Settings) -> Identity:
    return Identity(keys, settings=settings.serving, listener_key=KEY)


def test_a_good_token_names_the_listener(settings: Settings) -> None:
    for aud in ("hearabouts", ["x", "hearabouts"]):
        found = verify(secret({**GOOD, "aud": aud}, key=KEY), keys=KEYED, settings=settings.serving, now=SECONDS)
        assert (found.user_id, found.not_before, found.expires) == ("someone", 0, SECONDS + 60)


def test_the_issuer_and_the_audience_are_settings(settings: Settings) -> None:
    other = load_settings(overrides={"serving": {"issuer": "app", "audience": "charts"}}).serving
    good = secret({**GOOD, "iss": "app", "aud": "charts"}, key=KEY)
    assert verify(good, keys=KEYED, settings=other, now=SECONDS).user_id == "someone"
    with pytest.raises(IdentityError):
        verify(secret(GOOD, key=KEY), keys=KEYED, settings=other, now=SECONDS)


def test_an_issuer_s_clock_may_be_a_little_ahead(settings: Settings) -> None:
    ahead = secret({**GOOD, "iat": int(SECONDS) + 30}, key=KEY)
    assert verify(ahead, keys=KEYED, settings=settings.serving, now=SECONDS).user_id == "someone"


@pytest.mark.parametrize("claim", ["lat", "latitude", "userLongitude", "geo", "position"])
def test_a_token_that_carries_a_position_is_refused(settings: Settings, claim: str) -> None:
    with pytest.raises(PositionError):
        verify(secret({**GOOD, claim: 38.7}, key=KEY), keys=KEYED, settings=settings.serving, now=SECONDS)


def test_a_minted_token_is_good_until_it_expires(workspace: Workspace, settings: Settings) -> None:
    minted = mint("someone", workspace=workspace, settings=settings, now=NOW)
    keys, expires = DevelopmentKey(workspace.token_key()), SECONDS + 60 * settings.serving.token_minutes
    assert verify(minted, keys=keys, settings=settings.serving, now=expires - 1).user_id == "someone"
    with pytest.raises(IdentityError):
        verify(minted, keys=keys, settings=settings.serving, now=expires)


def test_what_was_verified_is_remembered_until_it_expires(settings: Settings) -> None:
    found = identity(KEYED, settings)
    good = secret({**GOOD, "nbf": SECONDS}, key=KEY)
    assert found.remembered(good, now=SECONDS) is None
    assert found.listener(good, now=SECONDS) == listener_of("someone", key=KEY)
    times = [SECONDS - 1, SECONDS, SECONDS + 59, SECONDS + 60]
    assert [bool(found.remembered(good, now=now)) for now in times] == [False, True, True, False]
    held = repr(vars(found))
    assert [secret for secret in (good, "someone") if secret in held] == []


def test_what_is_remembered_is_bounded(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.serving.auth.tokens._REMEMBERED", 3)
    found = identity(KEYED, settings)
    tokens = [secret({**GOOD, "sub": f"someone {number}"}, key=KEY) for number in range(5)]
    for each in tokens:
        found.listener(each, now=SECONDS)
    assert [bool(found.remembered(each, now=SECONDS)) for each in tokens] == [False, False, True, True, True]


def test_a_removed_key_stops_working_within_the_bound(settings: Settings) -> None:
    issuer = Issuer("EdDSA", "ES256")
    keys = issuer.keys()
    found = identity(keys, settings)
    assert found.listener(token(), now=SECONDS)
    issuer.text = jwks(KEYS["ES256"])
    issuer.now = settings.serving.jwks_seconds - 1
    assert found.remembered(token(), now=SECONDS)
    issuer.now = settings.serving.jwks_seconds
    assert found.remembered(token(), now=SECONDS) is None
    with pytest.raises(IdentityError):
        found.listener(token(), now=SECONDS)
    assert found.remembered(token(), now=SECONDS) is None
    assert found.listener(token("ES256"), now=SECONDS)


def test_a_new_key_is_found_at_once_but_not_again_and_again(settings: Settings) -> None:
    issuer = Issuer("EdDSA")
    found = identity(issuer.keys(), settings)
    issuer.text = jwks(KEYS["EdDSA"], KEYS["ES256"])
    issuer.now = 1
    assert found.listener(token("ES256"), now=SECONDS)
    reads = issuer.reads
    for _ in range(9):
        with pytest.raises(IdentityError):
            found.listener(token("RS256"), now=SECONDS)
    assert issuer.reads == reads
    issuer.now = 1 + settings.serving.jwks_cooldown_seconds
    with pytest.raises(IdentityError):
        found.listener(token("RS256"), now=SECONDS)
    assert issuer.reads == reads + 1


def test_only_one_thread_waits_for_the_key_of_an_unknown_name() -> None:
    issuer = Issuer("EdDSA")
    keys = issuer.keys()
    asked, answered = threading.Event(), threading.Event()

    def slow(_: str) -> bytes:
        issuer.reads += 1
        asked.set()
        assert answered.wait(20)
        return jwks(KEYS["ES256"])

    keys._read = slow
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(keys.find, NAMES["ES256"])
        assert asked.wait(20)
        second = pool.submit(keys.find, NAMES["ES256"])
        try:
            assert second.result(5) is None  # while the first still waits
        finally:
            answered.set()
        assert first.result(20) is not None
    assert keys.find("another") is None
    assert issuer.reads == 2  # the first of all, and one for the unknown name


@pytest.mark.parametrize("broken", [None, b"<html>", b"{}"])
def test_an_address_that_fails_is_bridged_for_a_while_and_then_nobody_is_let_in(
    settings: Settings, broken: bytes | None
) -> None:
    issuer = Issuer("EdDSA")
    found, every = identity(issuer.keys(), settings), settings.serving.jwks_seconds
    assert found.listener(token(), now=SECONDS)
    issuer.text = broken
    issuer.now = 12.0 * every
    assert found.listener(token(), now=SECONDS)
    issuer.now = 14.0 * every
    with pytest.raises(IdentityError):
        found.listener(token(), now=SECONDS)
    issuer.text, issuer.now = jwks(KEYS["EdDSA"]), 16.0 * every
    assert found.listener(token(), now=SECONDS)


def test_the_only_key_needs_no_name(settings: Settings) -> None:
    keys = Issuer("EdDSA").keys()
    nameless = signed(GOOD, KEYS["EdDSA"], alg="EdDSA")
    assert verify(nameless, keys=keys, settings=settings.serving, now=SECONDS).user_id == "someone"


@pytest.mark.parametrize("text", [None, "", "{}", '{"keys": [{"kty": "oct", "k": "eA"}]}'])
def test_a_key_set_that_cannot_be_used_stops_the_start(workspace: Workspace, tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "jwks.json"
    if text is not None:
        file.write_text(text)
    settings = load_settings(overrides={"serving": {"jwks": str(file)}})
    with pytest.raises(SettingsError, match=r"serving\.jwks"):
        Client(workspace, settings=settings).get("/healthz")


def test_keys_do_not_come_unprotected() -> None:
    with pytest.raises(SettingsError, match=r"serving\.jwks"):
        load_settings(overrides={"serving": {"jwks": "http://issuer.example/jwks"}})


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.0.2.7", "example.org"])
def test_without_a_key_set_only_this_machine_is_served(workspace: Workspace, settings: Settings, host: str) -> None:
    with pytest.raises(SettingsError, match="key set") as refusal:
        serve(workspace, settings=settings, host=host, port=0)
    assert refusal.value.exit_code == 78


def test_the_command_line_refuses_both(hearabouts: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert hearabouts("serve", "--host", "0.0.0.0").code == 78
    assert hearabouts("token", "ana").code == 0
    (tmp_path / "jwks.json").write_bytes(jwks(*KEYS.values()))
    monkeypatch.setenv("HEARABOUTS__SERVING__JWKS", str(tmp_path / "jwks.json"))
    refused = hearabouts("token", "ana")
    assert refused.code == 78
    assert "eyJ" not in refused.out


def test_a_listener_is_known_by_the_token_alone(workspace: Workspace, settings: Settings) -> None:
    publish(workspace, size=1)
    client = Client(workspace, settings=settings)
    headers = bearer("ana", workspace=workspace, settings=settings)
    assert client.get("/v1/me/consents", headers=headers).status_code == 200
    assert (
        client.get("/v1/me/consents", headers=headers | {"X-User": "ben"}).json()["consents"][0]["state"] == "withdrawn"
    )


def test_a_set_that_was_emptied_trusts_nobody_from_then_on(settings: Settings) -> None:
    issuer = Issuer("EdDSA")
    found, every = identity(issuer.keys(), settings), settings.serving.jwks_seconds
    assert found.listener(token(), now=SECONDS)
    issuer.text, issuer.now = b'{"keys": []}', 1.0 * every
    with pytest.raises(IdentityError):
        found.listener(token(), now=SECONDS)


def test_an_address_that_breaks_off_is_one_that_fails(settings: Settings) -> None:
    issuer = Issuer("EdDSA")
    keys = issuer.keys()

    def broken(_: str) -> bytes:
        raise HTTPException("no status")

    keys._read = broken
    issuer.now = 1.0 * settings.serving.jwks_seconds
    assert identity(keys, settings).listener(token(), now=SECONDS)


@pytest.mark.parametrize(
    ("failure", "family", "outcome"),
    [
        (OSError("no route"), NotReadyError, "unreadable"),
        (HTTPException("no status"), NotReadyError, "unreadable"),
        (ValueError("junk"), SettingsError, "refused"),
    ],
)
def test_an_address_without_keys_is_told_and_counted_at_the_start(
    failure: Exception, family: type[Exception], outcome: str
) -> None:
    issuer = Issuer("EdDSA")

    def broken(_: str) -> bytes:
        raise failure

    issuer.read = broken  # type: ignore[method-assign]
    with pytest.raises(family, match=r"serving\.jwks"):
        issuer.keys()
    assert issuer.outcomes == [outcome]


def listed(*keys: tuple[Key, dict[str, Any]]) -> bytes:
    """A key set of public halves, each with more about it, or with less where that is None."""
    all_ = [{**key.as_dict(private=False), **more} for key, more in keys]
    return json.dumps({"keys": [{k: v for k, v in each.items() if v is not None} for each in all_]}).encode()


RSA, EC, ED = KEYS["RS256"], KEYS["ES256"], KEYS["EdDSA"]


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"x5c": ["MIIB"], "x5t": "c2hh"},
        {"alg": "RS256"},
        {"use": "sig", "key_ops": ["verify"]},
    ],
)
def test_a_key_listed_twice_under_one_name_is_one_key(settings: Settings, more: dict[str, Any]) -> None:
    issuer = Issuer()
    issuer.text = listed((RSA, {}), (RSA, more), (EC, {}))
    found = identity(issuer.keys(), settings)
    assert found.listener(token("RS256"), now=SECONDS)
    assert found.listener(token("ES256"), now=SECONDS)


def test_the_only_key_needs_no_name_however_often_it_is_listed(settings: Settings) -> None:
    nameless = signed(GOOD, EC, alg="ES256")
    for more in ({}, {"kid": None}, {"kid": "other"}):
        issuer = Issuer()
        issuer.text = listed((EC, {}), (EC, more))
        assert verify(nameless, keys=issuer.keys(), settings=settings.serving, now=SECONDS).user_id == "someone"


def test_two_keys_under_one_name_are_no_key_set(settings: Settings) -> None:
    issuer = Issuer()
    issuer.text = listed((EC, {}), (ECKey.generate_key("P-256"), {"kid": "ec"}))
    with pytest.raises(SettingsError, match="two keys of one id"):
        issuer.keys()


@pytest.mark.parametrize("named", ["EdDSA", "Ed25519", None])
@pytest.mark.parametrize("alg", ["EdDSA", "Ed25519"])
def test_an_ed25519_key_goes_by_either_name_of_its_algorithm(settings: Settings, named: str | None, alg: str) -> None:
    issuer = Issuer()
    issuer.text = listed((ED, {"alg": named}))
    good = signed(GOOD, ED, alg=alg, kid="ed")
    assert verify(good, keys=issuer.keys(), settings=settings.serving, now=SECONDS).user_id == "someone"


@pytest.mark.parametrize(
    ("broken", "outcome", "reason"),
    [
        (None, "unreadable", "OSError"),
        (b"<html>word</html>", "refused", "JSONDecodeError"),
        (b'{"word": []}', "refused", "no list of keys"),
        (listed((EC, {}), (ECKey.generate_key("P-256"), {"kid": "ec"})), "refused", "two keys of one id"),
    ],
)
def test_a_key_set_that_breaks_is_told_once_and_counted_and_the_keys_before_stay(
    settings: Settings, broken: bytes | None, outcome: str, reason: str
) -> None:
    issuer, every = Issuer("EdDSA"), settings.serving.jwks_seconds
    with capture_logs() as log:
        found = identity(issuer.keys(), settings)
        good, issuer.text = issuer.text, broken
        for looks in (1, 2, 3):
            issuer.now = 1.0 * looks * every
            assert found.listener(token(), now=SECONDS)
        issuer.text, issuer.now = good, 4.0 * every
        assert found.listener(token(), now=SECONDS)
    assert log == [
        {"event": "key set", "keys": 1, "log_level": "info"},
        {"event": f"key set {outcome}", "reason": reason, "log_level": "error"},
        {"event": "key set usable again", "log_level": "info"},
    ]
    assert issuer.outcomes == ["used", outcome, outcome, outcome]


def test_keys_that_are_given_up_are_told_of_without_what_the_address_is_or_says(settings: Settings) -> None:
    issuer, every = Issuer("EdDSA"), settings.serving.jwks_seconds
    with capture_logs() as log:
        keys = issuer.keys()

        def refused(address: str) -> bytes:
            raise URLError(f"no route to {address}")

        keys._read = refused
        for looks in (1, 14, 15):
            issuer.now = 1.0 * looks * every
            keys.refresh()
        assert keys.find("ed") is None
    assert [each["event"] for each in log] == [
        "key set",
        "key set unreadable",
        "key set given up, so that nobody is let in",
    ]
    assert "word" not in str(log)
    assert str(ED.as_dict(private=False)["x"]) not in str(log)


def test_the_metrics_count_looks_at_the_key_set(workspace: Workspace, tmp_path: Path) -> None:
    file = tmp_path / "jwks.json"
    file.write_bytes(jwks(ED))
    client = Client(workspace, settings=load_settings(overrides={"serving": {"jwks": str(file)}}))
    client.get("/healthz")
    keys = client.app.state.endpoint.identity._keys
    file.write_bytes(b"[]")
    keys._look()
    file.unlink()
    keys._look()
    text = client.get("/metrics").text
    for outcome in ("used", "refused", "unreadable"):
        assert f'hearabouts_key_sets_total{{outcome="{outcome}"}} 1.0' in text


@pytest.mark.parametrize(
    ("claim", "identifiers"),
    [
        (None, ()),
        ("+351910000001", ()),
        ({"+351910000001": 1}, ()),
        (["+351910000001", "ana@example.org", "+351910000001"], ("+351910000001", "ana@example.org")),
        (["+351910000001", "910000002", "Ana@example.org", 7, None, "+0351910000001"], ("+351910000001",)),
        ([f"+35191000000{n}" for n in range(9)], tuple(f"+35191000000{n}" for n in range(5))),
    ],
)
def test_identifiers_are_what_is_written_as_everybody_writes_it(
    settings: Settings, claim: object, identifiers: tuple[str, ...]
) -> None:
    text = secret(GOOD | {"identifiers": claim}, key=KEY)
    found = verify(text, keys=KEYED, settings=settings.serving, now=SECONDS)
    assert (found.user_id, found.identifiers) == ("someone", identifiers)
