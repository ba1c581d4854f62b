"""Pictures that listeners chose, made anew, kept beside the log of who allows it, and gone with the switch.

There is one of a kind: a newer one takes the place of the one before. A picture is known by its content; when it came,
what its file was called and whatever else the file said is not kept.
"""

import hashlib
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from recsys.consents.consent_tables import PICTURES
from recsys.consents.database import Database

_OF = PICTURES.c
_DIGEST = 16  # bytes


class Pictures:
    """The pictures in the database of one consent log (:attr:`recsys.consents.log.ConsentLog.pictures`)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        of_one = _OF.listener == sa.bindparam("listener")
        self._digests = database.compiled(sa.select(_OF.kind, _OF.digest).where(of_one))
        self._content = database.compiled(sa.select(_OF.content).where(of_one, _OF.kind == sa.bindparam("kind")))
        self._every = database.compiled(sa.select(_OF.kind, _OF.content).where(of_one).order_by(_OF.kind))
        self._keep = database.insert_new(PICTURES, changing=("digest", "content"))

    def keep(self, connection: sa.Connection, listener: str, kind: str, content: bytes) -> None:
        """Keep a picture instead of the one of its kind, in a transaction."""
        row = {"listener": listener, "kind": kind, "digest": digest_of(content), "content": content}
        connection.exec_driver_sql(self._keep, row)

    def remove(self, listener: str, kind: str) -> None:
        """Forget a picture, whether there is one or not."""
        with self._database.deciding(listener) as connection:
            connection.execute(sa.delete(PICTURES).where(_OF.listener == listener, _OF.kind == kind))

    def digests(self, listener: str) -> Mapping[str, str]:
        """Return which pictures are kept of a listener, by kind."""
        return dict(self._database.read(self._digests, {"listener": listener}))

    def content(self, listener: str, kind: str) -> bytes | None:
        """Return a picture, whether it may still be shown or not."""
        found: list[Any] = self._database.read(self._content, {"listener": listener, "kind": kind})
        return bytes(found[0][0]) if found else None

    def every(self, listener: str) -> list[tuple[str, bytes]]:
        """Return all pictures of a listener, each with its kind."""
        rows = self._database.read(self._every, {"listener": listener})
        return [(kind, bytes(content)) for kind, content in rows]


def digest_of(content: bytes) -> str:
    """Return what a picture is known by."""
    return hashlib.blake2b(content, digest_size=_DIGEST).hexdigest()
