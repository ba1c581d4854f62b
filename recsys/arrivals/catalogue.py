"""Read the catalogue: which tracks can be played, what they are called, and by whom they are."""

from dataclasses import dataclass

import polars as pl

from recsys.arrivals import input_tables
from recsys.arrivals.input_tables import AT, Counts
from recsys.arrivals.parsing import FAULT, Kind
from recsys.errors import InputError
from recsys.locations import Location
from recsys.printable import given
from recsys.schemas import Catalogue, at_border

_TABLE = input_tables.Table(
    required={"track_id": Kind.TEXT, "title": Kind.TEXT, "artist_id": Kind.TEXT, "artist": Kind.TEXT},
    optional={"released": Kind.DATE, "artist_country": Kind.TEXT},
)
_ONE = 1  # row that may always be bad: a share of a small catalogue says nothing


@dataclass(frozen=True)
class ReadCatalogue:
    """The tracks of a catalogue, and how many rows were set aside.

    Parameters
    ----------
    tracks : polars.DataFrame
        Schema :class:`recsys.schemas.Catalogue`, sorted by ``track_id``; ``released`` is null where it is absent or no
        date, and ``artist_country`` where it is absent or no code of two letters.
    counts : Counts
        Rows, and bad rows by reason: ``malformed_line``, ``missing_track_id``, ``missing_title``,
        ``missing_artist_id``, ``missing_artist``.
    """

    tracks: pl.DataFrame
    counts: Counts


def read_catalogue(source: Location, *, max_bad_share: float) -> ReadCatalogue:
    """Read and check the whole catalogue.

    Parameters
    ----------
    source : Location
        A Parquet, CSV (also .gz) or NDJSON file, or a folder of them.
    max_bad_share : float
        Share of rows, 0 to 1; a single row may be bad in any case.

    Raises
    ------
    InputError
        If it cannot be read, a column is missing or unexpected, it holds no track, too many rows are bad, or a track
        is there twice. The message says how many, and where the first is.
    NotReadyError
        If a file changed while it was read.
    """
    files = input_tables.files_of(source)
    checked = input_tables.read(files, table=_TABLE).with_columns(_reason().alias("reason"))
    with input_tables.reading(*files):
        rows = checked.collect()
    counts = input_tables.count(rows.lazy(), what=f"the catalogue {given(source)}", files=files)
    if counts.rows - counts.good > _ONE:
        counts.within(max_bad_share)
    tracks = rows.filter(pl.col("reason").is_null()).sort("track_id", maintain_order=True)
    if tracks.is_empty():
        raise InputError(f"{counts.what} holds no track", hint=f"Deliver the catalogue and run again. {counts.hint}")
    twice = tracks.filter(pl.col("track_id").is_duplicated())
    if not twice.is_empty():
        first = input_tables.where(int(twice[AT].min()), files=files)  # type: ignore[arg-type]
        raise InputError(
            f"{counts.what} has {len(twice)} rows with a track_id that is not theirs alone, the first in {first}",
            hint="Correct the catalogue and run again.",
        )
    found = tracks.select(_TABLE.columns.keys()).with_columns(_country(pl.col("artist_country")))
    return ReadCatalogue(at_border(found, Catalogue), counts)


def _country(text: pl.Expr) -> pl.Expr:
    """Return a country's code in upper case; null where it is none."""
    code = text.str.strip_chars().str.to_uppercase()
    return pl.when(code.str.contains(r"^[A-Z]{2}$")).then(code)


def _reason() -> pl.Expr:
    absent = (pl.when(pl.col(name).is_null()).then(pl.lit(f"missing_{name}")) for name in _TABLE.required)
    return pl.coalesce(pl.col(FAULT), *absent)
