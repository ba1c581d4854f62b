"""Voice control is by choice and keeps nothing: no text in a log or a file, and no switch but the one named."""

import json
from datetime import timedelta
from typing import Any

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.edge import LISBON, NOW, Client, bearer, decide, keep_nights, publish, told
from support.speaking import NOT, TURNS, switch_names

from recsys.consents.log import Purpose, State
from recsys.serving.pages.words import LANGUAGES
from recsys.serving.snapshot.snapshot_reader import Published, open_published
from recsys.serving.voice.answers import IntentAnswer
from recsys.serving.voice.hearing import heard
from recsys.serving.voice.intents import Turn, intent_of
from recsys.settings import Settings
from recsys.workspace import Workspace

URL = "/v1/voice/intent"
VOICE = Purpose.VOICE
SAID = {"text": "what is popular in lisboa", "language": "en"}


class Listener:
    """Somebody signed in."""

    def __init__(self, who: str, client: Client, workspace: Workspace, settings: Settings) -> None:
        self.headers = bearer(who, workspace=workspace, settings=settings)
        self._client = client

    def say(self, text: Any, language: Any = "en", **more: Any) -> httpx.Response:
        return self.send(json={"text": text, "language": language} | more)

    def send(self, **options: Any) -> httpx.Response:
        return self._client.request("POST", URL, headers=self.headers | options.pop("headers", {}), **options)

    def put(self, purpose: str, state: str) -> httpx.Response:
        body = {"state": state, "notice_version": "2026-09"}
        return self._client.request("PUT", f"/v1/me/consents/{purpose}", headers=self.headers, json=body)


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    publish(workspace)
    keep_nights(workspace, nights=1)
    decide(workspace, "ana", State.GIVEN, purpose=VOICE)
    return Client(workspace, settings=settings)


@pytest.fixture
def ana(client: Client, workspace: Workspace, settings: Settings) -> Listener:
    return Listener("ana", client, workspace, settings)


def test_a_chart_a_song_an_artist_near_me_and_nothing_have_one_shape(ana: Listener) -> None:
    texts = ["what is popular in lisboa", "open song one of world", "songs by the units", "near me", "nonsense"]
    answers = [ana.say(text) for text in [*texts, "turn near me on"]]
    assert {answer.status_code for answer in answers} == {200}
    found = [answer.json() for answer in answers]
    assert {tuple(each) for each in found} == {tuple(IntentAnswer.__annotations__)}
    assert [each["intent"] for each in found] == ["chart", "track", "artist", "near_me", None, "switch"]
    assert [each["page"] for each in found[3:]] == ["/me", None, "/me"]
    assert found[0]["place"]["id"] == LISBON
    assert all(answer.headers["cache-control"] == "private, no-store" for answer in answers)


def test_a_switch_is_asked_about_in_the_language_and_not_turned(ana: Listener, client: Client) -> None:
    asked = ana.say("schalte in meiner nähe ein", "de").json()["switch"]
    assert asked == {"purpose": "local_trends", "state": "given", "question": "„In meiner Nähe“ einschalten?"}
    states = client.get("/v1/me/consents", headers=ana.headers).json()["consents"]
    assert {each["purpose"] for each in states if each["state"] == "given"} == {"voice"}


def test_the_default_is_no_and_tells_nothing_of_the_text(
    client: Client, workspace: Workspace, settings: Settings
) -> None:
    """And another purpose does not help; whatever is said, the answer is the same."""
    cho = Listener("cho", client, workspace, settings)
    for purpose in set(Purpose) - {VOICE}:
        decide(workspace, "cho", State.GIVEN, purpose=purpose)
    answers = [cho.say(text) for text in ("what is popular in lisboa", "nonsense", "turn near me on")]
    assert {(answer.status_code, answer.json()["type"]) for answer in answers} == {(403, "/problems/consent")}
    assert len({told(answer) for answer in answers}) == 1


