"""Verification: every figure of a release recomputed from its files, and the files held against the ledger."""

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from jinja2 import TemplateError

from recsys.errors import InputError, PrivacyBudgetError
from recsys.geography.atlas import Atlas
from recsys.releases.budget.accounting import AGREEMENT
from recsys.releases.budget.ledger import Ledger
from recsys.releases.counts import release
from recsys.releases.counts.release_reader import digest_of
from recsys.releases.partner import files, guarantees
from recsys.schemas import READ_FAILURES, PartnerTrends, at_border
from recsys.settings import PartnerSettings, PrivacySettings
from recsys.workspace import MANIFEST, digest, read_manifest

_CLOSE = 1e-9  # relative: figures are recomputed by the same code, perhaps on another machine

Facts = Mapping[str, Any]


@dataclass(frozen=True)
class Check:
    """One thing that was recomputed.

    Parameters
    ----------
    what : str
        What it is, in words.
    holds : bool
    found, expected : str
        What the files say, and what was recomputed.
    privacy : bool
        Whether it is a figure of the guarantee, or only says that a file is whole.
    """

    what: str
    holds: bool
    found: str
    expected: str
    privacy: bool


def verify_partner(folder: Path, *, ledger: Ledger | None, atlas: Atlas | None) -> list[Check]:
    """Recompute a partner file.

    Parameters
    ----------
    folder : Path
        With the files that :func:`recsys.releases.partner.partner_release.release_partner_file` wrote.
    ledger : Ledger, optional
        Where the workspace is at hand: was this paid for, as it is?
    atlas : Atlas, optional
        Of the settings that the file names: does it cover the places it should?

    Raises
    ------
    InputError
        If ``release.json`` or the rows cannot be read at all.
    """
    try:
        return list(_checks(folder, ledger=ledger, atlas=atlas))
    except (*READ_FAILURES, ValueError, LookupError, TypeError):
        raise InputError(
            f"{folder} is no partner file that can be read: a figure is missing, or not of its kind",
            hint="Name a folder that `hearabouts partner` wrote, or restore it from a backup.",
        ) from None


def verify_night(folder: Path, *, ledger: Ledger) -> list[Check]:
    """Recompute what can be of a night's release: its files, its budget, and its line in the ledger.

    Raises
    ------
    InputError
        If a file is damaged.
    """
    try:
        return _night_checks(folder, ledger=ledger)
    except (ValueError, LookupError, TypeError):
        raise InputError(
            f"{folder} is no release of a night: its manifest lacks a figure, or one is not of its kind",
            hint="Name a folder under releases/, or one that `hearabouts partner` wrote.",
        ) from None


def _night_checks(folder: Path, *, ledger: Ledger) -> list[Check]:
    facts = read_manifest(folder)
    bound = "most_per_night" if "most_per_night" in facts else "max_tracks"  # as it was before weights were earned
    spent = math.fsum(facts[bound] / (2 * tier["sigma_squared"]) for tier in facts["tiers"])
    tiers = [
        _close(f"rho of {tier['name']}", tier["rho"], facts[bound] / (2 * tier["sigma_squared"]))
        for tier in facts["tiers"]
    ]
    entry = ledger.find(date.fromisoformat(facts["night"]), purpose=release.PURPOSE)
    paid = {
        "ledger": None if entry is None else entry.number,
        "rho": None if entry is None else entry.spend.rho,
        bound: None if entry is None else entry.spend.sensitivity_squared,
        "rows_digest": None if entry is None else entry.spend.rows,
    }
    lines = [
        _equal("entry number" if key == "ledger" else f"{key} in the ledger", facts[key], value)
        for key, value in paid.items()
    ]
    paid_for = None if entry is None else entry.release
    return [
        *tiers,
        _close("rho of the night", facts["rho"], spent),
        *lines,
        _equal("the release that was paid for", digest(folder / MANIFEST), paid_for),
    ]


def confirm(checks: Iterable[Check]) -> None:
    """Return if all checks hold.

    Raises
    ------
    PrivacyBudgetError
        If a privacy figure does not; the message lists all that differs.
    InputError
        If only files differ.
    """
    broken = [check for check in checks if not check.holds]
    if not broken:
        return
    listed = "; ".join(f"{check.what}: found {check.found}, expected {check.expected}" for check in broken)
    family = PrivacyBudgetError if any(check.privacy for check in broken) else InputError
    raise family(
        f"{len(broken)} things do not hold: {listed}",
        hint="Do not pass this folder on; restore it from a backup.",
    )


