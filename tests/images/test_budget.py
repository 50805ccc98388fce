"""What images may take of memory: what their files can hold, and no more than the user allows."""

from __future__ import annotations

import io
import os
import struct
import subprocess
import sys
import zlib
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from fuzz import fuzz, interlaced, right_checksums
from PIL import Image, features

from rotx._rust import ImageReader
from rotx.annotations.check.images import decode
from rotx.cli import main
from rotx.images.budget import check_header, read_header
from rotx.images.files import UnreadableImage, image_size, read_image
from rotx.images.preview import preview
from rotx.images.window_cache import open_image
from rotx.tiling.windowed_image import WindowedImage
from tiffs import write_tiff

BGR = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)


def encoded(suffix: str, image: np.ndarray = BGR) -> bytearray:
    return bytearray(cv2.imencode(suffix, image)[1].tobytes())


def by_pillow(kind: str, image: Image.Image | None = None, **options: object) -> bytearray:
    out = io.BytesIO()
    (image or Image.fromarray(BGR[..., ::-1])).save(out, kind, **options)
    return bytearray(out.getvalue())


def put(content: bytearray, at: int, layout: str, *numbers: int) -> bytes:
    struct.pack_into(layout, content, at, *numbers)
    if content.startswith(b"\x89PNG"):
        right_checksums(content)
    return bytes(content)


def left_out(width: int, samples: int, length: int) -> bytes:
    """A TIFF whose only strip, of one row of 16-bit samples, is left out."""
    rows = [(256, 4, width), (257, 4, 1), (258, 3, 16), (259, 3, 8), (262, 3, 1), (273, 4, 0), (277, 3, samples)]
    rows += [(278, 4, 1), (279, 4, 0)]
    body = b"".join(struct.pack("<HHII", tag, kind, 1, value) for tag, kind, value in rows)
    return (b"II*\0" + struct.pack("<IH", 8, len(rows)) + body + bytes(4)).ljust(length, b"\0")


def of_tags(**tags: tuple[int, list[int]]) -> bytes:
    """A TIFF compressed by Deflate with other tags."""
    path = Path(os.environ["PYTEST_TIFF"])
    write_tiff(path, BGR, 2, compression=8, tags={int(tag[1:]): value for tag, value in tags.items()})
    return path.read_bytes()


def many_scans() -> bytes:
    """A progressive JPEG whose first scan comes 200 times."""
    content = by_pillow("JPEG", progressive=True)
    start = content.index(b"\xff\xda")
    end = content.index(b"\xff\xc4", start)
    return bytes(content[:start] + content[start:end] * 200 + content[end:])


