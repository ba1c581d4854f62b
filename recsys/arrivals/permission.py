"""PRECISE: keep of each listen what its listener allowed, then and now; the default is no."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta

import polars as pl

from recsys.arrivals import input_tables
from recsys.arrivals.input_tables import Counts, TableFile
from recsys.arrivals.parsing import EARLIEST, FAULT, INSTANT, Kind, is_float
from recsys.consents.log import ConsentLog, Entry, Purpose, State
from recsys.consents.marks import about, never
from recsys.locations import Location
from recsys.printable import given
from recsys.schemas import Contributions, Listens, at_border
from recsys.workspace import listener_of

_TABLE = input_tables.Table(
    required={
        "user_id": Kind.TEXT,
        "purpose": Kind.TEXT,
        "state": Kind.TEXT,
        "at": Kind.INSTANT,
        "notice_version": Kind.TEXT,
    }
)
_PURPOSES = tuple(Purpose)
_SAID = {"listener": pl.String(), "purpose": pl.String(), "at": pl.Int64(), "given": pl.Int8()}
_ENTRIES = 1_000_000  # of a file that are in memory at a time
_TEXT = 16 << 20  # characters of the log that are worked on at a time
_USERS = 200_000  # who are hashed at a time
_FLAGS: Mapping[str, tuple[Purpose, ...]] = {  # what may be done, and which purposes allow it, each by itself
    "for_charts": (Purpose.CONTRIBUTE_TRENDS,),
    "for_models": (Purpose.PERSONALISATION,),
    "for_place": (Purpose.LOCAL_TRENDS, Purpose.CONTRIBUTE_TRENDS),
    "for_partner": (Purpose.PARTNER_STATISTICS,),
}
_USES = ("for_charts", "for_models", "for_partner")  # knowing a place is no use by itself
_ALLOWED = ("listener", "track_id", "played_at", "latitude", "longitude", "cell", *_FLAGS)


@dataclass(frozen=True)
class ReadConsents:
    """The good entries of a consents file, and how many rows were set aside.

    Parameters
    ----------
    entries : iterator of Entry
        Read as it is consumed; for :meth:`recsys.consents.log.ConsentLog.append`.
    counts : Counts
        Rows, and bad rows by reason.
    """

    entries: Iterator[Entry]
    counts: Counts

    @property
    def bad(self) -> Mapping[str, int]:
        """Bad rows by reason."""
        return self.counts.bad

    @property
    def rows(self) -> int:
        """All rows of the file."""
        return self.counts.rows


@dataclass(frozen=True)
class Permissions:
    """Who allows what at one instant, ``now``, and has allowed it since when; who is not there allows nothing.

    Parameters
    ----------
    now : datetime
        The instant at which the consent log was read.
    spans : polars.DataFrame
        ``listener``, ``since``, ``until`` (null: now), ``for_charts``, ``for_models``, ``for_place``, ``for_partner``:
        within a span of time every answer is the same, and a flag is true where the purpose was given then *and* is
        given now. Spans of one listener do not overlap; those that allow nothing are left out.
    today : polars.DataFrame
        One row a listener: the same flags, by the state now alone, and ``first``, the night of the first entry that
        counts: nothing older was ever allowed.
    """

    now: datetime
    spans: pl.DataFrame
    today: pl.DataFrame

    def during(self, night: date) -> "Permissions":
        """Return what may concern a listen of one night: all that :func:`keep_allowed` needs there."""
        begin = datetime.combine(night, time(), UTC)
        until = pl.col("until").is_null() | (pl.col("until") > begin)
        spans = self.spans.filter(until, pl.col("since") < begin + timedelta(days=1))
        return replace(self, spans=spans, today=self.today.clear())


def read_entries(source: Location, *, key: bytes, max_bad_share: float) -> ReadConsents:
    """Check a consents file, and read its good rows as entries of the consent log.

    Parameters
    ----------
    source : Location
        A file or a folder (section 3.1 of the design).
    key : bytes
        Turns user ids into listeners (:func:`recsys.workspace.listener_of`).
    max_bad_share : float
        Share of rows, 0 to 1.

    Raises
    ------
    InputError
        If it cannot be read, or more than ``max_bad_share`` of the rows is bad: ``missing_user``,
        ``malformed_line``, ``time_is_a_number``, ``user_id_is_a_float``, ``unknown_purpose``, ``unknown_state``,
        ``unparsable_time``, ``impossible_time``, ``missing_notice``.
    NotReadyError
        If a file changed while it was read, also later, while the entries are.
    """
    files = input_tables.files_of(source)
    checked = input_tables.read(files, table=_TABLE).with_columns(_reason().alias("reason"))
    counts = input_tables.count(checked, what=f"consents in {given(source)}", files=files).within(max_bad_share)
    good = _hashed(checked.filter(pl.col("reason").is_null()), key=key)
    return ReadConsents(_entries(good, files=files), counts)


def permissions(log: ConsentLog, *, now: datetime) -> Permissions:
    """Read from the consent log who allows what: anew wherever something is about to be used.

    Parameters
    ----------
    log : ConsentLog
    now : datetime
        With a time zone; what is given later does not count yet, what is withdrawn later does.
    """
    marked = log.marked()
    permitted = [_permitted(_unmarked(some, marked=marked), now=now) for some in _answers(log, now=now)]
    spans, today = zip(*permitted, strict=True)
    return Permissions(now, pl.concat(spans), pl.concat(today))


def keep_allowed(listens: pl.LazyFrame, *, permissions: Permissions, key: bytes) -> pl.LazyFrame:
    """Replace users by listeners, and keep of each listen what its listener allowed when it was played and allows now.

    Parameters
    ----------
    listens : polars.LazyFrame
        Schema :class:`recsys.schemas.Listens`.
    permissions : Permissions
        From :func:`permissions`.
    key : bytes
        Turns user ids into listeners.

    Returns
    -------
    polars.LazyFrame
        ``listener, track_id, played_at, latitude, longitude, cell, for_charts, for_models, for_place, for_partner``.
        A listen that is for no use is gone; a position is null unless it may be used for a place (``local_trends`` or
        ``contribute_trends`` was given then and is given now) or for partner statistics. Streams: the spans of who is
        there are held in memory, the listens are not; who is there is looked up at once, in a pass of its own.
    """
    checked = at_border(listens, Listens)
    spans = _of_users(checked, spans=permissions.spans, key=key).lazy()
    # Spans of a listener do not overlap and those that allow nothing are absent: at most one fits, none means no.
    fitting = checked.join(spans, on="user_id", how="inner", build_side="force_right").filter(
        pl.col("played_at") >= pl.col("since"), pl.col("until").is_null() | (pl.col("played_at") < pl.col("until"))
    )
    known = pl.col("for_place") | pl.col("for_partner")
    position = [pl.when(known).then(name).alias(name) for name in ("latitude", "longitude", "cell")]
    return fitting.with_columns(position).select(_ALLOWED)


def still_allowed(contributions: pl.LazyFrame, *, permissions: Permissions) -> pl.LazyFrame:
    """Apply the consent of now to contributions stored earlier: promise 3, in everything that is derived from them.

    Parameters
    ----------
    contributions : polars.LazyFrame
        Schema :class:`recsys.schemas.Contributions`.
    permissions : Permissions
        From :func:`permissions`.

    Returns
    -------
    polars.LazyFrame
        The same schema. ``weight`` needs ``contribute_trends``, ``trained`` needs ``personalisation``, ``part`` needs
        ``local_trends`` or ``contribute_trends``, ``partner_part`` needs ``partner_statistics``; a row that is left
        with no use is gone, and so is one of a night before everything that the log knows of its listener, as where a
        restored store holds who was erased since.
    """
    stored = at_border(contributions, Contributions)
    known = stored.join(permissions.today.lazy(), on="listener", how="inner", build_side="force_right")
    today = known.filter(pl.col("night") >= pl.col("first"))
    kept = today.with_columns(
        pl.col("weight") * pl.col("for_charts").cast(pl.UInt8),
        pl.col("trained") & pl.col("for_models"),
        pl.when("for_place").then("part").alias("part"),
        pl.when("for_partner").then("partner_part").alias("partner_part"),
    )
    used = (pl.col("weight") > 0) | pl.col("trained") | pl.col("partner_part").is_not_null()
    return kept.filter(used).select(Contributions.column_names())


def still_personal(figures: pl.DataFrame, *, permissions: Permissions) -> pl.DataFrame:
    """Apply the consent of now to what was measured of listeners earlier: promise 3, also between two runs.

    Parameters
    ----------
    figures : polars.DataFrame
        Rows with ``listener`` and ``part``, as of :class:`recsys.schemas.Figures`.
    permissions : Permissions
        From :func:`permissions`.

    Returns
    -------
    polars.DataFrame
        The same columns: rows of who allows ``personalisation``, where ``part`` needs ``local_trends`` or
        ``contribute_trends``.
    """
    today = figures.join(permissions.today.filter("for_models"), on="listener", how="inner")
    return today.with_columns(pl.when("for_place").then("part").alias("part")).select(figures.columns)


def _flags() -> list[pl.Expr]:
    return [pl.any_horizontal(purposes).alias(flag) for flag, purposes in _FLAGS.items()]


def _answers(log: ConsentLog, *, now: datetime) -> Iterator[pl.DataFrame]:
    """Yield all answers as they stand in the log, of some listeners at a time: listener, purpose, at, given."""
    texts: list[str] = []
    for lines in log.answers(until=now):
        texts.append(lines)
        if sum(map(len, texts)) > _TEXT:
            yield _parsed(texts)
            texts = []
    yield _parsed(texts)


def _parsed(texts: Iterable[str]) -> pl.DataFrame:
    every = [pl.read_csv(text.encode(), has_header=False, schema=_SAID, quote_char=None) for text in texts]
    return pl.concat([pl.DataFrame(schema=_SAID), *every])


def _permitted(answers: pl.DataFrame, *, now: datetime) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return the spans of some listeners, and their states of today."""
    states = _states(answers, now=now)
    first = pl.col("since").first().dt.date().alias("first")
    today = states.group_by("listener").agg(first, pl.col(_PURPOSES).last()).with_columns(_flags())
    lasting = [pl.col(purpose) & pl.col(f"{purpose}_now") for purpose in _PURPOSES]
    spans = states.join(today, on="listener", suffix="_now").with_columns(lasting).with_columns(_flags())
    return (
        spans.filter(pl.any_horizontal(_USES)).select("listener", "since", "until", *_FLAGS),
        today.select("listener", "first", *_FLAGS),
    )


