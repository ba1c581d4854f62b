"""Drawn covers: a small picture for every track, which follows from its id, so that nobody is asked for one.

``covers.js`` draws the same in the browser, for what only the browser may ask for.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

COLOURS = 12  # of the palette, which is in page.css
_FIGURES = 6  # in frame.html, each large and small
_BITS = 0xFFFFFFFF


@dataclass(frozen=True)
class Figure:
    """A figure of a cover: its name in the frame, the class of its colour, and where its middle is, of 24 by 24."""

    name: str
    colour: str
    x: int
    y: int


@dataclass(frozen=True)
class Cover:
    """A cover: the class of its ground's colour, and what is on it, the lowest first."""

    ground: str
    figures: Sequence[Figure]


def cover_of(track_id: str) -> Cover:
    """Return the cover of a track: a ground, a large figure of another lightness, and a light small one."""
    take = _taking(_hash(track_id))
    ground = take(COLOURS)
    large = (ground + 3 + 2 * take(4)) % COLOURS
    figures = [_figure(kind, colour, take) for kind, colour in (("l", f"c{large}"), ("s", "light"))]
    return Cover(f"c{ground}", figures)


def _figure(kind: str, colour: str, take: Callable[[int], int]) -> Figure:
    return Figure(f"{kind}{take(_FIGURES)}", colour, 4 + 8 * take(3), 4 + 8 * take(3))


def _taking(number: int) -> Callable[[int], int]:
    """Return what takes parts of a number, one after the other, each below a bound."""
    left = number

    def take(below: int) -> int:
        nonlocal left
        left, taken = divmod(left, below)
        return taken

    return take


def _hash(text: str) -> int:
    """Return 32 bits of a text: FNV-1a, and the last step of MurmurHash3, which mixes what it leaves alike."""
    found = 0x811C9DC5
    for byte in text.encode():
        found = ((found ^ byte) * 0x01000193) & _BITS
    found = ((found ^ (found >> 16)) * 0x85EBCA6B) & _BITS
    found = ((found ^ (found >> 13)) * 0xC2B2AE35) & _BITS
    return found ^ (found >> 16)
