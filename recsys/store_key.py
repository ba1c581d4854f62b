"""The store key, under which the keys of the days lie: a file of the workspace, or what is kept outside it."""

import shlex
import subprocess
from functools import lru_cache
from pathlib import Path

from recsys.errors import NotReadyError, SettingsError
from recsys.settings import StoreSettings
from recsys.workspace import KEY_BYTES, secret

DEFAULT = "store.key"

_SECONDS = 60  # that a vault has to answer
_MAKE = "`openssl rand -hex 32` makes one."


def store_key(settings: StoreSettings, *, default: Path) -> bytes:
    """Return the store key (32 bytes) from where the settings say it is.

    Parameters
    ----------
    settings : StoreSettings
    default : Path
        The file that holds it where they say nothing; made (mode 0600) when missing.

    Raises
    ------
    SettingsError
        If it is not there, or is no key, or anybody on the machine may use the file that holds it.
    NotReadyError
        If the command fails or does not answer: a vault may be sealed or away for a while.
    """
    text, command = settings.key.get_secret_value(), settings.key_command.get_secret_value()
    if text:
        return _decoded(text.encode(), "HEARABOUTS__STORE__KEY, or store.key,")
    if command:
        return _decoded(_told(command), "what store.key_command prints")
    return read_key(settings.key_file) if settings.key_file else secret(default)


def is_in_workspace(settings: StoreSettings) -> bool:
    """Tell whether the settings leave the store key where the private store is."""
    return not (settings.key.get_secret_value() or settings.key_command.get_secret_value() or settings.key_file)


def read_key(file: Path) -> bytes:
    """Return the key that a file of the operator's holds.

    Raises
    ------
    SettingsError
        If it is not there, is no key, or is everybody's.
    """
    try:
        mode, content = file.stat().st_mode, file.read_bytes()
    except OSError as error:
        raise SettingsError(
            f"the store key cannot be read from {file} ({error.strerror})",
            hint=f"Mount or restore it, and check store.key_file. For a new store: {_MAKE}",
        ) from None
    if mode & 0o007:
        raise SettingsError(
            f"anybody may use {file}, which holds the store key: its mode is {mode & 0o777:04o}, expected 0600",
            hint=f"chmod 0600 {file}",
        )
    return _decoded(content, str(file))


def forget_told() -> None:
    """Let the command be asked anew: the key that it told before is not the right one any more."""
    _told.cache_clear()


@lru_cache(maxsize=1)
def _told(command: str) -> bytes:
    """Return what a command prints. It is no shell's, and asked once in the life of a job or an endpoint."""
    try:
        done = subprocess.run(shlex.split(command), check=True, timeout=_SECONDS, stdout=subprocess.PIPE)  # noqa: S603
    except (subprocess.SubprocessError, ValueError) as error:  # whose words hold the command, which may hold a token
        how = "has no end" if isinstance(error, subprocess.TimeoutExpired) else "failed"
        raise NotReadyError(
            f"store.key_command {how}, and without the store key no private file can be read or written",
            hint="Run it by hand: it has to print 64 hex digits. Is the vault open?",
        ) from None
    except (FileNotFoundError, PermissionError) as error:
        raise SettingsError(
            f"the program of store.key_command cannot be run ({error.strerror})", hint="Check its path and mode."
        ) from None
    return done.stdout


def _decoded(content: bytes, what: str) -> bytes:
    """Return a key from its 64 hex digits, or from its 32 bytes as they are."""
    if len(content) == KEY_BYTES:
        return content
    try:
        key = bytes.fromhex(content.decode("ascii"))
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise SettingsError(f"{what} is no key: expected {2 * KEY_BYTES} hex digits", hint=_MAKE)
    return key
