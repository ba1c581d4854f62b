"""The export of one listener's records from the private store, for the endpoint, which knows no frames itself."""

from collections.abc import Iterator
from datetime import date
from itertools import chain
from math import isnan
from typing import TYPE_CHECKING, Any

from recsys.consents.log import Purpose
from recsys.errors import InputError, NotReadyError, SettingsError
from recsys.serving.state.export import ListenerRecords, Record
from recsys.settings import Settings
from recsys.workspace import Workspace

if TYPE_CHECKING:
    from recsys.cells.store import Store
    from recsys.sealed_files import SealedFiles


def records_in(workspace: Workspace, *, settings: Settings) -> ListenerRecords:
    """Return what reads a listener's records from the store of a workspace.

    The frame library is loaded by the first one who asks, not by every server at its start.
    """

    def records(listener: str) -> Iterator[Record]:
        from recsys.cells.store import Store

        store = Store(workspace.private, settings.store)
        return chain(
            _records(store, listener),
            _affinities(store.sealed, listener),
            _evaluations(store.sealed, listener),
        )

    return records


def _records(store: "Store", listener: str) -> Iterator[Record]:
    try:
        for rows in store.rows_of(listener):
            yield from map(_record, rows.iter_rows(named=True))
    except _UNREADABLE:
        raise NotReadyError("the private store cannot be read") from None  # why is the operator's: it names files


_UNREADABLE = (OSError, InputError, SettingsError)


def _affinities(files: "SealedFiles", listener: str) -> Iterator[Record]:
    """Yield the tracks that are held to be close to the listener, the closest first; then what counts for friends."""
    from recsys.artifacts.affinities import open_affinities

    try:
        affinities = open_affinities(files)
    except NotReadyError:  # there are none, or none that the endpoint would use
        return
    for of in filter(None, (affinities, affinities.challenger)):
        stored_for, other = (Purpose.PERSONALISATION,), of is not affinities
        for track, closeness, played in of.told(listener):
            night = date.fromisoformat(of.night)
            yield Record(
                "taste", night, None, track, None, stored_for, closeness=closeness, played=played, challenger=other
            )
    country, tracks = affinities.recent.told(listener) or ("", [])
    for track in tracks:
        night, for_both = date.fromisoformat(affinities.recent.night), (Purpose.CONTACTS, Purpose.CONTRIBUTE_TRENDS)
        yield Record("recent", night, country, track, None, for_both)


def _evaluations(files: "SealedFiles", listener: str) -> Iterator[Record]:
    """Yield how well each model ranked for the listener in the runs that are kept."""
    from recsys.cells import evaluations

    try:
        for night, rows in evaluations.rows_of(files, listener):
            yield from (_evaluation(night, row) for row in rows.iter_rows(named=True))
    except _UNREADABLE:
        raise NotReadyError("the private store cannot be read") from None  # why is the operator's: it names files


def _evaluation(night: date, row: dict[str, Any]) -> Record:
    figures = {name: value for name, value in row.items() if isinstance(value, float) and not isnan(value)}
    figures |= {f"draw_{number}": value for number, value in enumerate(row["draws"], 1) if not isnan(value)}
    place, stored_for = _place(row["part"]), (Purpose.PERSONALISATION,)
    return Record("evaluation", night, place, None, None, stored_for, history=row["history"], ndcg=figures)


def _record(row: dict[str, Any]) -> Record:
    from recsys.weights import SQUARE

    if "track_id" not in row:
        earned = {nights: row[name] / SQUARE for nights, name in ((28, "of_28"), (365, "of_365"))}
        return Record("balance", row["night"], None, None, None, (Purpose.CONTRIBUTE_TRENDS,), earned=earned)
    uses = {
        Purpose.CONTRIBUTE_TRENDS: row.get("weight", row.get("counted", 0)) > 0,
        Purpose.PERSONALISATION: row["trained"],
        Purpose.PARTNER_STATISTICS: row.get("partner_part") is not None,
    }
    place = _place(row["part"] or row.get("partner_part"))
    stored_for = tuple(purpose for purpose, stored in uses.items() if stored)
    return Record("contribution", row["night"], place, row["track_id"], row["plays"], stored_for)


def _place(part: str | None) -> str | None:
    from recsys.geography.atlas import REMAINDER

    return part.removesuffix(REMAINDER) if part else None
