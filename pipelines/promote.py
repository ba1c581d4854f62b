"""The job that makes a run's settings those of the nights to come, if they are better than what the nights use now."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines import tracking
from pipelines.pairing import Gain, both, gain, why_not
from pipelines.provenance import DATA_DIGEST
from pipelines.registered import SETTINGS_FILE
from pipelines.registry import CHAMPION, MODEL, Champion, LoggedRun, Registry
from recsys.errors import InputError, NotBetterError, UnknownRunError
from recsys.models.tables import MODELS, SERVED

LOADER = "pipelines.registered"

_OTHERS = tuple(model for model in MODELS if model != SERVED)


def promote(folder: Path, wanted: str, *, workspace: Path, settings_file: Path | None = None) -> dict[str, Any]:
    """Register a run's settings as a model, and make it the champion if it beats the present one.

    It has to beat it on the same data, by macro NDCG at 10 on unheard tracks, with a paired 95 % interval above zero.
    The champion's figures on that data come from the newest run with its settings: a night's, or one of ``evaluate``.
    Where there is no champion yet, a night uses the defaults, which nobody promoted: then it is enough that no other
    model in the run's own table is surely better than the one that would be served.

    Parameters
    ----------
    folder : Path
        Of the MLflow store.
    wanted : str
        The run; see :meth:`pipelines.registry.Registry.find`.
    workspace : Path
        Where the registered model finds what it learns from.
    settings_file : Path, optional
        The settings to read there.

    Raises
    ------
    NotBetterError
        If it does not beat the champion.
    InputError
        If there is nothing to compare it with.
    """
    registry = Registry(folder)
    challenger, champion = registry.find(wanted), registry.champion()
    if champion and challenger.models == champion.run.models:
        return _summary("nothing new", champion, None)
    won = _beats(registry, challenger, champion) if champion else None
    if champion is None:
        _check_first(challenger)
    version = registry.version_of(challenger) or _registered(
        folder, challenger, workspace=workspace, settings_file=settings_file
    )
    registry.crown(version, tags={DATA_DIGEST: challenger.data, "won.by": str(won) if won else "first"})
    return _summary("done", registry.version(version), won)


def go_back(folder: Path, *, version: int | None = None) -> dict[str, Any]:
    """Make an earlier version the champion again, without a test: it won once.

    Parameters
    ----------
    folder : Path
        Of the MLflow store.
    version : int, optional
        By default the one that was champion before the present one.

    Raises
    ------
    UnknownRunError
        If there is no such version.
    """
    registry = Registry(folder)
    champion = registry.champion()
    before = version or (champion.before if champion else None)
    if before is None:
        raise UnknownRunError(
            "there is no earlier champion to go back to" if champion else "nothing was promoted yet",
            hint="`hearabouts promote --version N` makes any registered version the champion.",
        )
    registry.version(before)
    registry.crown(before)
    return _summary("done", registry.version(before), None)


def _beats(registry: Registry, challenger: LoggedRun, champion: Champion) -> Gain:
    """Return what the challenger adds to the champion, or refuse it."""
    rival = _rival(registry, challenger, champion)
    found = gain(both(registry, rival, challenger))
    if not found.is_better:
        raise NotBetterError(
            f"{challenger.label} does not beat the champion, version {champion.version}: its macro NDCG at 10 is "
            f"{found.right:.4f}, the champion's {found.left:.4f} ({rival.label}), and the 95 % interval of the "
            f"difference, {found}, has to lie above zero",
            hint="`hearabouts compare` shows where it wins and loses; more listeners make intervals narrower.",
        )
    return found


def _rival(registry: Registry, challenger: LoggedRun, champion: Champion) -> LoggedRun:
    """Return the newest run with the champion's settings that was asked the same as the challenger."""
    alike = [run for run in registry.runs() if run.models == champion.run.models]
    fits = next((run for run in alike if not why_not(run, challenger)), None)
    if fits is None:
        found = why_not(alike[0], challenger) if alike else "its run was deleted"
        raise InputError(
            f"{challenger.label} and the champion, version {champion.version}, cannot be compared: {found}",
            hint="Evaluate both on the data of today: `hearabouts evaluate` (which measures the champion), then "
            "`hearabouts evaluate --config FILE`.",
        )
    return fits


def _check_first(challenger: LoggedRun) -> None:
    """Refuse a first champion that one of the models in its own table surely beats."""
    for model in _OTHERS:
        key = f"{SERVED}_minus.{model}.macro_ndcg_at_10"
        if challenger.metrics.get(f"{key}_high", 0.0) < 0:
            raise NotBetterError(
                f"{challenger.label} cannot be the first champion: the 95 % interval of its {SERVED} model minus its "
                f"{model} model, {challenger.metrics[key]:+.4f} (at most {challenger.metrics[f'{key}_high']:+.4f}), "
                "lies below zero",
                hint="Serve what is better: change the settings until the blend is not worse than any other model.",
            )


def _registered(folder: Path, run: LoggedRun, *, workspace: Path, settings_file: Path | None) -> int:
    return tracking.register(
        folder,
        run_id=run.id,
        model=MODEL,
        loader=LOADER,
        content={SETTINGS_FILE: json.dumps(dict(run.models), indent=2, sort_keys=True) + "\n"},
        config={
            "workspace": str(workspace.resolve()),
            "settings": str(settings_file.resolve()) if settings_file else "",
        },
    )


def _summary(status: str, champion: Champion, won: Gain | None) -> dict[str, Any]:
    found: Mapping[str, float] = {"difference": won.difference, "low": won.low, "high": won.high} if won else {}
    return {
        "status": status,
        CHAMPION: champion.version,
        "run": champion.run.id,
        "name": champion.run.name,
        "before": champion.before,
        **{key: round(value, 4) for key, value in found.items()},
    }
