"""PRECISE in, COARSE out: a listen with a position becomes a listen with a cell, and the position ends here."""

from datetime import date

import polars as pl
import polars_h3

from recsys.schemas import CoarseListens, at_border


def coarsen(allowed: pl.LazyFrame, *, night: date, resolution: int) -> pl.LazyFrame:
    """Replace positions by H3 cells: the only place that turns a latitude and a longitude into a cell.

    Parameters
    ----------
    allowed : polars.LazyFrame
        From :func:`recsys.arrivals.permission.keep_allowed`: positions are within range (H3 would wrap others into
        valid cells silently) and there only where they may be used.
    night : date
        The UTC day of all rows.
    resolution : int
        ``atlas.finest_resolution``.

    Returns
    -------
    polars.LazyFrame
        Schema :class:`recsys.schemas.CoarseListens`. A cell is of ``resolution``; one that came as such is coarsened by
        ``cell_to_parent``, and stays as it is where it is coarser already. Where a cell and a position came together
        the cell counts. It is written once for each permission to know it.
    """
    position = polars_h3.latlng_to_cell("latitude", "longitude", resolution, return_dtype=pl.UInt64)
    located = allowed.with_columns(cell=pl.coalesce(_coarsened(resolution), position), night=pl.lit(night))
    # A row that is here for partner statistics alone must not say where its listener is at home for anything else.
    otherwise_used = pl.col("for_place") & (pl.col("for_charts") | pl.col("for_models"))
    coarse = located.with_columns(
        cell=pl.when(otherwise_used).then("cell"), partner_cell=pl.when("for_partner").then("cell")
    )
    return at_border(coarse.select(CoarseListens.column_names()), CoarseListens)


def _coarsened(resolution: int) -> pl.Expr:
    given = polars_h3.str_to_int("cell")
    finer = polars_h3.get_resolution(given) > resolution
    return pl.when(finer).then(polars_h3.cell_to_parent(given, resolution)).otherwise(given)
