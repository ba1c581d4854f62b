"""What is worked out once for every snapshot, and forgotten with it."""

from collections.abc import Callable
from typing import TypeVar
from weakref import WeakKeyDictionary

from recsys.serving.snapshot.snapshot_reader import Published

T = TypeVar("T")


def once_a_snapshot(function: Callable[[Published], T]) -> Callable[[Published], T]:
    """Return a function that remembers its results, but keeps no snapshot open."""
    known: WeakKeyDictionary[Published, T] = WeakKeyDictionary()

    def found(published: Published) -> T:
        if published not in known:
            known[published] = function(published)
        return known[published]

    return found
