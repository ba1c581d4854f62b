"""The served model by itself: it answers for anybody, and keeps nobody."""

import asyncio
import pickle
import warnings
from collections.abc import Callable

import httpx
import numpy as np
import pandas as pd
import polars as pl
import pytest
from mlflow.models import Model
from support.listening import world

from pipelines.mlflow import pyfunc_model
from pipelines.mlflow.pyfunc_model import RefusedRequest, Registered
from pipelines.mlflow.tracking import signature_of
from recsys.errors import InputError
from recsys.models import collaborative
from recsys.models.collaborative import learn_and_train, train
from recsys.models.deployable import Served, fit_served
from recsys.models.interactions import gather
from recsys.models.splitting import split_rows
from recsys.settings import load_settings

SETTINGS = load_settings(
    overrides={
        "models": {
            "factors": 8,
            "iterations": 5,
            "min_listeners_per_track": 3,
            "min_listeners_per_region": 20,
            "validation_nights": 3,
            "test_nights": 3,
            "trend_shrinkage": 5.0,
        }
    }
).models
Asked = Callable[[dict[str, object]], httpx.Response]
PARTS = ("part-000", "part-001")


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    return world(3, listeners=300, tracks=60, parts=2, nights=14, plays=60)


@pytest.fixture(scope="module")
def served(rows: pl.DataFrame) -> Served:
    return fit_served(rows, settings=SETTINGS, parents={})


@pytest.fixture(scope="module")
def registered(served: Served) -> Registered:
    return Registered(served, frozenset(PARTS))


def tracks_of(registered: Registered, *listens: tuple[object, ...], limit: int = 10) -> list[str]:
    frame = pd.DataFrame(list(listens), columns=["track_id", "plays", "nights_ago", "part"])
    return list(registered.predict(frame, {"limit": limit})["track_id"])


def test_who_it_was_fitted_on_gets_the_list_of_the_fitted_model(rows: pl.DataFrame, served: Served) -> None:
    known = gather(rows, settings=SETTINGS, parents={})
    fitted = served.model.fold_in(known).scores(np.arange(known.shape[0]))
    for row in (0, 100, 250):
        own = rows.filter(pl.col("listener") == known.listeners[row])
        unheard = np.where(known.confidence[[row]].toarray()[0] != 0, -np.inf, fitted[row])
        best = known.tracks.gather(np.lexsort((np.arange(len(unheard)), -unheard))[:5]).to_list()
        assert [track for track, _ in served.answer(own, limit=5)] == best


def test_a_request_is_answered_as_the_same_contributions_are(rows: pl.DataFrame, registered: Registered) -> None:
    own = rows.filter(pl.col("listener") == rows["listener"][0])
    last = own["night"].max()
    listens = own.select("track_id", "plays", (last - pl.col("night")).dt.total_days().alias("nights_ago"), "part")
    answer = registered.predict(listens.to_pandas(), {"limit": 5})
    assert list(answer["track_id"]) == [track for track, _ in registered.served.answer(own, limit=5)]
    assert list(answer["rank"]) == [1, 2, 3, 4, 5]
    assert not set(answer["track_id"]) & set(own["track_id"])


def test_plays_nights_and_part_may_be_left_out(registered: Registered) -> None:
    alone = registered.predict(pd.DataFrame({"track_id": ["t00001", "t00002"]}), {"limit": 10})
    told = tracks_of(registered, ("t00001", 1, 0, None), ("t00002", 1, 0, None))
    assert list(alone["track_id"]) == told
    assert len(registered.predict(pd.DataFrame({"track_id": ["t00001"]}))) == 20


def test_without_a_play_a_place_has_its_own_list(registered: Registered) -> None:
    here, there = (tracks_of(registered, (None, None, None, part)) for part in PARTS)
    nowhere = registered.predict(pd.DataFrame({"track_id": []}))
    assert here != there
    assert (len(here), len(there), len(nowhere)) == (10, 10, 20)
    assert tracks_of(registered, ("never heard of", 3, 0, PARTS[0])) == here


