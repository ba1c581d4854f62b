"""What is trending near a listener: the place's charts in the listener's order, as far as the listener allows."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

import numpy as np
import orjson
import structlog
from numpy.typing import NDArray

from recsys.artifacts.affinities import BLANK, Affinities, nobody, open_affinities, pointer_of
from recsys.artifacts.chart_database import NO_LISTS
from recsys.artifacts.list_candidates import IntArray, ListCandidates
from recsys.artifacts.scoring import Ranking, evidence_for, shared
from recsys.consents.log import Choices
from recsys.geography.places import WORLD, Level, Place
from recsys.sealed_files import SealedFiles
from recsys.serving.lists.list_ids import Listed, ListIds, length_of
from recsys.serving.lists.personal_items import Around, listed, most_bytes
from recsys.serving.lists.responses import chart_of, label
from recsys.serving.requests.one_size import padded
from recsys.serving.snapshot.place import chain, place_of
from recsys.serving.snapshot.reload import HotReload
from recsys.serving.snapshot.snapshot_reader import Published

TRENDING = "trending"


class Answered(NamedTuple):
    """An answer: a :class:`~recsys.serving.lists.responses.Chart` as JSON, and how wide it is."""

    body: bytes
    scope: Level


@dataclass(frozen=True)
class Asked:
    """Who asks for a list, when, and what that listener lets choose it at this moment.

    Parameters
    ----------
    listener : str
        The keyed hash.
    choices : Choices
    now : datetime
    ids : ListIds
        Name the list.
    """

    listener: str
    choices: Choices
    now: datetime
    ids: ListIds


def trending_answer(sources: "ListSources", asked: Asked, *, cell: str | None, limit: int) -> Answered:
    """Return the list of a signed-in listener: of the cell's place, or of the world where there is no cell.

    Candidates are the popular, rising and local tracks of the place and of the larger ones it lies in; their order is
    the listener's. What is private is looked up for everybody, so that all answers take the same steps.

    Parameters
    ----------
    sources : ListSources
    asked : Asked
    cell : str or None
        The listener's cell where the listener allows its use at this moment, else None; a
        :func:`~recsys.serving.snapshot.place.coarse_cell`.
    limit : int
        Items at most.
    """
    published, lengths = sources.published, sources.lengths
    place = published.places[WORLD] if cell is None else place_of(cell, published=published)
    around = around_of(place, published=published)
    ranked = _ranked(sources, asked, around=around, limit=limit)
    order = ranked.order.tolist()
    here = around.place if order else place.id
    items = listed(around, list(zip(order, ranked.reasons.tolist(), strict=True)), here=here)
    shown, plays = published.places[here], (asked.choices.plays, ranked.known)
    answer = _answer(published, place=place, shown=shown, used=cell is not None, plays=plays)
    tracks = np.asarray(around.candidates.tracks)[ranked.order].tolist()
    lines = Listed(tracks, ranked.teams, ranked.rivals)
    id_ = asked.ids.id_of(lines, listener=asked.listener, snapshot=published.id, limit=limit, now=asked.now)
    body = orjson.dumps(answer | {"list": id_, "items": items})
    if limit not in lengths:
        lengths[limit] = longest(published, limit=limit)
    return Answered(padded(body, to=lengths[limit]), shown.level)


def longest(published: Published, *, limit: int) -> int:
    """Return how many bytes an answer has at most, whoever asks near whichever place: all are as long as that."""
    place = published.longest_place
    answers = [_answer(published, place=place, shown=place, used=True, plays=plays) for plays in _PLAYS]
    named = [answer | {"list": "0" * length_of(limit)} for answer in answers]
    return max(len(orjson.dumps(answer)) for answer in named) + most_bytes(published, limit=limit)


class ListSources(NamedTuple):
    """What listeners' lists are made of at a moment: the snapshot, the affinities, and in these the snapshot's tracks.

    Parameters
    ----------
    published : Published
    affinities : Affinities
        Nobody's where none are whole.
    columns : array of int
        The column in the affinities of every track of the snapshot.
    others : array of int or None
        The same in those of the challenger, where there is one.
    lengths : dict of int to int
        How long answers of so many items at most are, as far as they have been asked for.
    """

    published: Published
    affinities: Affinities
    columns: IntArray
    others: IntArray | None
    lengths: dict[int, int]


class NewestSources:
    """Follows the private file, and keeps what belongs to a snapshot for as long as both are the same.

    Parameters
    ----------
    files : SealedFiles
        Of the private store.
    log : structlog logger
    """

    def __init__(self, files: SealedFiles, *, log: structlog.typing.FilteringBoundLogger) -> None:
        opened = partial(open_affinities, files)
        self._affinities = HotReload(pointer_of(files), opened=opened, what="affinities", log=log)
        self._nobody = nobody()
        self._known: WeakKeyDictionary[Published, _Known] = WeakKeyDictionary()

    async def of(self, published: Published) -> ListSources:
        """Return the sources of the moment; new affinities are opened in another thread, while all others go on."""
        known = self._known.get(published) if self._affinities.is_followed() else None
        if known is None or known[0] is not self._affinities.get_or(self._nobody):
            known = await asyncio.to_thread(self._read, published)
        return ListSources(published, *known)

    def _read(self, published: Published) -> "_Known":
        affinities, known = self._affinities.get_or(self._nobody), self._known.get(published)
        if known is None or known[0] is not affinities:
            columns, challenger = affinities.columns_of(published.tracks), affinities.challenger
            others = challenger.columns_of(published.tracks) if challenger else None
            known = self._known[published] = affinities, columns, others, {}
        return known


_Known = tuple[Affinities, IntArray, IntArray | None, dict[int, int]]


def around_of(place: Place, *, published: Published) -> Around:
    """Return the lists of a place and of its larger ones, as far as they have any; there may be none.

    The nearest ones are read anew, whosever they are, so that neither the size of a place nor who else has asked near
    it shows in the time.
    """
    served = [each.id for each in chain(place, published=published) if each.served]
    found = [published.read(each) for each in served[:1]] + [published.lists(each) for each in served[1:]]
    return Around([lists for lists in found if lists] or [NO_LISTS], published)


class _Ranked(NamedTuple):
    """The best candidates in order, with the reason of each; of a shared list also whose pick each was, and who."""

    order: NDArray[np.intp]
    reasons: NDArray[np.intp]
    known: bool
    teams: list[int]
    rivals: str


def _ranked(sources: "ListSources", asked: Asked, *, around: Around, limit: int) -> _Ranked:
    """Put the candidates of a place in the listener's order, without what the listener has hidden."""
    choices, candidates = asked.choices, around.candidates
    tracks, sure = np.asarray(candidates.tracks), around.lists[0].standings
    numbers = [sources.published.numbers.get(track, -1) for track in choices.hidden]
    left_out = np.isin(tracks, np.array(numbers, dtype=tracks.dtype))
    ranking, known = _ranking(sources.affinities, sources.columns[tracks], asked, candidates=candidates)
    alone = ranking.served(standings=sure, left_out=left_out)
    challenger = _challenger(sources, asked, tracks=tracks, candidates=candidates)
    if challenger is None:
        return _Ranked(alone[:limit], ranking.reasons(alone[:limit], standings=sure), known, [], "")
    other, is_known = challenger  # which picks in turn for everybody, so that the time tells nothing
    coin, theirs = asked.ids.coin(asked.listener, sources.published.id), other.served(standings=sure, left_out=left_out)
    drafted, picks = shared(alone, theirs, standings=sure, coin=coin, limit=limit)
    is_shared = known and is_known and choices.feedback
    order, teams = drafted if is_shared else alone[:limit], picks * is_shared
    own, others = (each.reasons(order, standings=sure) for each in (ranking, other))
    of_rivals = (teams.tolist(), sources.affinities.rivals) if is_shared else ([], "")
    return _Ranked(order, np.where(teams > 0, others, own), known, *of_rivals)


