"""The champion's settings: they take the place of a job's defaults, and what the operator sets wins."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipelines.base.experiment_config import FIXED
from pipelines.base.terminal import log, tell
from pipelines.mlflow.model_registry import Champion, Registry
from pipelines.mlflow.run_tags import NO_CHAMPION
from recsys.errors import SettingsError
from recsys.settings import ModelsSettings, Settings, load_settings


def settings_of(file: Path | None, *, overrides: Mapping[str, Mapping[str, Any]] | None = None) -> tuple[Settings, str]:
    """Return the settings that a night uses now, and the version of the champion behind them.

    A key of ``[models]`` comes from the environment, else from the overrides, else from the file, else from the
    champion, else from ``recsys/hearabouts.toml``: so the file that an operator has always used goes on saying what it
    says. Where it says something else than the champion, a line of the log names the keys. What a run is asked
    (:data:`pipelines.base.experiment_config.FIXED`) never comes from a champion.

    Raises
    ------
    SettingsError
        If settings do not fit, or the champion has some that this release does not know.
    """
    plain = load_settings(file, overrides=overrides)
    champion = Registry(plain.tracking.folder).champion()
    if champion is None:
        return plain, NO_CHAMPION
    settings = with_champion(champion, file, overrides=overrides)
    asked = (overrides or {}).get("models", {})
    changed = [key for key in changed_keys(settings.models, champion) if key not in asked]
    if changed:
        log.warning("settings win over the champion's", champion=champion.version, keys=",".join(changed))
    tell("settings of the models", champion=champion.version, run=champion.run.label)
    return settings, str(champion.version)


def with_champion(
    champion: Champion, file: Path | None, *, overrides: Mapping[str, Mapping[str, Any]] | None = None
) -> Settings:
    """Return the settings that a night would use if this version were champion; see :func:`settings_of`."""
    check_known(champion)
    return load_settings(file, overrides=overrides, champion={"models": champion.run.models})


def check_known(champion: Champion) -> None:
    """Refuse a champion from a release whose settings were others."""
    unknown = sorted(champion.run.models.keys() - ModelsSettings.model_fields.keys())
    if unknown:
        raise SettingsError(
            f"the champion, version {champion.version}, has settings of the models that this release does not know: "
            f"{', '.join(unknown)}",
            hint="Go back first, `hearabouts promote --back`; then evaluate and promote with this release.",
        )


def logged(models: ModelsSettings) -> dict[str, str]:
    """Return the settings that a promotion carries, as a run logs them."""
    return {key: str(value) for key, value in models.model_dump(mode="json").items() if key not in FIXED}


def changed_keys(models: ModelsSettings, champion: Champion) -> list[str]:
    """Return the keys whose value is not the champion's."""
    now = logged(models)
    return sorted(key for key, value in champion.run.models.items() if now.get(key) != value)
