"""The job that shows a published chart: what the endpoint would answer for a place that a person names."""

from collections.abc import Callable

import h3

from recsys.geography.atlas import load_atlas
from recsys.geography.names import Name, likely
from recsys.serving.lists.responses import Chart, chart_answer, label
from recsys.serving.snapshot.place import place_of
from recsys.serving.snapshot.snapshot_reader import Published, open_published
from recsys.settings import AtlasSettings, Settings
from recsys.workspace import Workspace


def published_chart(
    text: str,
    *,
    workspace: Workspace,
    settings: Settings,
    chart: str,
    limit: int,
    told: Callable[[str], None] = lambda _: None,
) -> Chart:
    """Return a chart of the place that a text means, as the endpoint answers it.

    Parameters
    ----------
    text : str
        A city or country name, a region's id, an H3 cell of any resolution, or ``world``.
    workspace : Workspace
    settings : Settings
    chart : str
        ``popular``, ``rising`` or ``local``.
    limit : int
        Items at most.
    told : callable, optional
        Told which place is taken, where others of the name are likely, too.

    Raises
    ------
    UnknownPlaceError
        If nothing has that name; the hint names what is near in spelling.
    NotReadyError
        If nothing was published yet.
    """
    published = open_published(workspace)
    place_id = _cells_place(text, published=published, settings=settings.atlas) or _named(text, published, told=told)
    place_id = place_id or load_atlas(settings.atlas).find(text).id
    return chart_answer(published, place_id=place_id, chart=chart, limit=limit)


def _cells_place(text: str, *, published: Published, settings: AtlasSettings) -> str | None:
    """Return the place that an id or an H3 cell means, or None if it is neither."""
    if text in published.places:
        return text
    if not h3.is_valid_cell(text):
        return None
    resolution = min(h3.get_resolution(text), settings.finest_resolution)
    return place_of(h3.cell_to_parent(text, resolution), published=published).id


def _named(text: str, published: Published, *, told: Callable[[str], None]) -> str | None:
    """Return the likeliest place of that name, if the snapshot knows any; tell of the others that may be meant.

    Villages are in no snapshot: the atlas knows them, and takes seconds to build.
    """
    found = published.meant(text)
    others = [_label(each, published) for each in likely(found)[:_MOST]]
    if others:
        told(f"Taken for {_label(found[0], published)}; there is also {'; '.join(others)}")
    return found[0].place if found else None


def _label(name: Name, published: Published) -> str:
    place = published.places[name.place]
    return label(place) if name.town == place.name else f"{name.town}, {place.country} (in {place.name})"


_MOST = 3  # others that are told of
