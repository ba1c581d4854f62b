"""Draws: the same evaluation by the luck of other trainings, and what they say on average.

The luck of a training is its seed, and in which order it meets the listeners, which is that of their hashes: with other
hashes alone, of the same listeners, what is served is another list. A draw has another seed, and the listeners' names
dealt out among them anew.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from recsys.models.collaborative import LEARNED_SCHEMA
from recsys.models.evaluation import report_tables
from recsys.models.evaluation.beyond_accuracy import stability
from recsys.models.evaluation.intervals import by_stratum, luck_of_mean, luck_of_strata, paired
from recsys.models.evaluation.report_tables import KINDS, RIVALS, SERVED, Ranked
from recsys.models.interactions import IntArray
from recsys.models.metrics import Lists, Values
from recsys.models.splitting import Split
from recsys.settings import ModelsSettings

if TYPE_CHECKING:
    from recsys.models.evaluation.evaluation import Evaluation

SEEDED = ("global", "local", "regional", SERVED)  # models that depend on the luck of a training


@dataclass(frozen=True)
class Draw:
    """What another training stands on.

    Parameters
    ----------
    split : Split
        Under other names.
    settings : ModelsSettings
        With another seed.
    names : mapping of str to str
        Every listener's own name, by the one in this draw.
    """

    split: Split = field(repr=False)
    settings: ModelsSettings = field(repr=False)
    names: Mapping[str, str] = field(repr=False)

    def under_own_names(self, listeners: pl.DataFrame) -> pl.DataFrame:
        """Return rows of listeners under their own names."""
        return listeners.with_columns(pl.col("listener").replace_strict(self.names, return_dtype=pl.String))


def another(split: Split, settings: ModelsSettings, *, number: int) -> Draw:
    """Return the draw of a number, 1 or more, of an evaluation: always the same one."""
    seed = settings.seed + number
    own = pl.concat([split.past, split.test]).get_column("listener").unique().sort().to_list()
    dealt = np.random.default_rng(seed).permutation(len(own)).tolist()
    taken = {name: own[other] for name, other in zip(own, dealt, strict=True)}
    renamed = Split(
        *(rows.with_columns(pl.col("listener").replace_strict(taken, return_dtype=pl.String)) for rows in _rows(split))
    )
    names = {other: name for name, other in taken.items()}
    return Draw(renamed, settings.model_copy(update={"seed": seed}), names)


def averaged(first: "Evaluation", others: Sequence["Evaluation"]) -> "Evaluation":
    """Return what several draws say on average; of what is no figure, what the first one says.

    What is served is compared by NDCG at 10 on unheard tracks, listener by listener, and those intervals hold the luck
    of the draws; the ends of all other intervals are means of the draws'.

    Parameters
    ----------
    first : Evaluation
    others : sequence of Evaluation
        With listeners under their own names again.
    """
    every = [first, *others]
    drawn = [each.listeners.sort("listener") for each in every]
    metrics = {key: _mean(each.metrics[key] for each in every) for key in first.metrics}
    stable = {f"{model}.{kind}stability" for model in SEEDED for kind in KINDS}  # the first one's with itself is none
    metrics |= {key: _mean(each.metrics[key] for each in others) for key in stable}
    by_part = with_luck_of_parts(_means([each.by_part for each in every], "part"), drawn)
    keys = ("against", "heard", "metric", "over")
    comparisons = with_luck(_means([each.comparisons for each in every], *keys), drawn)
    return replace(
        first,
        metrics=metrics | report_tables.flat(comparisons) | report_tables.below(by_part),
        by_part=by_part,
        by_history=_means([each.by_history for each in every], "model", "history"),
        comparisons=comparisons,
        listeners=_of_listeners(drawn),
        importances={name: _mean(each.importances.get(name, np.nan) for each in every) for name in first.importances},
        by_popularity=_means([each.by_popularity for each in every], "model", "fifth"),
        by_country=_means([each.by_country for each in every], "country"),
    )


def with_luck(comparisons: pl.DataFrame, drawn: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return comparisons, those that listeners' rows tell of with intervals that hold the luck of the draws.

    Parameters
    ----------
    comparisons : polars.DataFrame
        As of :func:`~.report_tables.compare`.
    drawn : sequence of polars.DataFrame
        Schema :class:`~recsys.schemas.Figures`, the listeners' rows of each draw in the same order.
    """
    rows = [row | _with_luck(row, drawn) for row in comparisons.iter_rows(named=True)]
    return pl.DataFrame(rows, schema=comparisons.schema)


