"""The partner file: about how many consenting listeners of a place played a track in some weeks."""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recsys.errors import InputError, PrivacyBudgetError, SettingsError
from recsys.geography.atlas import REMAINDER, Atlas
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
from recsys.releases.budget.ledger import Entry, Ledger, Spend
from recsys.releases.counts import release
from recsys.releases.counts.release import Tier
from recsys.releases.counts.release_reader import digest_of
from recsys.schemas import PartnerTrends, at_border
from recsys.settings import PartnerSettings, PrivacySettings, Settings
from recsys.workspace import digest, staged, sweep

PURPOSE = "partner"
PARQUET, CSV, RELEASE, README, CHECKSUMS = "trends.parquet", "trends.csv", "release.json", "README.md", "SHA256SUMS"
FORMAT = 1  # of release.json
FILES = (README, RELEASE, CSV, PARQUET)  # in the order of the checksums

STATED: Mapping[str, str] = {
    "purpose": PURPOSE,
    "unit_of_privacy": "one listener, with everything that listener played in the period",
    "neighbouring_relation": "add or remove one listener",
    "consent": "partner_statistics, given when a track was played and not withdrawn since, also not by a signal",
    "mechanism": (
        "distinct listeners by place and track, each listener at one home and for a few tracks only; discrete Gaussian "
        "noise on every pair of place and track; rows under the threshold, or with fewer than the smallest number of "
        "real listeners, left out; what is left rounded"
    ),
}

_WIDE = 40  # standard deviations: what the tail of a discrete Gaussian has beyond them is below 2^-1000


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


def release(
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

    It goes the way of a night (:func:`recsys.releases.counts.release.release`): the true counts are bounded, the spend is in
    the ledger before noise is drawn for every pair of place and track, and a file that is there is returned as it is.

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
        contributions, night=period.last, tracks=tracks, tiers=order, atlas=atlas, settings=privacy
    )
    sweep(files)
    known = _known(period, tracks=tracks, tiers=tiers, atlas=atlas, settings=settings)
    figures = derived(known, settings.privacy, settings.partner)
    _check_finite(figures["guarantees"], settings=settings)
    entry = ledger.commit(_spend(period, tiers=tiers, known=known, settings=settings), at=now)
    with staged(folder) as stage:
        found = _published(true, order=order, tracks=tracks, settings=settings.partner)
        trends = _named(found, catalogue=catalogue, atlas=atlas)
        facts = {**known, **figures, **_outcome(trends, entry=entry)}
        _write(stage, trends=trends, facts=facts)
    ledger.complete(entry.number, release=digest(folder / CHECKSUMS), at=now)
    return folder


def confirm(files: Path, *, ledger: Ledger, now: datetime) -> None:
    """Record in the ledger the files that a crash left unrecorded, so that none of them can be drawn again."""
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


def as_nightly(privacy: PrivacySettings, partner: PartnerSettings) -> PrivacySettings:
    """Return the privacy settings under which a partner file is one release like a night's."""
    return privacy.model_copy(update={"rho_per_night": partner.rho, "max_tracks": partner.max_tracks})


