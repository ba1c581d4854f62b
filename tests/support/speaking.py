"""What people say to the page, as recognisers write it, and a snapshot of the sample world to say it of.

Nothing of the product's own spelling is used here: a text is made from a name by what recognisers are known to do.
"""

import random
import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
from support.edge import items

from recsys.artifacts.chart_database import PublishedPlace, write_chart_database
from recsys.artifacts.chart_history import Night, append
from recsys.consents.log import Purpose
from recsys.geography.atlas import Atlas
from recsys.geography.places import Place
from recsys.serving.pages.templates import SWITCHES
from recsys.serving.pages.words import words_in
from recsys.workspace import Workspace, replace_file, staged, write_manifest

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
AS_OF = "2026-10-04"


class Said(NamedTuple):
    """A text, how it was changed, and what it is to find: ``place``, ``song`` or ``artist`` by its id."""

    text: str
    language: str
    change: str
    kind: str
    wanted: str


def publish_sample(workspace: Workspace, *, atlas: Atlas) -> None:
    """Publish the places of the sample world, and a history in which each of its songs was listed."""
    name = f"{AS_OF}-5a5a5a5a"
    with staged(workspace.snapshots / name) as folder:
        write_chart_database(
            folder / "charts.db",
            places=[PublishedPlace.of(place, served=place.id in atlas.members) for place in atlas.places.values()],
            cells=[],
            charts=[("world", "popular", items("world", size=10))],
            prices={},
            names=atlas.names,
        )
        facts = {"id": name, "as_of": AS_OF, "nights": [AS_OF], "atlas": atlas.version, "settings": "s", "ledger": []}
        write_manifest(folder, facts)
    replace_file(workspace.current, name.encode())
    tracks = catalogue()
    lines = [line | {"rank": rank} for rank, line in enumerate(map(_line, tracks.iter_rows(named=True)), 1)]
    night = date.fromisoformat(AS_OF)
    artists = dict(zip(tracks["track_id"], tracks["artist_id"], strict=True))
    charted = Night(night, night + timedelta(days=1), 7, "v")
    append(workspace.history, charted, [("world", "popular", lines)], kept=len(lines), artists=artists)


def catalogue() -> pl.DataFrame:
    """Return the songs of the sample world."""
    return pl.read_parquet(SAMPLE / "catalogue.parquet")


def switch_names(language: str) -> dict[Purpose, str]:
    """Return what the page calls the switches."""
    return {Purpose(purpose): words_in(language).say(name) for purpose, name in SWITCHES.items()}


def _line(track: Mapping[str, Any]) -> dict[str, Any]:
    (line,) = items("world", size=1)
    facts = {"first_rank": 1, "peak_rank": 1, "nights": 1, "first_night": AS_OF, "peak_night": AS_OF}
    return line | {key: track[key] for key in ("track_id", "title", "artist", "artist_id")} | {"history": facts}


def said_of_places(atlas: Atlas, *, seed: int) -> Iterator[Said]:
    """Yield, for each language and change, one question about each place of the service area.

    A place whose name is also that of a place with more people is said with its country, as people do who mean it.
    """
    chosen = random.Random(seed)
    most: dict[str, int] = {}
    for place in atlas.places.values():
        key = _plain(place.name)
        most[key] = max(most.get(key, 0), place.population)
    for language, templates in PLACES.items():
        for place in _served(atlas):
            alone = place.population == most[_plain(place.name)]
            named = place.name if alone else TOGETHER[language].format(place=place.name, country=place.country)
            for change, changed in CHANGES.items():
                text = chosen.choice(templates).format(changed(named, language, chosen))
                yield Said(text, language, change, "place", place.id)


def said_of_songs(*, seed: int) -> Iterator[Said]:
    """Yield, for each change, one request for each song of the sample world, by its artist where titles are alike.

    Each in one language of the page, in turn: a title is in its own language, whichever the listener speaks.
    """
    chosen, tracks = random.Random(seed), catalogue()
    titles = Counter(map(_plain, tracks["title"]))
    for at, track in enumerate(tracks.iter_rows(named=True)):
        language = LANGUAGES[at % len(LANGUAGES)]
        alone, by = SONGS[language]
        for change, changed in CHANGES.items():
            title, artist = (changed(track[key], language, chosen) for key in ("title", "artist"))
            form = alone if titles[_plain(track["title"])] == 1 else by
            yield Said(form.format(title=title, artist=artist), language, change, "song", track["track_id"])


def said_of_artists(*, seed: int) -> Iterator[Said]:
    """Yield, for each change, one request for each artist, as :func:`said_of_songs` does for songs."""
    chosen = random.Random(seed)
    artists = catalogue().unique("artist_id", keep="first", maintain_order=True)
    for at, track in enumerate(artists.iter_rows(named=True)):
        language = LANGUAGES[at % len(LANGUAGES)]
        for change, changed in CHANGES.items():
            text = ARTISTS[language].format(changed(track["artist"], language, chosen))
            yield Said(text, language, change, "artist", track["artist_id"])


