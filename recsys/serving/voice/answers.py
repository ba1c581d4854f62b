"""Intents as they are answered: in one shape, whatever was meant."""

from typing import Literal

from typing_extensions import TypedDict  # pydantic, which documents these, needs this one below Python 3.12

from recsys.artifacts.addresses import artist_address, place_address, song_address
from recsys.artifacts.chart_history import Song
from recsys.serving.lists.responses import Region, region_of
from recsys.serving.lists.songs import FoundArtist, FoundTrack, track_of
from recsys.serving.snapshot.snapshot_reader import Published
from recsys.serving.voice.intents import ChartOf, Intent, NearMe, Turn
from recsys.serving.voice.vocabulary import Artist

LIST = "/me"  # the page of a listener's own list and switches


class AskedSwitch(TypedDict):
    """A switch that is to be turned: ask the listener the question, and turn it only after a yes."""

    purpose: str
    state: Literal["given", "withdrawn"]
    question: str


class IntentAnswer(TypedDict):
    """What was meant: of ``chart``, ``place``, ``track``, ``artist`` and ``switch`` those that the intent has.

    ``intent`` is null where nothing was understood. ``page`` is where the page shows what was meant.
    """

    as_of: str
    intent: Literal["chart", "near_me", "track", "artist", "switch"] | None
    chart: str | None
    place: Region | None
    track: FoundTrack | None
    artist: FoundArtist | None
    switch: AskedSwitch | None
    page: str | None


def intent_answer(intent: Intent | None, *, published: Published, question: str = "") -> IntentAnswer:
    """Return an intent as it is answered.

    Parameters
    ----------
    intent : Intent or None
    published : Published
    question : str
        What to ask before a switch is turned.
    """
    answer = _nothing(published)
    if isinstance(intent, ChartOf):
        page = place_address(intent.place, intent.chart)
        return {**answer, "intent": "chart", "chart": intent.chart, "place": region_of(intent.place), "page": page}
    if isinstance(intent, NearMe):
        return {**answer, "intent": "near_me", "page": LIST}
    if isinstance(intent, Song):
        page = song_address(intent.track_id, intent.title)
        return {**answer, "intent": "track", "track": {**track_of(intent), "page": page}, "page": page}
    if isinstance(intent, Artist):
        page = artist_address(intent.artist_id, intent.artist)
        found: FoundArtist = {"artist_id": intent.artist_id, "artist": intent.artist, "page": page}
        return {**answer, "intent": "artist", "artist": found, "page": page}
    if isinstance(intent, Turn):
        switch: AskedSwitch = {
            "purpose": intent.purpose.value,
            "state": intent.state.value,
            "question": question,
        }
        return {**answer, "intent": "switch", "switch": switch, "page": LIST}
    return answer


def _nothing(published: Published) -> IntentAnswer:
    return {
        "as_of": published.as_of,
        "intent": None,
        "chart": None,
        "place": None,
        "track": None,
        "artist": None,
        "switch": None,
        "page": None,
    }
