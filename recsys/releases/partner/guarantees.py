"""The privacy figures of a partner file: per tier, and epsilon and delta over time, also together with the charts."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

from recsys.errors import SettingsError
from recsys.releases.budget.accounting import (
    MONTH,
    NAMES,
    YEAR,
    Exposure,
    allowed,
    allowed_to_partners,
    epsilon,
    together,
)
from recsys.releases.partner.threshold import failure, threshold
from recsys.settings import PartnerSettings, PrivacySettings, Settings


def as_nightly(privacy: PrivacySettings, partner: PartnerSettings) -> PrivacySettings:
    """Return the privacy settings under which a partner file is one release like a night's."""
    return privacy.model_copy(update={"rho_per_night": partner.rho, "most_per_night": partner.most_per_file})


def derived(known: Mapping[str, Any], privacy: PrivacySettings, partner: PartnerSettings) -> dict[str, Any]:
    """Return every figure that follows from what is known of a file: per tier, and what they guarantee together.

    Parameters
    ----------
    known : mapping
        With ``tiers``: ``name``, ``sigma_squared`` and whatever else is said of them.
    privacy, partner : settings

    Returns
    -------
    dict
        ``tiers`` with ``rho``, ``sensitivity_squared``, ``threshold``, ``margin`` and ``threshold_failure`` added,
        ``rho`` of all, and ``guarantees``.
    """
    tiers = [{**tier, **tier_figures(float(tier["sigma_squared"]), partner=partner)} for tier in known["tiers"]]
    exposure = exposure_of(tiers)
    return {"tiers": tiers, "rho": exposure.rho, "guarantees": _guarantees(exposure, privacy=privacy, partner=partner)}


def exposure_of(tiers: Iterable[Mapping[str, Any]]) -> Exposure:
    """Return what one listener can change in a file, by the tiers of its ``release.json``."""
    counted = [
        Exposure(((tier["sigma_squared"], tier["sensitivity_squared"]),), tier["threshold_failure"]) for tier in tiers
    ]
    return together(counted)


def tier_figures(sigma_squared: float, *, partner: PartnerSettings) -> dict[str, Any]:
    """Return what follows from the noise of a tier: its share of the budget, and its threshold."""
    least = threshold(sigma_squared, settings=partner)
    return {
        "sensitivity_squared": partner.most_per_file,
        "rho": partner.most_per_file / (2 * sigma_squared),
        "threshold": least,
        "margin": least - partner.min_listeners,
        "threshold_failure": partner.max_tracks * failure(sigma_squared, settings=partner),
    }


def check_finite(guarantees: Mapping[str, Mapping[str, float]], *, settings: Settings) -> None:
    """Refuse to spend anything under settings whose thresholds fail so often that nothing is guaranteed."""
    endless = [over for over, stated in guarantees.items() if not math.isfinite(stated["epsilon"])]
    if endless:
        raise SettingsError(
            f"partner.threshold_delta = {settings.partner.threshold_delta:g} leaves no guarantee for: "
            f"{', '.join(endless)}; times all rows of a listener it must stay below "
            f"privacy.delta = {settings.privacy.delta:g}",
            hint="Choose a smaller partner.threshold_delta.",
        )


def _guarantees(exposure: Exposure, *, privacy: PrivacySettings, partner: PartnerSettings) -> dict[str, Any]:
    """State what a listener risks by this file, by all files of a time, and by these and the charts together."""
    stated = {"file": _stated(exposure, delta=privacy.delta)}
    for nights in (MONTH, YEAR):
        files = allowed_to_partners(privacy, partner, nights=nights)
        both = together([files, allowed(privacy, nights=nights)])
        stated[NAMES[nights]] = _stated(files, delta=privacy.delta)
        stated[f"{NAMES[nights]}_with_charts"] = _stated(both, delta=privacy.delta)
    return stated


def _stated(exposure: Exposure, *, delta: float) -> dict[str, float]:
    found = epsilon(exposure, delta=delta)
    return {
        "rho": exposure.rho,
        "threshold_failure": exposure.failure,
        "delta": delta,
        "epsilon_opendp": found.opendp,
        "epsilon_dp_accounting": found.dp_accounting,
        "epsilon": found.stated,
    }
