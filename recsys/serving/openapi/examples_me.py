"""What the OpenAPI document shows of the listener's own resources."""

from typing import Any

from recsys.consents.log import Purpose

GPC = {"gpc": True, "lastUpdate": "2026-11-24"}

CONSENT: dict[str, Any] = {
    "purpose": "local_trends",
    "text": Purpose.LOCAL_TRENDS.explained,
    "state": "given",
    "since": "2026-10-01T08:30:00+00:00",
    "notice_version": "2026-09",
    "channel": "api",
    "asks_again": False,
}

_NEVER: dict[str, Any] = {
    "state": "withdrawn",
    "since": None,
    "notice_version": None,
    "channel": None,
    "asks_again": False,
}

CONSENTS = {
    "notice_version": "2026-09",
    "consents": [CONSENT, *(_NEVER | {"purpose": p.value, "text": p.explained} for p in list(Purpose)[1:])],
}

_SCHEMA = "hearabouts-receipt-1 (after ISO/IEC TS 27560:2023)"

RECEIPT = {
    "receipt_id": "5f1a6c0de2b44b1f9c3a7d5e8f602143",
    "schema_version": _SCHEMA,
    "issued_at": "2026-11-01T06:00:00+00:00",
    "consent_records": [
        {
            "record_id": "0c9d2e7f51b84a63a1f5d8e4b7c60392",
            "schema_version": _SCHEMA,
            "pii_principal_id": "a87d4f3e6b2c4d10b9e5f7c8d3a61204",
            "language": "en",
            "purpose": {
                "purpose": "local_trends",
                "description": Purpose.LOCAL_TRENDS.explained,
                "lawful_basis": "consent",
                "pii_information": ["place, as an H3 cell of resolution 5 or coarser"],
                "retention_period": "not kept: it chooses the list of one request and is forgotten",
                "recipient_third_parties": [],
                "withdrawal_method": 'PUT /v1/me/consents/local_trends {"state": "withdrawn"}',
                "pii_controllers": [
                    {
                        "party_name": "the operator of this Hearabouts endpoint",
                        "party_contact": "privacy@example.org",
                        "party_role": "controller",
                    }
                ],
            },
            "events": [
                {
                    "event_time": "2026-10-01T08:30:00+00:00",
                    "event_type": "explicit",
                    "event_state": "given",
                    "privacy_notice": "2026-09",
                    "collection_method": "api",
                }
            ],
        }
    ],
}

EXPORT = """\
{"kind": "export", "schema": "hearabouts-export-1", "as_of": "2026-11-01T06:00:00+00:00"}
{"kind": "consent", "purpose": "contribute_trends", "state": "given", "at": "2026-10-01T08:30:00+00:00", \
"notice_version": "2026-09", "channel": "api"}
{"kind": "hidden", "night": "2026-10-04", "used_for": ["feedback"], "track_id": "t000789"}
{"kind": "played", "night": "2026-10-04", "used_for": ["feedback"], "track_id": "t000123", "put_there_by": "champion"}
{"kind": "picture", "used_for": ["images"], "image": "profile", "jpeg_base64": "/9j/4AAQSkZJRg"}
{"kind": "identifier", "used_for": ["contacts"], "token": "p3Jc8qXnE0uVd6sYb1tGzA"}
{"kind": "contact", "used_for": ["contacts"], "token": "Zl0mW3n9kTq2yB7cX5vR1w", "told": "2026-10-03", \
"blocked": false, "shared": false}
{"kind": "allowance", "used_for": ["contacts"], "of": "told", "used_until": "2026-10-03T12:28:48+00:00"}
{"kind": "contribution", "night": "2026-10-02", "used_for": ["contribute_trends"], "region": "8539336bfffffff", \
"track_id": "t000123", "plays": 3}
{"kind": "balance", "night": "2026-10-02", "used_for": ["contribute_trends"], "earned_of_28_nights": 1.8203, \
"earned_of_365_nights": 0.4375}
{"kind": "taste", "night": "2026-10-04", "used_for": [], "track_id": "t000456", "closeness": 2.25, \
"meaning": "We think that this track is close to what you play."}
{"kind": "evaluation", "night": "2026-10-04", "used_for": [], "region": "8539336bfffffff", "history": "6-20", \
"ndcg_at_10": {"global": 0.31, "blend": 0.42}}
{"kind": "recent", "night": "2026-10-04", "used_for": ["contacts", "contribute_trends"], "region": "PT", \
"track_id": "t000123"}
{"kind": "end", "lines": 13}
"""

FEEDBACK = {"list": "q7mB1yX0cVn2kTzR5wHdJ8sL", "played": ["t000123"], "hidden": ["t000456"]}

IMAGE: dict[str, Any] = {
    "image": "profile",
    "address": "/v1/images/kgafdnfgbhofdbafkgafdnfgbhofdbaf",
    "until": "2026-11-01T07:00:00+00:00",
}

IMAGES = {"images": [IMAGE, *(IMAGE | {"image": f"covers/{name}"} for name in ("trending", "twin"))]}

SPOKEN = {"text": "what is rising in lisbon", "language": "en"}

INTENT = {
    "as_of": "2025-06-30",
    "intent": "chart",
    "chart": "rising",
    "place": {
        "id": "8539336bfffffff",
        "name": "Lisbon",
        "country": "Portugal",
        "level": "region",
        "parent": "PT",
        "centre": {"latitude": 38.73, "longitude": -9.17},
        "population": 517802,
    },
    "track": None,
    "artist": None,
    "switch": None,
    "page": "/places/lisbon-8539336bfffffff/rising/",
}

CONTACTS = {
    "friends": [{"token": "Zl0mW3n9kTq2yB7cX5vR1w", "shares": True, "picture": IMAGE["address"]}],
    "key": {
        "id": "8d0e6f2b7a914c35b1d7f0a2c4e69385",
        "public": "e6d0f1c2b3a4958677685940312213040516273849506172839405162738495a",
    },
    "left": {"evaluated": 4750, "told": 4999},
    "at_once": 250,
}

FRIENDS_LIST: dict[str, Any] = {
    "region": {
        "id": "PT",
        "name": "Portugal",
        "country": "Portugal",
        "level": "country",
        "parent": "world",
        "centre": {"latitude": 39.69, "longitude": -8.13},
        "population": 9876543,
    },
    "scope": "country",
    "as_of": "2025-06-30",
    "location_used": True,
    "why": "At least 3 of your friends who let their plays count in Portugal played each of these in the 7 nights to "
    "2025-06-30. Only who shares with you is named.",
    "items": [
        {
            "rank": 1,
            "track_id": "t000123",
            "title": "Blue Harbour",
            "artist": "The Lanterns",
            "artist_id": "a0042",
            "page": "/songs/blue-harbour-ndjkfhgmpaobelci/",
            "artist_page": "/artists/the-lanterns-bpomkcafdjehglni/",
            "friends": ["Zl0mW3n9kTq2yB7cX5vR1w"],
        }
    ],
}

TOLD = {"added": ["Zl0mW3n9kTq2yB7cX5vR1w"], "removed": [], "blocked": [], "shared": [], "unshared": []}

ERASURE = {"receipt": "3b1f0c6a9d7e4582b6c1a0f4e8d92775", "state": "pending", "mark_kept_days": 1100}

ERASURE_DONE = ERASURE | {"state": "done"}
