"""The private files of affinities, behind personal lists: the endpoint reads a listener's row in microseconds.

``private/tastes/ID/`` (folders 0700, files 0600) holds, for n listeners and k tracks of each, the closest and what was
played, ``listeners.npy`` (n keyed hashes of 16 bytes, sorted), ``columns.npy`` (n, k) positions in ``tracks.json``,
sorted in each row, ``closeness.npy`` (n, k) and ``played.npy`` (n, k); and a manifest with sizes, digests and the two
orders. A row is 16 + 7 k bytes: 100,000 listeners times 450 tracks are 317 MB. ``private/tastes/current`` names the one
to read.
All but the manifest is sealed (:mod:`recsys.sealed_files`): the endpoint opens it once, in memory, and then reads rows.
Where two rankers share lists, ``challenger-*`` files hold the same by the other one, of those who tell what they play
from lists; what friends played lately is in ``recent-*`` files (:mod:`recsys.artifacts.recent_plays`). No factors are
here, only what they say; nothing of it goes into a snapshot, a log or MLflow.
"""

import hashlib
import io
import json
import os
import re
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.artifacts.list_candidates import CHARTS, FloatArray, IntArray
from recsys.artifacts.recent_plays import NO_PLAYS, RECENT, RecentPlays, read_recent_plays
from recsys.errors import InputError, NotReadyError, SettingsError
from recsys.sealed_files import SealedFiles
from recsys.workspace import make_folder, read_manifest, replace_file, staged, sweep, write_manifest

EVIDENCE = (*CHARTS, "close", "new")
"""What speaks for a candidate of a list; an order weighs each of them."""

NO_TRACK = np.iinfo(np.int32).max  # fills rows of fewer than k tracks; sorted, it comes last

BoolArray = NDArray[np.bool_]

_FORMAT = "2"  # 1: the same, not sealed


@dataclass(frozen=True)
class Orders:
    """How much each evidence weighs, in log-odds of being played.

    Parameters
    ----------
    cold : tuple of float
        Five weights in the order of ``EVIDENCE``, for those of whom nothing is known or may be used: the last two
        are 0.
    personal : tuple of float
        Five weights, for those whose row may be used.
    """

    cold: tuple[float, ...]
    personal: tuple[float, ...]


@dataclass(frozen=True)
class Row:
    """What is close to one listener.

    Parameters
    ----------
    columns : numpy.ndarray
        (k,) int32 sorted positions of tracks, filled up with ``NO_TRACK``.
    closeness : numpy.ndarray
        (k,) float16: how many standard deviations of the listener's scores a track's score stands above that of the
        last unplayed one of the row; 0 where it does not.
    played : numpy.ndarray
        (k,) bool: whether the listener played it in the nights that are kept.
    known : bool
        Whether the file has a row of this listener.
    """

    columns: IntArray
    closeness: NDArray[np.float16]
    played: BoolArray
    known: bool

    def at(self, columns: IntArray) -> tuple[FloatArray, BoolArray]:
        """Return (n,) closeness and (n,) played of some tracks by their column; 0 and false for tracks not here."""
        place = np.minimum(np.searchsorted(self.columns, columns), len(self.columns) - 1)
        here = (self.columns[place] == columns) & (columns != NO_TRACK)
        return np.where(here, self.closeness[place], 0).astype(np.float32), here & self.played[place]


BLANK = Row(np.full(1, NO_TRACK, dtype=np.int32), np.zeros(1, dtype=np.float16), np.zeros(1, dtype=bool), known=False)
"""The row of someone of whom nothing is known or may be used."""


