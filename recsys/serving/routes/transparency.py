"""What is collected, what for, how coarse, how long, and what it cost in privacy: generated, never typed by hand."""

from decimal import Decimal
from math import pi
from typing import Annotated

import h3
from fastapi import APIRouter, Depends
from fastapi.responses import Response
from typing_extensions import TypedDict

from recsys.artifacts.privacy_account import Accounted
from recsys.artifacts.recent_plays import FEWEST_FRIENDS, FEWEST_PLAYED, MOST_TRACKS
from recsys.consents.log import Purpose
from recsys.geography.positions import FINEST
from recsys.messages import Message, counted, said
from recsys.serving.openapi.examples import problems
from recsys.serving.openapi.examples_transparency import TRANSPARENCY
from recsys.serving.requests.query import without_parameters
from recsys.serving.snapshot.once import once_a_snapshot
from recsys.serving.snapshot.snapshot_reader import Published
from recsys.serving.state.endpoint import Parts
from recsys.settings import Settings

COUNTED = said(
    "A chart's listeners a night are those who agreed to be counted and played the track at home, on an average night; "
    "whoever plays many tracks on many nights counts for less in each of them, and the sum is scaled so that all "
    "listeners of the place with all their tracks count once."
)

router = APIRouter(dependencies=[Depends(without_parameters)])

PRECISE_METRES = 1_000  # the strictest radius found in a law for a "precise" position (section 4.4 of the design)


class Collected(TypedDict):
    """One kind of data: what it is for, how coarse it is kept, how long, and who sees it."""

    what: str
    purposes: list[str]
    how_coarse: str
    kept: str
    seen_by: str


class Switch(TypedDict):
    """A purpose that a listener can allow; by default none is."""

    purpose: str
    text: str
    default: str


class Area(TypedDict):
    """How large the places are, in km²: cells on average, and the smallest and the largest region that there is."""

    finest_resolution: int
    average_cell_km2: float
    smallest_region_km2: float | None
    largest_region_km2: float | None
    regions: int
    people_at_least: int
    precise_by_law_km2: float
    explained: str


class Privacy(TypedDict):
    """What one listener adds at most, under how much noise, and what was spent; ``account`` is of the last night."""

    unit: str
    rho_per_night: float
    delta: float
    most_per_night: int
    most_per_28_nights: int
    most_per_365_nights: int
    counted: str
    account: Accounted | None


class Transparency(TypedDict):
    """All of it."""

    controller: str
    contact: str
    notice_version: str
    last_night: str | None
    last_run: str | None
    purposes: list[Switch]
    collected: list[Collected]
    area: Area
    privacy: Privacy
    not_private: list[str]


def _transparency_here(parts: Parts) -> Transparency:
    return transparency_of(parts.settings, published=parts.current.newest(), account=parts.account.get_or(None))


TransparencyHere = Annotated[Transparency, Depends(_transparency_here)]
"""What this endpoint says of itself at this moment."""


@router.get("/v1/transparency.json", include_in_schema=False)  # as the file is called on a host without an endpoint
@router.get(
    "/v1/transparency",
    response_model=Transparency,
    summary="What is collected, and what for",
    responses={200: {"content": {"application/json": {"example": TRANSPARENCY}}}, **problems(400)},
)
def transparency(found: TransparencyHere, parts: Parts) -> Response:
    """Return what is collected, for which purpose, how coarse, how long, and what was spent on privacy.

    It is generated from the settings, the atlas and the ledger's account.
    """
    return parts.responses.answer(found, route="/v1/transparency")


def transparency_of(settings: Settings, *, published: Published | None, account: Accounted | None) -> Transparency:
    """Return what is so by the settings, the published atlas and the account of the last night.

    Parameters
    ----------
    settings : Settings
    published : Published or None
        None while nothing was published.
    account : Accounted or None
        None while no night wrote one.
    """
    return {
        "controller": settings.consents.controller,
        "contact": settings.consents.contact,
        "notice_version": settings.consents.notice_version,
        "last_night": published.as_of if published else None,
        "last_run": account["at"] if account else None,
        "purposes": [{"purpose": p.value, "text": p.explained, "default": "withdrawn"} for p in Purpose],
        "collected": _collected(settings),
        "area": _area(settings, published),
        "privacy": _privacy(settings, account),
        "not_private": _not_private(settings),
    }


