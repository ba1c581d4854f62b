"""What a disk may hold when the power fails: a journal of file operations (``journal.c``), replayed up to one of them.

What was brought to the disk by an ``fsync`` is there: the bytes of the file that was named, the names in the folder
that was. Of everything else nobody knows, and :data:`LOSSES` are what file systems were seen to do:

``lost``
    Nothing of it is there: what POSIX promises, and no more.
``names``
    Names came, went and changed as they were to; files that they name are as they were last brought to the disk, and
    empty where they never were: as file systems that write names first.
``torn``
    Some of the names, the earlier ones; and of the bytes any writes, the last of a file in parts of 512 bytes.
"""

import random
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

LOSSES = ("lost", "names", "torn")

_LINE = struct.Struct("<cIIqq")
_SECTOR = 512  # bytes that a disk writes whole


@dataclass(frozen=True)
class Operation:
    """One line of the journal.

    Parameters
    ----------
    what : str
        ``o`` opened and perhaps made, ``c`` made or emptied, ``w`` written, ``t`` cut, ``s`` brought to the disk, ``r``
        renamed, ``u`` removed, ``m`` a folder made, ``l`` linked, ``y`` linked symbolically, ``p`` a mode changed.
    path, other : str
        What it was done to; the new name, the file that is linked, or the target.
    number : int
        An offset, a length or a mode.
    content : bytes
    """

    what: str
    path: str
    other: str
    number: int
    content: bytes


def read_journal(file: Path) -> list[Operation]:
    """Read the journal of a job."""
    return list(_operations(file.read_bytes()))


def _operations(journal: bytes) -> Iterator[Operation]:
    at = 0
    while at < len(journal):
        what, path, other, number, size = _LINE.unpack_from(journal, at)
        at += _LINE.size
        parts = []
        for length in (path, other, size):
            parts.append(journal[at : at + length])
            at += length
        yield Operation(what.decode(), parts[0].decode(), parts[1].decode(), number, parts[2])


@dataclass(eq=False)
class _File:
    """A file: its bytes on the disk, and what was written since."""

    mode: int
    safe: bytes = b""
    since: list[Operation] = field(default_factory=list)

    def after(self, writes: list[Operation]) -> bytes:
        content = bytearray(self.safe)
        for one in writes:
            if one.what == "w":
                content.extend(bytes(max(0, one.number - len(content))))
                content[one.number : one.number + len(one.content)] = one.content
            else:
                del content[one.number :]
                content.extend(bytes(one.number - len(content)))
        return bytes(content)

    def synced(self) -> None:
        self.safe, self.since = self.after(self.since), []


@dataclass(eq=False)
class _Folder:
    """A folder: the names in it on the disk, and those that a running job sees."""

    mode: int
    safe: "dict[str, _Node]" = field(default_factory=dict)
    names: "dict[str, _Node]" = field(default_factory=dict)


_Node = _File | _Folder | str  # a string: the target of a symbolic link
_Change = list[tuple[_Folder, str, _Node | None]]  # names that come and go at once


