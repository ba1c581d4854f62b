"""Speech of espeak-ng, heard by pocketsphinx: run by a Python that has pocketsphinx and numpy, which ours has not.

Standard input is JSON: ``texts`` that a synthetic voice says, and a ``grammar`` in JSpeech Grammar Format, or null for
the recogniser's own English model. What is made of each text is a line of standard output.

Words are pronounced as the recogniser's dictionary has them, which lacks most names, or as espeak-ng says them.
"""

import json
import re
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import numpy as np

RATE, VOICE_RATE = 16_000, 22_050  # samples a second: of the recogniser, and of espeak-ng
HEAD = 44  # bytes of a WAV file before its samples
SILENCE, NOISE = 6_000, 20.0  # samples around the speech, and how loud a room is
BEAMS = {"beam": 1e-60, "pbeam": 1e-60, "wbeam": 1e-40}  # names that no dictionary has are unlikely at first
PHONES = {  # those of espeak-ng's English, in the words of the recogniser's: the longest first
    "tʃ": "CH", "dʒ": "JH", "aɪ": "AY", "aʊ": "AW", "eɪ": "EY", "oʊ": "OW", "ɔɪ": "OY", "əl": "AH L",
    "æ": "AE", "ɛ": "EH", "ɪ": "IH", "ᵻ": "IH", "ʊ": "UH", "ʌ": "AH", "ə": "AH", "ɐ": "AH", "ɑ": "AA", "ɔ": "AO",
    "ɜ": "ER", "ɚ": "ER", "a": "AA", "e": "EH", "i": "IY", "o": "OW", "u": "UW", "ŋ": "NG", "θ": "TH", "ð": "DH",
    "ʃ": "SH", "ʒ": "ZH", "ɹ": "R", "r": "R", "ɾ": "D", "ʔ": "T", "j": "Y", "ɡ": "G", "b": "B", "d": "D", "f": "F",
    "h": "HH", "k": "K", "l": "L", "m": "M", "n": "N", "p": "P", "s": "S", "t": "T", "v": "V", "w": "W", "x": "K",
    "z": "Z", "ç": "SH",
}  # fmt: skip


def spoken(text: str) -> bytes:
    """Return a text as 16-bit samples."""
    command = ["espeak-ng", "-v", "en-us", "-s", "150", "--stdout", "--", text]
    content = subprocess.run(command, capture_output=True, check=True).stdout[HEAD:]
    voice = np.frombuffer(content[: len(content) // 2 * 2], dtype="<i2").astype(float)
    wanted = int(len(voice) * RATE / VOICE_RATE)
    resampled = np.fft.irfft(np.fft.rfft(voice)[: wanted // 2 + 1], wanted) * wanted / len(voice)
    samples = np.pad(0.6 * resampled, SILENCE)
    room = np.random.default_rng(1).normal(0, NOISE, len(samples))
    return (samples + room).astype("<i2").tobytes()


def pronounced(word: str) -> str:
    """Return the phones of a word, as espeak-ng says it."""
    command = ["espeak-ng", "-v", "en-us", "-q", "--ipa", "--", word]
    said = subprocess.run(command, capture_output=True, check=True, text=True).stdout
    return " ".join(PHONES[phone] for phone in re.findall("|".join(PHONES), said))


def dictionary(words: set[str], known: str) -> Iterator[str]:
    """Yield the lines of a dictionary of some words: as a dictionary has them, and as they are pronounced."""
    phones: dict[str, list[str]] = {}
    for line in known.splitlines():
        word, _, said = line.partition(" ")
        phones.setdefault(word.partition("(")[0], []).append(said)
    for word in sorted(words):
        for number, said in enumerate(dict.fromkeys([*phones.get(word, ()), pronounced(word)]), 1):
            yield f"{word} {said}" if number == 1 else f"{word}({number}) {said}"


def main() -> None:
    asked = json.load(sys.stdin)
    sphinx = import_module("pocketsphinx")
    with tempfile.TemporaryDirectory() as folder:
        how = {"samprate": RATE, "loglevel": "FATAL"}
        if asked["grammar"]:
            grammar, words = Path(folder) / "said.gram", Path(folder) / "said.dict"
            grammar.write_text(asked["grammar"])
            rules = re.sub(r"<[^>]*>", " ", asked["grammar"].partition(";\n")[2].partition(";\n")[2])
            known = Path(sphinx.get_model_path("en-us/cmudict-en-us.dict")).read_text()
            words.write_text("\n".join(dictionary(set(re.findall(r"[\w']+", rules)) - {"public"}, known)) + "\n")
            how |= {"jsgf": str(grammar), "dict": str(words), "lm": None, **BEAMS}
        decoder = sphinx.Decoder(**how)
    for text in asked["texts"]:
        decoder.start_utt()
        decoder.process_raw(spoken(text), no_search=False, full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        print(found.hypstr if found else "", flush=True)


if __name__ == "__main__":
    main()
