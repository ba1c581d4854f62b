"""What an attacker with 1,000 accounts finds out about a million numbers, and what it costs to match an address book.

Run it with ``PYTHONPATH=tests python tests/bench/bench_contacts.py [--seed N]``.

The world: a million numbers, three in ten of them of listeners who turned `contacts` on and have told of books of 150
numbers, drawn alike. The attacker has 1,000 verified numbers and tells of as many others as the allowances let. Since
both sides have to tell, it finds who has the number of the very account that told in the book; so what counts is in how
many books the attacker's numbers are: in none, as numbers that were bought for it, or in as many as anybody's. Both are
told, the second as the worst case. What is drawn here is found again by the product's own matching in a small world.

Matching is measured on a real server: bodies in both directions, and CPU time of its processes.
"""

import argparse
import sys
import tempfile
import time
from collections.abc import Iterable
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

import httpx
import numpy as np
import psutil
from support.edge import decide, publish
from support.serving import Server

from recsys.artifacts.recent_plays import RecentPlays, Song, recent_plays_of
from recsys.consents.contacts import Book, Bounds
from recsys.consents.log import ConsentLog, Entry, Purpose, State
from recsys.consents.marks import Marks
from recsys.serving.auth.tokens import mint
from recsys.settings import load_settings
from recsys.workspace import Workspace

sys.path.append(str(Path(__file__).parents[2] / "examples"))
from contacts import Contacts  # type: ignore[import-not-found]

NUMBERS, LISTENERS, BOOK, ACCOUNTS = 1_000_000, 300_000, 150, 1_000
MOST_FOUND, MOST_SECONDS, MOST_BYTES = 1 / 1_000, 1.0, 100_000


def found(rng: np.random.Generator, *, told: int, popular: bool, numbers: int = NUMBERS) -> int:
    """Return how many of the numbers an attacker finds, who tells of so many by each account."""
    if not popular:
        return 0
    seen: set[int] = set()
    for _ in range(ACCOUNTS):
        holders = rng.choice(LISTENERS, rng.binomial(LISTENERS, BOOK / numbers), replace=False)
        seen.update(holders[rng.random(len(holders)) < told / numbers].tolist())
    return len(seen)


def is_alike(rng: np.random.Generator) -> bool:
    """Tell whether the product's matching finds what is said here, in a world of 60 numbers and 12 accounts."""
    numbers, accounts, at = 60, 12, datetime(2026, 3, 1, tzinfo=UTC)
    books = [set(rng.choice(numbers + accounts, 9, replace=False).tolist()) for _ in range(numbers)]
    told = [set(rng.choice(numbers, 20, replace=False).tolist()) for _ in range(accounts)]
    everybody = [*books, *told]
    with tempfile.TemporaryDirectory() as folder:
        log = ConsentLog(Path(folder) / "consents.db")
        log.append(Entry(_named(n), Purpose.CONTACTS, State.GIVEN, at, "1") for n in range(len(everybody)))
        for n, book in enumerate(everybody):
            with log.allowing(_named(n), Purpose.CONTACTS, at=at) as connection:
                own, added = {str(n)}, [str(other) for other in book]
                log.contacts.keep(connection, _named(n), Book(own, added), key="k", day=at.date(), most=100)
        pairs = {(n, int(f.token)) for n in range(len(everybody)) for f in log.friends(_named(n), key="k", at=at)}
    expected = {(n, other) for n, book in enumerate(everybody) for other in book if n in everybody[other]}
    return pairs == {(n, other) for n, other in expected if n != other}


def _named(number: int) -> str:
    return f"{number:032x}"


def matching(contacts: int) -> tuple[float, int, int]:
    """Return the CPU seconds of a server that matches so many contacts, and the bytes of bodies to it and from it."""
    settings = load_settings()
    with tempfile.TemporaryDirectory() as folder:
        workspace = Workspace(Path(folder) / "workspace").prepare()
        publish(workspace)
        decide(workspace, "ana", State.GIVEN, purpose=Purpose.CONTACTS)
        server, sizes = Server(workspace), [0, 0]

        def measure(answer: httpx.Response) -> None:
            sizes[0] += len(answer.request.content)
            sizes[1] += len(answer.read())

        token = mint(
            "ana", workspace=workspace, settings=settings, now=datetime.now(UTC), identifiers=["+351910000000"]
        )
        headers = {"Authorization": f"Bearer {token}"}
        try:
            with httpx.Client(base_url=server.url, headers=headers, event_hooks={"response": [measure]}) as client:
                Contacts(client).told()  # the first request opens the snapshot
                book = Contacts(client)
                sizes[:] = 0, 0
                before = _cpu_seconds(server.process.pid)
                tokens = book.tokens(f"+35192{n:07}" for n in range(contacts))
                book.tell(added=list(tokens.values()))
                book.friends(tokens)
                return _cpu_seconds(server.process.pid) - before, *sizes  # type: ignore[return-value]
        finally:
            server.stop()


