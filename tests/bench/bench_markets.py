"""Does a model per market pay? Real purchases of one product group in seven countries, every model in one table.

Run it with ``python tests/bench/bench_markets.py [--test FILE]``; the environment variable HEARABOUTS_DATA names the
folder that holds ``market-purchases``. Everybody's last purchase is hidden, and ranked among everything the market's
catalogue has (the items seen there in any split, the hidden one included) that they have not bought. Without ``--test``
the hidden one is the validation purchase, and what the product learns about blending it learns on the purchase before.
With a file of later purchases (columns market, user_id, item_id, day), models are fitted on the training and the
validation purchases, and the blending is learned on the validation purchase.

All models are the product's own (:mod:`recsys.models`): by the settings below, and by ``hearabouts.toml`` as shipped.
``--tune`` prints the search that the settings below come from.
"""

import argparse
import itertools
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from implicit.als import AlternatingLeastSquares
from scipy import sparse
from threadpoolctl import threadpool_limits

from recsys.models.als import Factors
from recsys.models.collaborative import learn_and_train
from recsys.models.interactions import Interactions, gather
from recsys.models.metrics import Model
from recsys.models.regional import fit, fit_alone
from recsys.models.trends import standardized
from recsys.schemas import Contributions
from recsys.settings import ModelsSettings, load_settings
from recsys.weights import FULL

DEFAULTS = load_settings().models
FEW_LARGE = {"regional_shrinkage": 30.0, "trend_shrinkage": 100.0}  # markets have 239 listeners or more
ALONE = {"both_engines": False, "sitting_weight": 0.0, "recency_power": 0.0}
PURCHASES = {
    **ALONE,
    "min_listeners_per_track": 1,
    "min_listeners_per_region": 50,
    "half_life_nights": 30.0,
    **FEW_LARGE,
}
PLAIN_EASE = {**PURCHASES, "engine": "ease", "ease_ridge": 30.0, "ease_dropout": 1.0}
LOCAL_EASE = {**PURCHASES, "engine": "ease", "ease_regional_ridge": 15.0, "ease_dropout": 1.0}
PLAIN_ALS = {**PURCHASES, "engine": "als", "factors": 256, "regularization": 2.0, "alpha": 40.0}
LOCAL_ALS = {**PURCHASES, "engine": "als", "factors": 128, "regional_regularization": 6.0, "alpha": 40.0}
SESSIONS = {"ranker": "trees", "sitting_weight": 0.5, "recency_power": 0.15}
EASE = {**PURCHASES, **SESSIONS, "engine": "ease"}
ALS = {**PLAIN_ALS, **SESSIONS, "regularization": 4.0, "regional_regularization": 6.0, "alpha": 80.0}
ENGINES = {"ease": EASE, "als": ALS}
SHIPPED: dict[str, dict[str, float | str]] = {
    "shipped": {},  # hearabouts.toml to the letter: items with fewer than 20 buyers are never listed
    "all items": {"min_listeners_per_track": 1, "ease_max_tracks": 10_000},  # it may list whatever is asked for
}
# The search: every model class is tried with as many settings, on the purchase before the hidden one.
TRIED = {
    "EASE world": (PLAIN_EASE, {"ease_ridge": (10.0, 30.0, 60.0, 120.0), "ease_dropout": (0.0, 0.5, 1.0)}),
    "EASE per market": (LOCAL_EASE, {"ease_regional_ridge": (7.0, 15.0, 30.0, 60.0), "ease_dropout": (0.0, 0.5, 1.0)}),
    "ALS world": (PLAIN_ALS, {"factors": (128, 256), "regularization": (0.5, 1.0, 2.0), "alpha": (20.0, 40.0)}),
    "ALS per market": (
        LOCAL_ALS,
        {"factors": (64, 128), "regional_regularization": (1.5, 3.0, 6.0), "alpha": (20.0, 40.0)},
    ),
}
SAMPLES = 2000  # of the bootstrap


@dataclass(frozen=True)
class Task:
    """What was bought before, the purchase to learn on, and the hidden one, each a row of contributions."""

    train: pl.DataFrame
    validation: pl.DataFrame
    hidden: pl.DataFrame
    catalogue: Mapping[str, pl.Series]