def _challenger(
    sources: "ListSources", asked: Asked, *, tracks: IntArray, candidates: ListCandidates[int]
) -> tuple[Ranking, bool] | None:
    """Return what the challenger says of the candidates, where there is one, and whether it knows the listener."""
    affinities = sources.affinities.challenger
    if affinities is None or sources.others is None:
        return None
    return _ranking(affinities, sources.others[tracks], asked, candidates=candidates)


def _ranking(
    affinities: Affinities, columns: IntArray, asked: Asked, *, candidates: ListCandidates[int]
) -> tuple[Ranking, bool]:
    """Return what a ranker says of the candidates, and whether the listener's plays are known to it and may be used."""
    found = affinities.row(asked.listener)
    row = found if asked.choices.plays else BLANK
    weights = affinities.orders.personal if row.known else affinities.orders.cold
    return Ranking(evidence_for(candidates, columns=columns, row=row), weights), row.known


def _answer(
    published: Published, *, place: Place, shown: Place, used: bool, plays: tuple[bool, bool]
) -> dict[str, Any]:
    """Return all of an answer but its items; of the listener's plays, whether they may choose and whether they did."""
    why = " ".join([*_basis(place, shown, located=used, published=published), _PLAYS[plays]])
    whole = chart_of(published, place=place, shown=shown, chart=TRENDING, why=why, used=used, items=[])
    facts = {key: value for key, value in whole.items() if key != "items"}
    return {**facts, "history_used": plays[1], "nights": published.nights, "items": []}


def _basis(place: Place, shown: Place, *, located: bool, published: Published) -> Iterator[str]:
    """Say where a list is of, and from what it is made."""
    if located:
        yield f"You allow your coarse location to choose this list, and your place is taken to be {label(place)}."
    else:
        yield "Your location was not used, so this is of the whole world."
    around = "" if shown.level == "world" else " and the larger places around it"
    nights = "night" if published.nights == 1 else f"{published.nights} nights"
    yield f"What is popular, rising or special in {label(shown)}{around}, by listeners who contribute, over the"
    yield f"{nights} to {published.as_of}."


_PLAYS = {
    (True, True): "You allow your plays to choose, so what is close to them comes first.",
    (True, False): "You allow your plays to choose, and none are known yet that would say anything.",
    (False, False): "Your plays were not used.",
}
