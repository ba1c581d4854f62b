"""The whole night on the sample world: time, memory, sizes, and how much of the truth its charts find.

The charts' peer is the list of the region's country: what a listener would see if regions had no charts of their own.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from itertools import pairwise
from pathlib import Path

import polars as pl

from recsys.geography.atlas import load_atlas
from recsys.releases.charts import charts
from recsys.releases.counts.release_reader import ReleaseReader
from recsys.settings import load_settings
from recsys.workspace import Workspace

SAMPLE = Path(__file__).parents[2] / "data" / "sample"
TOP = 20
SIZES = (30, 50, 100, 200, 400, 1_500)  # listeners a night


def run_night(folder: Path) -> dict[str, object]:
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "pipelines", "nightly"], cwd=folder, capture_output=True, check=True, text=True
    )
    seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
    print(f"hearabouts nightly on data/sample: {seconds:.0f} s, {peak:.0f} MB peak")
    return dict(json.loads(done.stdout.splitlines()[-1]))


def found_of(top: pl.DataFrame, lists: pl.DataFrame) -> pl.DataFrame:
    """Share of the true top that a list holds, by part."""
    both = top.join(lists, on=["part", "track_id"], how="semi").group_by("part").len("found")
    share = pl.col("found").fill_null(0) / TOP
    return top.select("part").unique().join(both, on="part", how="left").select("part", share)


def found_shares(workspace: Workspace) -> pl.DataFrame:
    settings = load_settings(SAMPLE / "settings.toml")
    atlas = load_atlas(settings.atlas)
    reader = ReleaseReader(workspace.releases)
    window = reader.read(reader.nights()[-settings.charts.window_nights :])
    chart = charts.popular(window, atlas=atlas, settings=settings.charts)
    lists = chart.filter(pl.col("rank") <= TOP).select(part="place", track_id="track_id")
    regions = pl.read_parquet(SAMPLE / "truth" / "regions.parquet").filter(
        pl.col("served"), pl.col("level") == "region", pl.col("listeners_a_night") >= SIZES[0]
    )
    parents = regions.select("part", "country").join(lists, left_on="country", right_on="part").drop("country")
    truth = pl.read_parquet(SAMPLE / "truth" / "popular.parquet").join(regions, on="part", how="semi")
    for column in ("listener_nights", "expected"):
        order = truth.sort("part", column, "track_id", descending=[False, True, False])
        top = order.group_by("part", maintain_order=True).head(TOP).select("part", "track_id")
        own, parent = found_of(top, lists), found_of(top, parents)
        names = {"found": f"{column}: own chart", "found_right": f"{column}: country's"}
        regions = regions.join(own.join(parent, on="part").rename(names), on="part")
    return regions


def by_size(regions: pl.DataFrame) -> pl.DataFrame:
    number = sum((pl.col("listeners_a_night") >= size).cast(pl.Int8) for size in SIZES) - 1
    labels = [f"{low:,}-{high:,}" for low, high in pairwise(SIZES)]
    shares = [column for column in regions.columns if ": " in column]
    grouped = regions.group_by(number.alias("size")).agg(pl.len().alias("regions"), pl.col(shares).mean().round(2))
    return grouped.sort("size").with_columns(pl.col("size").map_elements(labels.__getitem__, return_dtype=pl.String))


def size_of(folder: Path) -> str:
    return f"{sum(file.stat().st_size for file in folder.rglob('*') if file.is_file()) / 1e6:.1f} MB"


def main() -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        summary = run_night(folder)
        workspace = Workspace(folder / "workspace")
        print("models, NDCG@10:", summary["models"])
        print(f"data/sample {size_of(SAMPLE)}, a snapshot {size_of(workspace.snapshots)}, workspace {size_of(folder)}")
        print(f"share of the true top {TOP} of the last 7 nights found, by listeners a night in the region;")
        print("listener_nights: as it came out, with its luck; expected: by tastes, without luck")
        with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, tbl_width_chars=140):
            print(by_size(found_shares(workspace)))


if __name__ == "__main__":
    main()
