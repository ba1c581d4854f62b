"""Read any table of section 3.1 lazily: find its files, scan each format, parse each column, count misfits."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from operator import attrgetter
from typing import Any

import polars as pl

from recsys.arrivals import text_files
from recsys.arrivals.parsing import Kind, fits, parse
from recsys.arrivals.text_files import MALFORMED, ROW
from recsys.causes import not_ready
from recsys.errors import InputError, NotReadyError
from recsys.locations import Location, options_of, place
from recsys.printable import given, names
from recsys.schemas import READ_FAILURES
from recsys.workspace import digest

AT = "at_row"
"""The column that tells where a row stands: its file's number, then its line (of Parquet: its row)."""

_SUFFIXES = (".parquet", *text_files.SUFFIXES)
_HINT = "A table is Parquet, CSV (also .gz) or NDJSON: one file, a folder of files, or a folder of date=YYYY-MM-DD/."
_NO_HEADER = (
    "Is the header line missing, do lines end with a CR alone, is the file in UTF-16, or is it another one? "
    "Names that are not known are not shown, because they may be values of a row."
)
_KINDS = "Ids are text or whole numbers, times ISO 8601 text or timestamps (not seconds since 1970), cells H3."
_FILE = 1 << 40  # more rows than a file has


@dataclass(frozen=True)
class Table:
    """The columns of one table of the contract.

    Parameters
    ----------
    required, optional : mapping of column name to Kind
        An absent optional column reads as null; any other column is an error.
    """

    required: Mapping[str, Kind]
    optional: Mapping[str, Kind] = field(default_factory=dict)

    @property
    def columns(self) -> dict[str, Kind]:
        """All columns, the required ones first."""
        return {**self.required, **self.optional}


@dataclass(frozen=True)
class TableFile:
    """One file as it is now: what is remembered of it is forgotten when its size or time changes.

    Parameters
    ----------
    path, source : Location
        The file, and what was named on the command line or found there, in which it lies.
    size : int
        Bytes.
    modified : int
        Nanoseconds since 1970.
    """

    path: Location
    source: Location
    size: int
    modified: int

    def __str__(self) -> str:
        """Return where it lies, for messages."""
        return place(self.path, source=self.source)

    @property
    def is_text(self) -> bool:
        """Whether its rows are lines."""
        return self.path.name.lower().endswith(text_files.SUFFIXES)

    @property
    def absolute(self) -> "TableFile":
        """The same by its absolute path, which another process finds from another folder, too."""
        return replace(self, path=self.path.absolute(), source=self.source.absolute())

    def confirm_unchanged(self) -> None:
        """Raise a NotReadyError (exit 75) where the file is not as it was when it was found."""
        if not self.path.is_file() or _found(self.path, source=self.source) != self:
            raise NotReadyError(
                f"{self} changed while it was read", hint="Run again when the delivery is complete: nothing was taken."
            )

    def confirm_size(self) -> None:
        """Raise a NotReadyError (exit 75) where there is no such file here, or one of another size.

        Size alone is what two machines that read the same file agree on: neither times nor inodes need be equal.
        """
        if not self.path.is_file() or self.path.stat().st_size != self.size:
            raise NotReadyError(
                f"{self} is not what it is where the job runs: it is missing, or of another size",
                hint="Let every machine read the same files under the same path, then run again: nothing was taken.",
            )


DAYLESS = (  # why a row of a flat input belongs to no night
    "malformed_line",
    "time_is_a_number",
    "unparsable_time",
    "future_time",
    "outside_catalogue_years",
    "far_from_other_nights",
)
_SUSPECTED = {
    "time_is_a_number": "Times are ISO 8601 text or timestamps: were seconds since 1970 delivered?",
    "user_id_is_a_float": "A table program made 100.0 of 100: deliver ids as text, and the same in all tables.",
    "latitude_out_of_range": "Are latitude and longitude swapped?",
    "longitude_out_of_range": "Are latitude and longitude swapped?",
    "null_island": "Leave a position that is not known away, instead of 0, 0.",
    "malformed_line": "A quote inside a field is written twice, and a field with a comma or a quote stands in quotes.",
    "unknown_track": "Are catalogue and listens of the same day, and their ids written alike?",
}


