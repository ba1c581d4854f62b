"""What numbers are called in MLflow: our keys have dots, and MLflow's page makes a section of what ends in a slash."""

from collections.abc import Mapping

from recsys.models.evaluation.report_tables import MODELS, SERVED, metric_keys

HEADLINE = f"{SERVED}.macro_ndcg_at_10"  # by which settings are searched, promoted and, in the leaderboard, sorted
COMPARED = f"{SERVED}_minus.global.macro_ndcg_at_10"  # what is served over one model for the whole world

_OF_EVERY_MODEL = ("macro_ndcg_at_10", "ndcg_at_10", "recall_at_20", "coverage")


def grouped(key: str) -> str:
    """Return the key that a number has in MLflow: ``blend/ndcg_at_10`` for ``blend.ndcg_at_10``."""
    return key.replace(".", "/")


def dotted(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers of a run under our keys; those of runs before the keys were grouped have them already."""
    return {key.replace("/", "."): value for key, value in metrics.items()}


def logged_keys() -> tuple[str, ...]:
    """Return those of an evaluation's keys that a run logs as numbers; the tables of the run hold all of them.

    Of what is served all that leaves out heard tracks, of the others what tables show, and comparisons over regions.
    """
    return tuple(key for key in metric_keys() if _is_logged(key))


def _is_logged(key: str) -> bool:
    group, _, metric = key.rpartition(".")
    if group == SERVED:
        return not metric.startswith("with_heard_")
    if group in MODELS:
        return metric in _OF_EVERY_MODEL
    return not group.startswith(f"{SERVED}_minus.") or metric.startswith("macro_ndcg_at_10")
