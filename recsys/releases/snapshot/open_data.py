"""Open data: every released night as a folder that anybody may take, and a tidy table of published charts by month.

A folder is written once and never again. The noisy counts in it are the release's own file; beside them lie the same as
CSV, the charts that were published of the night, a README, all parameters, and checksums.
"""

import gzip
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import date
from functools import lru_cache
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined, Template

from recsys.artifacts.chart_history import Item, Night, nights_of, told
from recsys.geography.atlas import Atlas
from recsys.releases.counts.release_reader import COUNTS, PLACES, released_nights
from recsys.workspace import MANIFEST, Workspace, digest, link_file, read_manifest, staged, write_manifest

CHARTS = "charts.parquet"
RELEASE, README, CHECKSUMS = "release.json", "README.md", "SHA256SUMS"


@dataclass(frozen=True)
class OpenFolder:
    """A folder of open data.

    Parameters
    ----------
    name : str
        The night, or the month.
    folder : Path
    facts : dict
        What its manifest says.
    """

    name: str
    folder: Path
    facts: dict[str, Any]


def write_open_data(workspace: Workspace, *, atlas: Atlas) -> None:
    """Write the folders of released nights that are not there yet, then those of months that have got another night.

    Parameters
    ----------
    workspace : Workspace
        With the releases, and the chart history.
    atlas : Atlas
        For the names of places.
    """
    charted = {night.night: night for night in nights_of(workspace.history)}
    for night in released_nights(workspace.releases):
        if not _is_whole(workspace.data / str(night)):
            _write_night(workspace, night, charted.get(night), atlas=atlas)
    months: dict[str, list[str]] = {}
    for charts in sorted(workspace.data.glob(f"????-??-??/{CHARTS}")):  # also of nights that the history has lost
        months.setdefault(charts.parent.name[:7], []).append(charts.parent.name)
    for month, nights in months.items():
        _write_month(workspace, month, nights)


def open_folders(workspace: Workspace) -> tuple[list[OpenFolder], list[OpenFolder]]:
    """Return the folders of nights and those of months, in order; one that is not whole is left out."""
    folders = [OpenFolder(path.name, path, _facts(path)) for path in sorted(workspace.data.glob("[0-9]*"))]
    known = [each for each in folders if each.facts]
    return [each for each in known if len(each.name) > 7], [each for each in known if len(each.name) == 7]


def _write_night(workspace: Workspace, night: date, charted: Night | None, *, atlas: Atlas) -> None:
    release = workspace.releases / str(night)
    facts = {key: value for key, value in read_manifest(release).items() if key != "files"}
    with staged(workspace.data / str(night)) as stage:
        for name in (COUNTS, PLACES):
            if (release / name).exists():
                link_file(release / name, stage / name)
                _write_csv(pl.read_parquet(release / name), stage / name)
        if charted:
            rows = _rows(charted, told(workspace.history, night), atlas=atlas)
            charts = pl.DataFrame(list(rows), schema=_COLUMNS, orient="row")
            charts.write_parquet(stage / CHARTS)
            _write_csv(charts, stage / CHARTS)
            facts |= {"drawn": str(charted.drawn), "window_nights": charted.window}
        (stage / RELEASE).write_text(json.dumps(facts, indent=2, sort_keys=True) + "\n", encoding="utf-8")
        told_of = _readme().render(charted=charted, totals=(stage / PLACES).exists(), **facts)
        (stage / README).write_text(told_of, encoding="utf-8")
        _finish(stage, {"night": str(night), "drawn": str(charted.drawn) if charted else None})


def _write_month(workspace: Workspace, month: str, nights: Sequence[str]) -> None:
    folder = workspace.data / month
    if _facts(folder).get("nights") == list(nights) and _is_whole(folder):
        return
    with staged(folder) as stage:
        charts = pl.concat([pl.scan_parquet(workspace.data / night / CHARTS) for night in nights])
        charts.sink_parquet(stage / CHARTS)
        _write_csv(pl.read_parquet(stage / CHARTS), stage / CHARTS)
        _finish(stage, {"nights": list(nights)})


