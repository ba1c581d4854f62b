"""A position anywhere in a request is refused, and is then in no answer and no log (promise 1)."""

import io
import json
import random
import re
import string
from contextlib import redirect_stderr, redirect_stdout
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import h3
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from support.edge import ALENTEJO, LISBON, OCEAN, PORTO, SUVA, Client, publish

from recsys.geography.positions import holds_position, mentions_position, names_position
from recsys.settings import load_settings
from recsys.workspace import Workspace

degrees = st.tuples(st.floats(-90, 90), st.floats(-180, 180)).map(lambda pair: (f"{pair[0]:.5f}", f"{pair[1]:.5f}"))
names = st.sampled_from(
    [
        "lat",
        "latitude",
        "lon",
        "lng",
        "long",
        "longitude",
        "position",
        "pos",
        "geo",
        "coords",
        "gps",
        "location",
        "latlng",
    ]
)
spelled = st.sampled_from(
    [str, str.upper, str.title, "user_{}".format, "x-{}".format, "device.{}".format, "{}[0]".format]
)
pairs = st.sampled_from(
    ["{},{}", "{} {}", "{};{}", "geo:{},{}", "[{}, {}]", "{}/{}", "POINT({} {})", '{{"lat":{},"lng":{}}}']
)


TIMES = re.compile(r'"(?:ms|timestamp)": [^,}]+')  # of the log: 38.7 milliseconds are no latitude


class Listening:
    """The endpoint, with everything that it says: answers, log, standard output."""

    def __init__(self) -> None:
        self.folder = TemporaryDirectory()
        workspace = Workspace(Path(self.folder.name) / "workspace").prepare()
        publish(workspace, size=1)
        self.said = io.StringIO()
        self.client = Client(workspace, settings=load_settings())

    def refuses(
        self, method: str, url: str, *, secrets: tuple[str, ...], statuses: tuple[int, ...] = (400,), **options: object
    ) -> None:
        with redirect_stderr(self.said), redirect_stdout(self.said):
            answer = self.client.request(method, url, **options)
        assert answer.status_code in statuses
        assert answer.headers["content-type"] == "application/problem+json"
        everything = TIMES.sub("", self.said.getvalue()) + answer.text + str(answer.headers)
        self.said.seek(0)
        self.said.truncate()
        for secret in secrets:
            assert secret.lstrip("-") not in everything


@pytest.fixture(scope="module")
def listening():
    listening = Listening()
    yield listening
    listening.folder.cleanup()


paths = st.sampled_from(
    ["/v1/regions", "/v1/regions/PT/charts/popular", "/v1/me/trending", "/healthz", "/openapi.json", "/no"]
)


@settings(max_examples=60)
@given(path=paths, name=names, spell=spelled, where=degrees)
def test_a_parameter_called_after_a_position_is_refused(listening: Listening, path, name, spell, where) -> None:
    listening.refuses("GET", path, params={spell(name): where[0]}, secrets=where[:1])
    listening.refuses("GET", path, params={spell(name): "7"}, secrets=())


@settings(max_examples=60)
@given(path=paths, name=st.sampled_from(["q", "cell", "limit", "x", ""]), pair=pairs, where=degrees)
@example(path="/v1/regions", name="q", pair="{},{}", where=("0.00000", "-0.00000"))
def test_a_parameter_that_holds_a_position_is_refused(listening: Listening, path, name, pair, where) -> None:
    text = pair.format(*where)
    listening.refuses("GET", path, params={name: text}, secrets=(text,))
    listening.refuses("GET", path, params={name: quote(quote(text, safe=""), safe="")}, secrets=(text,))
    listening.refuses("GET", path, params={where[0]: where[1]}, secrets=where)
    listening.refuses("GET", path, params={name: where[0]}, secrets=where[:1])


