"""A bounded training, measured: what is served where models learn from everybody, and from a sample of the listeners.

Run it with ``python tests/bench/bench_training_sample.py [LISTENERS [BOUND ...]]`` (by default 100,000 simulated
listeners, and 10,000 of them; of fewer than 20,000 some parts have nobody to ask). ``--factors``, ``--tracks`` and
``--plays`` change the world and the model, ``--asked`` for how many listeners lists are ranked, and with ``--judges``
the blend is learned from so many at most of those whom its models learned from, as all of them would take hours.

All is learned by the product's own functions as a night does it: the blend on the validation nights with models of the
nights before, then models of all nights before the test nights. The world is gathered in pieces, as its rows would not
fit into memory. Every training is a process of its own, whose peak of memory has the world's matrices in it. Lists are
asked for listeners of all places, more of the small ones than chance would draw; means over listeners weigh the places
by their sizes. The interval is that of the listeners, the world being what it is.

The bar: models that learn from 200,000 of 2 million listeners lose 1 % of NDCG@10 at most.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
from support.large_listening import World, read_pieces, write_pieces
from threadpoolctl import threadpool_limits

from recsys.models.collaborative import train
from recsys.models.fit_blend import learn
from recsys.models.learners import drawn
from recsys.models.metrics import ndcg_at_10, only, rank
from recsys.models.regional import fit
from recsys.settings import ModelsSettings, load_settings

SEED = 20261
HEADER = ("learned from", "learn, s", "train, s", "processor s", "peak, GB", "own models", "NDCG@10", "macro")


def main(given: argparse.Namespace) -> None:
    """Generate a world, train by each bound, and print a table."""
    world = World(SEED, given.listeners, tracks=given.tracks, plays=given.plays)
    with tempfile.TemporaryDirectory() as kept:
        folder, started = Path(kept), time.perf_counter()
        write_pieces(world, folder, settings=settings_of(given, bound=0))
        sizes = world.sizes()
        print(
            f"{sizes.sum():,} listeners (seed {SEED}) in {len(sizes)} parts of {sizes.min():,} to {sizes.max():,}, "
            f"{world.tracks:,} tracks, {given.factors} factors; generated in {time.perf_counter() - started:.0f} s\n"
        )
        print(*(f"{name:>12}" for name in HEADER), flush=True)
        whole = None
        for bound in (0, *given.bounds):
            found = apart(folder, given, bound=bound)
            print(*(f"{value:>12}" for value in found["shown"]), flush=True)
            if whole is None:
                whole = found
                continue
            lost = [_lost(whole, found, by=by) for by in (sizes / sizes.sum(), np.ones(len(sizes)))]
            print(f"{'':12} loss over listeners {lost[0]}, over parts {lost[1]}", flush=True)


def settings_of(given: argparse.Namespace, *, bound: int) -> ModelsSettings:
    """Return the settings as they are shipped, with this bound."""
    return load_settings(overrides={"models": {"factors": given.factors, "max_training_listeners": bound}}).models


def apart(folder: Path, given: argparse.Namespace, *, bound: int) -> dict[str, list[float]]:
    """Train in a process of its own, and return what it measured."""
    command = [sys.executable, __file__, str(given.listeners), str(bound), "--in", str(folder)]
    for name in ("factors", "tracks", "plays", "asked", "judges"):
        command += [f"--{name}", str(getattr(given, name))]
    printed = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    return dict(json.loads(printed))


def trained(given: argparse.Namespace) -> dict[str, list[float] | list[str]]:
    """Learn and train by a bound, and rank; return what is shown, and every listener's part and NDCG."""
    world = World(SEED, given.listeners, tracks=given.tracks, plays=given.plays)
    settings = settings_of(given, bound=given.bounds[0])
    with threadpool_limits(1, "blas"):
        before = read_pieces(given.folder, "before", world=world)
        started, spent = time.perf_counter(), time.process_time()
        fitted = fit(before.known, settings=settings)
        if given.judges:
            judges = settings.model_copy(update={"max_training_listeners": given.judges})
            chosen = drawn(fitted.learned, settings=judges)
            fitted = replace(fitted, learners=chosen if fitted.learners is None else fitted.learners[chosen])
        fitted = fitted.asked_again()
        parameters = learn(fitted, later=before.later, settings=settings)
        seconds, processor = [time.perf_counter() - started], time.process_time() - spent
        del before, fitted
        after = read_pieces(given.folder, "known", world=world)
        started, spent = time.perf_counter(), time.process_time()
        served = train(after.known, parameters=parameters, settings=settings)["blend"]
        seconds.append(time.perf_counter() - started)
        processor += time.process_time() - spent
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
        number = len(drawn(after.known, settings=settings))
        asked = drawn(after.known, settings=settings.model_copy(update={"max_training_listeners": given.asked}))
        lists = rank(served, later=only(after.later, asked), heard=after.known.confidence)
    found, part = ndcg_at_10(lists), after.known.homes[lists.listeners]
    share = world.sizes() / world.sizes().sum()
    means = _means(found, part)
    shown = [f"{number:,}", *(f"{value:,.0f}" for value in (*seconds, processor)), f"{peak:.1f}"]
    shown += [str(len(served.own.sides)), f"{means @ share:.4f}", f"{means.mean():.4f}"]
    return {"shown": shown, "ndcg": found.tolist(), "part": part.tolist()}


def _means(values: np.ndarray, part: np.ndarray) -> np.ndarray:
    return np.bincount(part, weights=values) / np.bincount(part)


def _lost(whole: dict[str, list[float]], found: dict[str, list[float]], *, by: np.ndarray) -> str:
    """Return the relative loss with its 95 % interval, parts weighed by something."""
    part, base = np.array(whole["part"]), np.array(whole["ndcg"])
    lost, weight = base - np.array(found["ndcg"]), by / by.sum()
    mean = _means(lost, part)
    variance = _means((lost - mean[part]) ** 2, part) / np.bincount(part)
    level = _means(base, part) @ weight
    loss, error = mean @ weight / level, np.sqrt(weight**2 @ variance) / level
    return f"{loss:+.2%} [{loss - 1.96 * error:+.2%}, {loss + 1.96 * error:+.2%}]"


if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("listeners", type=int, nargs="?", default=100_000)
    arguments.add_argument("bounds", type=int, nargs="*", default=[10_000])
    arguments.add_argument("--factors", type=int, default=128)
    arguments.add_argument("--tracks", type=int, default=2_000)
    arguments.add_argument("--plays", type=float, default=30.0)
    arguments.add_argument("--asked", type=int, default=40_000)
    arguments.add_argument("--judges", type=int, default=0)
    arguments.add_argument("--in", dest="folder", type=Path)
    asked = arguments.parse_args()
    if asked.folder:
        print(json.dumps(trained(asked)))
    else:
        main(asked)