def _finish(stage: Path, facts: dict[str, Any]) -> None:
    names = sorted(path.name for path in stage.iterdir())
    (stage / CHECKSUMS).write_text("".join(f"{digest(stage / name)}  {name}\n" for name in names), encoding="utf-8")
    write_manifest(stage, facts)


def _write_csv(rows: pl.DataFrame, beside: Path) -> None:
    """Write rows as packed CSV, the same bytes each time; no text in it is a formula for a spreadsheet."""
    texts = [
        pl.when(pl.col(name).str.contains(r"^[=+\-@\t\r]")).then("'" + pl.col(name)).otherwise(pl.col(name)).alias(name)
        for name, kind in rows.schema.items()
        if kind == pl.String
    ]
    content = rows.with_columns(texts).write_csv().encode()
    beside.with_suffix(".csv.gz").write_bytes(gzip.compress(content, 6, mtime=0))


def _rows(night: Night, lists: Iterable[tuple[str, str, list[Item]]], *, atlas: Atlas) -> Iterator[tuple[object, ...]]:
    for place, chart, items in lists:
        known = atlas.places.get(place)
        where = (place, known.name, known.country, known.level) if known else (place, None, None, None)
        before = (night.night, night.drawn, *where, chart)
        for item in items:
            listeners, lift, history = item["listeners"], item["lift_interval"], item["history"]
            previous = item["previous_rank"]
            yield (
                *before,
                item["rank"],
                None if previous == "new" else previous,
                item["nights_on_chart"],
                item["track_id"],
                item["title"],
                item["artist_id"],
                item["artist"],
                float(listeners["estimate"]),
                float(listeners["low"]),
                float(listeners["high"]),
                float(item["lift"]),
                float(lift["low"]),
                float(lift["high"]),
                history["first_rank"],
                history["peak_rank"],
                date.fromisoformat(history["first_night"]),
                date.fromisoformat(history["peak_night"]),
                history["nights"],
            )


def _is_whole(folder: Path) -> bool:
    """Tell whether all files are there, by their sizes: a folder has its name once it is on the disk, and then stays.

    There is another one every night, so that their digests would take longer each time.
    """
    with suppress(FileNotFoundError, LookupError, TypeError, AttributeError):
        files = _facts(folder)["files"].items()
        return bool(files) and all((folder / name).stat().st_size == facts["bytes"] for name, facts in files)
    return False


def _facts(folder: Path) -> dict[str, Any]:
    with suppress(FileNotFoundError, NotADirectoryError, ValueError):  # else it is not the folder that failed
        found: dict[str, Any] = json.loads((folder / MANIFEST).read_bytes())
        return found
    return {}


@lru_cache(maxsize=1)
def _readme() -> Template:
    loader = FileSystemLoader(Path(__file__).parent)
    found = Environment(loader=loader, autoescape=True, undefined=StrictUndefined, trim_blocks=True)
    return found.get_template("open_data.md.j2")


_COLUMNS = {
    "night": pl.Date,
    "drawn": pl.Date,
    "place": pl.String,
    "name": pl.String,
    "country": pl.String,
    "level": pl.String,
    "chart": pl.String,
    "rank": pl.Int32,
    "previous_rank": pl.Int32,
    "nights_on_chart": pl.Int32,
    "track_id": pl.String,
    "title": pl.String,
    "artist_id": pl.String,
    "artist": pl.String,
    **dict.fromkeys(("estimate", "low", "high", "lift", "lift_low", "lift_high"), pl.Float64),
    **dict.fromkeys(("first_rank", "peak_rank"), pl.Int32),
    **dict.fromkeys(("first_night", "peak_night"), pl.Date),
    "listed_nights": pl.Int32,
}
