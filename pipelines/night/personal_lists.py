"""Personal lists: the step that learns what is close to each listener, for the endpoint to put in order."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from functools import cache
from typing import cast

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy import sparse
from threadpoolctl import threadpool_limits

from pipelines.base.job_context import JobContext
from pipelines.night.recent_plays import recent_plays
from recsys.artifacts.affinities import EVIDENCE, Affinities, Orders, default_orders, nobody, write
from recsys.artifacts.list_candidates import ListCandidates, candidates_of
from recsys.artifacts.scoring import evidence_for
from recsys.errors import NotReadyError
from recsys.geography.atlas import Atlas, countries
from recsys.geography.places import WORLD
from recsys.models.affinity import Examples, closest, learn_orders
from recsys.models.cold_start import Folding
from recsys.models.collaborative import Trained, learn_and_train, train
from recsys.models.interactions import IntArray, Interactions, gather, heard_later, nights
from recsys.models.metrics import Model, without
from recsys.models.regional import Spread
from recsys.models.splitting import Split, split_rows
from recsys.settings import ListsSettings, Settings

Lists = Callable[[Sequence[date]], pl.DataFrame]

_Example = tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]


def personal_lists(
    job: JobContext,
    *,
    past: "Past",
    lines: pl.DataFrame,
    settings: Settings | None = None,
    spread: Spread | None = None,
) -> Affinities:
    """Train on all that is allowed, and return what is close to each listener.

    The weights of the order are learned as the models are measured: with models of the nights before the test nights
    and the charts as they were then, on what was played for the first time on the test nights. Everybody with a play of
    a known track has a list: who is not among those that models learn from is folded in, block by block.

    Parameters
    ----------
    job : JobContext
    past : Past
        Of those who allow it now.
    lines : polars.DataFrame
        The Chart of this night.
    settings : Settings, optional
        Others than the job's.
    spread : callable, optional
        Fits the models of places elsewhere.
    """
    with threadpool_limits(1, "blas"):  # bits of a product depend on the number of BLAS threads
        return affinities_of(past, lines=lines, atlas=job.atlas, settings=settings or job.settings, spread=spread)


def write_personal_lists(job: JobContext, affinities: Affinities, *, past: "Past", lines: pl.DataFrame) -> None:
    """Write what is close to each listener who still allows it at this moment, whole or not at all.

    And what those played lately who let it count among what their friends play, as far as it is on the ``lines``.
    """
    allowed = job.permissions.today.filter("for_models")
    gone = past.rows.select("listener").unique().join(allowed, on="listener", how="anti")["listener"]
    kept, recent = affinities.without(gone.to_list()), recent_plays(job, lines=lines)
    write(job.store.sealed, replace(kept, recent=recent))


@dataclass(frozen=True)
class Past:
    """What the nights so far left to learn from.

    Parameters
    ----------
    rows : polars.DataFrame
        Contributions that may be trained on.
    lists : callable
        Returns the ``place``, ``chart`` and ``track_id`` of the charts of the last of some released nights, best first.
    released : sequence of date
        The released nights, in order.
    before : Trained, optional
        What was learned from the nights before the test nights, where the models were measured already.
    origins : mapping of str to str
        The country that the artist of a track comes from, as far as it is known.
    """

    rows: pl.DataFrame
    lists: Lists
    released: Sequence[date]
    before: Trained | None = None
    origins: Mapping[str, str] = field(default_factory=dict, repr=False)

    def charts_before(self, night: date) -> pl.DataFrame | None:
        """Return the lists as they were on the morning of a night; None where there were none, or of another atlas."""
        before = [other for other in self.released if other < night]
        try:
            return self.lists(before) if before else None
        except NotReadyError:
            return None


def affinities_of(
    past: Past, *, lines: pl.DataFrame, atlas: Atlas, settings: Settings, spread: Spread | None = None
) -> Affinities:
    """Return what is close to each listener by a model of all rows, with the orders that the last nights teach."""
    known = gather(past.rows, settings=settings.models, parents=countries(atlas), origins=past.origins)
    if 0 in known.shape:
        return replace(nobody(), orders=default_orders(new=settings.lists.new))
    model, orders = _model_and_orders(known, past, atlas=atlas, settings=settings, spread=spread)
    night = past.rows["night"].dt.to_string().max()
    return _affinities(model, known, lines=lines, orders=orders, settings=settings.lists, night=str(night))


def examples_of(
    affinities: Affinities,
    known: Interactions,
    *,
    later: pl.DataFrame,
    lines: pl.DataFrame,
    atlas: Atlas,
    learners: int,
) -> Examples:
    """Put before listeners what the endpoint would have, at home and as the charts were, and tell what they played.

    Parameters
    ----------
    affinities : Affinities
        Of the listeners in the interactions.
    known : Interactions
        What was known before.
    later : polars.DataFrame
        Contributions of the nights after.
    lines : polars.DataFrame
        The ``place``, ``chart`` and ``track_id`` of the charts of the last night before, best first.
    atlas : Atlas
    learners : int
        How many listeners at most, evenly out of all who played a known track for the first time.
    """
    new = without(heard_later(later, known=known), known.confidence)
    rows = np.flatnonzero(np.diff(new.indptr))
    rows = rows[:: max(1, -(-len(rows) // learners))]
    home = _homes(known, affinities=affinities, lines=lines, atlas=atlas)
    homes = zip(rows.tolist(), known.homes[rows].tolist(), strict=True)
    examples = [_example(row, home(at), known=known, new=new, affinities=affinities) for row, at in homes]
    return _padded(examples, relevant=np.diff(new.indptr)[rows])


def _model_and_orders(
    known: Interactions, past: Past, *, atlas: Atlas, settings: Settings, spread: Spread | None
) -> tuple[Model, Orders]:
    """Return the blend of all rows, and the orders; those by default where there is too little to learn from."""
    models, orders = settings.models, default_orders(new=settings.lists.new)
    split = split_rows(past.rows, settings=models) or Split(past.rows, past.rows.clear(), past.rows.clear())
    before = past.before or learn_and_train(
        split.train, split.validation, settings=models, parents=countries(atlas), origins=past.origins
    )
    if split.test.is_empty():
        return before.models["blend"], orders
    lines = past.charts_before(nights(split.test)[0])
    if lines is not None:
        some = before.learned  # who is looked at only to learn from need not be more
        model = cast(Folding, before.models["blend"]).fold_in(some)
        affinities = _affinities(model, some, lines=lines, orders=orders, settings=settings.lists)
        learners = settings.lists.learners
        examples = examples_of(affinities, some, later=split.test, lines=lines, atlas=atlas, learners=learners)
        orders = learn_orders(examples, new=settings.lists.new)
    trained = train(known, parameters=before.parameters, settings=models, again=True, spread=spread)
    return trained["blend"], orders


def _affinities(
    model: Model, known: Interactions, *, lines: pl.DataFrame, orders: Orders, settings: ListsSettings, night: str = ""
) -> Affinities:
    charted = np.flatnonzero(known.tracks.is_in(lines["track_id"].unique().implode()))
    return closest(model, known, charted=charted, length=settings.closest, orders=orders, night=night)


@dataclass(frozen=True)
class _Home:
    """The candidates of a home, their columns in the affinities, and in the interactions (-1 for none)."""

    candidates: ListCandidates[str]
    columns: NDArray[np.int32]
    tracks: IntArray


def _homes(known: Interactions, *, affinities: Affinities, lines: pl.DataFrame, atlas: Atlas) -> Callable[[int], _Home]:
    """Return what finds the candidates of a home by its position; without a home, those of the world."""
    by_list = lines.select("place", "chart", "track_id").partition_by(
        "place", "chart", as_dict=True, maintain_order=True
    )
    charts = {key: rows["track_id"].to_list() for key, rows in by_list.items()}
    column = {track: number for number, track in enumerate(known.tracks)}

    @cache
    def home(position: int) -> _Home:
        place = WORLD if position < 0 else atlas.place_of(known.parts[position])
        candidates = candidates_of(atlas.chain(place), tracks=lambda at, chart: charts.get((at, chart)))
        tracks = np.array([column.get(track, -1) for track in candidates.tracks], dtype=np.int64)
        return _Home(candidates, affinities.columns_of(candidates.tracks), tracks)

    return home


def _example(row: int, home: _Home, *, known: Interactions, new: sparse.csr_array, affinities: Affinities) -> _Example:
    """Return the evidence (c, 5) of a listener's candidates, which are unheard, and which were played after."""
    evidence = evidence_for(home.candidates, columns=home.columns, row=affinities.row(known.listeners[row]))
    heard, played = (np.isin(home.tracks, _columns(matrix, row)) for matrix in (known.confidence, new))
    return evidence, (home.tracks >= 0) & ~heard, played


def _columns(matrix: sparse.csr_array, row: int) -> IntArray:
    return np.asarray(matrix.indices[matrix.indptr[row] : matrix.indptr[row + 1]], dtype=np.int64)


def _padded(examples: Sequence[_Example], *, relevant: IntArray) -> Examples:
    """Put examples of different lengths into one array, filled up with candidates that are not there."""
    shape = (len(examples), max((len(unheard) for _, unheard, _ in examples), default=0))
    evidence = np.zeros((*shape, len(EVIDENCE)), dtype=np.float32)
    padded = Examples(evidence, np.zeros(shape, dtype=bool), np.zeros(shape, dtype=bool), relevant)
    for number, (terms, unheard, played) in enumerate(examples):
        width = len(unheard)
        padded.evidence[number, :width] = terms
        padded.unheard[number, :width], padded.played[number, :width] = unheard, played
    return padded
