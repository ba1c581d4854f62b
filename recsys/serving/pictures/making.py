"""Making of a picture out of what was sent: in a process of its own, so many at a time, and of one listener one."""

import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import recsys
from recsys.errors import InputError, LargePictureError, NoPictureError, NotReadyError, RecsysError
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

    @contextmanager
    def taking(self, listener: str) -> Iterator[None]:
        """Take in one picture of a listener; what is sent is in memory as long as the block lasts.

        Raises
        ------
        NotReadyError
            If as many are being taken in as may be, or one of the same listener.
        """
        if listener in self._of or len(self._of) >= self._settings.at_once:
            raise NotReadyError("other pictures are still being taken in", hint="Send it again in a few seconds.")
        self._of.add(listener)
        try:
            yield
        finally:
            self._of.remove(listener)

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
        settings, side = self._settings, side_of(kind, self._settings)
        limits = (side, bytes_of(kind, settings), settings.most_pixels, settings.megabytes, settings.seconds)
        try:
            done = subprocess.run(  # noqa: S603 (a program of ours, with numbers)
                [sys.executable, "-s", "-P", "-m", _PROGRAM, *map(str, limits)],
                input=content,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,  # it may quote the picture
                env={"PYTHONPATH": _ROOT},
                timeout=settings.seconds * _PATIENCE,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise _refusal(Outcome.TOO_MUCH) from None
        made = done.stdout
        if done.returncode != Outcome.MADE or format_of(made) != JPEG or len(made) > bytes_of(kind, settings):
            raise _refusal(done.returncode)
        return made


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
