"""The compaction of decisions: of who turns a switch on and off for ever only what anybody can still ask for is kept.

Of one purpose of a listener the first decision stays and the latest ones, as many as are to be kept; all since an
instant before which no night asks who allowed what; and what the log goes by: the decision that stood at that instant,
and the last that was made here, which no consent of a file that is not later overrules. What lies between decides
nothing any more: every answer about that instant and later ones is the same without it, as are those about what is
decided or imported afterwards.
"""

import sqlalchemy as sa

from recsys.consents.consent_tables import ENTRIES
from recsys.consents.database import Database

_OF = ENTRIES.c


def compact(database: Database, *, before: int, kept: int, imported: str) -> int:
    """Delete the decisions that nobody can ask for; return how many.

    Parameters
    ----------
    database : Database
        Of a :class:`recsys.consents.log.ConsentLog`.
    before : int
        Microseconds since 1970, UTC: only what is older may go.
    kept : int
        Instants, of each purpose of a listener, of which the decisions stay however old they are.
    imported : str
        The channel of decisions that were not made here.
    """
    older = sa.select(_OF.listener, _OF.purpose).where(_OF.at < sa.bindparam("before"))
    many = older.group_by(_OF.listener, _OF.purpose).having(sa.func.count() > sa.bindparam("kept"))
    crowded, gone = database.read(database.compiled(many), {"before": before, "kept": kept}), 0
    for listener, purpose in crowded:
        with database.deciding(listener) as connection:  # one after another: nobody who decides has to wait for all
            this = sa.and_(_OF.listener == listener, _OF.purpose == purpose)
            gone += connection.execute(_superfluous(this, before=before, kept=kept, imported=imported)).rowcount
    return gone


def _superfluous(this: sa.ColumnElement[bool], *, before: int, kept: int, imported: str) -> sa.Delete:
    """Delete of one purpose of a listener what lies between the first and what stands, but what the log goes by."""
    first = sa.select(sa.func.min(_OF.at)).where(this)
    standing = sa.select(sa.func.max(_OF.at)).where(this, _OF.at < before)
    latest = sa.select(_OF.at).where(this).distinct().order_by(_OF.at.desc()).limit(1).offset(kept - 1)
    here, file = _OF.channel != imported, ENTRIES.alias()
    dated = sa.exists().where(file.c.channel == imported, *(file.c[key] == _OF[key] for key in _KEYS))
    by_clock = [sa.select(sa.func.max(_OF.at)).where(this, here, *more) for more in ((), (sa.not_(dated),))]
    never: sa.ColumnElement[int] = sa.literal_column(
        "-1"
    )  # NULL, as where nothing was decided here, would be unlike everything
    stays = [_OF.at == sa.func.coalesce(each.scalar_subquery(), never) for each in by_clock]
    between = (_OF.at > first.scalar_subquery(), _OF.at < standing.scalar_subquery(), _OF.at < latest.scalar_subquery())
    return sa.delete(ENTRIES).where(this, *between, sa.not_(sa.or_(*stays)))


_KEYS = ("listener", "purpose", "at")
