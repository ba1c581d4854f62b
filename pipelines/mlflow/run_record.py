"""The record of a run: what a job logs, kept in the workspace until MLflow has it, so that MLflow is never in the way.

One folder a run below ``private/unlogged/``: ``journal.ndjson`` with a line for everything that was logged, ``tables/``
as Parquet and ``artifacts/`` as they are shown. Whoever writes one holds its journal's lock; one that is not held and
has no end was cut off by a kill. At most :data:`MOST` are kept.
"""

import fcntl
import json
import shutil
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path
from typing import IO, Any, Literal

import polars as pl
from matplotlib.figure import Figure

MOST = 60  # records that wait for MLflow: two months of nights, a few megabytes each at most

Status = Literal["FINISHED", "FAILED", "KILLED"]

_JOURNAL = "journal.ndjson"
_HALF_MADE = 3600  # seconds after which nobody is making a record any more


class Run:
    """One open run; what is logged to it holds no listener, no figure of one person, no position and no factor.

    Parameters
    ----------
    folder : Path
        Of its record.

    Attributes
    ----------
    id : str
        Of the record; MLflow's own id is known later.
    logged : str or None
        MLflow's id, once it has the run.
    """

    def __init__(self, folder: Path, journal: IO[str]) -> None:
        self._folder, self._journal = folder, journal
        self.id, self.logged = folder.name, None

    id: str
    logged: str | None

    def metrics(self, values: Mapping[str, float]) -> None:
        """Log numbers under flat keys with dots, of which MLflow's have slashes."""
        self.note("metrics", {key: float(value) for key, value in values.items()})

    def curve(self, key: str, values: Sequence[float]) -> None:
        """Log how a number went on from step to step, the first being 1."""
        for step, value in enumerate(values, start=1):
            self.note("metrics", {key: float(value)}, step=step)

    def series(self, night: date, values: Mapping[str, float]) -> None:
        """Add a night to the one run in which the numbers of all nights of the experiment are series."""
        self.note("series", {key: float(value) for key, value in values.items()}, night=night.isoformat())

    def trial(self, trial: "Trial") -> None:
        """Log a trial as a run below this one."""
        self.note("trial", asdict(trial))

    def params(self, values: Mapping[str, Any]) -> None:
        """Log settings, flat; none that is logged already can change."""
        self.note("params", {key: str(value) for key, value in values.items()})

    def tags(self, values: Mapping[str, str]) -> None:
        """Set tags."""
        self.note("tags", dict(values))

    def dataset(self, name: str, digest: str, *, source: str = "", columns: Mapping[str, str] | None = None) -> None:
        """Log that an input with this digest was used; neither the input nor its place is logged.

        Parameters
        ----------
        name, digest : str
        source : str
            Where such data comes from, in words.
        columns : mapping of str to str
            MLflow's types by name.
        """
        self.note("datasets", {name: {"digest": digest, "source": source, "columns": dict(columns or {})}})

    def table(self, frame: pl.DataFrame, name: str) -> None:
        """Log a frame as a table that the MLflow page shows and ``mlflow.load_table`` returns."""
        frame.write_parquet(self._folder / "tables" / f"{name}.parquet")

    def figure(self, figure: Figure, name: str) -> None:
        """Log a picture."""
        figure.savefig(self._folder / "artifacts" / f"{name}.png")

    def text(self, text: str, name: str) -> None:
        """Log a text file."""
        (self._folder / "artifacts" / name).write_text(text, encoding="utf-8")

    def note(self, kind: str, values: Mapping[str, Any], **more: Any) -> None:
        """Add a line to the journal."""
        self._journal.write(json.dumps({"kind": kind, "at": _now(), "values": values, **more}) + "\n")
        self._journal.flush()


@dataclass(frozen=True)
class Trial:
    """One try of a search.

    Parameters
    ----------
    name : str
    status : str
        ``KILLED`` where it was given up, ``FAILED`` where it could not be measured.
    params : mapping of str to str
        What the search varies, and nothing else.
    metrics : mapping of str to float
    """

    name: str
    status: Status
    params: Mapping[str, str]
    metrics: Mapping[str, float]


@dataclass(frozen=True)
class Numbers:
    """What was logged at an instant, or of a step or a night.

    Parameters
    ----------
    at : int
        Milliseconds since 1970.
    step : int
        0 where there are no steps.
    values : mapping of str to float
    """

    at: int
    step: int
    values: Mapping[str, float]


