"""Whole nights with and without one listener, the noise recorded: what differs that must not, and how far counts move.

Run it with ``PYTHONPATH=tests python tests/bench/bench_twins.py [PAIRS] [--seed N]``. Each pair is a world of two
nights and 6 to 19 other listeners, and one who plays 0 to 90 tracks a night, at home or in two places
(``tests/support/twins.py``). It prints each difference, and the squared sensitivity that was measured against the one
that is declared, and exits with 1 if something differs. Interrupted (Ctrl-C), it tells of the pairs until then.
"""

import argparse
import sys
import tempfile
from contextlib import suppress
from pathlib import Path

from support.twins import differences, drawn_pair, squared_sensitivity, twins

from recsys.settings import load_settings


def main(pairs: int, first: int) -> int:
    """Live all pairs, and print what came of them."""
    declared, found, measured = load_settings().privacy.most_per_night, 0, list[float]()
    with suppress(KeyboardInterrupt):
        for seed in range(first, first + pairs):
            with tempfile.TemporaryDirectory() as folder:
                worlds = twins(drawn_pair(seed), Path(folder))
            wrong = differences(*worlds)
            measured += squared_sensitivity(*worlds)
            found += bool(wrong)
            print(f"pair {seed}: {max(measured[-2:]):.3f} {wrong or ''}", flush=True)
    moved = sum(each > 0 for each in measured)
    print(f"{len(measured) // 2} of {pairs} pairs, {found} with a difference;")
    print(f"nights on which counts moved: {moved} of {len(measured)};")
    print(f"largest squared sensitivity {max(measured):.3f}, declared {declared}")
    return int(found > 0 or max(measured) > declared)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("pairs", nargs="?", type=int, default=200)
    arguments.add_argument("--seed", type=int, default=0)
    asked = arguments.parse_args()
    sys.exit(main(asked.pairs, asked.seed))
