"""The consent log: who allowed what, since when, by which notice and which way; the default is no."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import date, datetime
from enum import StrEnum
from functools import cache, partial, reduce
from heapq import merge
from itertools import groupby, islice, pairwise
from operator import itemgetter
from pathlib import Path
from typing import Any, NamedTuple

import sqlalchemy as sa

from recsys.consents.belongings import BELONGING_TABLES, BELONGINGS, Belongings, on_since
from recsys.consents.compaction import compact
from recsys.consents.consent_tables import (
    CLAIMED,
    ENTRIES,
    ERASURES,
    IMPORTED,
    PICTURES,
    instant_of,
    microseconds,
    not_erased,
    prepare,
)
from recsys.consents.contacts import MINE, THEM, Contacts, Friend, mutual_of
from recsys.consents.database import Database
from recsys.consents.erasure import Erasures
from recsys.consents.feedback import Feedback, Told
from recsys.consents.log_copy import Copied, copy_log
from recsys.consents.marks import NEVER, Marks, about, never
from recsys.consents.pictures import PROFILE, Pictures
from recsys.consents.witness import place_of
from recsys.errors import ConsentError
from recsys.messages import Message, said
from recsys.settings import Settings
from recsys.workspace import Workspace, accepting, fingerprint

_PIECE = 10_000  # entries that are written at a time
_RANGES = ("", *(f"{number:02x}" for number in range(1, 256)), "g")  # of listeners, in hex, that are read at a time
_TRACES = (ENTRIES, ERASURES, IMPORTED)  # what was ever used has a row in one of them
_Notices = frozenset[str] | None  # versions in force; None: every one is


class Purpose(StrEnum):
    """What a listener can allow, each a switch of its own, none given by default."""

    LOCAL_TRENDS = "local_trends"
    CONTRIBUTE_TRENDS = "contribute_trends"
    PERSONALISATION = "personalisation"
    PARTNER_STATISTICS = "partner_statistics"
    FEEDBACK = "feedback"
    IMAGES = "images"
    VOICE = "voice"
    CONTACTS = "contacts"

    @property
    def explained(self) -> Message:
        """What the listener allows, in the listener's words."""
        return _EXPLAINED[self]


class State(StrEnum):
    """The two words in which giving and withdrawing differ."""

    GIVEN = "given"
    WITHDRAWN = "withdrawn"


class Channel(StrEnum):
    """Which way a decision came."""

    API = "api"  # a request of the app
    PAGE = "page"  # a request of our own page, as the browser says
    GPC = "gpc"  # the browser's Global Privacy Control
    IMPORT = "import"  # a consents file


@dataclass(frozen=True)
class Entry:
    """One line of the log: from ``at`` on, this listener's answer for this purpose is this state.

    Parameters
    ----------
    listener : str
        The keyed hash of a user id (:func:`recsys.workspace.listener_of`).
    purpose : Purpose
    state : State
    at : datetime
        When the listener decided, with a time zone.
    notice_version : str
        Which text the listener was shown.
    channel : Channel
        Which way the decision came.
    """

    listener: str
    purpose: Purpose
    state: State
    at: datetime
    notice_version: str
    channel: Channel = Channel.IMPORT


@dataclass(frozen=True)
class Standing:
    """How one switch of a listener stands at an instant.

    Parameters
    ----------
    state : State
        ``given`` only where the last decision was to give, under a notice that is in force.
    last : Entry or None
        The last decision; None where there was none.
    asks_again : bool
        Whether the last decision was to give, under a notice that is not in force any more.
    """

    state: State
    last: Entry | None
    asks_again: bool


class Choices(NamedTuple):
    """What may choose a listener's list at an instant.

    Parameters
    ----------
    place : bool
        The cell of the request.
    plays : bool
        What the listener plays, as far as it is not being erased.
    feedback : bool
        What the listener tells about lists.
    hidden : frozenset of str
        The tracks that the listener has hidden from them; nobody has without that.
    """

    place: bool
    plays: bool
    feedback: bool = False
    hidden: frozenset[str] = frozenset()


