"""Forecasts, measured on real daily charts: which tracks enter or climb the top 50 within seven days.

Run it with ``HEARABOUTS_DATA=FOLDER python tests/bench/bench_daily_charts.py [--since 2024-07-01]``; it reads
``FOLDER/daily-charts/charts.parquet``, the top 200 of the world, the United States and India, day by day.

**The task.** On day d, for every track of a region's chart that was in its top 200 on one of the last 28 days (d
included):

- *enter*: of the tracks that are not in the top 50 on day d, which are in it on one of the days d+1 to d+7?
- *climb*: of the tracks in the top 50 on day d, which are at least five places higher on one of them?
- *either*: of all these tracks, which do one or the other?

Forecasts are orders of the tracks; they are measured by average precision (of equal scores as scikit-learn does), its
mean over days, for each region. Tracks that nobody has heard of on day d cannot be forecast from charts; how many
entries those are is printed beside. Days are judged if they are there and at least six of the next seven are, and if
something enters or climbs.

**The data's flaws.** A missing day reads like the day before. A track is artist and title, without case, invisible
characters and runs of blanks, so two tracks of one title are two; one that is in a chart twice has its best rank. A
track that is not in the top 200 counts as number 250.

**The forecasts.** At random: the expected precision is the share of positives. *last week's ranks*: the mean of the
last seven days; *rank today*; *last week's climb*: places gained in seven days. *rising*: the score of the product's
rising chart (:mod:`recsys.releases.inference.significance`): the largest excess of the last 1, 2, 3, 5 and 7 nights
over the same weekdays of the four weeks before, where the track ranked r has 100,000/r listeners under the noise of a
country's count. It answers another question (is it sure that there are more than usual?) and is shown for what it is
as a forecast. *momentum*: the logarithm of today's rank, carried on for two days as it went since yesterday; two is the
best of 0 to 5 days before July 2024. *the product's*: :mod:`recsys.models.forecast` as a night uses it, with as many
lessons (`forecasts.lessons`), at random of all days whose answers are known by then. A night learns anew; here every
28th day that is judged does (``--anew``), for those until the next. It is one forecast of *either*, also where it is
judged by one of both.
"""

import argparse
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score

from recsys.artifacts.moves import AHEAD, FIRST, moved_up
from recsys.models.forecast import Charts, Forecaster, learn
from recsys.releases.inference import significance
from recsys.releases.inference.significance import Counted, Expected
from recsys.settings import load_settings

TOP, LISTED, OUT, KNOWN = FIRST, 200, 250.0, 28
HISTORY = 35  # days that every forecast may look back, besides a track's debut and peak
MOMENTUM = 2.0
NUMBER_ONE = 100_000  # listeners
TASKS = ("enter", "climb", "either")
SEED = 20261


@dataclass(frozen=True)
class Daily:
    """Ranks of a region, with days in rows and tracks in columns.

    Parameters
    ----------
    first : date
    ranks : numpy.ndarray of float32, shape (days, tracks)
        ``OUT`` where a track is not listed; a missing day has the ranks of the day before.
    there : numpy.ndarray of bool, shape (days,)
        Whether there is a chart of the day.
    """

    first: date
    ranks: np.ndarray
    there: np.ndarray

    def judged(self) -> list[int]:
        """Return the days on which a forecast can be made and judged."""
        days = range(HISTORY, len(self.there) - AHEAD)
        return [day for day in days if self.there[day] and self.there[day + 1 : day + AHEAD + 1].sum() >= AHEAD - 1]

    def known(self, day: int) -> np.ndarray:
        """Return the tracks that were listed on one of the last days."""
        return np.flatnonzero((self.ranks[day - KNOWN + 1 : day + 1] <= LISTED).any(axis=0))


@dataclass(frozen=True)
class Question:
    """A region, a day, its known tracks, and which of them will do what; the arrays have the shape (tracks,)."""

    region: str
    day: int
    tracks: np.ndarray
    outside: np.ndarray
    happens: np.ndarray

    def of(self, task: str) -> np.ndarray:
        """Tell which tracks a task is about."""
        return {"enter": self.outside, "climb": ~self.outside}.get(task, np.ones(len(self.tracks), dtype=bool))


def read_charts(file: Path) -> dict[str, Daily]:
    """Read the charts of all regions; a track has the same column in each."""
    named = pl.concat_str("artist", pl.lit("\x1f"), "title").str.normalize("NFKC").str.to_lowercase()
    track = named.str.replace_all(r"\p{Cf}", "").str.replace_all(r"\s+", " ").str.strip_chars()
    lines = pl.read_parquet(file).group_by("region", "day", track=track).agg(pl.col("rank").min())
    first, number = lines["day"].min(), lines["track"].rank("dense").cast(pl.Int64) - 1
    lines = lines.with_columns(track=number, day=(pl.col("day") - first).dt.total_days())
    shape = (int(lines["day"].max()) + 1, int(lines["track"].max()) + 1)
    regions = sorted(lines["region"].unique())
    return {region: _daily(lines.filter(region=region), first=first, shape=shape) for region in regions}


