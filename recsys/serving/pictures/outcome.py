"""Outcome of remaking a picture: the exit codes of the program that does it."""

from enum import IntEnum


class Outcome(IntEnum):
    """How it ended."""

    MADE = 0
    BROKEN = 1  # as Python ends where nobody foresaw it
    NO_PICTURE = 3  # of a kind that is taken
    NOT_WHOLE = 4
    MOVES = 5
    TOO_MANY_PIXELS = 6
    TOO_MUCH = 7  # memory or time; a process that is killed for it says nothing
