"""Numbers as they are said: the words of all numbers below a hundred, in the languages of the page."""

import re
from collections.abc import Iterator, Mapping
from functools import cache

from recsys.geography.positions import holds_position
from recsys.geography.spelling import searchable


def with_digits(text: str, language: str) -> str:
    """Return a text, spelled as :func:`searchable` does, with digits for number words; numbers side by side are one.

    Years and longer numbers are said in parts, as "nineteen eighty four" and "seven one six".
    """
    values, pattern = _spoken(language)
    found = pattern.sub(lambda word: str(values[word[0]]), text)
    return _SIDE_BY_SIDE.sub("", found)


def speaks_position(text: str, language: str) -> bool:
    """Tell whether numbers are said that may be degrees: two with a point in each, or one that reads like some."""
    written, points = _POINTS[language].subn(".", with_digits(searchable(text), language))
    return points > 1 or (points == 1 and holds_position(written))


@cache
def _spoken(language: str) -> tuple[Mapping[str, int], re.Pattern[str]]:
    """Return the words of a language with their numbers, and what finds them, the longest first."""
    values = {searchable(word): number for word, number in _WORDS[language]()}
    longest_first = "|".join(sorted(map(re.escape, values), key=len, reverse=True))
    return values, re.compile(longest_first if language == "ja" else rf"\b(?:{longest_first})\b")


def _english() -> Iterator[tuple[str, int]]:
    yield from _numbered(
        "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
        "seventeen eighteen nineteen"
    )
    ones = "one two three four five six seven eight nine"
    yield from _tens("twenty thirty forty fifty sixty seventy eighty ninety", ones, "{ten} {one}")


def _german() -> Iterator[tuple[str, int]]:
    yield from _numbered(
        "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn "
        "siebzehn achtzehn neunzehn"
    )
    ones = "ein zwei drei vier fünf sechs sieben acht neun"
    yield from _tens("zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig", ones, "{one}und{ten}")


def _spanish() -> Iterator[tuple[str, int]]:
    yield from _numbered(
        "cero uno dos tres cuatro cinco seis siete ocho nueve diez once doce trece catorce quince dieciséis diecisiete "
        "dieciocho diecinueve veinte veintiuno veintidós veintitrés veinticuatro veinticinco veintiséis veintisiete "
        "veintiocho veintinueve"
    )
    ones = "uno dos tres cuatro cinco seis siete ocho nueve"
    yield from _tens("treinta cuarenta cincuenta sesenta setenta ochenta noventa", ones, "{ten} y {one}", first=30)


def _french() -> Iterator[tuple[str, int]]:
    below = (
        "zéro un deux trois quatre cinq six sept huit neuf dix onze douze treize quatorze quinze seize dix_sept "
        "dix_huit dix_neuf"
    )
    ones = "un deux trois quatre cinq six sept huit neuf"
    yield from _numbered(below)
    yield from _tens("vingt trente quarante cinquante soixante", ones, "{ten} {one}")
    for ten, number in (("vingt", 21), ("trente", 31), ("quarante", 41), ("cinquante", 51), ("soixante", 61)):
        yield f"{ten} et un", number
    yield "soixante et onze", 71
    yield "quatre vingts", 80
    for word, number in _numbered(below):
        if number >= 10:
            yield f"soixante {word}", 60 + number
        if number:
            yield f"quatre vingt {word}", 80 + number


def _portuguese() -> Iterator[tuple[str, int]]:
    yield from _numbered(
        "zero um dois três quatro cinco seis sete oito nove dez onze doze treze catorze quinze dezasseis dezassete "
        "dezoito dezanove"
    )
    yield from (("quatorze", 14), ("dezesseis", 16), ("dezessete", 17), ("dezenove", 19))
    ones = "um dois três quatro cinco seis sete oito nove"
    yield from _tens("vinte trinta quarenta cinquenta sessenta setenta oitenta noventa", ones, "{ten} e {one}")


def _japanese() -> Iterator[tuple[str, int]]:
    yield from _numbered("〇 一 二 三 四 五 六 七 八 九 十 十一 十二 十三 十四 十五 十六 十七 十八 十九")
    yield from _tens("二十 三十 四十 五十 六十 七十 八十 九十", "一 二 三 四 五 六 七 八 九", "{ten}{one}")


def _numbered(words: str) -> Iterator[tuple[str, int]]:
    """Yield words that count from zero on."""
    return ((word.replace("_", " "), number) for number, word in enumerate(words.split()))


def _tens(tens: str, ones: str, form: str, *, first: int = 20) -> Iterator[tuple[str, int]]:
    """Yield words for tens from the first on, alone and with ones."""
    for number, ten in enumerate(tens.split(), first // 10):
        yield ten, 10 * number
        yield from ((form.format(ten=ten, one=one), 10 * number + more) for more, one in enumerate(ones.split(), 1))


_SIDE_BY_SIDE = re.compile(r"(?<=\d) (?=\d)")
_POINTS = {
    language: re.compile(rf"(?<=\d) ?(?:{words}) ?(?=\d)")
    for language, words in {
        "en": "point|dot",
        "de": "komma|punkt",
        "es": "coma|punto",
        "fr": "virgule|point",
        "ja": "点|てん",
        "pt": "virgula|ponto",
    }.items()
}
_WORDS = {"en": _english, "de": _german, "es": _spanish, "fr": _french, "ja": _japanese, "pt": _portuguese}
