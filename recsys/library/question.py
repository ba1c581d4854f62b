"""The question that every model is asked: which new items known users play on the last days; and its answers."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from scipy import sparse

from recsys.errors import FrameError, ListsError
from recsys.library.dataset import Dataset
from recsys.library.frames import chosen, to_polars
from recsys.library.models import check_vocabulary
from recsys.models.interactions import IntArray, Interactions, gather, heard_later, nights, vocabulary
from recsys.models.metrics import NOTHING, BoolArray, Lists, without
from recsys.models.splitting import nights_needed, split_rows
from recsys.settings import ModelsSettings

LENGTH = 20  # items of a list: the longest cut-off of a figure


@dataclass(frozen=True)
class Question:
    """Who is asked, and what the answer is.

    Parameters
    ----------
    train : Dataset
        The days before the test days, and of these the items that enough users had: what models may learn from and
        list.
    known : Interactions
        The same as matrices: n users, m items.
    later : scipy.sparse.csr_array
        (n, m) ones where a user had an item for the first time on the test days.
    """

    train: Dataset
    known: Interactions = field(repr=False)
    later: sparse.csr_array = field(repr=False)

    @property
    def asked(self) -> IntArray:
        """Return the rows of the users with an answer."""
        return np.flatnonzero(np.diff(self.later.indptr))

    @property
    def homes(self) -> IntArray:
        """Return the position of the home of everybody who is asked; -1 where it is unknown."""
        return self.known.homes[self.asked]

    @property
    def users(self) -> list[Any]:
        """Return the ids of those who are asked, as they came."""
        return self.train.ids(self.known.listeners.gather(self.asked))


def ask(dataset: Dataset, *, settings: ModelsSettings) -> Question:
    """Cut a data set at its last days, as an evaluation of the product does.

    Raises
    ------
    FrameError
        If there are too few days, too few users of every item, or too few users who had something new.
    """
    split = split_rows(dataset.rows, settings=settings)
    if split is None:
        raise FrameError(
            f"there are {len(nights(dataset.rows))} days, and {nights_needed(settings)} are needed: one to learn from "
            f"and those of test_nights, validation_nights and gap_nights",
            hint="Take more days, or evaluate(..., settings={'test_nights': 1, 'validation_nights': 1}).",
        )
    known_items = vocabulary(split.past, at_least=settings.min_listeners_per_track)
    check_vocabulary(len(known_items), settings=settings)
    is_past = dataset.plays["night"].is_in(split.past["night"].unique().implode())
    train = dataset.where(is_past & dataset.plays["track_id"].is_in(known_items.implode()))
    known = gather(train.rows, settings=settings)
    later = without(heard_later(split.test, known=known), known.confidence)
    question = Question(train, known, later)
    if len(question.asked) < 2:
        raise FrameError(
            f"{len(question.asked)} known users had a known item for the first time on the last {settings.test_nights} "
            "days, and 2 are needed at least",
            hint="Take more rows or days, or evaluate(..., settings={'test_nights': ...}) for a longer test.",
        )
    return question


def answered(frame: Any, *, by: str, question: Question) -> Lists:
    """Return what a model listed, and what of it is right.

    Parameters
    ----------
    frame : frame
        Users and items, each user's best item first; rows of others and beyond the length are not looked at.
    by : str
        The model's name, for messages.
    question : Question

    Raises
    ------
    ListsError
        If it is no frame with these columns, or lists are too short, or hold unknown, repeated or old items.
    """
    asked = question.asked
    listed = _placed(_table(frame, by=by, question=question), question=question)
    _refuse(listed["column"].null_count(), "items that are not in the data", by=by, hint=_UNKNOWN)
    _refuse(int(listed.select("row", "column").is_duplicated().sum()), "items twice for a user", by=by, hint=_TWICE)
    row, column = listed["row"].to_numpy(), listed["column"].to_numpy()
    _refuse(int(_among(row, column, question.known.confidence).sum()), "items that a user had", by=by, hint=_OLD)
    _check_lengths(row, by=by, question=question)
    tracks, hits = np.full((len(asked), LENGTH), NOTHING), np.zeros((len(asked), LENGTH), dtype=bool)
    places = (np.searchsorted(asked, row), listed["place"].to_numpy())
    tracks[places], hits[places] = column, _among(row, column, question.later)
    return Lists(asked, tracks, hits, np.diff(question.later.indptr)[asked].astype(np.int64))


_UNKNOWN = "List items of the data set that fit() was given, dataset.items, with ids of the same kind."
_TWICE = "Take them out: an item is listed once for each user."
_OLD = "Take out what dataset.frame has of the user: lists are of new items."
_SHORT = "Return k items of every user who is asked; fill up with popular ones."


def _table(frame: Any, *, by: str, question: Question) -> pl.DataFrame:
    """Return the text of users and items, as a model listed them."""
    columns = question.train.columns
    try:
        table = to_polars(chosen(frame, columns.names[:2]))
    except FrameError as error:
        raise ListsError(
            f"recommend() of {by!r}: {error.message}",
            hint=f"It returns a frame with the columns {columns.user!r} and {columns.item!r}, best items first.",
        ) from None
    return table.select(pl.col(columns.user).cast(pl.String).alias("listener"), pl.nth(1).cast(pl.String).alias("item"))


def _placed(table: pl.DataFrame, *, question: Question) -> pl.DataFrame:
    """Return ``row, column, place`` of the first items of everybody who is asked; no column where it is unknown."""
    known, asked = question.known, question.asked
    users = pl.DataFrame({"listener": known.listeners.gather(asked), "row": asked})
    items = pl.DataFrame({"item": known.tracks, "column": np.arange(known.shape[1])})
    listed = table.join(users, on="listener", maintain_order="left").join(
        items, on="item", how="left", maintain_order="left"
    )
    listed = listed.with_columns(place=pl.int_range(pl.len()).over("row"))
    return listed.filter(pl.col("place") < LENGTH).select("row", "column", "place")


def _among(row: IntArray, column: IntArray, matrix: sparse.csr_array) -> BoolArray:
    """Return (k,) whether each row and column is among those where a matrix is not zero."""
    there = matrix.tocoo()
    width = matrix.shape[1]
    return np.isin(row * width + column, there.row.astype(np.int64) * width + there.col)


def _check_lengths(row: IntArray, *, by: str, question: Question) -> None:
    known, asked = question.known, question.asked
    new = known.shape[1] - np.diff(known.confidence.indptr)[asked]
    found = np.bincount(np.searchsorted(asked, row), minlength=len(asked))
    short = found < np.minimum(new, LENGTH)
    what = f"too few items, {found.min()} where {LENGTH} are asked for," if short.any() else ""
    _refuse(int(short.sum()), what, by=by, hint=_SHORT, of="users")


def _refuse(number: int, what: str, *, by: str, hint: str, of: str = "rows") -> None:
    if number:
        raise ListsError(f"recommend() of {by!r} lists {what} in {number:,} {of}", hint=hint)
