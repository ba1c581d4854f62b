"""The immutable published folder and its pointer: everything that serving needs, whole or not at all."""

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from recsys.artifacts.chart_database import DATABASE, FORMAT, ChartDatabase, PublishedPlace, write_chart_database
from recsys.artifacts.list_candidates import LOCAL
from recsys.artifacts.reasons import reason
from recsys.errors import InputError, NotReadyError
from recsys.geography.atlas import Atlas
from recsys.geography.places import WORLD
from recsys.releases.charts.charts import Charts
from recsys.schemas import Catalogue, Chart, at_border
from recsys.versions import check_version
from recsys.workspace import (
    MANIFEST,
    PUBLIC,
    Workspace,
    age_of,
    read_manifest,
    remove_folder,
    replace_file,
    replace_link,
    staged,
    sweep,
    write_manifest,
)

_KEPT = 7  # snapshots, the current one included: a week to go back to


@dataclass(frozen=True)
class Snapshot:
    """A published snapshot whose files are what its manifest says.

    Parameters
    ----------
    folder : Path
    manifest : mapping
        ``id``, ``format``, ``as_of``, ``charts``, ``atlas``, ``nights``, ``settings``, ``ledger``, ``rendering`` and
        ``files``.
    """

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def id(self) -> str:
        """The name of its folder."""
        return self.folder.name

    def items(self, place: str, *, chart: str) -> list[dict[str, Any]]:
        """Return the items of a place's chart as they are served, best first; none where there is no chart."""
        with closing(ChartDatabase(self.folder / DATABASE)) as database:
            return database.chart(place, chart) or []


def write(
    workspace: Workspace,
    *,
    charts: Charts,
    catalogue: pl.DataFrame,
    atlas: Atlas,
    nights: Sequence[date],
    settings_digest: str,
    ledger_numbers: Sequence[int],
    write_public: Callable[[Path, Mapping[str, Any]], None] | None = None,
    rendering: Mapping[str, int | str] | None = None,
) -> str:
    """Write and verify a snapshot that nothing points to yet; the same content has the same id and changes nothing.

    Tracks that the catalogue does not hold any more are left out, and ranks close up.

    Parameters
    ----------
    workspace : Workspace
    charts : Charts
        Lines by place, chart and rank. A place that is on any of the charts has a list of each kind, empty if need be;
        but the world has no local one.
    catalogue : polars.DataFrame
        A Catalogue, for titles and artists.
    atlas : Atlas
    nights : sequence of date
        The released nights behind the charts.
    settings_digest : str
    ledger_numbers : sequence of int
        The ledger entries that paid for the nights.
    write_public : callable, optional
        Takes the staged folder, with its charts, and the facts of its manifest, and writes ``public/`` into it: files
        that any web server can serve, with a manifest of their own for which the snapshot's vouches.
    rendering : mapping, optional
        What decides these files beside the charts: another rendering is another snapshot.

    Returns
    -------
    str
        The id: the last night and eight hex digits of the content's digest.

    Raises
    ------
    InputError
        If a frame does not fit its schema, there is no night, or what was written does not verify.
    """
    if not nights:
        raise InputError("a snapshot needs at least one night, found none", hint="Release a night first.")
    lines = _with_titles(charts, catalogue)
    facts = {
        "format": FORMAT,  # part of every id: the same charts in another format are another snapshot
        "as_of": max(nights).isoformat(),
        "charts": list(charts.kinds),
        "atlas": atlas.version,
        "nights": [night.isoformat() for night in sorted(nights)],
        "settings": settings_digest,
        "ledger": sorted(ledger_numbers),
        "rendering": rendering,
    }
    name = f"{facts['as_of']}-{_digest(lines, facts)}"
    facts = {"id": name, **facts}
    folder = workspace.snapshots / name
    sweep(workspace.snapshots)
    if not _is_whole(folder):
        with staged(folder) as stage:
            served = set(lines["place"].unique())
            write_chart_database(
                stage / DATABASE,
                places=[PublishedPlace.of(place, served=place.id in served) for place in atlas.places.values()],
                cells=sorted(atlas.country_cells.items()),
                charts=_charts(lines, kinds=charts.kinds),
                prices=charts.prices,
                names=atlas.names,
            )
            if write_public:
                write_public(stage, facts)
                read_manifest(stage / PUBLIC)
            write_manifest(stage, facts, names=_vouched(stage))
        read_manifest(folder)
    return name


def publish(workspace: Workspace, **content: Any) -> str:
    """Write a snapshot as :func:`write` does, and point to it; return its id."""
    name = write(workspace, **content)
    lead_to(workspace, name)
    return name


def lead_to(workspace: Workspace, name: str) -> None:
    """Point to a snapshot that was written, and keep the last seven; the current one always is."""
    if pointer(workspace) != name:
        point_to(workspace, name)
    link_public(workspace)
    _prune(workspace, current=name)


def current(workspace: Workspace) -> Snapshot:
    """Return the snapshot that the workspace points to.

    Raises
    ------
    NotReadyError
        If nothing was published yet.
    InputError
        If it is damaged.
    """
    name = pointer(workspace)
    if name is None:
        raise NotReadyError("no snapshot was published yet", hint="Run `hearabouts nightly` first.")
    folder = workspace.snapshots / name
    return Snapshot(folder, _read_whole(folder))


def point_to(workspace: Workspace, name: str) -> None:
    """Let the workspace point to one of its snapshots, and the public link with it."""
    replace_file(workspace.current, name.encode())
    link_public(workspace)


