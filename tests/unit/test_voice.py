"""Voice control: what texts mean, in each language of the page, and what is left alone."""

import re

import pytest
from support.edge import LISBON, PORTO, SUVA, items, keep_nights, publish
from support.speaking import switch_names

from recsys.artifacts.chart_history import mark_of
from recsys.consents.log import Purpose, State
from recsys.errors import NotReadyError
from recsys.serving.pages.words import LANGUAGES
from recsys.serving.snapshot.snapshot_reader import Published, open_published
from recsys.serving.voice.grammars import PHRASES, grammar_of
from recsys.serving.voice.hearing import heard, likeness, sounds
from recsys.serving.voice.intents import ChartOf, Intent, NearMe, Turn, intent_of
from recsys.serving.voice.names import names_of
from recsys.serving.voice.numbers import speaks_position, with_digits
from recsys.serving.voice.vocabulary import Artist
from recsys.workspace import Workspace


@pytest.fixture
def published(workspace: Workspace) -> Published:
    """Lisbon, Porto and Suva, and ten songs: ``Song 1 of <the id of the place>`` and so on, by The Ünits."""
    publish(workspace)
    keep_nights(workspace, nights=1)
    return open_published(workspace)


def meant(text: str, published: Published, language: str = "en") -> Intent | None:
    return intent_of(text, language=language, published=published, switches=switch_names(language))


def chart_of(intent: Intent | None) -> tuple[str, str] | None:
    return (intent.chart, intent.place.id) if isinstance(intent, ChartOf) else None


def test_every_language_of_the_page_has_a_grammar() -> None:
    assert set(PHRASES) == set(LANGUAGES)


@pytest.mark.parametrize(
    ("language", "text", "chart", "place"),
    [
        ("en", "what is popular in lisboa", "popular", LISBON),
        ("en", "What's rising in Portugal right now?", "rising", "PT"),
        ("en", "show me what is special in porto please", "local", PORTO),
        ("en", "popular songs in porto in portugal", "popular", PORTO),
        ("en", "what is popular in ulyssipo", "popular", LISBON),  # a name in another language
        ("en", "wats poplar in lisbao", "popular", LISBON),
        ("en", "music from suva", "popular", SUVA),
        ("en", "what is popular", "popular", "world"),
        ("en", "whats rising in the world", "rising", "world"),
        ("en", "lisboa", "popular", LISBON),
        ("de", "Was ist in Lisboa beliebt?", "popular", LISBON),
        ("de", "was steigt in portugal", "rising", "PT"),
        ("es", "qué suena en lisboa", "popular", LISBON),
        ("es", "que esta subiendo en portugal", "rising", "PT"),
        ("fr", "qu'est-ce qui est populaire à Lisboa", "popular", LISBON),
        ("fr", "qu’est-ce qui monte au portugal", "rising", "PT"),
        ("ja", "ポルトガルで人気の曲", "popular", "PT"),
        ("ja", "ポルトガル で 急上昇中の曲は何ですか", "rising", "PT"),
        ("pt", "o que é popular em Lisboa", "popular", LISBON),
        ("pt", "o que está a subir em portugal", "rising", "PT"),
    ],
)
def test_a_chart_of_a_place_is_asked_for(
    language: str, text: str, chart: str, place: str, published: Published
) -> None:
    assert chart_of(meant(text, published, language)) == (chart, place)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "what is popular near me"),
        ("en", "near me"),
        ("en", "songs around here please"),
        ("de", "was läuft in meiner nähe"),
        ("es", "qué se escucha cerca de mí"),
        ("fr", "qu'est-ce qui est populaire près de moi"),
        ("ja", "近くで人気の曲"),
        ("pt", "o que é popular perto de mim"),
    ],
)
def test_near_me_is_asked_for(language: str, text: str, published: Published) -> None:
    assert meant(text, published, language) == NearMe()


def test_a_song_is_found_by_title_or_with_its_artist_and_an_artist_by_name(published: Published) -> None:
    title = str(items("world", size=1)[0]["title"])
    assert title == "Song 1 of world"
    for text in ("open song one of world", "play Song 1 of world by the units", "song 1 off world"):
        assert mark_of("track-1") == getattr(meant(text, published), "mark", None), text
    assert meant("songs by the unites", published) == Artist("ünits", "The Ünits")
    assert meant("zeig mir die band the units", published, "de") == Artist("ünits", "The Ünits")


def test_a_song_that_reads_like_a_place_is_a_song_where_one_is_asked_for(published: Published) -> None:
    assert chart_of(meant("open lisboa", published)) == ("popular", LISBON)
    assert meant("open the song lisboa", published) is None  # there is none


@pytest.mark.parametrize(
    "text",
    [
        "what is the weather like",
        "what is not popular in lisboa",
        "zzz",
        "turn on the radio",
        "tell me a joke about lisboa",
        "?!",
        "привет мир",
        "popular in",
    ],
)
def test_what_is_no_phrase_means_nothing(text: str, published: Published) -> None:
    assert meant(text, published) is None


