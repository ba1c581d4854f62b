"""Whose numbers a line has: said before its reason, where they are of another place than the list."""

from recsys.artifacts.list_candidates import POPULAR
from recsys.geography.places import WORLD
from recsys.serving.snapshot.snapshot_reader import Published

IN = "In {}: "


def whose(place: str, chart: str, *, published: Published) -> str:
    """Return which place the numbers of a line are from, as the beginning of a sentence."""
    if place == WORLD:
        return "" if chart == POPULAR else "Worldwide: "  # a popular line says itself that it is the world's
    return IN.format(published.places[place].name)