def _checks(folder: Path, *, ledger: Ledger | None, atlas: Atlas | None) -> Iterator[Check]:
    facts = files.read_facts(folder)
    if facts.get("format") != files.FORMAT:
        raise InputError(
            f"{folder} is of format {_shown(facts.get('format'))[:40]!r}, expected {files.FORMAT!r}",
            hint="Verify it with the version that made it.",
        )
    trends = at_border(pl.read_parquet(folder / files.PARQUET), PartnerTrends)
    yield from _files(folder, facts=facts, trends=trends)
    yield from _figures(facts)
    yield from _rows(trends, facts=facts)
    if ledger is not None:
        yield from _in_ledger(folder, facts=facts, ledger=ledger)
    if atlas is not None:
        yield from _geography(facts, trends=trends, atlas=atlas)


def _files(folder: Path, *, facts: Facts, trends: pl.DataFrame) -> Iterator[Check]:
    """Check that all files are there, as they were, and say the same."""
    lines = [line.partition("  ") for line in _text(folder / files.CHECKSUMS).splitlines()]
    listed = {name: checksum for checksum, _, name in lines}
    names = sorted(path.name for path in folder.iterdir())
    yield _equal("files", ", ".join(names), ", ".join(sorted([*files.FILES, files.CHECKSUMS])), privacy=False)
    for name in files.FILES:
        path = folder / name
        found = digest(path) if path.is_file() else "no file"
        yield _equal(f"checksum of {name}", found[:16], listed.get(name, "none")[:16], privacy=False)
    same = _text(folder / files.CSV).encode() == files.trends_csv(trends)
    yield _true(f"{files.CSV} has the rows of {files.PARQUET}", same, privacy=False)
    yield _true(f"{files.README} follows from {files.RELEASE}", _text(folder / files.README) == _readme(facts))


def _figures(facts: Facts) -> Iterator[Check]:
    """Recompute every figure of ``release.json`` from the noise and the settings that it names."""
    for key, text in {"format": files.FORMAT, **files.STATED}.items():
        yield _equal(key, facts.get(key), text)
    sections = {key: value for key, value in facts["settings"].items() if key != "digest"}
    yield _equal("digest of the settings", facts["settings"]["digest"], files.settings_digest(sections))
    privacy, bounds = PrivacySettings(**sections["privacy"]), PartnerSettings(**sections["partner"])
    bare = {"tiers": [{key: tier[key] for key in ("name", "sigma_squared")} for tier in facts["tiers"]]}
    figures = _flat(guarantees.derived(bare, privacy, bounds))
    found = _flat({key: facts[key] for key in ("tiers", "rho", "guarantees")})
    given = {name for name in found.keys() - figures.keys() if ".places." in name or name.endswith(".rows")}
    for name in sorted((found.keys() | figures.keys()) - given):
        yield _close(name, found.get(name), figures.get(name))
    yield _close("rho of the file, by its settings", facts["rho"], bounds.rho)
    for name, stated in facts["guarantees"].items():
        both = (stated["epsilon_opendp"], stated["epsilon_dp_accounting"])
        apart = abs(both[0] - both[1]) <= AGREEMENT * max(both)
        yield _true(f"guarantees.{name}: the accountants agree within {AGREEMENT:.0%}", apart)
    first, last = (date.fromisoformat(facts["period"][key]) for key in ("from", "to"))
    yield _equal("nights", facts["period"]["nights"], (last - first).days + 1)
    yield _true("nights, at least partner.min_nights", facts["period"]["nights"] >= bounds.min_nights)


def _rows(trends: pl.DataFrame, *, facts: Facts) -> Iterator[Check]:
    """Check that every row may be there: its threshold, its rounding, its place once for a track."""
    tier_of = {place: tier["threshold"] for tier in facts["tiers"] for place in tier["places"]}
    others = {tier["name"]: tier["threshold"] for tier in facts["tiers"]}["part"]
    least = trends["place"].replace_strict(tier_of, default=others, return_dtype=pl.Int64)
    rounding = facts["settings"]["partner"]["rounding"]
    mean = trends["place"].replace_strict(facts["mean_weights"], default=0.0, return_dtype=pl.Float64)
    counted = (trends["listeners"] + rounding / 2) * mean  # the most that can stand behind a rounded row
    yield _equal("rows", facts["rows"], trends.height)
    yield _equal("rows under their threshold", int((counted < least).sum()), 0)
    yield _equal(f"rows that are no multiple of {rounding}", int((trends["listeners"] % rounding != 0).sum()), 0)
    repeated = trends.select("place", "track_id").is_duplicated().any()
    yield _true("no place has a track twice", not repeated)


