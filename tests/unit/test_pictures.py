"""Pictures made anew: square, upright, of one kind, with nothing of their file; what is no picture is refused."""

import asyncio
import struct
import subprocess
import sys
import zlib
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageCms
from support import picturing
from support.picturing import FORMATS, drawn, file_of, markers, quarters, traces, with_canaries

from recsys.errors import (
    InputError,
    LargePictureError,
    NoPictureError,
    NotReadyError,
    RecsysError,
    TooManyRequestsError,
)
from recsys.serving.pictures import making
from recsys.serving.pictures.ends import format_of, is_whole
from recsys.serving.pictures.kinds import PROFILE, bytes_of, side_of
from recsys.serving.pictures.making import Maker
from recsys.settings import Settings, load_settings

UPRIGHT = ["red", "green", "blue", "yellow"]
COVER = "covers/trending"
IDS = ("zip", "html", "pdf", "begun")


def made(content: bytes, *, kind: str = PROFILE, **chosen: Any) -> bytes:
    return Maker(load_settings(overrides={"images": chosen}).images).made(content, kind=kind)


def refused(content: bytes, **chosen: Any) -> RecsysError:
    with pytest.raises(RecsysError) as found:
        made(content, **chosen)
    return found.value


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("kind", [PROFILE, COVER])
def test_a_picture_becomes_a_small_square_jpeg(format_: str, kind: str, settings: Settings) -> None:
    found = made(file_of(drawn(900, 700), format_), kind=kind)
    image = Image.open(BytesIO(found))
    side = side_of(kind, settings.images)
    assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (side, side))
    assert len(found) <= bytes_of(kind, settings.images)
    assert quarters(found) == UPRIGHT


@pytest.mark.parametrize("format_", FORMATS)
def test_of_a_file_nothing_is_left_but_what_is_to_be_seen(format_: str) -> None:
    """Seven kinds of metadata hold a canary each; the profile of a PNG is packed, so that it is looked for apart."""
    sent = with_canaries(format_)
    planted = traces(sent + Image.open(BytesIO(sent)).info["icc_profile"])
    assert planted == [picturing.canary(format_, kind) for kind in picturing.KINDS]
    found = made(sent)
    assert traces(found) == []
    assert markers(found) <= {0xE0, 0xDB, 0xC0, 0xC4, 0xDA}  # JFIF, tables and the picture
    assert quarters(found) == UPRIGHT


def test_a_picture_is_made_of_what_is_seen_alone() -> None:
    """The same picture in a file with metadata and without becomes the same bytes."""
    assert made(with_canaries("PNG")) == made(file_of(drawn(), "PNG"))


@pytest.mark.parametrize(
    ("turned", "seen"),
    [
        (1, UPRIGHT),
        (2, ["green", "red", "yellow", "blue"]),
        (3, ["yellow", "blue", "green", "red"]),
        (4, ["blue", "yellow", "red", "green"]),
        (5, ["red", "blue", "green", "yellow"]),
        (6, ["blue", "red", "yellow", "green"]),
        (7, ["yellow", "green", "blue", "red"]),
        (8, ["green", "yellow", "red", "blue"]),
    ],
)
def test_a_picture_is_turned_as_its_file_says(turned: int, seen: list[str]) -> None:
    exif = picturing.exif_of("x", orientation=turned)
    assert quarters(made(file_of(drawn(), exif=b"Exif\0\0" + exif))) == seen


@pytest.mark.parametrize("mode", ["L", "P", "CMYK", "1", "I;16"])
def test_whatever_a_picture_is_kept_as_it_is_drawn(mode: str) -> None:
    grey = drawn(mode="L")
    image = {"CMYK": drawn(mode="CMYK"), "P": drawn().quantize(8), "I;16": _deep(grey)}.get(mode) or grey.convert(mode)
    found = made(file_of(image, "JPEG" if mode == "CMYK" else "PNG"))
    if mode in ("P", "CMYK"):
        assert quarters(found) == UPRIGHT
    elif mode != "1":
        middle = [
            Image.open(BytesIO(found)).convert("L").getpixel(at) for at in ((64, 64), (192, 64), (64, 192), (192, 192))
        ]
        expected = [grey.getpixel((at * 2 + 50, 75)) for at in (0, 100)] + [
            grey.getpixel((at * 2 + 50, 225)) for at in (0, 100)
        ]
        assert all(abs(a - b) < 8 for a, b in zip(middle, expected, strict=True))  # type: ignore[operator]


def _deep(grey: Image.Image) -> Image.Image:
    """The same with 16 bits for each pixel."""
    return Image.frombytes("I;16", grey.size, b"".join(struct.pack("<H", each * 257) for each in grey.tobytes()))


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_what_is_transparent_becomes_white(mode: str) -> None:
    image = drawn(mode=mode)
    image.putalpha(0)
    assert quarters(made(file_of(image, "PNG"))) == ["white"] * 4