class ConsentLog:
    """The durable, append-only log; the latest entry at an instant is the state.

    Of two entries of the same instant the withdrawal wins: in doubt the answer is no. Appending the same entry twice
    changes nothing. Entries cannot be changed or removed, except by an erasure that the listener asked for
    (:attr:`erasures`); from that moment no entry of before counts. And of very many decisions of one listener those in
    the midst go once nobody can ask for them (:meth:`compact`): never the first, and never what stands.

    A withdrawal counts at once, also where a clock that runs ahead dated it later; what was given counts from its own
    instant on.

    Parameters
    ----------
    place : Path or str
        A SQLite file, created (mode 0600) when missing, or the URL of a PostgreSQL database.
    notices : collection of str, optional
        The versions of the notice that are in force: what was given under another one is no consent, neither in
        serving nor for a night. By default every version is.
    marks : Marks, optional
        What erasures and withdrawals left, also those of which this log, restored or moved, knows nothing.

    Attributes
    ----------
    erasures : Erasures
        The erasures that were asked for.
    belongings : Belongings
        What came with a switch, and goes with it.
    feedback : Feedback
        What was told about lists.
    pictures : Pictures
        What was chosen to be shown.
    contacts : Contacts
        What was told of address books, as tokens.

    Raises
    ------
    SettingsError
        If the URL does not fit.
    NotReadyError
        If the database cannot be used now; every method may raise it.
    """

    def __init__(
        self, place: Path | str, *, notices: Collection[str] | None = None, marks: Marks | None = None
    ) -> None:
        in_force = None if notices is None else frozenset(notices)
        self._database = Database(place)
        prepare(self._database)
        self.erasures = Erasures(self._database, marks=marks, purposes=tuple(Purpose))
        self.belongings, self.feedback = Belongings(self._database), Feedback(self._database)
        self.pictures = Pictures(self._database)
        self.contacts = Contacts(self._database, erased=marks.of if marks else never)
        self._notices, self._marks = in_force, marks
        self._insert = self._database.insert_new(ENTRIES)
        self._take_in = self._database.insert_new(ENTRIES, taken=_taken())
        self._imported = self._database.insert_new(IMPORTED)
        self._is_imported = self._database.compiled(_imported())
        self._latest = self._database.compiled(_latest(in_force, of=_given("purpose")))
        self._choices = self._database.compiled(_choices(in_force))
        self._friends = self._database.compiled(_friends(in_force))
        self._friend = self._database.compiled(_friends(in_force, one=True))
        self._of, self._newest = self._database.compiled(_all_of_one()), self._database.compiled(_newest_of_one())
        self._given_here = self._database.compiled(_given_here())
        self._claimed = self._database.compiled(_claimed())
        self._used = self._database.compiled(_used())
        self._last_decided = self._database.compiled(_last_decided())
        self._history, self._accepted = self._database.compiled(_history(in_force)), _named(in_force)
        self._lines = self._database.compiled(_lines(in_force))
        self._state = [self._database.compiled(statement) for statement in _state()]

    def append(self, entries: Iterable[Entry], *, digest: str | None = None) -> int:
        """Add entries, on disk when this returns; return how many were new.

        They are written piece by piece, so that nobody who decides meanwhile has to wait for all of them; after a crash
        the same entries can be added again. Nothing is taken in about who was erased since; and no consent of a file
        that is not later than what the listener decided here about the same purpose. What belongs to a switch goes with
        it, as in :meth:`decide`.

        Parameters
        ----------
        entries : iterable of Entry
        digest : str, optional
            Of the file that they come from. A file that was imported already is not read again: it would bring back
            whom it still holds, and who was erased since.
        """
        if digest and self._database.read(self._is_imported, {"digest": digest}):
            return 0
        rows, new = map(_row, entries), 0
        while piece := list(islice(rows, _PIECE)):
            marked = self.marked()  # of now: somebody may be erased meanwhile
            wanted = [row for row in piece if _is_wanted(row, marked)]
            of = {purpose: {row["listener"] for row in wanted if row["purpose"] == purpose} for purpose in BELONGINGS}
            after = partial(_off_until, marked=marked)
            with self._database.writing() as connection, self.belongings.kept(of, connection, after=after):
                new += connection.exec_driver_sql(self._take_in, wanted).rowcount if wanted else 0
        if digest:
            with self._database.writing() as connection:
                connection.exec_driver_sql(self._imported, {"digest": digest})
        return new

    def decide(self, entry: Entry) -> bool:
        """Add one decision unless the log says the same already; return whether it was new.

        A withdrawal stands against everything that was given, also where another server's clock or an imported log
        dated it later: it is entered at each of those instants too, where it wins. Before that it leaves its mark. With
        a switch goes all that belongs to it; who turns it on begins with nothing.
        """
        says_so = not _missing(self.newest(entry.listener, at=entry.at), entry)
        if says_so and not self._outlived(entry):  # most often, and others can go on writing
            return False
        if self._marks and entry.state == State.WITHDRAWN:
            self._marks.record(about(entry.listener, entry.purpose), at=entry.at)
        asked = self._asked(entry.listener) | {"until": microseconds(entry.at)}
        marked = self._marks_of(entry.listener)
        of = {entry.purpose.value: [entry.listener]} if entry.purpose in BELONGINGS else {}
        kept = partial(self.belongings.kept, of, after=self._after)
        with self._database.deciding(entry.listener) as connection, kept(connection):
            rows = connection.exec_driver_sql(self._newest, asked).all()
            missing = _missing(_unmarked(_entries(rows), marked), entry)
            if missing:
                connection.exec_driver_sql(self._insert, [_row(each) for each in missing])
        return bool(missing)

    def allows(self, listener: str, purpose: Purpose, *, at: datetime) -> bool:
        """Tell whether the listener's latest entry for a purpose, no later than ``at``, is ``given`` and in force.

        And none of later withdraws it.
        """
        ((given,),) = self._database.read(self._latest, self._asking(listener, purpose, at=at))
        return bool(given)

    def tell(self, listener: str, told: Told, *, at: datetime, most_hidden: int, most_played: int) -> None:
        """Keep what a listener tells about a list, if that is allowed when it is written; on disk when this returns.

        Raises
        ------
        ConsentError
            If it is not allowed, or not any more: no withdrawal comes between the question and the writing.
        InputError
            As :meth:`recsys.consents.feedback.Feedback.keep` does; nothing is kept then.
        """
        with self.allowing(listener, Purpose.FEEDBACK, at=at) as connection:
            self.feedback.keep(connection, listener, told, most_hidden=most_hidden, most_played=most_played)

    @contextmanager
    def allowing(self, listener: str, purpose: Purpose, *, at: datetime) -> Iterator[sa.Connection]:
        """Open a transaction in which a listener allows something, on disk when the block ends.

        Raises
        ------
        ConsentError
            If it is not allowed, or not any more: no withdrawal comes between the question and the writing.
        """
        with self._database.deciding(listener) as connection:
            if not connection.exec_driver_sql(self._latest, self._asking(listener, purpose, at=at)).scalar_one():
                raise not_allowed(purpose)
            yield connection

    def show(self, listener: str, kind: str, content: bytes, *, at: datetime) -> str:
        """Keep a picture that a listener chose, if that is allowed when it is written; return its edition once on disk.

        Raises
        ------
        ConsentError
            As :meth:`allowing` does.
        """
        with self.allowing(listener, Purpose.IMAGES, at=at) as connection:
            return self.pictures.keep(connection, listener, kind, content)

    def told(self, listener: str) -> list[tuple[str, date, str, str | None]]:
        """Return what a listener told that is not forgotten; see :meth:`recsys.consents.feedback.Feedback.told`.

        Nothing where the switch is off: a log that was restored may still hold what went with it.
        """
        told = list(self.feedback.told(listener))  # read in any case: its time tells nothing
        return told if self._is_on(listener, Purpose.FEEDBACK) else []

    def picture(self, listener: str, kind: str, *, at: datetime, edition: str | None = None) -> bytes | None:
        """Return a picture (of an edition) that may be shown at this instant; None if there is none or it may not."""
        content = self.pictures.content(listener, kind, edition=edition)  # read in any case: its time tells nothing
        return content if self.allows(listener, Purpose.IMAGES, at=at) else None

    def chosen(self, listener: str) -> list[tuple[str, bytes]]:
        """Return the pictures that are kept of a listener, each with its kind; nothing where the switch is off."""
        chosen = self.pictures.every(listener)
        return chosen if self._is_on(listener, Purpose.IMAGES) else []

    def friends(self, listener: str, *, key: str, at: datetime) -> list[Friend]:
        """Return the friends of a listener who allows it: each of both told of the other, and both allow it.

        It is found out at each question: nothing has to be brought up to date when somebody withdraws or is erased.
        However many there are, they are asked for at once.

        Parameters
        ----------
        listener : str
        key : str
            The fingerprint of the key under which tokens count.
        at : datetime
        """
        return self._friends_among(self._friends, listener, key=key, at=at)

    def shares(self, owner: str, *, with_: str, key: str, at: datetime) -> bool:
        """Tell whether somebody shares with a friend under the own name, where both allow it at this moment."""
        found = self._friends_among(self._friend, with_, key=key, at=at, other=owner)  # in any case, as of pictures
        return self.allows(with_, Purpose.CONTACTS, at=at) and any(friend.shares for friend in found)

    def _friends_among(self, query: str, listener: str, *, key: str, at: datetime, **which: str) -> list[Friend]:
        asked = {"listener": listener, "key": key, "until": microseconds(at), "never": NEVER, **which}
        rows = self._database.read(query, asked | self._accepted)
        marked = self._marks_among(other for _, other, *_ in rows)
        found = []
        for token, other, shared, shares, picture, erased, *answers in rows:
            given = {
                purpose
                for purpose, since in zip(_OF_FRIENDS, answers, strict=True)
                if since is not None and since > _off_until(other, purpose, marked=marked)
            }
            if Purpose.CONTACTS in given:
                contributes = Purpose.CONTRIBUTE_TRENDS in given and not erased
                shown = picture if Purpose.IMAGES in given else None
                found.append(Friend(token, other, bool(shared), bool(shares), contributes, shown))
        return found

    def told_of_contacts(self, listener: str) -> list[dict[str, Any]]:
        """Return what is held of a listener's contacts; nothing where the switch is off, as of :meth:`told`.

        But what the listener used up of the allowances, which outlives the switch.
        """
        told, used = self.contacts.told(listener), self.contacts.used(listener)
        return [*(told if self._is_on(listener, Purpose.CONTACTS) else []), *used]

    def _is_on(self, listener: str, purpose: Purpose) -> bool:
        """Tell whether a switch is on, under whichever notice."""
        held = _unmarked(self.entries(listener), self._marks_of(listener))
        answers = [(microseconds(e.at), e.state == State.GIVEN) for e in held if e.purpose == purpose]
        return on_since(answers) is not None

    def forget_where_off(self) -> int:
        """Delete what belongs to switches that are off; return how many of them there were.

        Whatever turns one off deletes it, unless the log was restored. Under a notice that is not in force any more it
        waits, unused, for the listener to say so again.
        """
        return self.belongings.forget_where_off(marked=partial(_off_until, marked=self.marked()), after=self._after)

    def _outlived(self, entry: Entry) -> bool:
        """Tell whether something that belongs to a switch is still there although it is turned off once more."""
        ends = entry.purpose in BELONGINGS and entry.state == State.WITHDRAWN
        return ends and self.belongings.has(entry.listener, entry.purpose)

    def scrub(self) -> None:
        """Bring off the disk what was deleted of belongings (:meth:`recsys.consents.database.Database.scrub`).

        Raises
        ------
        NotReadyError
            If somebody is reading the log; nothing is lost, try again.
        """
        self._database.scrub(*BELONGING_TABLES)

    def choices(self, listener: str, *, at: datetime) -> Choices:
        """Return what a listener lets choose the list at this instant, and what may not be on it.

        All of it is asked for everybody, in three queries, of which two answer one row, so that its time tells nothing.
        """
        after = dict(zip(map(_after, _CHOOSING), self._after_each(listener, _CHOOSING)[1:], strict=True))
        asked = {"listener": listener, "until": microseconds(at), **after, **self._accepted}
        answers, hidden = self._database.read_each((self._choices, asked), self.feedback.hidden_by(listener))
        place, plays, feedback, erased = map(bool, answers[0])
        tracks = frozenset(track for (track,) in hidden)
        return Choices(place, plays and not erased, feedback, tracks if feedback else frozenset())

    def standings(self, listener: str, *, at: datetime) -> dict[Purpose, Standing]:
        """Return how every switch of a listener stands, by the entries no later than ``at``, and every withdrawal."""
        last: dict[Purpose, list[Entry]] = {purpose: [] for purpose in Purpose}
        held = self.newest(listener, at=at)
        past = (entry for entry in held if entry.at <= at or entry.state == State.WITHDRAWN)
        for (purpose, _), entries in groupby(past, key=lambda entry: (entry.purpose, entry.at)):
            last[purpose] = list(entries)
        return {purpose: self._standing(entries) for purpose, entries in last.items()}

    def newest(self, listener: str, *, at: datetime) -> list[Entry]:
        """Return the entries of the last instant of each purpose no later than ``at``, and all later ones.

        Without what was given before a withdrawal that this log does not know. It takes as long for a hundred thousand
        decisions as for two.
        """
        rows = self._database.read(self._newest, self._asked(listener) | {"until": microseconds(at)})
        return _unmarked(_entries(rows), self._marks_of(listener))

    def given_here(self, listener: str, *, since: datetime) -> list[datetime]:
        """Return when the listener gave a consent, but by a file, later than ``since``; the latest first."""
        asked = {"listener": listener, "after": max(self._after(listener), microseconds(since))}
        return [instant_of(at) for (at,) in self._database.read(self._given_here, asked)]

    def entries(self, listener: str) -> list[Entry]:
        """Return all entries of a listener by purpose and time; of one instant the one that counts comes last."""
        return _entries(self._database.read(self._of, self._asked(listener)))

    def history(self, purpose: Purpose, *, until: datetime) -> Iterator[tuple[str, int, bool]]:
        """Yield ``(listener, at in microseconds since 1970 UTC, given and in force)`` of a purpose up to an instant.

        Entries come in the order of listener and time; of one instant only the one that counts is there. Withdrawals of
        later count too, as of that instant.
        """
        last, marked = microseconds(until), self.marked()
        asked = {"purpose": purpose.value, "until": last, **self._accepted}
        every = self._database.stream(self._history, asked)
        if marked is never:  # a third of the time
            yield from ((listener, min(at, last), bool(given)) for listener, at, given in every)
        for listener, rows in groupby(every, key=itemgetter(0)):
            erased, withdrawn = marked(listener), marked(about(listener, purpose))
            said = ((at, bool(given)) for _, at, given in rows if at > erased)
            known = _with_withdrawal(said, at=withdrawn) if withdrawn > erased else said
            yield from ((listener, min(at, last), given) for at, given in known)

    def answers(self, *, until: datetime) -> Iterator[str]:
        """Yield everybody's answers up to an instant as lines of CSV without a header, many of them in a text.

        They are what :meth:`history` is made of, in no order, and before marks (:meth:`marked`) leave anything out:
        listener, purpose, at in microseconds since 1970 UTC, and 1 for given and in force, else 0. The database writes
        the lines: every row on its own takes far longer on its way through Python than there.
        """
        asked = {"until": microseconds(until), **self._accepted}
        for begin, end in pairwise(_RANGES):
            ((lines,),) = self._database.read(self._lines, asked | {"begin": begin, "end": end})
            if lines:
                yield lines

    def marked(self) -> Callable[[str], int]:
        """Return what tells up to when nothing about a subject counts, by the marks that there are now.

        A subject is a listener, or one purpose of a listener (:func:`recsys.consents.marks.about`); it is
        :func:`recsys.consents.marks.never` where there is no mark.
        """
        return self._marks.known() if self._marks else never

    def state(self) -> tuple[Any, ...]:
        """Return what is another whenever somebody's history may be: far quicker to ask for than the history itself."""
        marks = sorted(self._marks.every().items()) if self._marks else []
        return (*(row for query in self._state for row in self._database.read(query, {})), *marks)

    def compact(self, *, before: datetime, kept: int) -> int:
        """Delete decisions that nobody asks for any more, of who decided very often; return how many.

        Every answer about ``before`` and later, and everything that is added afterwards, is as if they were there.

        Parameters
        ----------
        before : datetime
            No night asks who allowed what earlier than this.
        kept : int
            Decisions about a purpose, 1 or more, that a receipt and an export tell of, however old they are; beside the
            first.
        """
        return compact(self._database, before=microseconds(before), kept=kept, imported=Channel.IMPORT.value)

    def copy_to(self, other: "ConsentLog") -> Copied:
        """Copy all of this log, with ways, receipts and what is still to be erased, and verify the copy.

        Raises
        ------
        InputError
            If the other log holds what this one does not.
        NotReadyError
            If this log was written to meanwhile.
        """
        return copy_log(self._database, to=other._database)

    def _asked(self, listener: str, purpose: Purpose | None = None) -> dict[str, Any]:
        """Return what a query about one listener is asked with."""
        return {"listener": listener, "after": self._after(listener, purpose)}

    def _asking(self, listener: str, purpose: Purpose, *, at: datetime) -> dict[str, Any]:
        """Return what the query for the latest answer is asked with."""
        asked = {"purpose": purpose.value, "until": microseconds(at)}
        return self._asked(listener, purpose) | asked | self._accepted

    def _after(self, listener: str, purpose: str | None = None) -> int:
        """Return up to when nothing of a listener counts; for a purpose, also up to when it was withdrawn."""
        return self._after_each(listener, [purpose] if purpose else [])[-1]

    def _after_each(self, listener: str, purposes: Sequence[str]) -> list[int]:
        """Return up to when nothing of a listener counts, and up to when nothing about each of some purposes."""
        if self._marks is None:
            return [NEVER] * (1 + len(purposes))
        return self._marks.of_each(listener, *(about(listener, purpose) for purpose in purposes))

    def _marks_among(self, listeners: Iterable[str]) -> Callable[[str], int]:
        """Return what knows the marks of some listeners, as far as they are about friends."""
        if self._marks is None:
            return never
        return self._marks.among([each for who in listeners for each in (who, *(about(who, p) for p in _OF_FRIENDS))])

    def _marks_of(self, listener: str) -> Callable[[str], int]:
        after = zip(Purpose, self._after_each(listener, list(Purpose))[1:], strict=True)
        return {about(listener, purpose): at for purpose, at in after}.__getitem__

    def last_decided(self) -> datetime | None:
        """Return when the last decision came in or an erasure was asked for, by the clocks of who took them in.

        What a file says is left out, and what was entered because a file says it: nobody's clock stood there.
        """
        ((last,),) = self._database.read(self._last_decided, {})
        return None if last is None else instant_of(last)

    def claimed_by(self) -> str | None:
        """Return the fingerprint of the listener key under which the log is kept; None for one that nobody claimed."""
        found = self._database.read(self._claimed, {})
        return str(found[0][0]) if found else None

    def is_unused(self) -> bool:
        """Tell whether nothing was ever written to the log."""
        ((used,),) = self._database.read(self._used, {})
        return not used

    def claim(self, key: str) -> None:
        """Write down under which listener key the log is kept, instead of what was written before."""
        with self._database.deciding("claim") as connection:
            connection.execute(sa.delete(CLAIMED))
            connection.execute(sa.insert(CLAIMED).values(key=key))

    def _standing(self, last: Sequence[Entry]) -> Standing:
        """Return how a switch stands after the entries of its last instant, of which there may be several."""
        if not last:
            return Standing(State.WITHDRAWN, None, asks_again=False)
        in_force = all(self._in_force(entry.state, entry.notice_version) for entry in last)
        given = last[-1].state == State.GIVEN  # a withdrawal comes after what was given at the same instant
        return Standing(State.GIVEN if in_force else State.WITHDRAWN, last[-1], asks_again=given and not in_force)

    def _in_force(self, state: str, notice: str) -> bool:
        return state == State.GIVEN and (self._notices is None or notice in self._notices)


