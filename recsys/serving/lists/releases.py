"""The list of open data: which nights were released, with the files of each and their digests."""

from collections.abc import Sequence

from pydantic_core import from_json
from typing_extensions import TypedDict  # pydantic, which documents these, needs this one below Python 3.12

from recsys.serving.lists.past import weeks_of
from recsys.serving.snapshot.snapshot_reader import Published

RELEASES = "v1/releases.json"  # among the public files


class OpenFile(TypedDict):
    """A file of open data, and where it is."""

    name: str
    url: str
    bytes: int
    sha256: str


class OpenData(TypedDict):
    """The files of a night or of a month, its ``name``; ``drawn`` says when the charts of a night were drawn."""

    name: str
    drawn: str | None
    files: list[OpenFile]


class ReleasesAnswer(TypedDict):
    """Every released night with its counts and charts, the charts by month, and which charts can be asked for.

    ``charted`` are the values of ``night``, and ``weeks`` those of ``week``, that a chart can be asked with.
    """

    as_of: str
    charted: list[str]
    weeks: list[str]
    nights: list[OpenData]
    months: list[OpenData]


def releases_answer(published: Published, *, nights: Sequence[OpenData], months: Sequence[OpenData]) -> ReleasesAnswer:
    """Return what there is, in order."""
    return {
        "as_of": published.as_of,
        "charted": [night.isoformat() for night in published.history.nights],
        "weeks": list(weeks_of(published)),
        "nights": list(nights),
        "months": list(months),
    }


def releases_of(published: Published) -> ReleasesAnswer:
    """Return what there is by the snapshot's own file; of one without files only which charts there are."""
    written = published.files.read(RELEASES)
    found: ReleasesAnswer = from_json(written) if written else releases_answer(published, nights=(), months=())
    return found
