"""Why a track is on a chart, in one sentence that names the numbers behind it."""

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from recsys.artifacts.list_candidates import DEBUT, GUESS, LIKELY, LOCAL, POPULAR, RISING, SURELY
from recsys.geography.places import WORLD
from recsys.messages import Message, Value, counted, said


def reason(line: Mapping[str, Any]) -> Message:
    """Return the sentence for a line of a chart; it claims no more than the intervals do.

    It never says "here": it is also read on the lists of other places, which say before it whose numbers these are.

    Parameters
    ----------
    line : mapping
        ``chart``, ``place``, ``estimate``, ``low``, ``high``, ``lift``, ``lift_low``, ``lift_high``, ``nights``,
        ``kind`` and ``grade``.
    """
    told = _SAID[line["chart"]](line)
    if line["grade"] == LIKELY:
        return said("Likely: {told}", told=told.begun("lower"))
    if line["grade"] == GUESS:
        return said("A guess: {told} It may well be chance.", told=told.begun("lower"))
    if line["chart"] == RISING and line["grade"] == SURELY and line["lift_low"] <= 1:
        return said("{told} It may still be chance.", told=told)
    return told


def _rising(line: Mapping[str, Any]) -> Message:
    return _debut(line) if line["kind"] == DEBUT else _mover(line)


def _local(line: Mapping[str, Any]) -> Message:
    return said(
        "{about}, {lift} times ({lift_low} to {lift_high}) what the rest of the world would let expect of a place this "
        "size.",
        about=_about(line),
        **_times(line),
    )


def _popular(line: Mapping[str, Any]) -> Message:
    about = _about(line)
    if line["place"] == WORLD:
        return said("{about} worldwide, between {low} and {high} with 95 % certainty.", about=about, **_between(line))
    if line["lift_low"] > 1 or line["lift_high"] < 1:
        return said(
            "{about}; its share is {lift} times ({lift_low} to {lift_high}) the world's.", about=about, **_times(line)
        )
    return said("{about}; no clear difference from its share in the world.", about=about)


def _mover(line: Mapping[str, Any]) -> Message:
    return counted(
        "{about} over the last night, {lift} times ({lift_low} to {lift_high}) what the weeks before would let expect.",
        "{about} over the last {n} nights, {lift} times ({lift_low} to {lift_high}) what the weeks before would let "
        "expect.",
        line["nights"],
        about=_about(line),
        **_times(line),
    )


def _debut(line: Mapping[str, Any]) -> Message:
    return counted(
        "New: {about} over the last night, between {low} and {high} with 95 % certainty, and hardly any before.",
        "New: {about} over the last {n} nights, between {low} and {high} with 95 % certainty, and hardly any before.",
        line["nights"],
        about=_about(line).begun("lower"),
        **_between(line),
    )


_SAID = {POPULAR: _popular, RISING: _rising, LOCAL: _local}


def _about(line: Mapping[str, Any]) -> Message:
    if line["estimate"] < 1:
        return said("Fewer than one contributing listener a night")
    return counted(
        "About {n} contributing listener a night",
        "About {n} contributing listeners a night",
        _spoken(line["estimate"]),
    )


def _between(line: Mapping[str, Any]) -> dict[str, Value]:
    return {"low": _spoken(line["low"]), "high": _spoken(line["high"])}


def _times(line: Mapping[str, Any]) -> dict[str, Value]:
    return {name: _multiple(line[name]) for name in ("lift", "lift_low", "lift_high")}


def _multiple(lift: float) -> Value:
    if lift < 1:
        return Decimal(f"{lift:.2f}")
    return Decimal(f"{lift:.1f}") if lift < 10 else _spoken(lift)


def _spoken(number: float) -> int:
    """Round to two significant digits, as one would say it."""
    return round(float(f"{number:.2g}"))
