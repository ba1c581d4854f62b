"""The pages in their languages: which one, all texts in each, numbers and dates as they are written there."""

import json
import re
import shutil
import subprocess
from collections import Counter
from datetime import date
from decimal import Decimal
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from babel.messages.catalog import Message as Entry
from support.edge import LISBON, Client, publish
from support.lines import told

from pipelines.write_languages import brought_up_to_date
from recsys.artifacts.reasons import reason
from recsys.messages import Country, Message, counted, recognised, said, sentences
from recsys.serving.pages import negotiation
from recsys.serving.pages.words import CATALOGUES, LANGUAGES, catalogue, script_of, words_in
from recsys.settings import Settings
from recsys.workspace import Workspace

OTHERS = [language for language in LANGUAGES if language != "en"]
SAMPLES = [
    "/",
    f"/?place={LISBON}",
    "/?place=PT&chart=local",
    "/?q=lis",
    "/?q=nothing",
    "/me",
    "/licences",
    "/transparency",
]


@pytest.fixture
def client(workspace: Workspace, settings: Settings) -> Client:
    publish(workspace)
    return Client(workspace, settings=settings)


# The catalogues


@pytest.mark.parametrize("language", OTHERS)
def test_a_catalogue_has_all_texts_and_no_others(language: str) -> None:
    """What templates, scripts and messages say, and where; `make languages` writes it so."""
    file = CATALOGUES / f"{language}.po"
    assert file.read_bytes().decode() == brought_up_to_date(language).decode()
    assert sorted(path.stem for path in CATALOGUES.iterdir()) == sorted(OTHERS)


@pytest.mark.parametrize("language", OTHERS)
def test_every_text_is_translated_with_the_same_parts(language: str) -> None:
    found = catalogue(language)
    entries = [each for each in found if each.id]
    assert len(entries) > 300
    assert [each.id for each in entries if each.fuzzy or not all(texts(each.string))] == []
    assert [each.id for each in entries if each.pluralizable and len(each.string) != found.num_plurals] == []
    assert [each.id for each in entries if not has_the_same_parts(each)] == []


def texts(of: str | tuple[str, ...] | list[str]) -> list[str]:
    return [of] if isinstance(of, str) else [*of]


def has_the_same_parts(entry: Entry) -> bool:
    """What is filled in, and markup: of the form for many, as the one for one need not name its number."""
    parts = Counter(PARTS.findall(texts(entry.id)[-1]))
    least = parts - Counter({part: 1 for part in parts if part in ("{n}", "%(nights)s", "%(places)s", "%(more)s")})
    forms = [Counter(PARTS.findall(each)) for each in texts(entry.string)]
    return forms[-1] == parts and all(least <= each <= parts for each in forms)


PARTS = re.compile(r"%\(\w+\)s|\{\w+\}|</?\w+[^>]*>|%%")


# Which language


@pytest.mark.parametrize(
    ("accepted", "language"),
    [
        ("", "en"),
        ("de", "de"),
        ("de-AT, en;q=0.9", "de"),
        ("pt-BR,pt;q=0.9,en;q=0.8", "pt"),
        ("pt-PT", "pt"),
        ("en;q=0.5, ja;q=0.8", "ja"),
        ("nb, fr-CH;q=0.5", "fr"),
        ("zh-Hant-TW, *;q=0.1", "en"),
        ("de;q=0, es;q=0.1", "es"),
        ("*", "en"),
        ("nonsense;;q=x,,", "en"),
    ],
)
def test_the_browsers_first_language_that_is_ours_is_the_pages(client: Client, accepted: str, language: str) -> None:
    answer = client.get("/licences", headers={"Accept-Language": accepted})
    assert answer.headers["content-language"] == language
    assert f'<html lang="{language}">' in answer.text


def test_a_link_comes_before_what_was_chosen_and_that_before_the_browser(client: Client) -> None:
    headers = {"Accept-Language": "ja", "Cookie": "other=1; language=fr"}
    for path, language in (
        ("/licences?language=de", "de"),
        ("/licences?language=pt-BR", "pt"),
        ("/licences?language=xx", "fr"),
        ("/licences", "fr"),
    ):
        assert client.get(path, headers=headers).headers["content-language"] == language
    assert client.get("/licences", headers={**headers, "Cookie": "language=xx"}).headers["content-language"] == "ja"