@dataclass(frozen=True, eq=False)
class Affinities:
    """What is close to n listeners; immutable.

    Parameters
    ----------
    night : str
        The last night that it was learned from, as an ISO date; empty where there was none.
    tracks : tuple of str
        The ids behind the columns, sorted.
    orders : Orders
    listeners : numpy.ndarray
        (n,) sorted bytes of the keyed hashes.
    columns, closeness, played : numpy.ndarray
        (n, k), as in :class:`Row`.
    challenger : Affinities or None
        The same by another ranker, of those whose lists both share; it has none itself.
    rivals : str
        Which two rankers these are, in 16 hex digits; empty where there is no challenger.
    recent : RecentPlays
        What listeners played lately who let it count among what their friends play.
    """

    night: str
    tracks: tuple[str, ...] = field(repr=False)
    orders: Orders
    listeners: NDArray[np.bytes_] = field(repr=False)
    columns: IntArray = field(repr=False)
    closeness: NDArray[np.float16] = field(repr=False)
    played: BoolArray = field(repr=False)
    challenger: "Affinities | None" = field(default=None, repr=False)
    rivals: str = ""
    recent: RecentPlays = field(default=NO_PLAYS, repr=False)

    @property
    def id(self) -> str:
        """What the log calls it."""
        return self.night

    def row(self, listener: str) -> Row:
        """Return what is close to a listener. For someone who is not here the same steps find a row of nothing."""
        if not self.columns.size:
            return BLANK
        wanted = np.frombuffer(bytes.fromhex(listener), dtype="S16")[0]  # without zeros at its end, as numpy has it
        place = min(int(np.searchsorted(self.listeners, wanted)), len(self.listeners) - 1)
        found = Row(self.columns[place], self.closeness[place], self.played[place], known=True)
        return found if self.listeners[place] == wanted else BLANK

    def told(self, listener: str) -> list[tuple[str, float, bool]]:
        """Return what is held about a listener, the closest first: track, closeness, and whether it was played."""
        row = self.row(listener)
        order = np.argsort(-row.closeness.astype(np.float32), kind="stable")
        found = zip(row.columns[order].tolist(), row.closeness[order].tolist(), row.played[order].tolist(), strict=True)
        return [(self.tracks[column], closeness, played) for column, closeness, played in found if column != NO_TRACK]

    def columns_of(self, track_ids: Sequence[str]) -> IntArray:
        """Return (len(track_ids),) the column of each track; ``NO_TRACK`` where it has none."""
        return np.array([self._column.get(track, NO_TRACK) for track in track_ids], dtype=np.int32)

    def without(self, listeners: Collection[str]) -> "Affinities":
        """Return the same without the rows of some listeners."""
        challenger = self.challenger and self.challenger.without(listeners)
        kept = self._rows(~self._are(listeners))
        return replace(kept, challenger=challenger, recent=self.recent.without(listeners))

    def only(self, listeners: Collection[str]) -> "Affinities":
        """Return the same with the rows of some listeners alone."""
        return self._rows(self._are(listeners))

    def _are(self, listeners: Collection[str]) -> BoolArray:
        """Return (n,) which rows are of some listeners."""
        wanted = np.array([bytes.fromhex(listener) for listener in listeners], dtype=self.listeners.dtype)
        return np.isin(self.listeners, wanted)

    def _rows(self, kept: BoolArray) -> "Affinities":
        columns, closeness, played = self.columns[kept], self.closeness[kept], self.played[kept]
        return replace(self, listeners=self.listeners[kept], columns=columns, closeness=closeness, played=played)

    @cached_property
    def _column(self) -> dict[str, int]:
        return {track: column for column, track in enumerate(self.tracks)}


def default_orders(*, new: float) -> Orders:
    """Return about what was learned on the sample world, for as long as there is too little to learn from.

    Parameters
    ----------
    new : float
        The weight of a track that is new to the listener.
    """
    return Orders(cold=(1.0, 0.05, 0.05, 0.0, 0.0), personal=(0.05, 0.2, 0.15, 0.7, new))


def nobody() -> Affinities:
    """Return what there is before the first night: the default orders, and nobody's row."""
    nothing = np.zeros((0, 0))
    return Affinities(
        "",
        (),
        default_orders(new=0.0),
        np.zeros(0, dtype="S16"),
        nothing.astype(np.int32),
        nothing.astype(np.float16),
        nothing.astype(bool),
    )


def pointer_of(files: SealedFiles) -> Path:
    """Return the file that names the affinities to read; it is replaced with every change."""
    return _root(files) / "current"


def write(files: SealedFiles, affinities: Affinities) -> None:
    """Write the affinities whole or not at all, point to them, and take those before off the disk.

    The workspace's lock must be held. The same affinities have the same name, and change nothing.
    """
    root = _root(files)
    make_folder(root, mode=0o700)
    sweep(root)
    night = affinities.night or affinities.recent.night or "none"  # whose key seals it
    folder = root / f"{night}-{_digest(affinities)}"
    if not _is_whole(files, folder):
        with staged(folder) as stage:
            stage.chmod(0o700)
            _write(stage, affinities, sealed=lambda content, name: files.sealed(content, folder / name))
    replace_file(pointer_of(files), folder.name.encode(), mode=0o600)
    for other in root.iterdir():
        if other.is_dir() and other != folder:
            shutil.rmtree(other)


def erase(files: SealedFiles, listeners: Collection[str]) -> None:
    """Take the rows of some listeners off the disk; what cannot be read is taken off as a whole.

    The workspace's lock must be held. The rows of others stay as the last night computed them: the next one computes
    them anew, without what is erased.
    """
    if not _root(files).exists() or not listeners:
        return
    files.check()  # a store key that is away for a while damages nothing
    try:
        affinities = open_affinities(files)
    except NotReadyError:
        shutil.rmtree(_root(files))
        return
    write(files, affinities.without(listeners))