def _unmarked(answers: pl.DataFrame, *, marked: Callable[[str], int]) -> pl.DataFrame:
    """Leave out what was said before an erasure that left its mark, and add each withdrawal that left one.

    A restored log may know neither.
    """
    if marked is never:
        return answers
    said = answers.select("listener", "purpose").unique()
    withdrawn = pl.Series("at", [marked(about(*each)) for each in said.iter_rows()], dtype=pl.Int64)
    every = pl.concat([answers, said.with_columns(withdrawn, given=pl.lit(0, pl.Int8))])
    listeners = said.select("listener").unique()
    erased = pl.Series("erased", [marked(listener) for listener in listeners["listener"]], dtype=pl.Int64)
    known = every.join(listeners.with_columns(erased), on="listener")
    return known.filter(pl.col("at") > pl.col("erased")).drop("erased")


def _states(answers: pl.DataFrame, *, now: datetime) -> pl.DataFrame:
    """Turn answers into spans of time with the state of every switch: the last answer, and no before the first.

    Of two answers of one instant the no counts, and a withdrawal of later counts from now on.
    """
    last = pl.lit(now).cast(INSTANT)
    switches = [pl.when(pl.col("purpose") == purpose).then(pl.col("given") > 0).alias(purpose) for purpose in _PURPOSES]
    told = answers.select(
        "listener",
        pl.min_horizontal(pl.col("at").cast(INSTANT), last).alias("since"),
        *switches,
    )
    instants = told.group_by("listener", "since").agg(pl.col(_PURPOSES).min()).sort("listener", "since")
    known = pl.col(_PURPOSES).forward_fill().over("listener").fill_null(value=False)
    same = pl.col("listener") == pl.col("listener").shift(-1)
    until = pl.when(same).then(pl.col("since").shift(-1)).alias("until")
    return instants.with_columns(known, until)


