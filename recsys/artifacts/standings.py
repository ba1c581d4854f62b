"""Standings: what the charts of a place are sure of about a track there, which a list near it keeps to.

A list near a place is about that place: it names what is surely more common there than elsewhere, and keeps away from
what surely is less so. Both follow from the published intervals; of most tracks there is nothing to be sure of.
"""

from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

import numpy as np

from recsys.artifacts.list_candidates import LOCAL, POPULAR, RISING, SURELY, IntArray
from recsys.geography.places import WORLD

MORE, LESS, RISES, TOP = 1, 2, 4, 8
"""Its share surely exceeds the world's; is surely below; it surely rises; it is among the first ten there."""

_SPECIAL = 16  # it is surely local, which says more than that its share exceeds the world's
_NAMED = 32  # it is on the local list, surely or not: then that list speaks for the place, and no larger one's
_FIRST = 10  # ranks of the popular list

Track = TypeVar("Track", bound=Hashable)


def standings_of(chart: str, items: Iterable[Mapping[str, Any]]) -> dict[str, int]:
    """Return what a list is sure of, by track, as a sum of the above and of others that only this module reads.

    Parameters
    ----------
    chart : str
    items : iterable of mapping
        As they are served, best first.
    """
    found = ((item["track_id"], _SURE[chart](item)) for item in items)
    return {track: standing for track, standing in found if standing}


def standings_near(
    tracks: Sequence[Track], places: Sequence[str], *, known: Callable[[str, Track], int | None]
) -> IntArray:
    """Return (n,) what is sure of tracks near a place.

    Where the place itself says nothing, what is surely special in the larger one, or surely rises there, holds for it,
    too; and what is surely less common there does if the place does not list the track at all.

    Parameters
    ----------
    tracks : sequence
        (n,)
    places : sequence of str
        Ids of the place and of the larger ones it lies in, the smallest first.
    known : callable
        Returns what the lists of a place are sure of about a track: 0 where it only lists it, None where it does not.
    """
    if places[0] == WORLD:  # whose list is near nothing: there the listener's own plays say more
        return np.zeros(len(tracks), dtype=np.int32)
    larger = [place for place in places[1:] if place != WORLD]
    found = (_near(known(places[0], track), [known(place, track) or 0 for place in larger]) for track in tracks)
    return np.fromiter(found, dtype=np.int32, count=len(tracks))


def _near(own: int | None, larger: Sequence[int]) -> int:
    above = 0
    for standing in larger:
        above |= standing
    here = (own or 0) & ~(_SPECIAL | _NAMED)
    if not here & (MORE | LESS):
        if above & _SPECIAL and not (own or 0) & _NAMED:
            here |= MORE
        elif own is None:
            here |= above & LESS
    return here | above & RISES


def _popular(item: Mapping[str, Any]) -> int:
    low, high = item["lift_interval"]["low"], item["lift_interval"]["high"]
    share = MORE if low > 1 else LESS if high < 1 else 0
    return share | (TOP if item["rank"] <= _FIRST else 0)


def _local(item: Mapping[str, Any]) -> int:
    return _NAMED | (MORE | _SPECIAL if item["lift_interval"]["low"] > 1 else 0)


def _rising(item: Mapping[str, Any]) -> int:
    return RISES if item.get("grade") == SURELY and item["lift_interval"]["low"] > 1 else 0


_SURE: dict[str, Callable[[Mapping[str, Any]], int]] = {POPULAR: _popular, RISING: _rising, LOCAL: _local}
