"""What a command may use of this machine: how many processes or tasks work side by side in how much memory."""

from os import cpu_count, sysconf
from pathlib import Path

from recsys.settings import MachineSettings

_GIB = 1 << 30
_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))  # of a container
PROCESS = 1.0  # GiB of a process that shares the work on the sample world: .8 to .9 were measured (docs/scale.md)
_ALONE = 1.0  # GiB that the command has by itself meanwhile


def side_by_side(settings: MachineSettings, *, each: float) -> int:
    """Return how many processes or tasks may work at a time: at least one, and at most one a core.

    Parameters
    ----------
    settings : MachineSettings
        ``memory_gib`` is what the command may use, with all that works for it.
    each : float
        GiB that one of them needs.
    """
    fitting = int((memory(settings) - _ALONE) / each)
    return max(1, min(cpu_count() or 1, fitting))


def memory(settings: MachineSettings) -> float:
    """Return how many GiB a command may use: as set, else half of what this machine or its container has."""
    return settings.memory_gib or min(_installed(), *map(_limit, _LIMITS)) / 2


def _installed() -> float:
    return sysconf("SC_PHYS_PAGES") * sysconf("SC_PAGE_SIZE") / _GIB


def _limit(file: Path) -> float:
    """Return the GiB that a container may have; endless where there is none, or no limit."""
    try:
        return int(file.read_text()) / _GIB
    except (OSError, ValueError):  # no such file, or "max"
        return float("inf")
