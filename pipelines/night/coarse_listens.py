"""PRECISE in, COARSE out: what came becomes what may be used of it, in one stream, here or on a worker of an engine."""

from collections.abc import Sequence
from dataclasses import replace

import polars as pl

from recsys.arrivals.coarsening import coarsen
from recsys.arrivals.listens import CheckedNight, Part
from recsys.arrivals.permission import Permissions, keep_allowed
from recsys.schemas import to_the_end


def coarse_listens(
    parts: Sequence[Part], *, arrived: CheckedNight, permissions: Permissions, key: bytes, resolution: int
) -> pl.LazyFrame:
    """Check, permit and coarsen some parts of a night.

    Parameters
    ----------
    parts : sequence of Part
        Of those that the night has. Their files must have the size here that they had where the night was counted.
    arrived : CheckedNight
        Says how they are checked.
    permissions : Permissions
    key : bytes
        Turns user ids into listeners.
    resolution : int
        ``atlas.finest_resolution``.

    Returns
    -------
    polars.LazyFrame
        Schema :class:`recsys.schemas.CoarseListens`.

    Raises
    ------
    InputError
        If a file turns out to be damaged.
    NotReadyError
        If this machine has another copy of a file than the one that the job counted, or none.
    """
    for part in parts:
        part.file.confirm_size()
    with to_the_end("the night's listens"):
        allowed = keep_allowed(replace(arrived, parts=parts).listens, permissions=permissions, key=key)
    return coarsen(allowed, night=arrived.night, resolution=resolution)
