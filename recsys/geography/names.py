"""The index of names: which places a name may mean, the likeliest first, whoever asks."""

from collections.abc import Callable, Iterable
from typing import NamedTuple

from recsys.geography.spelling import searchable

_OWN = 10  # an own name outweighs another name of a place with up to ten times the people
_LIKELY = 20  # whatever weighs twenty times less than the likeliest is not meant


class Name(NamedTuple):
    """What a name may mean.

    Parameters
    ----------
    search : str
        The name, as :func:`searchable` spells it.
    place : str
        The id of the place: the region or the country that a town lies in.
    town : str
        What is called so, as it is written: a town, or the place itself.
    people : int
        Who live there.
    own : bool
        Whether it is the own name; else it is one of its names in other languages, or for short.
    """

    search: str
    place: str
    town: str
    people: int
    own: bool

    @property
    def weight(self) -> int:
        """How likely it is meant: people decide, and an own name counts for more."""
        return self.people * (_OWN if self.own else 1)


def meant(text: str, *, named: Callable[[str], Iterable[Name]], chain: Callable[[str], Iterable[str]]) -> list[Name]:
    """Return what a text may mean, the likeliest first and each place once: a name, or ``NAME, WITHIN``.

    Parameters
    ----------
    text : str
        As a person types it.
    named : callable
        Everything that is called so, in the spelling of :func:`searchable`.
    chain : callable
        The id of a place, and those of the places it lies in.
    """
    found = _likeliest(named(searchable(text)))
    if found or "," not in text:
        return found
    name, _, within = text.rpartition(",")
    around = {each.place for each in named(searchable(within))}
    return _likeliest(each for each in named(searchable(name)) if around & set(chain(each.place)))


def likely(found: list[Name]) -> list[Name]:
    """Return those that may be meant beside the first, which is taken."""
    return [each for each in found[1:] if each.weight * _LIKELY >= found[0].weight]


def _likeliest(names: Iterable[Name]) -> list[Name]:
    ordered = sorted(names, key=lambda each: (-each.weight, each.place, each.town))
    first: dict[str, Name] = {}
    for each in ordered:
        first.setdefault(each.place, each)
    return list(first.values())
