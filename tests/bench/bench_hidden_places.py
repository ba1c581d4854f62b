"""What is a place worth that was never trained? Regions of a workspace are hidden, and served through their parents.

Run it with ``python tests/bench/bench_hidden_places.py WORKSPACE``, where `hearabouts nightly` has run on the sample
world. The regions with 15 listeners or more are dealt into four groups. The listeners of one group after the other are
taken out of everything that is learned, weights, gates and order included, and then asked for lists that are made of
what they played, by a model that never saw them or their regions. Printed is their NDCG at 10 on unheard tracks of the
test nights, against that of the model that was trained on them, too; the bar is 0.97.
"""

import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import polars as pl
from threadpoolctl import threadpool_limits

from pipelines.base.job_context import JobContext, Sources
from pipelines.mlflow.run_tags import allowed_rows
from recsys.geography.atlas import countries
from recsys.models.blending import Blend
from recsys.models.collaborative import parameters_of, train
from recsys.models.interactions import gather, heard_later
from recsys.models.metrics import ndcg_at_10, rank
from recsys.models.splitting import Split, split_rows
from recsys.settings import ModelsSettings, load_settings
from recsys.workspace import Workspace

SAMPLE = Path(__file__).parents[2] / "data/sample"
GROUPS, FEWEST, SEED = 4, 15, 20261


def main(workspace: Path) -> None:
    settings = load_settings(SAMPLE / "settings.toml")
    sources = Sources(SAMPLE / "listens", SAMPLE / "catalogue.parquet")
    job = JobContext(Workspace(workspace), settings, sources, datetime.now(UTC), "bench")
    split = split_rows(allowed_rows(job), settings=settings.models)
    assert split is not None, "too few nights"
    parents = countries(job.atlas)
    with threadpool_limits(1, "blas"):
        own = worth(split, parents, settings=settings.models, hidden=[])
        found = []
        for regions in groups(own):
            hidden = worth(split, parents, settings=settings.models, hidden=regions)
            found.append(both := hidden.join(own, on=["listener", "home"], suffix="_own"))
            largest = own.group_by("home").len().filter(pl.col("home").is_in(regions))["len"].max()
            print(f"{len(regions)} regions, the largest with {largest} test listeners: {told(both)}", flush=True)
    print(f"all: {told(pl.concat(found))}")


def groups(own: pl.DataFrame) -> Iterator[list[str]]:
    """Deal out the regions at random, whatever their size."""
    sizes = own.drop_nulls("home").group_by("home").len().filter(pl.col("len") >= FEWEST).sort("home")
    regions = sizes["home"].shuffle(seed=SEED).to_list()
    yield from (regions[first::GROUPS] for first in range(GROUPS))


def worth(split: Split, parents: Mapping[str, str], *, settings: ModelsSettings, hidden: list[str]) -> pl.DataFrame:
    """Return ``listener, home, ndcg`` of the listeners of hidden regions; of everybody where none is."""
    everybody = gather(split.past, settings=settings, parents=parents)
    homes = pl.DataFrame(
        {
            "listener": everybody.listeners,
            "home": [everybody.parts[home] if home >= 0 else None for home in everybody.homes],
        }
    )
    away = homes.filter(pl.col("home").is_in(hidden))["listener"].implode()
    kept = ~pl.col("listener").is_in(away)
    parameters = parameters_of(
        split.train.filter(kept), split.validation.filter(kept), settings=settings, parents=parents
    )
    known = gather(split.past.filter(kept), settings=settings, parents=parents)
    model = train(known, parameters=parameters, settings=settings)["blend"]
    assert isinstance(model, Blend)
    asked = known
    if hidden:
        asked = gather(split.past.filter(~kept), settings=settings, parents=parents, tracks=known.tracks)
        model = model.fold_in(asked)
    lists = rank(model, later=heard_later(split.test, known=asked), heard=asked.confidence)
    found = pl.DataFrame({"listener": asked.listeners.gather(lists.listeners), "ndcg": ndcg_at_10(lists)})
    return found.join(homes, on="listener")


def told(both: pl.DataFrame) -> str:
    """Say what hidden regions are worth, over listeners and as the mean over regions."""
    mean = both.select(pl.col("ndcg", "ndcg_own").mean())
    macro = both.group_by("home").agg(pl.col("ndcg", "ndcg_own").mean()).select(pl.col("ndcg", "ndcg_own").mean())
    texts = [
        f"{rows['ndcg'][0]:.4f} / {rows['ndcg_own'][0]:.4f} = {rows['ndcg'][0] / rows['ndcg_own'][0]:.3f}"
        for rows in (mean, macro)
    ]
    low, high = interval(both)
    return f"over {both.height} listeners {texts[0]} [{low:.3f}, {high:.3f}], over regions {texts[1]}"


def interval(both: pl.DataFrame) -> tuple[float, float]:
    """Return the 95 % interval of the ratio over listeners, by drawing them again."""
    pair = both.select("ndcg", "ndcg_own").to_numpy()
    drawn = np.random.default_rng(SEED).integers(len(pair), size=(1000, len(pair)))
    hidden, own = pair[drawn].mean(axis=1).T
    low, high = np.quantile(hidden / own, [0.025, 0.975])
    return float(low), float(high)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        print("skipped: name a workspace, where `hearabouts nightly` has run on the sample world")
    else:
        main(Path(sys.argv[1]))
