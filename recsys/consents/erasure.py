"""Erasures that were asked for: from that moment nothing of before counts, and the night takes it off the disk.

Who asked holds a receipt, drawn at random; what stays once the erasure is done is that receipt, and no listener,
and the mark that keeps it done (:mod:`recsys.consents.marks`).
"""

import secrets
from collections.abc import Collection
from datetime import datetime

import sqlalchemy as sa

from recsys.consents.belongings import BELONGING_TABLES, forget_belongings
from recsys.consents.consent_tables import ENTRIES, ERASURES, instant_of, microseconds
from recsys.consents.database import Database
from recsys.consents.marks import Marks, about

_OF = ERASURES.c

_CONCERNS = sa.select(_OF.receipt).where(_OF.listener == sa.bindparam("listener"))
_DONE = sa.select(_OF.done).where(_OF.receipt == sa.bindparam("receipt"))
_PENDING = sa.select(_OF.receipt, _OF.listener, _OF.asked_at).where(sa.not_(_OF.done))
_FIRST = sa.select(ENTRIES.c.listener, sa.func.min(ENTRIES.c.at)).group_by(ENTRIES.c.listener)


class Erasures:
    """The erasures of one consent log, kept beside its entries.

    Parameters
    ----------
    database : Database
        Of a :class:`recsys.consents.log.ConsentLog`.
    marks : Marks or None
        Where an erasure leaves its mark before anything else is done.
    purposes : collection of str
        Whose withdrawals may have left marks that an erasure takes away.
    """

    def __init__(self, database: Database, *, marks: Marks | None = None, purposes: Collection[str] = ()) -> None:
        self._database, self._marks, self._purposes = database, marks, purposes
        self._concerns, self._done = database.compiled(_CONCERNS), database.compiled(_DONE)
        self._pending, self._first = database.compiled(_PENDING), database.compiled(_FIRST)

    def ask(self, listener: str, *, at: datetime) -> str:
        """Erase a listener's entries, and remember what else is to be erased; return the receipt.

        Whether the listener was ever seen makes no difference. Who asks again before the first erasure is done gets
        the same receipt, for everything up to the later instant.
        """
        if self._marks:
            self._marks.record(listener, at=at, instead_of=self._withdrawals(listener))
        with self._database.deciding(listener) as connection:
            receipt = _remember(connection, listener, microseconds(at))
            connection.execute(sa.delete(ENTRIES).where(ENTRIES.c.listener == listener))
            forget_belongings(connection, listener)
        return receipt

    def _withdrawals(self, listener: str) -> list[str]:
        return [about(listener, purpose) for purpose in self._purposes]

    def concerns(self, listener: str) -> bool:
        """Tell whether an erasure of this listener is still to be done: what is stored must not be used or shown."""
        return bool(self._database.read(self._concerns, {"listener": listener}))

    def is_done(self, receipt: str) -> bool | None:
        """Tell whether an erasure is done; None where there is no such receipt."""
        found = self._database.read(self._done, {"receipt": receipt})
        return bool(found[0][0]) if found else None

    def pending(self) -> list[tuple[str, str | None]]:
        """Return ``(receipt, listener)`` of what is to be done; None for a listener that only the disk still knows."""
        return [(receipt, listener) for receipt, listener, _ in self._database.read(self._pending, {})]

    def again(self) -> int:
        """Ask again for what was erased and is back, as after a restore; return how many listeners it is about.

        Every erasure that is still to be done leaves its mark here, too: another server may have been asked for it.
        """
        if self._marks is None:
            return 0
        for _, listener, asked_at in self._database.read(self._pending, {}):
            if listener is not None:
                self._marks.record(listener, at=instant_of(asked_at), instead_of=self._withdrawals(listener))
        erased = self._marks.known()
        firsts = self._database.stream(self._first, {})
        back = [(listener, erased(listener)) for listener, first in firsts if first <= erased(listener)]
        with self._database.writing() as connection:
            for listener, instant in back:
                _remember(connection, listener, instant)
                forget_belongings(connection, listener)
        return len(back)

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
        self._database.scrub(ENTRIES, ERASURES, *BELONGING_TABLES)
        with self._database.writing() as connection:
            connection.execute(sa.update(ERASURES).where(this).values(done=True))


def _remember(connection: sa.Connection, listener: str, instant: int) -> str:
    """Write down that an erasure was asked for, unless it was and is not done yet; return the receipt."""
    pending = connection.execute(sa.select(_OF.receipt, _OF.asked_at).where(_OF.listener == listener)).first()
    if pending is None:
        receipt = secrets.token_hex(16)
        row = {"receipt": receipt, "listener": listener, "asked_at": instant, "done": False}
        connection.execute(sa.insert(ERASURES).values(row))
        return receipt
    later = {"asked_at": max(instant, pending.asked_at)}
    connection.execute(sa.update(ERASURES).where(_OF.receipt == pending.receipt).values(later))
    return str(pending.receipt)
