"""The end of a picture: where its own format says that it is over, so that nothing rides behind it.

A file that goes on, or stops before, is not only a picture: it is cut, or something else as well.
"""

import re
from collections.abc import Callable, Mapping

JPEG, PNG, WEBP, AVIF = FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")

_START, _END = b"\xff\xd8", 0xD9
_LENGTHLESS = {0x01, *range(0xD0, 0xD8)}
_MARKER = re.compile(
    rb"\xff+[^\x00\xff\xd0-\xd7]"
)  # in the data of a scan FF 00 is a byte, and FF D0 to FF D7 restart it
_SCAN = 0xDA
_PNG_HEAD = b"\x89PNG\r\n\x1a\n"


def format_of(content: bytes) -> str | None:
    """Return which of the formats a file begins as, whatever it is called; None for any other."""
    if content.startswith(_START + b"\xff"):
        return JPEG
    if content.startswith(_PNG_HEAD):
        return PNG
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return WEBP
    return AVIF if content[4:8] == b"ftyp" and content[8:12] in (b"avif", b"avis") else None


def is_whole(content: bytes, *, format_: str) -> bool:
    """Tell whether a file is one whole picture and nothing else.

    A camera may put further pictures behind a JPEG, as large previews or depth (MPF), and zeros between and after them.
    """
    try:
        return _ENDS[format_](content) == len(content)
    except (IndexError, ValueError):
        return False


def _end_of_jpegs(content: bytes) -> int:
    at = _end_of_jpeg(content, 0)
    while at < len(content):
        found = len(content) - len(content[at:].lstrip(b"\0"))
        if found == len(content):
            return found
        at = _end_of_jpeg(content, found)
    return at


def _end_of_jpeg(content: bytes, start: int) -> int:
    """Return where a JPEG ends, or raise ValueError: its segments have lengths, and its scans end at a marker."""
    if content[start : start + 2] != _START:
        raise ValueError("no picture begins here")
    at = start + 2
    while True:
        marker, at = _marker(content, at)
        if marker == _END:
            return at
        if marker not in _LENGTHLESS:
            at += int.from_bytes(content[at : at + 2], "big")
        if marker == _SCAN:
            found = _MARKER.search(content, at)
            if found is None:
                raise ValueError("a scan does not end")
            at = found.start()


def _marker(content: bytes, at: int) -> tuple[int, int]:
    """Return a marker and where what follows it begins; any number of FF may stand before it."""
    if content[at] != 0xFF:
        raise ValueError("no marker is here")
    while content[at] == 0xFF:
        at += 1
    return content[at], at + 1


def _end_of_png(content: bytes) -> int:
    at, name = len(_PNG_HEAD), b""
    while name != b"IEND":
        length, name = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        if len(name) < 4:
            raise ValueError("a chunk is missing")
        at += 12 + length
    return at


def _end_of_webp(content: bytes) -> int:
    length = int.from_bytes(content[4:8], "little")
    return 8 + length + length % 2


def _end_of_avif(content: bytes) -> int:
    at = 0
    while at < len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        head = 16 if length == 1 else 8
        length = int.from_bytes(content[at + 8 : at + 16], "big") if length == 1 else length
        if length < head or content[at + 4 : at + 8] not in _BOXES:
            raise ValueError("a box is none of a picture's")
        at += length
    return at


_BOXES = (b"ftyp", b"meta", b"mdat", b"moov", b"free", b"skip", b"uuid")
_ENDS: Mapping[str, Callable[[bytes], int]] = {
    JPEG: _end_of_jpegs,
    PNG: _end_of_png,
    WEBP: _end_of_webp,
    AVIF: _end_of_avif,
}
