"""Intents: what a text means, among what there is to show and to switch; in doubt nothing, and never a guess."""

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log10
from typing import NamedTuple

from rapidfuzz import process

from recsys.artifacts.chart_database import PublishedPlace
from recsys.artifacts.chart_history import Song
from recsys.artifacts.list_candidates import CHARTS, POPULAR
from recsys.consents.log import Purpose, State
from recsys.geography.names import Name
from recsys.geography.places import WORLD
from recsys.serving.snapshot.snapshot_reader import Published
from recsys.serving.voice.grammars import PHRASES, Grammar, grammar_of
from recsys.serving.voice.hearing import heard, likeness, plain, sounds
from recsys.serving.voice.names import Match, Names
from recsys.serving.voice.vocabulary import Artist, artists_of, charted_places_of, places_of, songs_of

_ALIKE = 0.76  # a name that was asked for in a phrase is at least so alike
_ALIKE_ALONE = 0.86  # a name that was said alone
_SAME_WORD = 0.8  # a word of a switch's name
_KNOWN_WORD = 0.8  # a word of a phrase
_FOR_PEOPLE = 0.01  # by ten times the people
_FOR_CHARTS = 0.08
_OF_JAPANESE = "の"
_FEW_LETTERS = 3  # a shorter word is no misspelled one


class ChartOf(NamedTuple):
    """A chart of a place is to be shown."""

    chart: str
    place: PublishedPlace


class NearMe(NamedTuple):
    """The listener's own list is to be shown, for where the listener is."""


class Turn(NamedTuple):
    """A switch is to be turned, once the listener has said yes to a question."""

    purpose: Purpose
    state: State


Intent = ChartOf | NearMe | Song | Artist | Turn


def intent_of(text: str, *, language: str, published: Published, switches: Mapping[Purpose, str]) -> Intent | None:
    """Return what a text means, or None.

    Parameters
    ----------
    text : str
        As a recogniser wrote it.
    language : str
        In which it was said.
    published : Published
        Its places, songs and artists are known.
    switches : mapping of Purpose to str
        What each is called in this language.

    Raises
    ------
    NotReadyError
        If the charts of all nights are away, and it may be about a song or an artist.
    """
    said = heard(text) if PHRASES[language].spaced else heard(text).replace(" ", "")
    turns = [(is_on, found["switch"]) for is_on, form in grammar_of(language).turns if (found := form.match(said))]
    if turns:  # and nothing else, whatever it sounds like
        return _turn(turns, switches, spaced=PHRASES[language].spaced)
    return _Hearing(language, published).intent(said)


def _turn(turns: Sequence[tuple[bool, str]], switches: Mapping[Purpose, str], *, spaced: bool) -> Turn | None:
    """Return which switch is to be turned which way; None where that is not one alone, named word for word."""
    is_named = _is_named if spaced else _is_spelled
    named = {(purpose, on) for on, slot in turns for purpose, name in switches.items() if is_named(slot, heard(name))}
    if len(named) != 1:
        return None
    ((purpose, is_on),) = named
    return Turn(purpose, State.GIVEN if is_on else State.WITHDRAWN)


def _is_named(slot: str, name: str) -> bool:
    """Tell whether a text is a name: each of its words, none more, none less, and no other one that sounds close."""
    said, meant = slot.split(), name.split()
    return (len(said) == len(meant) and all(map(_is_word, said, meant))) or _is_spelled(slot, name)


def _is_spelled(slot: str, name: str) -> bool:
    return slot.replace(" ", "") == name.replace(" ", "")


def _is_word(said: str, meant: str) -> bool:
    return sounds(said) == sounds(meant) or likeness(meant, said) >= _SAME_WORD