@pytest.mark.parametrize(
    "listens",
    [
        [("t00001", 1, 0, "part-000"), ("t00002", 1, 0, "part-001")],
        [("t00001", 1, 0, "Atlantis")],
        [("t00001", 0, 0, None)],
        [("t00001", 1, -1, None)],
        [("t00001", 1_000_001, 0, None)],
        [("t00001", 2**40, 0, None)],
        [("t00001", 1, 36_526, None)],
        [("t00001", 1, 800_000, None)],
    ],
)
def test_what_does_not_fit_is_refused_without_its_values(registered: Registered, listens: list[tuple]) -> None:
    with pytest.raises(RefusedRequest) as refused:
        tracks_of(registered, *listens)
    assert "Atlantis" not in refused.value.message
    assert refused.value.get_http_status_code() == 400


@pytest.mark.parametrize(
    "asked",
    [["t00001", "t00002"], [], "t00001", np.array(["t00001"]), pd.DataFrame(["t00001"]), pd.Series(["t00001"])],
    ids=["list", "empty", "text", "array", "frame without names", "series"],
)
def test_a_plain_list_is_refused_and_not_answered_as_nobody(registered: Registered, asked: object) -> None:
    with pytest.raises(RefusedRequest, match="track_id"):
        registered.predict(asked)  # type: ignore[arg-type]


def test_requests_that_are_asked_together_are_answered_as_each_alone(registered: Registered) -> None:
    print("seed", seed := 16)
    drawn = np.random.default_rng(seed)
    alone = {
        f"r{number}": pd.DataFrame(
            {
                "track_id": drawn.choice([f"t{track:05d}" for track in range(80)], size=size),  # some nobody knows
                "plays": drawn.integers(1, 5, size=size),
                "nights_ago": drawn.integers(0, 10, size=size),
                "part": [None if drawn.random() < 0.3 else drawn.choice(PARTS)] * size,
            }
        )
        for number, size in enumerate([1, 5, 12, 2, *[3] * 70])  # more than are scored at once
    }
    together = pd.concat([frame.assign(request=name) for name, frame in alone.items()]).sample(
        frac=1, random_state=seed
    )
    answer = registered.predict(together, {"limit": 7})
    assert list(answer.columns) == ["request", "rank", "track_id", "score"]
    assert list(answer["request"].unique()) == list(together["request"].unique())
    for name, frame in alone.items():
        one = registered.predict(frame, {"limit": 7})
        mine = answer[answer["request"] == name].reset_index(drop=True)
        assert list(mine["track_id"]) == list(one["track_id"])
        assert list(mine["rank"]) == [1, 2, 3, 4, 5, 6, 7]
        np.testing.assert_allclose(mine["score"], one["score"], rtol=1e-5)