#: Files, and what the error says. The first two are cases that came from outside.
CLAIMS: dict[str, tuple[Callable[[], bytes], str]] = {
    "left out row": (
        lambda: left_out(66_048_000, 1024, 8122),
        r"claims 135,266,304,000 bytes for a row .* 8,122 bytes",
    ),
    "PNG chunk of 4 GB": (lambda: put(encoded(".png"), 33, ">B", 0xFF), "is cut off"),
    "left out row of 17 GB": (lambda: left_out(8_256_000, 1024, 1122), r"claims 16,908,288,000 bytes .* 1,122 bytes"),
    "interlaced": (lambda: put(bytearray(interlaced()), 16, ">II", 50_000, 50_000), "claims 50,000 x 50,000 pixels"),
    "PNG of RGB": (lambda: put(encoded(".png"), 16, ">II", 6000, 1000 * 1000), "claims 6,000 x 1,000,000 pixels"),
    "PNG of a palette": (
        lambda: put(by_pillow("PNG", Image.fromarray(BGR).quantize(9)), 16, ">II", 1 << 30, 3),
        "claims 1,073,741,824 x 3 pixels",
    ),
    "PNG of 1 bit": (
        lambda: put(by_pillow("PNG", Image.fromarray(BGR).convert("1")), 16, ">II", 40_000, 30_000),
        "claims 40,000 x 30,000 pixels",
    ),
    "PNG turned by EXIF": (
        lambda: put(
            by_pillow("PNG", exif=b"II*\0\x08\0\0\0\x01\0\x12\x01\x03\0\x01\0\0\0\x06" + bytes(7)), 16, ">I", 1 << 30
        ),
        "claims 1,073,741,824 x 60 pixels",
    ),
    "PNG text beyond the end": (
        lambda: encoded(".png")[:33] + b"\x7f\xff\xff\xfftEXt" + encoded(".png")[33:],
        "is cut off",
    ),
    "JPEG": (
        lambda: put(c := encoded(".jpg"), c.index(b"\xff\xc0") + 5, ">HH", 65_000, 65_000),
        "claims 65,000 x 65,000",
    ),
    "progressive JPEG": (
        lambda: put(c := by_pillow("JPEG", progressive=True), c.index(b"\xff\xc2") + 5, ">HH", 60_000, 9000),
        "claims 9,000 x 60,000 pixels",
    ),
    "JPEG of 200 scans": (many_scans, "more than 100 scans"),
    "TIFF": (lambda: of_tags(t256=(4, [1 << 20]), t257=(4, [1 << 20])), "claims 1,048,576 x 1,048,576 pixels"),
    "BigTIFF sizes": (lambda: of_tags(t256=(16, [1 << 62])), "claims 4,611,686,018,427,387,904 x 60 pixels"),
    "TIFF of ZSTD": (
        lambda: of_tags(t256=(4, [1 << 31]), t257=(4, [9000]), t259=(3, [50000])),
        "claims 2,147,483,648 x 9,000",
    ),
    "TIFF of floats": (lambda: of_tags(t256=(4, [1 << 26]), t339=(3, [3])), "claims 67,108,864 x 60 pixels"),
    "TIFF tile": (lambda: of_tags(t322=(4, [65_536]), t323=(4, [65_536])), "tiles of 65536 x 65536 pixels"),
    "TIFF tile of ZSTD": (
        lambda: of_tags(t322=(4, [65_536]), t323=(4, [65_536]), t259=(3, [50000])),
        "tiles of 65536 x 65536 pixels",
    ),
    "TIFF samples": (lambda: of_tags(t256=(4, [8000]), t258=(3, [16] * 1000), t277=(3, [1000])), "cannot hold"),
    "BMP": (lambda: put(encoded(".bmp"), 18, "<ii", 30_000, 30_000), "claims 30,000 x 30,000 pixels"),
    "BMP from the top": (lambda: put(encoded(".bmp"), 18, "<ii", 30_000, -30_000), "claims 30,000 x 30,000 pixels"),
    "WebP": (lambda: put(by_pillow("WEBP"), 26, "<HH", 16_383, 16_383), "claims 16,383 x 16,383 pixels"),
    "lossless WebP": (
        lambda: put(by_pillow("WEBP", lossless=True), 21, "<I", 0x0FFFFFFF),
        "claims 16,384 x 16,384 pixels",
    ),
    "PPM": (lambda: b"P6 # 4 4\n32000 32000\n255\n" + bytes(100), "claims 32,000 x 32,000 pixels"),
    "PGM": (lambda: b"P5\n32000 32000\n65535\n" + bytes(100), "claims 32,000 x 32,000 pixels"),
    "PBM": (lambda: b"P4\n32000\t32000\n" + bytes(100), "claims 32,000 x 32,000 pixels"),
    "PAM": (lambda: b"P7\nWIDTH 32000\nHEIGHT 32000\nDEPTH 4\nMAXVAL 255\nENDHDR\n", "claims 32,000 x 32,000 pixels"),
    "GIF": (lambda: put(by_pillow("GIF"), 6, "<HH", 30_000, 30_000), "claims 30,000 x 30,000 pixels"),
    "Sun raster": (lambda: put(encoded(".ras"), 4, ">II", 30_000, 30_000), "claims 30,000 x 30,000 pixels"),
    "Radiance": (lambda: encoded(".hdr").replace(b"-Y 60 +X 80", b"-Y 60000 +X 8000"), "claims 8,000 x 60,000 pixels"),
    "JPEG 2000": (
        lambda: put(c := encoded(".jp2"), c.index(b"\xff\x4f\xff\x51") + 8, ">II", 30_000, 30_000),
        "claims 30,000 x 30,000 pixels",
    ),
}