def test_colours_become_those_of_the_web() -> None:
    """A profile in which red and blue are exchanged makes red out of blue; one that does not fit is as good as none."""
    swapped = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    swapped = swapped.replace(b"rXYZ", b"????").replace(b"bXYZ", b"rXYZ").replace(b"????", b"bXYZ")
    assert quarters(made(file_of(drawn(), "PNG", icc_profile=swapped)))[0] == "blue"
    assert quarters(made(file_of(drawn(), "PNG", icc_profile=b"none"))) == UPRIGHT


def test_the_middle_of_a_long_picture_is_taken() -> None:
    image = Image.new("RGB", (900, 300), "white")
    image.paste(drawn(300, 300), (300, 0))
    assert quarters(made(file_of(image))) == UPRIGHT


def test_even_noise_is_no_longer_than_may_be(settings: Settings) -> None:
    noise = Image.effect_noise((640, 640), 200).convert("RGB")
    assert len(made(file_of(noise, "PNG"), kind=COVER)) <= bytes_of(COVER, settings.images)


@pytest.mark.parametrize(
    "content", [b"", b"hello", b"GIF89a", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"%PDF-1.7", b"BM"]
)
def test_any_other_file_is_refused(content: bytes) -> None:
    assert isinstance(refused(content), NoPictureError)
    assert isinstance(refused((content or b"-") + file_of(drawn())), NoPictureError)


@pytest.mark.parametrize("format_", ["GIF", "BMP", "TIFF", "PPM"])
def test_pictures_of_other_kinds_are_refused(format_: str) -> None:
    written = BytesIO()
    drawn().save(written, format_)
    assert isinstance(refused(written.getvalue()), NoPictureError)