@dataclass(frozen=True)
class Counts:
    """How many rows there were, and how many were set aside, by reason.

    Parameters
    ----------
    what : str
        What was read, for messages: a table and its path.
    rows : int
    bad : mapping of reason to int
        A bad row has one reason: the first that applies.
    rows_of_input : int or None
        Where these are the rows of one night of a flat input: all rows of it. Rows without a day are then those of
        many nights, and are judged as a share of all.
    first : mapping of reason to str
        Where the first bad row of each reason stands: its line and file, and nothing of what it holds.
    """

    what: str
    rows: int
    bad: Mapping[str, int]
    rows_of_input: int | None = None
    first: Mapping[str, str] = field(default_factory=dict, compare=False)

    @property
    def good(self) -> int:
        """Rows that fit."""
        return self.rows - sum(self.bad.values())

    @property
    def bad_share(self) -> float:
        """Share of rows that do not fit, 0 to 1; 0 where there is no row."""
        if not self.rows:
            return 0.0
        dayless = sum(self.bad.get(reason, 0) for reason in DAYLESS) if self.rows_of_input else 0
        return (sum(self.bad.values()) - dayless) / self.rows + dayless / (self.rows_of_input or self.rows)

    @property
    def by_reason(self) -> str:
        """The bad rows as text, the most frequent reason first: ``12 unknown_track, 3 missing_user``."""
        ordered = sorted(self.bad.items(), key=lambda item: (-item[1], item[0]))
        return ", ".join(f"{count} {reason}" for reason, count in ordered) or "none"

    @property
    def hint(self) -> str:
        """What to do about the bad rows: where they begin, and what the most frequent reason suggests."""
        most = max(self.bad, key=lambda reason: self.bad[reason], default="")
        begin = "".join(f" The first {reason} is in {where}." for reason, where in self.first.items())
        return f"{_SUSPECTED.get(most, '')}{begin}".strip()

    def within(self, max_bad_share: float) -> "Counts":
        """Return self, or raise an InputError (exit 65) if more than this share of the rows is bad."""
        if self.bad_share > max_bad_share:
            raise InputError(
                f"{self.what}: {self.rows - self.good} of {self.rows} rows do not fit, more than the allowed"
                f" {max_bad_share:.1%} ({self.by_reason})",
                hint=f"Correct the input and run again; arrivals.max_bad_share sets the allowed share. {self.hint}",
            )
        return self


def files_of(source: Location) -> tuple[TableFile, ...]:
    """List the files of one table: the file itself, or those of a folder, sorted by name.

    Names that begin with ``.`` or ``_`` (markers such as ``_SUCCESS``) are no data.

    Raises
    ------
    InputError
        If there is no such path, or something in the folder is not a table.
    """
    if not source.exists():
        raise InputError(f"there is no {given(source)}", hint="Check the path.")
    inside: list[Location] = sorted(source.iterdir(), key=attrgetter("name")) if source.is_dir() else [source]
    paths = [path for path in inside if path == source or not path.name.startswith((".", "_"))]
    for path in paths:
        if not path.is_file() or not path.name.lower().endswith(_SUFFIXES):
            raise InputError(f"{place(path, source=source)} is not a table that can be read", hint=_HINT)
    return tuple(_found(path, source=source) for path in paths)


def columns_of(file: TableFile) -> Mapping[str, pl.DataType]:
    """Return the columns that a file really has, with its own types; text where the format has none.

    Raises
    ------
    InputError
        If the file cannot be read.
    """
    with reading(file):
        return _types(file)


def scan(file: TableFile, *, table: Table) -> pl.LazyFrame:
    """Scan one file as it is: the columns of the table with the file's own types, ``row`` and ``malformed``.

    Raises
    ------
    InputError
        If the file cannot be read, a column is missing or unexpected (which is counted, and never named), or its type
        is not of its kind.
    """
    found = columns_of(file)
    if not found:  # a text without lines has no rows and no names
        types = {**dict.fromkeys(table.columns, pl.String()), ROW: pl.UInt64(), MALFORMED: pl.Boolean()}
        return pl.LazyFrame(schema=types)
    _check_columns(file, found, table=table)
    absent = [pl.lit(None, pl.String).alias(name) for name in table.columns if name not in found]
    return _open(file, columns=tuple(found)).with_columns(absent).select(*table.columns, ROW, MALFORMED)


def read(files: Sequence[TableFile], *, table: Table) -> pl.LazyFrame:
    """Return the parsed rows of several files, with the columns ``fault`` and ``at_row``."""
    parsed = (parse(scan(file, table=table), kinds=table.columns) for file in files)
    parts = [located(rows, number=number) for number, rows in enumerate(parsed)]
    return pl.concat(parts) if parts else empty(table)


def located(rows: pl.LazyFrame, *, number: int) -> pl.LazyFrame:
    """Replace ``row``, which counts in the file of this number, by ``at_row``, which counts in all files of a table."""
    return rows.with_columns((pl.col(ROW) + number * _FILE).alias(AT)).drop(ROW)


def empty(table: Table) -> pl.LazyFrame:
    """Return a parsed table without rows."""
    types = {**dict.fromkeys(table.columns, pl.String()), MALFORMED: pl.Boolean(), AT: pl.UInt64()}
    return parse(pl.LazyFrame(schema=types), kinds=table.columns).select(*table.columns, "fault", AT)


