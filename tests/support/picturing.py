"""Pictures for tests, and such with canaries in everything that a file can hold beside what is to be seen."""

import base64
import struct
import zlib
from collections.abc import Iterator
from io import BytesIO

from PIL import Image, ImageCms

KINDS = ("exif", "xmp", "iptc", "mpf", "icc", "comment", "name")
FORMATS = ("JPEG", "PNG", "WEBP", "AVIF")


def drawn(width: int = 400, height: int = 300, *, mode: str = "RGB") -> Image.Image:
    """A picture whose quarters are red, green, blue and yellow, from the upper left on."""
    image = Image.new("RGB", (width, height), "red")
    for colour, corner in {
        "green": (width // 2, 0),
        "blue": (0, height // 2),
        "yellow": (width // 2, height // 2),
    }.items():
        image.paste(colour, (*corner, width, corner[1] + height // 2))
    return image.convert(mode)


def file_of(image: Image.Image, format_: str = "JPEG", **options: object) -> bytes:
    """The picture as a file."""
    written = BytesIO()
    image.save(written, format_, **({"quality": 90} if format_ != "PNG" else {}) | options)
    return written.getvalue()


def quarters(content: bytes) -> list[str]:
    """What colours the quarters of a picture have, from the upper left on."""
    image = Image.open(BytesIO(content)).convert("RGB")
    side = image.width
    return [
        min(_COLOURS, key=lambda name: _far(image.getpixel((x * side // 4, y * side // 4)), _COLOURS[name]))  # type: ignore[arg-type]
        for y in (1, 3)
        for x in (1, 3)
    ]


def canary(format_: str, kind: str) -> str:
    """A text that nothing else holds."""
    return f"canary-{kind}-{format_.lower()}-4711"


def with_canaries(format_: str) -> bytes:
    """A picture in which each kind of metadata that there is holds its canary."""
    return _WITH[format_]()


def forms(text: str) -> Iterator[bytes]:
    """What a text may have become on its way."""
    raw = text.encode()
    yield from (raw, text.encode("utf-16-le"), raw.hex().encode(), zlib.compress(raw))
    yield from (base64.b64encode(b" " * skip + raw)[4:-4] for skip in range(3))


def traces(content: bytes) -> list[str]:
    """The canaries of any format that are in some bytes."""
    every = [canary(format_, kind) for format_ in FORMATS for kind in KINDS]
    return [text for text in every if any(form in content for form in forms(text))]


def markers(content: bytes) -> set[int]:
    """The kinds of segments that a JPEG consists of, up to its first scan."""
    at, found = 2, set[int]()
    while 0xDA not in found:
        assert content[at] == 0xFF
        found.add(content[at + 1])
        at += 2 + int.from_bytes(content[at + 2 : at + 4], "big")
    return found


def exif_of(text: str, *, orientation: int = 1) -> bytes:
    """A TIFF structure with a place in words, and a small picture that holds the text as well."""
    small = file_of(drawn(16, 16), comment=text.encode())
    words = text.encode() + b"\0"
    gps_at = 8 + _ifd_bytes(2)
    second_at = gps_at + _ifd_bytes(1)
    words_at = second_at + _ifd_bytes(2)
    small_at = words_at + len(words)
    first = _ifd([(0x0112, 3, 1, orientation), (0x8825, 4, 1, gps_at)], following=second_at)
    gps = _ifd([(0x001C, 7, len(words), words_at)])
    second = _ifd([(0x0201, 4, 1, small_at), (0x0202, 4, 1, len(small))])
    return b"II*\0" + struct.pack("<I", 8) + first + gps + second + words + small


def _ifd_bytes(entries: int) -> int:
    return 2 + 12 * entries + 4


def _ifd(entries: list[tuple[int, int, int, int]], *, following: int = 0) -> bytes:
    lines = (struct.pack("<HHII", *entry) for entry in entries)
    return struct.pack("<H", len(entries)) + b"".join(lines) + struct.pack("<I", following)


def _contents(format_: str) -> dict[str, bytes]:
    """What each kind of metadata says; a profile is one that colours can be computed with."""
    told = {kind: canary(format_, kind) for kind in KINDS}
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    found = {kind: text.encode() for kind, text in told.items()}
    return found | {"exif": exif_of(told["exif"]), "icc": profile + told["icc"].encode()}


def _jpeg() -> bytes:
    plain, said = file_of(drawn()), _contents("JPEG")
    segments = (
        (0xE1, b"Exif\0\0" + said["exif"]),
        (0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>" + said["xmp"] + b"</x>"),
        (0xED, b"Photoshop 3.0\x008BIM\x04\x04\0\0\0\0" + struct.pack(">I", len(said["iptc"])) + said["iptc"]),
        (0xE2, b"ICC_PROFILE\0\1\1" + said["icc"]),
        (0xFE, said["comment"]),
        (0xEF, said["name"]),
    )
    head = b"".join(struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content for marker, content in segments)
    other = file_of(drawn(32, 32), comment=said["mpf"])  # a camera's second picture
    return plain[:2] + head + plain[2:] + b"\0" * 8 + other


def _png() -> bytes:
    plain, said = file_of(drawn(), "PNG"), _contents("PNG")
    chunks = (
        (b"iCCP", b"named\0\0" + zlib.compress(said["icc"])),
        (b"eXIf", said["exif"]),
        (b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + said["xmp"]),
        (b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(said["iptc"])),
        (b"mpFa", said["mpf"]),
        (b"tEXt", b"Comment\0" + said["comment"]),
        (b"tEXt", b"Title\0" + said["name"]),
        (b"tIME", struct.pack(">HBBBBB", 2026, 11, 1, 6, 0, 0)),
    )
    head = b"".join(map(_chunk, chunks))
    return plain[:33] + head + plain[33:]


def _chunk(named: tuple[bytes, bytes]) -> bytes:
    name, content = named
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def _webp() -> bytes:
    said = _contents("WEBP")
    names = {"iptc": b"IPTC", "mpf": b"MPF ", "comment": b"COMM", "name": b"NAME"}
    whole = file_of(drawn(), "WEBP", exif=said["exif"], xmp=said["xmp"], icc_profile=said["icc"])
    rest = b"".join(
        name + struct.pack("<I", len(said[kind])) + said[kind] + b"\0" * (len(said[kind]) % 2)
        for kind, name in names.items()
    )
    return whole[:4] + struct.pack("<I", len(whole) - 8 + len(rest)) + whole[8:] + rest


def _avif() -> bytes:
    said = _contents("AVIF")
    whole = file_of(drawn(), "AVIF", exif=said["exif"], xmp=said["xmp"], icc_profile=said["icc"])
    rest = (
        struct.pack(">I", 24 + len(said[kind])) + b"uuid" + b"\7" * 16 + said[kind]
        for kind in ("iptc", "mpf", "comment", "name")
    )
    return whole + b"".join(rest)


def _far(one: tuple[int, ...], other: tuple[int, ...]) -> int:
    return sum((a - b) ** 2 for a, b in zip(one, other, strict=True))


_COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 128, 0),
    "blue": (0, 0, 255),
    "yellow": (255, 255, 0),
    "white": (255, 255, 255),
}
_WITH = {"JPEG": _jpeg, "PNG": _png, "WEBP": _webp, "AVIF": _avif}