@pytest.mark.parametrize("name", CLAIMS)
def test_what_a_file_cannot_hold_is_refused(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By every reader, in one line with the file and the numbers, before memory is taken."""
    monkeypatch.setenv("PYTEST_TIFF", str(tmp_path / "made.tif"))
    make, reason = CLAIMS[name]
    path = tmp_path / "a.img"
    path.write_bytes(make())

    def window(path: Path) -> None:
        image = WindowedImage(path)
        image.read(np.array([0, 0, min(10**6, image.width), 1]))

    readers: list[Callable[[Path], object]] = [read_image, lambda path: preview(path, 100), window]
    for read in readers:
        with pytest.raises(UnreadableImage, match=reason) as caught:
            read(path)
        assert str(caught.value).startswith(f"{path}: ") and "\n" not in str(caught.value)
    image_size(path)
    assert decode(path).problem


def test_the_whole_folder_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither command ends at the damaged images: each is a line, and the others are done."""
    images = tmp_path / "set/images"
    images.mkdir(parents=True)
    (tmp_path / "set/labelTxt").mkdir()
    (images / "a.png").write_bytes(encoded(".png"))
    (images / "b.tif").write_bytes(left_out(66_048_000, 1024, 8122))
    (images / "c.jpg").write_bytes(encoded(".jpg"))
    (images / "d.png").write_bytes(put(encoded(".png"), 33, ">B", 0xFF))
    for name in "abcd":
        (tmp_path / f"set/labelTxt/{name}.txt").write_text("1 1 9 1 9 9 1 9 ship 0\n")
    commands = {
        "split": [images, tmp_path / "patches", "--size", 64, "--gap", 16],
        "check": [tmp_path / "set"],
        "browse": [tmp_path / "set", "--out", tmp_path / "drawn"],
    }
    for command, words in commands.items():
        result = CliRunner().invoke(main, [command, *map(str, words)], catch_exceptions=False)
        assert result.exit_code == 1, result.output
        for reason in ("b.tif: claims 135,266,304,000 bytes for a row", "d.png: is cut off"):
            assert reason in result.output, command
    assert {path.name[0] for path in (tmp_path / "patches/images").iterdir()} == {"a", "c"}
    assert len(list((tmp_path / "drawn").iterdir())) == 2


SIZES: dict[str, Callable[[], bytes]] = {
    **{
        suffix: lambda suffix=suffix: bytes(encoded(suffix))
        for suffix in (".bmp", ".ppm", ".webp", ".jp2", ".ras", ".hdr")
    },
    ".pgm": lambda: bytes(encoded(".pgm", BGR[..., 0])),
    ".pam": lambda: bytes(encoded(".pam")),
    ".pbm": lambda: bytes(by_pillow("PPM", Image.fromarray(BGR).convert("1"))),
    "lossless.webp": lambda: bytes(by_pillow("WEBP", lossless=True)),
    "turned.webp": lambda: bytes(by_pillow("WEBP", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0")),
    ".gif": lambda: bytes(by_pillow("GIF")),
    "plain.ppm": lambda: b"P3\n# made\n80 60\n255\n" + b"1 2 3 " * 4800,
    "os2.bmp": lambda: b"BM" + bytes(12) + struct.pack("<IHHHH", 12, 80, 60, 1, 24) + bytes(80 * 60 * 3),
    **({".avif": lambda: bytes(by_pillow("AVIF"))} if features.check("avif") else {}),
}


@pytest.mark.parametrize("name", SIZES)
def test_sizes_of_what_opencv_reads(name: str) -> None:
    content = SIZES[name]()
    header = read_header(content)
    assert header is not None and header[:2] == (80, 60)
    check_header(content, len(content))


@pytest.mark.parametrize("pixels", [np.zeros((4096, 4096), np.uint8), np.zeros((2000, 3000, 3), np.uint8)])
def test_blank_images_are_read(pixels: np.ndarray, tmp_path: Path) -> None:
    """They take the fewest bytes."""
    for suffix in (".png", ".webp", ".jpg", ".tif", ".jp2"):
        path = tmp_path / f"a{suffix}"
        cv2.imwrite(str(path), pixels)
        assert not read_image(path).any(), suffix
        assert image_size(path) == pixels.shape[:2], suffix
    Image.fromarray(pixels).save(path := tmp_path / "b.webp", lossless=True)
    assert not read_image(path).any()
    Image.fromarray(pixels).convert("1").save(path := tmp_path / "b.png")
    assert not read_image(path).any()
    Image.fromarray(pixels).convert("1").save(path := tmp_path / "b.tif", compression="group4")
    assert not read_image(path).any()


def test_max_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It bounds what is held whole, and lets the user read what looks damaged."""
    path = tmp_path / "a.png"
    path.write_bytes(encoded(".png"))
    monkeypatch.setenv("ROTX_MAX_PIXELS", "4799")
    with pytest.raises(UnreadableImage, match=r"has 80 x 60 pixels, .* up to 4,799: allow more with --max-pixels"):
        read_image(path)
    assert open_image(path).width == 80  # which is read by rows
    path.write_bytes(interlaced())
    with pytest.raises(ValueError, match="has 83 x 61 pixels, and an interlaced image is held in memory whole"):
        ImageReader(path)
    for options, what in (
        ({"progressive": True}, "a JPEG of several scans"),
        ({"exif": exif()}, "an EXIF orientation"),
    ):
        path.write_bytes(by_pillow("JPEG", **options))
        with pytest.raises(ValueError, match=f"has 80 x 60 pixels, and .*{what}"):
            ImageReader(path)
    path.write_bytes(encoded(".webp"))
    with pytest.raises(UnreadableImage, match="allow more with --max-pixels"):
        read_image(path)
    monkeypatch.setenv("ROTX_MAX_PIXELS", "4800")
    assert read_image(path).shape == (60, 80, 3)
    content = left_out(50_000_000, 1, 600)  # by no means damaged, but all zeros
    for allowed, reason in (("49999999", "allow it with --max-pixels"), ("50000000", "bytes for a row")):
        path.write_bytes(content)
        monkeypatch.setenv("ROTX_MAX_PIXELS", allowed)
        with pytest.raises(ValueError, match=reason):
            ImageReader(path)
    path.write_bytes(encoded(".png"))
    monkeypatch.setenv("ROTX_MAX_PIXELS", "many")
    with pytest.raises(UnreadableImage, match="ROTX_MAX_PIXELS: need a positive whole number, got 'many'"):
        read_image(path)


def exif() -> Image.Exif:
    found = Image.Exif()
    found[0x0112] = 6
    return found


def test_the_option(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ROTX_MAX_PIXELS", "1000000")  # restored after the test, as is what the option sets
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "1073741824")
    (tmp_path / "in").mkdir()
    (tmp_path / "in/a.bmp").write_bytes(encoded(".bmp"))
    words = ["split", str(tmp_path / "in"), str(tmp_path / "out"), "--size", "64", "--gap", "16", "--max-pixels"]
    result = CliRunner().invoke(main, [*words, "4000"], catch_exceptions=False)
    assert result.exit_code == 1 and "a.bmp: has 80 x 60 pixels, too many" in result.output
    result = CliRunner().invoke(main, [*words, "5000"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    assert CliRunner().invoke(main, [*words, "0"]).exit_code == 2


def test_no_second_reader_for_what_is_damaged(tmp_path: Path) -> None:
    """OpenCV would fill up the missing rows of this PNG with zeros."""
    path, content = tmp_path / "a.png", encoded(".png")
    content[-40] ^= 255
    path.write_bytes(content)
    for read in (read_image, lambda path: preview(path, 20)):
        with pytest.raises(UnreadableImage, match=r"damaged|CRC|cut off"):
            read(path)


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a limit of address space")
def test_memory_that_is_not_there(tmp_path: Path) -> None:
    """An image that is larger than the memory is an error, and the process goes on."""
    path = tmp_path / "a.png"
    rows = zlib.compress(bytes(30_001 * 30_000), 1)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 30_000, 30_000, 8, 0, 0, 0, 0)), (b"IDAT", rows), (b"IEND", b"")]
    body = [struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in parts]
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(body))
    code = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from rotx.images.files import read_image\n"
        "from rotx.images.window_cache import open_image\n"
        "space = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize() + (1 << 30)\n"
        "resource.setrlimit(resource.RLIMIT_AS, (space, space))\n"
        "path = Path(sys.argv[1])\n"
        "for read in (read_image, lambda path: open_image(path).read(0, 0, 30_000, 30_000)):\n"
        "    try: read(path)\n"
        "    except ValueError as error: print(error)\n"
        "print(open_image(path).read(0, 0, 30_000, 5).shape)\n"
    )
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    reason = "needs 2,700,000,000 bytes of memory, more than there are"
    assert done.stdout.splitlines() == [f"{path}: {reason}", reason, "(5, 30000, 3)"]


@pytest.mark.skipif(sys.platform != "linux", reason="needs /proc and a limit of address space")
def test_damaged_images() -> None:
    """Some of the mutants of `fuzz.py`."""
    ended, results = fuzz(1500)
    assert not ended, ended[0]
    assert results[0]["good"] > 300 and results[0]["refused"] > 1000 and results[0]["slowest"][0] < 5