def _collected(settings: Settings) -> list[Collected]:
    chosen = [*_of_feedback(settings), *_of_pictures(settings), *_of_contacts(settings)]
    return [*_of_plays(settings), *chosen, *_of_choices(settings)]


def _of_plays(settings: Settings) -> list[Collected]:
    """Say what is kept of plays, and what is worked out from them."""
    resolution, nights = settings.atlas.finest_resolution, settings.store.nights
    contribute, personal = Purpose.CONTRIBUTE_TRENDS.value, Purpose.PERSONALISATION.value
    partners = Purpose.PARTNER_STATISTICS.value
    return [
        {
            "what": said("where a play happened"),
            "purposes": [contribute, partners],
            "how_coarse": said("{area}; the position is forgotten in memory", area=_cell(resolution)),
            "kept": counted("{n} night", "{n} nights", nights),
            "seen_by": said(
                "{operator}; published are counts of many listeners with noise, and partners get no others",
                operator=_OPERATOR,
            ),
        },
        {
            "what": said("which tracks were played, by night"),
            "purposes": [contribute, personal, partners],
            "how_coarse": said("by UTC day, under a keyed hash of the user id"),
            "kept": counted("{n} night", "{n} nights", nights),
            "seen_by": said(
                "{operator}; published are counts of many listeners with noise, and models rank for you",
                operator=_OPERATOR,
            ),
        },
        {
            "what": said("how close tracks are to what you play, worked out from that"),
            "purposes": [personal],
            "how_coarse": said("a few hundred tracks, under a keyed hash of the user id"),
            "kept": said("until the next night works it out anew"),
            "seen_by": said("{operator}; it puts your own list in order", operator=_OPERATOR),
        },
        {
            "what": said("how well each way to make lists would have foreseen what you played on the last nights"),
            "purposes": [personal],
            "how_coarse": said("a number from 0 to 1 each, and your region, under a keyed hash of the user id"),
            "kept": counted("{n} night", "{n} nights", nights),
            "seen_by": said("{operator}; others see means over many listeners", operator=_OPERATOR),
        },
    ]


def _of_feedback(settings: Settings) -> list[Collected]:
    """Say what is kept of what listeners tell about their own lists."""
    how_coarse = said(
        "the track and the day of the list, under a keyed hash of the user id; no time of day, and no place"
    )
    return [
        {
            "what": said("which tracks you hid, from lists of your own or from charts"),
            "purposes": [Purpose.FEEDBACK.value],
            "how_coarse": how_coarse,
            "kept": said("until you show them again or turn the switch off"),
            "seen_by": said("{operator}; they stay away from your lists", operator=_OPERATOR),
        },
        {
            "what": said(
                "which tracks you played from your own lists where two ways to make lists shared them, and which of "
                "both put each there"
            ),
            "purposes": [Purpose.FEEDBACK.value],
            "how_coarse": how_coarse,
            "kept": counted(
                "{n} day, or until you turn the switch off",
                "{n} days, or until you turn the switch off",
                settings.feedback.kept_days,
            ),
            "seen_by": said("{operator}; others see sums over many listeners", operator=_OPERATOR),
        },
    ]


def _of_pictures(settings: Settings) -> list[Collected]:
    """Say what is kept of pictures that listeners choose."""
    images = settings.images
    return [
        {
            "what": said("pictures that you chose, for your profile and as covers of your lists"),
            "purposes": [Purpose.IMAGES.value],
            "how_coarse": said(
                "{profile} and {cover} pixels wide, under a keyed hash of the user id; nothing else that is in the "
                "file, as place, time and camera",
                profile=images.profile_side,
                cover=images.cover_side,
            ),
            "kept": said("until you remove or replace them, or turn the switch off"),
            "seen_by": counted(
                "{operator}; and whoever has the address of one, for {n} minute",
                "{operator}; and whoever has the address of one, for {n} minutes",
                images.address_minutes,
                operator=_OPERATOR,
            ),
        }
    ]


