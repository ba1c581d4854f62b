"""Entity tags and gzip of public answers: the same for a file behind nginx, the same file here, and an answer made now.

nginx tags a file by the time it was changed and its size, and cannot be told another tag without a line of its
configuration for every file. So the time of a public file is no time but the beginning of its digest.
"""

import gzip

_WORTH = 1024  # bytes that are worth packing: fewer go in one packet either way


def modified(sha256: str) -> int:
    """Return the first 31 bits of a digest, which are the modification time of a file in seconds."""
    return int(sha256[:8], 16) >> 1


def entity_tag(sha256: str, *, size: int) -> str:
    """Return the strong tag (RFC 9110, 8.8.3) that nginx gives a file with such a time and size."""
    return f'"{modified(sha256):x}-{size:x}"'


def packed(body: bytes) -> bytes | None:
    """Return a body in gzip, alike each time; None where that saves nothing worth it."""
    if len(body) < _WORTH:
        return None
    smaller = gzip.compress(body, 9, mtime=0)
    return smaller if len(smaller) < len(body) else None