@pytest.fixture(scope="module")
def endpoint(registered: Registered) -> Asked:
    """MLflow's own application of a registered model, as `mlflow models serve` starts it."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*AnyType")  # of its own types, when it first loads this part
        from mlflow.pyfunc import PyFuncModel, scoring_server  # noqa: PLC0415
    described = Model(signature=signature_of(pyfunc_model))
    described.add_flavor("python_function", loader_module=pyfunc_model.__name__)
    transport = httpx.ASGITransport(scoring_server.init(PyFuncModel(described, registered)))

    async def ask(body: dict[str, object]) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://scoring") as client:
            return await client.post("/invocations", json=body)

    return lambda body: asyncio.run(ask(body))


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"inputs": ["t00001", "t00002"]}, "track_id"),
        ({"dataframe_records": [{"part": "part-000"}]}, "track_id"),
        ({"dataframe_records": [{"track_id": "t00001", "part": "Atlantis"}]}, "the part is none of the atlas. Name a"),
        ({"dataframe_records": [{"track_id": "t00001", "plays": 0}]}, "plays are 1 to 1,000,000"),
        ({"dataframe_records": [{"track_id": "t00001", "plays": 2**40}]}, "plays are 1 to 1,000,000"),
        ({"dataframe_records": [{"track_id": "t00001", "nights_ago": 800_000}]}, "nights_ago are 0 to 36,525"),
        ({"dataframe_records": [{"track_id": "t00001"}], "params": {"limit": 0}}, "limit is 1 or more"),
    ],
)
def test_over_http_what_does_not_fit_is_a_bad_request_with_the_reason(
    endpoint: Asked, asked: dict[str, object], told: str
) -> None:
    answer = endpoint(asked)
    assert answer.status_code == 400
    assert told in answer.json()["message"]
    assert "Traceback" not in answer.text


def test_over_http_many_requests_are_answered(endpoint: Asked) -> None:
    asked = [{"track_id": f"t{track:05d}", "request": name} for name, track in (("b", 1), ("a", 2), ("b", 3))]
    answer = endpoint({"dataframe_records": asked, "params": {"limit": 2}})
    assert answer.status_code == 200
    assert [(each["request"], each["rank"]) for each in answer.json()["predictions"]] == [
        ("b", 1),
        ("b", 2),
        ("a", 1),
        ("a", 2),
    ]


def test_the_parts_of_two_requests_may_differ_and_those_of_one_not(registered: Registered) -> None:
    frame = pd.DataFrame({"track_id": ["t00001", "t00002"], "part": list(PARTS), "request": ["a", "b"]})
    assert len(registered.predict(frame, {"limit": 3})) == 6
    with pytest.raises(RefusedRequest, match="several parts"):
        registered.predict(frame.assign(request="a"))
    with pytest.raises(RefusedRequest, match="no request"):
        registered.predict(frame.assign(request=["a", None]))


def test_the_most_plays_and_nights_are_answered(registered: Registered) -> None:
    answer = tracks_of(registered, ("t00001", 1_000_000, 36_525, None), ("t00002", 1_000_000, 0, None))
    assert len(answer) == 10


@pytest.mark.parametrize("limit", [0, -1])
def test_a_limit_below_one_is_refused(registered: Registered, limit: int) -> None:
    with pytest.raises(RefusedRequest, match="limit is 1 or more"):
        tracks_of(registered, ("t00001", 1, 0, None), limit=limit)


@pytest.mark.parametrize("limit", [10**5, 2**62])
def test_a_limit_above_all_tracks_is_answered_with_all_unheard_ones(registered: Registered, limit: int) -> None:
    answer = tracks_of(registered, ("t00001", 1, 0, None), limit=limit)
    assert sorted([*answer, "t00001"]) == registered.served.tracks.to_list()


def test_only_what_is_served_is_trained(rows: pl.DataFrame, served: Served, monkeypatch: pytest.MonkeyPatch) -> None:
    own = rows.filter(pl.col("listener") == rows["listener"][0])
    split = split_rows(rows, settings=SETTINGS)
    assert split is not None
    parameters = learn_and_train(split.train, split.validation, settings=SETTINGS).parameters
    whole = train(gather(rows, settings=SETTINGS, parents={}), parameters=parameters, settings=SETTINGS)["blend"]
    asked = gather(own, settings=SETTINGS, parents={}, tracks=served.tracks)
    scores = whole.fold_in(asked).scores(np.array([0]))[0]  # type: ignore[attr-defined]
    calls: list[str] = []
    monkeypatch.setattr(collaborative, "fit_alone", lambda *_, **__: calls.append("local"))
    answer = fit_served(rows, settings=SETTINGS, parents={}).answer(own, limit=5)
    assert calls == []
    assert [score for _, score in answer] == [scores[served.tracks.to_list().index(track)] for track, _ in answer]
    assert answer == served.answer(own, limit=5)


def test_lists_keep_the_share_of_a_country_s_own_artists_where_origins_are_known(rows: pl.DataFrame) -> None:
    """Of all listeners of a country together; listeners whose place nobody knows get the same scores as ever."""
    own = rows["track_id"].unique().sort()[::4].to_list()
    parents, origins = dict.fromkeys(PARTS, "PT"), dict.fromkeys(own, "PT")
    off, on = (
        fit_served(rows, settings=settings, parents=parents, origins=origins)
        for settings in (
            SETTINGS.model_copy(update={"local_share": share, "ranker": "logistic"}) for share in (False, True)
        )
    )
    is_own = pl.col("track_id").is_in(own).mean().alias("share")
    played = rows.unique(["listener", "track_id"]).group_by("listener").agg(is_own)["share"].mean()
    gaps = [abs(model.answers(rows, limit=10).select(is_own).item() - played) for model in (off, on)]
    assert gaps[1] < min(0.01, gaps[0])
    strangers = rows.head(50).with_columns(part=pl.lit(None, pl.String))
    assert on.answers(strangers, limit=5).equals(off.answers(strangers, limit=5))


def test_no_listener_is_in_the_fitted_model(rows: pl.DataFrame, served: Served) -> None:
    content = pickle.dumps(served)
    assert [listener for listener in rows["listener"].unique() if listener.encode() in content] == []


def test_too_little_to_learn_from_is_said(rows: pl.DataFrame) -> None:
    with pytest.raises(InputError, match="no track was played by 3 listeners"):
        fit_served(rows.head(2), settings=SETTINGS, parents={})
