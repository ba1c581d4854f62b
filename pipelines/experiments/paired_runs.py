"""Paired runs: how much better one is than the other, listener by listener, and whether that could be chance.

What they are paired by is figures of single listeners: they lie in the workspace's private folder, and not in MLflow.
"""

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import polars as pl

from pipelines.base.job_context import JobContext
from pipelines.mlflow.model_registry import LoggedRun
from recsys.arrivals.permission import permissions, still_personal
from recsys.cells import evaluations
from recsys.consents.log import consent_log
from recsys.errors import InputError
from recsys.models.evaluation.draws import strata_of
from recsys.models.evaluation.evaluation import Evaluation
from recsys.models.evaluation.intervals import by_stratum, luck_of_mean, luck_of_strata, paired
from recsys.models.metrics import Values
from recsys.sealed_files import SealedFiles
from recsys.settings import Settings
from recsys.workspace import Workspace

DRAWS = 3  # trainings that a run's figures are the mean of, at least, before it may be promoted
_ROUNDING = 1e-9  # of sums: an interval that touches zero does not leave it out
_KEYS = ("listener", "part")
_LEAST = "models.min_listeners_in_table"
_QUESTION = ("models.test_nights", "models.gap_nights", "models.min_listeners_per_track")  # who is asked for what


@dataclass(frozen=True)
class Gain:
    """What the right run's model adds to the left one's, by NDCG at 10 on unheard tracks.

    Parameters
    ----------
    left, right, difference : float
        Macro means: over parts, of the means over their listeners.
    low, high : float
        Of the difference, 95 %: by how much listeners within parts differ, and the trainings of a run of several draws.
    chance : float
        How often runs that are alike would differ at least as much.
    listeners : int
        How many were asked.
    """

    left: float
    right: float
    difference: float
    low: float
    high: float
    chance: float
    listeners: int

    @property
    def is_better(self) -> bool:
        """Whether the interval lies above zero."""
        return self.low > _ROUNDING

    def __str__(self) -> str:
        """Return the difference with its interval."""
        return f"{self.difference:+.4f} ({self.low:+.4f} to {self.high:+.4f})"


@dataclass(frozen=True)
class Figures:
    """What the private folder of a workspace holds of runs, as far as it may be used at an instant.

    Parameters
    ----------
    workspace : Workspace
    settings : Settings
        Where the consent log is, and how long rows are kept.
    now : datetime
        With a time zone: what "still allowed" refers to.
    """

    workspace: Workspace
    settings: Settings
    now: datetime

    def gone(self, run: LoggedRun) -> str:
        """Return that there are no rows of a run here any more; empty where there are."""
        if evaluations.read(self._files, run=run.record) is not None:
            return ""
        return (
            f"the workspace {self.workspace.root} has no figures of the listeners of {run.label}: they are kept for "
            f"{self.settings.store.nights} nights after its last one ({run.night}), and only where it was made"
        )

    def luck(self, run: LoggedRun) -> str:
        """Return that a run does not tell how much was its luck; empty where it does, or has no rows here."""
        rows = evaluations.read(self._files, run=run.record)
        times = DRAWS if rows is None or rows.is_empty() else len(rows["draws"][0])
        if times >= DRAWS:
            return ""
        drawn = "once" if times == 1 else f"{times} times"
        return f"{run.label} was trained and measured {drawn}, and {DRAWS} times are needed to tell its luck"

    def of(self, run: LoggedRun) -> pl.DataFrame:
        """Return the rows of a run, schema :class:`recsys.schemas.Figures`, of listeners who still allow it.

        Raises
        ------
        InputError
            If there are none.
        """
        rows = evaluations.read(self._files, run=run.record)
        if rows is None:
            raise InputError(
                self.gone(run),
                hint="Name the workspace where it was made after --workspace, or evaluate both runs again.",
            )
        log = consent_log(self.workspace, settings=self.settings)
        return still_personal(rows, permissions=permissions(log, now=self.now))

    @property
    def _files(self) -> SealedFiles:
        return SealedFiles(self.workspace.private, self.settings.store)


def keep(job: JobContext, evaluation: Evaluation, *, run: str, night: date) -> None:
    """Keep the rows of a run in the private folder: those of listeners who are still there, and still allow it.

    An experiment takes minutes, in which somebody may be forgotten: the log is asked anew, while the folder is held.
    """
    with evaluations.held(job.store.sealed):
        allowed = still_personal(evaluation.listeners, permissions=job.permissions)
        evaluations.write(job.store.sealed, allowed, run=run, night=night)


