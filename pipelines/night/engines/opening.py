"""Open the engine that the command line names."""

import warnings

from pipelines.base.machine import side_by_side
from pipelines.night.engines.engine import Engine
from pipelines.night.engines.one_machine import OneMachine
from recsys.errors import SettingsError
from recsys.settings import Settings

_TASK = 0.5  # GiB that a bucket of a night of 100 million listens takes (docs/scale.md)


def opened(name: str, *, settings: Settings) -> Engine:
    """Return the engine of a name, ``polars`` or ``spark``, ready to work.

    Raises
    ------
    SettingsError
        If the client of a cluster is not installed, or no cluster is named, or not as the client takes it.
    NotReadyError
        If the cluster cannot be reached, or is of another version.
    """
    if name == OneMachine.name:
        return OneMachine(at_most=side_by_side(settings.machine, each=_TASK))
    try:
        with warnings.catch_warnings():
            # Its client does not know pandas 3 yet, of which nothing is used here.
            warnings.simplefilter("ignore", FutureWarning)
            from pipelines.night.engines.spark import connected
    except ModuleNotFoundError as error:
        raise SettingsError(
            f"--engine spark needs pyspark-client, which is not installed ({error.name})",
            hint="Install it: pip install 'hearabouts[spark]'.",
        ) from None
    return connected(settings.spark)