@pytest.mark.parametrize("format_", FORMATS)
def test_a_file_that_is_cut_off_anywhere_is_refused(format_: str) -> None:
    whole = file_of(drawn(), format_)
    assert is_whole(whole, format_=format_)
    for length in {len(whole) - 1, len(whole) - 2, len(whole) // 2, 30, 16}:
        assert not is_whole(whole[:length], format_=format_)
    assert type(refused(whole[: len(whole) // 2])) is InputError


@pytest.mark.parametrize("format_", FORMATS)
@pytest.mark.parametrize("behind", [b"PK\3\4", b"<html><script>alert(1)</script>", b"%PDF-1.7", b"\xff\xd8"], ids=IDS)
def test_what_is_a_picture_and_something_else_is_refused(format_: str, behind: bytes) -> None:
    assert type(refused(file_of(drawn(), format_) + behind)) is InputError


def test_a_camera_may_put_more_pictures_behind_a_jpeg_and_zeros() -> None:
    first, second = file_of(drawn()), file_of(drawn(40, 40))
    for content in (first + second, first + b"\0" * 9 + second + b"\0", first + b"\0"):
        assert is_whole(content, format_="JPEG")
    assert not is_whole(first + second[:-1], format_="JPEG")
    written = BytesIO()
    drawn().save(written, "MPO", save_all=True, append_images=[drawn(40, 40)])
    assert quarters(made(written.getvalue())) == UPRIGHT


@pytest.mark.parametrize("format_", ["PNG", "WEBP", "AVIF"])
def test_what_moves_is_refused(format_: str) -> None:
    moving = file_of(drawn(), format_, save_all=True, append_images=[drawn().rotate(90)], duration=100)
    found = refused(moving)
    assert (type(found), found.message) == (InputError, "the picture moves")


@pytest.mark.parametrize("format_", FORMATS)
def test_more_pixels_than_are_looked_at_are_refused_before_they_are_read(format_: str) -> None:
    assert isinstance(refused(file_of(drawn(), format_), most_pixels=400 * 300 - 1), LargePictureError)
    assert made(file_of(drawn(), format_), most_pixels=400 * 300)


def test_a_bomb_is_refused_whatever_it_says_of_itself() -> None:
    """A few kilobytes that say to be 2,500 megapixels; and such that take more memory than there is."""
    assert isinstance(refused(_png_of(50_000, 50_000)), LargePictureError)
    assert isinstance(refused(_png_of(12_000, 12_000), most_pixels=10**9), LargePictureError)


def test_a_bomb_in_a_text_is_not_unpacked() -> None:
    text = b"Comment\0\0" + zlib.compress(b"a" * 200_000_000, 9)
    plain = file_of(drawn(), "PNG")
    assert isinstance(refused(plain[:33] + picturing._chunk((b"zTXt", text)) + plain[33:]), InputError)


def _png_of(width: int, height: int) -> bytes:
    """A PNG of one colour, of which every line is there."""
    packed, pack = b"", zlib.compressobj(9)
    line = b"\0" + b"\0" * (width * 3)
    for _ in range(min(height, 200)):
        packed += pack.compress(line)
    packed += pack.flush()
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", packed), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(map(picturing._chunk, chunks))


def test_a_file_that_readers_stumble_over_is_refused() -> None:
    """Whatever a byte becomes: it is read, or refused in words; nothing else ends the process that reads."""
    whole = bytearray(file_of(drawn(40, 30), "PNG"))
    for at in range(8, len(whole), 23):
        broken = bytes(whole[:at]) + bytes([whole[at] ^ 0xFF]) + bytes(whole[at + 1 :])
        try:
            made(broken)
        except InputError:
            continue


@pytest.mark.parametrize(
    ("program", "kind"),
    [
        ("import time; time.sleep(99)", LargePictureError),
        ("import os; os.kill(os.getpid(), 9)", LargePictureError),
        ("import os; os.kill(os.getpid(), 24)", LargePictureError),
        ("import sys; sys.exit(1)", NotReadyError),
        ("print('no JPEG')", NotReadyError),
        ("import sys\nwhile True: sys.stdout.write('\\xff' * 9_999)", NotReadyError),
    ],
    ids=["slow", "killed", "computing", "broken", "other", "endless"],
)
def test_a_process_that_was_killed_or_is_broken_gives_no_picture(
    program: str, kind: type[RecsysError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It does not read what is sent, which is more than fits into a pipe."""
    (tmp_path / "program.py").write_text(program)
    for name, value in (("_ROOT", str(tmp_path)), ("_PROGRAM", "program"), ("_PATIENCE", 0.4)):
        monkeypatch.setattr(making, name, value)
    assert type(refused(bytes(1_000_000))) is kind


def test_whoever_takes_over_the_process_can_open_nothing() -> None:
    """No file and no socket, also in place of one that it closes: the limits are those of the system."""
    program = """
import os, socket, sys
from recsys.serving.pictures.remaking import Limits, _give_up
_give_up(Limits(64, 1024, 10**6, 300, 5))
os.close(0)
for tried in (lambda: open("/etc/passwd"), lambda: open("/tmp/canary", "w"), socket.socket):
    try:
        tried()
    except OSError:
        continue
    sys.exit("opened")
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env={"PYTHONPATH": making._ROOT})
    assert (done.returncode, done.stderr) == (0, b"")


def test_who_draws_lets_others_go_first() -> None:
    program = """
import os
from recsys.serving.pictures.remaking import Limits, _give_up
before = os.nice(0)
_give_up(Limits(64, 1024, 10**6, 300, 5))
print(before, os.nice(0))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, env={"PYTHONPATH": making._ROOT})
    before, after = map(int, done.stdout.split())
    assert after == min(before + 10, 19)


def test_pictures_are_taken_in_one_by_one_and_so_many_at_once() -> None:
    maker = Maker(load_settings(overrides={"images": {"received_at_once": 2}}).images)
    with maker.taking("ana"), maker.taking("ben"):
        for who in ("ana", "cho"):
            with pytest.raises(TooManyRequestsError), maker.taking(who):
                pass
    with maker.taking("cho"), maker.taking("ana"):
        pass


def test_pictures_are_made_by_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of three one waits, until another one is made, or until it has waited for too long."""
    maker, done = Maker(load_settings(overrides={"images": {"at_once": 2}}).images), list[str]()

    async def make(who: str, until: asyncio.Event) -> None:
        async with maker.turn():
            await until.wait()
            done.append(who)

    async def all_of_them() -> None:
        first, never, now = asyncio.Event(), asyncio.Event(), asyncio.Event()
        now.set()
        ana, ben, cho = (asyncio.create_task(make(*each)) for each in (("ana", first), ("ben", never), ("cho", now)))
        await asyncio.sleep(0.01)
        assert done == []
        first.set()
        await asyncio.gather(ana, cho)
        assert done == ["ana", "cho"]
        monkeypatch.setattr(making, "_PATIENCE", 0.001)
        dan = asyncio.create_task(make("dan", never))
        await asyncio.sleep(0.01)
        with pytest.raises(TooManyRequestsError):
            await make("eva", now)
        for each in (ben, dan):
            each.cancel()

    asyncio.run(all_of_them())


def test_the_beginning_says_of_which_kind_a_file_is() -> None:
    assert [format_of(file_of(drawn(), each)) for each in FORMATS] == list(FORMATS)
    assert format_of(b"RIFF....WAVE") is None
    assert format_of(b"\0\0\0\x18ftypheic") is None
