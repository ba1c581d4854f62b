"""The terminal: progress and tables for a person, plain lines in a pipe."""

import sys
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping, MutableMapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import structlog
from rich import box
from rich.console import Console, ConsoleRenderable, RichCast
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TaskID,
    TaskProgressColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from recsys.artifacts.list_candidates import POPULAR
from recsys.errors import RecsysError
from recsys.printable import printable
from recsys.serving.lists.responses import Chart
from recsys.serving.snapshot.place_lists import Item, Source

if TYPE_CHECKING:
    from recsys.arrivals.input_tables import Counts

Thing = TypeVar("Thing")


class _Plain(Console):
    """A console on which text is text: what is in brackets or between colons is shown, control characters are not."""

    def render_str(self, text: str, **how: Any) -> Text:
        return super().render_str(printable(text), **{**how, "markup": False, "emoji": False})


progress_console = _Plain(stderr=True)
log: structlog.stdlib.BoundLogger = structlog.get_logger()


def configure_logging() -> None:
    """Send log lines to standard error: coloured on a terminal, ``key=value`` in a pipe."""
    terminal = sys.stderr.isatty()
    renderer = structlog.dev.ConsoleRenderer() if terminal else structlog.processors.LogfmtRenderer(key_order=["event"])
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _printable,
            renderer,
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )


def followed(items: Sequence[Thing], what: str) -> Iterator[Thing]:
    """Yield the items while a terminal shows how many are done; a pipe sees nothing of it."""
    with _counting(what) as told:
        told(0, len(items))
        for number, item in enumerate(items, 1):
            yield item
            told(number, len(items))


@contextmanager
def counted(what: str) -> Iterator[Callable[[int, int], None]]:
    """Give what is told how many are done of how many; a terminal shows it, and how long the rest will take."""
    if not progress_console.is_terminal:
        tell(what)
    with _counting(what, transient=True) as told:
        yield told
    if progress_console.is_terminal:
        _say_done(what)


@contextmanager
def _counting(what: str, *, transient: bool = False) -> Iterator[Callable[[int, int], None]]:
    with _progress(MofNCompleteColumn(), transient=transient) as progress:
        task = progress.add_task(what, total=None)

        def told(done: int, of: int) -> None:
            progress.update(task, total=of)
            _advance(progress, task, to=done)

        yield told


@contextmanager
def parts(what: str) -> Iterator[Callable[[str, float], None]]:
    """Give what is told which part begins and which share of the whole is over.

    A terminal shows both, and how long the rest will take; a pipe has a line for each part.
    """
    with _progress(TaskProgressColumn(), transient=True) as progress:
        task = progress.add_task(what, total=1.0)

        def told(part: str, share: float) -> None:
            words = part.replace("_", " ")
            progress.update(task, description=f"{what}: {words}")
            _advance(progress, task, to=share)
            tell(what, part=words, done=f"{share:.0%}")

        yield told
    if progress_console.is_terminal:
        _say_done(what)


def _say_done(what: str) -> None:
    progress_console.print(Text.assemble(("✓", "green"), f" {what}"))


def _progress(done: ProgressColumn, *, transient: bool = False) -> Progress:
    """Return a bar that a terminal shows, with how long it has taken and how long it still will."""
    columns = (TextColumn("{task.description}"), BarColumn(), done, TimeElapsedColumn(), _TimeLeft())
    hidden = not progress_console.is_terminal
    return Progress(*columns, console=progress_console, disable=hidden, transient=transient)


def _advance(progress: Progress, task: TaskID, *, to: float) -> None:
    (shown,) = (each for each in progress.tasks if each.id == task)
    progress.update(task, completed=to, at=shown.elapsed, refresh=True)


class _TimeLeft(ProgressColumn):
    """How long the rest takes, if it goes on as it did until the last step was done.

    Rich's own column knows nothing before the second step, and forgets what is half a minute ago.
    """

    def render(self, task: Task) -> Text:
        at, total = task.fields.get("at"), task.total
        if task.finished or not task.completed or at is None or total is None or task.elapsed is None:
            return Text("")
        left = at * (total - task.completed) / task.completed - (task.elapsed - at)
        return Text(f"{timedelta(seconds=max(0, round(left)))} left", style="progress.remaining")


def tell(what: str, **facts: object) -> None:
    """Log what was done where no progress is shown: in a pipe."""
    if not progress_console.is_terminal:
        log.info(what, **facts)


