"""Champion and challenger: the lists of both for those who tell what they play, and which of them listeners prefer."""

import hashlib
import json
from dataclasses import replace
from importlib.metadata import version

import polars as pl

from pipelines.base.job_context import JobContext
from pipelines.base.terminal import tell
from pipelines.experiments.champion import logged
from pipelines.mlflow.logbook import named
from pipelines.mlflow.run_record import Run
from pipelines.mlflow.run_tags import allowed_rows
from pipelines.night.personal_lists import Past, personal_lists
from recsys.artifacts.affinities import Affinities
from recsys.artifacts.interleaving import CHALLENGER, CHAMPION
from recsys.consents.log import Purpose
from recsys.models.evaluation.interleaved import Preference, preference
from recsys.settings import ModelsSettings, Settings


def with_challenger(job: JobContext, lists: Affinities, *, past: Past, lines: pl.DataFrame) -> Affinities:
    """Return the lists with those of the challenger beside them, where there is one, for those who allow feedback."""
    if job.challenger is None:
        return lists
    settings = job.settings.model_copy(update={"models": job.challenger.models})
    theirs = personal_lists(job, past=replace(past, before=None), lines=lines, settings=settings)
    return replace(lists, challenger=theirs, rivals=rivals_of(job.settings, job.challenger.models))


def of_those_who_tell(job: JobContext, lists: Affinities) -> Affinities:
    """Return the lists with those of the challenger for who allows feedback at this moment, and for nobody else."""
    theirs = lists.challenger
    return lists if theirs is None else replace(lists, challenger=theirs.only(job.allowing(Purpose.FEEDBACK)))


def compare_lists(job: JobContext, run: Run) -> None:
    """Log which ranker listeners prefer, by what those played who allow it at this moment: all, and by region.

    No figure is of fewer than ``models.min_listeners_in_table`` listeners.
    """
    if job.challenger is None:
        return
    rivals, telling = rivals_of(job.settings, job.challenger.models), job.allowing(Purpose.FEEDBACK)
    played = [each for each in job.consents.feedback.of_rivals(rivals) if each.listener in telling]
    credits = pl.DataFrame(
        [(each.listener, each.team) for each in played],
        schema={"listener": pl.String, "team": pl.String},
        orient="row",
    )
    rows, at_least = allowed_rows(job), job.settings.models.min_listeners_in_table
    found = preference(credits.join(rows, on="listener", how="semi"), rows, challenger=CHALLENGER, at_least=at_least)
    run.tags({"challenger.version": job.challenger.version})
    run.metrics(numbers(found))
    if found.by_part.height:
        run.table(named(found.by_part, atlas=job.atlas), "interleaving")
    if found.listeners is not None:
        told = {CHALLENGER: job.challenger.version, "listeners": found.listeners}
        told |= {"difference": round(found.difference.mean, 3), "low": round(found.difference.low, 3)}
        tell("interleaved lists", **told, high=round(found.difference.high, 3))


def numbers(found: Preference) -> dict[str, float]:
    """Return what a run logs: the same keys whatever was found, NaN for what is of too few listeners."""
    difference, key = found.difference, f"interleaving.{CHALLENGER}_minus_{CHAMPION}"
    listeners = float("nan") if found.listeners is None else float(found.listeners)
    figures = {key: difference.mean, f"{key}_low": difference.low, f"{key}_high": difference.high}
    return {"interleaving.listeners": listeners, **figures}


def rivals_of(settings: Settings, challenger: ModelsSettings) -> str:
    """Return what two rankers are called together: what was played from lists of others is not about them.

    Others are those by other settings of the models or of lists, or of another release of this program.
    """
    lists = settings.lists.model_dump(mode="json")
    both = [logged(settings.models), logged(challenger), lists, version("hearabouts")]
    return hashlib.blake2b(json.dumps(both, sort_keys=True).encode(), digest_size=8).hexdigest()
