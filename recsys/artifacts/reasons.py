"""Why a track is on a chart, in one sentence that names the numbers behind it."""

from collections.abc import Mapping
from decimal import ROUND_HALF_UP, Decimal
from functools import lru_cache
from math import floor
from typing import Any

from recsys.artifacts.list_candidates import DEBUT, GUESS, LIKELY, LOCAL, POPULAR, RISING, SURELY
from recsys.geography.places import WORLD
from recsys.messages import Message, Value, counted, said


def reason(item: Mapping[str, Any], *, chart: str, place: str) -> Message:
    """Return the sentence for a line of a chart; it claims no more than the intervals do.

    It is made of the numbers as they are told, so that whoever has the item says the same, as the pages do. It never
    says "here": it is also read on the lists of other places, which say before it whose numbers these are.

    Parameters
    ----------
    item : mapping
        ``listeners``, ``lift``, ``lift_interval`` and ``nights``; where the line has them, ``kind`` and ``grade``.
    chart, place : str
        What the numbers are of.
    """
    told, grade = _told(item, chart=chart, place=place), item.get("grade")
    if grade == LIKELY:
        return said("Likely: {told}", told=told.begun("lower"))
    if grade == GUESS:
        return said("A guess: {told} It may well be chance.", told=told.begun("lower"))
    if chart == RISING and grade == SURELY and item["lift_interval"]["low"] <= 1:
        return said("{told} It may still be chance.", told=told)
    return told


@lru_cache(4096)
def half_up(number: float, *, digits: int) -> Decimal:
    """Round a number as it is written, a half upwards, as people do and the scripts of the pages."""
    return Decimal(str(number)).quantize(Decimal(1).scaleb(-digits), ROUND_HALF_UP)


def _told(item: Mapping[str, Any], *, chart: str, place: str) -> Message:
    if chart == POPULAR:
        return _popular(item, place=place)
    if chart == LOCAL:
        return _local(item)
    return _debut(item) if item.get("kind") == DEBUT else _mover(item)


def _local(item: Mapping[str, Any]) -> Message:
    return said(
        "{about}, {lift} times ({lift_low} to {lift_high}) what the rest of the world would let expect of a place this "
        "size.",
        about=_about(item),
        **_times(item),
    )


def _popular(item: Mapping[str, Any], *, place: str) -> Message:
    about, lift = _about(item), item["lift_interval"]
    if place == WORLD:
        return said("{about} worldwide, between {low} and {high} with 95 % certainty.", about=about, **_between(item))
    if lift["low"] > 1 or lift["high"] < 1:
        return said(
            "{about}; its share is {lift} times ({lift_low} to {lift_high}) the world's.", about=about, **_times(item)
        )
    return said("{about}; no clear difference from its share in the world.", about=about)


def _mover(item: Mapping[str, Any]) -> Message:
    return counted(
        "{about} over the last night, {lift} times ({lift_low} to {lift_high}) what the weeks before would let expect.",
        "{about} over the last {n} nights, {lift} times ({lift_low} to {lift_high}) what the weeks before would let "
        "expect.",
        item["nights"],
        about=_about(item),
        **_times(item),
    )


def _debut(item: Mapping[str, Any]) -> Message:
    return counted(
        "New: {about} over the last night, between {low} and {high} with 95 % certainty, and hardly any before.",
        "New: {about} over the last {n} nights, between {low} and {high} with 95 % certainty, and hardly any before.",
        item["nights"],
        about=_about(item).begun("lower"),
        **_between(item),
    )


def _about(item: Mapping[str, Any]) -> Message:
    estimate = item["listeners"]["estimate"]
    return _FEWER if estimate < 1 else _listeners(_spoken(estimate))


_FEWER = said("Fewer than one contributing listener a night")


@lru_cache(1024)  # two significant digits: there are few
def _listeners(n: int) -> Message:
    return counted("About {n} contributing listener a night", "About {n} contributing listeners a night", n)


def _between(item: Mapping[str, Any]) -> dict[str, Value]:
    return {name: _spoken(item["listeners"][name]) for name in ("low", "high")}


def _times(item: Mapping[str, Any]) -> dict[str, Value]:
    low, high = item["lift_interval"]["low"], item["lift_interval"]["high"]
    return {"lift": _multiple(item["lift"]), "lift_low": _multiple(low), "lift_high": _multiple(high)}


def _multiple(lift: float) -> Value:
    return half_up(lift, digits=2 if lift < 1 else 1) if lift < 10 else _spoken(lift)


def _spoken(number: float) -> int:
    """Round to two significant digits, as one would say it; what is below ten to a whole number."""
    step: int = 10 ** max(0, len(str(int(number))) - 2)
    return floor(number / step + 0.5) * step
