"""What a partner file is written as: rows with names, CSV and Parquet, README, and checksums."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from recsys.geography.atlas import REMAINDER, Atlas
from recsys.schemas import PartnerTrends, at_border
from recsys.workspace import digest

PURPOSE = "partner"
PARQUET, CSV, RELEASE, README, CHECKSUMS = "trends.parquet", "trends.csv", "release.json", "README.md", "SHA256SUMS"
FORMAT = 2  # of release.json
FILES = (README, RELEASE, CSV, PARQUET)  # in the order of the checksums

STATED: Mapping[str, str] = {
    "purpose": PURPOSE,
    "unit_of_privacy": "one listener, with everything that listener played in the period",
    "neighbouring_relation": "add or remove one listener",
    "consent": "partner_statistics, given when a track was played and not withdrawn since, also not by a signal",
    "mechanism": (
        "listeners by place and track, each listener at one home, and with a weight that is smaller the more tracks "
        "the listener played; discrete Gaussian noise on every pair of place and track, and on two totals of a place; "
        "rows under the threshold, or with fewer than the smallest number of real listeners, left out; what is left "
        "divided by the mean weight of the place, and rounded"
    ),
}

_KINDS = {"part": "region, or the rest of a country", "country": "country", "world": "the world"}


def named(found: Iterable[tuple[str, str, int]], *, catalogue: pl.DataFrame, atlas: Atlas) -> pl.DataFrame:
    """Put names to places and tracks, and the rows in order: the world, countries, what is in them; most first."""
    schema = {"place": pl.String, "track_id": pl.String, "listeners": pl.Int32}
    rows = pl.DataFrame(list(found), schema=schema, orient="row")
    places = [(place, *_place(place, atlas=atlas)) for place in rows["place"].unique()]
    names = {"place": pl.String, "name": pl.String, "country": pl.String, "level": pl.String, "depth": pl.Int8}
    named = rows.join(pl.DataFrame(places, schema=names, orient="row"), on="place").join(catalogue, on="track_id")
    ordered = named.sort("depth", "country", "place", "listeners", "track_id", descending=[False] * 3 + [True, False])
    return at_border(ordered.select(PartnerTrends.column_names()), PartnerTrends)


def write(stage: Path, *, trends: pl.DataFrame, facts: Mapping[str, Any]) -> None:
    """Write all files of a partner file into an empty folder."""
    trends.write_parquet(stage / PARQUET)
    (stage / CSV).write_bytes(trends_csv(trends))
    (stage / RELEASE).write_text(
        json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    (stage / README).write_text(readme(facts), encoding="utf-8")
    (stage / CHECKSUMS).write_text(checksums(stage), encoding="utf-8")


def trends_csv(trends: pl.DataFrame) -> bytes:
    """Write the rows as CSV (RFC 4180, UTF-8, a header), the same bytes for the same rows.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(trends.columns)
    writer.writerows([_harmless(value) for value in row] for row in trends.iter_rows())
    return text.getvalue().encode()


def readme(facts: Mapping[str, Any]) -> str:
    """Return the README of a partner file, in plain words, from its ``release.json`` alone."""
    bounds, odds = facts["settings"]["partner"], math.exp(facts["guarantees"]["file"]["epsilon"])
    return _template().render(**facts, bounds=bounds, odds=odds, kinds=_KINDS)


def read_facts(folder: Path) -> dict[str, Any]:
    """Return what ``release.json`` of a partner file says, unchecked."""
    facts: dict[str, Any] = json.loads((folder / RELEASE).read_text(encoding="utf-8"))
    return facts


def checksums(folder: Path) -> str:
    """Return the content of ``SHA256SUMS`` for the files of a folder, as ``sha256sum -c`` reads it."""
    return "".join(f"{digest(folder / name)}  {name}\n" for name in FILES)


def settings_digest(sections: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the settings that decide a partner file, in the form that ``release.json`` holds them."""
    return hashlib.sha256(json.dumps(sections, sort_keys=True).encode()).hexdigest()


def _place(place: str, *, atlas: Atlas) -> tuple[str, str | None, str, int]:
    """Return name, country, level and depth; a remainder is what of a country lies in none of its regions."""
    known = atlas.places[atlas.place_of(place)]
    if place.endswith(REMAINDER):
        return f"{known.name}, outside its regions", known.country, "remainder", 3
    return known.name, known.country, known.level, ("world", "country", "region").index(known.level)


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


@lru_cache(maxsize=1)
def _template() -> Template:
    loader = FileSystemLoader(Path(__file__).parent)
    templates = Environment(
        loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True, keep_trailing_newline=True
    )
    return templates.get_template("README.md.j2")
