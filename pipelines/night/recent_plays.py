"""Recent plays: the step that gathers what listeners played lately who let it count among what their friends play."""

from dataclasses import replace

import polars as pl

from pipelines.base.job_context import JobContext
from recsys.arrivals.permission import still_allowed
from recsys.artifacts.recent_plays import MOST_TRACKS, RecentPlays, Song, recent_plays_of
from recsys.consents.log import Purpose
from recsys.geography.atlas import countries


def recent_plays(job: JobContext, *, lines: pl.DataFrame) -> RecentPlays:
    """Return what those played in the nights behind the charts who allow it at this moment.

    That takes two switches: ``contribute_trends``, as of every play that counts for others, and ``contacts``, on whose
    first day it begins: nothing from before is told.

    Parameters
    ----------
    job : JobContext
    lines : polars.DataFrame
        The ``track_id`` of everything on a chart: no other track has a page, nor is it anybody's business. What is on
        most charts comes first.
    """
    nights = job.releases.nights()[-job.settings.charts.window_nights :]
    on = {listener: since.date() for listener, since in job.allowing(Purpose.CONTACTS).items()}
    since = pl.LazyFrame({"listener": on.keys(), "since": on.values()}, {"listener": pl.String, "since": pl.Date})
    stored = job.store.scan(nights).join(since, on="listener").filter(pl.col("night") >= pl.col("since")).drop("since")
    rows = still_allowed(stored, permissions=job.permissions).filter(pl.col("weight") > 0).collect()
    often = lines["track_id"].value_counts().sort("count", "track_id", descending=[True, False])
    charted = often.select("track_id").join(job.catalogue, on="track_id", maintain_order="left")
    songs = [Song(*row) for row in charted.select("track_id", "title", "artist", "artist_id").iter_rows()]
    found = gathered(rows.join(charted, on="track_id", how="semi"), songs=songs, country_of=countries(job.atlas))
    return replace(found, night=nights[-1].isoformat())


def gathered(rows: pl.DataFrame, *, songs: list[Song], country_of: dict[str, str]) -> RecentPlays:
    """Return each listener's country, that of the most nights, and the tracks played most there.

    Parameters
    ----------
    rows : polars.DataFrame
        Contributions that count, of tracks among the songs.
    songs : list of Song
    country_of : dict of str to str
        By part; who played in none has no row.
    """
    placed = rows.with_columns(country=pl.col("part").replace_strict(country_of, default=None, return_dtype=pl.String))
    placed = placed.drop_nulls("country")
    stays = placed.group_by("listener", "country").agg(pl.col("night").n_unique(), pl.col("plays").sum())
    stays = stays.sort("listener", "night", "plays", "country", descending=[False, True, True, False])
    home = stays.unique("listener", keep="first", maintain_order=True)
    there = placed.join(home, on=["listener", "country"], how="semi").group_by("listener", "country", "track_id")
    most = there.agg(pl.col("plays").sum()).sort("listener", "plays", "track_id", descending=[False, True, False])
    first = most.group_by("listener", "country", maintain_order=True).agg(pl.col("track_id").head(MOST_TRACKS))
    return recent_plays_of({who: (country, tracks) for who, country, tracks in first.iter_rows()}, songs=songs)
