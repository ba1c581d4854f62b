"""What is trending near a listener: the place's charts in the listener's order, as far as the listener allows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache, partial
from typing import NamedTuple

import structlog

from recsys.serving.answers import CHARTS, Chart, chart_of, label
from recsys.serving.following import Following
from recsys.serving.personal import Candidates, candidates_of, evidence_for, listed, put_in_order
from recsys.serving.place import chain, coarse_cell, place_of
from recsys.serving.published import WORLD, Place, Published
from recsys.tastes import BLANK, IntArray, Tastes, nobody, open_tastes, pointer_of
from recsys.workspace import Workspace

TRENDING = "trending"

_PLACES = 64  # places whose candidates are remembered, about 0.5 MB each


def trending_answer(
    published: Published, *, near: "Nearby", listener: str, personal: bool, cell: str | None, limit: int
) -> Chart:
    """Return the list of a signed-in listener: of the cell's place, or of the world where there is no cell.

    Candidates are the popular, rising and local tracks of the place and of the larger ones it lies in; their order is
    the listener's. What is private is looked up for everybody, so that all answers take the same steps.

    Parameters
    ----------
    published : Published
    near : Nearby
        What the list is made of beside the snapshot.
    listener : str
        The keyed hash.
    personal : bool
        Whether the listener allows at this moment that the listener's own plays choose.
    cell : str or None
        The listener's cell where the listener allows its use at this moment, else None.
    limit : int
        Items at most.
    """
    place = published.places[WORLD] if cell is None else place_of(coarse_cell(cell), published=published)
    tastes = near.tastes()
    candidates, columns = near.candidates(list(chain(place, published=published)), published=published, tastes=tastes)
    found = tastes.row(listener)
    row = found if personal else BLANK
    weights = tastes.orders.personal if row.known else tastes.orders.cold
    order, reasons = put_in_order(evidence_for(candidates, columns=columns, row=row), weights)
    best = enumerate(order[:limit].tolist(), 1)
    items = [listed(candidates, at=at, because=reasons[at], rank=n, published=published) for n, at in best]
    shown = published.places[candidates.place] if items else place
    basis = _basis(place, shown, located=cell is not None, published=published)
    why = " ".join([*basis, _PLAYS[personal, row.known]])
    answer = chart_of(published, place=place, shown=shown, chart=TRENDING, why=why, used=cell is not None, items=items)
    return {**answer, "history_used": row.known}


class Nearby:
    """What lists around places are made of: follows the private file, and remembers the candidates of some places.

    Parameters
    ----------
    workspace : Workspace
    log : structlog logger
    """

    def __init__(self, workspace: Workspace, *, log: structlog.typing.FilteringBoundLogger) -> None:
        self._tastes = Following(pointer_of(workspace), opened=partial(open_tastes, workspace), what="tastes", log=log)
        self._nobody = nobody()
        self._remembered: _Remembered | None = None

    def tastes(self) -> Tastes:
        """Return the tastes of the moment; nobody's where none are whole."""
        return self._tastes.get_or(self._nobody)

    def candidates(self, places: Sequence[Place], *, published: Published, tastes: Tastes) -> "Known":
        """Return the candidates of a place and its larger ones, and their columns in the tastes."""
        remembered = self._remembered
        if remembered is None or remembered.published is not published or remembered.tastes is not tastes:
            remembered = self._remembered = _remembering(published, tastes)
        return remembered.candidates(tuple(place.id for place in places))


class Known(NamedTuple):
    """Candidates, and (n,) the column of each in the private file."""

    candidates: Candidates
    columns: IntArray


@dataclass(frozen=True, eq=False)
class _Remembered:
    """Of one snapshot and one private file, which nothing else keeps open once they are replaced."""

    published: Published
    tastes: Tastes
    candidates: Callable[[tuple[str, ...]], Known]


def _remembering(published: Published, tastes: Tastes) -> _Remembered:
    charts = lru_cache(maxsize=_PLACES * len(CHARTS))(lambda place, chart: published.items(place, chart=chart))

    @lru_cache(maxsize=_PLACES)
    def candidates(places: tuple[str, ...]) -> Known:
        found = candidates_of(places, items=charts)
        return Known(found, tastes.columns_of(found.tracks))

    return _Remembered(published, tastes, candidates)


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