def test_a_withdrawal_counts_from_the_next_request(ana: Listener, client: Client) -> None:
    assert ana.say("near me").status_code == 200
    assert ana.put("voice", "withdrawn").status_code == 200
    assert ana.say("near me").status_code == 403
    client.now += timedelta(seconds=1)  # of decisions of one instant the withdrawal counts
    assert ana.put("voice", "given").status_code == 200
    assert ana.say("near me").status_code == 200


def test_without_a_good_token_there_is_one_answer(client: Client) -> None:
    answers = [
        client.request("POST", URL, headers=headers, json=SAID)
        for headers in ({}, {"Authorization": "Bearer nonsense"}, {"Authorization": "Basic x"})
    ]
    assert {(answer.status_code, answer.json()["type"]) for answer in answers} == {(401, "/problems/identity")}


def test_who_is_known_is_answered_as_who_is_not(
    ana: Listener, client: Client, workspace: Workspace, settings: Settings
) -> None:
    """Nothing but the switch decides: neither other switches nor what is hidden or held."""
    decide(workspace, "dan", State.GIVEN, purpose=VOICE)
    for purpose in Purpose:
        decide(workspace, "ana", State.GIVEN, purpose=purpose)
    dan = Listener("dan", client, workspace, settings)
    for text in ("what is popular near me", "turn near me on", "open song one of world", "nonsense"):
        assert told(ana.say(text)) == told(dan.say(text))


def test_no_text_is_in_a_log_a_metric_or_a_file(
    ana: Listener, client: Client, workspace: Workspace, capfd: pytest.CaptureFixture[str]
) -> None:
    canaries = ("canaryword", "kanarienvogel")
    for canary in canaries:
        for text in (f"open {canary}", f"turn on {canary}", f"what is popular in {canary}", f"{canary}\x00"):
            assert canary not in ana.say(text).text
        assert canary not in ana.say(f"near me {canary}", canary).text
    ana.put("voice", "withdrawn")
    assert canaries[0] not in ana.say(canaries[0]).text
    written = "".join(capfd.readouterr()) + client.get("/metrics").text
    assert '"/v1/voice/intent"' in written
    kept = [path for path in workspace.root.rglob("*") if path.is_file()]
    assert not any(
        canary in written or any(canary.encode() in path.read_bytes() for path in kept) for canary in canaries
    )
    listed = client.get("/v1/me/data", headers=ana.headers)
    assert not any(canary in listed.text for canary in canaries)


@pytest.mark.parametrize(
    "text",
    [
        "what is popular at 38.7167, -9.1333",
        "38.72 -9.14",
        "38°43'N 9°8'W",
        "near 8539336b7ffffff1",
        "what is popular near 863933667ffffff",
        "lat=38.7 lon=-9.1",
        "thirty eight point seven one six north nine point one three west",
        "３８．７１６７、−９．１３３３",
    ],
)
def test_a_text_that_holds_a_position_is_refused(ana: Listener, text: str, capfd: pytest.CaptureFixture[str]) -> None:
    answer = ana.say(text)
    expected = "/problems/bad-input" if text.startswith("near 85") else "/problems/position"
    if expected == "/problems/position":
        assert (answer.status_code, answer.json()["type"]) == (400, expected)
    assert "38" not in answer.json().get("detail", "")
    assert text not in answer.text + "".join(capfd.readouterr())


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"\xff\xfe{\x00}\x00",
        b'{"text": "near me"}',
        b'{"language": "en"}',
        b'{"text": "", "language": "en"}',
        b'{"text": "   ", "language": "en"}',
        b'{"text": 3, "language": "en"}',
        b'{"text": ["near me"], "language": "en"}',
        b'{"text": null, "language": "en"}',
        b'{"text": "near me", "language": "xx"}',
        b'{"text": "near me", "language": "en", "audio": "UklGRg=="}',
        b'{"text": "near\\nme", "language": "en"}',
        b'{"text": "near me\\u0007", "language": "en"}',
        b'{"text": "near \\ud800", "language": "en"}',
        json.dumps({"text": "a" * 201, "language": "en"}).encode(),
        json.dumps({"text": "a" * 2_000, "language": "en"}).encode(),
        b"[" * 900,
        b"[" * 900 + b"]" * 900,
        b"[" * 4_000,
    ],
)
def test_a_body_that_does_not_fit_is_refused_in_our_words(ana: Listener, body: bytes) -> None:
    answer = ana.send(content=body)
    assert (answer.status_code, answer.json()["type"]) == (400, "/problems/bad-input")
    assert "near" not in answer.json()["detail"]


