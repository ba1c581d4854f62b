"""Real listens: two nights of MusicMicro, with half of the listeners consenting.

A window and more is what the README's world has (test_readme.py).
"""

import os
from pathlib import Path

import polars as pl
import pytest
from support.commands import Run

ROOT = Path(__file__).parents[2]
DATA = Path(os.environ.get("HEARABOUTS_DATA", ROOT.parent / "shared" / "data")) / "musicmicro"

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason="the real data is not here; HEARABOUTS_DATA names its folder")


def consents(listens: pl.DataFrame) -> pl.DataFrame:
    """Half of the listeners allow everything, since before the first listen."""
    listeners = listens.select("user_id").unique().sort("user_id").gather_every(2)
    purposes = pl.DataFrame({"purpose": ["contribute_trends", "personalisation", "local_trends"]})
    given = pl.lit("2011-11-01T00:00:00Z")
    return listeners.join(purposes, how="cross").with_columns(
        state=pl.lit("given"), at=given, notice_version=pl.lit("1")
    )


def test_real_nights_end_with_a_world_chart_that_every_country_falls_back_to(
    hearabouts: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    listens = pl.read_parquet(DATA / "listens.parquet")
    nights = listens["played_at"].dt.date().unique().sort()[:2]
    listens.filter(pl.col("played_at").dt.date().is_in(nights.implode())).write_parquet(tmp_path / "listens.parquet")
    consents(listens).write_csv(tmp_path / "consents.csv")
    files = ["--listens", "listens.parquet", "--catalogue", DATA / "catalogue.parquet", "--consents", "consents.csv"]
    settings = ["--settings", ROOT / "examples" / "musicmicro.toml"]
    monkeypatch.setenv("HEARABOUTS__HISTORY__SONGS", "100")  # of thousands, which have two files each
    done = hearabouts("nightly", *files, *settings)
    assert done.code == 0, done.err
    assert done.summary["nights"] == 2
    assert done.summary["bad_rows"] == {}
    for place, scope in [("world", "world"), ("Indonesia", "country"), ("Lisbon", "country"), ("Monaco", "country")]:
        chart = hearabouts("chart", place, "--json", *settings)
        assert chart.summary["scope"] == scope, chart.err
        assert len(chart.summary["items"]) == 20