class Disk:
    """A disk that everything was brought to, and what a job does to it.

    Parameters
    ----------
    begun : Path
        What it holds at first.
    name : str
        By which paths of the journal name it: what comes after this part of them is in it.
    """

    def __init__(self, begun: Path, *, name: str) -> None:
        self._name, self._root, self._changes = name, _loaded(begun), list[_Change]()

    def do(self, one: Operation) -> None:
        """Do the next operation of the journal."""
        folder, name = self._place(one.path)
        if folder is None:
            return
        node = folder.names.get(name) if name else self._root
        if one.what in "oc":
            self._open(one, folder, name, node)
        elif one.what in "wt" and isinstance(node, _File):
            node.since.append(one)
        elif one.what == "p" and isinstance(node, _File | _Folder):
            node.mode = one.number
        elif one.what == "s" and node is not None:
            self._sync(node)
        elif one.what == "m":
            self._change([(folder, name, _Folder(one.number))])
        elif one.what == "u":
            self._change([(folder, name, None)])
        elif one.what == "y":
            self._change([(folder, name, one.other)])
        elif one.what in "rl":
            self._rename(one, folder, name, node)

    def lose(self, how: str, *, drawn: random.Random, into: Path) -> Path:
        """Write down what is there after a power loss; return where."""
        if how != "lost":
            kept = len(self._changes) if how == "names" else drawn.randint(0, len(self._changes))
            for change in self._changes[:kept]:
                _apply(change)
        _write(self._root, into, drawn=drawn if how == "torn" else None)
        return into

    def _open(self, one: Operation, folder: _Folder, name: str, node: _Node | None) -> None:
        if node is None:
            node = _File(one.number)
            self._change([(folder, name, node)])
        if one.what == "c" and isinstance(node, _File):
            node.since.append(Operation("t", one.path, "", 0, b""))

    def _rename(self, one: Operation, folder: _Folder, name: str, node: _Node | None) -> None:
        there, other = self._place(one.other)
        if one.what == "l" and there is not None:
            self._change([(folder, name, there.names.get(other))])
        elif one.what == "r":
            assert there is not None, "a file went where nothing is written down"
            assert node is not None, "a file came from where nothing is written down"
            self._change([(folder, name, None), (there, other, node)])

    def _sync(self, node: _Node) -> None:
        if isinstance(node, _File):
            node.synced()
        elif isinstance(node, _Folder):
            for change in self._changes_of(node):
                _apply(change)
                self._changes.remove(change)

    def _changes_of(self, folder: _Folder) -> list[_Change]:
        """Return the changes of names in a folder, in order, and the earlier ones of the same names elsewhere."""
        found, names = list[_Change](), set[tuple[int, str]]()
        for change in reversed(self._changes):
            touched = {(id(changed), name) for changed, name, _ in change}
            if touched & names or any(changed is folder for changed, *_ in change):
                found.append(change)
                names |= touched
        return found[::-1]

    def _change(self, change: _Change) -> None:
        for folder, name, node in change:
            if node is None:
                folder.names.pop(name, None)
            else:
                folder.names[name] = node
        self._changes.append(change)

    def _place(self, path: str) -> tuple[_Folder | None, str]:
        """Return the folder that a path is in, if it is in ours, and its name there."""
        *parts, last = [part for part in path.partition(self._name)[2].split("/") if part and part != "."] or [""]
        folder: _Node | None = self._root
        for part in parts:
            folder = folder.names.get(part) if isinstance(folder, _Folder) else None
        return (folder, last) if isinstance(folder, _Folder) and not path.endswith(" (deleted)") else (None, "")


def _apply(change: _Change) -> None:
    for folder, name, node in change:
        if node is None:
            folder.safe.pop(name, None)
        else:
            folder.safe[name] = node


def _loaded(path: Path) -> _Folder:
    found = _Folder(stat.S_IMODE(path.stat().st_mode))
    for each in path.iterdir():
        if each.is_symlink():
            found.safe[each.name] = str(each.readlink())
        elif each.is_dir():
            found.safe[each.name] = _loaded(each)
        else:
            found.safe[each.name] = _File(stat.S_IMODE(each.stat().st_mode), each.read_bytes())
    found.names = dict(found.safe)
    return found


def _write(folder: _Folder, into: Path, *, drawn: random.Random | None) -> None:
    into.mkdir(parents=True)
    for name, node in folder.safe.items():
        path = into / name
        if isinstance(node, str):
            path.symlink_to(node)
        elif isinstance(node, _Folder):
            _write(node, path, drawn=drawn)
        else:
            path.write_bytes(_torn(node, drawn) if drawn else node.safe)
            path.chmod(node.mode)
    into.chmod(folder.mode)


def _torn(file: _File, drawn: random.Random) -> bytes:
    """Return a file with some of what was written since it was last brought to the disk."""
    kept = [one for one in file.since if drawn.random() < 0.5]
    if kept and kept[-1].what == "w":
        one = kept.pop()
        size = drawn.randrange(0, len(one.content) + 1, _SECTOR)
        kept.append(Operation("w", one.path, "", one.number, one.content[:size]))
    return file.after(kept)
