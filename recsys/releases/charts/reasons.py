"""Why a track is on a chart, in one sentence that names the numbers behind it."""

from collections.abc import Mapping
from typing import Any

from recsys.artifacts.list_candidates import GUESS, LIKELY, LOCAL, POPULAR, RISING, SURELY
from recsys.geography.places import WORLD
from recsys.releases.charts.charts import DEBUT


def reason(line: Mapping[str, Any]) -> str:
    """Return the sentence for a line of a Chart; it claims no more than the intervals do.

    It never says "here": it is also read on the lists of other places, which say before it whose numbers these are.
    """
    said = _SAID[line["chart"]](line)
    if line["grade"] == LIKELY:
        return f"Likely: {said[0].lower()}{said[1:]}"
    if line["grade"] == GUESS:
        return f"A guess: {said[0].lower()}{said.removesuffix('.')[1:]}; it may well be chance."
    return said


def _rising(line: Mapping[str, Any]) -> str:
    said = _debut(line) if line["kind"] == DEBUT else _mover(line)
    may_be_chance = line["grade"] == SURELY and line["lift_low"] <= 1
    return f"{said.removesuffix('.')}; it may still be chance." if may_be_chance else said


def _local(line: Mapping[str, Any]) -> str:
    return f"{_about(line)}, {_times(line)} what the rest of the world would let expect of a place this size."


def _popular(line: Mapping[str, Any]) -> str:
    if line["place"] == WORLD:
        return f"{_about(line)} worldwide, {_between(line)}."
    if line["lift_low"] > 1 or line["lift_high"] < 1:
        return f"{_about(line)}; its share is {_times(line)} the world's."
    return f"{_about(line)}; no clear difference from its share in the world."


def _mover(line: Mapping[str, Any]) -> str:
    return f"{_about(line)} {_lately(line)}, {_times(line)} what the weeks before would let expect."


def _debut(line: Mapping[str, Any]) -> str:
    about = _about(line)
    return f"New: {about[0].lower()}{about[1:]} {_lately(line)}, {_between(line)}, and hardly any before."


_SAID = {POPULAR: _popular, RISING: _rising, LOCAL: _local}


def _between(line: Mapping[str, Any]) -> str:
    return f"between {_spoken(line['low'])} and {_spoken(line['high'])} with 95 % certainty"


def _lately(line: Mapping[str, Any]) -> str:
    return "over the last night" if line["nights"] == 1 else f"over the last {line['nights']} nights"


def _about(line: Mapping[str, Any]) -> str:
    if line["estimate"] < 1:
        return "Fewer than one contributing listener a night"
    spoken = _spoken(line["estimate"])
    return f"About {spoken} contributing listener{'' if spoken == '1' else 's'} a night"


def _times(line: Mapping[str, Any]) -> str:
    return f"{_multiple(line['lift'])} times ({_multiple(line['lift_low'])} to {_multiple(line['lift_high'])})"


def _multiple(lift: float) -> str:
    if lift < 1:
        return f"{lift:.2f}"
    return f"{lift:.1f}" if lift < 10 else _spoken(lift)


def _spoken(number: float) -> str:
    """Round to two significant digits, as one would say it."""
    return f"{round(float(f'{number:.2g}')):,}"
