"""Read the catalogue: which tracks can be played, what they are called, and by whom they are."""

from pathlib import Path

import polars as pl

from recsys.arrivals import input_tables
from recsys.arrivals.input_tables import Kind
from recsys.errors import InputError
from recsys.schemas import Catalogue, at_border

_TABLE = input_tables.Table(
    required={"track_id": Kind.TEXT, "title": Kind.TEXT, "artist_id": Kind.TEXT, "artist": Kind.TEXT},
    optional={"released": Kind.DATE},
)
_EXAMPLES = 3


def read_catalogue(source: Path) -> pl.DataFrame:
    """Read and check the whole catalogue.

    Parameters
    ----------
    source : Path
        A Parquet, CSV (also .gz) or NDJSON file, or a folder of them.

    Returns
    -------
    polars.DataFrame
        Schema :class:`recsys.schemas.Catalogue`, sorted by ``track_id``; ``released`` is null where it is absent or no
        date.

    Raises
    ------
    InputError
        If it cannot be read, a column is missing or unexpected, it holds no track, a text is missing, or a track is
        there twice. The message says how many and names up to three tracks.
    """
    files = input_tables.files_of(source)
    with input_tables.reading(source):
        parts = [input_tables.parse(input_tables.scan(file, table=_TABLE), table=_TABLE).collect() for file in files]
    tracks = pl.concat([input_tables.empty(_TABLE).collect(), *parts]).sort("track_id", maintain_order=True)
    if tracks.is_empty():
        raise InputError(f"the catalogue {source} holds no track", hint="Deliver the catalogue and run again.")
    for name in _TABLE.required:
        _refuse(tracks.filter(pl.col(name).is_null()), f"without {name}", source=source)
    _refuse(
        tracks.filter(pl.col("track_id").is_duplicated()), "with a track_id that is not theirs alone", source=source
    )
    return at_border(tracks, Catalogue)


def _refuse(wrong: pl.DataFrame, fault: str, *, source: Path) -> None:
    if not wrong.is_empty():
        examples = wrong["track_id"].drop_nulls().unique(maintain_order=True).head(_EXAMPLES).to_list()
        named = f", such as {', '.join(examples)}" if examples else ""
        raise InputError(
            f"the catalogue {source} has {len(wrong)} rows {fault}{named}", hint="Correct the catalogue and run again."
        )
