"""The completeness gate, measured: how often it stops a year in which nothing is wrong, and which faults it catches.

Run it with ``PYTHONPATH=tests python tests/bench/bench_completeness.py [YEARS]``. Every year has 365 nights in numbers
(``tests/support/year.py``: weekends, holidays, Christmas with half of the listeners, growth, a viral hit, noise),
judged by the product's own code one by one, with the settings as they come, from the first night on. For a world of
30 countries and for single countries it prints

- false stops a year: mean, most, and on which nights they were;
- of every planted fault, how many are caught in the first, the second and third, the fourth to tenth night, in the
  weeks until the fifth, and later.
"""

import argparse
from collections import Counter
from datetime import timedelta

import numpy as np
from support.year import FAULTS, FIRST, NIGHTS, said_of, stops, year

from recsys.settings import load_settings

SETTINGS = load_settings().completeness
WORLDS = {"30 countries": (8_000, 30), "one country": (8_000, 1), "a small one": (300, 1)}
AGES = {"1": (0, 1), "2-3": (1, 3), "4-10": (3, 10), "to week 5": (10, 35), "later": (35, NIGHTS)}
TRIED = 10  # nights of each age


def main(years: int) -> None:
    """Print both tables."""
    for name, (listeners, countries) in WORLDS.items():
        worlds = [year(np.random.default_rng(seed), listeners=listeners, countries=countries) for seed in range(years)]
        found = [stops(nights, settings=SETTINGS) for nights in worlds]
        counts = [len(stopped) for stopped in found]
        days = Counter(f"{night:%d %b}" for stopped in found for night in stopped).most_common(4)
        print(f"\n{name}: {np.mean(counts):.2f} false stops a year, at most {max(counts)} in {years} years; {days}")
        print(f"{'caught':28}" + "".join(f"{age:>12}" for age in AGES))
        for fault, planted in FAULTS.items():
            shares = []
            for first, last in AGES.values():
                caught = []
                for seed, nights in enumerate(worlds):
                    for day in np.random.default_rng(seed).integers(first, last, TRIED):
                        night = FIRST + timedelta(days=int(day))
                        before = nights.get(night - timedelta(days=1), nights[night])
                        caught += [
                            bool(said_of(night, nights, settings=SETTINGS, faulty=planted(nights[night], before)))
                        ]
                shares.append(np.mean(caught))
            print(f"{fault:28}" + "".join(f"{share:12.0%}" for share in shares), flush=True)


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("years", nargs="?", type=int, default=20)
    main(arguments.parse_args().years)