def _with_luck(row: Mapping[str, object], drawn: Sequence[pl.DataFrame]) -> dict[str, float]:
    asked = _ASKED.get(str(row["over"]), pl.col("history") == str(row["over"]).removeprefix("history."))
    some = [each.filter(asked) for each in drawn]
    told = row["heard"] == "removed" and row["metric"] == "ndcg_at_10" and not some[0].is_empty()
    if not told:
        return {}
    gains = _gains(some, str(row["against"]))
    strata = strata_of(some[0]) if row["over"] == "regions" else None
    (found,) = paired(gains.mean(axis=1)[:, None], strata, luck=[luck_of_mean(gains, strata)])
    return {"low": found.low, "high": found.high}


def with_luck_of_parts(by_part: pl.DataFrame, drawn: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return the table by part, what each part gains over the rivals with intervals that hold the luck of the draws.

    Parameters
    ----------
    by_part : polars.DataFrame
        As of :func:`~.report_tables.by_part`.
    drawn : sequence of polars.DataFrame
        As of :func:`with_luck`.
    """
    some = [each.filter(pl.col("part").is_in(by_part["part"].implode())) for each in drawn]
    parts = some[0]["part"].unique().sort()
    for model in RIVALS:
        gains, strata = _gains(some, model), strata_of(some[0])
        found = by_stratum(gains.mean(axis=1), strata, luck=luck_of_strata(gains, strata) if len(gains) else ())
        key = f"{SERVED}_minus.{model}.ndcg_at_10"
        ends = ("low", "high", "chance")
        told = {f"{key}_{end}": pl.Series([getattr(each, end) for each in found], dtype=pl.Float64) for end in ends}
        new = pl.DataFrame({"part": parts, **told})
        by_part = by_part.drop(told).join(new, on="part", how="left", maintain_order="left").select(by_part.columns)
    return by_part


def _gains(drawn: Sequence[pl.DataFrame], model: str) -> Values:
    """Return (n, d) what is served minus another model, for each listener by each draw."""
    return np.column_stack([(each[SERVED] - each[model]).to_numpy() for each in drawn])


def strata_of(listeners: pl.DataFrame) -> IntArray:
    """Return (n,) a number for the part that each listener is at home in; all must be at home somewhere."""
    return listeners["part"].rank("dense").cast(pl.Int64).to_numpy()


def stabilities(first: Mapping[str, Ranked], again: Mapping[str, Ranked], *, there: IntArray) -> dict[str, float]:
    """Return how much of the lists of models that depend on luck is the same in two draws, as metrics by key.

    Parameters
    ----------
    first, again : mapping of str to Ranked
        By model.
    there : numpy.ndarray
        Where the first one has each listener of the other.
    """
    return {
        f"{model}.{kind}stability": stability(lists, _moved(again[model].kinds[kind], there))
        for model in SEEDED
        for kind, lists in first[model].kinds.items()
    }


def _moved(lists: Lists, there: IntArray) -> Lists:
    moved = there[lists.listeners]
    order = np.argsort(moved)
    return Lists(moved[order], lists.tracks[order], lists.hits[order], lists.relevant[order])


_ASKED = {"listeners": pl.lit(True), "regions": pl.col("part").is_not_null()}


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _rows(split: Split) -> Iterator[pl.DataFrame]:
    yield from (split.train, split.validation, split.test)


def _means(tables: Sequence[pl.DataFrame], *keys: str) -> pl.DataFrame:
    """Return the means of all figures by some keys, in the order and with all else of the first table.

    What a part's model is like is no figure of its lists, and stays that of the first.
    """
    figures = [name for name, kind in tables[0].schema.items() if kind == pl.Float64 and name not in LEARNED_SCHEMA]
    told = pl.concat(tables).group_by(keys, maintain_order=True)
    return told.agg(pl.all().exclude(*keys, *figures).first(), pl.col(figures).mean()).select(tables[0].columns)


def _of_listeners(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return each listener's means, and beside them what the served model had by each draw."""
    first = tables[0]
    figures = [name for name, kind in first.schema.items() if kind == pl.Float64]
    told = pl.concat(tables).group_by("listener", maintain_order=True)
    kept = pl.all().exclude("listener", "draws", *figures).first()
    return told.agg(kept, pl.col(figures).mean(), pl.col("draws").list.first()).select(first.columns)
