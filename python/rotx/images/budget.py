"""Limits of memory for images that are held whole: what a file can hold, and the greatest number of pixels.

`rotx._rust` checks PNG, JPEG and TIFF by the same limits. For the formats that only OpenCV reads, the size is taken
from the header here, before OpenCV sees the file: it would allocate whatever the header claims.
"""

from __future__ import annotations

import os
import re
from typing import NamedTuple

#: Environment variable with the greatest number of pixels of an image that is held whole; workers inherit it.
VARIABLE = "ROTX_MAX_PIXELS"
#: Its default; also OpenCV's limit.
MOST_PIXELS = 1 << 30
#: Pixels that a byte may hold where a compression has no limit of its own: WebP, JPEG 2000, AVIF, and runs of zeros.
_PIXELS_PER_BYTE = 1 << 14
#: Number of pixels that a file of any length may claim in such a compression: 48 MiB.
_FEW_PIXELS = 1 << 24


class Header(NamedTuple):
    """Size that the header of an image claims.

    Attributes:
        width, height: Size in pixels.
        bits: Least number of bits that a pixel takes in the file; 0 if the compression sets no limit.
    """

    width: int
    height: int
    bits: int = 0


def max_pixels() -> int:
    """Greatest number of pixels of an image that is held in memory whole.

    Raises:
        ValueError: If the environment variable ``ROTX_MAX_PIXELS`` is no positive whole number.
    """
    text = os.environ.get(VARIABLE)
    if text is None:
        return MOST_PIXELS
    if not text.isascii() or not text.isdigit() or int(text) < 1:
        raise ValueError(f"{VARIABLE}: need a positive whole number, got '{text}'")
    return int(text)


def set_max_pixels(number: int) -> None:
    """Sets :func:`max_pixels` for this process and those that it starts; OpenCV heeds it if not yet imported."""
    os.environ[VARIABLE] = str(number)
    os.environ["OPENCV_IO_MAX_IMAGE_PIXELS"] = str(max(number, MOST_PIXELS))


def check_whole(width: int, height: int) -> None:
    """Refuses an image that is too large to be held whole.

    Raises:
        ValueError: For more pixels than :func:`max_pixels`.
    """
    if width * height > max_pixels():
        raise ValueError(
            f"has {width:,} x {height:,} pixels, too many to be held in memory whole, up to {max_pixels():,}: allow "
            "more with --max-pixels"
        )


def check_header(content: bytes, length: int) -> None:
    """Refuses an image of a format that only OpenCV reads if its header claims more than the file can hold.

    Args:
        content: The file, or its beginning.
        length: Length of the file in bytes.

    Raises:
        ValueError: If the header claims no pixels, or too many.
    """
    header = read_header(content)
    if header is None:
        return
    width, height, bits = header
    if width < 1 or height < 1:
        raise ValueError(f"is damaged: it claims {width} x {height} pixels")
    claim = f"claims {width:,} x {height:,} pixels, more than its {length:,} bytes can hold"
    if bits and width * height * bits > length * 8:
        raise ValueError(claim)
    unlikely = not bits and width * height > max(_FEW_PIXELS, length * _PIXELS_PER_BYTE)
    if unlikely and not (VARIABLE in os.environ and width * height <= max_pixels()):
        raise ValueError(f"{claim}; if it is meant to, allow it with --max-pixels")
    check_whole(width, height)


def read_header(content: bytes) -> Header | None:
    """Size by the header of a BMP, PNM, WebP, JPEG 2000, GIF, AVIF, Sun raster, Radiance or OpenEXR file.

    None if the file is of another format, or too short.
    """
    for start, read in _FORMATS:
        if start.match(content):
            return read(content) if len(content) >= 32 or start is _PNM else None
    return None


def _int(content: bytes, at: int, length: int, *, big: bool = False, signed: bool = False) -> int:
    return int.from_bytes(content[at : at + length], "big" if big else "little", signed=signed)


def _bmp(content: bytes) -> Header:
    if _int(content, 14, 4) == 12:  # of OS/2
        return Header(_int(content, 18, 2), _int(content, 20, 2), _int(content, 24, 2))
    width, height = _int(content, 18, 4, signed=True), abs(_int(content, 22, 4, signed=True))
    return Header(width, height, 0 if _int(content, 30, 4) in (1, 2) else max(1, _int(content, 28, 2)))


