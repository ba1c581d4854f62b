"""What is trending among a listener's friends: tracks that several of them played, by whom only of who shares it."""

from collections.abc import Collection, Mapping
from itertools import islice
from typing import Any

import orjson
from typing_extensions import TypedDict  # pydantic, which documents these, needs this one below Python 3.12

from recsys.artifacts.addresses import longest_addresses, pages_of
from recsys.artifacts.recent_plays import FEWEST_FRIENDS, FEWEST_PLAYED, RecentPlays, Shared
from recsys.consents.blinding import TOKEN_LENGTH
from recsys.consents.contacts import Friend
from recsys.geography.places import WORLD, Level, Place
from recsys.serving.lists.responses import Region, region_of
from recsys.serving.lists.trending import ListSources
from recsys.serving.requests.one_size import STEP, padded
from recsys.serving.snapshot.place import chain, place_of
from recsys.serving.snapshot.snapshot_reader import Published

MOST = 20
"""Tracks of an answer."""

MOST_NAMED = 10
"""Friends who are named beside a track."""


class FriendsTrack(TypedDict):
    """A track that several friends played; the addresses are those of the song's and the artist's pages.

    ``friends`` has the tokens of those of them who share with the listener under their own name, ten at most.
    """

    rank: int
    track_id: str
    title: str
    artist: str
    artist_id: str
    page: str
    artist_page: str
    friends: list[str]


class FriendsList(TypedDict):
    """What several friends played, what is on most charts first; nothing of too few, or that too few of them played.

    ``region`` is the country of the listener's place, and only what was played there counts; without a place it is the
    world. ``why`` says on what the list stands, or what is missing.
    """

    region: Region
    scope: Level
    as_of: str
    location_used: bool
    why: str
    items: list[FriendsTrack]


def friends_answer(
    sources: ListSources, *, friends: Collection[Friend], hidden: Collection[str] = (), cell: str | None = None
) -> bytes:
    """Return the answer as JSON, of the same length whoever asks and however many friends there are.

    Parameters
    ----------
    sources : ListSources
    friends : collection of Friend
        Of this moment; those who let plays count do.
    hidden : collection of str
        Tracks to leave out.
    cell : str or None
        The listener's cell where the listener allows its use at this moment, else None; a
        :func:`~recsys.serving.snapshot.place.coarse_cell`.
    """
    published, recent = sources.published, sources.affinities.recent
    place = _country(cell, published=published)
    counted = {friend.listener for friend in friends if friend.contributes}
    named = {friend.listener: friend.token for friend in friends if friend.shares and friend.contributes}
    found = recent.among(counted - named.keys(), named, country=None if place.id == WORLD else place.id)
    shown = islice((each for each in found if each.song.track_id not in hidden), MOST)
    items = [_item(rank, each, named=named) for rank, each in enumerate(shown, 1)]
    answer = _answer(published, place, used=cell is not None, found=bool(items)) | {"items": items}
    return padded(orjson.dumps(answer), to=_longest(published, recent))


def _country(cell: str | None, *, published: Published) -> Place:
    """Return the country that a cell lies in; the world where there is none."""
    here = published.places[WORLD] if cell is None else place_of(cell, published=published)
    return next(each for each in chain(here, published=published) if each.level != "region")


def _item(rank: int, shared: Shared, *, named: Mapping[str, str]) -> dict[str, Any]:
    track = {"rank": rank, **shared.song._asdict()}
    return track | pages_of(track) | {"friends": sorted(named[who] for who in shared.named)[:MOST_NAMED]}


def _answer(published: Published, place: Place, *, used: bool, found: bool) -> dict[str, Any]:
    return {
        "region": region_of(place),
        "scope": place.level,
        "as_of": published.as_of,
        "location_used": used,
        "why": _why(published, place, found=found),
    }


def _why(published: Published, place: Place, *, found: bool) -> str:
    """Say on what the list stands; of who has four friends and of who has none the same."""
    there = "" if place.level == "world" else f" in {place.name}"
    if not found:
        return (
            f"Not enough friends yet: it takes {FEWEST_FRIENDS} who let their plays count{there}, and "
            f"{FEWEST_PLAYED} of them who played the same."
        )
    nights = "night" if published.nights == 1 else f"{published.nights} nights"
    return (
        f"At least {FEWEST_PLAYED} of your friends who let their plays count{there} played each of these in the "
        f"{nights} to {published.as_of}. Only who shares with you is named."
    )


def _longest(published: Published, recent: RecentPlays) -> int:
    """Return how long all answers are: as long as the longest could be."""
    friends = ["0" * TOKEN_LENGTH] * MOST_NAMED
    more = len(orjson.dumps({"rank": MOST, **longest_addresses(), "friends": friends}))
    songs = recent.lengths[:MOST]
    place = published.longest_place
    whole = max(len(orjson.dumps(_answer(published, place, used=False, found=found))) for found in (True, False))
    return -(-(whole + sum(songs) + MOST * more + STEP // 2) // STEP) * STEP