def listing(friends: int) -> float:
    """Return the milliseconds of CPU, the least of 5, in which so many friends and what several played are found."""
    at, users = datetime(2026, 3, 1, tzinfo=UTC), [_named(n) for n in range(friends + 1)]
    songs = [Song(f"t{n}", f"Title {n}", "Artist", "a") for n in range(5_000)]
    picks = np.random.default_rng(friends).zipf(1.3, (friends, 200)).clip(max=len(songs)) - 1
    own = ([songs[pick].track_id for pick in dict.fromkeys(row)] for row in picks.tolist())
    recent = recent_plays_of({who: ("PT", own_) for who, own_ in zip(users[1:], own, strict=True)}, songs=songs)
    purposes = (Purpose.CONTACTS, Purpose.CONTRIBUTE_TRENDS)
    with tempfile.TemporaryDirectory() as folder:
        log = ConsentLog(Path(folder) / "consents.db", marks=Marks(Path(folder) / "marks.db", key=b"k" * 32))
        log.append(Entry(who, purpose, State.GIVEN, at, "1") for who in users for purpose in purposes)
        for n, who in enumerate(users):
            book = Book({str(n)}, {"0"} if n else {str(other) for other in range(1, friends + 1)})
            with log.allowing(who, Purpose.CONTACTS, at=at) as connection:
                log.contacts.keep(connection, who, book, key="k", day=at.date(), most=friends + 1)
        return min(_listed(log, users[0], recent, at=at) for _ in range(5))


def _listed(log: ConsentLog, who: str, recent: RecentPlays, *, at: datetime) -> float:
    begun = time.process_time()
    found = log.friends(who, key="k", at=at)
    list(islice(recent.among([friend.listener for friend in found], country="PT"), 20))
    return (time.process_time() - begun) * 1_000


def _cpu_seconds(pid: int) -> float:
    process = psutil.Process(pid)
    every = (each.cpu_times() for each in (process, *process.children(recursive=True)))
    return sum(times.user + times.system for times in every)


def _held(worst: Iterable[float], most: float) -> str:
    return "held" if max(worst) <= most else "broken"


def main(seed: int) -> int:
    """Print all of it; return 1 if a bar is broken."""
    rng, bounds = np.random.default_rng(seed), load_settings().contacts
    if not is_alike(rng):
        print("the product's matching differs from what is counted here")
        return 1
    allowed = Bounds(bounds.most, bounds.a_day)
    print(f"seed {seed}; {NUMBERS:,} numbers, {LISTENERS:,} listeners with books of {BOOK}, {ACCOUNTS:,} accounts")
    print("| days | told by each account | found, in nobody's book | found, in as many books as anybody |")
    print("| --- | --- | --- | --- |")
    shares = {}
    for days in (1, 30, 365):
        told = allowed.most + allowed.a_day * (days - 1)
        none, most = (found(rng, told=told, popular=popular) for popular in (False, True))
        shares[days] = most / NUMBERS
        print(f"| {days} | {told:,} | {none} | {most:,} ({most / NUMBERS:.4%}) |")
    seconds, sent, received = zip(*(matching(1_000) for _ in range(5)), strict=True)
    print(f"matching 1,000 contacts, 5 times: {np.median(seconds):.2f} s of server CPU (most {max(seconds):.2f}),")
    print(f"{sent[0]:,} bytes of bodies sent and {received[0]:,} received")
    figures = ", ".join(f"{listing(friends):.1f} ms of {friends:,}" for friends in (0, 5, 100, 500, 2_000))
    print(f"CPU of friends and of what they play: {figures} (the beat is 100 ms)")
    held = [
        _held(shares.values(), MOST_FOUND),
        _held(seconds, MOST_SECONDS),
        _held([sent[0] + received[0]], MOST_BYTES),
    ]
    print(f"1 in 1,000 found at most within a year: {held[0]}; 1 s: {held[1]}; 100 kB both ways: {held[2]}")
    return int("broken" in held)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--seed", type=int, default=0)
    sys.exit(main(arguments.parse_args().seed))