def consent_log(workspace: Workspace, *, settings: Settings) -> ConsentLog:
    """Open the log of a deployment: the workspace's own file, or the database that the settings name.

    Raises
    ------
    ConsentError
        If it is a new one although something stands on another, or that of another listener key.
    SettingsError, NotReadyError
        As :class:`ConsentLog` and :meth:`recsys.workspace.Workspace.listener_key` do.
    """
    key = fingerprint(workspace.listener_key())
    log = open_log(workspace, settings=settings)
    claimed = log.claimed_by()
    if claimed is None:
        if workspace.is_begun and log.is_unused():
            raise ConsentError(
                "the consent log is new and empty, but nights were run on another one: it is lost, or was moved and "
                "this is not where it went, and with this one nobody has allowed anything",
                hint=f"Restore consents.db from a backup, or check consents.url. {accepting('consents')}",
            )
        log.claim(key)
    elif claimed != key:
        raise ConsentError(
            "the consent log is that of another listener key: under this one, nobody in it is known",
            hint=f"Restore listener.key and the consent log from one backup. {accepting('consents')}",
        )
    return log


def open_log(workspace: Workspace, *, settings: Settings) -> ConsentLog:
    """Open the log of a deployment, whatever it is."""
    place = settings.consents.url.get_secret_value() or workspace.consents
    return ConsentLog(place, notices=settings.consents.in_force, marks=marks_of(workspace, settings=settings))


