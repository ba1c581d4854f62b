"""The job that makes a run's settings those of the nights to come, if they are better than what the nights use now."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.experiments.champion import changed_keys, logged, with_champion
from pipelines.experiments.paired_runs import Figures, Gain, both, gain, other_code_in, why_not
from pipelines.mlflow import tracking
from pipelines.mlflow.model_card import DESCRIPTION, card
from pipelines.mlflow.model_registry import CHALLENGER, CHAMPION, MODEL, Champion, LoggedRun, Registry
from pipelines.mlflow.pyfunc_model import SETTINGS_FILE
from pipelines.mlflow.run_tags import ATLAS_VERSION, CATALOGUE, CODE_DIGEST, COMMIT, DATA_DIGEST, LOCK_DIGEST, NIGHT
from pipelines.mlflow.tracking import Store
from recsys.errors import InputError, NotBetterError, UnknownRunError, UsageError
from recsys.models.evaluation.report_tables import MODELS, SERVED
from recsys.settings import load_settings
from recsys.workspace import Workspace

LOADER = "pipelines.mlflow.pyfunc_model"

_ORIGIN = (COMMIT, LOCK_DIGEST, CODE_DIGEST, DATA_DIGEST, ATLAS_VERSION, NIGHT)  # tags of a version, from its run
_OTHERS = tuple(model for model in MODELS if model != SERVED)


def promote(
    store: Store, wanted: str, *, workspace: Path, now: datetime, settings_file: Path | None = None
) -> dict[str, Any]:
    """Register a run's settings as a model, and make it the champion if it beats the present one.

    It has to beat it on the same data and with the same code, by macro NDCG at 10 on unheard tracks, each the mean of
    three draws or more, with a paired 95 % interval above zero that holds the luck of both. The champion's figures on
    that data come from the newest run of ``evaluate`` with its settings. What it has to beat is what a night really
    uses: the champion's settings with what the file and the environment set over them. Where there is no champion yet,
    a night uses the defaults: then these have to be beaten, unless the run has them itself, and no other model in its
    own table may be surely better than the one that would be served.
    What a run is asked (:data:`pipelines.base.experiment_config.FIXED`) is not promoted.

    Parameters
    ----------
    store : Store
        Of MLflow.
    wanted : str
        The run; see :meth:`pipelines.mlflow.model_registry.Registry.find`.
    workspace : Path
        Where the registered model finds what it learns from, and where the figures of the runs' listeners are.
    now : datetime
        With a time zone: of whom those figures may be used is asked at this instant.
    settings_file : Path, optional
        The settings to read there; with the environment, what nights use over the champion's and the defaults.

    Raises
    ------
    NotBetterError
        If it measured nothing, or does not beat what nights use now.
    SettingsError
        If the settings do not fit.
    InputError
        If there is nothing to compare it with.
    """
    registry = Registry(store)
    challenger, champion = registry.find(wanted), registry.champion()
    if champion and challenger.models == champion.run.models:
        return _summary("nothing new", champion, None)
    _check_measured(challenger)
    if champion is None:
        _check_first(challenger)
    used = _Now.of(champion, settings_file=settings_file)
    first = champion is None and challenger.models == used.models
    figures = Figures(Workspace(workspace), load_settings(settings_file, workspace=workspace), now)
    _check_luck(challenger, figures)
    won = None if first else _beats(registry, challenger, used, figures=figures)
    version = registry.version_of(challenger) or _registered(
        store, challenger, workspace=workspace, settings_file=settings_file
    )
    registry.crown(version, tags={DATA_DIGEST: challenger.data, "won.by": str(won) if won else "first"})
    return _summary("done", registry.champion(), won)


def challenge(store: Store, wanted: str, *, workspace: Path, settings_file: Path | None = None) -> dict[str, Any]:
    """Register a run's settings as a model, and let it share lists with the champion's from the next new night on.

    It needs no better figures: listeners who allow feedback are to say which of both they prefer.

    Raises
    ------
    UsageError
        If it is the champion.
    NotBetterError
        If it measured nothing.
    """
    registry = Registry(store)
    found, champion = registry.find(wanted), registry.champion()
    _check_measured(found)
    if champion and found.models == champion.run.models:
        raise UsageError(f"{found.label} has the champion's settings", hint="Name a run with others.")
    version = registry.version_of(found) or _registered(store, found, workspace=workspace, settings_file=settings_file)
    registry.challenge(version)
    return {"status": "done", CHALLENGER: version, "run": found.id, "name": found.name}


def end_challenge(store: Store) -> dict[str, Any]:
    """Let nobody share lists with the champion's from the next new night on."""
    registry = Registry(store)
    is_there = registry.challenger() is not None
    if is_there:
        registry.challenge(None)
    return {"status": "done" if is_there else "nothing new", CHALLENGER: None}


