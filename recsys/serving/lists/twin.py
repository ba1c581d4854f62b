"""Which places listen like a listener: by the listener's own row and published charts, and nothing is kept of it."""

from typing import Literal

import orjson
from typing_extensions import TypedDict  # pydantic, which documents these, needs this one below Python 3.12

from recsys.artifacts.affinities import BLANK, NO_TRACK
from recsys.artifacts.likeness import FIRST, Twins, twins
from recsys.serving.lists.responses import Region, label, region_of
from recsys.serving.lists.trending import ListSources
from recsys.serving.requests.one_size import STEP, padded
from recsys.serving.snapshot.snapshot_reader import Published

_NAMELESS = Twins([], [], surely=False)


class Fit(TypedDict):
    """A place that fits: ``weight`` is how much of all probability it has, 0 to 1; 0 where the plays were not used."""

    rank: int
    region: Region
    weight: float


class Twin(TypedDict):
    """The places whose published charts fit the listener's plays best.

    ``surely`` is ``among_the_first_five`` where these have nine tenths of all probability together, else ``nowhere``.
    """

    as_of: str
    history_used: bool
    surely: Literal["among_the_first_five", "nowhere"]
    why: str
    places: list[Fit]


def twin_answer(sources: ListSources, *, listener: str, personal: bool) -> bytes:
    """Return the answer as JSON: the same steps and the same length, whatever the listener allows.

    Parameters
    ----------
    sources : ListSources
    listener : str
        The keyed hash.
    personal : bool
        Whether the listener allows at this moment that the listener's own plays choose.
    """
    published, affinities, columns = sources.published, sources.affinities, sources.columns
    found = affinities.row(listener)
    row = found if personal else BLANK
    played = row.at(columns)[1] & (columns != NO_TRACK)
    likeness = published.likeness
    best = twins(likeness, played) if likeness.places else _NAMELESS
    used = bool(row.known and played.any())
    places = [published.places[likeness.places[at]] for at in best.first]
    weights = [round(weight, 2) if used else 0.0 for weight in best.weights]
    answer: Twin = {
        "as_of": published.as_of,
        "history_used": used,
        "surely": "among_the_first_five" if used and best.surely else "nowhere",
        "why": _why(
            published, personal=personal, used=used, surely=best.surely, name=label(places[0]) if places else ""
        ),
        "places": [
            {"rank": rank, "region": region_of(place), "weight": weight}
            for rank, (place, weight) in enumerate(zip(places, weights, strict=True), 1)
        ],
    }
    return padded(orjson.dumps(answer), to=_length(published))


def _length(published: Published) -> int:
    """Return how long all answers are: as long as one of the longest places."""
    longest = orjson.dumps(region_of(published.longest_place))
    return -(-(FIRST * len(longest) + len(published.longest_place.name) + STEP // 2) // STEP) * STEP


def _why(published: Published, *, personal: bool, used: bool, surely: bool, name: str) -> str:
    basis = (
        f"By the published charts of the nights to {published.as_of} and your own plays, of which nothing is stored."
    )
    if not personal:
        return "Your plays were not used, so these are simply the largest places."
    if not used:
        return "You allow your plays to choose, and none are known yet that would say anything: the largest places."
    if surely:
        return f"You listen most like {name}; the place that you listen like is surely among these five. {basis}"
    return (
        f"You listen like nowhere surely: these fit best, and others, or the whole world, fit nearly as well. {basis}"
    )