def marks_of(workspace: Workspace, *, settings: Settings) -> Marks:
    """Open the marks of a workspace, wherever its consent log is; the witness is told of them once there is one."""
    witness = place_of(settings)
    known = isinstance(witness, str) or witness.exists()
    return Marks(workspace.marks, key=workspace.marks_key(), witness=witness if known else None)


def _missing(held: Sequence[Entry], decided: Entry) -> list[Entry]:
    """Return what a decision adds to a listener's entries: nothing where they say the same already."""
    held = [entry for entry in held if entry.purpose == decided.purpose]
    past = [entry for entry in held if entry.at <= decided.at]
    last = [entry for entry in past if entry.at == past[-1].at]
    if decided.state == State.GIVEN:
        same = all((e.state, e.notice_version) == (decided.state, decided.notice_version) for e in last)
        return [] if last and same else [decided]
    later = {entry.at for entry in held if entry.at > decided.at and entry.state == State.GIVEN}
    later -= {entry.at for entry in held if entry.state == State.WITHDRAWN}
    withdrawn = any(entry.state == State.WITHDRAWN for entry in last)
    return [replace(decided, at=at) for at in sorted(later if withdrawn else {decided.at, *later})]


def not_allowed(purpose: Purpose) -> ConsentError:
    """Return what is said to who has not turned a switch on."""
    return ConsentError(
        f"{purpose} is not allowed by the listener",
        hint=f"The listener turns it on: PUT /v1/me/consents/{purpose}.",
    )