def test_no_answer_sets_a_cookie(client: Client) -> None:
    for path in SAMPLES:
        assert "set-cookie" not in client.get(f"{path}{'&' if '?' in path else '?'}language=de").headers


@pytest.mark.parametrize("path", [*SAMPLES, "/nothing", "/?place=nowhere", "/?lat=1"])
def test_a_page_says_what_decides_its_language(client: Client, path: str) -> None:
    headers = {"Accept": "text/html", "Accept-Language": "es"}
    answer = client.get(path, headers=headers)
    assert answer.headers["vary"].removeprefix("Accept, ") == "Accept-Encoding, Accept-Language, Cookie"
    assert answer.headers["content-language"] == "es"
    assert client.get(path, headers={"Accept": "text/html"}).headers.get("etag", "") != answer.headers.get("etag")


def test_a_language_is_remembered_for_few_headers_alone() -> None:
    assert negotiation._accepted.cache_info().maxsize == 256


def test_the_switch_leads_to_the_same_page_in_each_language(client: Client) -> None:
    text = client.get("/?q=lis&utm_source=mail").text
    links = re.findall(r'<a href="([^"]*)" hreflang="(\w+)" lang="\2"( aria-current="true")?>([^<]*)</a>', text)
    assert [(code, name) for _, code, _, name in links] == [*LANGUAGES.items()]
    assert [(href, current) for href, _, current, _ in links][:2] == [
        ("?q=lis&amp;language=en", ' aria-current="true"'),
        ("?q=lis&amp;language=de", ""),
    ]
    assert "<h1>Gesucht: „lis“</h1>" in client.get("/?q=lis&language=de").text
    assert 'href="/places/portugal-PT/local/?language=de"' in client.get("/?place=PT&chart=local").text


# What is said


@pytest.mark.parametrize("path", SAMPLES)
def test_a_page_in_german_holds_no_text_in_english(client: Client, path: str) -> None:
    english, german = (words_between_tags(client.get(path, headers={"Accept-Language": x}).text) for x in ("en", "de"))
    said_in_english = {text for each in catalogue("de") if each.id for text in texts(each.id)}
    kept = {text for text in said_in_english if words_in("de").say(said_as_it_is(text)) == text}
    assert len(german) > 10
    assert {text for text in german & english if text in said_in_english - kept} == set()


def said_as_it_is(text: str) -> str:
    return said(text.replace("{", "{{").replace("}", "}}"))


def words_between_tags(html: str) -> set[str]:
    return {text.strip() for text in re.findall(r">([^<>]+)<", html)}


def test_what_can_be_allowed_is_explained_in_the_listeners_language(client: Client) -> None:
    text = client.get("/me", headers={"Accept-Language": "de"}).text
    assert text.count("Deine genaue Position kommt hier nie an") == 3  # signed out, beside near me, and for the switch
    assert 'data-local_trends="In meiner Nähe"' in text
    assert "Aufbewahrt: 35 Nächte." in text


def test_a_message_is_english_and_can_be_said_again() -> None:
    night = date(2026, 10, 31)
    told = sentences(
        counted("{n} night", "{n} nights", 1200),
        said("{place}: now rank {rank}.", place=said("the world"), rank=Decimal("2.50")).begun("upper"),
        "",
        said("Songs of {night} in {places}.", night=night, places=("A", "B")),
    )
    assert told == "1,200 nights The world: now rank 2.50. Songs of 2026-10-31 in A or B."
    assert json.loads(json.dumps({"why": told})) == {"why": told}
    unbroken = "31.\xa0Oktober\xa02026"
    assert words_in("de").say(told).startswith("1.200 Nächte Die ganze Welt: now rank 2,50.")
    assert words_in("de").say(told).endswith(f"Songs of {unbroken} in A oder B.")