@dataclass(frozen=True)
class Result:
    """The NDCG at 10 of every hidden purchase, and its market."""

    ndcg: np.ndarray
    market: np.ndarray

    def by_market(self) -> dict[str, float]:
        return {market: float(self.ndcg[self.market == market].mean()) for market in np.unique(self.market)}

    def macro(self) -> float:
        return float(np.mean(list(self.by_market().values())))


def main() -> None:
    """Print the table and the bars."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--test", type=Path, help="hidden last purchases: market, user_id, item_id, day")
    parser.add_argument("--tune", action="store_true", help="search the settings of the single models")
    parser.add_argument("--sweep", action="store_true", help="more and more factors; and implicit alone")
    chosen = parser.parse_args()
    if "HEARABOUTS_DATA" not in os.environ:
        print("HEARABOUTS_DATA is not set: no purchases")
        return
    rows = purchases(Path(os.environ["HEARABOUTS_DATA"]), later=chosen.test)
    with threadpool_limits(1, "blas"):
        if chosen.tune:
            tune(task(rows, back=1))
        elif chosen.sweep:
            sweep(task(rows))
        else:
            marks = plain(task(rows)) | plain(task(rows), at_least=DEFAULTS.min_listeners_per_track)
            report({**marks, **served(task(rows), {**ENGINES, **SHIPPED})})


def purchases(data: Path, *, later: Path | None) -> pl.DataFrame:
    """Return contributions with ``back``, the number of later purchases of the same listener; 0 is the hidden one."""
    rows = pl.read_parquet(data / "market-purchases" / "interactions.parquet")
    rows = rows.with_columns(hidden=pl.col("split") == "validation").drop("split")
    if later:
        more = read(later).with_columns(hidden=pl.lit(value=True))
        more = more.select(pl.col(name).cast(kind) for name, kind in rows.schema.items())
        rows = pl.concat([rows.with_columns(hidden=pl.lit(value=False)), more])
    listener = pl.col("market") + pl.col("user_id").cast(pl.String)
    rows = rows.with_row_index("order").with_columns(listener=listener).sort("listener", "order")
    nothing_hidden = pl.col("hidden").any().over("listener").not_()
    back = pl.int_range(pl.len()).reverse().over("listener") + nothing_hidden
    track = pl.col("item_id").cast(pl.String)
    return rows.select("listener", back=back, night=pl.col("day").cast(pl.Date), part="market", track_id=track)


def read(file: Path) -> pl.DataFrame:
    """Return the hidden purchases of a Parquet or CSV file."""
    if file.suffix == ".parquet":
        return pl.read_parquet(file)
    return pl.read_csv(file, schema_overrides={"user_id": pl.String, "item_id": pl.String}, try_parse_dates=True)


def task(rows: pl.DataFrame, *, back: int = 0) -> Task:
    """Hide everybody's last purchase, or with ``back`` an earlier one."""
    catalogue = {market: part["track_id"].unique().sort() for (market,), part in rows.group_by("part")}
    pieces = (rows.filter(chosen) for chosen in (pl.col("back") > back + 1, pl.col("back") == back + 1))
    return Task(*map(contributed, pieces), contributed(rows.filter(pl.col("back") == back)), catalogue)


def contributed(rows: pl.DataFrame) -> pl.DataFrame:
    """Count purchases as plays that may be trained on."""
    uses = {"weight": pl.lit(FULL, pl.UInt8), "trained": pl.lit(True), "partner_part": None, "plays": 1}
    types = {name: column.dtype for name, column in Contributions.columns().items()}
    return rows.with_columns(**uses).select(pl.col(name).cast(kind) for name, kind in types.items())


def models(keys: Mapping[str, float | str]) -> ModelsSettings:
    return ModelsSettings.model_validate({**DEFAULTS.model_dump(), **keys})


def single(name: str, keys: Mapping[str, float | str], given: Task) -> tuple[Model, Interactions]:
    """Fit one model of the world, or one of every market alone."""
    settings = models(keys)
    known = gather(pl.concat([given.train, given.validation]), settings=settings)
    fitted = fit(known, settings=models({**keys, "min_listeners_per_region": 10**9}))
    return (fitted.own() if "world" in name else fit_alone(fitted, settings=settings)), known


