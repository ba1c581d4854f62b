"""Two runs side by side: which settings differ, what that changed, in which regions most, and why there."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from rich import box
from rich.table import Table

from pipelines.experiments.paired_runs import Figures, Gain, at_least, both, gain, gains_by_part, other_code_in, why_not
from pipelines.mlflow.model_registry import LoggedRun, Registry
from recsys.models.evaluation.intervals import sure
from recsys.models.evaluation.report_tables import MODELS, SERVED

REGIONS = "regions"
SHOWN_REGIONS = 5  # that gained most, and as many that lost most
KEPT = (f"{SERVED}.macro_ndcg_at_10", f"{SERVED}.ndcg_at_10", f"{SERVED}.recall_at_20", f"{SERVED}.coverage")

_FACTS = ("listeners", "train_rows", "own_model", "gate_open", "own_weight")
_STEPS = ("global", "regional", SERVED)  # from the world's model over the own ones to what is served
_PARTS = ("global", "own", "order")  # what each step adds; the last one are gates, trends and the order of the list
_EVIDENCE = pl.col("difference").sign() * (
    1 - pl.col("chance").fill_nan(1).fill_null(1)
)  # from surely better to surely worse
_TOLD = 0.0005  # of a gain: the last digit that is printed


@dataclass(frozen=True)
class Comparison:
    """What is different between two runs.

    Parameters
    ----------
    left, right : LoggedRun
    settings : list of (key, left, right)
        Of the models, where they differ.
    unpaired : str
        Why listeners cannot be paired; empty where they were.
    lucky : str
        Which run does not tell its luck, so that intervals do not hold it; empty where both do.
    gain : Gain or None
        Of the right run over the left one, where listeners could be paired.
    regions : polars.DataFrame
        ``name, country, listeners, test_listeners, left, right, difference, low, high, chance, sure, global, own,
        order, why``, what gained with the least chance first, and what lost so last; the three parts add up to the
        difference. Intervals and chances are null where listeners could not be paired, or too few of them still allow
        it; of what is sure, one in twenty is chance (:func:`~recsys.models.evaluation.intervals.sure`).
    """

    left: LoggedRun
    right: LoggedRun
    settings: Sequence[tuple[str, str, str]]
    unpaired: str
    lucky: str
    gain: Gain | None
    regions: pl.DataFrame = field(repr=False)

    def as_json(self) -> dict[str, Any]:
        """Return the summary that the command line prints."""
        found = self.gain
        interval = {"difference": found.difference, "low": found.low, "high": found.high} if found else {}
        moved = self.regions["sure"].sum() if found else None
        return {
            "status": "done",
            "left": self.left.id,
            "right": self.right.id,
            "same_data": not self.unpaired,
            "same_code": not other_code_in(self.left, self.right),
            "holds_luck": not self.lucky,
            "settings": {key: [left, right] for key, left, right in self.settings},
            **{key: round(value, 4) for key, value in interval.items()},
            "regions": self.regions.height,
            "regions_moved": moved,
        }


def compare(registry: Registry, left: LoggedRun, right: LoggedRun, *, figures: Figures) -> Comparison:
    """Compare two runs by what they logged, and listener by listener where they were asked the same.

    Raises
    ------
    InputError
        If a run lacks the tables to compare, or the rows of its listeners are gone.
    """
    unpaired = why_not(left, right)
    tables = [registry.table(run, REGIONS) for run in (left, right)]
    listeners = None if unpaired else both(figures, left, right)
    regions = _with_intervals(_regions(*tables), listeners, at_least=at_least(left, right))
    return Comparison(
        left,
        right,
        _different(left.asked, right.asked),
        unpaired,
        figures.luck(left) or figures.luck(right),
        None if listeners is None else gain(listeners),
        regions.sort(_EVIDENCE, "difference", "name", descending=[True, True, False]),
    )


def why(row: Mapping[str, Any]) -> str:
    """Say in a few words which part of a region's model moved its lists most towards where they went, and how.

    Parameters
    ----------
    row : mapping
        ``own_model, gate_open, own_weight, train_rows`` and the NDCG at 10 of the models ``global``, ``regional`` and
        ``blend``, each also with ``_right``.
    """
    moved = parts(row)
    towards = np.sign(sum(moved.values()))
    largest = max(moved, key=lambda part: towards * moved[part])
    if abs(moved[largest]) < _TOLD:
        return "nothing moved"
    return _HOW[largest](row) or f"moved by {largest}"


def parts(row: Mapping[str, Any]) -> dict[str, float]:
    """Return how much ``global``, ``own`` and ``order``, the parts of the served model, added: in all, the gain."""
    found = [row[f"{model}.ndcg_at_10_right"] - row[f"{model}.ndcg_at_10"] for model in _STEPS]
    return {part: now - before for part, now, before in zip(_PARTS, found, [0, *found[:-1]], strict=True)}


def _learned(row: Mapping[str, Any]) -> str:
    """Return from how much more or less the models learned."""
    rows, rows_now = row["train_rows"], row["train_rows_right"]
    return f"learns from {rows:,} → {rows_now:,} rows" if rows != rows_now else ""


def _became(row: Mapping[str, Any]) -> str:
    """Return what became of the region's own model."""
    own, own_now = row["own_model"], row["own_model_right"]
    if own == own_now:
        return ""
    return "has its own model now" if own_now else "has no model of its own any more"


