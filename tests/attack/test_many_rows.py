"""A small file with endless plays of one listener does not fill the memory: alike plays are counted as a stream."""

import os
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest
from support.arriving import coarse

ROWS = 3_000_000
LARGEST = 0.4  # gigabytes; the rows alone would take one

_BOUNDED = """
import re, sys
from pathlib import Path
import polars as pl
import pytest
from support.arriving import KEY, NIGHT, Quarters
from recsys.cells.contributions import bound
from recsys.cells.earnings import BALANCES
from recsys.cells.store import Store
from recsys.settings import load_settings

settings, nothing = load_settings(), pl.DataFrame(schema=dict(BALANCES))
store = Store(Path(sys.argv[2]), settings.store)
with store.bucketed(pl.scan_parquet(sys.argv[1])) as batches:
    for _, rows in batches:
        found = bound(rows, night=NIGHT, atlas=Quarters(), balances=nothing, settings=settings.privacy, key=KEY)
(kilobytes,) = re.findall(r"VmHWM:\\s+(\\d+) kB", Path("/proc/self/status").read_text())
print(found.contributions["plays"].to_list(), int(kilobytes) / 1e6)
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc here, which tells the largest memory")
def test_endless_plays_of_one_listener_are_counted_and_not_held(tmp_path: Path) -> None:
    one = coarse([("a" * 32, "t1", 1)])
    one.select(pl.all().repeat_by(ROWS).explode()).write_parquet(tmp_path / "in.parquet")
    assert (tmp_path / "in.parquet").stat().st_size < 1e6
    told = subprocess.run(
        [sys.executable, "-c", _BOUNDED, tmp_path / "in.parquet", tmp_path / "private"],
        check=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},  # the tests' own helpers are on pytest's path alone
        capture_output=True,
        text=True,
    )
    plays, gigabytes = told.stdout.rsplit(" ", 1)
    assert plays == f"[{ROWS}]"
    assert float(gigabytes) < LARGEST
