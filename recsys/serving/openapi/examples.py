"""The examples and error answers that the OpenAPI document shows."""

from typing import Any

from recsys.serving.requests.problems import MEDIA_TYPE, Problem

_LISBON = {
    "id": "8539336bfffffff",
    "name": "Lisbon",
    "country": "Portugal",
    "level": "region",
    "parent": "PT",
    "centre": {"latitude": 38.73, "longitude": -9.17},
    "population": 517802,
}

REGIONS: dict[str, Any] = {"as_of": "2025-06-30", "regions": [_LISBON]}

NUMBER_ONES: dict[str, Any] = {
    "as_of": "2025-06-30",
    "total": 1,
    "tracks": [{"track_id": "t000123", "title": "Paper Lanterns", "artist": "The Slow Ferries"}],
    "regions": [
        {
            **{key: _LISBON[key] for key in ("id", "name", "country", "parent")},
            "corners": [[-9.2, 38.8], [-9.3, 38.7], [-9.2, 38.6], [-9.1, 38.6], [-9.0, 38.7], [-9.1, 38.8]],
            "popular": 0,
            "local": 0,
            "grade": "likely",
        }
    ],
}

GEOJSON_REGIONS = {
    "type": "FeatureCollection",
    "features": [
        {
            "type": "Feature",
            "id": _LISBON["id"],
            "geometry": {"type": "Polygon", "coordinates": [[[-9.2, 38.8], [-9.3, 38.7], [-9.1, 38.6], [-9.2, 38.8]]]},
            "properties": _LISBON,
        }
    ],
}

_ITEM: dict[str, Any] = {
    "rank": 1,
    "previous_rank": 3,
    "nights_on_chart": 12,
    "track_id": "t000123",
    "title": "Paper Lanterns",
    "artist": "The Slow Ferries",
    "artist_id": "a000042",
    "listeners": {"estimate": 41.2, "low": 36.9, "high": 45.5},
    "lift": 2.31,
    "lift_interval": {"low": 2.01, "high": 2.64},
    "nights": 7,
    "history": {
        "first_night": "2025-05-02",
        "first_rank": 48,
        "peak_rank": 1,
        "peak_night": "2025-06-28",
        "nights": 51,
    },
    "reason": "About 41 contributing listeners a night; its share is 2.3 times (2.0 to 2.6) the world's.",
}

CHART = {
    "region": _LISBON,
    "scope": "region",
    "chart": "popular",
    "list": "q7mB1yX0cVn2kTzR5wHdJ8sL",
    "as_of": "2025-06-30",
    "location_used": False,
    "why": "Popular in Lisbon, Portugal, by listeners who contribute, over the 7 nights to 2025-06-30.",
    "price": {"first_20": 31, "rank_1": 84},
    "items": [_ITEM],
}

TRENDING = {key: value for key, value in CHART.items() if key != "price"} | {
    "chart": "trending",
    "list": "rPvX0bq5c1Yx2mWkTzR5wHdJ8sLq7mB1yX0cVn2kTzR5wHdJ8sL4gq9nD3aF6tU2eZ",
    "location_used": True,
    "history_used": True,
    "nights": 7,
    "why": "You allow your coarse location to choose this list, and your place is taken to be Lisbon, Portugal. What "
    "is popular, rising or special in Lisbon, Portugal and the larger places around it, by listeners who contribute, "
    "over the 7 nights to 2025-06-30. You allow your plays to choose, so what is close to them comes first.",
    "items": [
        _ITEM
        | {
            "reason": f"Close to what you play. {_ITEM['reason']}",
            "because": "close_to_what_you_play",
            "source": {"chart": "popular", "place": _LISBON["id"]},
            "page": "/songs/paper-lanterns-kgafdnfgbhofdbaf/",
            "artist_page": "/artists/the-slow-ferries-bbicpjipglfhieni/",
        }
    ],
}

_TRACK = {key: _ITEM[key] for key in ("track_id", "title", "artist_id", "artist")}
_WHERE = {"place": _LISBON["id"], "name": "Lisbon", "country": "Portugal", "level": "region"}
_PEAK = {"rank": 1, "night": "2025-06-28"}

NEXT_WEEK: dict[str, Any] = {
    "region": _LISBON,
    "scope": "region",
    "as_of": "2025-06-30",
    "until": "2025-07-07",
    "why": "Forecast for Lisbon, Portugal from published charts alone, by what came after such courses before. "
    "Songs that its chart has not named in four weeks cannot be foreseen.",
    "enters": [{"track": _TRACK, "rank": 57, "chance": 0.62}],
    "climbs": [],
    "weeks": [
        {
            "night": "2025-06-23",
            "until": "2025-06-30",
            "moves": [{"track": _TRACK, "event": "climbs", "chance": 0.71, "happened": True}],
            "expected": 0.7,
            "happened": 1,
        }
    ],
    "reliability": [{"low": 0.7, "high": 0.8, "forecasts": 41, "chance": 0.746, "happened": 0.732}],
}