def _weighs(row: Mapping[str, Any]) -> str:
    """Return what the order of the list makes of the region's model; without an own model that is its parent's."""
    gate, gate_now = row["gate_open"], row["gate_open_right"]
    weight, weight_now = row["own_weight"], row["own_weight_right"]
    if gate != gate_now:
        opened = f"gate opened: own model at {weight_now:.2f}"
        return opened if gate_now else f"gate closed: parent's model at {weight_now:.2f}"
    whose = "own model" if gate else "parent's model"
    return f"{whose} weighs {weight:.2f} → {weight_now:.2f}" if abs(weight_now - weight) >= 0.005 else ""


_HOW = dict(zip(_PARTS, (_learned, _became, _weighs), strict=True))


def settings_table(found: Comparison) -> Table:
    """Return the settings that differ."""
    table = _table(f"Settings · {found.left.label} → {found.right.label}", "setting", "left", "right")
    for row in found.settings:
        table.add_row(*row)
    if not found.settings:
        table.add_row("none of the models differs", "", "")
    return table


def metrics_table(found: Comparison) -> Table:
    """Return what became of the served model's metrics, and of the most important one of others that changed."""
    caption = _caption(found)
    table = _table("Metrics", "metric", "left", "right", "gain", "95 %", caption=caption)
    left, right = found.left.metrics, found.right.metrics
    others = (f"{model}.macro_ndcg_at_10" for model in MODELS if model != SERVED)
    for key in (*KEPT, *(key for key in others if left.get(key) != right.get(key))):
        if key in left and key in right:
            interval = f"{found.gain.low:+.4f} to {found.gain.high:+.4f}" if found.gain and key == KEPT[0] else ""
            table.add_row(key, *_numbers(left[key], right[key]), interval)
    return table


def regions_table(found: Comparison) -> Table:
    """Return the regions that most surely moved, up and down, by which part of the model, and why."""
    rows = found.regions
    shown = (
        rows if rows.height <= 2 * SHOWN_REGIONS else pl.concat([rows.head(SHOWN_REGIONS), rows.tail(SHOWN_REGIONS)])
    )
    surely = f"{rows['sure'].sum()} surely" if found.gain else "none surely"
    title = f"Regions that moved, by evidence · {SERVED}.ndcg_at_10 · {shown.height} of {rows.height}, {surely}"
    table = _table(title, "region", "asked", "left", "gain", "95 %", *_PARTS, "why")
    for row in shown.iter_rows(named=True):
        interval = "" if row["low"] is None else f"{row['low']:+.3f} to {row['high']:+.3f}"
        name = f"{row['name']}, {row['country']}"
        moved = [f"{row[part]:+.3f}" for part in _PARTS]
        gain = (f"{row['left']:.3f}", f"{row['difference']:+.4f}", interval)
        table.add_row(name, f"{row['test_listeners']:,}", *gain, *moved, row["why"])
    return table


def _caption(found: Comparison) -> str:
    """Return what to know before believing the numbers; mostly nothing."""
    other_code = other_code_in(found.left, found.right)
    careful = (other_code, "" if found.unpaired else found.lucky)
    notes = (found.unpaired and f"No intervals: {found.unpaired}.", *(f"Careful: {each}." for each in careful if each))
    return " ".join(note for note in notes if note)


def _different(left: Mapping[str, str], right: Mapping[str, str]) -> list[tuple[str, str, str]]:
    keys = sorted(left.keys() | right.keys())
    pairs = [(f"models.{key}", left.get(key, "none"), right.get(key, "none")) for key in keys]
    return [pair for pair in pairs if pair[1] != pair[2]]


def _regions(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """Return the regions that both runs have, with what became of them."""
    means = [pl.col(f"{model}.ndcg_at_10").cast(pl.Float64) for model in _STEPS]
    kept = ["part", "name", "country", "test_listeners", *_FACTS, *means]
    served = f"{SERVED}.ndcg_at_10"
    joined = left.select(kept).join(right.select(kept), on="part")
    rows = joined.rows(named=True)
    return joined.select(
        "part",
        "name",
        "country",
        pl.col("listeners_right").alias("listeners"),
        "test_listeners",
        pl.col(served).alias("left"),
        pl.col(f"{served}_right").alias("right"),
        (pl.col(f"{served}_right") - pl.col(served)).alias("difference"),
        *(pl.Series(part, [parts(row)[part] for row in rows], dtype=pl.Float64) for part in _PARTS),
        pl.Series("why", [why(row) for row in rows], dtype=pl.String),
    )


def _with_intervals(regions: pl.DataFrame, listeners: pl.DataFrame | None, *, at_least: int) -> pl.DataFrame:
    told = ("low", "high", "chance")
    if listeners is None:
        return regions.with_columns(*(pl.lit(None, pl.Float64).alias(name) for name in told), sure=False)
    found = gains_by_part(listeners, at_least=at_least)
    joined = regions.join(found.select("part", *told), on="part", how="left")
    return joined.with_columns(pl.Series("sure", sure(joined["chance"].to_list())))


def _numbers(left: float, right: float) -> tuple[str, str, str]:
    return f"{left:.4f}", f"{right:.4f}", f"{right - left:+.4f}"


def _table(title: str, *columns: str, caption: str = "") -> Table:
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=caption or None,
        caption_justify="left",
        box=box.SIMPLE_HEAD,
        min_width=80,  # so that the title stays on its line
    )
    for name in columns:
        left = name in {"setting", "metric", "region", "why"}
        table.add_column(name, justify="left" if left else "right", no_wrap=name in {"95 %", "metric"}, overflow="fold")
    return table
