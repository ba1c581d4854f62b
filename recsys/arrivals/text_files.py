"""PRECISE: read CSV and NDJSON line by line, so that a line that is neither is one bad row and not the end of a file.

A row is a line: a quoted field ends on the line on which it began. Files are read through a buffer and never mapped, so
that one which is cut meanwhile is no crash.
"""

import gzip
import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from io import BufferedIOBase, BytesIO
from itertools import chain
from typing import Any

import orjson
import polars as pl
from polars.io.plugins import register_io_source

from recsys.locations import Location
from recsys.schemas import READ_FAILURES

ROW, MALFORMED = "row", "malformed"
SUFFIXES = (".csv", ".csv.gz", ".ndjson")

_BLOCK = 4 << 20  # bytes that are read at a time
_LONGEST = 1 << 20  # bytes: a longer line is malformed, whatever it holds
_MARK = b"\xef\xbb\xbf"  # of byte order, which some programs write before UTF-8
_FIELD = r',(?:"(?:[^"]|"")*"|[^",]*)'

_Lines = tuple[int, list[bytes]]  # the number of the first line, and the lines


def scan(path: Location, *, columns: Sequence[str]) -> pl.LazyFrame:
    """Scan a file lazily, and in one streaming pass.

    Parameters
    ----------
    path : Location
        Its suffix, in capitals or not, says what it is.
    columns : sequence of str
        From :func:`columns_of`.

    Returns
    -------
    polars.LazyFrame
        The columns as text, ``row``: the number of the line, from 1, and ``malformed``: whether the line is none of
        its format; then all columns are null. Lines without a character are left out.
    """
    schema = {**dict.fromkeys(columns, pl.String()), ROW: pl.UInt64(), MALFORMED: pl.Boolean()}
    source = partial(_frames, path, columns=list(columns))
    return register_io_source(source, schema=schema)


def columns_of(path: Location) -> list[str] | None:
    """Return the names in the header of a CSV file, or all keys of an NDJSON file; none where there is no line.

    Where there are lines, and none of them can tell a name, it is None.
    """
    return _keys(path) if _is_json(path) else _header(path)


def _header(path: Location) -> list[str] | None:
    for line in chain.from_iterable(lines for _, lines in _numbered(path)):
        fields, tiled = _split(pl.Series([line], dtype=pl.Binary))
        return list(fields[0]) if tiled[0] else None
    return []


def _keys(path: Location) -> list[str] | None:
    found: dict[str, None] = {}
    any_line = False
    for _, lines in _numbered(path):
        any_line = any_line or bool(lines)
        for record in map(_record, lines):
            if record and not record.keys() <= found.keys():
                found.update(dict.fromkeys(record))
    return None if any_line and not found else list(found)


def _frames(
    path: Location,
    wanted: list[str] | None,
    predicate: pl.Expr | None,
    n_rows: int | None,
    _batch_size: int | None,
    *,
    columns: list[str],
) -> Iterator[pl.DataFrame]:
    """Yield what a query wants of a file, block by block: the signature is that of Polars' sources."""
    read = _read_json if _is_json(path) else _read_csv
    left = n_rows
    for frame in read(path, columns):
        some = frame.head(left) if left is not None else frame
        left = left - some.height if left is not None else None
        chosen = some.filter(predicate) if predicate is not None else some
        yield chosen.select(wanted) if wanted is not None else chosen
        if left == 0:
            return


def _read_csv(path: Location, columns: list[str]) -> Iterator[pl.DataFrame]:
    is_header = True
    for first, lines in _blocks(path):
        rows = _with_numbers(first, lines)
        if is_header and rows.height:
            rows, is_header = rows[1:], False
        fields, tiled = _split(rows["line"])
        whole = tiled & (fields.list.len() == len(columns))
        frame = pl.DataFrame({ROW: rows[ROW], "fields": fields, MALFORMED: ~whole.fill_null(value=False)})
        yield frame.select(
            *(_field(number).alias(name) for number, name in enumerate(columns)), pl.col(ROW), pl.col(MALFORMED)
        )


def _field(number: int) -> pl.Expr:
    return pl.when(~pl.col(MALFORMED)).then(pl.col("fields").list.get(number, null_on_oob=True))