def said_of_switches(*, seed: int, rounds: int) -> Iterator[tuple[str, str, Purpose | None, bool]]:
    """Yield commands to switches, each with its language, which switch it names, if one, and whether to turn it on.

    Beside those that name one, in each change, there are such that name none: with words of two names mixed, with a
    word left out, and with a "not".
    """
    chosen = random.Random(seed)
    for _ in range(rounds):
        for language, turns in TURNS.items():
            names = switch_names(language)
            for purpose, name in names.items():
                for changed in CHANGES.values():
                    is_on = chosen.random() < 0.5
                    yield chosen.choice(turns[is_on]).format(changed(name, language, chosen)), language, purpose, is_on
                other = chosen.choice([each for each in names.values() if each != name])
                for wrong in _wrong(_plain(name), _plain(other), NOT[language], chosen):
                    if wrong not in map(_plain, names.values()):
                        yield chosen.choice(turns[True]).format(wrong), language, None, True


def spoken_grammar(atlas: Atlas) -> str:
    """Return all that :func:`said_of_places` and its like may say in English, in JSpeech Grammar Format."""
    places = {_plain(form) for place in _served(atlas) for form in (place.name, f"{place.name} in {place.country}")}
    tracks, artists = catalogue(), {_as_dictated(name, "en", _DICTATED) for name in catalogue()["artist"]}
    titles = {_as_dictated(title, "en", _DICTATED) for title in tracks["title"]}
    forms = [*(form.replace("{}", "<place>") for form in PLACES["en"]), ARTISTS["en"].replace("{}", "<artist>")]
    forms += [re.sub(r"{(\w+)}", r"<\1>", form) for form in SONGS["en"]]
    rules = {"said": forms, "place": places, "title": titles, "artist": artists}
    lines = (f"<{name}> = {' | '.join(sorted(filter(str.isascii, some)))};" for name, some in rules.items())
    return "\n".join(["#JSGF V1.0;", "grammar hearabouts;", *lines]).replace("<said> =", "public <said> =") + "\n"