def test_other_scripts_are_heard_and_mean_nothing_unless_something_is_called_so(ana: Listener) -> None:
    for text in ("привет мир", "مرحبا بالعالم", "你好世界", "🎵🎵", "a" * 200, "..."):
        answer = ana.say(text)
        assert (answer.status_code, answer.json()["intent"]) == (200, None), text


def test_there_is_no_other_method_and_no_parameter(ana: Listener, client: Client) -> None:
    assert client.get(URL, headers=ana.headers).status_code == 405
    assert client.request("POST", f"{URL}?text=canary", headers=ana.headers, json=SAID).status_code == 400


def test_it_is_counted_with_the_listeners_requests(ana: Listener, client: Client) -> None:
    limit = ana.say("near me").headers["ratelimit-policy"]
    assert limit.startswith('"listener"')
    client.now = NOW + timedelta(hours=2)
    assert ana.say("near me").status_code == 401  # and the token expires as everywhere


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    workspace = Workspace(tmp_path_factory.mktemp("voice") / "workspace").prepare()
    publish(workspace)
    keep_nights(workspace, nights=1)
    return open_published(workspace)


@st.composite
def spoken(draw: st.DrawFn) -> tuple[str, str]:
    """A language, and a text of words of its commands and names, of other words, and of what may come between."""
    language = draw(st.sampled_from(sorted(LANGUAGES)))
    names = [word for name in switch_names(language).values() for word in name.split()]
    turns = [word for forms in TURNS[language].values() for form in forms for word in form.format("").split()]
    other = [NOT[language], "and", "lisboa", "me", "on", "off", "songs"]
    words = st.sampled_from([*names, *names, *turns, *other]) | st.text(max_size=6)
    name = st.sampled_from(sorted(switch_names(language).values()))
    parts = draw(st.lists(words | name, max_size=9))
    frame = draw(st.sampled_from([form for forms in TURNS[language].values() for form in forms]))
    return language, frame.format(draw(st.sampled_from(["", " "])).join(parts) if language == "ja" else " ".join(parts))


@settings(max_examples=400)
@given(spoken())
@example(("en", "turn on near me not"))
@example(("de", "schalte in meiner nähe nicht ein"))
def test_no_switch_is_turned_but_one_whose_whole_name_was_said(published: Published, said: tuple[str, str]) -> None:
    """Counted apart from the product: of each name's words as many are in the text, and no more than a few others."""
    language, text = said
    names = switch_names(language)
    found = intent_of(text, language=language, published=published, switches=names)
    if isinstance(found, Turn):
        name = heard(names[found.purpose])
        letters = "".join(heard(text).split())
        missing = [word for word in name.split() if not _nearly_in(word, letters)]
        assert not missing, (text, found)
        assert NOT[language] not in heard(text).split() or NOT[language] in name.split(), (text, found)
        longest = max(len(heard(form.format(""))) for forms in TURNS[language].values() for form in forms) + 20
        assert len(letters) <= len(name) + longest, (text, found)


def _nearly_in(word: str, letters: str) -> bool:
    """Tell whether a word is in a text but for a letter in five."""
    step = len(word)
    return word in letters or any(
        sum(a != b for a, b in zip(word, letters[at : at + step], strict=False)) <= max(1, step // 4)
        for at in range(max(1, len(letters) - step + 2))
    )
