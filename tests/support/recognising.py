"""Speech of espeak-ng, heard by pocketsphinx: run by a Python that has pocketsphinx and numpy, which ours has not.

Each line of standard input is said by a synthetic voice, and what a recogniser with its own English model and no
grammar makes of it is a line of standard output.
"""

import subprocess
import sys
from importlib import import_module

import numpy as np

RATE, VOICE_RATE = 16_000, 22_050  # samples a second: of the recogniser, and of espeak-ng
HEAD = 44  # bytes of a WAV file before its samples
SILENCE, NOISE = 6_000, 20.0  # samples around the speech, and how loud a room is


def spoken(text: str) -> bytes:
    """Return a text as 16-bit samples."""
    command = ["espeak-ng", "-v", "en-us", "-s", "150", "--stdout", "--", text]
    content = subprocess.run(command, capture_output=True, check=True).stdout[HEAD:]
    voice = np.frombuffer(content[: len(content) // 2 * 2], dtype="<i2").astype(float)
    smooth = np.convolve(voice, np.hanning(9) / np.hanning(9).sum(), "same")  # nothing above what RATE can hold
    at = np.arange(int(len(smooth) * RATE / VOICE_RATE)) * VOICE_RATE / RATE
    samples = np.pad(0.6 * np.interp(at, np.arange(len(smooth)), smooth), SILENCE)
    room = np.random.default_rng(1).normal(0, NOISE, len(samples))
    return (samples + room).astype("<i2").tobytes()


def main() -> None:
    decoder = import_module("pocketsphinx").Decoder(samprate=RATE, loglevel="FATAL")
    for line in sys.stdin:
        decoder.start_utt()
        decoder.process_raw(spoken(line.strip()), no_search=False, full_utt=True)
        decoder.end_utt()
        found = decoder.hyp()
        print(found.hypstr if found else "", flush=True)


if __name__ == "__main__":
    main()
