"""How often intervals hold the truth, and how often luck alone promotes, on the listeners of a workspace.

Run it with ``python tests/bench/bench_intervals.py WORKSPACE [--settings FILE] [--draws N]``, of a workspace in which
nights have run. Nothing in it is changed. Two tables are printed:

- the listeners of a region as an evaluation finds them are taken to be all that there could be, and 10, 30 and 100 are
  drawn of each, again and again: in how many per cent the product's interval holds the region's true gain, beside
  Student's t of the region alone and the percentile bootstrap that the product had before. The bar is 94 to 96 %;
- the settings, trained N times (12 by default) that differ by luck alone: of 200 pairs of a champion and a challenger
  without a draw in common, how many the product promotes with three draws each, and with one as it did before. The bar
  is 5 %.
"""

import argparse
from datetime import UTC, datetime
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
from scipy import stats

from pipelines.base.job_context import JobContext, Sources
from pipelines.experiments.paired_runs import gain
from pipelines.mlflow.run_tags import allowed_rows
from recsys.geography.atlas import countries
from recsys.models.evaluation.evaluation import evaluate
from recsys.models.evaluation.intervals import by_stratum
from recsys.models.metrics import Values
from recsys.settings import load_settings
from recsys.workspace import Workspace

SAMPLE = Path(__file__).parents[2] / "data/sample"
LEAST, SIZES, WORLDS, PAIRS, RESAMPLES = 40, (10, 30, 100), 100, 200, 400


def main() -> None:
    """Read the arguments and print both tables."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("workspace", type=Path)
    arguments.add_argument("--settings", type=Path, default=SAMPLE / "settings.toml")
    arguments.add_argument("--draws", type=int, default=12)
    asked = arguments.parse_args()
    workspace = Workspace(asked.workspace)
    settings = load_settings(asked.settings, workspace=workspace.root)
    sources = Sources(SAMPLE / "listens", SAMPLE / "catalogue.parquet")
    job = JobContext(workspace, settings, sources, datetime.now(UTC))
    found = evaluate(allowed_rows(job), settings=settings.models, parents=countries(job.atlas), times=asked.draws)
    say_held(found.listeners)
    say_promoted(found.listeners, draws=asked.draws)


def say_held(listeners: pl.DataFrame) -> None:
    """Print in how many per cent each kind of interval holds the truth."""
    rng = np.random.default_rng(5)
    print(f"{'gain over':12} {'drawn':>5}  {'product':>8} {'Student':>8} {'bootstrap':>9}   per cent held, seed 5")
    for rival in ("global", "local", "ease"):
        known = listeners.drop_nulls("part").with_columns(gain=pl.col("blend") - pl.col(rival)).drop_nans("gain")
        regions = [some["gain"].to_numpy() for some in known.partition_by("part") if len(some) >= LEAST]
        for size in SIZES:
            held = np.mean([each for _ in range(WORLDS) for each in held_in(regions, size, rng)], axis=0)
            print(f"{rival:12} {size:5}  {held[0]:8.1%} {held[1]:8.1%} {held[2]:9.1%}   {len(regions)} regions")


def held_in(regions: list[Values], size: int, rng: np.random.Generator) -> list[tuple[bool, bool, bool]]:
    """Draw listeners of each region, and tell which interval holds the region's mean."""
    drawn, truth = [rng.choice(some, size) for some in regions], [some.mean() for some in regions]
    product = by_stratum(np.concatenate(drawn), np.repeat(np.arange(len(regions)), size))
    ends = zip(((p.low, p.high) for p in product), map(student, drawn), (boot(d, rng) for d in drawn), strict=True)
    slack = 1e-12  # where all that was drawn is the same
    return [
        tuple(low - slack <= mean <= high + slack for low, high in each) for mean, each in zip(truth, ends, strict=True)
    ]  # type: ignore[return-value]


def student(values: Values) -> tuple[float, float]:
    """Return the interval of the mean by the region's own listeners alone."""
    wide = stats.t.ppf(0.975, len(values) - 1) * values.std(ddof=1) / np.sqrt(len(values))
    return values.mean() - wide, values.mean() + wide


def boot(values: Values, rng: np.random.Generator) -> tuple[float, float]:
    """Return the percentile interval of the mean, widened by ``sqrt(n / (n - 1))``."""
    means = rng.choice(values, (RESAMPLES, len(values))).mean(axis=1)
    widened = values.mean() + (means - values.mean()) * np.sqrt(len(values) / (len(values) - 1))
    low, high = np.quantile(widened, [0.025, 0.975])
    return float(low), float(high)


def say_promoted(listeners: pl.DataFrame, *, draws: int) -> None:
    """Print how many pairs that differ by luck alone would be promoted."""
    at_home = listeners.drop_nulls("part")
    values = np.array(at_home["draws"].to_list())
    macro = at_home.select("part", pl.col("draws")).with_columns(
        *(pl.col("draws").list.get(number).alias(str(number)) for number in range(draws))
    )
    means = macro.group_by("part").agg(pl.col(*map(str, range(draws))).mean()).drop("part").mean().row(0)
    print(f"{draws} draws: macro NDCG@10 {min(means):.4f} to {max(means):.4f}, deviation {np.std(means, ddof=1):.4f}")
    for number in (1, 3):
        sides = [(a, b) for a in combinations(range(draws), number) for b in combinations(range(draws), number)]
        apart = [(a, b) for a, b in sides if not set(a) & set(b)]
        chosen = np.random.default_rng(7).choice(len(apart), min(PAIRS, len(apart)), replace=False)
        won = sum(gain(paired(at_home, values, *apart[pair])).is_better for pair in chosen)
        print(f"of {len(chosen)} challengers of {number} draw(s) that are alike, {won} are promoted (seed 7)")


def paired(at_home: pl.DataFrame, values: Values, left: tuple[int, ...], right: tuple[int, ...]) -> pl.DataFrame:
    """Return the rows of two runs of some draws each."""
    sides = {name: values[:, list(some)].tolist() for name, some in (("left", left), ("right", right))}
    return at_home.select("part").with_columns(**{name: pl.Series(rows) for name, rows in sides.items()})


if __name__ == "__main__":
    main()
