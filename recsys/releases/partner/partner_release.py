"""The release of a partner file: the spend is in the ledger before noise is drawn, and nothing is drawn twice."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.errors import InputError, PrivacyBudgetError
from recsys.geography.atlas import Atlas
from recsys.releases.budget.ledger import Entry, Ledger, Spend
from recsys.releases.counts import release
from recsys.releases.counts.mean_weights import IN_UNITS, NOISE_OF_TOTALS, PlaceTotals, mean_weights
from recsys.releases.counts.noisy_counts import Array
from recsys.releases.counts.release import Tier
from recsys.releases.counts.release_reader import digest_of
from recsys.releases.partner.files import (
    CHECKSUMS,
    FORMAT,
    PURPOSE,
    STATED,
    checksums,
    named,
    settings_digest,
    write,
)
from recsys.releases.partner.guarantees import as_nightly, check_finite, derived, tier_figures
from recsys.releases.partner.threshold import threshold
from recsys.settings import PartnerSettings, Settings
from recsys.weights import FULL, TOTALS
from recsys.workspace import digest, sweep


@dataclass(frozen=True)
class Period:
    """The nights of a partner file, from the first to the last.

    Parameters
    ----------
    first, last : date
    """

    first: date
    last: date

    @property
    def days(self) -> tuple[date, ...]:
        """All nights, in order."""
        return tuple(self.first + timedelta(days=day) for day in range((self.last - self.first).days + 1))

    def __str__(self) -> str:
        return f"{self.first}_{self.last}"


def release_partner_file(
    contributions: pl.LazyFrame,
    *,
    period: Period,
    catalogue: pl.DataFrame,
    atlas: Atlas,
    settings: Settings,
    ledger: Ledger,
    files: Path,
    now: datetime,
) -> Path:
    """Release a partner file: noisy counts of every place and track, of which only the safe ones are written.

    It goes the way of a night (:func:`recsys.releases.counts.release.release`): the true counts are bounded, the spend
    is in the ledger before noise is drawn for every pair of place and track, and a file that is there is returned as
    it is.

    Parameters
    ----------
    contributions : polars.LazyFrame
        Schema Contributions, of :func:`recsys.cells.contributions.bound_for_partner`.
    period : Period
    catalogue : polars.DataFrame
        Schema Catalogue: every track is counted.
    atlas : Atlas
    settings : Settings
    ledger : Ledger
    files : Path
        The folder of all partner files.
    now : datetime
        For the ledger.

    Returns
    -------
    Path
        ``FROM_TO`` below ``files``, with ``trends.parquet``, ``trends.csv``, ``release.json``, ``README.md`` and
        ``SHA256SUMS``.

    Raises
    ------
    InputError
        If the contributions have other columns, or an existing file is not in the ledger.
    SettingsError
        If the thresholds fail so often that no epsilon is guaranteed.
    PrivacyBudgetError
        If the period is shorter than ``partner.min_nights``, has a night in common with another file, was released
        already but is gone, or was begun with other settings; or if a listener adds more than the settings allow.
    """
    folder = files / str(period)
    if folder.exists():
        return _released_before(folder, period=period, ledger=ledger, now=now)
    _check_length(period, settings=settings.partner)
    privacy = as_nightly(settings.privacy, settings.partner)
    tiers = release.tiers(atlas, settings=privacy)
    order, tracks = release.drawing_order(tiers, atlas=atlas), catalogue["track_id"].to_list()
    true = release.true_counts(
        [contributions], night=period.last, tracks=tracks, tiers=order, atlas=atlas, settings=privacy
    )
    sweep(files)
    known = _known(period, tracks=tracks, tiers=tiers, atlas=atlas, settings=settings)
    figures = derived(known, settings.privacy, settings.partner)
    check_finite(figures["guarantees"], settings=settings)
    entry = ledger.commit(_spend(period, tiers=tiers, known=known, settings=settings), at=now)
    with ledger.drawing(entry, into=folder, seal=CHECKSUMS, at=now) as stage:
        found, weights = _published(true, order=order, tracks=tracks, atlas=atlas, settings=settings.partner)
        trends = named(found, catalogue=catalogue, atlas=atlas)
        facts = {**known, **figures, **_outcome(trends, entry=entry), "mean_weights": weights}
        write(stage, trends=trends, facts=facts)
    return folder


def confirm(files: Path, *, ledger: Ledger, now: datetime) -> None:
    """Finish and record in the ledger the files that a crash left undone, so that none of them can be drawn again."""
    ledger.finish_drawing(files, seal=CHECKSUMS)
    entries = [entry for entry in ledger.entries() if entry.spend.purpose == PURPOSE]
    paid = {str(Period(entry.spend.first, entry.spend.night)) for entry in entries}
    unknown = sorted(folder.name for folder in files.glob("[0-9]*_*") if folder.name not in paid)
    if unknown:
        raise PrivacyBudgetError(
            f"the partner file {unknown[0]} is not in the ledger: what it spent is unaccounted",
            hint="Restore the ledger that belongs to these files.",
        )
    for entry in entries:
        period = Period(entry.spend.first, entry.spend.night)
        if entry.release is None and (files / str(period)).exists():
            _released_before(files / str(period), period=period, ledger=ledger, now=now)


def _check_length(period: Period, *, settings: PartnerSettings) -> None:
    if len(period.days) < settings.min_nights:
        raise PrivacyBudgetError(
            f"the period {period.first} to {period.last} has {len(period.days)} nights, a partner file needs at least "
            f"{settings.min_nights} (partner.min_nights): shorter ones would be more a year than its bound allows",
            hint="Choose a longer period.",
        )


def _released_before(folder: Path, *, period: Period, ledger: Ledger, now: datetime) -> Path:
    """Return a file that is there, once it and the ledger confirm each other."""
    entry = ledger.find(period.last, purpose=PURPOSE)
    if entry is None or entry.spend.first != period.first:
        raise PrivacyBudgetError(
            f"the partner file of {period.first} to {period.last} is not in the ledger: what it spent is unaccounted",
            hint="Restore the ledger that belongs to this file.",
        )
    try:
        whole = checksums(folder) == (folder / CHECKSUMS).read_text(encoding="utf-8")
    except OSError:
        whole = False
    if not whole:
        raise InputError(f"{folder} is not the file that was released", hint="Restore the folder from a backup.")
    ledger.complete(entry.number, release=digest(folder / CHECKSUMS), at=now)  # a crash may have come before this line
    return folder


def _known(
    period: Period, *, tracks: Sequence[str], tiers: Sequence[Tier], atlas: Atlas, settings: Settings
) -> dict[str, Any]:
    """Return what is known of a file before anything is counted or drawn."""
    sections = settings.model_dump(mode="json", include={"atlas", "privacy", "partner"})
    return {
        "format": FORMAT,
        **STATED,
        "period": {"from": str(period.first), "to": str(period.last), "nights": len(period.days)},
        "atlas": {"version": atlas.version, "parts": len(atlas.parts), "parts_digest": digest_of(atlas.parts)},
        "catalogue": {"tracks": len(tracks), "digest": digest_of(tracks)},
        "settings": {**sections, "digest": settings_digest(sections)},
        "tiers": [_tier_facts(tier) for tier in tiers],
    }


def _tier_facts(tier: Tier) -> dict[str, Any]:
    """Describe a tier; its parts are those of the atlas, larger places are named."""
    places = [] if tier.name == "part" else list(tier.rows)
    return {"name": tier.name, "rows": len(tier.rows), "places": places, "sigma_squared": tier.sigma_squared}


def _spend(period: Period, *, tiers: Sequence[Tier], known: Mapping[str, Any], settings: Settings) -> Spend:
    figures = [tier_figures(tier.sigma_squared, partner=settings.partner) for tier in tiers]
    return Spend(
        night=period.last,
        purpose=PURPOSE,
        rho=settings.partner.rho,
        sensitivity_squared=float(settings.partner.most_per_file),
        tiers={tier.name: {"rho": tier.rho, "sigma_squared": tier.sigma_squared} for tier in tiers},
        rows=digest_of([row for tier in tiers for row in tier.rows]),
        parameters={
            "from": str(period.first),
            "atlas": known["atlas"]["version"],
            "tracks": known["catalogue"]["tracks"],
            "tracks_digest": known["catalogue"]["digest"],
            "settings": known["settings"]["digest"],
            "thresholds": {tier.name: figure["threshold"] for tier, figure in zip(tiers, figures, strict=True)},
            "threshold_failure": math.fsum(figure["threshold_failure"] for figure in figures),
        },
    )


def _published(
    true: pl.DataFrame, *, order: Sequence[Tier], tracks: Sequence[str], atlas: Atlas, settings: PartnerSettings
) -> tuple[list[tuple[str, str, int]], dict[str, float]]:
    """Draw the noise of every count; return the rows where both conditions are met, and the mean weights behind them.

    A row is a place, a track and rounded listeners.
    """
    row, track, listeners = (true[name].to_numpy() for name in ("row", "track", "listeners"))
    width, start = len(tracks) + len(TOTALS), 0
    real = row.astype(np.int64) * width + track
    enough = real[(listeners >= settings.min_listeners) & (track < len(tracks))]
    found: list[tuple[str, str, int]] = []
    totals: dict[str, Array] = {}
    variances: dict[str, Array] = {}
    for block in release.noisy_blocks(true, tiers=order, width=width):
        least = threshold(block.tier.sigma_squared, settings=settings) * FULL
        here = enough[slice(*np.searchsorted(enough, [start, start + block.noisy.size]))] - start
        above = here[block.noisy[here] >= least]
        found += [(block.places[at // width], tracks[at % width], int(block.noisy[at])) for at in above]
        totals |= dict(zip(block.places, block.totals * IN_UNITS, strict=True))
        variances |= dict.fromkeys(block.places, block.tier.sigma_squared * NOISE_OF_TOTALS)
        start += block.noisy.size
    mean = mean_weights(PlaceTotals(totals, variances), atlas=atlas)
    weights = {place: round(mean[atlas.place_of(place)].mean, 6) for place, _, _ in found}
    rows = [(place, name, _rounded(noisy / FULL / weights[place], settings)) for place, name, noisy in found]
    return rows, dict(sorted(weights.items()))


def _rounded(listeners: float, settings: PartnerSettings) -> int:
    return round(listeners / settings.rounding) * settings.rounding


def _outcome(trends: pl.DataFrame, *, entry: Entry) -> dict[str, Any]:
    return {
        "rows": trends.height,
        "ledger": {"number": entry.number, "committed_at": entry.at.isoformat()},
    }