def _daily(lines: pl.DataFrame, *, first: date, shape: tuple[int, int]) -> Daily:
    ranks, there = np.full(shape, OUT, dtype=np.float32), np.zeros(shape[0], dtype=bool)
    ranks[lines["day"].to_numpy(), lines["track"].to_numpy()] = lines["rank"].to_numpy()
    there[lines["day"].unique().to_numpy()] = True
    for day in np.flatnonzero(~there[1:]) + 1:
        ranks[day] = ranks[day - 1]
    return Daily(first, ranks, there)


def ask(charts: dict[str, Daily]) -> Iterator[Question]:
    """Yield all questions, with their answers."""
    for region, chart in charts.items():
        for day in chart.judged():
            tracks = chart.known(day)
            now = chart.ranks[day, tracks]
            best = chart.ranks[day + 1 : day + AHEAD + 1, tracks].min(axis=0)
            yield Question(region, day, tracks, now > TOP, moved_up(now, best))


def unheard_of(chart: Daily, day: int) -> int:
    """Return how many tracks enter that are not known on the day."""
    enter = np.flatnonzero((chart.ranks[day + 1 : day + AHEAD + 1] <= TOP).any(axis=0))
    return len(np.setdiff1d(enter, chart.known(day)))


# ------------------------------------------------------------------------------------------------------ the forecasts

Forecast = Callable[[Daily, Question], np.ndarray]


def last_weeks_ranks(chart: Daily, question: Question) -> np.ndarray:
    """The mean rank of the last week, lowest first."""
    return -chart.ranks[question.day - 6 : question.day + 1, question.tracks].mean(axis=0)


def rank_today(chart: Daily, question: Question) -> np.ndarray:
    """The rank, lowest first."""
    return -chart.ranks[question.day, question.tracks]


def last_weeks_climb(chart: Daily, question: Question) -> np.ndarray:
    """Places gained in seven days."""
    return chart.ranks[question.day - 7, question.tracks] - chart.ranks[question.day, question.tracks]


def momentum(chart: Daily, question: Question) -> np.ndarray:
    """Where a track would stand in two days, if it went on as since yesterday."""
    before, now = np.log(chart.ranks[[question.day - 1, question.day]][:, question.tracks])
    return -now + MOMENTUM * (before - now)


def rising(chart: Daily, question: Question) -> np.ndarray:
    """The score of the product's rising chart."""
    settings = load_settings()
    listeners = NUMBER_ONE / chart.ranks[question.day - HISTORY + 1 : question.day + 1, question.tracks]
    noise = settings.privacy.most_per_night / (2 * settings.privacy.rho_per_night * settings.privacy.country_share)
    return np.max(
        [_beside_the_past(listeners, nights, noise=noise) for nights in settings.charts.rising_nights], axis=0
    )


def _beside_the_past(listeners: np.ndarray, nights: int, *, noise: float) -> np.ndarray:
    """Return the excess of the last nights over the same weekdays of the four weeks before."""
    weeks = [listeners[len(listeners) - nights - 7 * week :][:nights] for week in range(1, 5)]
    now, before = listeners[-nights:].mean(axis=0), np.mean(weeks, axis=(0, 1))
    ones = np.ones(len(now))
    return significance.excess(
        Counted(now, ones * noise / nights, ones * nights), Expected(before, (noise + before) / (4 * nights))
    )


