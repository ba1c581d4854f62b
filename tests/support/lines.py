"""Lines of charts as they are told: rounded, as an item of a list has them."""

from collections.abc import Mapping
from typing import Any


def told(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the item of a line, as far as its reason needs it; its numbers are as they are."""
    return {
        "listeners": {name: line[name] for name in ("estimate", "low", "high")},
        "lift": line["lift"],
        "lift_interval": {"low": line["lift_low"], "high": line["lift_high"]},
        **{name: line[name] for name in ("nights", "kind", "grade")},
    }