def open_affinities(files: SealedFiles) -> Affinities:
    """Verify and open the affinities that are pointed to.

    Raises
    ------
    NotReadyError
        If there are none, they are not whole or of another format, or the store key is not the right one.
    """
    try:
        name = pointer_of(files).read_text(encoding="utf-8", errors="replace").strip()
    except FileNotFoundError:
        raise NotReadyError("no affinities have been written yet", hint="Run `hearabouts nightly` first.") from None
    if not re.fullmatch(r"\w[\w-]*", name):
        raise NotReadyError("the affinities' pointer names nothing", hint=_AGAIN)
    try:
        return _read(files, _root(files) / name)
    except SettingsError as error:
        raise NotReadyError(f"the affinities cannot be opened: {error.message}", hint=error.hint) from None
    except (InputError, OSError, LookupError, TypeError, ValueError) as error:
        raise NotReadyError(f"the affinities are not whole ({type(error).__name__})", hint=_AGAIN) from None


def _root(files: SealedFiles) -> Path:
    return files.private / "tastes"


def _write(folder: Path, affinities: Affinities, *, sealed: Callable[[bytes, str], bytes]) -> None:
    challenger = affinities.challenger
    contents = _contents(affinities) | (_contents(challenger, before=_CHALLENGER) if challenger else {})
    contents |= affinities.recent.contents()
    for name, content in contents.items():
        with _private(folder / name) as file:
            file.write(sealed(content, name))
    facts = {"format": _FORMAT, "night": affinities.night, "evidence": EVIDENCE, "orders": _told(affinities.orders)}
    facts |= {"recent": {"format": RECENT, "night": affinities.recent.night}}
    if challenger:
        facts |= {"challenger": _told(challenger.orders), "rivals": affinities.rivals}
    write_manifest(folder, facts)
    (folder / "manifest.json").chmod(0o600)


def _contents(affinities: Affinities, *, before: str = "") -> dict[str, bytes]:
    arrays = {f"{before}{name}.npy": _saved(getattr(affinities, name)) for name in _ARRAYS}
    return arrays | {f"{before}tracks.json": json.dumps(affinities.tracks).encode()}


def _told(orders: Orders) -> dict[str, tuple[float, ...]]:
    return {"cold": orders.cold, "personal": orders.personal}


def _saved(array: NDArray[Any]) -> bytes:
    content = io.BytesIO()
    np.save(content, array)
    return content.getvalue()


def _read(files: SealedFiles, folder: Path) -> Affinities:
    manifest = read_manifest(folder)
    if (manifest["format"], tuple(manifest["evidence"])) != (_FORMAT, EVIDENCE):
        raise ValueError
    read = partial(_read_one, files, folder, night=manifest["night"])
    found = read(manifest["orders"])
    recent = manifest.get("recent", {})
    if recent.get("format") == RECENT:
        opened = read_recent_plays(lambda name: files.read(folder / name), night=recent["night"])
        found = replace(found, recent=opened)
    if "challenger" not in manifest:
        return found
    return replace(found, challenger=read(manifest["challenger"], before=_CHALLENGER), rivals=manifest["rivals"])


def _read_one(
    files: SealedFiles, folder: Path, orders: Mapping[str, Sequence[float]], *, night: str, before: str = ""
) -> Affinities:
    arrays: dict[str, Any] = {name: np.load(io.BytesIO(files.read(folder / f"{before}{name}.npy"))) for name in _ARRAYS}
    weights = Orders(*(tuple(map(float, orders[name])) for name in ("cold", "personal")))
    return Affinities(night, tuple(json.loads(files.read(folder / f"{before}tracks.json"))), weights, **arrays)


def _private(path: Path) -> Any:
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")


def _digest(affinities: Affinities) -> str:
    content = hashlib.sha256(
        json.dumps([_FORMAT, affinities.night, affinities.tracks, *affinities.orders.personal]).encode()
    )
    content.update(json.dumps(affinities.orders.cold).encode())
    for name in _ARRAYS:
        content.update(np.ascontiguousarray(getattr(affinities, name)).data)
    content.update(affinities.recent.night.encode())
    for told in affinities.recent.contents().values():
        content.update(told)
    if affinities.challenger:
        content.update(f"{affinities.rivals} {_digest(affinities.challenger)}".encode())
    return content.hexdigest()[:16]


def _is_whole(files: SealedFiles, folder: Path) -> bool:
    try:
        _read(files, folder)
    except (InputError, OSError, LookupError, TypeError, ValueError):
        return False
    return True


_CHALLENGER = "challenger-"  # what the names of its files begin with
_ARRAYS = ("listeners", "columns", "closeness", "played")
_AGAIN = "The next night writes them anew."