def link_public(workspace: Workspace) -> None:
    """Let ``public`` lead to the public files of the current snapshot; a crash may have come before it did."""
    if is_linked(workspace):
        return
    folder = _public(workspace)
    if folder.is_dir():
        replace_link(workspace.public, folder)
    else:
        workspace.public.unlink()


def is_linked(workspace: Workspace) -> bool:
    """Tell whether ``public`` leads to the public files of the current snapshot, or to none where it has none."""
    folder, is_there = _public(workspace), workspace.public.is_symlink()
    return is_there and workspace.public.resolve() == folder.resolve() if folder.is_dir() else not is_there


def _public(workspace: Workspace) -> Path:
    return workspace.snapshots / (pointer(workspace) or "") / PUBLIC


def _vouched(folder: Path) -> list[str]:
    """Return the files that a snapshot's manifest has: of thousands of public ones, their own manifest."""
    public = f"{PUBLIC}/{MANIFEST}"
    return [DATABASE, *([public] if (folder / public).exists() else [])]


def pointer(workspace: Workspace) -> str | None:
    """Return the id that the workspace points to; None before the first."""
    return workspace.current.read_text(encoding="utf-8").strip() if workspace.current.exists() else None


def lists_of(charts: Charts, *, catalogue: pl.DataFrame) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Yield place, chart and items of every list, as a snapshot holds them."""
    return _charts(_with_titles(charts, catalogue), kinds=charts.kinds)


def closed_up(lines: pl.DataFrame, *, catalogue: pl.DataFrame) -> pl.DataFrame:
    """Return the lines of a Chart without tracks that the catalogue does not hold any more; ranks close up."""
    kept = lines.join(catalogue, on="track_id", how="semi", maintain_order="left")
    return kept.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.UInt32).over("place", "chart"))


def _with_titles(charts: Charts, catalogue: pl.DataFrame) -> pl.DataFrame:
    titles = at_border(catalogue, Catalogue).select("track_id", "title", "artist_id", "artist")
    kept = closed_up(at_border(charts.lines, Chart), catalogue=titles)
    return kept.join(titles, on="track_id", how="inner", maintain_order="left")


def _digest(lines: pl.DataFrame, facts: Mapping[str, Any]) -> str:
    content = hashlib.sha256(json.dumps(facts, sort_keys=True).encode())
    for part in lines.iter_slices(1 << 17):
        content.update(part.write_csv(include_header=False).encode())
    return content.hexdigest()[:8]


def _is_whole(folder: Path) -> bool:
    try:
        if f"{PUBLIC}/{MANIFEST}" in _read_whole(folder)["files"]:
            read_manifest(folder / PUBLIC)
    except InputError:
        return False
    return True


def _read_whole(folder: Path) -> dict[str, Any]:
    """Return the manifest of a snapshot that has its files, and the shape that this release writes and reads."""
    manifest = read_manifest(folder)
    check_version(f"the snapshot {folder.name}", manifest.get("format"), known=[FORMAT])
    with closing(ChartDatabase(folder / DATABASE)):
        return manifest


def _prune(workspace: Workspace, *, current: str) -> None:
    """Remove all but the last snapshots; whoever still has the charts of one open keeps them until it closes."""
    folders = [path for path in workspace.snapshots.iterdir() if path.name[0] != "." and path.name != current]
    folders.sort(key=age_of)
    for folder in folders[: max(0, len(folders) - (_KEPT - 1))]:
        remove_folder(folder)


def _charts(lines: pl.DataFrame, *, kinds: Sequence[str]) -> Iterator[tuple[str, str, list[dict[str, Any]]]]:
    """Yield each list of each place; the world is not compared with the rest of the world."""
    found = lines.sort("rank").partition_by("place", "chart", as_dict=True)  # each in the order of ranks
    for place in sorted(set(lines["place"])):
        for chart in kinds:
            if (place, chart) != (WORLD, LOCAL):
                group = found.get((place, chart), lines[:0])
                yield place, chart, [_item(line) for line in group.iter_rows(named=True)]


def _item(line: Mapping[str, Any]) -> dict[str, Any]:
    previous = line["previous_rank"]
    item = {
        "rank": line["rank"],
        "previous_rank": "new" if previous is None else previous,
        "nights_on_chart": line["nights_on_chart"],
        "track_id": line["track_id"],
        "title": line["title"],
        "artist": line["artist"],
        "artist_id": line["artist_id"],
        "listeners": {key: _rounded(line[key]) for key in ("estimate", "low", "high")},
        "lift": round(line["lift"], 2),
        "lift_interval": {"low": round(line["lift_low"], 2), "high": round(line["lift_high"], 2)},
        "nights": line["nights"],
        **{key: line[key] for key in ("kind", "grade") if line[key]},
        **({"history": _history(line)} if line["first_night"] else {}),
    }
    return {**item, "reason": reason(item, chart=line["chart"], place=line["place"])}


def _history(line: Mapping[str, Any]) -> dict[str, Any]:
    first, peak = line["first_night"].isoformat(), line["peak_night"].isoformat()
    return {
        "first_night": first,
        "first_rank": line["first_rank"],
        "peak_rank": line["peak_rank"],
        "peak_night": peak,
        "nights": line["listed_nights"],
    }


def _rounded(listeners: float) -> float:
    """Round to one decimal, below one listener to three significant digits."""
    return round(listeners, 1) if listeners >= 1 else float(f"{listeners:.3g}")