def plain(given: Task, *, at_least: int = 1) -> dict[str, Result]:
    """Measure the marks: a model of the world, one of every market alone, and the mean of their z-scores.

    Of the items that so many have bought: with 20, their names end so.
    """
    results, of = {}, _of(at_least)
    for engine in ("EASE", "ALS"):
        every = {kind: {**keys, "min_listeners_per_track": at_least} for kind, keys in _plain_keys(engine)}
        both = {f"{engine} {kind}{of}": single(f"{engine} {kind}", keys, given) for kind, keys in every.items()}
        mean = Mean(tuple(model for model, _ in both.values()))
        for name, (model, known) in {**both, f"{engine} blend{of}": (mean, next(iter(both.values()))[1])}.items():
            results[name] = measure(model, known, given)
            show(name, results[name])
    return results


def _of(at_least: float | str) -> str:
    return "" if at_least == 1 else f", {at_least}"


def _plain_keys(engine: str) -> list[tuple[str, dict[str, float | str]]]:
    return [(kind, TRIED[f"{engine} {kind}"][0]) for kind in ("world", "per market")]


def tune(given: Task) -> None:
    """Print what every setting of the single models is worth."""
    for name, (keys, grid) in TRIED.items():
        found = {}
        for values in itertools.product(*grid.values()):
            tried = dict(zip(grid, values, strict=True))
            model, known = single(name, {**keys, **tried}, given)
            found[str(tried)] = measure(model, known, given).macro()
            print(f"{name:16} {found[str(tried)]:.4f} {tried}", flush=True)
        print(f"{name:16} best of {len(found)}: {max(found, key=found.__getitem__)}", flush=True)


def sweep(given: Task) -> None:
    """Print what more factors are worth, and what implicit alone does with as many, and as many sweeps."""
    for factors in (32, 64, 128, 256, 512):
        start = time.perf_counter()
        model, known = single("ALS world", {**PLAIN_ALS, "factors": factors}, given)
        seconds = time.perf_counter() - start
        ours, theirs = (measure(m, known, given).macro() for m in (model, Implicit.fit(known, model.world)))
        print(f"ALS world, {factors:3} factors: {ours:.4f} in {seconds:.0f} s; implicit alone {theirs:.4f}", flush=True)


@dataclass(frozen=True)
class Implicit:
    """implicit as its documentation shows it."""

    model: AlternatingLeastSquares

    @classmethod
    def fit(cls, known: Interactions, like: Factors) -> "Implicit":
        keys = models(PLAIN_ALS)
        model = AlternatingLeastSquares(
            factors=like.vectors.shape[1], regularization=like.ridge, iterations=keys.iterations, random_state=keys.seed
        )
        model.fit(sparse.csr_matrix(known.confidence), show_progress=False)
        return cls(model)

    def scores(self, listeners: np.ndarray) -> np.ndarray:
        return self.model.user_factors[listeners] @ self.model.item_factors.T


def served(given: Task, engines: Mapping[str, Mapping[str, float | str]] = ENGINES) -> dict[str, Result]:
    """Measure the product with either engine, and its own single models."""
    results = {}
    for name, keys in engines.items():
        start = time.perf_counter()
        trained = learn_and_train(given.train, given.validation, settings=models(keys))
        closed = trained.facts.filter(~pl.col("gate_open"))["part"].to_list()
        print(f"engine {name}: {time.perf_counter() - start:.0f} s, closed gates: {closed or 'none'}", flush=True)
        for model in ("global", "local", "regional", "blend"):
            title = f"{name}: {model}"
            results[title] = measure(trained.models[model], trained.known, given)
            show(title, results[title])
    return results


@dataclass(frozen=True)
class Mean:
    """The mean of the z-scores of several models."""

    models: tuple[Model, ...]

    def scores(self, listeners: np.ndarray) -> np.ndarray:
        return np.mean([standardized(model.scores(listeners)) for model in self.models], axis=0)