TRACK: dict[str, Any] = {
    "track": _TRACK,
    "as_of": "2025-06-30",
    "drawn": "2025-07-01",
    "first_night": "2025-05-02",
    "peak": _PEAK,
    "nights": 51,
    "nights_in_row": 12,
    "places": {"popular": 1, "rising": 0, "local": 0},
    "popular": [
        _WHERE
        | {key: _ITEM[key] for key in ("rank", "previous_rank", "nights_on_chart", "listeners")}
        | {"peak_rank": 1, "lift": 2.31, "lift_interval": _ITEM["lift_interval"]}
    ],
    "rising": [],
    "local": [],
    "course": [{"night": "2025-06-30", "places": 1, "rank": 1, "world": {"rank": 48, "listeners": _ITEM["listeners"]}}],
    "here": {
        "place": _LISBON["id"],
        "nights": [{"night": "2025-06-30", "rank": 1, "listeners": _ITEM["listeners"]}],
    },
}

ARTIST: dict[str, Any] = {
    "artist_id": _TRACK["artist_id"],
    "artist": _TRACK["artist"],
    "as_of": "2025-06-30",
    "tracks": [
        {
            "track_id": _TRACK["track_id"],
            "title": _TRACK["title"],
            "places": 1,
            "rank": 1,
            "peak": _PEAK,
            "first_night": "2025-05-02",
            "nights": 51,
        }
    ],
    "places": [
        _WHERE
        | {
            "tracks": 1,
            "track_id": _TRACK["track_id"],
            "title": _TRACK["title"],
            "rank": 1,
            "listeners": _ITEM["listeners"],
        }
    ],
}

SEARCH: dict[str, Any] = {
    "as_of": "2025-06-30",
    "places": [_LISBON],
    "tracks": [_TRACK | {"page": "/songs/paper-lanterns-gkeipmpbglcdnnla/"}],
    "artists": [
        {
            "artist_id": _TRACK["artist_id"],
            "artist": _TRACK["artist"],
            "page": "/artists/the-slow-ferries-dgkhofpbekndoiho/",
        }
    ],
}

RELEASES: dict[str, Any] = {
    "as_of": "2025-06-30",
    "charted": ["2025-06-30"],
    "weeks": ["2025-W26"],
    "nights": [
        {
            "name": "2025-06-30",
            "drawn": "2025-07-01",
            "files": [
                {
                    "name": "counts.parquet",
                    "url": "/v1/releases/2025-06-30/counts.parquet",
                    "bytes": 465411,
                    "sha256": "77e2f811977e89827716ce2ba18b4c14e12e9f23eb4871b7f9bbac99f6ba725c",
                }
            ],
        }
    ],
    "months": [],
}

TWIN = {
    "as_of": "2025-06-30",
    "history_used": True,
    "surely": "among_the_first_five",
    "why": "You listen most like Lisbon, Portugal; the place that you listen like is surely among these five. By the "
    "published charts of the nights to 2025-06-30 and your own plays, of which nothing is stored.",
    "places": [{"rank": 1, "region": _LISBON, "weight": 0.81}],
}

PROBLEM: Problem = {
    "type": "/problems/position",
    "title": "Positions are refused",
    "status": 400,
    "detail": "the request carries a position, which is neither needed nor wanted here",
    "hint": "Send no position at all, or an H3 cell of resolution 5 or coarser as the parameter `cell`.",
}

READY = {"status": "ready", "snapshot": "2025-06-30-0123abcd", "as_of": "2025-06-30", "old": False, "why": ""}

METRICS = 'hearabouts_consent_changes_total{purpose="local_trends",state="given"} 3.0\n'

_WHEN = {
    400: "A parameter does not fit, or the request carries a position.",
    401: "No valid token; whatever is wrong with it, the answer is the same.",
    403: "The listener does not allow this.",
    404: "There is no such place, chart, night, song, list, picture, purpose or receipt.",
    409: "The notice has changed since it was shown, or the browser's own signal says no.",
    413: "The picture is too large, in bytes or pixels, or takes too much work.",
    415: "The body is no picture of a kind that is taken.",
    429: "Too many requests: wait as long as `Retry-After` says.",
    503: "Nothing was published yet, what was published is not whole, or a database is away.",
}


def problems(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return the documentation of error answers by status; ``default`` stands for every other."""
    described: dict[int | str, str] = {status: _WHEN[status] for status in statuses}
    described["default"] = "Any other problem."
    content = {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}, "example": PROBLEM}}
    return {status: {"description": when, "content": content} for status, when in described.items()}
