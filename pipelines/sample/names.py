"""Invented names of artists and titles of tracks, in the flavour of their countries' languages."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np

BAND = 0.35  # share of artists who are bands
ENGLISH = 0.2  # share of titles in English, wherever the artist is from


@dataclass(frozen=True)
class Language:
    """Words from which names are put together, each a string of words apart.

    Parameters
    ----------
    given, starts, ends : tuple of str
        Given names, and beginnings and endings of surnames.
    firsts, seconds : tuple of str
        Words of titles and bands. In ``{a}`` stands a first, in ``{b}`` a second, in ``{c}`` another second.
    bands, titles : tuple of str
        Patterns.
    space : str
        What stands between given name and surname.
    family_first : bool
    """

    given: tuple[str, ...]
    starts: tuple[str, ...]
    ends: tuple[str, ...]
    firsts: tuple[str, ...]
    seconds: tuple[str, ...]
    bands: tuple[str, ...]
    titles: tuple[str, ...]
    space: str = " "
    family_first: bool = False


def artist(country: str, *, rng: np.random.Generator) -> str:
    """Invent an artist of a country (ISO code; English where no language is known)."""
    language = LANGUAGES.get(country, _ENGLISH)
    if rng.random() < BAND:
        return _filled(language, language.bands, rng)
    surname = _one(language.starts, rng) + _one(language.ends, rng)
    names = [_one(language.given, rng), surname]
    return language.space.join(reversed(names) if language.family_first else names)


def title(country: str, *, rng: np.random.Generator) -> str:
    """Invent a title by an artist of a country."""
    language = _ENGLISH if rng.random() < ENGLISH else LANGUAGES.get(country, _ENGLISH)
    return _filled(language, language.titles, rng)


def unused(invent: Callable[[], str], used: set[str]) -> str:
    """Invent until the name is new (after many tries with a numeral, as bands do), and remember it."""
    for tries in count():
        name = invent() if tries < 20 else f"{invent()} {tries - 18}"
        if name not in used:
            used.add(name)
            return name
    raise AssertionError  # count() is endless


def _filled(language: Language, patterns: tuple[str, ...], rng: np.random.Generator) -> str:
    first, (second, third) = _one(language.firsts, rng), _two(language.seconds, rng)
    name = _one(patterns, rng).replace("_", " ").format(a=first, b=second, c=third)
    return name[0].upper() + name[1:]


def _one(words: tuple[str, ...], rng: np.random.Generator) -> str:
    return words[int(rng.integers(len(words)))]


def _two(words: tuple[str, ...], rng: np.random.Generator) -> tuple[str, str]:
    one = int(rng.integers(len(words)))
    other = (one + 1 + int(rng.integers(len(words) - 1))) % len(words)
    return words[one], words[other]


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ENGLISH = Language(
    given=_words(
        "Orla Niall Tadhg Maeve Corin Isla Fenn Della Rowan Tess Marlo Juno Ebba Wren Callum Sorrel Dara Effie"
    ),
    starts=_words("Hal Bram Quill Tarn Ash Wick Fen Mor Cald Pen Lark Dun Ros Thorn"),
    ends=_words("worrow bury ley mane cott ridge stowe field more wick nan lough"),
    firsts=_words(
        "Paper Copper Quiet Winter Northern Borrowed Slow Velvet Hollow Amber Distant Crooked Silver Salt "
        "Second Plastic Sunday Wooden Painted Hidden Tender Electric"
    ),
    seconds=_words(
        "Lanterns Harbour Orchard Windows Letters Static Rooftops Meadow Engines Ferries Mirrors Weather "
        "Gravel Satellites Umbrellas Corridors Kites Postcards Tramlines Blankets Thunder Feathers"
    ),
    bands=_words("The_{a}_{b} {a}_{b} {b}_&_{c} {b}_Society The_{b}_Club"),
    titles=_words(
        "{a}_{b} {b} {b}_and_{c} No_More_{b} {a}_{b}_Again Between_{b} {b}_at_Midnight All_My_{b} Call_It_{b}"
    ),
)
_PORTUGUESE = Language(
    given=_words(
        "Leonor Duarte Inês Tomé Beatriz Vasco Mafalda Simão Joana Rui Teresa Gil Clara Nuno Iara Caio Luana Davi"
    ),
    starts=_words("Alv Tav Mour Sever Carv Ferr Lobat Pinh Queir Barr Sant Vel"),
    ends=_words("elo eiro inho ares oso ande edo uela iais ento"),
    firsts=_words(
        "Farol Rio Noite Carta Jardim Barco Janela Ponte Chuva Festa Cidade Canção Relógio Vento Quintal Maré "
        "Fogueira Estrada Manhã Sombra"
    ),
    seconds=_words(
        "Vidro Sal Papel Outono Cobre Areia Setembro Neblina Açúcar Veludo Ninguém Laranjeira Prata Domingo "
        "Barro Algodão Espuma Cortiça Mel Inverno"
    ),
    bands=_words("{a}_de_{b} {b}_&_{c} Banda_{b} Clube_{b} {a}_Sem_{b}"),
    titles=_words("{a}_de_{b} {a} Sem_{b} {b}_e_{c} {a}_sem_{b} Até_{b} {b},_{c} Só_{b} {a}_e_{b}"),
)
_SPANISH = Language(
    given=_words(
        "Lucía Bruno Alma Iker Nerea Mateo Candela Gael Vera Lautaro Irene Joel Abril Thiago Marta Nico Elena Unai"
    ),
    starts=_words("Monta Valde Carra Ibarra Sola Quina Arra Belmo Torre Zala Echa Lumbre"),
    ends=_words("rcos vega ndía ral tero lba nza rrieta ba nedo"),
    firsts=_words(
        "Faro Río Noche Carta Jardín Barco Ventana Puente Lluvia Fiesta Ciudad Canción Reloj Viento Patio "
        "Marea Hoguera Carretera Mañana Sombra"
    ),
    seconds=_words(
        "Vidrio Sal Papel Otoño Cobre Arena Septiembre Niebla Azúcar Terciopelo Nadie Naranjo Plata Domingo "
        "Barro Algodón Espuma Corcho Miel Invierno"
    ),
    bands=_words("{a}_de_{b} {b}_y_{c} Club_{b} Orquesta_{b} {a}_Sin_{b}"),
    titles=_words("{a}_de_{b} {a} Sin_{b} {b}_y_{c} {a}_sin_{b} Hasta_{b} {b},_{c} Solo_{b} Casi_{b}"),
)
_GERMAN = Language(
    given=_words(
        "Jule Henrik Frieda Malte Thea Ole Ronja Anton Greta Lenz Paula Emil Wanda Kaspar Ida Joris Nele Bruno"
    ),
    starts=_words("Hol Brand Wies Krahn Stell Mors Ehr Tann Lüd Seif Rohr Bär"),
    ends=_words("mert enthal wald beck mann ing hauer ström ner hoff"),
    firsts=_words(
        "Glas Nacht Winter Regen Silber Papier Sommer Nebel Salz Kupfer Morgen Sand Schnee Wander Fern Stadt "
        "Feld Samt Zucker Hafen"
    ),
    seconds=_words(
        "licht garten fenster brücke karte uhr wald lampe straße vogel faden insel brief ufer maschine feder "
        "leiter wolke glocke spiegel"
    ),
    bands=_words("{a}{b} {a}{b}_&_{a}{c} Gruppe_{a}{b} Orchester_{a}{b}"),
    titles=_words("{a}{b} {a}{b} {a}{b}_und_{a}{c} Ohne_{a}{b} Nur_{a}{b} {a}{b},_{a}{c} Fast_{a}{b} Bis_{a}{b}"),
)
_FRENCH = Language(
    given=_words("Awa Modou Khady Ousmane Aïda Lamine Binta Pape Ndeye Moussa Sokhna Abdou Coumba Ibra Rokhaya Malick"),
    starts=_words("Nd Thi Sam Kan Diar Mb Wou Gor Sey Fall"),
    ends=_words("aro oula ékane assy ouré ane oumbal éré"),
    firsts=_words(
        "Fleuve Jardin Fenêtre Lettre Marée Chanson Lampe Route Pirogue Nuit Matin Pluie Rivage Horloge Ville "
        "Danse Ombre Barque"
    ),
    seconds=_words(
        "sel verre papier sable septembre velours cuivre lune brume miel coton soleil dimanche corail bois soie"
    ),
    bands=_words("{a}_de_{b} Orchestre_{b} {b}_et_{c} Club_{b}"),
    titles=_words("{a}_de_{b} {a} Sans_{b} {b}_et_{c} {a}_sans_{b} Presque_{b} {b},_{c} Encore_{b}"),
)
_JAPANESE = Language(
    given=_words("ユイ ナオ ミツキ ハル ソラ リツ アオイ カエデ レン スズ トワ イオリ ツムギ ヒビキ コハク サク"),
    starts=_words("霧 硝 蒼 砂 葉 雪 月 波 鈴 苔 灯 雲"),
    ends=_words("瀬 野 森 浜 丘 川 谷 原 窪 津"),
    firsts=_words("夜明け 月 雨 硝子 夏 秋 冬 海辺 真夜中 銀色 砂 風 夕立 日曜日 七月 坂道 屋上 朝焼け"),
    seconds=_words("電車 手紙 地図 約束 鳥 窓 灯台 時計 庭 歌 影 切手 ラジオ 観測所 傘 温室 図書室 花火"),
    bands=_words("{a}{b} {b}と{c} {a}の{b}"),
    titles=_words("{a}の{b} {a}の{b} {b}と{c} {a}{b} さよなら{b} {a}、{b} はじめての{b} {a}を待つ{b}"),
    space="",
    family_first=True,
)
_NIGERIAN = Language(
    given=_words("Tunde Ayo Ngozi Chidi Amaka Segun Zainab Ifeoma Dayo Halima Obinna Temi Yemi Kelechi Funmi Sade"),
    starts=_words("Ade Olu Oko Eze Nwa Aki Bala Ogu Ibe Dan"),
    ends=_words("rinle kemi bunwa lade femora tunji gari chukwe soma dele"),
    firsts=_words(
        "Sunday Golden Evening Danfo Market Harmattan River Lagoon Midnight Palm Junction Rooftop Thunder "
        "Yellow Weekend Island"
    ),
    seconds=_words(
        "Story Light Season Rhythm Money Sugar Fire Dance Morning Signal Traffic Honey Drum Promise Rain Gist"
    ),
    bands=_words("{a}_{b} {a}_{b}_Crew {a}_{b}_Band"),
    titles=_words(
        "{a}_{b} {b}_No_Dey_Finish My_{b} {b}_Dey_Call {b}_&_{c} No_{b}_Tonight {a}_{b}_(Jeje) Small_{b} Too_Much_{b}"
    ),
)
LANGUAGES = {
    **{"PT": _PORTUGUESE, "BR": _PORTUGUESE, "ES": _SPANISH, "UY": _SPANISH, "DE": _GERMAN},
    **{"SN": _FRENCH, "JP": _JAPANESE, "NG": _NIGERIAN},
}