def _split(lines: pl.Series) -> tuple[pl.Series, pl.Series]:
    """Split lines at their commas, and tell of each whether its fields are all of it; null for what is no UTF-8."""
    frame = _decoded(lines).to_frame("text").with_columns(pl.col("text").str.strip_suffix("\r"))
    if not frame["text"].str.contains('"', literal=True).any():
        return frame["text"].str.split(","), frame["text"].is_not_null()
    begun = "," + pl.col("text")
    tiles = begun.str.extract_all(_FIELD)
    content = pl.element().str.slice(1)
    inside = content.str.slice(1).str.strip_suffix('"').str.replace_all('""', '"', literal=True)
    fields = tiles.list.eval(pl.when(content.str.starts_with('"')).then(inside).otherwise(content))
    found = frame.select(fields=fields, tiled=tiles.list.join("") == begun)
    return found["fields"], found["tiled"]


def _decoded(lines: pl.Series) -> pl.Series:
    """Return lines as text, null where one is no UTF-8 or too long: all at once, and one by one where one is not."""
    short = lines.set(lines.bin.size() >= _LONGEST, None)
    try:
        return short.cast(pl.String)
    except READ_FAILURES:
        return pl.Series([_text_of(line) for line in short], dtype=pl.String)


def _text_of(line: bytes | None) -> str | None:
    try:
        return line.decode() if line is not None else None
    except UnicodeDecodeError:
        return None


def _read_json(path: Location, columns: list[str]) -> Iterator[pl.DataFrame]:
    for first, lines in _blocks(path):
        rows = _with_numbers(first, lines)
        frame = _parsed(rows["line"].to_list(), schema=dict.fromkeys(columns, pl.String()))
        yield frame.with_columns(rows[ROW])


def _parsed(lines: list[bytes], *, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Read lines all at once, and one by one only where one of them is no JSON."""
    native = _native(lines, schema=schema)
    if native is not None:
        return native.with_columns(pl.lit(value=False).alias(MALFORMED))
    records = [_plain(_record(line)) for line in lines]
    texts = {name: [_as_text((record or {}).get(name)) for record in records] for name in schema}
    malformed = pl.Series(MALFORMED, [record is None for record in records], dtype=pl.Boolean)
    return pl.DataFrame(texts, schema=schema).with_columns(malformed)


def _native(lines: list[bytes], **how: Any) -> pl.DataFrame | None:
    """Return what Polars reads of lines, or None unless each is a row for it."""
    try:
        found = pl.read_ndjson(BytesIO(b"\n".join(lines)), **how) if lines else None
    except READ_FAILURES:
        return None
    return found if found is not None and found.height == len(lines) else None


def _record(line: bytes) -> dict[str, Any] | None:
    """Return the object that a line is, or None where it is none."""
    try:
        record = orjson.loads(line) if len(line) < _LONGEST else None
    except orjson.JSONDecodeError:
        return None
    return record if isinstance(record, dict) else None


def _plain(record: dict[str, Any] | None) -> dict[str, Any] | None:
    """Return a record, or None where it has something that is no plain value."""
    nested = record is None or any(isinstance(value, dict | list) for value in record.values())
    return None if nested else record


def _as_text(value: Any) -> str | None:
    """Return a plain value as text, as Polars does: a whole number without a fraction."""
    if value is None or isinstance(value, str):
        return value
    return orjson.dumps(value).decode().removesuffix(".0")


def _with_numbers(first: int, lines: list[bytes]) -> pl.DataFrame:
    """Return lines with their numbers, but for those without a character."""
    frame = pl.DataFrame({"line": pl.Series(lines, dtype=pl.Binary)})
    numbered = frame.with_columns(pl.int_range(first, first + pl.len(), dtype=pl.UInt64).alias(ROW))
    return numbered.filter(~pl.col("line").is_in([b"", b"\r"]))


def _numbered(path: Location) -> Iterator[_Lines]:
    """Yield the lines that hold a character."""
    for first, lines in _blocks(path):
        yield first, [line for line in lines if line not in {b"", b"\r"}]


def _blocks(path: Location) -> Iterator[_Lines]:
    """Yield all lines, many at a time, with the number of the first; of a line that is too long, only some."""
    first, rest = 1, b""
    with _open(path) as file:
        block = _next(file).removeprefix(_MARK)
        while block:
            *lines, rest = (rest[:_LONGEST] + block).split(b"\n")
            yield first, lines
            first += len(lines)
            block = _next(file)
    yield first, [rest]


def _next(file: BufferedIOBase) -> bytes:
    try:
        return file.read(_BLOCK)
    except (EOFError, zlib.error) as error:
        raise OSError("damaged") from error


@contextmanager
def _open(path: Location) -> Iterator[BufferedIOBase]:
    with path.open("rb") as file:
        if path.name.lower().endswith(".gz"):
            with gzip.open(file) as unpacked:
                yield unpacked
        else:
            yield file


def _is_json(path: Location) -> bool:
    return path.name.lower().endswith(".ndjson")
