"""A small atlas and the frames of a release, for tests: every number is known here."""

import re
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from recsys.consents.witness import Witness
from recsys.geography.atlas import Atlas
from recsys.geography.places import WORLD, Level, Place
from recsys.releases.budget.ledger import Ledger
from recsys.releases.counts import release
from recsys.releases.counts.candidates import Candidates
from recsys.releases.counts.release import Released
from recsys.schemas import Catalogue, Contributions
from recsys.settings import PrivacySettings, load_settings
from recsys.weights import FULL
from recsys.workspace import listener_of

NIGHT = date(2026, 10, 1)
NOW = datetime(2026, 10, 2, 3, tzinfo=UTC)
TRACKS = tuple(f"t{i:02d}" for i in range(20))
SIGMA_SQUARED = 10 / 0.03  # of a squared length of 10 and a budget of 0.015
PRIVACY: PrivacySettings = load_settings(
    overrides={"privacy": {"country_share": 0, "world_share": 0}}  # all of the budget for the parts: easily checked
).privacy
SHARED: PrivacySettings = load_settings(overrides={"privacy": {"country_share": 0.2, "world_share": 0.3}}).privacy

_REGIONS = {"AA": ("aa1", "aa2", "aa3"), "BB": ("bb1",), "CC": ()}


def small_atlas(*service_area: str, version: str = "small") -> Atlas:
    """Three countries: one with three regions, one with one, one with none."""
    settings = load_settings(overrides={"atlas": {"service_area": service_area or ("*",)}}).atlas
    places = [_place(WORLD, "world", None), *(_place(country, "country", WORLD) for country in _REGIONS)]
    places += [_place(region, "region", country) for country, regions in _REGIONS.items() for region in regions]
    return Atlas(
        settings=settings,
        places={place.id: place for place in places},
        country_cells={"84390cbffffffff": "AA"},
        version=version,
        cities=pl.DataFrame(),
    )


def contributed(
    rows: Iterable[tuple[str, str | None, str]], *, night: date = NIGHT, weight: int = FULL, partner: bool = False
) -> pl.LazyFrame:
    """Contributions of listeners, each by part and track; names that are no hashes are hashed."""
    schema = {name: column.dtype for name, column in Contributions.columns().items()}
    lines = [
        (hashed(listener), night, part, track, 1, weight, True, part if partner else None)
        for listener, part, track in rows
    ]
    return pl.LazyFrame(lines, schema=schema, orient="row")


def hashed(name: str) -> str:
    """Return the listener of a name; one that is a hash already as it is."""
    return name if re.fullmatch("[0-9a-f]{32}", name) else listener_of(name, key=bytes(32))


def released(
    contributions: pl.LazyFrame,
    folder: Path,
    *,
    night: date = NIGHT,
    candidates: Iterable[str] | Candidates = TRACKS,
    atlas: Atlas | None = None,
    settings: PrivacySettings = PRIVACY,
    witness: Witness | None = None,
) -> Path:
    """Release a night into a workspace's folder, every track being a candidate unless told otherwise."""
    return release.release(
        [contributions],
        night=night,
        candidates=candidates if isinstance(candidates, Candidates) else everywhere(candidates),
        atlas=atlas or small_atlas(),
        settings=settings,
        ledger=Ledger(folder / "ledger.db", witness=witness),
        releases=folder / "releases",
        now=NOW,
    )


def everywhere(some: Iterable[str], *, among: Iterable[str] = (), newcomers: float = 1.0) -> Candidates:
    """Candidates that are the same in every row, among tracks that need not be candidates."""
    tracks = tuple(sorted({*some, *among}))
    positions = np.searchsorted(tracks, sorted(set(some))).astype(np.int32)
    return Candidates(tracks, positions, {}, newcomers)


def window(
    sums: np.ndarray,
    *,
    atlas: Atlas,
    nights: int = 7,
    tracks: Iterable[str] | None = None,
    exposures: np.ndarray | None = None,
) -> Released:
    """A window of nights with given noisy sums by part and track; in ``exposures`` the nights on which each counted."""
    counted = np.full(sums.shape, nights) if exposures is None else np.broadcast_to(exposures, sums.shape)
    row, position = np.nonzero(counted)
    return Released(
        nights=tuple(date(2026, 10, 1) + timedelta(days=day) for day in range(nights)),
        atlas=atlas.version,
        rows=atlas.parts,
        tracks=tuple(tracks or (f"t{i:05d}" for i in range(sums.shape[1]))),
        tiers=dict.fromkeys(atlas.parts, "part"),
        starts=np.searchsorted(row, np.arange(len(atlas.parts) + 1)),
        positions=position.astype(np.int32),
        sums=sums[row, position].astype(np.int32),
        exposures=counted[row, position].astype(np.uint8),
        variances=(counted[row, position] * SIGMA_SQUARED).astype(np.float32),
        ledger_numbers=tuple(range(1, nights + 1)),
    )


def catalogue(tracks: Iterable[str] = TRACKS) -> pl.DataFrame:
    rows = [(track, f"Song {track}", f"a-{track}", f"Band {track}", None, None) for track in tracks]
    schema = {name: column.dtype for name, column in Catalogue.columns().items()}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _place(identity: str, level: Level, parent: str | None) -> Place:
    country = None if level == "world" else parent if level == "region" else identity
    return Place(identity, f"Náme {identity}", country, level, parent, 1.0, 2.0, 1000)
