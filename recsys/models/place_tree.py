"""The tree of places that a model may come from: world, countries, and the parts listeners are at home in."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from recsys.models.interactions import IntArray, Interactions

WORLD_ROW = -1  # position of the world: the last row of whatever has one row per place
NOWHERE = -1  # the number of no country


@dataclass(frozen=True)
class Places:
    """The p parts that are some listener's home, and after them their c countries.

    Parameters
    ----------
    names : tuple of str
        (p + c,) a country's ends in ``/*``: a part may bear its name, the remainder of what is in no finer part.
    parents : numpy.ndarray
        (p + c,) position of each place's country; the world's where that is not known, and that of every country.
    parts : int
        p.
    """

    names: tuple[str, ...] = field(repr=False)
    parents: IntArray = field(repr=False)
    parts: int
    position: Mapping[str, int] = field(repr=False)
    country: Mapping[str, int] = field(repr=False)

    @classmethod
    def of(cls, interactions: Interactions) -> "Places":
        """Return the tree of the listeners' homes."""
        parts, parents = interactions.parts, interactions.parents
        known = set(parents) - {""}
        country_names = [parent or (part if part in known else "") for part, parent in zip(parts, parents, strict=True)]
        countries = sorted(known)
        country = {name: len(parts) + position for position, name in enumerate(countries)}
        above = [country.get(name, WORLD_ROW) for name in country_names] + [WORLD_ROW] * len(countries)
        position = {part: position for position, part in enumerate(parts)}
        names = (*parts, *(f"{name}/*" for name in countries))
        return cls(names, np.array(above, dtype=np.int64), len(parts), position, country)

    def __len__(self) -> int:
        """Return p + c."""
        return len(self.names)

    def rows(self, interactions: Interactions, place: int) -> IntArray:
        """Return the sorted rows of the listeners at home in a place."""
        if place < self.parts:
            return interactions.rows_of(place)
        here = np.append(self.parents[: self.parts], WORLD_ROW) == place
        return np.flatnonzero(here[interactions.homes])

    def sizes(self, interactions: Interactions) -> IntArray:
        """Return (p + c,) the number of listeners at home in each place."""
        residents = interactions.residents()
        inside = self.parents[: self.parts]
        return np.append(residents, [residents[inside == place].sum() for place in range(self.parts, len(self))])

    def countries(self) -> tuple[tuple[str, ...], IntArray]:
        """Return (k,) names of countries, and (p + c + 1,) the number of each place's among them; -1 for the world.

        A part whose country is not known is one by itself.
        """
        itself = np.arange(len(self))
        chosen, number = np.unique(np.where(self.parents == WORLD_ROW, itself, self.parents), return_inverse=True)
        return tuple(self.names[place].removesuffix("/*") for place in chosen), np.append(number, NOWHERE)

    def homes_of(self, interactions: Interactions) -> IntArray:
        """Return (n,) the place of each listener of any interactions: their part if it is here, else its country."""
        parts, parents = interactions.parts, interactions.parents
        found = [
            self.position.get(part, self.country.get(parent or part, WORLD_ROW))
            for part, parent in zip(parts, parents, strict=True)
        ]
        return np.array([*found, WORLD_ROW], dtype=np.int64)[interactions.homes]

    def nearest(self, chosen: set[int] | frozenset[int]) -> IntArray:
        """Return (p + c + 1,) the first of place, country and world that is among the chosen; the world always is."""
        steps = [(place, int(self.parents[place]), WORLD_ROW) for place in range(len(self))]
        found = (next(place for place in step if place in chosen or place == WORLD_ROW) for step in steps)
        return np.array([*found, WORLD_ROW], dtype=np.int64)