def _of_contacts(settings: Settings) -> list[Collected]:
    """Say what is kept of address books and for friends."""
    return [
        *_of_books(settings),
        *_of_friends(settings),
        *_of_allowances(settings),
    ]


def _of_books(settings: Settings) -> list[Collected]:
    """Say what is kept of numbers and addresses."""
    return [
        {
            "what": said("your own numbers and addresses, as your app has verified them"),
            "purposes": [Purpose.CONTACTS.value],
            "how_coarse": said("unreadable without a key of the server, under a keyed hash of the user id"),
            "kept": said("until you turn the switch off"),
            "seen_by": said("{operator}; friends see that you are one", operator=_OPERATOR),
        },
        {
            "what": said("the numbers and addresses in your book that your app tells of"),
            "purposes": [Purpose.CONTACTS.value],
            "how_coarse": said(
                "unreadable without a key of the server, which never saw them; under a keyed hash of the user id, with "
                "the day"
            ),
            "kept": counted(
                "{n} day, longer where you are friends or block somebody, or until you turn the switch off",
                "{n} days, longer where you are friends or block somebody, or until you turn the switch off",
                settings.contacts.waiting_days,
            ),
            "seen_by": said("{operator}; friends see that you are one", operator=_OPERATOR),
        },
    ]


def _of_friends(settings: Settings) -> list[Collected]:
    """Say what is kept of what friends share and played."""
    return [
        {
            "what": said("with which friends you share under your own name"),
            "purposes": [Purpose.CONTACTS.value],
            "how_coarse": said("a mark beside the entry of the friend"),
            "kept": said("until you stop sharing, remove the entry, or turn the switch off"),
            "seen_by": said(
                "{operator}; each of these friends, who sees your picture and which songs of their list you played",
                operator=_OPERATOR,
            ),
        },
        {
            "what": said("which tracks you played lately, for lists of what friends play, if both switches are on"),
            "purposes": [Purpose.CONTACTS.value, Purpose.CONTRIBUTE_TRENDS.value],
            "how_coarse": counted(
                "{tracks} tracks at most of {n} night, and your country, under a keyed hash of the user id",
                "{tracks} tracks at most of {n} nights, and your country, under a keyed hash of the user id",
                settings.charts.window_nights,
                tracks=MOST_TRACKS,
            ),
            "kept": said("until the next night works it out anew"),
            "seen_by": said(
                "{operator}; friends see the tracks that at least {played} of {friends} or more friends played, and no "
                "names but of those who share with them",
                operator=_OPERATOR,
                played=FEWEST_PLAYED,
                friends=FEWEST_FRIENDS,
            ),
        },
    ]


