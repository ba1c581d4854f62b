"""Draw time and memory against size, from the table of docs/scale.md, to docs/scale.svg.

Run it with ``python tests/bench/draw_scale.py`` when the table has changed: what is drawn is what stands there.
"""

import re
from collections.abc import Mapping
from pathlib import Path

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure

DOCS = Path(__file__).parents[2] / "docs"
SIZES = (1, 10, 50, 100)  # million listens
STAGES = {  # what a row of the table begins with, and its colour
    "**hot path**": ("hot path", "#0b6e4f", "o-"),
    "arrivals": ("arrivals", "#5fa8d3", "o:"),
    "contributions": ("contributions", "#c06e52", "o:"),
    "count (": ("count", "#8d6cab", "o:"),
    "bare count": ("bare count by plain Polars", "#555555", "s--"),
}


def rows_of(text: str) -> Mapping[str, list[str]]:
    """Return the cells of the table's rows, by stage."""
    table = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line[:1] == "|"]
    return {begin: next(cells[1:6] for cells in table if cells[0].startswith(begin)) for begin in STAGES}


def seconds(cell: str) -> float:
    """Return the processor seconds of a cell with seconds and processor seconds."""
    return float(re.findall(r"[\d.,]*\d", cell.partition(", ")[2])[0].replace(",", ""))


def peaks(cell: str) -> list[float]:
    """Return the peaks at all sizes but the first, in 1,000 MiB."""
    return [float(number) for number in cell.split(", ")]


def draw(left: Axes, right: Axes) -> None:
    for begin, cells in rows_of((DOCS / "scale.md").read_text()).items():
        name, colour, line = STAGES[begin]
        left.plot(SIZES, [seconds(cell) for cell in cells[:4]], line, color=colour, label=name)
        if not line.endswith(":"):
            right.plot(SIZES[1:], peaks(cells[4]), line, color=colour, label=name)
    left.set(xscale="log", yscale="log", xlabel="million listens", ylabel="processor seconds")
    right.set(xscale="log", xlabel="million listens", ylabel="peak, 1,000 MiB", ylim=(0, 7.5))
    right.axhline(6.144, color="#bb3333", linewidth=1)
    right.annotate("6 GiB, the aim at 100 million", (11, 6.26), color="#bb3333", fontsize=8)
    for axes in (left, right):
        axes.set_xticks(SIZES, [str(size) for size in SIZES])
        axes.minorticks_off()
        axes.grid(color="#e5e5e5")
        axes.legend(frameon=False, fontsize=8)


def main() -> None:
    mpl.rcParams |= {"svg.hashsalt": "scale", "svg.fonttype": "none", "axes.axisbelow": True}
    figure = Figure(figsize=(9, 3.6), layout="constrained")
    draw(*figure.subplots(1, 2))
    figure.savefig(DOCS / "scale.svg", metadata={"Date": None})


if __name__ == "__main__":
    main()
