"""How soon a page is there on a slow machine: the heaviest page of each kind, on a phone and on a desk.

Run it with ``python tests/bench/bench_pages.py`` (Debian's Chromium is needed). The processor is slowed down four
times, as that of a cheap phone, and times are those of its pace where this machine is slower still. Each page is opened
in a fresh profile five times; printed are medians, and their ratio to the bars.
"""

import shutil
import statistics
import sys
import tempfile
from pathlib import Path

from support.browsing import chromium, site
from support.edge import keep_nights
from support.watching import DESK, PAGES, PHONE, seen

from recsys.serving.pages import templates
from recsys.settings import load_settings

SLOWER, TRIES = 4, 5
SOON, BLOCKED = 1_500, 300  # milliseconds until the largest part is there, and of tasks beyond 50 each


def main() -> int:
    """Print the table, and return 1 where a median misses its bar."""
    if shutil.which("chromium") is None or not (templates.BUILT / "map.js").is_file():
        print("skipped: it needs Debian's Chromium, and the page as `make page` builds it")
        return 0
    late = 0
    with (
        tempfile.TemporaryDirectory() as folder,
        site(Path(folder) / "workspace", settings=load_settings()) as shown,
        chromium() as browser,
    ):
        keep_nights(shown.workspace, nights=10)
        print("| page | | largest part, ms (of the bar) | blocked, ms (of the bar) |\n| --- | --- | --- | --- |")
        for path in PAGES:
            for name, size in (("phone", PHONE), ("desk", DESK)):
                found = [seen(shown, browser, path, size=size, slower=SLOWER) for _ in range(TRIES)]
                largest, blocked = (
                    statistics.median(getattr(each, what) for each in found) for what in ("largest", "blocked")
                )
                late += largest > SOON or blocked > BLOCKED
                print(f"| `{path}` | {name} | {told(largest, SOON)} | {told(blocked, BLOCKED)} |", flush=True)
    return int(late > 0)


def told(milliseconds: float, bar: int) -> str:
    return f"{milliseconds:.0f} ({milliseconds / bar:.2f})"


if __name__ == "__main__":
    sys.exit(main())
