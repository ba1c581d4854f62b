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

from recsys.models.evaluation import report_tables
from recsys.models.evaluation.beyond_accuracy import stability
from recsys.models.evaluation.report_tables import KINDS, SERVED, Ranked
from recsys.models.interactions import IntArray
from recsys.models.metrics import Lists
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

    def places(self, known: pl.Series, *, of: pl.Series) -> IntArray:
        """Return where the first draw has each listener whom this one knows.

        Parameters
        ----------
        known : polars.Series
            The draw's listeners.
        of : polars.Series
            The first one's: the same under their own names, in another order.
        """
        place = {name: position for position, name in enumerate(of.to_list())}
        return np.array([place[self.names[name]] for name in known.to_list()], dtype=np.int64)

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

    Parameters
    ----------
    first : Evaluation
    others : sequence of Evaluation
        With listeners under their own names again.
    """
    every = [first, *others]
    metrics = {key: _mean(each.metrics[key] for each in every) for key in first.metrics}
    stable = {f"{model}.{kind}stability" for model in SEEDED for kind in KINDS}  # the first one's with itself is none
    metrics |= {key: _mean(each.metrics[key] for each in others) for key in stable}
    by_part = _means([each.by_part for each in every], "part")
    return replace(
        first,
        metrics=metrics | report_tables.below(by_part),
        by_part=by_part,
        by_history=_means([each.by_history for each in every], "model", "history"),
        comparisons=_means([each.comparisons for each in every], "against", "heard", "metric", "over"),
        listeners=_of_listeners([each.listeners for each in every]),
    )


def stabilities(first: Mapping[str, Ranked], again: Mapping[str, Ranked], *, there: IntArray) -> dict[str, float]:
    """Return how much of the lists of models that depend on luck is the same in two draws, as metrics by key.

    Parameters
    ----------
    first, again : mapping of str to Ranked
        By model.
    there : numpy.ndarray
        Where the first one has each listener of the other (:meth:`Draw.places`).
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


def _mean(values: Iterable[float]) -> float:
    return float(np.mean(list(values)))


def _rows(split: Split) -> Iterator[pl.DataFrame]:
    yield from (split.train, split.validation, split.test)


def _means(tables: Sequence[pl.DataFrame], *keys: str) -> pl.DataFrame:
    """Return the means of all figures by some keys, in the order and with all else of the first table."""
    figures = [name for name, kind in tables[0].schema.items() if kind == pl.Float64]
    told = pl.concat(tables).group_by(keys, maintain_order=True)
    return told.agg(pl.all().exclude(*keys, *figures).first(), pl.col(figures).mean()).select(tables[0].columns)


def _of_listeners(tables: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """Return each listener's means, and beside them what the served model had by each draw."""
    first = tables[0]
    figures = [name for name, kind in first.schema.items() if kind == pl.Float64]
    told = pl.concat(tables).group_by("listener", maintain_order=True)
    kept = pl.all().exclude("listener", "draws", *figures).first()
    return told.agg(kept, pl.col(figures).mean(), pl.col("draws").list.first()).select(first.columns)