def _off_until(listener: str, purpose: str, *, marked: Callable[[str], int]) -> int:
    """Return up to when nothing that a listener said of a purpose counts, by the marks that are known."""
    return max(marked(listener), marked(about(listener, purpose)))


def _with_withdrawal(said: Iterable[tuple[int, bool]], *, at: int) -> Iterator[tuple[int, bool]]:
    """Put a withdrawal that left its mark among the answers in order: a restored log may not know it."""
    for instant, answers in groupby(merge(said, [(at, False)]), key=itemgetter(0)):
        yield instant, all(given for _, given in answers)


def _unmarked(entries: Iterable[Entry], marked: Callable[[str], int]) -> list[Entry]:
    """Return the entries that stand: what was given before a withdrawal that left its mark does not."""
    return [
        entry
        for entry in entries
        if entry.state == State.WITHDRAWN or microseconds(entry.at) > marked(about(entry.listener, entry.purpose))
    ]


def _is_wanted(row: dict[str, Any], marked: Callable[[str], int]) -> bool:
    """Tell whether a row is later than what was said about its listener, and a consent than its withdrawal."""
    listener, at, given = row["listener"], row["at"], row["state"] == State.GIVEN
    return at > marked(listener) and not (given and at <= marked(about(listener, row["purpose"])))


