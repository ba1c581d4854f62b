"""Where everything of one deployment lies on disk, and how anything gets there whole or not at all."""

import errno
import fcntl
import hashlib
import json
import os
import secrets
import shutil
import sqlite3
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.errors import InputError, NotReadyError, SettingsError

if TYPE_CHECKING:
    from recsys.locations import Location  # whose client of object stores the endpoint needs not

MANIFEST = "manifest.json"
KEY_BYTES = 32  # of a secret
PUBLIC = "public"

_PASSING = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO, errno.EMFILE, errno.ENFILE}  # no fault of the name
_MANY = 200  # files that are brought to the disk together


@dataclass(frozen=True)
class Workspace:
    """The folder of one deployment (section 3.3 of the design).

    Parameters
    ----------
    root : Path
        Created with its private parts (mode 0700, keys 0600) by :meth:`prepare`.
    """

    root: Path

    @property
    def private(self) -> Path:
        """Contributions and models; mode 0700."""
        return self.root / "private"

    @property
    def unlogged(self) -> Path:
        """What runs logged and MLflow does not have yet."""
        return self.private / "unlogged"

    @property
    def consents(self) -> Path:
        """The consent log."""
        return self.root / "consents.db"

    @property
    def marks(self) -> Path:
        """The marks of erasures and withdrawals, which a restored consent log must not take with it."""
        return self.root / "marks.db"

    @property
    def ledger(self) -> Path:
        """What privacy was spent."""
        return self.root / "ledger.db"

    @property
    def releases(self) -> Path:
        """One folder a night, ``releases/DATE/``."""
        return self.root / "releases"

    @property
    def charts(self) -> Path:
        """What places remember, one file a night, ``charts/memory/DATE.parquet``; derived, and again if lost."""
        return self.root / "charts"

    @property
    def history(self) -> Path:
        """The published charts of all nights."""
        return self.root / "history.db"

    @property
    def data(self) -> Path:
        """The open data: one folder a night, ``data/DATE/``, and one a month; written once, and again if lost."""
        return self.root / "data"

    @property
    def snapshots(self) -> Path:
        """One folder a published snapshot, ``snapshots/ID/``."""
        return self.root / "snapshots"

    @property
    def current(self) -> Path:
        """The pointer: a file that holds the id of the snapshot to serve."""
        return self.root / "current"

    @property
    def public(self) -> Path:
        """The link to the current snapshot's public files, which any web server can serve."""
        return self.root / PUBLIC

    @property
    def id_file(self) -> Path:
        """What tells the witness which deployment this is, copies and restored backups included."""
        return self.root / "deployment.id"

    @property
    def listener_key_file(self) -> Path:
        """The secret behind :meth:`listener_key`."""
        return self.root / "listener.key"

    @property
    def has_listener_key(self) -> bool:
        """Whether there is a listener key, and a whole one."""
        return self.listener_key_file.exists() and self.listener_key_file.stat().st_size == KEY_BYTES

    @property
    def is_begun(self) -> bool:
        """Whether something stands on the listener key and the consent log: a release, a spend, or stored plays."""
        patterns = ("releases/[0-9]*", "private/nights/*", "private/contributions/date=*")
        return any(any(self.root.glob(pattern)) for pattern in patterns) or _has_entries(self.ledger)

    def prepare(self) -> "Workspace":
        """Create the folders that are missing, take from others what is not theirs to read, and return self."""
        try:
            for folder in (self.root, self.releases, self.charts, self.data, self.snapshots):
                make_folder(folder)
            make_folder(self.private, mode=0o700)
            self.private.chmod(0o700)
            for name in ("*.key", "consents.db*", "marks.db*", "ledger.db*", "private/keys.json"):
                for file in self.root.glob(name):
                    _close_to_others(file)
        except OSError as error:
            if error.errno in _PASSING:
                raise
            raise SettingsError(
                f"the workspace {self.root} cannot be used ({error.strerror})",
                hint="Name a folder after --workspace that belongs to whoever runs this, with all that is in it.",
            ) from None
        return self

    def listener_key(self) -> bytes:
        """Return the secret (32 bytes, mode 0600) that turns user ids into listeners; made on first use.

        Raises
        ------
        SettingsError
            If it is lost, while something stands on it, or is not whole.
        """
        if self.is_begun and not self.listener_key_file.exists():
            raise SettingsError(
                f"{self.listener_key_file} is lost: consents, stored plays and what listeners have earned are kept "
                "under it, and with another key they are nobody's",
                hint=f"Restore the file from a backup. {accepting('key')}",
            )
        return secret(self.listener_key_file)

    def new_listener_key(self) -> bytes:
        """Put another secret in the place of the listener key, and return it: everybody becomes somebody else."""
        self.listener_key_file.unlink(missing_ok=True)
        return secret(self.listener_key_file)

    def marks_key(self) -> bytes:
        """Return the secret (32 bytes, mode 0600) under which a no leaves its mark; made on first use."""
        return secret(self.root / "marks.key")

    def contacts_key(self) -> bytes:
        """Return the secret (32 bytes, mode 0600) that makes tokens of numbers and addresses; made on first use.

        Raises
        ------
        SettingsError
            If it is not whole.
        """
        return secret(self.root / "contacts.key")

    def token_key(self) -> bytes:
        """Return the development key (32 bytes, mode 0600) that signs tokens of ``hearabouts token``.

        Raises
        ------
        SettingsError
            If it is not whole.
        """
        return secret(self.root / "token.key")

    def swept(self) -> list[Path]:
        """Return the folders in which a crash may leave something half-written."""
        private = [path for path in self.private.glob("[!.]*") if path.is_dir() and path != self.unlogged]
        return [self.root, self.private, *private, self.releases, self.charts, self.data, self.snapshots]

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the workspace for one job, cleared of what a crash left half-written.

        Raises
        ------
        NotReadyError
            At once, if another job holds it.
        """
        with (self.root / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise NotReadyError(
                    f"another job is running on the workspace {self.root}",
                    hint="Wait until it has finished and try again.",
                ) from None
            for folder in self.swept():
                sweep(folder)
            yield


def listener_of(user_id: str, *, key: bytes) -> str:
    """Return the listener (32 hex digits) of a user id: a keyed BLAKE2b hash (RFC 7693), useless without the key."""
    return hashlib.blake2b(user_id.encode(), key=key, digest_size=16).hexdigest()


def fingerprint(key: bytes) -> str:
    """Return what tells one listener key from another, and nothing of either."""
    return hashlib.blake2b(b"hearabouts: which key is this?", key=key, digest_size=16).hexdigest()


def accepting(what: str) -> str:
    """Return the hint to go on without what is lost, which nobody but a person can decide."""
    return f"If it is lost for good: `hearabouts privacy settle --accept {what}` says what that means, and goes on."


@contextmanager
def staged(target: Path) -> Iterator[Path]:
    """Yield an empty folder that becomes ``target`` when the block ends well, and vanishes when it does not.

    Files and folders are fsynced before the rename and the parent after it, so that a crash at any moment leaves
    either no ``target`` or a whole one. An existing ``target`` is replaced.

    References
    ----------
    T. Pillai et al., "All File Systems Are Not Created Equal" (OSDI 2014), on which orders survive a crash.
    """
    make_folder(target.parent)
    stage = target.with_name(f".{target.name}.{secrets.token_hex(4)}.staged")
    stage.mkdir()
    try:
        yield stage
        _bring_to_disk(stage)
        if target.exists():
            remove_folder(target)
        stage.rename(target)
        fsync(target.parent)
    finally:
        shutil.rmtree(stage, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove the stages that a crash left in a folder."""
    for stage in folder.glob(".*.staged"):
        if stage.is_dir() and not stage.is_symlink():
            shutil.rmtree(stage, ignore_errors=True)
        else:
            stage.unlink(missing_ok=True)