def chances(
    charts: dict[str, Daily], questions: list[Question], judged: list[Question], *, anew: int
) -> list[np.ndarray]:
    """Return what the product says of questions, having learned anew after every so many days."""
    asked = published(charts)
    begun = [(question.day - judged[0].day) // anew * anew + judged[0].day for question in judged]
    forecasters = {day: learned(asked, [q for q in questions if q.day <= day - AHEAD], day=day) for day in set(begun)}
    return [forecast(asked, forecasters[day], question) for day, question in zip(begun, judged, strict=True)]


def published(charts: dict[str, Daily]) -> Charts:
    """Return the charts as the product reads its own."""
    lists = {region: _lists(chart) for region, chart in charts.items()}

    def read(region: str, first: int, last: int) -> dict[int, np.ndarray]:
        return {day: lists[region][day] for day in range(first, last + 1) if day in lists[region]}

    countries = [region for region in charts if region != "world"]
    return Charts(read, dict.fromkeys(charts, "world"), countries, LISTED)


def learned(asked: Charts, past: list[Question], *, day: int) -> Forecaster:
    """Let the product learn from past questions: as many as one of its nights does, at random."""
    chosen = np.random.default_rng((SEED, day)).choice(len(past), load_settings().forecasts.lessons, replace=False)
    forecaster = learn(asked, [(past[i].day, past[i].region) for i in chosen])
    assert forecaster is not None
    return forecaster


def _lists(chart: Daily) -> dict[int, np.ndarray]:
    """Return the tracks of each day's chart, the first first."""
    order = np.argsort(chart.ranks, axis=1, kind="stable")[:, :LISTED].astype(np.uint32)
    listed = (chart.ranks <= LISTED).sum(axis=1)
    return {int(day): order[day, : listed[day]] for day in np.flatnonzero(chart.there)}


def forecast(asked: Charts, forecaster: Forecaster, question: Question) -> np.ndarray:
    """Return the product's chances of the tracks of a question."""
    found = asked.question(question.region, question.day)
    assert found is not None
    chances = dict(zip(found.tracks.tolist(), forecaster.chances([found]).tolist(), strict=True))
    return np.array([chances[track] for track in question.tracks.tolist()])


def reliability(judged: list[Question], scores: list[np.ndarray]) -> pl.DataFrame:
    """Return, by tenths of the chance that was said, how many forecasts there were and how many came true."""
    frame = pl.DataFrame({"said": np.concatenate(scores), "came true": np.concatenate([q.happens for q in judged])})
    tenth = (pl.col("said") * 10).floor().clip(0, 9).cast(pl.Int64).alias("tenth")
    of_tenth = frame.group_by(tenth).agg(pl.len().alias("forecasts"), pl.col("said", "came true").mean()).sort("tenth")
    return of_tenth.with_columns(off=pl.col("said") - pl.col("came true"))


# --------------------------------------------------------------------------------------------------------- the tables


def precisions(questions: list[Question], scores: list[np.ndarray], *, task: str) -> pl.DataFrame:
    """Return the average precision of every question in which anything happens, and the share of positives."""
    rows = []
    for question, score in zip(questions, scores, strict=True):
        some = question.of(task)
        happens = question.happens[some]
        if happens.any():
            precision = float(average_precision_score(happens, score[some]))
            rows.append((question.region, question.day, precision, float(happens.mean())))
    return pl.DataFrame(rows, schema=["region", "day", "precision", "share"], orient="row")


def row_of(name: str, found: pl.DataFrame, column: str = "precision") -> dict[str, str | float]:
    """Return a row of the table: means by region and over all, and the latter's standard error from weekly means."""
    by_region = found.group_by("region").agg(pl.col(column).mean()).sort("region")
    means: dict[str, float] = dict(by_region.iter_rows())
    weeks = found.group_by(pl.col("day") // 7).agg(pl.col(column).mean())[column]
    mean, error = float(np.mean(list(means.values()))), float(weeks.std() / len(weeks) ** 0.5)
    return {"forecast": name, **means, "mean": mean, "±": error}


def table(charts: dict[str, Daily], judged: list[Question], scores: list[np.ndarray], *, task: str) -> pl.DataFrame:
    """Measure all forecasts of a task; ``scores`` are the product's."""
    named = {
        "last week's ranks": last_weeks_ranks,
        "rank today": rank_today,
        "last week's climb": last_weeks_climb,
        "rising": rising,
        "momentum": momentum,
    }
    rows = [
        row_of(n, precisions(judged, [f(charts[q.region], q) for q in judged], task=task)) for n, f in named.items()
    ]
    found = precisions(judged, scores, task=task)
    return pl.DataFrame([row_of("at random", found, "share"), *rows, row_of("the product's", found)])


def main() -> None:
    """Read the arguments and print everything."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--since", type=date.fromisoformat, default=date(2024, 7, 1))
    arguments.add_argument("--every", type=int, default=2, help="judge every so many days")
    arguments.add_argument("--anew", type=int, default=28, help="learn anew after so many days")
    given = arguments.parse_args()
    folder = os.environ.get("HEARABOUTS_DATA")
    if not folder:
        print("skipped: HEARABOUTS_DATA does not name the folder of real data")
        return
    start = time.perf_counter()
    charts = read_charts(Path(folder) / "daily-charts" / "charts.parquet")
    questions = list(ask(charts))
    first = next(iter(charts.values())).first
    since = (given.since - first).days
    judged = [question for question in questions if question.day >= since and question.day % given.every == 0]
    unheard = np.mean([unheard_of(charts[question.region], question.day) for question in judged])
    heard = np.mean([question.happens[question.outside].sum() for question in judged])
    days = [first + timedelta(days=judged[i].day) for i in (0, -1)]
    print(f"seed {SEED}; {len(judged)} charts of {days[0]} to {days[1]}; learned anew after {given.anew} days")
    print(f"entries a week: {heard:.1f} of tracks known on the day, {unheard:.1f} of tracks that nobody had heard of")
    scores = chances(charts, questions, judged, anew=given.anew)
    options = {"tbl_formatting": "MARKDOWN", "tbl_rows": 20, "tbl_width_chars": 120, "float_precision": 3}
    with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, **options):
        for task in TASKS:
            print(f"\n{task}: average precision\n{table(charts, judged, scores, task=task)}")
        print(f"\nthe product's chances of either\n{reliability(judged, scores)}")
    print(f"\n{time.perf_counter() - start:.0f} s")


if __name__ == "__main__":
    main()