def _row(entry: Entry) -> dict[str, Any]:
    return {
        "listener": entry.listener,
        "purpose": entry.purpose.value,
        "at": microseconds(entry.at),
        "state": entry.state.value,
        "notice_version": entry.notice_version,
        "channel": entry.channel.value,
    }


def _entries(rows: Iterable[Sequence[Any]]) -> list[Entry]:
    return [
        Entry(listener, Purpose(purpose), State(state), instant_of(at), notice, Channel(channel))
        for listener, purpose, at, state, notice, channel in rows
    ]


@cache
def _latest(notices: _Notices, *, of: sa.ColumnElement[str], after: str = "after") -> sa.Select[Any]:
    """Select whether one listener's last answer for one purpose is yes.

    It is one row in any case, null for who never answered: what is done with it takes the same time for everybody.
    """
    newest = _newest(of, after=after)
    return sa.select(_yes(notices)).where(*newest, _counts_then())


@cache
def _choices(notices: _Notices) -> sa.Select[Any]:
    """Select the last answers for the purposes that choose a list, and whether an erasure is still to be done."""
    answers = (
        _latest(notices, of=_constant(f"'{purpose}'"), after=_after(purpose)).scalar_subquery() for purpose in _CHOOSING
    )
    return sa.select(*answers, sa.exists().where(ERASURES.c.listener == _given("listener")))


@cache
def _friends(notices: _Notices, *, one: bool = False) -> sa.Select[Any]:
    """Select a listener's friends, or one, each with what they share, their picture, and since when what is given.

    And with whether an erasure is still to be done.
    """
    which = (THEM.c.listener == _given("other"),) if one else ()
    friend = mutual_of(MINE.c.listener == _given("listener"), *which).subquery("friend")
    profile = (PICTURES.c.listener == friend.c.other, PICTURES.c.kind == _constant(f"'{PROFILE}'"))
    picture = sa.select(PICTURES.c.edition).where(*profile).scalar_subquery()
    erased = sa.exists().where(ERASURES.c.listener == friend.c.other)
    columns = (friend.c.token, friend.c.other, friend.c.shared, friend.c.shares, picture, erased)
    answers = (_given_at(purpose, notices, of=friend) for purpose in _OF_FRIENDS)
    return sa.select(*columns, *answers).order_by(friend.c.token, friend.c.other)


def _given_at(purpose: Purpose, notices: _Notices, *, of: sa.FromClause) -> sa.ScalarSelect[Any]:
    """Select when each other listener gave a consent that stands; null for who did not, or withdrew it."""
    newest = _newest(_constant(f"'{purpose}'"), after="never", of=of)
    since = sa.case((_yes(notices) == _constant("1"), sa.func.max(ENTRIES.c.at)))
    return sa.select(since).where(*newest, _counts_then()).correlate(of).scalar_subquery()


