"""The nightly audit: clones of made-up listeners go the way of every listener, through bounds, counts and noise."""

from collections.abc import Sequence
from datetime import date, timedelta

import h3
import polars as pl

from recsys.cells.contributions import bound
from recsys.cells.earnings import BALANCES, buckets
from recsys.geography.atlas import Atlas
from recsys.geography.places import WORLD, Level, Place
from recsys.releases.verify.audit import RUNS, Canary, Finding, audit, clones_for
from recsys.schemas import CoarseListens
from recsys.settings import Settings

Play = dict[str, object]

_NIGHT = date(2000, 1, 1)  # of no consequence: nobody in this world has a past
_KEY = bytes(32)  # nobody in this world has a secret
_OTHERS = 30  # listeners who are there with and without the clones

# Two regions far apart. The first names come first in every tier, so that the clones lie in the same columns of each:
# were noise drawn for one tier used for another, the observer could take it away.
_HOME, _AWAY = "8539220ffffffff", "85393363fffffff"


def audit_release(settings: Settings, *, runs: int = RUNS) -> Finding:
    """Put clones through the code that a night runs, with the night's settings, in a world of two regions.

    Two canaries, with balances that are full, so that each spends what a night allows, as nearly as weights go: the
    *steady* one plays one track less at home than a night's most, each in full, the *greedy* one many more. Both play
    all that and more in a second region, too, so that a bound which does not hold shows.

    Parameters
    ----------
    settings : Settings
    runs : int
        Releases of each canary; half of them with the clones.

    Returns
    -------
    Finding
        Nothing may be published unless its :meth:`~recsys.releases.verify.audit.Finding.confirm` returns.

    Raises
    ------
    PrivacyBudgetError
        If the release refuses to count the clones, because they were not bounded.
    """
    privacy, most = settings.privacy, settings.privacy.most_per_night
    clones, tracks = clones_for(privacy.rho_per_night), [f"t{number:06d}" for number in range(3 * most)]
    others = _plays(_OTHERS, first=clones, tracks=tracks[:1])
    canaries = {
        "steady": _canaries(clones, home=tracks[: max(1, most - 1)], away=tracks[: 2 * most]),
        "greedy": _canaries(clones, home=tracks, away=tracks),
    }
    return audit(
        [
            Canary(name, *(_bounded(world, settings=settings) for world in (others, [*others, *plays])))
            for name, plays in canaries.items()
        ],
        clones=clones,
        rho=privacy.rho_per_night,
        night=_NIGHT,
        atlas=_atlas(settings),
        tracks=tracks,
        settings=privacy,
        runs=runs,
    )


def _canaries(clones: int, *, home: Sequence[str], away: Sequence[str]) -> list[Play]:
    """Let clones play some tracks at home and some elsewhere, most often at home."""
    return _plays(clones, tracks=home) * 5 + _plays(clones, tracks=away, cell=_AWAY) * 2


def _plays(listeners: int, *, tracks: Sequence[str], first: int = 0, cell: str = _HOME) -> list[Play]:
    """Let some listeners, numbered from ``first``, play each of some tracks once."""
    played = {"night": _NIGHT, "cell": h3.str_to_int(cell), "for_charts": True, "for_models": False}
    return [
        {"listener": f"{number:032x}", "track_id": track, **played}
        for number in range(first, first + listeners)
        for track in tracks
    ]


def _bounded(plays: Sequence[Play], *, settings: Settings) -> pl.LazyFrame:
    schema = {name: column.dtype for name, column in CoarseListens.columns().items()}
    coarse, privacy = pl.DataFrame(plays, schema=schema), settings.privacy
    full = {name: bucket.size for name, bucket in buckets(privacy).items()}
    names = coarse["listener"].unique()
    balances = pl.DataFrame({"listener": names, "night": _NIGHT - timedelta(days=1), **full}, schema=dict(BALANCES))
    found = bound(
        coarse.lazy(), night=_NIGHT, atlas=_atlas(settings), balances=balances, settings=settings.privacy, key=_KEY
    )
    return found.contributions.lazy()


def _atlas(settings: Settings) -> Atlas:
    """Return two regions in one country of a world that is released as a whole."""
    everywhere = settings.atlas.model_copy(update={"service_area": ("*",), "finest": "region", "finest_resolution": 5})
    places = [_place(WORLD, "world", None), _place("AA", "country", WORLD)]
    places += [_place(cell, "region", "AA") for cell in (_HOME, _AWAY)]
    return Atlas(everywhere, {place.id: place for place in places}, {}, "audit", pl.DataFrame())


def _place(name: str, level: Level, parent: str | None) -> Place:
    country = None if level == "world" else "AA"
    return Place(name, name, country, level, parent, latitude=0.0, longitude=0.0, population=1)
