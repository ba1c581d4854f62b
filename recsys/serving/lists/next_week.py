"""Next week in a place: which songs probably move up its chart, and what became of earlier forecasts."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date, timedelta
from itertools import groupby
from typing import Literal

from typing_extensions import TypedDict  # pydantic, which documents these, needs this one below Python 3.12

from recsys.artifacts.chart_database import PublishedPlace
from recsys.artifacts.chart_history import Chance, ChartHistory, Song
from recsys.artifacts.list_candidates import POPULAR
from recsys.artifacts.moves import AHEAD, FIRST, moved_up
from recsys.geography.places import Level
from recsys.messages import said, sentences
from recsys.serving.lists.responses import Region, label, region_of
from recsys.serving.lists.songs import Track, track_of
from recsys.serving.snapshot.place import chain, place_named
from recsys.serving.snapshot.snapshot_reader import Published

_LISTED = 10  # tracks under each heading
_WEEKS = 4  # before the last night whose forecasts are shown beside what happened
_ENOUGH = AHEAD - 1  # nights with charts that tell what happened
_OUT = 10_000  # rank of what is not listed


class Move(TypedDict):
    """A track that may move up: ``rank`` is that of the night of the forecast, null for one beyond the list."""

    track: Track
    rank: int | None
    chance: float


class JudgedMove(TypedDict):
    """A track that was to move up, and whether it did."""

    track: Track
    event: Literal["enters", "climbs"]
    chance: float
    happened: bool


class JudgedWeek(TypedDict):
    """What was forecast on a night, and what happened until ``until``.

    ``moves`` has the most probable ones; ``expected`` is how many of them were to move up by their chances.
    """

    night: str
    until: str
    moves: list[JudgedMove]
    expected: float
    happened: int


class Tenth(TypedDict):
    """Forecasts of about the same chance, and the share of them that came true: the same, if they are good."""

    low: float
    high: float
    forecasts: int
    chance: float
    happened: float


class NextWeek(TypedDict):
    """Which tracks probably enter the first fifty of a place's popular chart until ``until``, or climb within them.

    ``region`` is the place that was asked for, ``scope`` the level of the one whose forecast this is: the nearest
    larger one where it has none of its own. ``weeks`` are earlier forecasts that are over, the latest first, and
    ``reliability`` counts all of the last weeks by their chances.
    """

    region: Region
    scope: Level
    as_of: str
    until: str
    why: str
    enters: list[Move]
    climbs: list[Move]
    weeks: list[JudgedWeek]
    reliability: list[Tenth]


def next_week_answer(published: Published, *, place_id: str) -> NextWeek:
    """Return the forecast of a place, or of the nearest larger one that has one.

    Raises
    ------
    UnknownPlaceError
        If the atlas has no such place.
    """
    place = place_named(place_id, published=published)
    last = date.fromisoformat(published.as_of)
    shown = _nearest(place, last, published=published)
    past = _Past(published.history, shown.id, last)
    enters, climbs = past.coming
    return {
        "region": region_of(place),
        "scope": shown.level,
        "as_of": published.as_of,
        "until": str(last + timedelta(days=AHEAD)),
        "why": _why(place, shown, found=bool(enters or climbs)),
        "enters": enters,
        "climbs": climbs,
        "weeks": list(past.weeks()),
        "reliability": past.reliability(),
    }


def _nearest(place: PublishedPlace, night: date, *, published: Published) -> PublishedPlace:
    """Return the place, or the nearest larger one, of which something is forecast; if there is none, the place."""
    for each in chain(place, published=published):
        if published.history.forecasts(each.id, nights=[night]):
            return each
    return place


class _Past:
    """What was forecast for a place in the last weeks, and its charts since then."""

    def __init__(self, history: ChartHistory, place: str, last: date) -> None:
        nights = [night for night in history.nights if night > last - timedelta(days=AHEAD * (_WEEKS + 1))]
        self._nights, self._last = nights, last
        self._forecasts: Mapping[date, list[Chance]] = history.forecasts(place, nights=nights)
        lists = history.ranks(place, POPULAR, nights=nights)
        self._ranks = {night: {track: rank for rank, track in enumerate(tracks, 1)} for night, tracks in lists.items()}
        named = {each.track_id for night in self._shown() for each in self._forecasts.get(night, ())}
        self._songs: Mapping[str, Song] = history.songs(named)

    def _shown(self) -> list[date]:
        return [self._last - timedelta(days=AHEAD * week) for week in range(_WEEKS + 1)]

    @property
    def coming(self) -> tuple[list[Move], list[Move]]:
        """What may enter after the last night, and what may climb."""
        now = self._ranks.get(self._last, {})
        moves: list[list[Move]] = [[], []]
        for each in self._forecasts.get(self._last, ()):
            rank = now.get(each.track_id)
            move: Move = {"track": track_of(self._songs[each.track_id]), "rank": rank, "chance": _told(each.chance)}
            moves[(rank or _OUT) <= FIRST].append(move)
        return moves[0][:_LISTED], moves[1][:_LISTED]

    def weeks(self) -> Iterator[JudgedWeek]:
        """Yield the forecasts of nights whole weeks ago that are over."""
        for night in self._shown()[1:]:
            moves = self._judged(night)[: 2 * _LISTED]
            if moves:
                yield {
                    "night": str(night),
                    "until": str(night + timedelta(days=AHEAD)),
                    "moves": [self._move(night, each, happened=happened) for each, happened in moves],
                    "expected": round(sum(each.chance for each, _ in moves), 1),
                    "happened": sum(happened for _, happened in moves),
                }

    def reliability(self) -> list[Tenth]:
        """Return the forecasts that are over by tenths of their chances."""
        judged = [(min(int(each.chance * 10), 9), each.chance, h) for n in self._nights for each, h in self._judged(n)]
        tenths = groupby(sorted(judged), key=lambda each: each[0])
        return [_tenth(tenth, [(chance, happened) for _, chance, happened in some]) for tenth, some in tenths]

    def _move(self, night: date, forecast: Chance, *, happened: bool) -> JudgedMove:
        is_first = self._ranks[night].get(forecast.track_id, _OUT) <= FIRST
        return {
            "track": track_of(self._songs[forecast.track_id]),
            "event": "climbs" if is_first else "enters",
            "chance": _told(forecast.chance),
            "happened": happened,
        }

    def _judged(self, night: date) -> Sequence[tuple[Chance, bool]]:
        """Return each forecast of a night that is over with whether it came true."""
        after = [
            self._ranks[n] for n in self._nights if night < n <= night + timedelta(days=AHEAD) and n in self._ranks
        ]
        is_over = night + timedelta(days=AHEAD) <= self._last and len(after) >= _ENOUGH
        forecasts = self._forecasts.get(night, []) if is_over and night in self._ranks else []
        now = [self._ranks[night].get(each.track_id, _OUT) for each in forecasts]
        best = [min(ranks.get(each.track_id, _OUT) for ranks in after) for each in forecasts]
        return list(zip(forecasts, moved_up(now, best).tolist(), strict=True))


def _tenth(tenth: int, judged: Sequence[tuple[float, bool]]) -> Tenth:
    return {
        "low": tenth / 10,
        "high": (tenth + 1) / 10,
        "forecasts": len(judged),
        "chance": round(sum(chance for chance, _ in judged) / len(judged), 3),
        "happened": round(sum(happened for _, happened in judged) / len(judged), 3),
    }


def _told(chance: float) -> float:
    return round(chance, 2)


def _why(place: PublishedPlace, shown: PublishedPlace, *, found: bool) -> str:
    if not found:
        return said("Nothing is forecast for {place} yet: that takes charts of some weeks.", place=label(place))
    basis = said(
        "Forecast for {place} from published charts alone, by what came after such courses before. Songs that its "
        "chart has not named in four weeks cannot be foreseen.",
        place=label(shown),
    )
    own = "" if shown == place else said("{place} has no forecast of its own.", place=label(place)).begun("upper")
    return sentences(own, basis)
