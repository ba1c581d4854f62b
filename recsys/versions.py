"""The versions of what is kept: what this release knows it reads or migrates, everything else it refuses untouched."""

from collections.abc import Collection

from recsys.errors import InputError


def check_version(what: str, found: object, *, known: Collection[object]) -> None:
    """Refuse what another release wrote.

    Parameters
    ----------
    what : str
        In words, with its path.
    found : object
        The version that it says it has.
    known : collection
        Those that this release reads, the present one last.

    Raises
    ------
    InputError
        If it is not among them.
    """
    if found not in known:
        raise InputError(
            f"{what} is of version {_shown(found)}, this release reads {_shown(list(known)[-1])} and before",
            hint="Use the release of Hearabouts that wrote it, or a later one; nothing was changed.",
        )


def check_columns(what: str, table: str, found: Collection[str], *, expected: Collection[str]) -> None:
    """Refuse a table that is not what its version says.

    Raises
    ------
    InputError
        If it has other columns; the message counts them, and names only those that are ours.
    """
    missing = sorted(set(expected) - set(found))
    unknown = len(set(found) - set(expected))
    if missing or unknown:
        lacks = f"lacks {', '.join(missing)}" if missing else "lacks nothing"
        raise InputError(
            f"{what} has another table {table!r} than this release: it {lacks} and has {unknown} unknown columns",
            hint="Restore it from a backup, or use the release of Hearabouts that wrote it; nothing was changed.",
        )


def _shown(version: object) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in str(version))[:20]