def test_what_is_filled_in_is_neither_a_template_nor_markup(client: Client) -> None:
    assert words_in("de").say(said("{place}: {told}", place="{told}", told="%(x)s")) == "{told}: %(x)s"
    text = client.get("/?q=%7Bplace%7D%25(query)s%3Cb%3E&language=de").text
    assert "<h1>Gesucht: „{place}%(query)s&lt;b&gt;“</h1>" in text


def test_a_text_that_came_back_is_recognised_by_its_template() -> None:
    found = recognised("worst 28 nights so far", ["last night", "worst {n} nights so far"])
    assert isinstance(found, Message)
    assert words_in("de").say(found) == "schlechteste 28 Nächte bisher"
    assert type(recognised("of another version", ["last night"])) is str


def test_numbers_dates_and_countries_are_written_as_in_the_language() -> None:
    day, number, country = date(2026, 3, 1), Decimal("12345.50"), Country.of("Ivory Coast", "CI")
    written = {each: (words_in(each).day(day), words_in(each).number(number)) for each in LANGUAGES}
    assert written["en"] == ("1\xa0March\xa02026", "12,345.50")
    assert written["de"] == ("1.\xa0März\xa02026", "12.345,50")
    assert written["fr"] == ("1\xa0mars\xa02026", "12\u202f345,50")
    assert written["ja"] == ("2026年3月1日", "12,345.50")
    assert words_in("en").say(country) == "Ivory Coast"
    assert words_in("fr").say(country) == "Côte d’Ivoire"
    assert words_in("de").say(Country.of("Nowhere", "XX!")) == "Nowhere"


# What scripts say


@pytest.mark.parametrize("language", OTHERS)
def test_scripts_get_the_words_that_they_use_and_no_others(client: Client, language: str) -> None:
    answer = client.get(f"/assets/words-{language}.js")
    assert answer.headers["content-type"] == "text/javascript; charset=utf-8"
    words = json.loads(re.fullmatch(r"globalThis\.words=(\{.*\});globalThis\.plural=n=>\+\([^;]*\);\n", answer.text)[1])  # type: ignore[index]
    assert {"Link copied", "Close to what you play.", "About {n} contributing listener a night"} <= words.keys()
    assert not {"Licences", "where a play happened"} & words.keys()
    assert f'<script defer src="/assets/words-{language}.js">' in client.get(f"/me?language={language}").text


def test_there_are_no_words_of_english_and_of_languages_that_are_not_ours(client: Client) -> None:
    assert "words-" not in client.get("/me").text
    for name in ("words-en.js", "words-xx.js", "words-.js", "de.po", "languages/de.po"):
        assert client.get(f"/assets/{name}").status_code == 404


@pytest.mark.parametrize("language", LANGUAGES)
def test_scripts_give_the_reasons_that_the_server_gives(language: str) -> None:
    """Of every kind of line: a script says what the server says, to the letter."""
    lines = [*every_kind_of_line()]
    items = [told(line) | {"source": {"chart": line["chart"], "place": line["place"]}} for line in lines]
    found = said_by_scripts(f'{json.dumps(items)}.map((item) => reasons.reasonOf(item, ""))', language=language)
    assert found == [
        words_in(language).say(reason(told(line), chart=line["chart"], place=line["place"])) for line in lines
    ]


