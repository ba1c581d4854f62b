"""Small partner files, for tests: hardly any noise, so that what is published is known."""

from datetime import timedelta
from pathlib import Path

from support.releasing import NIGHT, NOW, catalogue, contributed, small_atlas

from recsys.cells.contributions import bound_for_partner
from recsys.geography.atlas import Atlas
from recsys.releases.budget.ledger import Ledger
from recsys.releases.partner.partner_release import Period, release_partner_file
from recsys.settings import Settings, load_settings

DAY = timedelta(days=1)
PERIOD = Period(NIGHT, NIGHT + DAY)
KEY = bytes(32)
LOUD = {"rho": 10.0, "min_nights": 2, "most_per_file": 3, "max_tracks": 3}
ROWS = [(f"{i:032x}", "aa1" if i < 1_800 else "aa2", track) for i in range(3_000) for track in ("t00", "t01")]


def settings(**changes: object) -> Settings:
    return load_settings(overrides={"partner": {**LOUD, **changes}})


def made(
    folder: Path,
    rows: list[tuple[str, str, str]] = ROWS,
    *,
    period: Period = PERIOD,
    with_settings: Settings | None = None,
    atlas: Atlas | None = None,
) -> Path:
    """Make the partner file of rows that were all played in the period's last night."""
    some = with_settings or settings()
    nightly = contributed(rows, night=period.last, partner=True)
    return release_partner_file(
        bound_for_partner(nightly, night=period.last, settings=some.partner, key=KEY).lazy(),
        period=period,
        catalogue=catalogue(),
        atlas=atlas or small_atlas(),
        settings=some,
        ledger=Ledger(folder / "ledger.db"),
        files=folder / "partner",
        now=NOW,
    )
