"""What it costs to make a picture anew: time and memory of the process that does it, by the kind of file.

Run it with ``PYTHONPATH=tests python tests/bench/bench_images.py [ROUNDS]``. Pictures of 12 megapixels with noise like
a camera's go through the program as the endpoint starts it, and by turns through plain Pillow without limits, which
reads all of it and makes it small. It prints medians of seconds by the clock and of computing, start and imports
included, and the largest memory of any round.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from recsys.serving.pictures.kinds import KINDS, bytes_of, side_of
from recsys.settings import load_settings

IMAGES = load_settings().images
COVER = KINDS[-1]
SIZE = (4_000, 3_000)
PLAIN = f"""
import sys
from io import BytesIO
from PIL import Image, ImageOps
with Image.open(BytesIO(sys.stdin.buffer.read())) as found:
    upright = ImageOps.exif_transpose(found).convert("RGB")
    ImageOps.fit(upright, ({side_of(COVER, IMAGES)},) * 2).save(sys.stdout.buffer, "JPEG")
"""
DRAWN = f"""
import sys
from pathlib import Path
import numpy as np
from PIL import Image
rng = np.random.default_rng(20261)
coarse = Image.fromarray(rng.integers(0, 255, (75, 100, 3), dtype=np.uint8)).resize({SIZE}, Image.Resampling.BICUBIC)
noisy = np.asarray(coarse).astype(np.int16) + rng.integers(-12, 12, ({SIZE[1]}, {SIZE[0]}, 3))
image, folder = Image.fromarray(noisy.clip(0, 255).astype(np.uint8)), Path(sys.argv[1])
image.save(folder / "JPEG", "JPEG", quality=90)
image.save(folder / "JPEG, progressive", "JPEG", quality=90, progressive=True, subsampling=0)
image.save(folder / "PNG", "PNG", compress_level=1)
image.convert("RGBA").save(folder / "PNG, transparent", "PNG", compress_level=1)
image.save(folder / "WebP", "WEBP", quality=80, method=0)
image.save(folder / "AVIF", "AVIF", quality=60, speed=10)
"""


@dataclass(frozen=True)
class Cost:
    """What one picture took: seconds by the clock and of computing, and megabytes."""

    clock: float
    computing: float
    memory: float


def cost(command: list[str], picture: Path) -> Cost:
    """Run a program on a picture; this process is kept small, as a child begins with its parent's memory."""
    started = time.perf_counter()
    with picture.open("rb") as sent, subprocess.Popen(command, stdin=sent, stdout=subprocess.PIPE) as running:
        made = running.stdout.read() if running.stdout else b""
        _, code, used = os.wait4(running.pid, 0)
        running.returncode = os.waitstatus_to_exitcode(code)
    if running.returncode or not made:
        raise SystemExit(f"{picture.name}: exit code {running.returncode}")
    return Cost(time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / 1_000)


def commands() -> dict[str, list[str]]:
    """The program under the limits of the settings, and plain Pillow."""
    limits = (side_of(COVER, IMAGES), bytes_of(COVER, IMAGES), IMAGES.most_pixels, IMAGES.megabytes, IMAGES.seconds)
    ours = [sys.executable, "-s", "-P", "-m", "recsys.serving.pictures.remaking", *map(str, limits)]
    return {"ours": ours, "plain Pillow": [sys.executable, "-c", PLAIN]}


def lines(folder: Path, rounds: int) -> Iterator[str]:
    """Measure every picture with both by turns."""
    for picture in sorted(folder.iterdir()):
        found: dict[str, list[Cost]] = {name: [] for name in commands()}
        for _ in range(rounds):
            for name, command in commands().items():
                found[name].append(cost(command, picture))
        for name, costs in found.items():
            clock, computing = (
                statistics.median(each) for each in zip(*((c.clock, c.computing) for c in costs), strict=True)
            )
            memory, size = max(each.memory for each in costs), picture.stat().st_size / 1e6
            yield f"| {picture.name} | {size:.1f} | {name} | {clock:.2f} | {computing:.2f} | {memory:.0f} |"


def main() -> None:
    """Print the table."""
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("rounds", nargs="?", type=int, default=5)
    rounds = arguments.parse_args().rounds
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-c", DRAWN, folder], check=True)
        print("| 12 megapixels | MB | by | seconds | computing | memory (MB) |\n| --- | --- | --- | --- | --- | --- |")
        for line in lines(Path(folder), rounds):
            print(line, flush=True)


if __name__ == "__main__":
    main()
