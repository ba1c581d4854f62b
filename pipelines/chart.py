"""The job that shows a published chart: what the endpoint would answer for a place that a person names."""

import h3

from recsys.geography.atlas import load_atlas
from recsys.geography.spelling import searchable
from recsys.serving.lists.responses import Chart, chart_answer
from recsys.serving.snapshot.place import place_of
from recsys.serving.snapshot.snapshot_reader import Published, open_published
from recsys.settings import AtlasSettings, Settings
from recsys.workspace import Workspace


def published_chart(text: str, *, workspace: Workspace, settings: Settings, chart: str, limit: int) -> Chart:
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

    Raises
    ------
    UnknownPlaceError
        If nothing has that name; the hint names what is near in spelling.
    NotReadyError
        If nothing was published yet.
    """
    published = open_published(workspace)
    place_id = _known(text, published=published, settings=settings.atlas) or load_atlas(settings.atlas).find(text).id
    return chart_answer(published, place_id=place_id, chart=chart, limit=limit)


def _known(text: str, *, published: Published, settings: AtlasSettings) -> str | None:
    """Return the place if the snapshot alone can tell: the atlas with all its cities takes seconds to build."""
    if h3.is_valid_cell(text) and text not in published.places:
        resolution = min(h3.get_resolution(text), settings.finest_resolution)
        return place_of(h3.cell_to_parent(text, resolution), published=published).id
    wanted = searchable(text)
    named = (place for place in published.places.values() if wanted in {searchable(place.name), place.id.casefold()})
    return next((place.id for place in named), None)
