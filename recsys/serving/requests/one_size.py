"""Answers of one size: what a listener is answered ends in spaces, so that its length tells nothing of what it says.

JSON may end in white space (RFC 8259), so that no client has to know of it. Nobody may pack such an answer on its way:
the spaces would be packed, too.
"""

from collections.abc import Iterable, Iterator
from itertools import chain, pairwise

STEP = 4_096  # bytes: what is said of a listener's switches and receipts is seldom longer
EXPORT_STEP = 65_536  # bytes: what is held about a listener is exported in so many, or in twice as many, and so on


def padded(body: bytes, *, to: int = STEP) -> bytes:
    """Return JSON with spaces behind it, as long as the next multiple of a number of bytes."""
    return body.ljust(-(-len(body) // to) * to)


def padded_lines(lines: Iterable[str], *, to: int = EXPORT_STEP) -> Iterator[str]:
    """Yield lines, the last one with spaces before its end, all together as long as the next multiple."""
    length = 0
    for line, following in pairwise(chain(lines, [""])):
        length += len(line.encode())
        yield line if following else line.removesuffix("\n") + " " * (-length % to) + "\n"