def _pnm(content: bytes) -> Header | None:
    numbers = _PNM_SIZE.match(content)
    if numbers is None:
        return None
    # As plain text, a sample takes at least a digit.
    bits = {b"4": 1, b"3": 24, b"6": 24, b"F": 96, b"f": 32}.get(content[1:2], 8)
    return Header(int(numbers[1]), int(numbers[2]), bits)


def _pam(content: bytes) -> Header | None:
    sizes = dict(re.findall(rb"^(WIDTH|HEIGHT|DEPTH)\s+(\d{1,10})\s*$", content[:4096], re.MULTILINE))
    if len(sizes) < 3:
        return None
    return Header(int(sizes[b"WIDTH"]), int(sizes[b"HEIGHT"]), 8 * max(1, int(sizes[b"DEPTH"])))


def _webp(content: bytes) -> Header | None:
    kind = content[12:16]
    if kind == b"VP8X":
        return Header(1 + _int(content, 24, 3), 1 + _int(content, 27, 3))
    if kind == b"VP8L":
        sides = _int(content, 21, 4)
        return Header(1 + (sides & 0x3FFF), 1 + (sides >> 14 & 0x3FFF))
    return Header(_int(content, 26, 2) & 0x3FFF, _int(content, 28, 2) & 0x3FFF) if kind == b"VP8 " else None


def _jpeg2000(content: bytes) -> Header | None:
    at = content.find(b"\xff\x4f\xff\x51")
    if at < 0 or len(content) < at + 24:
        return None
    right, bottom, left, top = (_int(content, at + 8 + 4 * i, 4, big=True) for i in range(4))
    return Header(right - left, bottom - top)


def _gif(content: bytes) -> Header:
    return Header(_int(content, 6, 2), _int(content, 8, 2))


def _avif(content: bytes) -> Header | None:
    """The largest of the sizes that the file states: of the image, its tiles and its thumbnails."""
    sizes = [match.end() + 4 for match in re.finditer(b"ispe", content)]
    found = [Header(_int(content, at, 4, big=True), _int(content, at + 4, 4, big=True)) for at in sizes]
    return max(found, key=lambda header: header.width * header.height, default=None)


def _sun(content: bytes) -> Header:
    width, height, bits = (_int(content, at, 4, big=True) for at in (4, 8, 12))
    return Header(width, height, 0 if _int(content, 20, 4, big=True) == 2 else max(1, bits))


def _radiance(content: bytes) -> Header | None:
    sides = re.search(rb"\n[-+]Y (\d{1,10}) [-+]X (\d{1,10})", content[: 1 << 16])
    return Header(int(sides[2]), int(sides[1])) if sides else None


def _exr(content: bytes) -> Header | None:
    at = content.find(b"dataWindow\0box2i\0")
    if at < 0 or len(content) < at + 37:
        return None
    left, top, right, bottom = (_int(content, at + 21 + 4 * i, 4, signed=True) for i in range(4))
    return Header(right - left + 1, bottom - top + 1)


_PNM = re.compile(rb"P[1-6Ff][\s#]")
_PNM_SIZE = re.compile(rb"P.(?:\s|#[^\n]*\n)+(\d{1,10})(?:\s|#[^\n]*\n)+(\d{1,10})", re.DOTALL)
_FORMATS = (
    (re.compile(b"BM"), _bmp),
    (_PNM, _pnm),
    (re.compile(rb"P7\s"), _pam),
    (re.compile(rb"RIFF....WEBP", re.DOTALL), _webp),
    (re.compile(rb"\0\0\0\x0cjP  |\xff\x4f\xff\x51"), _jpeg2000),
    (re.compile(b"GIF8"), _gif),
    (re.compile(rb"....ftyp", re.DOTALL), _avif),
    (re.compile(rb"\x59\xa6\x6a\x95"), _sun),
    (re.compile(rb"#\?R"), _radiance),
    (re.compile(rb"\x76\x2f\x31\x01"), _exr),
)
