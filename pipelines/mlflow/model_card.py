"""The card of a registered model: what it is, how good it was on which data, and what it is not for."""

import math

from pipelines.mlflow.metric_keys import COMPARED, HEADLINE
from pipelines.mlflow.model_registry import LoggedRun
from pipelines.mlflow.run_tags import COMMIT, LOCK_DIGEST
from recsys.models.evaluation.report_tables import SERVED

DESCRIPTION = """\
Lists of tracks for a listener of a region: one collaborative model for the world, models of regions and countries where
they are worth it, and what is rising there, blended. A version is settings, and learns anew where it is loaded;
`champion` is the one that nights use. See docs/experiments.md.
"""
_CARD = """\
# {label}

Measured on the nights to {night}, on tracks that listeners had not played before.

| measure | value |
| --- | --- |
| macro NDCG@10, every region counting the same | {macro} |
| macro NDCG@10 over one global model, 95 % interval | {gain} ({low} to {high}) |
| NDCG@10, every listener counting the same | {ndcg} |
| recall@20 | {recall} |
| share of tracks in anybody's list | {coverage} |

**Data** `{data}`, regions `{atlas}`, code `{code}`, commit `{commit}`, requirements `{lock}`.

**In it** are the settings below and the path of a workspace: no listener, factor or weight. It learns from what the
workspace holds of listeners who allow personalisation at the moment it is loaded.

**Not for** tracks that few listeners have played, which it cannot list; and not for saying anything about one person:
its lists are not differentially private.

**Settings**: {settings}.
"""


def card(run: LoggedRun) -> str:
    """Return the card of the model with a run's settings, as Markdown; no figure in it is of few listeners.

    Parameters
    ----------
    run : LoggedRun
    """
    gain, low, high = (_figure(run, f"{COMPARED}{end}", sign="+") for end in ("", "_low", "_high"))
    ndcg, recall, coverage = (_figure(run, f"{SERVED}.{key}") for key in ("ndcg_at_10", "recall_at_20", "coverage"))
    return _CARD.format(
        label=run.label,
        night=run.night,
        macro=_figure(run, HEADLINE),
        gain=gain,
        low=low,
        high=high,
        ndcg=ndcg,
        recall=recall,
        coverage=coverage,
        data=run.data,
        atlas=run.atlas,
        code=run.code,
        commit=run.tags.get(COMMIT, "unknown"),
        lock=run.tags.get(LOCK_DIGEST, "unknown"),
        settings=", ".join(f"`{key}` {value}" for key, value in sorted(run.models.items())),
    )


def _figure(run: LoggedRun, key: str, *, sign: str = "") -> str:
    value = run.metrics.get(key, math.nan)
    return "not measured" if math.isnan(value) else f"{value:{sign}.4f}"