@settings(max_examples=40)
@given(where=degrees, pair=st.sampled_from(["{},{}", "{};{}", "{} {}"]))
def test_a_path_that_holds_a_position_is_refused(listening: Listening, where, pair) -> None:
    text = pair.format(*where)
    for path in (
        f"/v1/regions/{quote(text)}/charts/popular",
        f"/{quote(text)}",
        f"/v1/regions/{where[0]}/charts/popular",
    ):
        listening.refuses("GET", path, secrets=where)


@settings(max_examples=40)
@given(path=paths, name=names, where=degrees, pair=st.sampled_from(["{},{}", "{}; {}", "{} {}", "geo:{},{}"]))
def test_a_header_that_holds_a_position_is_refused(listening: Listening, path, name, where, pair) -> None:
    text = pair.format(*where)
    for header in (f"X-{name}", f"App-{name.title()}", name, f"X-User-{name}"):
        listening.refuses("GET", path, headers={header: where[0]}, secrets=where[:1])
    for header in ("X-Where", "Referer", "User-Agent", "Accept", "Authorization", "Cookie", "From"):
        listening.refuses("GET", path, headers={header: text}, secrets=(text,))
    for header in ("Referer", "Cookie"):
        listening.refuses("GET", path, headers={header: f"https://maps.test/?lat={where[0]}"}, secrets=where[:1])


@settings(max_examples=20)
@given(path=paths, where=degrees, method=st.sampled_from(["GET", "POST", "PUT", "DELETE", "PATCH"]))
def test_a_body_that_holds_a_position_is_refused(listening: Listening, path, where, method) -> None:
    position = {"latitude": float(where[0]), "longitude": float(where[1])}
    # Where there is no such request at all, that is what is said: of its body nothing is read.
    statuses = (400,) if method == "GET" else (401, 404, 405)
    listening.refuses(method, path, json=position, secrets=where, statuses=statuses)
    listening.refuses(method, path, data={"lat": where[0]}, secrets=where[:1], statuses=statuses)

    async def chunks():
        yield json.dumps(position).encode()

    listening.refuses(method, path, content=chunks(), secrets=where, statuses=statuses)


@settings(max_examples=40)
@given(point=st.tuples(st.floats(-90, 90), st.floats(-180, 180)), resolution=st.integers(6, 15), upper=st.booleans())
def test_a_cell_that_is_too_fine_is_refused_wherever_it_stands(listening: Listening, point, resolution, upper) -> None:
    cell = h3.latlng_to_cell(*point, resolution)
    shown = cell.upper() if upper else cell
    for url in (f"/v1/me/trending?cell={shown}", f"/v1/regions?q={shown}", f"/v1/regions/{shown}/charts/popular"):
        listening.refuses("GET", url, secrets=(shown,))


@pytest.mark.parametrize(
    "text",
    [
        "38.71667",
        "38,71667",
        "-9.1",
        "+38.7 / -9.1",
        "38 -9",
        "38;9",
        "38°43'N",
        "N38 43 W9 8",
        "38n 9w",
        "38N9W",
        "38º43",
        "３８．７",  # full-width digits
        "٣٨٫٧",  # Arabic digits
        "38%2E7",
        "38%252E7",
        "3.87e1",
        "lat=38",
        "lng: 9",
        '{"longitude": 9}',
        "at 38.71",
        "place38.716",
        "(-9.1",
        "38.7;9.1",
        "38.7/9.1",
        "38/-9",
        "38,-9",
        "38|9",
        "387166700,-91333300",  # millionths
        "+3843-00908/",  # ISO 6709
        "2026-11-28 38.71",
        "2026-11,38.71,-9.13",
    ],
)
def test_degrees_are_recognised_in_every_writing(text: str) -> None:
    assert holds_position(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Lisboa",
        "28 de Noviembre",
        "Zürich (Kreis 7) / Witikon",
        "100 Mile House",
        "50",
        "PT",
        "/v1/regions",
        "Saint-Denis",
        "1º de Maio",
        LISBON,
        PORTO,
        SUVA,
        ALENTEJO,
        OCEAN,
        h3.cell_to_parent(LISBON, 0),
    ],
)
def test_names_and_coarse_cells_are_no_positions(text: str) -> None:
    assert not holds_position(text)


