"""The champion's settings: they take the place of a job's defaults, and what the operator sets wins."""

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from pathlib import Path
from typing import Any

from pipelines.base.experiment_config import FIXED
from pipelines.base.job_context import Challenger
from pipelines.base.terminal import log, tell
from pipelines.mlflow.handover import attempt
from pipelines.mlflow.model_registry import Champion, LoggedRun, Registry
from pipelines.mlflow.run_tags import NO_CHAMPION
from pipelines.mlflow.tracking import Store
from recsys.errors import SettingsError
from recsys.settings import ModelsSettings, Settings, load_settings
from recsys.workspace import Workspace, replace_file


def settings_of(
    file: Path | None,
    *,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    workspace: Workspace | None = None,
    keep: bool = True,
) -> tuple[Settings, str]:
    """Return the settings that a night uses now, and the version of the champion behind them.

    A key of ``[models]`` comes from the environment, else from the overrides, else from the file, else from the
    champion, else from ``recsys/hearabouts.toml``: so the file that an operator has always used goes on saying what it
    says. Where it says something else than the champion, a line of the log names the keys. What a run is asked
    (:data:`pipelines.base.experiment_config.FIXED`) never comes from a champion.

    The champion is kept in the workspace, where there is one, unless ``keep`` is false. Where MLflow cannot be used
    now, or its store is a new one that never had a champion, the one of the last time stays in force.

    Raises
    ------
    SettingsError
        If settings do not fit, or the champion has some that this release does not know.
    """
    beside = workspace.root if workspace else None
    plain = load_settings(file, overrides=overrides, workspace=beside)
    champion = _champion(plain.tracking.store, workspace=workspace, keep=keep)
    if champion is None:
        return plain, NO_CHAMPION
    settings = with_champion(champion, file, overrides=overrides, workspace=beside)
    asked = (overrides or {}).get("models", {})
    _tell_of_others(settings.models, champion, who="champion", asked=asked)
    tell("settings of the models", champion=champion.version, run=champion.run.label)
    return settings, str(champion.version)


def challenger_of(settings: Settings, file: Path | None) -> Challenger | None:
    """Return the challenger, whose lists are to be compared with those by the settings that a night uses.

    Its settings come as a champion's do (:func:`settings_of`): what the operator sets wins, and a line of the log names
    the keys. There is none where MLflow cannot be used now, or this release does not know its settings: no comparison
    is worth a night. And there is none that would make the same lists.
    """
    store = settings.tracking.store

    def read() -> tuple[Champion, ModelsSettings] | None:
        found = Registry(store).challenger()
        return (found, with_champion(found, file).models) if found else None

    read_now = attempt(read, "no challenger shares the lists of this night", store=store)
    if read_now is None:
        return None
    found, models = read_now
    _tell_of_others(models, found, who="challenger")
    if logged(models) == logged(settings.models):
        log.warning("the challenger would make the same lists as the champion: it shares none", version=found.version)
        return None
    tell("challenger", version=found.version, run=found.run.label)
    return Challenger(str(found.version), models)


def _tell_of_others(models: ModelsSettings, version: Champion, *, who: str, asked: Collection[str] = ()) -> None:
    """Name the keys of a version that something else wins over, but for those that the command asked for."""
    changed = [key for key in changed_keys(models, version) if key not in asked]
    if changed:
        log.warning(f"settings win over the {who}'s", **{who: version.version, "keys": ",".join(changed)})


def _champion(store: Store, *, workspace: Workspace | None, keep: bool) -> Champion | None:
    """Return the champion of the registry, or else the one that is kept; keep the registry's for the next time."""
    kept = _kept(workspace) if workspace else None
    registry = Registry(store)
    found = attempt(lambda: (registry.champion(), registry.has_versions), _INSTEAD, store=store)
    if found is None:
        return kept
    champion, is_known = found
    if champion is None and kept is not None and not is_known:
        log.warning("MLflow's store never had a champion: the one that is kept stays in force", champion=kept.version)
        return kept
    if workspace is not None and keep and champion != kept and workspace.private.is_dir():
        _keep(champion, workspace)
    return champion


_INSTEAD = "the champion of the last time stays in force, or else the defaults"
_FILE = "champion.json"


def _kept(workspace: Workspace) -> Champion | None:
    """Return the champion that was kept; None where nobody was, or nothing can be read."""
    try:
        told = json.loads((workspace.private / _FILE).read_text(encoding="utf-8"))
        run = LoggedRun(**told["run"] | {"started": datetime.fromisoformat(told["run"]["started"]), "metrics": {}})
        return Champion(int(told["version"]), run, tuple(told["line"]))
    except (OSError, ValueError, LookupError, TypeError):
        return None


def _keep(champion: Champion | None, workspace: Workspace) -> None:
    file = workspace.private / _FILE
    if champion is None:
        file.unlink(missing_ok=True)
        return
    run = {key: value for key, value in vars(champion.run).items() if key != "metrics"}
    told = {
        "version": champion.version,
        "line": champion.line,
        "run": run | {"started": champion.run.started.isoformat()},
    }
    replace_file(file, json.dumps(told).encode(), mode=0o600)


def with_champion(
    champion: Champion,
    file: Path | None,
    *,
    overrides: Mapping[str, Mapping[str, Any]] | None = None,
    workspace: Path | None = None,
) -> Settings:
    """Return the settings that a night would use if this version were champion; see :func:`settings_of`."""
    check_known(champion)
    return load_settings(file, overrides=overrides, champion={"models": champion.run.models}, workspace=workspace)


def check_known(champion: Champion) -> None:
    """Refuse a champion from a release whose settings were others."""
    unknown = sorted(champion.run.models.keys() - ModelsSettings.model_fields.keys())
    if unknown:
        raise SettingsError(
            f"the registered model, version {champion.version}, has settings of the models that this release does not "
            f"know: {', '.join(unknown)}",
            hint="Go back first, `hearabouts promote --back`; then evaluate and promote with this release.",
        )


def logged(models: ModelsSettings) -> dict[str, str]:
    """Return the settings that a promotion carries, as a run logs them."""
    return {key: str(value) for key, value in models.model_dump(mode="json").items() if key not in FIXED}


def changed_keys(models: ModelsSettings, champion: Champion) -> list[str]:
    """Return the keys whose value is not the champion's."""
    now = logged(models)
    return sorted(key for key, value in champion.run.models.items() if now.get(key) != value)