def _in_ledger(folder: Path, *, facts: Facts, ledger: Ledger) -> Iterator[Check]:
    """Check that the ledger has this file's spend, with its bounds and noise, and that it paid for these bytes."""
    entry = ledger.find(date.fromisoformat(facts["period"]["to"]), purpose=files.PURPOSE)
    if entry is None:
        yield _true("the ledger has this period", holds=False)
        return
    spend, parameters = entry.spend, entry.spend.parameters
    tiers = {tier["name"]: {"rho": tier["rho"], "sigma_squared": tier["sigma_squared"]} for tier in facts["tiers"]}
    for what, found, expected in (
        ("number", facts["ledger"]["number"], entry.number),
        ("commitment", facts["ledger"]["committed_at"], entry.at.isoformat()),
        ("first night", facts["period"]["from"], str(spend.first)),
        ("sensitivity", facts["settings"]["partner"]["most_per_file"], spend.sensitivity_squared),
        ("settings", facts["settings"]["digest"], parameters["settings"]),
        ("atlas", facts["atlas"]["version"], parameters["atlas"]),
        ("catalogue", facts["catalogue"]["digest"], parameters["tracks_digest"]),
        ("tracks", facts["catalogue"]["tracks"], parameters["tracks"]),
        ("thresholds", {tier["name"]: tier["threshold"] for tier in facts["tiers"]}, parameters["thresholds"]),
        ("release", digest(folder / files.CHECKSUMS)[:16], str(entry.release)[:16]),
    ):
        yield _equal(f"ledger: {what}", found, expected)
    for name, found in _flat({"rho": facts["rho"], "tiers": tiers}).items():
        expected = _flat({"rho": spend.rho, "tiers": spend.tiers}).get(name)
        yield _close(f"ledger: {name}", found, expected)


def _geography(facts: Facts, *, trends: pl.DataFrame, atlas: Atlas) -> Iterator[Check]:
    """Check that the file covers what its atlas has, and its rows nothing else, with the noise of the settings."""
    yield _equal("atlas", facts["atlas"]["version"], atlas.version)
    yield _equal("parts of the atlas", facts["atlas"]["parts_digest"], digest_of(atlas.parts))
    yield _equal("number of parts", facts["atlas"]["parts"], len(atlas.parts))
    sections = facts["settings"]
    privacy = guarantees.as_nightly(PrivacySettings(**sections["privacy"]), PartnerSettings(**sections["partner"]))
    tiers = release.tiers(atlas, settings=privacy)
    found = {tier["name"]: tier for tier in facts["tiers"]}
    yield _equal("tiers", sorted(found), sorted(tier.name for tier in tiers))
    for tier in tiers:
        stated = found.get(tier.name, {})
        yield _equal(f"places of {tier.name}", stated.get("places"), [] if tier.name == "part" else list(tier.rows))
        yield _equal(f"rows of {tier.name}", stated.get("rows"), len(tier.rows))
        yield _close(f"noise of {tier.name}, by the settings", stated.get("sigma_squared"), tier.sigma_squared)
    elsewhere = set(trends["place"]) - {row for tier in tiers for row in tier.rows}
    yield _equal("places of rows that are in no tier", len(elsewhere), 0)


def _readme(facts: Facts) -> str:
    try:
        return files.readme(facts)
    except (LookupError, TypeError, ValueError, TemplateError):
        return ""


def _text(path: Path) -> str:
    return path.read_bytes().decode(errors="replace") if path.is_file() else ""


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings and lists by their dotted names; a tier goes by its own name."""
    if isinstance(value, Mapping):
        inner = value.items()
    elif isinstance(value, list):
        inner = {item["name"] if isinstance(item, Mapping) else i: item for i, item in enumerate(value)}.items()
    else:
        return {name: value}
    return {leaf: found for key, item in inner for leaf, found in _flat(item, f"{name}.{key}".strip(".")).items()}


def _close(what: str, found: Any, expected: Any) -> Check:
    """Compare figures: whole numbers and texts exactly, others but for rounding."""
    numbers = all(isinstance(value, (int, float)) for value in (found, expected))
    holds = math.isclose(found, expected, rel_tol=_CLOSE) if numbers else found == expected
    return Check(what, holds, _shown(found), _shown(expected), privacy=True)


def _equal(what: str, found: Any, expected: Any, *, privacy: bool = True) -> Check:
    return Check(what, found == expected, _shown(found), _shown(expected), privacy)


def _true(what: str, holds: bool, *, privacy: bool = True) -> Check:
    return Check(what, holds, "yes" if holds else "no", "yes", privacy)


def _shown(value: Any) -> str:
    return f"{value:.10g}" if isinstance(value, float) else str(value)
