"""Making of a picture out of what was sent: in a process of its own, so many at a time, and of one listener one."""

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager, suppress
from pathlib import Path
from threading import Timer
from typing import IO, cast

import recsys
from recsys.errors import (
    InputError,
    LargePictureError,
    NoPictureError,
    NotReadyError,
    RecsysError,
    TooManyRequestsError,
)
from recsys.serving.pictures.ends import JPEG, format_of
from recsys.serving.pictures.kinds import bytes_of, side_of
from recsys.serving.pictures.outcome import Outcome
from recsys.settings import ImagesSettings

_PROGRAM = "recsys.serving.pictures.remaking"
_PATIENCE = 4  # times the seconds of computing: other processes compute, too


class Maker:
    """What makes pictures anew.

    Parameters
    ----------
    settings : ImagesSettings
    """

    def __init__(self, settings: ImagesSettings) -> None:
        self._settings = settings
        self._of = set[str]()  # whose pictures are on their way
        self._turns = asyncio.Semaphore(settings.at_once)

    @contextmanager
    def taking(self, listener: str) -> Iterator[None]:
        """Take in one picture of a listener; what is sent is in memory as long as the block lasts.

        Raises
        ------
        TooManyRequestsError
            If as many are being taken in as may be, or one of the same listener.
        """
        if listener in self._of or len(self._of) >= self._settings.received_at_once:
            raise _busy()
        self._of.add(listener)
        try:
            yield
        finally:
            self._of.remove(listener)

    @asynccontextmanager
    async def turn(self) -> AsyncIterator[None]:
        """Wait until one more may be made: who is slow in sending keeps nobody from it.

        Raises
        ------
        TooManyRequestsError
            If that takes longer than one picture may.
        """
        try:
            await asyncio.wait_for(self._turns.acquire(), self._patience)
        except TimeoutError:
            raise _busy() from None
        try:
            yield
        finally:
            self._turns.release()

    def made(self, content: bytes, *, kind: str) -> bytes:
        """Return what is shown of a picture that was sent: a square JPEG of our own making.

        Raises
        ------
        NoPictureError
            If it begins as none of a kind that is taken.
        LargePictureError
            If it has more pixels, or takes more memory or time, than there is for one.
        InputError
            If it moves, is not whole, or there is more in the file than a picture.
        """
        settings, most = self._settings, bytes_of(kind, self._settings)
        limits = (side_of(kind, settings), most, settings.most_pixels, settings.megabytes, settings.seconds)
        with subprocess.Popen(  # noqa: S603 (a program of ours, with numbers)
            [sys.executable, "-s", "-P", "-m", _PROGRAM, *map(str, limits)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,  # it may quote the picture
            env={"PYTHONPATH": _ROOT},
        ) as process:
            made = _answer(process, content, most=most, seconds=self._patience)
        if len(made) > most:
            raise _refusal(Outcome.BROKEN)
        if process.returncode != Outcome.MADE or format_of(made) != JPEG:
            raise _refusal(process.returncode)
        return made

    @property
    def _patience(self) -> int:
        return self._settings.seconds * _PATIENCE


def _answer(process: "subprocess.Popen[bytes]", content: bytes, *, most: int, seconds: float) -> bytes:
    """Return what a process says to a picture; it is killed where it says more than may be, or goes on for too long."""
    sent, said = cast("IO[bytes]", process.stdin), cast("IO[bytes]", process.stdout)
    end = Timer(seconds, process.kill)
    end.start()
    try:
        with suppress(BrokenPipeError), sent:  # it may end before it has read all
            sent.write(content)
        answer = said.read(most + 1)
        if len(answer) > most:
            process.kill()
        process.wait()
        return answer
    finally:
        end.cancel()


def _busy() -> TooManyRequestsError:
    return TooManyRequestsError("other pictures are still being taken in", hint="Send it again in a few seconds.")


def _refusal(code: int) -> RecsysError:
    """Return what an exit code means to whoever sent the picture; of a process that was killed it is less than zero.

    It is made anew each time: an error that is kept would keep the picture.
    """
    kind, message, hint = _REFUSALS.get(Outcome.TOO_MUCH if code < 0 else code, _BROKEN)
    return kind(message, hint=hint)


_ROOT = str(Path(recsys.__file__).parents[1])
_SMALLER = "Send it smaller, as a photo of 12 megapixels or less."
_BROKEN = (NotReadyError, "pictures cannot be made here now", "See to the installation of Pillow.")
_REFUSALS: Mapping[int, tuple[type[RecsysError], str, str]] = {
    Outcome.NO_PICTURE: (
        NoPictureError,
        "the file does not begin as a JPEG, PNG, WebP or AVIF picture does",
        "Choose a picture of one of these kinds.",
    ),
    Outcome.NOT_WHOLE: (
        InputError,
        "the picture cannot be read whole, or there is more in the file than a picture",
        "Save it anew with any program that shows pictures, and send that.",
    ),
    Outcome.MOVES: (InputError, "the picture moves", "Choose one that does not."),
    Outcome.TOO_MANY_PIXELS: (LargePictureError, "the picture has more pixels than are looked at", _SMALLER),
    Outcome.TOO_MUCH: (LargePictureError, "the picture takes more work than there is for one", _SMALLER),
}