def _of_users(listens: pl.LazyFrame, *, spans: pl.DataFrame, key: bytes) -> pl.DataFrame:
    """Return the spans of who is there, by ``user_id``: each is hashed once, which takes longer than finding them."""
    users = listens.select("user_id").unique().collect(engine="streaming")
    some = (users.clear(), *users.iter_slices(_USERS))  # most may allow nothing, whose hashes nobody keeps
    return pl.concat(
        each.with_columns(_listeners(each["user_id"], key=key)).join(spans, on="listener") for each in some
    )


def _listeners(users: pl.Series, *, key: bytes) -> pl.Series:
    return pl.Series("listener", [listener_of(user, key=key) for user in users], dtype=pl.String)


def _hashed(rows: pl.LazyFrame, *, key: bytes) -> pl.LazyFrame:
    """Replace ``user_id`` by ``listener``, batch by batch."""

    def hashed(users: pl.Series) -> pl.Series:
        distinct = users.unique()
        return users.replace_strict(distinct, _listeners(distinct, key=key), return_dtype=pl.String)

    listener = pl.col("user_id").map_batches(hashed, return_dtype=pl.String, is_elementwise=True)
    return rows.with_columns(listener.alias("listener")).drop("user_id")


def _reason() -> pl.Expr:
    checks = {
        "missing_user": pl.col("user_id").is_null(),
        "user_id_is_a_float": is_float("user_id"),
        "unknown_purpose": ~pl.col("purpose").is_in(list(Purpose)).fill_null(value=False),
        "unknown_state": ~pl.col("state").is_in(list(State)).fill_null(value=False),
        "unparsable_time": pl.col("at").is_null(),
        "impossible_time": pl.col("at") < EARLIEST,
        "missing_notice": pl.col("notice_version").is_null(),
    }
    return pl.coalesce(pl.col(FAULT), *(pl.when(bad).then(pl.lit(reason)) for reason, bad in checks.items()))


def _entries(good: pl.LazyFrame, *, files: Sequence[TableFile]) -> Iterator[Entry]:
    columns = good.select("listener", "purpose", "state", "at", "notice_version")
    purposes, states = {each.value: each for each in Purpose}, {each.value: each for each in State}
    with input_tables.reading(*files):
        for batch in columns.collect_batches(chunk_size=_ENTRIES):
            # In the order of the log: rows that come next to each other change few of its pages.
            for listener, purpose, state, at, notice in batch.sort("listener", "purpose", "at").iter_rows():
                yield Entry(listener, purposes[purpose], states[state], at, notice)
