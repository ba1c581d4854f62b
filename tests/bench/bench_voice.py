"""Voice control on texts as recognisers write them: which places, songs, artists and switches are found, and how soon.

Run it with ``python tests/bench/bench_voice.py [--workspace DIR] [--speech PYTHON]``. By default a snapshot is made of
the places of the sample world's service area (and all others, which a name might be mistaken for) and of all its songs.
Texts come from templates (tests/support/speaking.py): as dictated (no capitals, accents and signs, numbers as words),
by ear (homophones and letters of one sound) and misspelled. With a Python that has pocketsphinx, and espeak-ng,
questions in English are said by a synthetic voice and heard by a recogniser as well (tests/support/recognising.py): by
one that was given the grammar of what can be asked, and by one that takes it for any English.

It fails where less than 95 % of the places or 90 % of the songs are found as dictated or by ear, where another switch
than the one named is, or where an intent takes 20 ms in the median of its kind.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterable
from difflib import SequenceMatcher
from pathlib import Path

import numpy as np
from support.speaking import (
    LANGUAGES,
    SAMPLE,
    Said,
    publish_sample,
    said_of_artists,
    said_of_places,
    said_of_songs,
    said_of_switches,
    spoken_grammar,
    switch_names,
)

from recsys.geography.atlas import load_atlas
from recsys.serving.snapshot.snapshot_reader import Published, open_published
from recsys.serving.voice.intents import ChartOf, Intent, Turn, intent_of
from recsys.settings import load_settings
from recsys.workspace import Workspace

SEED = 20151
BARS = {"place": 0.95, "song": 0.90, "artist": 0.90}
MOST_MS = 20.0
ROUNDS = 6


def main(workspace: Workspace | None, speech: str | None) -> int:
    atlas = load_atlas(load_settings(SAMPLE / "settings.toml").atlas)
    with tempfile.TemporaryDirectory() as folder:
        chosen = workspace or Workspace(Path(folder) / "workspace").prepare()
        if workspace is None:
            publish_sample(chosen, atlas=atlas)
        ask = asker(open_published(chosen))
        print(f"seed {SEED}")
        started = time.process_time()
        for language in LANGUAGES:
            ask("popular lisboa nowhere", language)
        print(f"the first of each language, with the index of names: {time.process_time() - started:.1f} s of CPU")
        failed = sum(
            found(said, ask)
            for said in (said_of_places(atlas, seed=SEED), said_of_songs(seed=SEED), said_of_artists(seed=SEED))
        )
        failed += switches(ask)
        if speech:
            grammar = spoken_grammar(atlas)
            heard(said_of_places(atlas, seed=SEED), ask, python=speech, grammar=grammar)
            heard(said_of_songs(seed=SEED), ask, python=speech, grammar=grammar)
            heard(said_of_places(atlas, seed=SEED), ask, python=speech, grammar=None)
        return int(failed > 0)


def asker(published: Published) -> Callable[[str, str], Intent | None]:
    names = {language: switch_names(language) for language in LANGUAGES}
    return lambda text, language: intent_of(text, language=language, published=published, switches=names[language])


def found(said: Iterable[Said], ask: Callable[[str, str], Intent | None]) -> int:
    """Print the shares found by change and language, and the times; return 1 where a bar is not held."""
    hits, times, kind = defaultdict[tuple[str, str], list[bool]](list), list[float](), ""
    wrong = list[str]()
    for each in said:
        started = time.process_time()
        intent = ask(each.text, each.language)
        times.append((time.process_time() - started) * 1e3)
        kind, is_it = each.kind, wanted(intent) == each.wanted
        hits[each.change, each.language].append(is_it)
        if not is_it:
            wrong.append(f"{each.language} {each.text!r} -> {wanted(intent)} (wanted {each.wanted})")
    everything = np.concatenate([np.array(some) for (change, _), some in hits.items() if change in AS_WRITTEN])
    print(f"\n{kind}s: {everything.mean():.1%} of {len(everything):,} found, as dictated and by ear")
    for change in dict.fromkeys(change for change, _ in hits):
        by_language = "  ".join(f"{language} {np.mean(hits[change, language]):.1%}" for language in LANGUAGES)
        mean = np.mean(np.concatenate([hits[change, language] for language in LANGUAGES]))
        print(f"  {change:<12} {mean:.1%}: {by_language}")
    print(f"  CPU: median {np.median(times):.2f} ms, 99 % {np.quantile(times, 0.99):.2f} ms, most {max(times):.2f} ms")
    print("\n".join(f"  missed: {each}" for each in wrong[:SHOWN]))
    return int(everything.mean() < BARS[kind] or np.median(times) >= MOST_MS)


def switches(ask: Callable[[str, str], Intent | None]) -> int:
    """Print how many commands to switches are understood; return how many find another switch than the one named."""
    outcomes = dict.fromkeys(("found", "not understood", "rightly nothing", "WRONG"), 0)
    for text, language, purpose, is_on in said_of_switches(seed=SEED, rounds=ROUNDS):
        intent = ask(text, language)
        turned = (intent.purpose, intent.state == "given") if isinstance(intent, Turn) else None
        if turned is None:
            outcomes["not understood" if purpose else "rightly nothing"] += 1
        elif turned == (purpose, is_on):
            outcomes["found"] += 1
        else:
            outcomes["WRONG"] += 1
            print(f"  WRONG: {language} {text!r} -> {turned}")
    print(f"\nswitches: {outcomes}")
    return outcomes["WRONG"]


def heard(said: Iterable[Said], ask: Callable[[str, str], Intent | None], *, python: str, grammar: str | None) -> None:
    """Print how many questions are understood that a voice says and a recogniser hears; as it is, without a bar."""
    every = [each for each in said if each.change == "as dictated" and each.language == "en" and each.text.isascii()]
    some = sorted(random.Random(SEED).sample(every, min(UTTERANCES, len(every))), key=every.index)
    command = [python, Path(__file__).parents[1] / "support" / "recognising.py"]
    told = json.dumps({"texts": [each.text for each in some], "grammar": grammar})
    lines = subprocess.run(command, input=told, capture_output=True, text=True, check=True).stdout.splitlines()
    right = [wanted(ask(line, "en")) == each.wanted for each, line in zip(some, lines, strict=True)]
    close = [SequenceMatcher(None, each.text, line).ratio() for each, line in zip(some, lines, strict=True)]
    print(f"\nspeech of {some[0].kind}s, {'by the grammar' if grammar else 'by any English'}: ", end="")
    print(f"{np.mean(right):.1%} of {len(right)} found; of the letters {np.mean(close):.0%} were heard", flush=True)
    missed = [(each, line) for each, line, is_it in zip(some, lines, right, strict=True) if not is_it]
    for each, line in missed[:SHOWN]:
        print(f"  missed: {each.text!r} was heard as {line!r}")


def wanted(intent: Intent | None) -> str | None:
    """Return the id of what an intent found."""
    if isinstance(intent, ChartOf):
        return intent.place.id
    return getattr(intent, "track_id", None) or getattr(intent, "artist_id", None)


SHOWN = 12
UTTERANCES = 200  # of a kind: each takes seconds
AS_WRITTEN = ("as dictated", "by ear")

if __name__ == "__main__":
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--workspace", type=Path)
    arguments.add_argument("--speech", metavar="PYTHON")
    given = arguments.parse_args()
    sys.exit(main(Workspace(given.workspace) if given.workspace else None, given.speech))