def measure(model: Model, known: Interactions, given: Task) -> Result:
    """Rank each hidden purchase in its market's catalogue without what was bought before; equals count against.

    Who bought nothing of the vocabulary before is unknown to the model, and counts as 0.
    """
    row = pl.DataFrame({"listener": known.listeners, "row": np.arange(len(known.listeners))})
    column = pl.DataFrame({"track_id": known.tracks, "column": np.arange(len(known.tracks))})
    hidden = given.hidden.join(row, on="listener", how="left").join(column, on="track_id", how="left")
    hidden = hidden.sort("part", "listener")
    found = []
    for market, asked in hidden.group_by("part", maintain_order=True):
        allowed = known.tracks.is_in(given.catalogue[market[0]].implode()).to_numpy()
        for block in asked.iter_slices(500):
            found.append(_ndcg(model, known, allowed, block))
    return Result(np.concatenate(found), hidden["part"].to_numpy())


def _ndcg(model: Model, known: Interactions, allowed: np.ndarray, block: pl.DataFrame) -> np.ndarray:
    there = block["row"].is_not_null().to_numpy()
    found, block = np.zeros(len(block)), block.filter(there)
    rows = block["row"].to_numpy()
    scores = model.scores(rows)
    scores = np.where(allowed & (known.confidence[rows].toarray() == 0), scores, -np.inf)
    target = block["column"].fill_null(-1).to_numpy()
    mine = scores[np.arange(len(rows)), target]
    mine[target < 0] = -np.inf  # an item that nobody has bought before: no model can know it
    place = (scores >= mine[:, None]).sum(axis=1)
    found[there] = np.where((place <= 10) & np.isfinite(mine), 1 / np.log2(1 + place), 0)
    return found


def show(name: str, result: Result) -> None:
    markets = " ".join(f"{market} {value:.4f}" for market, value in result.by_market().items())
    print(f"{name:16} {result.macro():.4f} | {markets}", flush=True)


def report(results: Mapping[str, Result]) -> None:
    """Print what the product's blends gain, with paired bootstrap intervals, and their worst market."""
    for product, rivals in (
        ("ease: blend", ("EASE world", "EASE per market", "EASE blend", "ease: global", "ease: local")),
        ("als: blend", ("ALS world", "ALS per market", "ALS blend", "als: global", "als: local")),
        *((f"{name}: blend", (*marks_of(keys), f"{name}: global", f"{name}: local")) for name, keys in SHIPPED.items()),
    ):
        for rival in rivals:
            low, high = interval(results[product], results[rival])
            gain = results[product].macro() / results[rival].macro() - 1
            print(f"{product} over {rival:16} {gain:+.1%} [{low:+.1%}, {high:+.1%}]")
        market, worst = worst_market(results[product], *(results[rival] for rival in rivals[-2:]))
        print(f"{product}: worst market against the better of its own global and local model: {market} {worst:+.1%}")


def marks_of(keys: Mapping[str, float | str]) -> tuple[str, ...]:
    """Return the names of the marks of the same vocabulary as some settings'."""
    of = _of(keys.get("min_listeners_per_track", DEFAULTS.min_listeners_per_track))
    return tuple(f"{engine} {kind}{of}" for engine in ("EASE", "ALS") for kind in ("world", "per market", "blend"))


def interval(one: Result, other: Result) -> tuple[float, float]:
    """Return the 95 % interval of the relative difference of macro means: listeners drawn again within their market."""
    rng = np.random.default_rng(0)
    means = []
    for market in np.unique(one.market):
        pair = np.stack([one.ndcg, other.ndcg])[:, one.market == market]
        means.append(pair[:, rng.integers(pair.shape[1], size=(SAMPLES, pair.shape[1]))].mean(axis=2))
    first, second = np.mean(means, axis=0)
    low, high = np.quantile(first / second - 1, [0.025, 0.975])
    return float(low), float(high)


def worst_market(product: Result, *single_models: Result) -> tuple[str, float]:
    """Return where the product is least above the better of its single models, and by how much of that."""
    better = {market: max(model.by_market()[market] for model in single_models) for market in product.by_market()}
    gains = {market: value / better[market] - 1 for market, value in product.by_market().items()}
    market = min(gains, key=gains.__getitem__)
    return market, gains[market]


if __name__ == "__main__":
    main()
