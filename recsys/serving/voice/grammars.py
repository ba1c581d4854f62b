"""The closed grammar: the phrases of each language of the page, in which places, songs and switches have their slots.

Words are written as people write them and compared as they are heard (:func:`recsys.serving.voice.hearing.heard`);
``|`` stands between those of which one is said, a space between words of which any may be.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache

from recsys.artifacts.list_candidates import LOCAL, POPULAR, RISING
from recsys.serving.voice.hearing import heard


@dataclass(frozen=True)
class Phrases:
    """The words of a language.

    Parameters
    ----------
    polite : str
        Words that may come before and behind everything.
    lead, tail : str
        Words that may come before and behind a question.
    charts : mapping of str to str
        What is said for each chart.
    nouns : str
        Words for what is listed.
    within : str
        Between these and a place.
    here : str
        Instead of a place: where the listener is.
    open, song, artist : str
        What is to be done with a song or an artist, and what these are called.
    turn_on, turn_off : str
        Whole phrases, with the switch as ``*``.
    spaced : bool
        Whether words have spaces between them and come before what they are about; else behind it.
    """

    polite: str
    lead: str
    tail: str
    charts: Mapping[str, str]
    nouns: str
    within: str
    here: str
    open: str
    song: str
    artist: str
    turn_on: str
    turn_off: str
    spaced: bool = True


@dataclass(frozen=True)
class Grammar:
    """The patterns of a language, made of its phrases; build it with :func:`grammar_of`.

    No pattern has more than one way to read the words before and behind a slot, so that none takes long for any text.

    Parameters
    ----------
    questions : tuple of pattern
        Of a chart, in a group of its name, with a slot ``place``, or with ``here``, or for the world.
    openings : tuple of pattern
        Of a song or an artist, with a slot ``song``, ``artist`` or ``any``.
    turns : tuple of (bool, pattern)
        Of a switch, with a slot ``switch``: whether it is to be on.
    words : frozenset of str
        All words of questions and openings.
    """

    questions: tuple[re.Pattern[str], ...]
    openings: tuple[re.Pattern[str], ...]
    turns: tuple[tuple[bool, re.Pattern[str]], ...]
    words: frozenset[str]


@cache
def grammar_of(language: str) -> Grammar:
    """Return the grammar of a language."""
    phrases = PHRASES[language]
    questions, openings = (_spaced if phrases.spaced else _unspaced)(phrases)
    nouns = (phrases.song, phrases.artist, phrases.nouns)
    parts = (phrases.lead, phrases.tail, *phrases.charts.values(), *nouns, phrases.within, phrases.here, phrases.open)
    return Grammar(tuple(map(_whole, questions)), tuple(map(_whole, openings)), _turns(phrases), _words(*parts))


def _spaced(phrases: Phrases) -> tuple[list[str], list[str]]:
    """Return questions and openings where words come before what they are about."""
    lead = f"(?:(?:{_any_word(phrases.polite, phrases.lead)}) )*+"
    lead_or_nouns = f"(?:(?:{_any_word(phrases.polite, phrases.lead, phrases.nouns)}) )*+"
    tail = f"(?: (?:{_any_word(phrases.polite, phrases.tail)}){_END})*+"
    nouns, here = f"(?:{_any_word(phrases.nouns)}){_END}", f"(?P<here>{_either(phrases.here)})"
    place, listed = f"(?:{_either(phrases.within)}) (?P<place>.+?)", f"(?:{_charts(phrases)})(?: {nouns})*+"
    asked = (f"{listed} {here}", f"{here} {listed}", f"{listed} {place}", f"{place} {listed}", listed)
    short = (f"(?:{nouns} )*+{here}", f"{nouns}(?: {nouns})*+ {place}")
    questions = [f"{lead_or_nouns}{form}{tail}" for form in asked] + [f"{lead}{form}{tail}" for form in short]
    song, artist, opened = _either(phrases.song), _either(phrases.artist), _either(phrases.open)
    before = f"(?:(?:{_any_word(phrases.polite)}) )*+"
    kinds = (
        f"(?:(?:{opened}) )?(?:{artist}) (?P<artist>.+?)",
        f"(?:(?:{opened}) )?(?:{song}) (?P<song>.+?)",
        f"(?:{opened}) (?P<any>.+?)",
    )
    return questions, [f"{before}{kind}{tail}" for kind in kinds]


def _unspaced(phrases: Phrases) -> tuple[list[str], list[str]]:
    """Return questions and openings where words come behind what they are about, without spaces."""
    lead, tail = f"(?:{_either(phrases.polite, phrases.lead)})*+", f"(?:{_either(phrases.polite, phrases.tail)})*+"
    nouns, within, here = _either(phrases.nouns), _either(phrases.within), f"(?P<here>{_either(phrases.here)})"
    listed = f"(?:{_charts(phrases)})(?:{nouns})*+"
    asked = (f"{here}(?:{within})*+{listed}", f"(?P<place>.+?)(?:{within})++{listed}", listed)
    short = (f"{here}(?:{within})*+(?:{nouns})*+", f"(?P<place>.+?)(?:{within})++(?:{nouns})++")
    opened = _either(phrases.open)
    kinds = (
        f"(?:{_either(phrases.artist)})(?P<artist>.+?)(?:{opened})",
        f"(?:{_either(phrases.song)})(?P<song>.+?)(?:{opened})",
        f"(?P<any>.+?)(?:{opened})",
    )
    return [f"{lead}{form}{tail}" for form in (*asked, *short)], [f"{kind}{tail}" for kind in kinds]


def _charts(phrases: Phrases) -> str:
    """Return a pattern for any chart, with a group for each."""
    return "|".join(f"(?P<{chart}>{_either(said)})" for chart, said in phrases.charts.items())


def _turns(phrases: Phrases) -> tuple[tuple[bool, re.Pattern[str]], ...]:
    """Return what turns a switch: nothing but polite words around it, so that no "not" is overheard."""
    words, space = (_any_word, " ") if phrases.spaced else (_either, "")
    polite = f"(?:{words(phrases.polite)})"
    found = []
    for is_on, forms in ((True, phrases.turn_on), (False, phrases.turn_off)):
        for form in forms.split("|"):
            before, _, behind = (heard(part) for part in form.partition("*"))
            slot = space.join(part for part in (re.escape(before), "(?P<switch>.+?)", re.escape(behind)) if part)
            found.append((is_on, _whole(f"(?:{polite}{space})*+{slot}(?:{space}{polite})*+")))
    return tuple(found)


def _either(*words: str) -> str:
    """Return a pattern for any of some phrases, the longest first."""
    phrases = {heard(phrase) for each in words for phrase in each.split("|")} - {""}
    return "|".join(sorted(map(re.escape, phrases), key=lambda each: (-len(each), each)))


def _any_word(*words: str) -> str:
    """Return a pattern for any word of some phrases."""
    return "|".join(sorted(map(re.escape, _words(*words))))


def _words(*phrases: str) -> frozenset[str]:
    return frozenset(word for each in phrases for phrase in each.split("|") for word in heard(phrase).split())


def _whole(pattern: str) -> re.Pattern[str]:
    return re.compile(rf"\A{pattern}\Z")


_END = r"(?![^ ])"  # of a word

PHRASES: Mapping[str, Phrases] = {
    "en": Phrases(
        polite="please hey okay ok hi hello thanks thank you can could would hearabouts",
        lead="what which whats what's is are show me tell find the play list i want give see",
        tail="now right today tonight at the moment this week these days",
        charts={
            POPULAR: "popular|most popular|trending|hot|number one|listened to|playing|being played|top",
            RISING: "rising|on the rise|going up|coming up|climbing|up and coming",
            LOCAL: "special|typical|local|particular|different",
        },
        nouns="songs song music tracks track chart charts hits list the top",
        within="in|at|for|around|of|from|near|in the|of the|from the|around the",
        here="near me|nearby|around me|around here|here|close to me|close by|where i am|in my area|hereabouts",
        open="open|play|show|show me|find|go to|look up|search for|listen to|i want to hear|put on",
        song="song|the song|a song|track|the track|the title|title",
        artist="artist|the artist|band|the band|singer|the singer|songs by|music by|more by|songs of|music of",
        turn_on="turn on *|turn * on|switch on *|switch * on|turn on the switch *|turn the switch * on|enable *|"
        "activate *|allow *",
        turn_off="turn off *|turn * off|switch off *|switch * off|turn off the switch *|turn the switch * off|"
        "disable *|deactivate *|stop *",
    ),
    "de": Phrases(
        polite="bitte hey okay ok hallo danke kannst du könntest hearabouts",
        lead="was welche welches ist sind zeig zeige mir sag die der das den spiel spiele gerade gib denn am",
        tail="jetzt gerade heute im moment diese woche ist sind läuft steigt gehört wird",
        charts={
            POPULAR: "beliebt|beliebte|beliebten|beliebteste|beliebtesten|angesagt|angesagte|gehört|läuft|hört man|"
            "im trend|populär",
            RISING: "im kommen|steigt|steigend|steigende|steigen|steigt auf|im aufstieg|auf dem weg nach oben|"
            "kommt|aufsteigend|aufsteigende",
            LOCAL: "besonders|besondere|besonderes|typisch|typische|eigen|speziell",
        },
        nouns="lieder lied musik songs song titel charts hits liste die",
        within="in|im|aus|für|um|von|bei|in der|in den",
        here="in meiner nähe|in der nähe|hier|bei mir|um mich herum|in meiner gegend|hier in der nähe|"
        "hier in der gegend",
        open="öffne|spiel|spiele|zeig|zeige|zeig mir|finde|such|suche|geh zu|ich will hören|ich möchte hören",
        song="lied|das lied|song|den song|titel|den titel|stück|das stück",
        artist="künstler|den künstler|die künstlerin|künstlerin|band|die band|sänger|den sänger|die sängerin|"
        "lieder von|musik von|mehr von|songs von",
        turn_on="schalte * ein|schalt * ein|schalte * an|schalt * an|mach * an|mache * an|* einschalten|"
        "* anschalten|aktiviere *|* aktivieren|schalte den schalter * ein|erlaube *",
        turn_off="schalte * aus|schalt * aus|schalte * ab|schalt * ab|mach * aus|mache * aus|* ausschalten|"
        "* abschalten|deaktiviere *|* deaktivieren|schalte den schalter * aus",
    ),
    "es": Phrases(
        polite="por favor hola oye ok vale gracias puedes podrías hearabouts",
        lead="qué que cuál cuáles es son está están muéstrame muestra dime enséñame lo la los las el más pon hay busca",
        tail="ahora hoy mismo esta semana en este momento",
        charts={
            POPULAR: "popular|populares|más popular|más populares|suena|se escucha|de moda|en tendencia|tendencia|"
            "tendencias",
            RISING: "subiendo|sube|suben|en alza|en ascenso|en subida",
            LOCAL: "especial|especiales|típico|típica|típicas|particular|propio",
        },
        nouns="canciones canción música temas tema lista listas éxitos la las",
        within="en|de|por|para|cerca de|en el|en la|en los|en las|del",
        here="cerca de mí|cerca|aquí|por aquí|a mi alrededor|cerca de aquí|en mi zona|donde estoy",
        open="abre|pon|reproduce|muestra|muéstrame|busca|ir a|ve a|quiero escuchar|quiero oír",
        song="canción|la canción|tema|el tema|título|el título",
        artist="artista|el artista|la artista|grupo|el grupo|la banda|banda|cantante|canciones de|música de|más de",
        turn_on="activa *|activar *|enciende *|encender *|habilita *|permite *|pon * en marcha|activa el interruptor *",
        turn_off="desactiva *|desactivar *|apaga *|apagar *|deshabilita *|desactiva el interruptor *",
    ),
    "fr": Phrases(
        polite="s'il te plaît vous salut bonjour ok merci peux-tu tu peux hearabouts",
        lead="quoi quel quelle quels quelles est sont montre moi montre-moi dis-moi le la les l' ce qui qu'est-ce "
        "que est-ce on joue mets plus donne-moi cherche",
        tail="maintenant aujourd'hui en ce moment cette semaine soir",
        charts={
            POPULAR: "populaire|populaires|plus populaire|plus populaires|tendance|tendances|écouté|écoute|"
            "à la mode|s'écoute",
            RISING: "monte|montent|en hausse|en progression|en train de monter|grimpe",
            LOCAL: "spécial|spéciale|spéciales|particulier|particulière|typique|typiques|propre",
        },
        nouns="chansons chanson musique musiques titres titre morceaux classement classements le tubes",
        within="à|au|aux|en|de|dans|d'|du|des|pour|autour de|près de|à la|de la|à l'|sur",
        here="près de moi|près d'ici|ici|autour de moi|à proximité|dans le coin|par ici|autour d'ici|près de chez moi",
        open="ouvre|joue|mets|montre|montre-moi|cherche|trouve|va à|je veux écouter|écouter",
        song="chanson|la chanson|titre|le titre|morceau|le morceau",
        artist="artiste|l'artiste|groupe|le groupe|chanteur|le chanteur|chanteuse|la chanteuse|chansons de|"
        "musique de|les chansons de",
        turn_on="active *|activer *|allume *|allumer *|autorise *|mets * en marche|active l'autorisation *",
        turn_off="désactive *|désactiver *|éteins *|éteindre *|coupe *|désactive l'autorisation *",
    ),
    "ja": Phrases(
        polite="お願い|お願いします|ください|下さい|ねえ|ヒアラバウツ",
        lead="今|いま|今日|今週|一番",
        tail="は|を|が|何|なに|は何|は何ですか|を見せて|を教えて|を表示|を表示して|を聞かせて|ですか|なの|です|"
        "教えて|見せて|表示して",
        charts={
            POPULAR: "人気|流行|流行っている|流行っているもの|はやっている|聞かれている|聴かれている|トレンド",
            RISING: "急上昇|上昇|上昇中|急上昇中|伸びている|上がっている",
            LOCAL: "特別|ならでは|独特|特有|名物|らしい",
        },
        nouns="の曲|の音楽|の歌|曲|音楽|歌|中の曲|な曲|な音楽|チャート|のチャート|のもの|なもの|ランキング|"
        "のランキング|もの|中",
        within="で|の|にて|で今|で一番|では|における|に|周辺の|周辺で",
        here="近く|この近く|ここ|この辺|この辺り|このあたり|周辺|私の近く|付近",
        open="を開いて|を開く|を再生|を再生して|をかけて|を見せて|を探して|を流して|を聞きたい|を聴きたい|"
        "が聞きたい|を検索",
        song="曲|曲の|歌|タイトル",
        artist="アーティスト|アーティストの|歌手|歌手の|バンド|バンドの",
        turn_on="*をオンにして|*をオンにする|*をオン|*オン|*を有効にして|*をつけて|*を入れて",
        turn_off="*をオフにして|*をオフにする|*をオフ|*オフ|*を無効にして|*を消して|*を切って",
        spaced=False,
    ),
    "pt": Phrases(
        polite="por favor se faz olá ok obrigado obrigada podes pode hearabouts",
        lead="o que é qual quais são está estão mostra mostra-me mostre me diz-me a os as mais toca há",
        tail="agora hoje neste momento esta semana mesmo",
        charts={
            POPULAR: "popular|populares|mais popular|mais populares|se ouve|tocar|tocando|na moda|em alta|"
            "tendência|tendências",
            RISING: "subir|subindo|sobe|sobem|em ascensão|em subida|crescer",
            LOCAL: "especial|especiais|típico|típica|típicas|particular|próprio",
        },
        nouns="músicas música canções canção temas tema lista tabela tabelas êxitos paradas a",
        within="em|no|na|nos|nas|de|do|da|dos|das|para|por|perto de",
        here="perto de mim|aqui|por aqui|aqui perto|à minha volta|na minha zona|onde estou|perto daqui|ao meu redor",
        open="abre|abra|abrir|toca|tocar|toque|mostra|mostra-me|mostre|procura|procure|põe|quero ouvir|ouvir",
        song="música|a música|canção|a canção|tema|o tema|título|o título",
        artist="artista|o artista|a artista|banda|a banda|cantor|o cantor|a cantora|músicas de|canções de|mais de",
        turn_on="liga *|ligar *|ligue *|ativa *|ativar *|ative *|permite *|ativa a permissão *",
        turn_off="desliga *|desligar *|desligue *|desativa *|desativar *|desative *|desativa a permissão *",
    ),
}