def tell_of(counts: "Counts") -> None:
    """Log what of a table was set aside, where there is something: how many rows of each reason, and where it begins.

    Nothing of what they hold. A terminal shows the sums at the end, and all of it where too many rows are bad.
    """
    if counts.bad:
        first = "; ".join(f"{reason}: {row}" for reason, row in counts.first.items())
        tell("rows set aside", of=counts.what, rows=counts.by_reason, first=first)


@contextmanager
def step(what: str) -> Iterator[None]:
    """Show on a terminal that something is going on; log it in a pipe."""
    if progress_console.is_terminal:
        with progress_console.status(what):
            yield
        _say_done(what)
    else:
        tell(what)
        yield


def say_error(error: RecsysError) -> None:
    """Tell a person on standard error what was wrong and what to do."""
    progress_console.print(Text.assemble(("error: ", "bold red"), error.message), soft_wrap=True)
    if error.hint:
        progress_console.print(Text.assemble(("hint: ", "bold"), error.hint), soft_wrap=True)


def say_where(error: BaseException) -> None:
    """Tell where something unforeseen happened, but not its message: it may quote a row, and a row has a position."""
    progress_console.print(Text.assemble(("unforeseen ", "bold red"), f"{type(error).__name__}, which is a bug, at"))
    for frame in traceback.extract_tb(error.__traceback__):
        progress_console.print(Text(f"  {Path(frame.filename).name}:{frame.lineno} in {frame.name}"))
    progress_console.print("Its message is not shown, because it may quote the input.")


def _printable(_logger: object, _method: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Make printable what a log line tells."""
    return {key: printable(value) if isinstance(value, str) else value for key, value in event.items()}


def chart_table(answer: Chart) -> Table:
    """Return the answer of the endpoint for one chart as a table: ranks and their moves, titles, and intervals."""
    region = answer["region"]
    where = f"{region['name']}, {region['country']}" if region["level"] == "region" else region["name"]
    title = f"{answer['chart'].capitalize()} · {where} · {answer['as_of']}"
    table = Table(
        title=title,
        title_justify="left",
        title_style="bold",
        caption=answer["why"],
        caption_justify="left",
        box=box.SIMPLE_HEAD,
    )
    for name, justify in (
        ("#", "right"),
        ("was", "right"),
        ("nights", "right"),
        ("title", "left"),
        ("artist", "left"),
        ("listeners a night", "right"),
        ("lift", "right"),
        *([("", "left")] if answer["chart"] != POPULAR else []),
    ):
        table.add_column(name, justify=justify, no_wrap=name in {"#", "was"}, overflow="fold")  # type: ignore[arg-type]
    for item in answer["items"]:
        table.add_row(*_chart_row(item, own=answer["items"][0].get("source")))
    return table


def print_table(table: Table) -> None:
    """Print a table on standard output: styled on a terminal, wide and plain in a pipe."""
    console = _Plain(file=sys.stdout)
    if not console.is_terminal:
        console = _Plain(file=sys.stdout, width=120, no_color=True, highlight=False)
    console.print(table)


def print_line(what: ConsoleRenderable | RichCast) -> None:
    """Print something on standard output, on a line of its own however long it is."""
    console = Console(file=sys.stdout)
    Console(file=sys.stdout, no_color=not console.is_terminal, highlight=False).print(what, soft_wrap=True)


def _chart_row(item: Item, *, own: Source | None) -> Iterable[str]:
    listeners, lift = item["listeners"], item["lift_interval"]
    return (
        str(item["rank"]),
        _move(item) if item.get("source") == own else "",
        str(item["nights_on_chart"]),
        item["title"],
        item["artist"],
        f"{_number(listeners['estimate'])} ({_number(listeners['low'])} – {_number(listeners['high'])})",
        f"{_number(item['lift'])}× ({_number(lift['low'])} – {_number(lift['high'])})",
        *([_remark(item, own=own)] if "grade" in item else []),
    )


def _remark(item: Item, *, own: Source | None) -> str:
    """Say how sure a line is, what kind of one it is, and whose numbers it has where these are not the list's."""
    source = [f"in {item['source']['place']}"] if item.get("source") != own else []
    return ", ".join([*(str(item[key]) for key in ("grade", "kind") if key in item), *source])


def _move(item: Item) -> str:
    """Return where a track came from: an arrow and its rank of the night before, or that it is new."""
    previous = item["previous_rank"]
    if previous == "new":
        return "new"
    arrow = "=" if previous == item["rank"] else "↑" if previous > item["rank"] else "↓"
    return f"{arrow} {previous}"


def _number(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"
