"""List ids: opaque names of lists, by which a listener says what was played or hidden; nothing is kept for them.

The id of a listener's own list is a token (AES-256-GCM) under a key of this listener and this snapshot: that of
somebody else or of another night does not open, and neither does one that was changed. In it are the tracks of the
list, which of two rankers put each there, and when it expires; no place, and nothing that tells one from another. All
that are of one ``limit`` are equally long. The id of a public list is a digest of what it is.
"""

import base64
import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta

from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from recsys.artifacts.interleaving import TEAMS, Coin, keyed_coin
from recsys.artifacts.list_candidates import CHARTS
from recsys.errors import UnknownListError
from recsys.serving.requests.expiring import OVERHEAD, opened, sealed
from recsys.serving.snapshot.once import once_a_snapshot
from recsys.serving.snapshot.snapshot_reader import Published

_RIVALS, _LINE = 8, 3  # bytes; a line is the number of a track, 0 for none, times three and its team
_NOBODY = len(TEAMS)  # the team of a line that was not drafted
_PUBLIC = 18  # bytes of a public list's digest


@dataclass(frozen=True)
class Listed:
    """The lines of a listener's own list.

    Parameters
    ----------
    tracks : sequence of int
        Positions in the tracks of the snapshot.
    teams : sequence of int
        Of each, a position in :data:`recsys.artifacts.interleaving.TEAMS`; empty where no two rankers shared the list.
    rivals : str
        Which two did, in 16 hex digits; empty where none did.
    """

    tracks: Sequence[int] = field(repr=False)
    teams: Sequence[int] = field(default=(), repr=False)
    rivals: str = ""


class ListIds:
    """The ids of listeners' own lists.

    Parameters
    ----------
    key : bytes
        The listener key; another one is derived from it for this alone.
    hours : int
        For how long an id is good.
    """

    def __init__(self, key: bytes, *, hours: int) -> None:
        self._key = hashlib.blake2b(key=key, person=b"list ids", digest_size=32).digest()
        self._good_for = timedelta(hours=hours)

    def id_of(self, listed: Listed, *, listener: str, snapshot: str, limit: int, now: datetime) -> str:
        """Return the id of a list of up to ``limit`` lines."""
        teams = listed.teams or [_NOBODY] * len(listed.tracks)
        lines = [
            (3 * (track + 1) + team).to_bytes(_LINE, "big") for track, team in zip(listed.tracks, teams, strict=True)
        ]
        head = bytes.fromhex(listed.rivals or "00" * _RIVALS)
        content = (head + b"".join(lines)).ljust(_content_bytes(limit), b"\0")
        return _text(sealed(content, cipher=self._cipher(listener, snapshot), until=now + self._good_for))

    def listed(self, id_: str, *, listener: str, snapshot: str, now: datetime) -> Listed:
        """Return the lines of a list.

        Raises
        ------
        UnknownListError
            If it is no list of this listener and this snapshot, or not any more: which it is, nobody is told.
        """
        content = opened(_bytes(id_), cipher=self._cipher(listener, snapshot), now=now)
        if content is None:
            raise unknown_list()
        numbers = [int.from_bytes(content[at : at + _LINE], "big") for at in range(_RIVALS, len(content), _LINE)]
        lines = [divmod(number, 3) for number in numbers if number]
        rivals = content[:_RIVALS].hex()
        is_shared = any(content[:_RIVALS])
        return Listed(
            [track - 1 for track, _ in lines], [team for _, team in lines] if is_shared else (), rivals * is_shared
        )

    def coin(self, listener: str, snapshot: str) -> Coin:
        """Return what a listener's lists of a snapshot are shared by, the same whenever and wherever they are asked."""
        return keyed_coin(f"{listener} {snapshot}".encode(), key=self._key)

    def _cipher(self, listener: str, snapshot: str) -> AESGCM:
        content = f"{listener} {snapshot}".encode()
        return AESGCM(hashlib.blake2b(content, key=self._key, person=b"list", digest_size=32).digest())


def length_of(limit: int) -> int:
    """Return how long the id of every list of up to so many lines is, in letters."""
    return -(-(OVERHEAD + _content_bytes(limit)) * 4 // 3)


def public_list(snapshot: str, place_id: str, chart: str) -> str:
    """Return the id of a public list: of a place's chart in a snapshot, of its last night."""
    content = "\n".join((snapshot, place_id, chart))
    return _text(hashlib.sha256(content.encode()).digest()[:_PUBLIC])


def public_list_of(id_: str, *, published: Published) -> tuple[str, str] | None:
    """Return the place and the chart of a public list of a snapshot's last night, or None where it is none."""
    return _public_lists(published).get(id_)


def unknown_list() -> UnknownListError:
    """Return what is said of every id that is not the asker's own to use."""
    return UnknownListError(
        "there is no such list of yours, or not any more", hint="Ask for the list again, and use the id that it has."
    )


@once_a_snapshot
def _public_lists(published: Published) -> Mapping[str, tuple[str, str]]:
    of_all = ((place, chart) for place in published.places for chart in CHARTS)
    return {public_list(published.id, *each): each for each in of_all}


def _content_bytes(limit: int) -> int:
    return _RIVALS + _LINE * limit


def _text(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).rstrip(b"=").decode()


def _bytes(text: str) -> bytes:
    """Return what an id says, and nothing of one that is not written as ours are."""
    try:
        content = base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except ValueError:  # also of letters that are not ASCII
        return b""
    return content if _text(content) == text else b""
