"""Pictures that listeners chose, made anew, kept beside the log of who allows it, and gone with the switch.

There is one of a kind: a newer one takes the place of the one before. Each is an edition of its own, known by a random
number, also where somebody chooses the same picture once more; when it came, what its file was called and whatever else
the file said is not kept.
"""

import secrets
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa

from recsys.consents.consent_tables import PICTURES
from recsys.consents.database import Database

PROFILE = "profile"
"""The kind of a picture of the listener."""

_OF = PICTURES.c
_EDITION = 16  # bytes

_OF_ONE = _OF.listener == sa.bindparam("listener")
_EDITIONS = sa.select(_OF.kind, _OF.edition).where(_OF_ONE)
_EVERY = sa.select(_OF.kind, _OF.content).where(_OF_ONE).order_by(_OF.kind)
_CONTENT = sa.select(_OF.content).where(_OF_ONE, _OF.kind == sa.bindparam("kind"))
_CONTENT_OF_EDITION = _CONTENT.where(_OF.edition == sa.bindparam("edition"))


class Pictures:
    """The pictures in the database of one consent log (:attr:`recsys.consents.log.ConsentLog.pictures`)."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._editions, self._every = database.compiled(_EDITIONS), database.compiled(_EVERY)
        self._content, self._edition = database.compiled(_CONTENT), database.compiled(_CONTENT_OF_EDITION)
        self._keep = database.insert_new(PICTURES, changing=("edition", "content"))

    def keep(self, connection: sa.Connection, listener: str, kind: str, content: bytes) -> str:
        """Keep a picture instead of the one of its kind, in a transaction, and return its edition."""
        edition = secrets.token_hex(_EDITION)
        row = {"listener": listener, "kind": kind, "edition": edition, "content": content}
        connection.exec_driver_sql(self._keep, row)
        return edition

    def remove(self, listener: str, kind: str) -> None:
        """Forget a picture, whether there is one or not."""
        with self._database.deciding(listener) as connection:
            connection.execute(sa.delete(PICTURES).where(_OF.listener == listener, _OF.kind == kind))

    def editions(self, listener: str) -> Mapping[str, str]:
        """Return which pictures are kept of a listener, by kind."""
        return dict(self._database.read(self._editions, {"listener": listener}))

    def content(self, listener: str, kind: str, *, edition: str | None = None) -> bytes | None:
        """Return a picture, of any edition or of one alone, whether it may still be shown or not."""
        asked = {"listener": listener, "kind": kind}
        query, values = (self._content, asked) if edition is None else (self._edition, asked | {"edition": edition})
        found: list[Any] = self._database.read(query, values)
        return bytes(found[0][0]) if found else None

    def every(self, listener: str) -> list[tuple[str, bytes]]:
        """Return all pictures of a listener, each with its kind."""
        rows = self._database.read(self._every, {"listener": listener})
        return [(kind, bytes(content)) for kind, content in rows]
