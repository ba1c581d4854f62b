"""Run benchmarks, show what they print, and keep their tables as runs in MLflow (experiment ``bench``).

Run it with ``python tests/bench/run.py [NAME ...]``: all of them, or those named, as ``charts cities``.
"""

import argparse
import subprocess
import sys
import time
from importlib.metadata import version
from pathlib import Path

from pipelines.mlflow.handover import run_of
from recsys.settings import Settings, load_settings
from recsys.workspace import Workspace

HERE = Path(__file__).parent


def printed(bench: Path) -> tuple[str, int]:
    """Run a benchmark, pass on what it prints as it comes, and return that and the exit code."""
    lines = []
    with subprocess.Popen([sys.executable, "-u", bench], stdout=subprocess.PIPE, text=True) as running:
        for line in running.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            lines.append(line)
    return "".join(lines), running.returncode


def keep(bench: Path, *, settings: Settings) -> int:
    """Run a benchmark and log its tables, its time and the settings; return its exit code."""
    name, started = bench.stem.removeprefix("bench_"), time.monotonic()
    tags = {"hearabouts.version": version("hearabouts"), "bench": name}
    print(f"== {bench.name}", flush=True)
    spool, store = Workspace(Path("workspace")).prepare().unlogged, settings.tracking.store
    with run_of(spool, store, experiment="bench", name=name, params=settings.flat(), tags=tags) as run:
        tables, code = printed(bench)
        run.text(tables, "tables.txt")
        run.metrics({"seconds": time.monotonic() - started, "exit_code": code})
    return code


def main() -> int:
    """Run what is asked for and return the first exit code that is not 0."""
    known = {path.stem.removeprefix("bench_"): path for path in sorted(HERE.glob("bench_*.py"))}
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("names", nargs="*", choices=[[], *known], metavar="NAME", help=", ".join(known))
    settings = load_settings()
    codes = [keep(known[name], settings=settings) for name in arguments.parse_args().names or known]
    return next((code for code in codes if code), 0)


if __name__ == "__main__":
    sys.exit(main())