def why_not(left: LoggedRun, right: LoggedRun) -> str:
    """Return why two runs cannot be paired; empty where they can."""
    if left.data != right.data:
        return f"their data differ: {left.data} (to {left.night}) and {right.data} (to {right.night})"
    if left.atlas != right.atlas:
        return f"their regions differ: atlas {left.atlas} and {right.atlas}"
    asked = [key for key in _QUESTION if left.params.get(key) != right.params.get(key)]
    if asked:
        found = "; ".join(f"{key} is {left.params.get(key)} and {right.params.get(key)}" for key in asked)
        return f"they were not asked the same: {found}"
    return ""


def other_code_in(left: LoggedRun, right: LoggedRun) -> str:
    """Return that two runs were made by different code, which may be what makes them differ; empty where not."""
    return f"their code differs: {left.code} and {right.code}" if left.code != right.code else ""


def both(figures: Figures, left: LoggedRun, right: LoggedRun) -> pl.DataFrame:
    """Return ``part, left, right``: the served model's NDCG at 10 of every listener by each draw of both runs.

    Raises
    ------
    InputError
        If the rows of one are gone, if they did not ask the same listeners, at home in the same regions, or if so few
        of these still allow it that what is found would be theirs.
    """
    tables = [
        figures.of(run).select(*_KEYS, pl.col("draws").alias(side)) for run, side in ((left, "left"), (right, "right"))
    ]
    joined = tables[0].join(tables[1], on=list(_KEYS), validate="1:1", nulls_equal=True)
    if not joined.height == tables[0].height == tables[1].height:
        raise InputError(
            f"{left.label} asked {tables[0].height:,} listeners and {right.label} {tables[1].height:,}, of whom "
            f"{joined.height:,} are the same, at home in the same region",
            hint="Evaluate both again, on the data and with the code of today.",
        )
    at_home = joined["part"].count() or joined.height  # whom a gain is the mean of
    if at_home < (needed := at_least(left, right)):
        raise InputError(
            f"fewer than {needed} of the listeners whom {left.label} and {right.label} asked still allow it",
            hint="Evaluate both again, on the data of today.",
        )
    return joined.sort("listener").select("part", "left", "right")


def at_least(left: LoggedRun, right: LoggedRun) -> int:
    """Return how many listeners have to be behind a figure that is told of two runs."""
    return max(int(run.params.get(_LEAST, "0")) for run in (left, right))


def gain(listeners: pl.DataFrame) -> Gain:
    """Return what the right run adds over regions; over all listeners where none has a home.

    Parameters
    ----------
    listeners : polars.DataFrame
        ``part, left, right``, as of :func:`both`.
    """
    at_home = listeners.drop_nulls("part")
    asked = listeners if at_home.is_empty() else at_home
    strata = None if at_home.is_empty() else strata_of(asked)
    sides = [_draws(asked, side) for side in ("left", "right")]
    luck = [luck_of_mean(draws, strata) for draws in sides if draws.shape[1] > 1]
    left, right = (draws.mean(axis=1) for draws in sides)
    (found,) = paired((right - left)[:, None], strata, luck=luck)
    means = [each.mean for each in paired(np.column_stack([left, right]), strata)]
    return Gain(means[0], means[1], found.mean, found.low, found.high, found.chance, len(asked))


def gains_by_part(listeners: pl.DataFrame, *, at_least: int) -> pl.DataFrame:
    """Return ``part, test_listeners, left, right, difference, low, high, chance`` of regions with enough listeners."""
    at_home = listeners.drop_nulls("part")
    asked = at_home.filter(pl.len().over("part") >= at_least).sort("part")
    if asked.is_empty():
        return pl.DataFrame(schema=_BY_PART)
    strata, sides = strata_of(asked), [_draws(asked, side) for side in ("left", "right")]
    luck = [term for draws in sides if draws.shape[1] > 1 for term in luck_of_strata(draws, strata)]
    left, right = (draws.mean(axis=1) for draws in sides)
    found = by_stratum(right - left, strata, luck=luck)
    means = asked.with_columns(left=left, right=right).group_by("part", maintain_order=True)
    intervals = {name: [getattr(each, name) for each in found] for name in ("low", "high", "chance")}
    return (
        means.agg(pl.len().cast(pl.Int64).alias("test_listeners"), pl.col("left", "right").mean())
        .with_columns((pl.col("right") - pl.col("left")).alias("difference"))
        .with_columns(**{name: pl.Series(values, dtype=pl.Float64) for name, values in intervals.items()})
    )


def _draws(listeners: pl.DataFrame, side: str) -> Values:
    """Return (n, d) what every listener had by each draw of a run."""
    return np.array(listeners[side].to_list(), dtype=np.float64).reshape(len(listeners), -1)


_BY_PART = {
    "part": pl.String,
    "test_listeners": pl.Int64,
    **dict.fromkeys(("left", "right", "difference", "low", "high", "chance"), pl.Float64),
}