def _wrong(name: str, other: str, no: str, chosen: random.Random) -> Iterator[str]:
    words, others = name.split(), other.split()
    if len(words) > 1:
        cut = chosen.randrange(1, len(words))
        yield " ".join([*words[:cut], *others[len(others) // 2 :]])
        yield " ".join(word for at, word in enumerate(words) if at != cut)
    yield f"{name} {no}"
    yield f"{no} {name}"


def _served(atlas: Atlas) -> list[Place]:
    return [place for place in atlas.places.values() if place.id in atlas.members and place.level != "world"]


def _as_dictated(name: str, language: str, _: random.Random) -> str:
    """Write a name as a recogniser does that knows it: no capitals, accents or signs, and numbers as words."""
    words = name.replace("&", f" {AND[language]} ")
    return _plain(re.sub(r"\d", lambda digit: f" {DIGITS[language].split()[int(digit[0])]} ", words))


def _by_ear(name: str, language: str, chosen: random.Random) -> str:
    """Write a name as one does that knows how it sounds: other words of the same sound, and letters of one."""
    words = _as_dictated(name, language, chosen).split()
    alike = [HOMOPHONES.get(word, word) if language == "en" else word for word in words]
    some = [(old, new) for old, new in LETTERS if any(old in word for word in alike)]
    old, new = chosen.choice(some) if some else ("", "")
    return " ".join(word.replace(old, new, 1) if old else word for word in alike)


def _misspelled(name: str, language: str, chosen: random.Random) -> str:
    """Write a name with one wrong, missing or doubled letter in its longest word, or two joined or parted words."""
    words = _as_dictated(name, language, chosen).split()
    at = max(range(len(words)), key=lambda each: len(words[each]))
    word = words[at]
    if len(word) < 5 or not word.isascii():
        return " ".join(words)
    where = chosen.randrange(1, len(word) - 1)
    kinds = [
        word[:where] + word[where + 1 :],
        word[:where] + chosen.choice("aeiourstln") + word[where + 1 :],
        word[:where] + word[where] + word[where:],
        word[:where] + word[where + 1] + word[where] + word[where + 2 :],
        f"{word[:where]} {word[where:]}",
    ]
    return " ".join([*words[:at], chosen.choice(kinds), *words[at + 1 :]])


def _plain(text: str) -> str:
    decomposed = unicodedata.normalize("NFD", text.casefold())
    letters = "".join(each for each in decomposed if not unicodedata.combining(each) or "\u3040" < each < "\u30ff")
    return " ".join(re.sub(r"[^\w ]", " ", re.sub(r"['’.]", "", unicodedata.normalize("NFC", letters))).split())


CHANGES: Mapping[str, Callable[[str, str, random.Random], str]] = {
    "as dictated": _as_dictated,
    "by ear": _by_ear,
    "misspelled": _misspelled,
}
_DICTATED = random.Random(0)  # nothing of it is drawn
LANGUAGES = ("en", "de", "es", "fr", "ja", "pt")
AND = {"en": "and", "de": "und", "es": "y", "fr": "et", "ja": "と", "pt": "e"}
NOT = {"en": "not", "de": "nicht", "es": "no", "fr": "pas", "ja": "ない", "pt": "não"}
DIGITS = {
    "en": "zero one two three four five six seven eight nine",
    "de": "null eins zwei drei vier fünf sechs sieben acht neun",
    "es": "cero uno dos tres cuatro cinco seis siete ocho nueve",
    "fr": "zéro un deux trois quatre cinq six sept huit neuf",
    "ja": "〇 一 二 三 四 五 六 七 八 九",
    "pt": "zero um dois três quatro cinco seis sete oito nove",
}
HOMOPHONES = {
    "for": "four", "to": "two", "see": "sea", "sea": "see", "no": "know", "sun": "son", "night": "knight",
    "blue": "blew", "our": "hour", "flowers": "flours", "weather": "whether", "mail": "male", "rain": "reign",
    "by": "buy", "be": "bee", "story": "storey", "son": "sun", "new": "knew", "sale": "sail", "one": "won",
    "be at": "beat", "here": "hear", "tide": "tied", "road": "rode", "wait": "weight", "cork": "kork",
}  # fmt: skip
LETTERS = (
    ("ph", "f"), ("ck", "k"), ("ca", "ka"), ("co", "ko"), ("cu", "ku"), ("ll", "l"), ("tt", "t"), ("ss", "s"),
    ("nn", "n"), ("rr", "r"), ("oo", "u"), ("ee", "ea"), ("ea", "ee"), ("ie", "y"), ("z", "s"), ("qu", "k"),
    ("y", "i"), ("w", "v"), ("ce", "se"), ("ci", "si"), ("th", "t"), ("h", ""), ("ai", "ei"), ("ou", "u"),
)  # fmt: skip
PLACES = {
    "en": [
        "what is popular in {}",
        "whats rising in {}",
        "show me what is special in {} please",
        "popular songs in {}",
    ],
    "de": ["was ist beliebt in {}", "was ist in {} beliebt", "was steigt in {}", "zeig mir was in {} besonders ist"],
    "es": ["que es popular en {}", "que suena en {}", "que esta subiendo en {} ahora", "que es especial en {}"],
    "fr": ["quest ce qui est populaire à {}", "qu'est-ce qui monte à {}", "montre-moi ce qui est spécial à {}"],
    "ja": ["{}で人気の曲", "{}で急上昇中の曲は何ですか", "{}ならではの曲を教えて", "{}のチャートを見せて"],
    "pt": ["o que é popular em {}", "o que está a subir em {}", "mostra me o que é especial em {} por favor"],
}
TOGETHER = {
    "en": "{place} in {country}",
    "de": "{place} {country}",
    "es": "{place} {country}",
    "fr": "{place} {country}",
    "ja": "{country}の{place}",
    "pt": "{place} {country}",
}
SONGS = {
    "en": ("open {title}", "play {title} by {artist}"),
    "de": ("spiel {title}", "öffne {title} von {artist}"),
    "es": ("pon {title}", "abre {title} de {artist}"),
    "fr": ("ouvre la chanson {title}", "mets {title} de {artist}"),
    "ja": ("{title}を再生して", "{artist}の{title}を開いて"),
    "pt": ("toca {title}", "abre {title} de {artist}"),
}
ARTISTS = {
    "en": "songs by {}",
    "de": "zeig mir die band {}",
    "es": "canciones de {}",
    "fr": "musique de {}",
    "ja": "アーティストの{}を見せて",
    "pt": "abre o artista {}",
}
TURNS: Mapping[str, Mapping[bool, Sequence[str]]] = {
    "en": {True: ["turn on {}", "turn {} on", "please switch {} on"], False: ["turn off {}", "switch {} off please"]},
    "de": {True: ["schalte {} ein", "{} einschalten"], False: ["schalte {} aus", "bitte {} ausschalten"]},
    "es": {True: ["activa {}", "enciende {}"], False: ["desactiva {}", "apaga {} por favor"]},
    "fr": {True: ["active {}", "allume {}"], False: ["désactive {}", "éteins {}"]},
    "ja": {True: ["{}をオンにして", "{}オン"], False: ["{}をオフにして", "{}を切って"]},
    "pt": {True: ["liga {}", "ativa {}"], False: ["desliga {}", "desativa {} por favor"]},
}
