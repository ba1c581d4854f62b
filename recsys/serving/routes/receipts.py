"""A consent receipt: every decision of one listener, in fields named after ISO/IEC TS 27560:2023, to keep and to show.

It names the listener by a pseudonym of its own, which only the holder of the key can tell to be this listener's: a
receipt may be passed on, and should not make its owner known by that.
"""

import hashlib
import json
from collections.abc import Sequence
from datetime import datetime
from itertools import groupby

from typing_extensions import TypedDict

from recsys.consents.log import Channel, Entry, Purpose
from recsys.geography.positions import FINEST
from recsys.settings import Settings

SCHEMA = "hearabouts-receipt-1 (after ISO/IEC TS 27560:2023)"


class Controller(TypedDict):
    """Who answers for the data."""

    party_name: str
    party_contact: str
    party_role: str


class Event(TypedDict):
    """One decision: when, what, by which notice, which way it came.

    ``event_type`` is ``explicit``, or ``signal`` where the browser withdrew by Global Privacy Control.
    """

    event_time: str
    event_type: str
    event_state: str
    privacy_notice: str
    collection_method: str


class Processing(TypedDict):
    """What is done for the purpose, with what, for how long, and how to end it."""

    purpose: str
    description: str
    lawful_basis: str
    pii_information: list[str]
    retention_period: str
    recipient_third_parties: list[str]
    withdrawal_method: str
    pii_controllers: list[Controller]


class ConsentRecord(TypedDict):
    """All decisions about one purpose."""

    record_id: str
    schema_version: str
    pii_principal_id: str
    language: str
    purpose: Processing
    events: list[Event]


class Receipt(TypedDict):
    """Records of all purposes that were ever decided."""

    receipt_id: str
    schema_version: str
    issued_at: str
    consent_records: list[ConsentRecord]


def receipt_of(entries: Sequence[Entry], *, key: bytes, settings: Settings, now: datetime) -> Receipt:
    """Return the receipt of one listener's entries, in their order.

    Parameters
    ----------
    entries : sequence of Entry
        By purpose and time (:meth:`recsys.consents.log.ConsentLog.entries`).
    key : bytes
        Of the pseudonyms.
    settings : Settings
        Controller, resolution and nights of storage are named as they are set.
    now : datetime
        When it is issued.
    """
    records = [
        _record(purpose, list(of_purpose), key=key, settings=settings)
        for purpose, of_purpose in groupby(entries, key=lambda entry: entry.purpose)
    ]
    return {
        "receipt_id": _pseudonym("receipt", json.dumps([now.isoformat(), records]), key=key),
        "schema_version": SCHEMA,
        "issued_at": now.isoformat(),
        "consent_records": records,
    }


def _record(purpose: Purpose, entries: Sequence[Entry], *, key: bytes, settings: Settings) -> ConsentRecord:
    listener = entries[0].listener
    return {
        "record_id": _pseudonym("record", f"{listener} {purpose}", key=key),
        "schema_version": SCHEMA,
        "pii_principal_id": _pseudonym("principal", listener, key=key),
        "language": "en",
        "purpose": _processing(purpose, settings),
        "events": [_event(entry) for entry in entries],
    }


def _processing(purpose: Purpose, settings: Settings) -> Processing:
    return {
        "purpose": purpose.value,
        "description": purpose.explained,
        "lawful_basis": "consent",
        "pii_information": _information(purpose, settings),
        "retention_period": _retention(purpose, settings),
        "recipient_third_parties": _RECIPIENTS.get(purpose, []),
        "withdrawal_method": f'PUT /v1/me/consents/{purpose} {{"state": "withdrawn"}}',
        "pii_controllers": [
            {
                "party_name": settings.consents.controller,
                "party_contact": settings.consents.contact,
                "party_role": "controller",
            }
        ],
    }


def _information(purpose: Purpose, settings: Settings) -> list[str]:
    """Say what it is, in the field's words."""
    tracks, listed = "tracks played, by night", "by the night of the list"
    place = f"place, as an H3 cell of resolution {settings.atlas.finest_resolution} or coarser"
    return {
        Purpose.LOCAL_TRENDS: [f"place, as an H3 cell of resolution {FINEST} or coarser"],
        Purpose.CONTRIBUTE_TRENDS: [tracks, place],
        Purpose.PERSONALISATION: [tracks, "how close tracks are to those played, worked out from them"],
        Purpose.PARTNER_STATISTICS: [tracks, place],
        Purpose.FEEDBACK: [
            f"tracks hidden, {listed}",
            f"tracks played from the listener's own lists, where two ways to make lists shared them, {listed}",
        ],
        Purpose.CONTACTS: [
            "tokens of the listener's verified numbers and addresses",
            "tokens of those in the listener's address book, by the day on which they were told",
            "with which friends the listener shares under the own name",
            "tracks played lately and the country, for lists of what friends play, where contribute_trends is on, too",
            "how much of two allowances is used up, which outlives a withdrawal until it is back",
        ],
        Purpose.IMAGES: ["pictures that the listener chose, made anew without what their files said"],
        Purpose.VOICE: ["what was said to the app, as text that the device made of it"],
    }[purpose]


def _retention(purpose: Purpose, settings: Settings) -> str:
    """Say how long it is kept, as the account of what is collected does."""
    nights, waiting = f"{settings.store.nights} nights", f"{settings.contacts.waiting_days} days for the other side"
    return {
        Purpose.LOCAL_TRENDS: "not kept: it chooses the list of one request and is forgotten",
        Purpose.CONTRIBUTE_TRENDS: nights,
        Purpose.PERSONALISATION: f"{nights}; what is worked out from it, until the next night works it out anew",
        Purpose.PARTNER_STATISTICS: nights,
        Purpose.FEEDBACK: f"{settings.feedback.kept_days} days where it was played; until shown again where it was "
        "hidden",
        Purpose.CONTACTS: f"{waiting}, from when it was told; until removed where it makes a friend, or is blocked; "
        "tracks played lately, until the next night works them out anew",
        Purpose.IMAGES: "until removed, replaced or withdrawn",
        Purpose.VOICE: "not kept: it finds what one request means and is forgotten",
    }[purpose]


_RECIPIENTS = {
    Purpose.CONTRIBUTE_TRENDS: ["everybody, as differentially private counts of many listeners"],
    Purpose.CONTACTS: [
        "friends, that the listener is one, and which tracks at least three of their friends played",
        "friends with whom the listener shares, the profile picture, and which of these tracks the listener played",
    ],
    Purpose.IMAGES: [
        "whoever the listener gives the address of a picture, while it is good",
        "friends with whom the listener shares under the own name, where contacts is on, too",
    ],
    Purpose.PARTNER_STATISTICS: ["partners, as differentially private counts of many listeners"],
}


def _event(entry: Entry) -> Event:
    return {
        "event_time": entry.at.isoformat(),
        "event_type": "signal" if entry.channel == Channel.GPC else "explicit",
        "event_state": entry.state.value,
        "privacy_notice": entry.notice_version,
        "collection_method": entry.channel.value,
    }


def _pseudonym(kind: str, text: str, *, key: bytes) -> str:
    """Return a keyed hash that tells nothing about another of a different kind."""
    return hashlib.blake2b(text.encode(), key=key, person=kind.encode(), digest_size=16).hexdigest()
