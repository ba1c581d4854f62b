"""Remaking of one picture, run as a program of its own: bytes of anybody come in, a small square JPEG goes out.

Before it looks at a byte it gives up everything else: it opens no file and no socket any more, and has so much memory
and time. The picture is drawn anew, so that of the file nothing but what is to be seen goes on.
"""

import os
import resource
import sys
from dataclasses import dataclass
from io import BytesIO

from PIL import AvifImagePlugin, ExifTags, Image, ImageCms, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin

from recsys.serving.pictures.ends import FORMATS, format_of, is_whole
from recsys.serving.pictures.outcome import Outcome

_READERS = (AvifImagePlugin, MpoImagePlugin, TiffImagePlugin, WebPImagePlugin)  # nothing can be imported later
_QUALITIES = (85, 75, 65, 50, 35, 20, 10, 1)  # the first that is small enough
_NICE = 10  # whoever waits for a list goes first
_STILL = ("MPO",)  # a JPEG with other pictures behind it, which nothing plays


@dataclass(frozen=True)
class Limits:
    """What one picture may be and cost.

    Parameters
    ----------
    side : int
        Pixels of a side of what is made.
    bytes_ : int
        What is made is no larger.
    pixels : int
    megabytes : int
        Of memory, the program's own included.
    seconds : int
        Of computing.
    """

    side: int
    bytes_: int
    pixels: int
    megabytes: int
    seconds: int


class _RefusedError(Exception):
    def __init__(self, outcome: Outcome) -> None:
        super().__init__(outcome)
        self.outcome = outcome


def main() -> None:
    """Make the picture on standard input anew on standard output, under the limits that the arguments give."""
    limits = Limits(*map(int, sys.argv[1:]))
    _give_up(limits)
    try:
        made = remade(sys.stdin.buffer.read(), limits)
    except _RefusedError as refusal:
        sys.exit(refusal.outcome)
    except MemoryError:
        sys.exit(Outcome.TOO_MUCH)
    sys.stdout.buffer.write(made)


def _give_up(limits: Limits) -> None:
    """Do without everything that a picture does not need; there is no way back."""
    os.nice(_NICE)
    Image.preinit()  # what reads JPEG and PNG
    Image.MAX_IMAGE_PIXELS = limits.pixels
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    memory = limits.megabytes * 1_000_000
    for kind, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, limits.seconds),
        (resource.RLIMIT_NOFILE, 0),  # those that are open stay so, and the number of one that is closed is gone
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_NPROC, 0),
        (resource.RLIMIT_CORE, 0),
    ):
        resource.setrlimit(kind, (most, most))


def remade(content: bytes, limits: Limits) -> bytes:
    """Return a picture made anew: its middle, as a square, upright, in sRGB, on white where it is transparent."""
    format_ = format_of(content)
    if format_ is None:
        raise _RefusedError(Outcome.NO_PICTURE)
    if not is_whole(content, format_=format_):
        raise _RefusedError(Outcome.NOT_WHOLE)
    try:
        square = _drawn(content, limits)
    except (_RefusedError, MemoryError):
        raise
    except Image.DecompressionBombError:
        raise _RefusedError(Outcome.TOO_MANY_PIXELS) from None
    except Exception:  # what a reader may stumble over in a file that somebody has made for that
        raise _RefusedError(Outcome.NOT_WHOLE) from None
    anew = Image.new("RGB", square.size)  # which carries nothing along
    anew.paste(square)
    return _small(anew, limits.bytes_)


def _drawn(content: bytes, limits: Limits) -> Image.Image:
    image = Image.open(BytesIO(content), formats=FORMATS)
    if image.width * image.height > limits.pixels:
        raise _RefusedError(Outcome.TOO_MANY_PIXELS)
    if getattr(image, "n_frames", 1) > 1 and image.format not in _STILL:
        raise _RefusedError(Outcome.MOVES)
    image.draft("RGB", (limits.side, limits.side))  # a JPEG is read as small as it may be
    square, turned = _square(image, limits.side), image.getexif().get(ExifTags.Base.Orientation)
    square = _in_srgb(square, image.info.get("icc_profile"))
    return square.transpose(_TURNS[turned]) if turned in _TURNS else square


def _square(image: Image.Image, side: int) -> Image.Image:
    """Return the middle of a picture, small: first that, as everything else then costs little."""
    if image.mode.startswith("I"):  # 16 bits for each pixel
        image = image.point(lambda level: level * (1 / 256)).convert("L")
    elif image.mode not in _DRAWN:
        image = image.convert("RGBA" if "transparency" in image.info or image.mode == "PA" else "RGB")
    short = min(image.size)
    left, top = (image.width - short) // 2, (image.height - short) // 2
    box = (left, top, left + short, top + short)
    small = image.resize((side, side), Image.Resampling.LANCZOS, box=box, reducing_gap=3.0)
    if small.mode not in ("RGBA", "LA"):
        return small
    ground = Image.new("RGBA", small.size, "white")
    ground.alpha_composite(small.convert("RGBA"))
    return ground.convert("RGB")


def _in_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Return a picture in the colours of the web; a profile that does not fit it is as good as none."""
    if profile:
        try:
            own = ImageCms.ImageCmsProfile(BytesIO(profile))
            made = ImageCms.profileToProfile(image, own, ImageCms.createProfile("sRGB"), outputMode="RGB")
        except (ImageCms.PyCMSError, OSError, ValueError):
            made = None
        if made is not None:
            return made
    return image.convert("RGB")


def _small(image: Image.Image, most: int) -> bytes:
    for quality in _QUALITIES:
        made = BytesIO()
        image.save(made, "JPEG", quality=quality, optimize=True)
        if made.tell() <= most:
            break
    return made.getvalue()


_DRAWN = ("L", "RGB", "RGBA", "LA", "CMYK")
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

if __name__ == "__main__":
    main()