def go_back(store: Store, *, version: int | None = None) -> dict[str, Any]:
    """Make an earlier version the champion again, without a test: it won once. Before the first came the defaults.

    Parameters
    ----------
    store : Store
        Of MLflow.
    version : int, optional
        By default the one that was champion before the present one, and the next time the one before that; where there
        was none, nobody is champion then.

    Raises
    ------
    UnknownRunError
        If there is no such version, or no champion.
    """
    registry = Registry(store)
    champion = registry.champion()
    if champion is None and version is None:
        raise UnknownRunError(
            "nobody is champion: the nights use the defaults",
            hint="`hearabouts promote --version N` makes any registered version the champion.",
        )
    if version is None:
        registry.go_back()
    else:
        registry.version(version)
        registry.crown(version)
    return _summary("done", registry.champion(), None)


@dataclass(frozen=True)
class _Now:
    """What nights use now, and what it is called."""

    models: Mapping[str, str]
    name: str

    @classmethod
    def of(cls, champion: Champion | None, *, settings_file: Path | None) -> "_Now":
        if champion is None:
            return cls(logged(load_settings(settings_file).models), "the defaults, which nights use now")
        models = with_champion(champion, settings_file).models
        set_over = changed_keys(models, champion)
        but = f" (with {', '.join(set_over)} from the settings file or the environment)" if set_over else ""
        return cls(logged(models), f"the champion, version {champion.version}{but}")


def _beats(registry: Registry, challenger: LoggedRun, now: _Now, *, figures: Figures) -> Gain:
    """Return what the challenger adds to what nights use now, or refuse it."""
    rival = _rival(registry, challenger, now, figures=figures)
    found = gain(both(figures, rival, challenger))
    if not found.is_better:
        raise NotBetterError(
            f"{challenger.label} does not beat {now.name}: its macro NDCG at 10 is "
            f"{found.right:.4f}, that of {rival.label} {found.left:.4f}, and the 95 % interval of the "
            f"difference, {found}, has to lie above zero",
            hint="`hearabouts compare` shows where it wins and loses; more listeners make intervals narrower.",
        )
    return found


def _rival(registry: Registry, challenger: LoggedRun, now: _Now, *, figures: Figures) -> LoggedRun:
    """Return the newest run with the settings of now that was asked the same as the challenger, by the same code.

    One whose rows are gone, as of another workspace, is passed over.
    """
    alike = [run for run in registry.runs() if run.models == now.models and run.measured]
    reasons = [
        why_not(run, challenger) or other_code_in(run, challenger) or figures.gone(run) or figures.luck(run)
        for run in alike
    ]
    fits = next((run for run, reason in zip(alike, reasons, strict=True) if not reason), None)
    if fits is None:
        found = reasons[0] if reasons else "no run with those settings measured anything"
        raise InputError(
            f"{challenger.label} and {now.name} cannot be compared: {found}",
            hint="Evaluate both on the data of today: `hearabouts evaluate` without --config first, which measures "
            "what nights use now, then `hearabouts evaluate --config FILE`.",
        )
    return fits


def _check_measured(challenger: LoggedRun) -> None:
    """Refuse a run that has no figure: against it nothing could ever win."""
    if not challenger.measured:
        raise NotBetterError(
            f"{challenger.label} measured nothing, and only what was measured can be better",
            hint="Its note tells why: mostly too few nights. Run more nights, then `hearabouts evaluate` again.",
        )


def _check_luck(challenger: LoggedRun, figures: Figures) -> None:
    """Refuse a run that was trained too seldom, as a night is: it may be lucky."""
    if reason := figures.luck(challenger):
        raise InputError(reason, hint="Evaluate its settings: `hearabouts evaluate` trains as often by default.")


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


def _registered(store: Store, run: LoggedRun, *, workspace: Path, settings_file: Path | None) -> int:
    return tracking.register(
        store,
        run_id=run.id,
        model=MODEL,
        loader=LOADER,
        content={SETTINGS_FILE: json.dumps(dict(run.models), indent=2, sort_keys=True) + "\n"},
        config={
            "workspace": str(workspace.resolve()),
            "settings": str(settings_file.resolve()) if settings_file else "",
            "catalogue": run.tags.get(CATALOGUE, ""),
        },
        about=tracking.About(DESCRIPTION, card(run), {key: run.tags[key] for key in _ORIGIN if key in run.tags}),
    )


def _summary(status: str, champion: Champion | None, won: Gain | None) -> dict[str, Any]:
    if champion is None:
        return {"status": status, CHAMPION: None}
    found: Mapping[str, float] = {"difference": won.difference, "low": won.low, "high": won.high} if won else {}
    return {
        "status": status,
        CHAMPION: champion.version,
        "run": champion.run.id,
        "name": champion.run.name,
        "before": champion.before,
        **{key: round(value, 4) for key, value in found.items()},
    }