@cache
def _all_of_one() -> sa.Select[Any]:
    of_one = sa.select(ENTRIES).where(*_about_listener())
    return of_one.order_by(ENTRIES.c.purpose, ENTRIES.c.at, ENTRIES.c.state, ENTRIES.c.notice_version)


@cache
def _newest_of_one() -> sa.Select[Any]:
    """Select the entries of each purpose's last instant no later than an instant, and all later ones."""
    newest = sa.union_all(*(sa.select(ENTRIES).where(*_newest(_constant(f"'{purpose}'"))) for purpose in Purpose))
    columns = newest.selected_columns
    return newest.order_by(columns.purpose, columns.at, columns.state, columns.notice_version)  # type: ignore[return-value]


@cache
def _given_here() -> sa.Select[Any]:
    """Select when a listener gave a consent since an instant, the latest first."""
    given = ENTRIES.c.state == _constant(f"'{State.GIVEN}'")
    here = ENTRIES.c.channel != _constant(f"'{Channel.IMPORT}'")
    of_purpose = (ENTRIES.c.purpose == _constant(f"'{purpose}'") for purpose in Purpose)  # by the index, for each
    each = (sa.select(ENTRIES.c.at).where(*_about_listener(), purpose, given, here) for purpose in of_purpose)
    every = sa.union_all(*each)
    return every.order_by(every.selected_columns.at.desc())  # type: ignore[return-value]


@cache
def _history(notices: _Notices) -> sa.Select[Any]:
    """Select everybody's answers for one purpose, one an instant."""
    past = (ENTRIES.c.purpose == _given("purpose"), _counts_then(), not_erased())
    at_once = sa.select(ENTRIES.c.listener, ENTRIES.c.at, _yes(notices)).where(*past)
    return at_once.group_by(ENTRIES.c.listener, ENTRIES.c.at).order_by(ENTRIES.c.listener, ENTRIES.c.at)


@cache
def _lines(notices: _Notices) -> sa.Select[Any]:
    """Select the answers of some listeners as one text, a line each."""
    some = (ENTRIES.c.listener >= _given("begin"), ENTRIES.c.listener < _given("end"))
    told = (ENTRIES.c.listener, ENTRIES.c.purpose, sa.cast(ENTRIES.c.at, sa.Text), sa.cast(_is_yes(notices), sa.Text))
    line = reduce(lambda left, right: left.concat(_constant("','")).concat(right), told)
    lines = sa.func.aggregate_strings(line, _constant("'\n'"))  # type: ignore[arg-type]  # no parameter, as elsewhere
    return sa.select(lines).where(*some, _counts_then(), not_erased())


@cache
def _imported() -> sa.Select[Any]:
    return sa.select(IMPORTED).where(IMPORTED.c.digest == _given("digest"))


@cache
def _claimed() -> sa.Select[Any]:
    return sa.select(CLAIMED.c.key)


@cache
def _used() -> sa.Select[Any]:
    """Select whether anybody has left a trace."""
    return sa.select(sa.or_(*(sa.exists(sa.select(table)) for table in _TRACES)))


@cache
def _state() -> tuple[sa.Select[Any], ...]:
    """Select what tells that an entry was added, or an erasure asked for or done: how many there are.

    No entry is ever changed, and none goes but in an erasure, and those between two others that nobody can ask for.
    """
    counts: tuple[tuple[sa.Table, list[sa.ColumnElement[Any]]], ...]
    counts = (ENTRIES, [sa.func.count()]), (ERASURES, [sa.func.count(), sa.func.count(ERASURES.c.listener)])
    return tuple(sa.select(*columns).select_from(table) for table, columns in counts)


@cache
def _last_decided() -> sa.Select[Any]:
    """Select the latest instant that came from a clock: of an answer that was not imported, or of an erasure."""
    imported = ENTRIES.alias()
    same = [imported.c[name] == ENTRIES.c[name] for name in ("listener", "purpose", "at")]
    dated = sa.exists().where(*same, imported.c.channel == _constant(f"'{Channel.IMPORT}'"))
    came = ENTRIES.c.channel != _constant(f"'{Channel.IMPORT}'")
    of_entries = sa.select(sa.func.max(ENTRIES.c.at).label("at")).where(came, sa.not_(dated))
    each = sa.union_all(of_entries, sa.select(sa.func.max(ERASURES.c.asked_at).label("at"))).subquery()
    return sa.select(sa.func.max(each.c.at))