def said_by_scripts(expression: str, *, language: str) -> Any:
    """What an expression of our modules `reasons` and `words` comes to in a page of a language."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("there is no node on this machine")
    program = f"""
        globalThis.document = {{ documentElement: {{ lang: {json.dumps(language)} }} }};
        {"" if language == "en" else script_of(language).decode()}
        const reasons = await import({json.dumps((CATALOGUES.parent / "reasons.js").as_uri())});
        const words = await import({json.dumps((CATALOGUES.parent / "words.js").as_uri())});
        console.log(JSON.stringify({expression}));
    """
    ran = subprocess.run([node, "--no-warnings", "--input-type=module"], input=program, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
    return json.loads(ran.stdout)


@pytest.mark.parametrize("language", ["en", "fr"])
def test_a_script_makes_what_writes_numbers_days_and_countries_once(language: str) -> None:
    """To make one takes far longer than to use it."""
    counted_ = """(() => {
        let made = 0;
        for (const name of ["NumberFormat", "DateTimeFormat", "DisplayNames"]) {
            Intl[name] = new Proxy(Intl[name], { construct: (of, given) => { made++; return new of(...given); } });
        }
        const said = () => [words.number(2.25, 1), words.day("2026-10-31"), words.country("Portugal", "PT")];
        const first = said(), once = made;
        return [first.join() === said().join(), once, made];
    })()"""
    assert said_by_scripts(counted_, language=language) == [True, *([2, 2] if language == "en" else [3, 3])]


@pytest.mark.parametrize("language", OTHERS)
def test_a_plural_is_a_number_whatever_its_rule_is_made_of(language: str) -> None:
    assert script_of(language).decode().endswith(f"globalThis.plural=n=>+({catalogue(language).plural_expr});\n")


@pytest.mark.parametrize(
    ("used", "allowed", "of_list", "of_twin"),
    [
        (
            False,
            False,
            "Your plays were not used.",
            "Your plays were not used, so these are simply the largest places.",
        ),
        (
            False,
            True,
            "You allow your plays to choose, and none are known yet that would say anything.",
            "You allow your plays to choose, and none are known yet that would say anything: the largest places.",
        ),
        (
            True,
            True,
            "You allow your plays to choose, so what is close to them comes first.",
            "You listen like nowhere ",
        ),
    ],
)
@pytest.mark.parametrize(("nights", "over"), [(1, "night"), (7, "7 nights")])
def test_a_page_says_of_a_list_what_the_answer_says(
    used: bool, allowed: bool, of_list: str, of_twin: str, nights: int, over: str
) -> None:
    """Over how many nights, though there is no line or all of them rise, and whether the plays may choose."""
    world = {"id": "world", "name": "World", "country": None, "level": "world", "parent": None}
    items = [{"nights": 3}] if allowed else []
    answer = {"region": world, "scope": "world", "as_of": "2026-10-31", "nights": nights, "items": items}
    facts = json.dumps({**answer, "location_used": False, "history_used": used, "surely": "nowhere", "places": []})
    why = said_by_scripts(
        f"[reasons.whyOf({facts}, {json.dumps(allowed)}), reasons.whyTwin({facts}, {json.dumps(allowed)})]",
        language="en",
    )
    assert f"over the {over} to 31\xa0October\xa02026." in why[0]
    assert why[0].endswith(f" {of_list}")
    assert why[1].startswith(of_twin)


def every_kind_of_line() -> list[dict[str, Any]]:
    halves = [(2.25, 0.125, 12.5), (10.5, 0.995, 99.5), (1.15, 0.145, 125.0), (9.95, 1.05, 104.5), (2.5, 1.45, 995.0)]
    sizes = [*halves, (0.5, 0.2, 0.9), (1.1, 0.3, 1.9), (84.2, 61.0, 99.6), (123_456.0, 99_000.0, 150_000.0)]
    lifts = [*halves, (3.14, 2.24, 14.2), (0.5, 0.25, 0.75), (1.2, 0.9, 1.5)]
    kinds = [("popular", "", ""), *product(("rising",), ("mover", "debut"), ("surely", "likely", "guess"))]
    kinds += [*product(("local",), ("",), ("surely", "likely", "guess"))]
    return [
        {
            **dict(zip(("estimate", "low", "high"), size, strict=True)),
            **dict(zip(("lift", "lift_low", "lift_high"), lift, strict=True)),
            **{"chart": chart, "kind": kind, "grade": grade, "place": place, "nights": nights},
        }
        for size, lift, (chart, kind, grade) in product(sizes, lifts, kinds)
        for place, nights in (("PT", 7), ("world", 1))
    ]


def test_the_catalogues_are_no_code_and_ship_with_the_package() -> None:
    """What hatch packs is what is not ignored; nothing compiled lies beside the catalogues."""
    ignored = (Path(__file__).parents[2] / ".gitignore").read_text().split()
    assert not {"*.po", "languages/", "recsys/serving/pages/languages/"} & {*ignored}
    assert {path.suffix for path in CATALOGUES.iterdir()} == {".po"}