@pytest.mark.parametrize(
    ("language", "text", "purpose", "state"),
    [
        ("en", "turn near me on", Purpose.LOCAL_TRENDS, State.GIVEN),
        ("en", "please switch off near me", Purpose.LOCAL_TRENDS, State.WITHDRAWN),
        ("en", "turn off count my plays in my areas charts", Purpose.CONTRIBUTE_TRENDS, State.WITHDRAWN),
        ("en", "turn on count my plays in partners statistics", Purpose.PARTNER_STATISTICS, State.GIVEN),
        ("en", "turn off voice control", Purpose.VOICE, State.WITHDRAWN),
        ("en", "turn on here what i hide and play", Purpose.FEEDBACK, State.GIVEN),  # as a recogniser hears "hear"
        ("de", "schalte in meiner nähe ein", Purpose.LOCAL_TRENDS, State.GIVEN),
        ("de", "Sprachsteuerung ausschalten", Purpose.VOICE, State.WITHDRAWN),
        ("es", "desactiva cerca de mí", Purpose.LOCAL_TRENDS, State.WITHDRAWN),
        ("fr", "active près de moi", Purpose.LOCAL_TRENDS, State.GIVEN),
        ("ja", "音声操作をオフにして", Purpose.VOICE, State.WITHDRAWN),
        ("pt", "desliga perto de mim", Purpose.LOCAL_TRENDS, State.WITHDRAWN),
    ],
)
def test_a_switch_is_named_whole(
    language: str, text: str, purpose: Purpose, state: State, published: Published
) -> None:
    assert meant(text, published, language) == Turn(purpose, state)


@pytest.mark.parametrize(
    ("language", "text"),
    [
        ("en", "don't turn near me on"),
        ("en", "turn near me not on"),
        ("en", "turn on count my plays"),  # of which switch?
        ("en", "turn on count my plays in my partners charts"),
        ("en", "turn on near"),
        ("en", "turn near me"),
        ("en", "turn near me on and voice control off"),
        ("de", "schalte in meiner nähe nicht ein"),
        ("de", "schalte aus meinen wiedergaben für mich lernen nicht aus"),
        ("ja", "近くの曲をオンにしないで"),
        ("ja", "近くの曲ではないものをオンにして"),
    ],
)
def test_of_a_switch_in_doubt_nothing_is_understood(language: str, text: str, published: Published) -> None:
    assert not isinstance(meant(text, published, language), Turn)


def test_where_the_history_is_away_places_are_understood_and_songs_have_to_wait(workspace: Workspace) -> None:
    publish(workspace)
    workspace.history.write_bytes(b"no database")
    published = open_published(workspace)
    assert chart_of(meant("what is popular in lisboa", published)) == ("popular", LISBON)
    with pytest.raises(NotReadyError):
        meant("open song one", published)


@pytest.mark.parametrize(
    ("language", "text", "digits"),
    [
        ("en", "ninety nine red balloons", "99 red balloons"),
        ("en", "nineteen eighty four", "1984"),
        ("en", "someone like you", "someone like you"),
        ("de", "neunundneunzig luftballons", "99 luftballons"),
        ("de", "dreißig", "30"),
        ("es", "treinta y uno", "31"),
        ("fr", "quatre-vingt-dix-neuf", "99"),
        ("fr", "soixante et onze", "71"),
        ("ja", "二十四時間", "24時間"),
        ("pt", "quarenta e dois", "42"),
    ],
)
def test_numbers_are_heard_as_words(language: str, text: str, digits: str) -> None:
    assert with_digits(heard(text), language) == digits


@pytest.mark.parametrize(
    ("language", "text", "is_one"),
    [
        ("en", "thirty eight point seven two north", True),
        ("en", "thirty eight point seven one six seven, minus nine point one three", True),
        ("de", "achtunddreißig komma sieben zwei, neun komma eins drei", True),
        ("ja", "三十八点七二 九点一四", True),
        ("pt", "trinta e oito vírgula sete dois", True),
        ("en", "ninety nine problems", False),
        ("en", "one two step", False),
        ("en", "the point of no return", False),
    ],
)
def test_degrees_that_are_said_are_noticed(language: str, text: str, is_one: bool) -> None:
    assert speaks_position(text, language) == is_one


@pytest.mark.parametrize(
    ("one", "other"),
    [("sea", "see"), ("knight", "nite"), ("kork", "Cork"), ("phone", "fone"), ("São", "sao"), ("Kyoto", "kioto")],
)
def test_what_sounds_alike_is_spelled_alike(one: str, other: str) -> None:
    assert sounds(heard(one)) == sounds(heard(other))


def test_likeness_is_the_share_of_letters_in_common() -> None:
    assert likeness("abcd", "abcd") == 1
    assert likeness("abcd", "abxd") == 2 * 3 / 8
    assert likeness("abcd", "") == 0


def test_the_closest_of_many_names_is_found_and_an_index_may_be_empty() -> None:
    names = names_of((f"name number {number}", number) for number in range(3_000))
    assert names.like("name numbr 1234")[0].of == 1234
    assert names.like("name number 77", is_wanted=lambda number: number % 2 == 0)[0].of % 2 == 0
    nothing: list[tuple[str, int]] = []
    assert names_of(nothing).like("name") == []
    assert names.like("") == []


@pytest.mark.parametrize("language", LANGUAGES)
def test_no_pattern_has_two_ways_to_read_words_that_repeat(language: str) -> None:
    """One that had would take years for a text of two hundred letters: each repetition keeps what it has read."""
    grammar = grammar_of(language)
    for pattern in (*grammar.questions, *grammar.openings, *(form for _, form in grammar.turns)):
        assert re.search(r"\)[*+](?!\+)", pattern.pattern) is None, pattern.pattern