def replace_file(path: Path, content: bytes, *, mode: int = 0o644) -> None:
    """Write a small file so that a reader, or a crash, sees the old content or the new, never a part."""
    stage = path.with_name(f".{path.name}.{secrets.token_hex(4)}.staged")
    with os.fdopen(os.open(stage, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    stage.replace(path)
    fsync(path.parent)


def replace_link(path: Path, target: Path) -> None:
    """Let a symbolic link lead elsewhere, in one step; what stands there instead, as after a copy, gives way.

    Parameters
    ----------
    path : Path
    target : Path
        Below the folder of the link, which leads there relatively: the whole can be moved.
    """
    stage = path.with_name(f".{path.name}.{secrets.token_hex(4)}.staged")
    if path.is_dir() and not path.is_symlink():
        path.rename(stage)
        shutil.rmtree(stage)
    stage.symlink_to(target.relative_to(path.parent), target_is_directory=True)
    stage.replace(path)
    fsync(path.parent)


def age_of(snapshot: Path) -> tuple[str, int, str]:
    """Return what snapshots are put in order by: their last night, and then when they were written."""
    return snapshot.name[:10], snapshot.stat().st_mtime_ns, snapshot.name


def remove_folder(folder: Path) -> None:
    """Remove a folder so that nobody, and no crash, ever sees a part of it."""
    gone = folder.with_name(f".{folder.name}.{secrets.token_hex(4)}.staged")
    folder.rename(gone)
    shutil.rmtree(gone)


def make_folder(folder: Path, *, mode: int = 0o777) -> None:
    """Make a folder, and those above it, where they are missing; their names are on the disk when this returns.

    Until then a power loss may take a folder with all that was brought to the disk in it.
    """
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(mode=mode, parents=True, exist_ok=True)
    for path in missing:
        fsync(path.parent)


def link_file(source: Path, path: Path) -> None:
    """Give a file a second name; where that cannot be, as between file systems, a copy."""
    try:
        os.link(source, path)
    except OSError:
        shutil.copyfile(source, path)


def fsync(path: Path) -> None:
    """Bring a file or a folder to the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_manifest(folder: Path, facts: Mapping[str, Any], *, names: Iterable[str] | None = None) -> None:
    """Write ``manifest.json``: the facts given, with size and SHA-256 of every other file in the folder.

    Parameters
    ----------
    folder : Path
    facts : mapping
    names : iterable of str, optional
        Only of these files, one of which may be a manifest of further ones.
    """
    every = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != MANIFEST)
    files = {
        name: {"bytes": (folder / name).stat().st_size, "sha256": digest(folder / name)}
        for name in sorted(every if names is None else names)
    }
    text = json.dumps({**facts, "files": files}, indent=2, ensure_ascii=False, sort_keys=True)
    (folder / MANIFEST).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> dict[str, Any]:
    """Return a folder's manifest after checking that every file has the size and digest it names.

    Raises
    ------
    InputError
        If the manifest is missing or unreadable, or a file is missing or differs.
    """
    try:
        manifest: dict[str, Any] = json.loads((folder / MANIFEST).read_text(encoding="utf-8"))
        files = {str(name): (int(facts["bytes"]), str(facts["sha256"])) for name, facts in manifest["files"].items()}
    except (FileNotFoundError, NotADirectoryError, ValueError, LookupError, TypeError, AttributeError):
        # Whatever else the system says, as that too many files are open, is not said of the folder.
        raise InputError(f"{folder} has no readable {MANIFEST}", hint="Restore the folder from a backup.") from None
    for name, (size, sha256) in files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != size or digest(path) != sha256:
            raise InputError(
                f"{path} is not the file that was published", hint="Restore the folder from a backup, or publish again."
            )
    return manifest


def _bring_to_disk(stage: Path) -> None:
    """Bring all of a folder to the disk.

    Linux waits in ``sync`` until everything is there, which takes seconds where as many ``fsync`` take minutes; only
    these tell of a failed write, and so the folder's own files, its manifest with their digests among them, have them.
    """
    paths = [*stage.rglob("*"), stage]
    if len(paths) > _MANY and sys.platform == "linux":
        os.sync()
        paths = [*stage.iterdir(), stage]
    for path in paths:
        fsync(path)


def digest(path: "Location") -> str:
    """Return the SHA-256 of a file in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _close_to_others(file: Path) -> None:
    """Take a file from everybody but its owner, if others can use it."""
    with suppress(FileNotFoundError):  # what SQLite keeps beside a database comes and goes
        mode = file.stat().st_mode
        if mode & 0o077:
            file.chmod(mode & 0o700)


def secret(path: Path) -> bytes:
    """Return a secret (32 bytes, mode 0600); the first of several callers makes it, and all get the same."""
    if not path.exists():
        made = path.with_name(f".{path.name}.{secrets.token_hex(4)}.staged")
        replace_file(made, secrets.token_bytes(KEY_BYTES), mode=0o600)
        with suppress(FileExistsError):
            path.hardlink_to(made)
        made.unlink()
        fsync(path.parent)
    found = path.read_bytes()
    if len(found) != KEY_BYTES:
        raise SettingsError(
            f"{path} has {len(found)} bytes, a key has {KEY_BYTES}: it is damaged, or is not the file it should be",
            hint=f"Restore the file from a backup. {_LOST.get(path.name, '')}",
        )
    return found


_LOST = {
    "listener.key": accepting("key"),
    "store.key": accepting("store"),
    "contacts.key": "Or remove it: a new one is made, and all that was told of contacts has to be told again.",
    "token.key": "Or remove it: a new one is made, and tokens of before are not accepted any more.",
}


def _has_entries(ledger: Path) -> bool:
    """Tell whether a ledger has a line, or cannot be asked."""
    if not ledger.exists() or not ledger.stat().st_size:
        return False
    try:
        with closing(sqlite3.connect(ledger)) as connection:
            return connection.execute("SELECT 1 FROM entries LIMIT 1").fetchone() is not None
    except sqlite3.Error:
        return True
