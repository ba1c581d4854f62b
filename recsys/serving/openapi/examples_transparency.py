"""What the OpenAPI document shows of the account that the endpoint gives of itself."""

from typing import Any

from recsys.consents.log import Purpose

TRANSPARENCY: dict[str, Any] = {
    "controller": "the operator of this Hearabouts endpoint",
    "contact": "privacy@example.org",
    "notice_version": "2026-09",
    "last_night": "2025-06-30",
    "last_run": "2025-07-01T04:00:00+00:00",
    "purposes": [{"purpose": p.value, "text": p.explained, "default": "withdrawn"} for p in Purpose],
    "collected": [
        {
            "what": "where a play happened",
            "purposes": ["contribute_trends", "partner_statistics"],
            "how_coarse": "an H3 cell of resolution 5 or coarser; the position is forgotten in memory",
            "kept": "35 nights",
            "seen_by": "nobody; counts of many listeners are published with noise",
        }
    ],
    "area": {
        "finest_resolution": 5,
        "average_cell_km2": 252.9,
        "smallest_region_km2": 161.2,
        "largest_region_km2": 14904.7,
        "regions": 11593,
        "people_at_least": 100000,
        "precise_by_law_km2": 3.14,
        "explained": "A cell of resolution 5 covers 253 km² on average.",
    },
    "privacy": {
        "unit": "one listener, with everything that this listener adds",
        "rho_per_night": 0.015,
        "delta": 1e-6,
        "most_per_night": 10,
        "most_per_28_nights": 120,
        "most_per_365_nights": 1000,
        "counted": "A chart's listeners a night are those who agreed to be counted and played the track at home.",
        "account": {
            "at": "2025-07-01T04:00:00+00:00",
            "delta": 1e-6,
            "spent": [
                {"purpose": "charts", "nights": "last night", "releases": 1, "rho": 0.015, "epsilon": 0.77},
            ],
            "meaning": "What this means for you. A coin is right 50 times of 100.",
        },
    },
    "not_private": ["Your own list is computed from your own history, for you: whoever sees your screen sees it."],
}
