"""Erasures that were asked for: from that moment nothing of before counts, and the night takes it off the disk.

Who asked holds a receipt, drawn at random; what stays once the erasure is done is that receipt, and no listener.
"""

import secrets
from datetime import datetime

import sqlalchemy as sa

from recsys.consents.consent_tables import ENTRIES, ERASURES, microseconds
from recsys.consents.database import Database

_OF = ERASURES.c


class Erasures:
    """The erasures of one consent log, kept beside its entries.

    Parameters
    ----------
    database : Database
        Of a :class:`recsys.consents.log.ConsentLog`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database
        self._concerns = database.compiled(sa.select(_OF.receipt).where(_OF.listener == sa.bindparam("listener")))
        self._done = database.compiled(sa.select(_OF.done).where(_OF.receipt == sa.bindparam("receipt")))
        self._pending = database.compiled(sa.select(_OF.receipt, _OF.listener).where(sa.not_(_OF.done)))

    def ask(self, listener: str, *, at: datetime) -> str:
        """Erase a listener's entries, and remember what else is to be erased; return the receipt.

        Whether the listener was ever seen makes no difference. Who asks again before the first erasure is done gets
        the same receipt, for everything up to the later instant.
        """
        instant, receipt = microseconds(at), secrets.token_hex(16)
        with self._database.deciding(listener) as connection:
            pending = connection.execute(sa.select(_OF.receipt, _OF.asked_at).where(_OF.listener == listener)).first()
            if pending is None:
                row = {"receipt": receipt, "listener": listener, "asked_at": instant, "done": False}
                connection.execute(sa.insert(ERASURES).values(row))
            else:
                receipt = pending.receipt
                later = {"asked_at": max(instant, pending.asked_at)}
                connection.execute(sa.update(ERASURES).where(_OF.receipt == receipt).values(later))
            connection.execute(sa.delete(ENTRIES).where(ENTRIES.c.listener == listener))
        return receipt

    def concerns(self, listener: str) -> bool:
        """Tell whether an erasure of this listener is still to be done: what is stored must not be used or shown."""
        return bool(self._database.read(self._concerns, {"listener": listener}))

    def is_done(self, receipt: str) -> bool | None:
        """Tell whether an erasure is done; None where there is no such receipt."""
        found = self._database.read(self._done, {"receipt": receipt})
        return bool(found[0][0]) if found else None

    def pending(self) -> list[tuple[str, str | None]]:
        """Return ``(receipt, listener)`` of what is to be done; None for a listener that only the disk still knows."""
        return [(receipt, listener) for receipt, listener in self._database.read(self._pending, {})]

    def finish(self, receipt: str) -> None:
        """Take the last traces of a listener off the disk, and say that the erasure is done.

        To be called when everything outside the log is erased. Can be repeated after a crash: the listener is gone
        first, then its bytes, and only then the erasure is done.

        Raises
        ------
        NotReadyError
            If somebody is reading the log; nothing is lost, try again.
        """
        this = _OF.receipt == receipt
        before = sa.and_(ENTRIES.c.listener == _OF.listener, ENTRIES.c.at <= _OF.asked_at)
        with self._database.writing() as connection:
            connection.execute(sa.delete(ENTRIES).where(sa.exists().where(this, before)))
            connection.execute(sa.update(ERASURES).where(this).values(listener=None, asked_at=None))
        for table in (ENTRIES, ERASURES):
            self._database.scrub(table)
        with self._database.writing() as connection:
            connection.execute(sa.update(ERASURES).where(this).values(done=True))