@pytest.mark.parametrize(
    "text",
    [
        "2026-11",
        "2026-11-28",
        "2026-11-28T22:17:16.250Z",
        "28.11.2026",
        "2026/11/28",
        "11/28/2026",
        "22:17",
        "Km 12.5",
        "v1.2",
        "1.2.3",
        "192.0.2.60",
        "spring-24-7",
        "a1-2_b3-4",
        "winter_26_1",
        "1999.99",
        "PAZXh0bgNhZW0CMTEAAR1-2_9mw_aem_4B-7x3-9",
        "Cj0KCQiA3-2_5BhD8-9ARIsAKp4-1_0w3E",
    ],
)
def test_dates_versions_and_opaque_words_of_shared_links_are_no_positions(text: str) -> None:
    assert not holds_position(text)


def test_links_that_others_have_lengthened_pass_and_coordinates_among_them_do_not(listening: Listening) -> None:
    """Words of click trackers are base64url of random bytes, or look so; the seed is fixed and printed."""
    seed, letters = 11, string.ascii_letters + string.digits + "-_"
    print(f"seed {seed}")
    rng = random.Random(seed)
    words = ["".join(rng.choices(letters, k=90)) for _ in range(6_000)]
    refused = [word for word in words if holds_position(word)]
    print(f"{len(refused)} of {len(words)} are refused")
    assert len(refused) <= 6, refused
    link = "/?place=PT&utm_campaign=2026-11&utm_term=24-7&fbclid=IwAR1-2_9mw3-9&gclid=Cj0KCQiA3-2_5BhD8-9"
    assert listening.client.get(link).status_code == 200
    for more in ("&utm_term=38.7167,-9.1333", "&ref=38.7167", "&x=38%20-9", "&where=geo:38.7,-9.1", "&utm_lat=7"):
        listening.refuses("GET", link + more, secrets=("38.7", "-9.1"))


def test_a_header_that_holds_a_position_is_named_and_not_repeated(listening: Listening) -> None:
    def detail(name: str, value: str) -> str:
        with redirect_stderr(listening.said):
            return str(listening.client.get("/v1/regions", headers={name: value}).json()["detail"])

    assert detail("X-Geo-Country", "PT").startswith("the header x-geo-country carries a position")
    assert detail("X-Where", "38.7167,-9.1333").startswith("the header x-where carries a position")
    assert detail("X-Lat-38.7167", "1").startswith("a header carries a position")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        (
            "User-Agent",
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        ),
        ("User-Agent", "MyApp/5.12 (Android 14; Pixel 8; 2.75)"),
        ("Accept", "text/html,application/xml;q=0.95,image/webp;q=0.90,*/*;q=0.85"),
        ("Accept-Language", "pt-PT,pt;q=0.9,en;q=0.75"),
        ("X-Forwarded-For", "10.20.30.40, 10.20.30.50"),
        ("Forwarded", "for=192.0.2.60;proto=http;by=203.0.113.43"),
        ("If-Modified-Since", "Sat, 31 Oct 2026 06:00:00 GMT"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("Sec-GPC", "1"),
        ("Host", "127.0.0.1:8000"),
    ],
)
def test_ordinary_headers_are_no_positions(name: str, value: str) -> None:
    assert not names_position(name)
    assert not mentions_position(value)


@pytest.mark.parametrize(
    "name", ["q", "limit", "cell", "platform", "belong", "translation", "lonely", "gossip", "posture"]
)
def test_ordinary_names_are_no_positions(name: str) -> None:
    assert not names_position(name)


@pytest.mark.parametrize(
    "name",
    [
        "LAT",
        "Lng",
        "userLat",
        "user_latitude",
        "geo.lon",
        "coords[0]",
        "l%61t",
        "ｌａｔ",
        "CF-IPLatitude",
        "myLongitudeValue",
    ],
)
def test_names_of_positions_are_recognised_in_every_writing(name: str) -> None:
    assert names_position(name)