def count(checked: pl.LazyFrame, *, what: str, files: Sequence[TableFile]) -> Counts:
    """Count the rows of a frame by its column ``reason`` (null for a good row), in one streaming pass.

    Raises
    ------
    InputError
        If a file is damaged: the message names it.
    NotReadyError
        If a file changed meanwhile.
    """
    with reading(*files):
        tally = checked.group_by("reason").agg(pl.len(), pl.col(AT).min()).collect(engine="streaming")
    found = {reason: (int(rows), at) for reason, rows, at in tally.sort("reason", nulls_last=True).iter_rows()}
    rows = sum(rows for rows, _ in found.values())
    found.pop(None, None)
    bad = {reason: rows for reason, (rows, _) in found.items()}
    return Counts(what, rows, bad, first={reason: where(at, files=files) for reason, (_, at) in found.items()})


def where(at: int, *, files: Sequence[TableFile]) -> str:
    """Return where a row stands, by its ``at_row``: ``line 5 of listens.csv``."""
    file = files[at // _FILE]
    return f"{'line' if file.is_text else 'row'} {at % _FILE} of {file}"


def digest_of(file: TableFile) -> str:
    """Return the SHA-256 of a file in hex; errors as of :func:`reading`, which name it."""
    with reading(file):
        return digest(file.path)


@contextmanager
def reading(*files: TableFile) -> Iterator[None]:
    """Turn what goes wrong in reading into an InputError that names the file and none of its content.

    Raises
    ------
    NotReadyError
        If one of the files changed meanwhile: then whatever was read of it may be half of it.
    """
    try:
        yield
    except READ_FAILURES as error:
        _confirm_unchanged(files)
        damaged = next((file for file in files if not _is_whole(file)), files[0]) if len(files) > 1 else files[0]
        raise not_ready(error, str(damaged)) or InputError(
            f"{damaged} cannot be read: it is cut off, damaged, or not what its name says",
            hint="Deliver the file again, whole; " + _HINT,
        ) from None
    _confirm_unchanged(files)


def _confirm_unchanged(files: Sequence[TableFile]) -> None:
    for file in files:
        file.confirm_unchanged()


def _is_whole(file: TableFile) -> bool:
    try:
        _open(file, columns=tuple(_types(file))).select(pl.all().null_count()).collect(engine="streaming")
    except READ_FAILURES:
        return False
    return True


def _found(path: Location, *, source: Location) -> TableFile:
    status = path.stat()
    return TableFile(path, source, status.st_size, status.st_mtime_ns)


def _check_columns(file: TableFile, found: Mapping[str, pl.DataType], *, table: Table) -> None:
    missing = table.required.keys() - found.keys()
    unexpected = found.keys() - table.columns.keys()
    mistyped = [name for name, kind in table.columns.items() if name in found and not fits(kind, found[name])]
    wrong = {"missing": missing, "unexpected": unexpected, "of a wrong type": mistyped}
    listed = "; ".join(f"{fault}: {names(some, known=table.columns)}" for fault, some in wrong.items() if some)
    if listed:
        no_header = f" {_NO_HEADER}" if missing == table.required.keys() else ""
        raise InputError(f"{file} has columns that do not fit ({listed})", hint=f"{_expected(table)}{no_header}")


@lru_cache(maxsize=4096)  # the keys of an NDJSON file are those of all its lines
def _types(file: TableFile) -> Mapping[str, pl.DataType]:
    if not file.is_text:
        return _scan(file.path).collect_schema()
    found = text_files.columns_of(file.path)
    if found is None:
        raise InputError(f"{file} tells no columns: it is no text in UTF-8, or not of its suffix", hint=_HINT)
    if len(found) > len(set(found)):
        raise InputError(f"{file} has a column twice", hint="Is the header line missing? " + _HINT)
    return dict.fromkeys(found, pl.String())


def _open(file: TableFile, *, columns: tuple[str, ...]) -> pl.LazyFrame:
    """Scan with the types of a Parquet file, and everything as text where the format has no types.

    By its absolute path: what comes of it may be read by a worker of an engine, in another folder.
    """
    path = file.path.absolute()
    if file.is_text:
        return text_files.scan(path, columns=columns)
    rows = _scan(path, row_index_name=ROW, row_index_offset=1)
    return rows.with_columns(pl.col(ROW).cast(pl.UInt64), pl.lit(value=False).alias(MALFORMED))


def _scan(path: Location, **how: Any) -> pl.LazyFrame:
    return pl.scan_parquet(str(path), hive_partitioning=False, glob=False, storage_options=options_of(path), **how)


def _expected(table: Table) -> str:
    optional = f" and may have {', '.join(table.optional)}" if table.optional else ""
    return f"The table has the columns {', '.join(table.required)}{optional}. {_KINDS}"