def threshold(sigma_squared: float, *, settings: PartnerSettings) -> int:
    """Return the smallest noisy count that may be published, a multiple of ``rounding``.

    A row is published where its noisy count reaches the threshold T *and* at least m = ``min_listeners`` real listeners
    stand behind it. The second condition looks at the true count, so it is no post-processing; this is what it costs.
    Take two inputs D and D', the latter with one listener more, who adds 1 to k cells. A cell that the listener does
    not touch has the same true count in both: that it is shown or not by that count is a fixed rule for the pair, which
    costs nothing. A touched cell with n in D and n + 1 in D' falls under the same rule, where n >= m (both may show it)
    or n + 1 < m (neither may). There remain those with n = m - 1: D never shows them, D' shows one if m + noise >= T.
    Call that event A; it has probability a <= k P(noise >= T - m). Leave these cells out on both sides: what is left,
    M, is post-processing of the noisy counts, hence (e, d)-DP, and the noise of A is not in it. The real outputs are
    M(D), and M(D') unless A happens. For every set S of outputs

        P[out(D') in S] <= P[M(D') in S] + a <= exp(e) P[out(D) in S] + d + a
        P[out(D)  in S] <= exp(e) P[M(D') in S] + d <= exp(e) P[out(D') in S] / (1 - a) + d

    because out(D') is in S whenever M(D') is and A does not happen, two independent things. So the file is
    (e - ln(1 - a), d + a)-DP, and the a of several files add up. T - m is what decides: m itself would be one too many,
    which is the error of opendp's issue 2922. ``threshold_delta`` bounds P(noise >= T - m).

    Parameters
    ----------
    sigma_squared : float
        Of the discrete Gaussian noise.
    settings : PartnerSettings

    References
    ----------
    The two steps are those of stability-based histograms: A. Korolova, K. Kenthapadi, N. Mishra, A. Ntoulas,
    "Releasing Search Queries and Clicks Privately" (WWW 2009).
    """
    tails = _tails(sigma_squared)
    margin = int(np.searchsorted(-tails, -settings.threshold_delta))
    return -(-(settings.min_listeners + margin) // settings.rounding) * settings.rounding


def failure(sigma_squared: float, *, settings: PartnerSettings) -> float:
    """Return P(noise >= threshold - min_listeners): how likely one listener more lets a row appear."""
    tails = _tails(sigma_squared)
    margin = threshold(sigma_squared, settings=settings) - settings.min_listeners
    return float(tails[margin]) if margin < len(tails) else 0.0


@lru_cache(maxsize=8)
def _tails(sigma_squared: float) -> np.ndarray:
    """Return P(X >= x) of the discrete Gaussian for x = 0, 1, ...; summed from the far end, where terms are small."""
    if not 0.01 <= sigma_squared <= 1e9:
        raise ValueError(f"sigma_squared is {sigma_squared}, expected between 0.01 and 1e9")
    x = np.arange(math.ceil(_WIDE * math.sqrt(sigma_squared)) + 1)
    weights = np.exp(-(x**2) / (2 * sigma_squared))
    upper = np.cumsum(weights[::-1])[::-1]
    return np.asarray(upper / (2 * upper[0] - weights[0]))


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
    tiers = [{**tier, **_tier_figures(float(tier["sigma_squared"]), partner=partner)} for tier in known["tiers"]]
    exposure = exposure_of(tiers)
    return {"tiers": tiers, "rho": exposure.rho, "guarantees": _guarantees(exposure, privacy=privacy, partner=partner)}


def exposure_of(tiers: Iterable[Mapping[str, Any]]) -> Exposure:
    """Return what one listener can change in a file, by the tiers of its ``release.json``."""
    counted = [
        Exposure(((tier["sigma_squared"], tier["sensitivity_squared"]),), tier["threshold_failure"]) for tier in tiers
    ]
    return together(counted)


def trends_csv(trends: pl.DataFrame) -> bytes:
    """Write the rows as CSV (RFC 4180, UTF-8, a header), the same bytes for the same rows.

    A text that a spreadsheet would take for a formula gets an apostrophe before it.
    """
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\r\n")
    writer.writerow(trends.columns)
    writer.writerows([_harmless(value) for value in row] for row in trends.iter_rows())
    return text.getvalue().encode()


def readme(facts: Mapping[str, Any]) -> str:
    """Return the README of a partner file, in plain words, from its ``release.json`` alone."""
    from_, to, bounds = facts["period"]["from"], facts["period"]["to"], facts["settings"]["partner"]
    one, month, year = (facts["guarantees"][name] for name in ("file", *(NAMES[nights] for nights in (MONTH, YEAR))))
    month_both, year_both = (facts["guarantees"][f"{NAMES[nights]}_with_charts"] for nights in (MONTH, YEAR))
    thresholds = "\n".join(f"| {_KINDS[tier['name']]} | {tier['threshold']} |" for tier in facts["tiers"])
    return _README.format(
        from_=from_,
        to=to,
        nights=facts["period"]["nights"],
        rows=facts["rows"],
        thresholds=thresholds,
        delta=one["delta"],
        file=one["epsilon"],
        month=month["epsilon"],
        year=year["epsilon"],
        month_both=month_both["epsilon"],
        year_both=year_both["epsilon"],
        odds=math.exp(one["epsilon"]),
        number=facts["ledger"]["number"],
        atlas=facts["atlas"]["version"],
        tracks=facts["catalogue"]["tracks"],
        **{key: bounds[key] for key in ("min_listeners", "max_tracks", "rounding", "min_nights")},
    )


def read_facts(folder: Path) -> dict[str, Any]:
    """Return what ``release.json`` of a partner file says, unchecked."""
    facts: dict[str, Any] = json.loads((folder / RELEASE).read_text(encoding="utf-8"))
    return facts


def checksums(folder: Path) -> str:
    """Return the content of ``SHA256SUMS`` for the files of a folder, as ``sha256sum -c`` reads it."""
    return "".join(f"{digest(folder / name)}  {name}\n" for name in FILES)


def settings_digest(sections: Mapping[str, Any]) -> str:
    """Return the SHA-256 of the settings that decide a partner file, in the form that ``release.json`` holds them."""
    return hashlib.sha256(json.dumps(sections, sort_keys=True).encode()).hexdigest()


def _check_length(period: Period, *, settings: PartnerSettings) -> None:
    if len(period.days) < settings.min_nights:
        raise PrivacyBudgetError(
            f"the period {period.first} to {period.last} has {len(period.days)} nights, a partner file needs at least "
            f"{settings.min_nights} (partner.min_nights): shorter ones would be more a year than its bound allows",
            hint="Choose a longer period.",
        )


def _check_finite(guarantees: Mapping[str, Mapping[str, float]], *, settings: Settings) -> None:
    """Refuse to spend anything under settings whose thresholds fail so often that nothing is guaranteed."""
    endless = [over for over, stated in guarantees.items() if not math.isfinite(stated["epsilon"])]
    if endless:
        raise SettingsError(
            f"partner.threshold_delta = {settings.partner.threshold_delta:g} leaves no guarantee for: "
            f"{', '.join(endless)}; times all rows of a listener it must stay below "
            f"privacy.delta = {settings.privacy.delta:g}",
            hint="Choose a smaller partner.threshold_delta.",
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


def _tier_figures(sigma_squared: float, *, partner: PartnerSettings) -> dict[str, Any]:
    least = threshold(sigma_squared, settings=partner)
    return {
        "sensitivity_squared": partner.max_tracks,
        "rho": partner.max_tracks / (2 * sigma_squared),
        "threshold": least,
        "margin": least - partner.min_listeners,
        "threshold_failure": partner.max_tracks * failure(sigma_squared, settings=partner),
    }


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


def _spend(period: Period, *, tiers: Sequence[Tier], known: Mapping[str, Any], settings: Settings) -> Spend:
    figures = [_tier_figures(tier.sigma_squared, partner=settings.partner) for tier in tiers]
    return Spend(
        night=period.last,
        purpose=PURPOSE,
        rho=settings.partner.rho,
        sensitivity_squared=float(settings.partner.max_tracks),
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
    true: pl.DataFrame, *, order: Sequence[Tier], tracks: Sequence[str], settings: PartnerSettings
) -> Iterator[tuple[str, str, int]]:
    """Draw the noise of every cell, and yield place, track and rounded count where both conditions are met."""
    row, track, listeners = (true[name].to_numpy() for name in ("row", "track", "listeners"))
    real, start, width = row.astype(np.int64) * len(tracks) + track, 0, len(tracks)
    enough = real[listeners >= settings.min_listeners]
    for block in release.noisy_blocks(true, tiers=order, width=width):
        least = threshold(block.tier.sigma_squared, settings=settings)
        here = enough[slice(*np.searchsorted(enough, [start, start + block.noisy.size]))] - start
        for cell in here[block.noisy[here] >= least]:
            rounded = round(int(block.noisy[cell]) / settings.rounding) * settings.rounding
            yield block.places[cell // width], tracks[cell % width], rounded
        start += block.noisy.size


def _named(found: Iterable[tuple[str, str, int]], *, catalogue: pl.DataFrame, atlas: Atlas) -> pl.DataFrame:
    """Put names to places and tracks, and the rows in order: the world, countries, what is in them; most first."""
    schema = {"place": pl.String, "track_id": pl.String, "listeners": pl.Int32}
    rows = pl.DataFrame(list(found), schema=schema, orient="row")
    places = [(place, *_place(place, atlas=atlas)) for place in rows["place"].unique()]
    names = {"place": pl.String, "name": pl.String, "country": pl.String, "level": pl.String, "depth": pl.Int8}
    named = rows.join(pl.DataFrame(places, schema=names, orient="row"), on="place").join(catalogue, on="track_id")
    ordered = named.sort("depth", "country", "place", "listeners", "track_id", descending=[False] * 3 + [True, False])
    return at_border(ordered.select(PartnerTrends.column_names()), PartnerTrends)


def _place(place: str, *, atlas: Atlas) -> tuple[str, str | None, str, int]:
    """Return name, country, level and depth; a remainder is what of a country lies in none of its regions."""
    known = atlas.places[atlas.place_of(place)]
    if place.endswith(REMAINDER):
        return f"{known.name}, outside its regions", known.country, "remainder", 3
    return known.name, known.country, known.level, ("world", "country", "region").index(known.level)


def _outcome(trends: pl.DataFrame, *, entry: Entry) -> dict[str, Any]:
    return {
        "rows": trends.height,
        "ledger": {"number": entry.number, "committed_at": entry.at.isoformat()},
    }


def _write(stage: Path, *, trends: pl.DataFrame, facts: Mapping[str, Any]) -> None:
    trends.write_parquet(stage / PARQUET)
    (stage / CSV).write_bytes(trends_csv(trends))
    (stage / RELEASE).write_text(
        json.dumps(facts, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8"
    )
    (stage / README).write_text(readme(facts), encoding="utf-8")
    (stage / CHECKSUMS).write_text(checksums(stage), encoding="utf-8")


def _harmless(value: object) -> object:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


_KINDS = {"part": "region, or the rest of a country", "country": "country", "world": "the world"}

_README = """\
# What was played where, {from_} to {to}

`trends.csv` and `trends.parquet` hold the same {rows} rows: a place, a track, and about how many listeners played it
there in these {nights} nights (UTC days). Places are the world, countries, and fixed regions around large cities.

| column | meaning |
| --- | --- |
| `place`, `name`, `country`, `level` | the place: its id, its name, its country's name, and what kind of place it is |
| `track_id`, `title`, `artist` | the track |
| `listeners` | distinct listeners, to the nearest {rounding} |

## How to read the numbers

- They count only listeners who allowed partner statistics, when they played the track and still when this file was
  made; whoever has not said yes, or has sent an opt-out signal, is not in it. They are no market shares.
- A listener counts in one region (and its country, and the world), for {max_tracks} tracks at most: compare rows with
  each other, not with the size of an audience.
- Random noise was added to every number. A row is there only if at least {min_listeners} real listeners stand behind it
  and its noisy number reached the threshold of its kind of place. A track without a row may have been played, too.
- Countries and the world are counted by themselves, with noise of their own: they are not sums of the rows.

| kind of place | least noisy number |
| --- | --- |
{thresholds}

## What a listener risks by being in it

The file is differentially private. The unit of privacy is one listener, with everything played in the period: whatever
anybody knows otherwise, the file changes the odds of any guess about one listener at most {odds:.1f}-fold (epsilon
{file:.2f}), but for a probability of {delta:g}.

No two files share a night, and each has at least {min_nights} nights, so that epsilon is bounded over time:

| what a listener can be in | over any 28 nights | over a year |
| --- | --- | --- |
| partner files | {month:.2f} | {year:.2f} |
| partner files and the public charts | {month_both:.2f} | {year_both:.2f} |

Two independent accountants computed these; the larger is shown.

## How to check it

`sha256sum -c SHA256SUMS` tells whether the files are as they were made. `release.json` has every parameter; this page
was written from it alone, and `hearabouts privacy verify FOLDER` recomputes all of it. The spend is entry {number} of
the ledger; the places are those of atlas {atlas}, the catalogue had {tracks} tracks.
"""
