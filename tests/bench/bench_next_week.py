"""Next week, forecast from noisy counts: is it better than simple rules, and do its chances hold?

Run it with ``python tests/bench/bench_next_week.py WORKSPACE``, of a workspace whose chart history has some weeks: on
the sample, ``[history] catch_up_nights = 400`` draws all 35 nights. Nothing in it is changed.

Every night with seven nights after it is forecast by the product, which learns from nights that were over by then, and
judged by the charts as they were published, place by place; see ``bench_daily_charts.py`` for the task and the measure.
The peers see the same charts: the rank on the night, the gain since a week ago, the logarithm of the rank carried on
for two nights as it went since the night before (*momentum*), and the rank in the larger place.
"""

import argparse
import shutil
import tempfile
from pathlib import Path

import numpy as np
import polars as pl
from sklearn.metrics import average_precision_score

from pipelines.night.forecasts import asked_of, lessons
from recsys.artifacts.chart_history import ranked_lists
from recsys.artifacts.moves import AHEAD, FIRST
from recsys.geography.atlas import load_atlas
from recsys.models.forecast import Question, learn
from recsys.settings import load_settings

STEP, WEEK, LARGER = 1, 5, 10  # columns of what is looked at: a night and a week back, and the larger place
TASKS = ("enter", "climb", "either")


def rules(question: Question) -> dict[str, np.ndarray]:
    """Return the scores of the peers, from what the product looks at."""
    seen = question.seen
    return {
        "rank": -seen[:, 0],
        "a week's gain": np.exp(seen[:, 0] + seen[:, WEEK]) - question.now,
        "momentum": -seen[:, 0] + 2 * seen[:, STEP],
        "larger place": -seen[:, LARGER],
    }


def some(question: Question) -> dict[str, np.ndarray]:
    """Tell which tracks a task is about."""
    outside = question.now > FIRST
    return dict(zip(TASKS, (outside, ~outside, np.ones(len(outside), dtype=bool)), strict=True))


def main() -> None:
    """Read the arguments and print everything."""
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("workspace", type=Path)
    settings = load_settings()
    rows: list[tuple[str, str, float]] = []
    said, happened = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(shutil.copy(arguments.parse_args().workspace / "history.db", folder))
        with ranked_lists(file) as lists:
            charts, places = asked_of(lists, atlas=load_atlas(settings.atlas), size=settings.charts.size)
            judged = 0
            for night in lists.nights[: -AHEAD or None]:
                forecaster = learn(charts, lessons(lists, places, night=night, number=settings.forecasts.lessons))
                if forecaster is None:
                    continue
                judged += 1
                for place in places:
                    question = charts.question(place, night)
                    answer = None if question is None else charts.answer(place, night, question)
                    if question is None or answer is None:
                        continue
                    chances = forecaster.chances([question])
                    said.append(chances)
                    happened.append(answer)
                    for task, those in some(question).items():
                        if answer[those].any():
                            scores = {"at random": np.zeros(len(answer)), **rules(question), "the product's": chances}
                            found = (average_precision_score(answer[those], s[those]) for s in scores.values())
                            rows += [(task, name, float(each)) for name, each in zip(scores, found, strict=True)]
    table = pl.DataFrame(rows, schema=["task", "forecast", "precision"], orient="row")
    means = table.group_by("forecast", "task", maintain_order=True).agg(pl.col("precision").mean())
    frame = pl.DataFrame({"said": np.concatenate(said), "came true": np.concatenate(happened)})
    tenth = (pl.col("said") * 10).floor().clip(0, 9).cast(pl.Int64).alias("tenth")
    options = {"tbl_formatting": "MARKDOWN", "tbl_rows": 20, "tbl_width_chars": 120, "float_precision": 3}
    with pl.Config(tbl_hide_dataframe_shape=True, tbl_hide_column_data_types=True, **options):
        print(f"{judged} nights, {len(said)} charts: average precision, its mean over charts")
        print(means.pivot("task", index="forecast", values="precision"))
        print(frame.group_by(tenth).agg(pl.len().alias("forecasts"), pl.all().mean()).sort("tenth"))


if __name__ == "__main__":
    main()
