"""Models, measured: popularity, global, regional and blend side by side, on simulated and on real interactions.

Run it with ``python tests/bench/bench_models.py [LISTENERS]`` (by default 15,000 simulated listeners). With the
environment variable HEARABOUTS_DATA, the folder that holds ``market-purchases`` and ``musicmicro``, it measures those
too. Purchases are split as leave-last-one-out: everybody's last but one is the validation night, the last the test
night; the vocabulary is all items of all markets. Real listens have no consent log: everybody is taken to allow it.
"""

import os
import sys
import time
from pathlib import Path

import polars as pl
from support.listening import world

from recsys.models.evaluation.evaluation import evaluate
from recsys.models.evaluation.report_tables import MODELS
from recsys.schemas import Contributions
from recsys.settings import load_settings
from recsys.weights import FULL

METRICS = ("ndcg_at_10", "macro_ndcg_at_10", "recall_at_20", "coverage", "with_heard_ndcg_at_10")


def main(listeners: int) -> None:
    """Print a table for every world."""
    for seed in (1, 2):
        simulated = world(seed, listeners=listeners, tracks=2_000, parts=40)
        compare(f"simulated, seed {seed}", simulated)
    if "HEARABOUTS_DATA" not in os.environ:
        print("HEARABOUTS_DATA is not set: no real interactions")
        return
    data = Path(os.environ["HEARABOUTS_DATA"])
    compare("market purchases", purchases(data), validation_nights=1, test_nights=1, min_listeners_per_track=1)
    compare("musicmicro", plays(data), validation_nights=40, test_nights=40, min_listeners_per_track=3, factors=16)


def compare(name: str, contributions: pl.DataFrame, **keys: float) -> None:
    """Evaluate and print."""
    start, spent = time.perf_counter(), time.process_time()
    found = evaluate(contributions, settings=load_settings(overrides={"models": keys}).models)
    seconds = f"{time.perf_counter() - start:.1f} s, {time.process_time() - spent:.1f} s of processors"
    print(f"\n{name}: {len(contributions):,} rows, {seconds}. {found.note}")
    print(" ", ", ".join(f"{key} {value:,}" for key, value in found.sizes.items()))
    print(" ", "weights:", ", ".join(f"{key} {value:.2f}" for key, value in found.weights.items()))
    print(" ", f"{'':16}", *(f"{metric:>22}" for metric in METRICS))
    for model in MODELS if found.metrics else ():
        print(
            " ", f"{model:16}", *(f"{found.metrics.get(f'{model}.{metric}', float('nan')):22.4f}" for metric in METRICS)
        )


def purchases(data: Path) -> pl.DataFrame:
    """Turn purchases into contributions whose night is 0, or 1 for the last but one, or 2 for the last."""
    rows = pl.read_parquet(data / "market-purchases" / "interactions.parquet").sort(
        "market", "user_id", "day", "item_id"
    )
    before_last = pl.col("split").eq("train") & pl.col("split").shift(-1).over("market", "user_id").eq("validation")
    night = (
        pl.when(pl.col("split") == "validation").then(2).when(before_last.fill_null(value=False)).then(1).otherwise(0)
    )
    return contributed(
        rows.select(
            listener=pl.col("market") + pl.col("user_id"),
            night=pl.date(2020, 1, 1) + night * pl.duration(days=1),
            part="market",
            track_id="item_id",
        )
    )


def plays(data: Path) -> pl.DataFrame:
    """Turn geotagged plays into contributions; the part is a square of ten degrees, about a country."""
    rows = pl.read_parquet(data / "musicmicro" / "listens.parquet")
    square = pl.format("{}/{}", (pl.col("latitude") // 10).cast(pl.Int32), (pl.col("longitude") // 10).cast(pl.Int32))
    return contributed(
        rows.select(listener="user_id", night=pl.col("played_at").dt.date(), part=square, track_id="track_id")
    )


def contributed(rows: pl.DataFrame) -> pl.DataFrame:
    """Count equal rows as plays that may be trained on."""
    uses = {"weight": pl.lit(FULL, pl.UInt8), "trained": pl.lit(True), "partner_part": None}
    counted = rows.group_by(pl.all()).agg(plays=pl.len()).with_columns(**uses)
    types = {name: column.dtype for name, column in Contributions.columns().items()}
    return counted.select(pl.col(name).cast(kind) for name, kind in types.items())


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 15_000)