def _newest(
    purpose: sa.ColumnElement[str], *, after: str = "after", of: sa.FromClause | None = None
) -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions of the entries of a purpose's last instant no later than an instant, and of later ones.

    The last instant is looked up from the end of the index: its time does not grow with the number of entries. They are
    those of the listener who is asked for, or of each ``other`` that is selected beside them.
    """
    listener = _given("listener") if of is None else of.c.other
    of_this = (ENTRIES.c.listener == listener, ENTRIES.c.purpose == purpose, not_erased())
    past = sa.select(ENTRIES.c.at).where(*of_this, ENTRIES.c.at > _given(after), ENTRIES.c.at <= _given("until"))
    first = past.order_by(ENTRIES.c.at.desc()).limit(_constant("1")).offset(_constant("0"))
    last = first.correlate(of).scalar_subquery()
    later = sa.case((_given("until") > _given(after), _given("until")), else_=_given(after))
    return *of_this, ENTRIES.c.at >= sa.func.coalesce(last, later + _constant("1"))  # one bound: SQLite uses one


def _about_listener() -> tuple[sa.ColumnElement[bool], ...]:
    """Return the conditions that an entry is of the listener who is asked for, and of no time that was erased."""
    return ENTRIES.c.listener == _given("listener"), ENTRIES.c.at > _given("after"), not_erased()


def _after(purpose: Purpose) -> str:
    """Return the parameter that says from when on entries of a purpose count."""
    return f"after_{purpose}"


def _counts_then() -> sa.ColumnElement[bool]:
    """Return the condition that an entry counts at an instant: it is of then or before, or a withdrawal of later.

    A clock that runs ahead may have dated a withdrawal: no clock makes it wait.
    """
    return sa.or_(ENTRIES.c.at <= _given("until"), ENTRIES.c.state == _constant(f"'{State.WITHDRAWN}'"))


@cache
def _taken() -> sa.ColumnElement[bool]:
    """Return the condition that an entry may be added: no consent of a file stands against a decision made here."""
    decided = ENTRIES.alias()
    here = sa.exists().where(
        decided.c.listener == _given("listener"),
        decided.c.purpose == _given("purpose"),
        decided.c.at >= _given("at"),
        decided.c.channel != _constant(f"'{Channel.IMPORT}'"),
    )
    own = _given("channel") != _constant(f"'{Channel.IMPORT}'")
    return sa.or_(own, _given("state") == _constant(f"'{State.WITHDRAWN}'"), sa.not_(here))


def _yes(notices: _Notices) -> sa.ColumnElement[int]:
    """Return 1 where every entry of an instant is a yes that is in force, else 0."""
    return sa.func.min(_is_yes(notices))


def _is_yes(notices: _Notices) -> sa.ColumnElement[int]:
    """Return 1 where an entry is a yes that is in force, else 0."""
    yes = ENTRIES.c.state == _constant(f"'{State.GIVEN}'")
    if notices is not None:
        accepted = (ENTRIES.c.notice_version == _given(name) for name in _named(notices))
        yes = sa.and_(yes, sa.or_(sa.false(), *accepted))
    return sa.case((yes, _constant("1")), else_=_constant("0"))


@cache
def _given(name: str) -> sa.BindParameter[Any]:
    """Return a parameter that stands in the compiled query by its name."""
    return sa.bindparam(name)


def _constant(text: str) -> sa.ColumnElement[Any]:
    """Return a constant that stands in the compiled query as it is, and is no parameter."""
    return sa.literal_column(text)


def _named(notices: _Notices) -> dict[str, str]:
    return {f"notice_{number}": notice for number, notice in enumerate(sorted(notices or ()))}


_CHOOSING = (Purpose.LOCAL_TRENDS, Purpose.PERSONALISATION, Purpose.FEEDBACK)
"""The purposes that choose a list."""

_OF_FRIENDS = (Purpose.CONTACTS, Purpose.CONTRIBUTE_TRENDS, Purpose.IMAGES)
"""The purposes that are asked of friends: to be one, to let plays count for others, and to show a picture."""

_EXPLAINED = {
    Purpose.LOCAL_TRENDS: said(
        "When you ask for what is near you, the rough area that you are in chooses your list. Your exact position "
        "never arrives here, and the area is forgotten with the answer."
    ),
    Purpose.CONTRIBUTE_TRENDS: said(
        "Which tracks you play each night, and in which rough area, count in the charts of your region, your country "
        "and the world. Everybody sees the charts; random noise in every count hides whether you are in it."
    ),
    Purpose.PERSONALISATION: said(
        "The tracks you play each night put your own list in order, and teach it which tracks go together. The list "
        "is for you alone; what you play is shown to nobody else."
    ),
    Purpose.PARTNER_STATISTICS: said(
        "Which tracks you play each night, and in which rough area, count in a file that partners get: rounded counts "
        "of many people with random noise in them, and neither your plays nor who you are."
    ),
    Purpose.FEEDBACK: said(
        "What you hide stays away from your lists. What you play from them tells which of two ways to make lists "
        "suits people better; only sums over many people are looked at. Turning it off forgets all of it at once."
    ),
    Purpose.IMAGES: said(
        "The pictures that you choose, one by one, are kept for your profile and as covers of your lists; no others "
        "are ever asked for. Each is drawn anew, without the place and time in its file. Turning it off deletes them."
    ),
    Purpose.VOICE: said(
        "What you say is turned into text on your device, and the text alone is sent here to find the place, the song "
        "or the switch that you mean. Your voice never leaves the device, and the text is forgotten with the answer."
    ),
    Purpose.CONTACTS: said(
        "Who is in your address book, has you in theirs and turned this on, too, becomes your friend here. Your book "
        "never arrives here, only what your app made unreadable. If your plays count in charts, too, friends are "
        "told what several of their friends played, without names. Turning it off ends this at once and forgets your "
        "contacts."
    ),
}
