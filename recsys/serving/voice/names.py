"""Names by ear: which of very many a text that was heard comes closest to, in some milliseconds."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

from recsys.serving.voice.hearing import likeness, plain, sounds, without_signs

T = TypeVar("T")

_PAIRS = 1 << 16  # kinds of pairs of letters: of other scripts some share one
_SOME = 500  # names that share most pairs, of which some may not be wanted
_CLOSE = 24  # names that are compared letter by letter at most
_NEARLY = 0.6  # of the pairs that the first of them shares


class Match(NamedTuple, Generic[T]):
    """A name that was found: how alike it is to what was heard, 0 to 1, and whose it is."""

    likeness: float
    of: T


@dataclass(frozen=True, eq=False)
class Names(Generic[T]):
    """Names, found by the pairs of letters that they sound of; build it with :func:`names_of`.

    Parameters
    ----------
    letters, sounds : sequence of str
        Of each name, without spaces.
    owners : sequence
        Whose name it is.
    lengths : numpy.ndarray
        Pairs of each.
    names, starts : numpy.ndarray
        The names that have a pair, one pair after the other, and where each pair's begin.
    """

    letters: Sequence[str]
    sounds: Sequence[str]
    owners: Sequence[T]
    lengths: NDArray[np.int32]
    names: NDArray[np.int32]
    starts: NDArray[np.int64]

    def like(self, text: str, *, is_wanted: Callable[[T], bool] = lambda _: True) -> list[Match[T]]:
        """Return, of the names that are wanted, those most alike to a text that was heard, the most first."""
        sound = sounds(text)
        letters = text.replace(" ", "")
        found = [
            Match((likeness(letters, self.letters[at]) + likeness(sound, self.sounds[at])) / 2, self.owners[at])
            for at in self._closest(sound, is_wanted)
        ]
        return sorted(found, key=lambda each: -each.likeness)

    def _closest(self, sound: str, is_wanted: Callable[[T], bool]) -> list[int]:
        """Return the names that are worth a closer look: those that share nearly as many pairs as any."""
        shared = [(at, share) for at, share in self._sharing(sound) if is_wanted(self.owners[at])][:_CLOSE]
        return [at for at, share in shared if share >= _NEARLY * shared[0][1]]

    def _sharing(self, sound: str) -> list[tuple[int, float]]:
        """Return the names that share most pairs with a sound, the most first, by Dice's coefficient, which is told."""
        if not sound or not self.owners:
            return []
        pairs, _ = _pairs_of([sound])
        having = [self.names[self.starts[pair] : self.starts[pair + 1]] for pair in np.unique(pairs)]
        shared = np.bincount(np.concatenate(having), minlength=len(self.letters))
        share = 2 * shared / (self.lengths + len(pairs))
        some = np.argpartition(-share, min(_SOME, len(share)) - 1)[:_SOME]
        ordered = some[np.argsort(-share[some], kind="stable")]
        return [(int(at), float(share[at])) for at in ordered if share[at] > 0]


def names_of(owned: Iterable[tuple[str, T]], *, languages: Iterable[str] = ()) -> Names[T]:
    """Return an index of names (as :func:`searchable` spells them), each also as numbers in it are said.

    Parameters
    ----------
    owned : iterable of (str, object)
        Names, and whose they are.
    languages : iterable of str
        In which numbers in them are said.
    """
    written = list(owned)
    joined = without_signs("\n".join(name for name, _ in written))  # all at once: one by one takes seconds
    forms = [each.split("\n") for each in (joined, *(plain(joined, language) for language in languages))]
    ways = zip(*forms, strict=True) if written else ()
    found = [(form, at) for at, some in enumerate(ways) for form in dict.fromkeys(some)]
    letters = "\n".join(form for form, _ in found)
    sounded = sounds(letters).split("\n")
    pairs, lengths = _pairs_of(sounded)
    of = np.repeat(np.arange(len(sounded)), lengths)
    pair, name = np.divmod(np.unique(pairs * len(sounded) + of), len(sounded))  # a pair counts once in a name
    starts = np.searchsorted(pair, np.arange(_PAIRS + 1))
    owners = [written[at][1] for _, at in found]
    return Names(letters.replace(" ", "").split("\n"), sounded, owners, lengths, name.astype(np.int32), starts)


def _pairs_of(texts: Sequence[str]) -> tuple[NDArray[np.int64], NDArray[np.int32]]:
    """Return the pairs of neighbouring letters of texts as numbers, ends included, and how many each text has."""
    joined = np.frombuffer("".join(f"\n{text}\n" for text in texts).encode("utf-32-le"), dtype=np.uint32).astype(
        np.int64
    )
    pairs = (joined[:-1] * 31 + joined[1:]) % _PAIRS
    lengths = np.array([len(text) + 1 for text in texts], dtype=np.int32)
    inside = np.ones(len(pairs), dtype=bool)
    inside[np.cumsum(lengths[:-1] + 1) - 1] = False  # between two texts
    return pairs[inside], lengths