@dataclass(frozen=True)
class _Hearing:
    """What can be heard in a language, at a moment."""

    language: str
    published: Published

    def intent(self, said: str) -> Intent | None:
        """Return what a text means as a phrase, then with misspelled words of phrases put right, then as a name."""
        words = said.split()
        for meanings in (self._phrases(_Reading(words, text)) for text in self._texts(words)):
            found = _most_alike(meanings)
            if found is not None:
                return found
        return _most_alike(self._named("any", said, least=_ALIKE_ALONE))

    def _texts(self, words: Sequence[str]) -> Iterator[str]:
        yield " ".join(words)
        if PHRASES[self.language].spaced:
            yield " ".join(map(self._known_word, words))

    def _known_word(self, word: str) -> str:
        if word in self._grammar.words or len(word) < _FEW_LETTERS:
            return word
        known = sorted(self._grammar.words)  # of several that are as close always the same
        found = process.extractOne(word, known, scorer=likeness, score_cutoff=_KNOWN_WORD)
        return found[0] if found else word

    def _phrases(self, reading: "_Reading") -> Iterator[Match[Intent]]:
        for form in self._grammar.questions:
            found = form.match(reading.text)
            if found:
                yield from self._question(reading, found)
        for form in self._grammar.openings:
            found = form.match(reading.text)
            if found:
                kind = str(found.lastgroup)
                yield from self._named(kind, reading.slot(found, kind), least=_ALIKE)

    def _question(self, reading: "_Reading", found: re.Match[str]) -> Iterator[Match[Intent]]:
        asked = found.groupdict()
        chart = next((chart for chart in CHARTS if asked.get(chart)), POPULAR)
        if asked.get("here"):
            yield Match(1, NearMe())
        elif asked.get("place"):
            yield from self._charts(chart, reading.slot(found, "place"), least=_ALIKE)
        else:
            yield Match(1, ChartOf(chart, self.published.places[WORLD]))

    def _named(self, kind: str, slot: str, *, least: float) -> Iterator[Match[Intent]]:
        if kind in ("song", "any"):
            yield from self._alike(songs_of(self.published), slot, least=least)
        if kind in ("artist", "any"):
            yield from self._alike(artists_of(self.published), slot, least=least)
        if kind == "any":
            yield from self._charts(POPULAR, slot, least=least)

    def _alike(self, names: Names[Song] | Names[Artist], slot: str, *, least: float) -> Iterator[Match[Intent]]:
        """Yield the name that is most alike to a slot, as it is or with digits."""
        found = [match for form in self._forms(slot) for match in names.like(form)[:1]]
        best = max(found, key=lambda match: match.likeness, default=None)
        if best and best.likeness >= least:
            yield Match(best.likeness, best.of)

    def _charts(self, chart: str, slot: str, *, least: float) -> Iterator[Match[Intent]]:
        place = self._place(slot, least=least)
        if place:
            yield Match(place.likeness, ChartOf(chart, place.of))

    def _place(self, slot: str, *, least: float) -> Match[PublishedPlace] | None:
        """Return the place that is likeliest meant by a name, with which its country may be named."""
        inside = list(self._inside(slot))
        for name, country in (*inside, (slot, "")):
            found = self._called(name, country, least=least)
            if found:
                best = max(found, key=self._likely)
                return Match(best.likeness, self.published.places[best.of.place])
        return None

    def _called(self, name: str, country: str, *, least: float) -> list[Match[Name]]:
        """Return what is called so or nearly so, in a country or anywhere."""

        def is_there(called: Name) -> bool:
            return not country or country in self._around(called)

        exact = [Match(1.0, each) for each in self.published.meant(name) if is_there(each)][:1]
        if exact and self.published.places[exact[0].of.place].served:
            return exact
        index = (charted_places_of(self.published), *(() if exact else (places_of(self.published),)))
        close = (
            match for names in index for form in self._forms(name) for match in names.like(form, is_wanted=is_there)
        )
        return [*exact, *(match for match in close if match.likeness >= least)]

    def _inside(self, slot: str) -> Iterator[tuple[str, str]]:
        """Yield how a slot may be a name and a country that it lies in."""
        for name, country in self._in_two(slot):
            named = self.published.meant(country) if name else []
            if named and self.published.places[named[0].place].level == "country":
                yield name, named[0].place

    def _in_two(self, slot: str) -> Iterator[tuple[str, str]]:
        if not PHRASES[self.language].spaced:
            country, _, name = slot.partition(_OF_JAPANESE)
            yield name, country
        words = slot.split()
        for at in range(1, len(words)):
            before = words[: at - 1] if words[at - 1] in self._within else words[:at]
            yield " ".join(before), " ".join(words[at:])

    def _likely(self, match: Match[Name]) -> float:
        """Return how likely a name is meant: how alike it is, and a little for its people and for charts of its own."""
        served = self.published.places[match.of.place].served
        return match.likeness + _FOR_PEOPLE * log10(1 + match.of.weight) + _FOR_CHARTS * served

    def _around(self, name: Name) -> set[str]:
        place = self.published.places[name.place]
        return {place.id, str(place.parent)}

    def _forms(self, slot: str) -> list[str]:
        return list(dict.fromkeys((slot, " ".join(plain(slot, self.language).split()) or slot)))

    @property
    def _grammar(self) -> Grammar:
        return grammar_of(self.language)

    @cached_property
    def _within(self) -> set[str]:
        return {heard(word) for word in PHRASES[self.language].within.split("|")}


def _most_alike(meanings: Iterable[Match[Intent]]) -> Intent | None:
    """Return the intent that is most alike to what was said; the first that is so exactly ends the search."""
    best: Match[Intent] | None = None
    for each in meanings:
        if each.likeness == 1:
            return each.of
        if best is None or each.likeness > best.likeness:
            best = each
    return best.of if best else None


class _Reading(NamedTuple):
    """A text as it is read: its words as they were heard, and the text that phrases are looked for in, word by word."""

    words: list[str]
    text: str

    def slot(self, found: re.Match[str], name: str) -> str:
        """Return what was heard in a slot."""
        if len(self.words) == 1:
            return found[name]
        first = self.text.count(" ", 0, found.start(name))
        return " ".join(self.words[first : first + 1 + found[name].count(" ")])