@dataclass(frozen=True)
class Record:
    """What was recorded of a run.

    Parameters
    ----------
    folder : Path
    experiment, name : str
    started, ended : int
        Milliseconds since 1970; for one that was cut off, the last line of its journal.
    status : str
        ``FINISHED``, ``FAILED``, or ``KILLED`` where it was cut off.
    params, tags : mapping of str to str
    datasets : mapping of str to mapping
        Digest, source and columns by name.
    metrics, series : sequence of Numbers
        Those of the run, and those of nights, whose step is the night's ordinal.
    trials : sequence of Trial
    """

    folder: Path
    experiment: str
    name: str
    started: int
    ended: int
    status: Status
    params: Mapping[str, str] = field(repr=False)
    tags: Mapping[str, str] = field(repr=False)
    datasets: Mapping[str, Mapping[str, Any]] = field(repr=False)
    metrics: Sequence[Numbers] = field(repr=False)
    series: Sequence[Numbers] = field(repr=False)
    trials: Sequence[Trial] = field(repr=False)

    @property
    def id(self) -> str:
        """Of the record, under which the workspace keeps what belongs to the run."""
        return self.folder.name

    def tables(self) -> Iterator[tuple[str, pl.DataFrame]]:
        """Yield the tables that were logged."""
        for file in sorted((self.folder / "tables").glob("*.parquet")):
            yield file.stem, pl.read_parquet(file)

    def artifacts(self) -> list[Path]:
        """Return the files that were logged."""
        return sorted((self.folder / "artifacts").iterdir())


@contextmanager
def recorded(
    spool: Path, *, experiment: str, name: str, params: Mapping[str, Any], tags: Mapping[str, str]
) -> Iterator[Run]:
    """Record a run in a folder of the spool; it ends as failed when the block raises.

    Parameters
    ----------
    spool : Path
        Created when missing; mode 0700.
    experiment, name : str
        Of the run.
    params : mapping
        The resolved settings, flat.
    tags : mapping of str to str
    """
    folder = spool / uuid.uuid4().hex
    stage = spool / f".{folder.name}.staged"  # which nobody takes for one that was cut off
    spool.mkdir(mode=0o700, parents=True, exist_ok=True)
    for each in (stage, stage / "tables", stage / "artifacts"):
        each.mkdir(mode=0o700)
    with (stage / _JOURNAL).open("a", encoding="utf-8") as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        stage.rename(folder)
        run = Run(folder, journal)
        run.note("begin", {"experiment": experiment, "name": name})
        run.tags(tags)
        run.params(params)
        status: Status = "FAILED"
        try:
            yield run
            status = "FINISHED"
        finally:
            run.note("end", {"status": status})


def waiting(spool: Path) -> list[Record]:
    """Return the records that nobody writes any more, the oldest first; what holds nothing readable is removed."""
    found = []
    for folder in spool.glob("[0-9a-f]*"):
        with suppress(BlockingIOError):
            record = _read(folder)
            if record is None:
                remove(folder)
            else:
                found.append(record)
    return sorted(found, key=lambda record: (record.started, record.id))


def drop_oldest(spool: Path, *, most: int = MOST) -> int:
    """Remove the oldest records beyond what is kept; return how many those were."""
    _sweep(spool)
    beyond = waiting(spool)[:-most]
    for record in beyond:
        remove(record.folder)
    return len(beyond)


def _sweep(spool: Path) -> None:
    """Remove what a crash left half-made; what is new, another job may be making, and nobody holds a lock on it."""
    for stage in spool.glob(".*.staged"):
        with suppress(FileNotFoundError):
            if stage.stat().st_mtime < time.time() - _HALF_MADE:
                shutil.rmtree(stage)


def remove(folder: Path) -> None:
    """Remove a record; its journal first, so that a crash in between leaves nothing that is read as a run."""
    (folder / _JOURNAL).unlink(missing_ok=True)
    shutil.rmtree(folder)


def _read(folder: Path) -> Record | None:
    """Return a record; None where a crash came before its first line.

    Raises
    ------
    BlockingIOError
        If somebody is writing it.
    """
    lines = _lines(folder / _JOURNAL)
    if not lines or lines[0]["kind"] != "begin":
        return None
    first, last = lines[0], lines[-1]

    def of(kind: str) -> list[dict[str, Any]]:
        return [line for line in lines if line["kind"] == kind]

    def merged(kind: str) -> dict[str, Any]:
        return {key: value for line in of(kind) for key, value in line["values"].items()}

    return Record(
        folder=folder,
        experiment=first["values"]["experiment"],
        name=first["values"]["name"],
        started=first["at"],
        ended=last["at"],
        status=last["values"]["status"] if last["kind"] == "end" else "KILLED",
        params=merged("params"),
        tags=merged("tags"),
        datasets={
            name: told if isinstance(told, dict) else {"digest": told} for name, told in merged("datasets").items()
        },
        metrics=[Numbers(line["at"], line.get("step", 0), line["values"]) for line in of("metrics")],
        series=[_of_night(date.fromisoformat(line["night"]), line["values"]) for line in of("series")],
        trials=[Trial(**line["values"]) for line in of("trial")],
    )


def _of_night(night: date, values: Mapping[str, float]) -> Numbers:
    midnight = datetime.combine(night, datetime.min.time(), tzinfo=UTC)
    return Numbers(int(midnight.timestamp()) * 1000, night.toordinal(), values)


def _lines(journal: Path) -> list[dict[str, Any]]:
    """Return the whole lines of a journal that nobody writes: a crash may have cut the last one off."""
    found: list[dict[str, Any]] = []
    with suppress(FileNotFoundError, ValueError), journal.open(encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        for line in file:
            found.append(json.loads(line))
    return found


def _now() -> int:
    return time.time_ns() // 1_000_000
