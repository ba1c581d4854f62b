"""The text of a report: what won, where, and where it did not, in plain words."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from recsys.models.evaluation.by_popularity import AT, FIFTHS
from recsys.models.evaluation.evaluation import Evaluation
from recsys.models.evaluation.report_tables import HISTORIES, RIVALS, SERVED

NAMES = {
    "popular_world": "popular in world",
    "popular_region": "popular in region",
    "recent_region": "recent in region",
    "neighbours": "item neighbours",
    "ease": "EASE",
    "global": "global model",
    "local": "each region alone",
    "regional": "regional, no gate",
    "blend": "blend (served)",
}
_WORDS = {
    "0": "nobody has heard from before",
    "1-5": "with 1 to 5 past listens",
    "6-20": "with 6 to 20",
    "21-60": "with 21 to 60",
    "61-150": "with 61 to 150",
}


def sentences(evaluation: Evaluation, gains: pl.DataFrame) -> list[str]:
    """Return what to know first; ``gains`` are those of regions over the global model, with intervals."""
    found = [evaluation.note, _asked(evaluation), *_against(evaluation), *_regions(gains), *_below(evaluation)]
    found.append(_gates(evaluation))
    return [
        sentence for sentence in (*found, *_histories(evaluation), _tail(evaluation), _locals(evaluation)) if sentence
    ]


def _asked(evaluation: Evaluation) -> str:
    sizes = evaluation.sizes
    asked = f"{sizes['test_listeners']:,} of {sizes['listeners']:,} listeners in {sizes['parts']:,} regions"
    ranked = f"{asked} were asked for, and {sizes['tracks']:,} tracks ranked for each"
    outside = sizes["test_outside"] / max(sizes["test_rows"], 1)
    return f"{ranked}; {outside:.1%} of what was played is of other tracks, which no list can have."


def _against(evaluation: Evaluation) -> list[str]:
    """Say how far the blend is ahead of the global model, and of the best of all others."""
    over = _ndcg(evaluation, over="regions").drop_nans("difference").sort("difference", "against")
    if over.is_empty():
        return []
    closest = str(over["against"][0])
    return [_compared(over, model) for model in dict.fromkeys(("global", closest))]


def _ndcg(evaluation: Evaluation, *, over: str) -> pl.DataFrame:
    """Return the comparisons by NDCG at 10 on unheard tracks, over some listeners or regions."""
    asked = {"over": over, "heard": "removed", "metric": "ndcg_at_10"}
    return evaluation.comparisons.filter(pl.col(column) == value for column, value in asked.items())


def _compared(over: pl.DataFrame, model: str) -> str:
    row = over.row(by_predicate=pl.col("against") == model, named=True)
    interval = f"95 % interval {row['low']:+.4f} to {row['high']:+.4f}"
    if row["low"] > 0:
        word = f"is better than “{NAMES[model]}” by {row['relative']:.1%}"
    elif row["high"] < 0:
        word = f"is WORSE than “{NAMES[model]}” by {-row['relative']:.1%}"
    else:
        word = f"cannot be told apart from “{NAMES[model]}” ({row['relative']:+.1%})"
    role = "" if model == "global" else ", the closest of the other models"
    return f"With every region counting the same, what is served {word}{role} ({interval})."


def _regions(gains: pl.DataFrame) -> list[str]:
    if gains.is_empty():
        return []
    surely, lost = (gains.filter(pl.col("sure") & won) for won in (pl.col("gain") > 0, pl.col("gain") < 0))
    ahead, losers = (gains["gain"] > 0).sum(), lost["name"].to_list()[::-1]
    said = f"{ahead} of {gains.height} regions gain over the global model, {surely.height} of them surely"
    worse = f"{lost.height} surely lose: {_listed(losers)}" if losers else "none surely loses"
    return [f"{said}; {worse}."]


def _below(evaluation: Evaluation) -> list[str]:
    """Say in how many regions one of the two simpler models would have been better: the world's, or their own alone."""
    metrics = evaluation.metrics
    if not metrics["regions.compared"]:
        return []
    surely, measured = (
        [int(metrics[f"regions.{how}_below_{model}"]) for model in (*RIVALS, "either")]
        for how in ("surely", "one_percent")
    )
    return [
        f"Of {int(metrics['regions.compared'])} regions, the global model would surely serve {surely[0]} better, and a "
        f"model of their own alone {surely[1]}; as measured, {measured[2]} are more than 1 % below the better of the "
        f"two ({measured[0]} below the global one, {measured[1]} below their own)."
    ]


def _gates(evaluation: Evaluation) -> str:
    sizes = evaluation.sizes
    return f"{sizes['own_models']} regions have a model of their own, and it is used in {sizes['open_gates']}."


def _histories(evaluation: Evaluation) -> list[str]:
    """Name the kinds of listeners for whom another model surely has better lists, and the best of those."""
    found = []
    for history in HISTORIES:
        better = _ndcg(evaluation, over=f"history.{history}").filter(pl.col("high") < 0).sort("difference", "against")
        for row in better.head(1).iter_rows(named=True):
            who = _WORDS.get(history, "with more")
            found.append(
                f"For listeners {who}, “{NAMES[row['against']]}” surely has better lists than what is served: by "
                f"{-row['difference']:.4f} (95 % interval {-row['high']:.4f} to {-row['low']:.4f})."
            )
    return found


def _tail(evaluation: Evaluation) -> str:
    """Say what lists hold of the least popular tracks."""
    tail = evaluation.by_popularity.filter(pl.col("fifth") == FIFTHS).drop_nans()
    recall = dict(tail.select("model", f"recall_at_{AT}").iter_rows())
    if not {SERVED, "global"} <= recall.keys():
        return ""
    return (
        f"Of what is played of the {tail['tracks'][0]:,} least popular tracks, a fifth of all plays, the first {AT} "
        f"places hold {recall[SERVED]:.1%} as served, and {recall['global']:.1%} by the global model."
    )


def _locals(evaluation: Evaluation) -> str:
    played, listed = evaluation.metrics["history.local_share"], evaluation.metrics[f"{SERVED}.local_share"]
    if not np.isfinite(played) or not np.isfinite(listed):
        return ""
    return f"Local artists are {played:.1%} of what listeners played, and {listed:.1%} of what is listed for them."


def _listed(names: Sequence[str], *, at_most: int = 5) -> str:
    more = f" and {len(names) - at_most} more" if len(names) > at_most else ""
    return ", ".join(names[:at_most]) + more
