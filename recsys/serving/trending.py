"""What is trending near a listener: the place's charts in the listener's order, as far as the listener allows."""

from collections.abc import Iterator, Sequence
from functools import lru_cache, partial
from typing import NamedTuple

import structlog

from recsys.serving.answers import Chart, chart_of, label
from recsys.serving.following import Following
from recsys.serving.personal import Candidates, candidates_of, evidence_for, listed, put_in_order
from recsys.serving.place import chain, coarse_cell, place_of
from recsys.serving.published import WORLD, Place, Published
from recsys.tastes import BLANK, IntArray, Tastes, nobody, open_tastes, pointer_of
from recsys.workspace import Workspace

TRENDING = "trending"


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
    places = [each.id for each in chain(place, published=published)]
    candidates, columns = near.candidates(places, published=published, tastes=tastes)
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
    """What lists around places are made of beside the snapshot: follows the private file, and remembers the world.

    Parameters
    ----------
    workspace : Workspace
    log : structlog logger
    """

    def __init__(self, workspace: Workspace, *, log: structlog.typing.FilteringBoundLogger) -> None:
        self._tastes = Following(pointer_of(workspace), opened=partial(open_tastes, workspace), what="tastes", log=log)
        self._nobody = nobody()
        self._of_world = lru_cache(maxsize=1)(partial(_known, (WORLD,)))

    def tastes(self) -> Tastes:
        """Return the tastes of the moment; nobody's where none are whole."""
        return self._tastes.get_or(self._nobody)

    def candidates(self, places: Sequence[str], *, published: Published, tastes: Tastes) -> "Known":
        """Return the candidates of a place and its larger ones, and their columns in the tastes.

        The world's are remembered, which everybody gets who allows no place. A smaller place's are gathered anew each
        time, so that no time tells whether somebody else has asked near it.
        """
        return (self._of_world if tuple(places) == (WORLD,) else partial(_known, places))(published, tastes)


class Known(NamedTuple):
    """Candidates, and (n,) the column of each in the private file."""

    candidates: Candidates
    columns: IntArray


def _known(places: Sequence[str], published: Published, tastes: Tastes) -> Known:
    found = candidates_of(places, items=lambda place, chart: published.items(place, chart=chart))
    return Known(found, tastes.columns_of(found.tracks))


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
