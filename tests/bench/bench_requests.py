"""The registered model: how long it takes to answer many requests in one ``predict``.

Run it with ``python tests/bench/bench_requests.py [REQUESTS]`` (by default 1,000, of 30 plays each): a model of 3,000
simulated listeners and 2,000 tracks, of which two played at least are its vocabulary.
"""

import statistics
import sys
import time

import numpy as np
import pandas as pd
from support.listening import world

from pipelines.mlflow.pyfunc_model import Registered
from recsys.models.deployable import fit_served
from recsys.settings import load_settings

PLAYS, TIMES, SEED = 30, 5, 1


def main(requests: int) -> None:
    settings = load_settings(overrides={"models": {"min_listeners_per_track": 2}}).models
    rows = world(3, listeners=3_000, tracks=2_000, parts=30, nights=30, plays=40)
    served = fit_served(rows, settings=settings, parents={})
    model, drawn = Registered(served, frozenset(rows["part"].drop_nulls())), np.random.default_rng(SEED)
    size = requests * PLAYS
    asked = pd.DataFrame(
        {
            "track_id": drawn.choice(served.tracks.to_list(), size=size),
            "plays": drawn.integers(1, 5, size=size),
            "nights_ago": drawn.integers(0, 8, size=size),
            "request": np.repeat([f"r{number}" for number in range(requests)], PLAYS),
        }
    )
    seconds, cpu = zip(*(timed(model, asked) for _ in range(TIMES)), strict=True)
    print(f"{requests:,} requests of {PLAYS} plays, {len(served.tracks):,} tracks, median of {TIMES}")
    print(f"seconds {statistics.median(seconds):.2f} (of CPU {statistics.median(cpu):.2f})")


def timed(model: Registered, asked: pd.DataFrame) -> tuple[float, float]:
    started, used = time.perf_counter(), time.process_time()
    model.predict(asked)
    return time.perf_counter() - started, time.process_time() - used


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 1_000)