def _of_allowances(settings: Settings) -> list[Collected]:
    """Say what is kept so that nobody tries all numbers."""
    return [
        {
            "what": said("how much of your book your app has told of lately, so that nobody tries all numbers"),
            "purposes": [Purpose.CONTACTS.value],
            "how_coarse": said("a moment each for two counts, under a keyed hash of the user id"),
            "kept": counted(
                "{n} day at most, also after you turn the switch off",
                "{n} days at most, also after you turn the switch off",
                -(-settings.contacts.most // settings.contacts.a_day),
            ),
            "seen_by": said("nobody"),
        },
    ]


def _of_choices(settings: Settings) -> list[Collected]:
    """Say what is kept of requests and decisions."""
    return [
        {
            "what": said("where the app says you are, when it asks for your list"),
            "purposes": [Purpose.LOCAL_TRENDS.value],
            "how_coarse": said("{area}; anything finer is refused", area=_cell(FINEST)),
            "kept": said("not at all; it chooses the list and is in no log"),
            "seen_by": said("nobody"),
        },
        {
            "what": said("what you say to the page or the app"),
            "purposes": [Purpose.VOICE.value],
            "how_coarse": said("the text that your device makes of it; the sound never leaves the device"),
            "kept": said("not at all; it finds what you mean and is in no log"),
            "seen_by": said("nobody"),
        },
        {
            "what": said("what you allowed and withdrew, when, by which notice and which way"),
            "purposes": [],
            "how_coarse": said("exact, under a keyed hash of the user id"),
            "kept": said("until you have it erased"),
            "seen_by": said("you"),
        },
        {
            "what": said(
                "that somebody had everything erased, or withdrew: what is older than that is not taken in again"
            ),
            "purposes": [],
            "how_coarse": said("the moment alone, under a keyed hash with a key for this alone"),
            "kept": counted("{n} day", "{n} days", settings.erasures.kept_days),
            "seen_by": said("nobody"),
        },
    ]


def average_km2(resolution: int) -> float:
    """Return how large a cell of a resolution is on average."""
    return float(h3.average_hexagon_area(resolution, unit="km^2"))


def _cell(resolution: int) -> Message:
    return said(
        "an area of about {area} km² or more (H3 cells of resolution {resolution} or coarser)",
        area=round(average_km2(resolution)),
        resolution=resolution,
    )


_OPERATOR = said("nobody but whoever runs this endpoint, who could read it")


def _area(settings: Settings, published: Published | None) -> Area:
    resolution = settings.atlas.finest_resolution
    average, precise = average_km2(resolution), pi * (PRECISE_METRES / 1000) ** 2
    areas = _areas(published) if published else ()
    return {
        "finest_resolution": resolution,
        "average_cell_km2": round(average, 1),
        "smallest_region_km2": round(min(areas), 1) if areas else None,
        "largest_region_km2": round(max(areas), 1) if areas else None,
        "regions": len(areas),
        "people_at_least": settings.atlas.min_population,
        "precise_by_law_km2": round(precise, 2),
        "explained": said(
            "A cell of resolution {resolution} covers {average} km² on average. The strictest law that we know calls a "
            "position precise within {metres} m, which is {precise} km²: {times} times less.",
            resolution=resolution,
            average=round(average),
            metres=PRECISE_METRES,
            precise=Decimal(f"{precise:.2f}"),
            times=round(average / precise),
        ),
    }


@once_a_snapshot
def _areas(published: Published) -> tuple[float, ...]:
    """Return the areas of all regions in km²: some milliseconds, once a snapshot."""
    regions = (place.id for place in published.places.values() if place.level == "region")
    return tuple(h3.cell_area(cell, unit="km^2") for cell in regions)


def _privacy(settings: Settings, account: Accounted | None) -> Privacy:
    privacy = settings.privacy
    return {
        "unit": "one listener, with everything that this listener adds",
        "rho_per_night": privacy.rho_per_night,
        "delta": privacy.delta,
        "most_per_night": privacy.most_per_night,
        "most_per_28_nights": privacy.most_per_28_nights,
        "most_per_365_nights": privacy.most_per_365_nights,
        "counted": COUNTED,
        "account": account,
    }


def _not_private(settings: Settings) -> list[str]:
    return [
        said("Your own list is computed from your own history, for you: whoever sees your screen sees it."),
        counted(
            "The tracks you play are kept for {n} night where you allow it; whoever runs this endpoint could read them "
            "there, and with the key of the listeners tell that they are yours.",
            "The tracks you play are kept for {n} nights where you allow it; whoever runs this endpoint could read "
            "them there, and with the key of the listeners tell that they are yours.",
            settings.store.nights,
        ),
        said(
            "A picture shows what is on it: who sees a cover can keep it, and whoever runs this endpoint could look at "
            "the pictures that are kept."
        ),
        said(
            "What your browser or your phone does with your voice is not ours to see: the page asks it to turn speech "
            "into text on the device, and starts nothing where it says that it cannot."
        ),
        said("What your app knows about you, and what the network sees of your requests, is not ours to protect."),
        said(
            "Who has your number in their book and whose number you have learns, if both of you turn that on, that you "
            "are here. Whoever runs this endpoint has the key, and could find out by trying whose number a token is."
        ),
        said("Published charts stay published after you withdraw; the noise in them protects you even so."),
    ]
