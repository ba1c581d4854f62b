"""A real server in a process of its own, and a snapshot as large as one of a country or of the world."""

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from functools import cached_property
from pathlib import Path
from typing import Any

import h3
from support.edge import items

from recsys.artifacts.chart_database import PublishedPlace, write_chart_database
from recsys.artifacts.list_candidates import CHARTS
from recsys.workspace import Workspace, replace_file, staged, write_manifest

_SCRIPT = """
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from recsys.serving.server import serve
from recsys.settings import load_settings
from recsys.workspace import Workspace
serve(Workspace(Path(sys.argv[1])), settings=load_settings(), records=lambda listener: iter(()), port=0)
"""


class Server:
    """A server in a process of its own on a free port, and all that it has written."""

    def __init__(self, workspace: Workspace, *, given_a_day: int | None = None, **settings: object) -> None:
        """Start; settings are those of ``[serving]``, and by default the age of a snapshot does not matter.

        ``given_a_day`` is that of ``[consents]``, by default as the product has it.
        """
        command = [sys.executable, "-W", "error", "-c", _SCRIPT, str(workspace.root)]
        chosen = {"snapshot_max_age_days": 0, **settings}
        environment = {f"HEARABOUTS__SERVING__{key.upper()}": _text(value) for key, value in chosen.items()}
        if given_a_day is not None:
            environment["HEARABOUTS__CONSENTS__GIVEN_A_DAY"] = str(given_a_day)
        self.workspace = workspace
        # a pipe would have to be read all the while
        self._log = Path(tempfile.mkdtemp(dir=workspace.root.parent)) / "log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | environment)

    @cached_property
    def url(self) -> str:
        """Where it listens, as its log says."""
        for _ in range(6_000):
            found = re.search(r"http://127\.0\.0\.1:\d+", self.written())
            if found or self.process.poll() is not None:
                break
            time.sleep(0.01)
        assert found, self.written()
        return found.group()

    def written(self) -> str:
        """Everything that it has written so far."""
        return self._log.read_text(errors="replace")

    def stop(self, signal_: int = signal.SIGTERM) -> str:
        """Tell it to stop, and return everything it wrote."""
        self.process.send_signal(signal_)
        self.process.wait(timeout=30)
        return self.written()


def publish_many(workspace: Workspace, *, regions: int, as_of: str = "2026-10-31", size: int = 100) -> str:
    """Write a snapshot with that many regions, each with three charts, and point to it."""
    name = f"{as_of}-{regions:08x}"
    cells = [cell for parent in sorted(h3.get_res0_cells()) for cell in sorted(h3.cell_to_children(parent, 5))[:30]]
    with staged(workspace.snapshots / name) as folder:
        _write(folder / "charts.db", cells[:regions], size=size)
        write_manifest(
            folder, {"id": name, "as_of": as_of, "nights": [as_of], "atlas": "a", "settings": "s", "ledger": []}
        )
    replace_file(workspace.current, name.encode())
    return name


def _write(path: Path, cells: list[str], *, size: int) -> None:
    world = PublishedPlace("world", "World", None, "world", None, 0.0, 0.0, 8_000_000_000, "world", True)
    country = PublishedPlace(
        "PT", "Portugal", "Portugal", "country", "world", 39.69, -8.13, 10_000_000, "portugal portugal", True
    )
    rows = [
        PublishedPlace(cell, f"Place {n}", "Portugal", "region", "PT", *where, 10**6 - n, f"place {n} portugal", True)
        for n, cell in enumerate(cells)
        for where in [h3.cell_to_latlng(cell)]
    ]
    lists = (
        (place.id, chart, _shifted(items(place.id, size=size), by=29 * n + 300 * k))
        for n, place in enumerate((world, country, *rows))
        for k, chart in enumerate(CHARTS)
    )
    write_chart_database(path, places=[world, country, *rows], cells=[], charts=lists, prices={})


def _shifted(items: list[dict[str, Any]], *, by: int) -> list[dict[str, Any]]:
    """Let every list have tracks of its own, out of 2,000."""
    return [item | {"track_id": f"track-{(item['rank'] + by) % 2_000}"} for item in items]


def _text(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)
