"""Damaged images through both readers: the one of training, and the one of windows.

``python tests/images/fuzz.py 100000`` reads that many mutants of small images of every format, in a process that may
take 1 GiB of address space beyond its libraries, and prints what happened: each mutant gives pixels or an
`UnreadableImage` of one line within 5 s. A process that ends is started again after the mutant that ended it. A second
number is the first mutant: they are numbered, and each can be made again.
"""

from __future__ import annotations

import faulthandler
import io
import json
import os
import random
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zlib
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image, features

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from rotx.images.files import UnreadableImage, image_size, read_image
from rotx.images.window_cache import WindowCache, open_image
from rotx.records import Window
from tiffs import write_tiff

BEYOND = 1 << 30
"""Address space in bytes beyond the libraries."""
HANG = 5
"""Seconds after which a reader hangs."""
SIDES = (83, 61)


def seeds(folder: Path) -> dict[str, bytes]:
    """A small file of every format and kind."""
    y, x = np.mgrid[: SIDES[1], : SIDES[0]]
    bgr = np.stack([x * 3 + y, x * y // 8, 255 - x - y], 2).astype(np.uint8)
    rgb, grey = Image.fromarray(bgr[..., ::-1]), bgr[..., :1]
    exif = Image.Exif()
    exif[0x0112] = 6
    found = {}

    def save(name: str, image: Image.Image, kind: str, **options: Any) -> None:
        out = io.BytesIO()
        image.save(out, kind, **options)
        found[name] = out.getvalue()

    save("rgb.png", rgb, "PNG")
    save("exif.png", rgb, "PNG", exif=exif)
    save("palette.png", rgb.quantize(13), "PNG")
    save("bit.png", rgb.convert("1"), "PNG")
    save("grey16.png", Image.fromarray(bgr[..., 0].astype(np.uint16) * 257), "PNG")
    save("animated.png", rgb, "PNG", save_all=True, append_images=[rgb.rotate(9)])
    found["interlaced.png"] = interlaced()
    save("jpeg.jpg", rgb, "JPEG")
    save("progressive.jpg", rgb, "JPEG", progressive=True)
    save("exif.jpg", rgb, "JPEG", exif=exif)
    save("cmyk.jpg", rgb.convert("CMYK"), "JPEG")
    save("gif.gif", rgb.quantize(50), "GIF")
    save("lossy.webp", rgb, "WEBP")
    save("lossless.webp", rgb, "WEBP", lossless=True)
    save("palette.bmp", rgb.quantize(13), "BMP")
    save("bit.pbm", rgb.convert("1"), "PPM")
    for suffix in ("bmp", "ppm", "pgm", "jp2", "ras", "hdr", "pam"):
        found[f"cv2.{suffix}"] = cv2.imencode(f".{suffix}", grey if suffix == "pgm" else bgr)[1].tobytes()
    for compression in ("group4", "zstd", "lzma", "jpeg", "tiff_adobe_deflate"):
        try:
            image = rgb.convert("1") if compression == "group4" else rgb
            save(f"{compression}.tif", image, "TIFF", compression=compression)
        except (OSError, ValueError):
            continue  # this Pillow has no such compression
    if features.check("avif"):
        save("avif.avif", rgb, "AVIF")
    path = folder / "seed.tif"
    layouts: dict[str, dict[str, Any]] = {"strips": {"rows": 16}, "tiles": {"tile": (32, 16)}, "big": {"big": True}}
    for layout, options in layouts.items():
        for compression in (1, 5, 8, 32773):
            write_tiff(path, bgr, 2, compression=compression, **options)
            found[f"{layout}{compression}.tif"] = path.read_bytes()
    write_tiff(path, grey.astype(np.uint16) * 257, 1, compression=8, predictor=2, tags={274: (3, [6])})
    found["turned16.tif"] = path.read_bytes()
    write_tiff(path, grey >> 7, 0, bits=1, planar=True)
    found["bit.tif"] = path.read_bytes()
    write_tiff(path, grey >> 4, 3, bits=4, compression=5, tags={320: (3, list(range(48)))})
    found["palette.tif"] = path.read_bytes()
    write_tiff(path, bgr, 2, compression=8, tile=(16, 16), tags={324: (4, [0] * 24), 325: (4, [0] * 24)})
    found["left_out.tif"] = path.read_bytes()
    path.unlink()
    return found


def interlaced() -> bytes:
    """An interlaced PNG of grey zeros."""
    head = struct.pack(">IIBBBBB", *SIDES, 8, 0, 0, 0, 1)
    parts = [(b"IHDR", head), (b"IDAT", zlib.compress(bytes((SIDES[0] + 9) * SIDES[1]))), (b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data)) for name, data in parts
    )


def mutant(files: dict[str, bytes], number: int) -> tuple[str, bytes]:
    """The name of a seed, and the seed damaged in up to four places."""
    chance = random.Random(number)
    name = chance.choice(sorted(files))
    content = bytearray(files[name])
    for _ in range(chance.randint(1, 4)):
        if not content:
            break
        # Headers, and directories at the end, are short: half of the damage goes there.
        near = min(len(content), 160)
        at = chance.choice([chance.randrange(near), -1 - chance.randrange(near), chance.randrange(len(content))])
        at %= len(content)
        match chance.randrange(7):
            case 0:
                content[at] ^= 1 << chance.randrange(8)
            case 1:
                content[at] = chance.choice([0, 255, 128, 127, chance.randrange(256)])
            case 2:  # a number that is too large, in either order of bytes
                size = chance.choice([2, 4])
                value = chance.choice([0, 1, 0xFFFF, 0x7FFF, 1 << 8 * size - 2, (1 << 8 * size) - 1, 50_000, 1 << 15])
                value = min(value, (1 << 8 * size) - 1)
                content[at : at + size] = value.to_bytes(size, chance.choice(["little", "big"]))
            case 3:
                del content[at : at + chance.randint(1, 6)]
            case 4:
                content[at:at] = bytes([chance.choice([0, 255, 1])]) * chance.randint(1, 6)
            case 5:
                content[at : at + 8] = content[at : at + 8] * chance.randint(2, 60)
            case _:
                if chance.random() < 0.2:
                    del content[max(1, at) :]
    if name.endswith("png") and chance.random() < 0.7:
        right_checksums(content)  # else few mutants come further than those
    return name, bytes(content)


def right_checksums(content: bytearray) -> None:
    """Writes the checksums of the chunks of a PNG, as far as they can be followed."""
    at = 8
    while at + 12 <= len(content):
        end = at + 8 + int.from_bytes(content[at : at + 4], "big")
        if end + 4 > len(content):
            return
        content[end : end + 4] = zlib.crc32(content[at + 4 : end]).to_bytes(4, "big")
        at = end + 4


def whole(path: Path) -> None:
    """Reads as training does."""
    pixels = read_image(path)
    assert pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8


def windows(path: Path) -> None:
    """Reads a window at the bottom and one at the top, as `predict` and virtual tiles do."""
    reader, cache = open_image(path), WindowCache()
    right, bottom = min(64, reader.width), min(64, reader.height)
    for top in (reader.height - bottom, 0):
        cache.read(path, Window((0, top, right, top + bottom), None, 1 << 20))


def read_mutants(first: int, count: int, folder: Path) -> None:
    """Reads mutants; notes the number of each before it is read, and prints the result as JSON."""
    cv2.setNumThreads(1)
    files, path = seeds(folder), folder / "image"
    read: tuple[Callable[[Path], None], ...] = (whole, windows)
    for content in files.values():  # loads the libraries
        path.write_bytes(content)
        for reader in read:
            try:
                reader(path)
            except UnreadableImage:
                continue
    space = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize() + BEYOND
    resource.setrlimit(resource.RLIMIT_AS, (space, space))
    good, reasons, slowest = 0, Counter[str](), (0.0, -1)
    for number in range(first, first + count):
        (folder / "number").write_text(str(number))
        path.write_bytes(mutant(files, number)[1])
        faulthandler.dump_traceback_later(HANG, exit=True)
        start = time.perf_counter()
        for reader in read:
            try:
                reader(path)
                good += 1
            except UnreadableImage as error:
                assert error.reason and "\n" not in str(error) and str(path) in str(error), str(error)
                reasons[error.reason[:12]] += 1
        size = image_size(path)
        assert size is None or min(size) > 0
        slowest = max(slowest, (time.perf_counter() - start, number))
    faulthandler.cancel_dump_traceback_later()
    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
    print(json.dumps({"good": good, "refused": sum(reasons.values()), "slowest": slowest, "peak_mb": usage}))


def fuzz(count: int, first: int = 0) -> tuple[list[str], list[dict[str, Any]]]:
    """Reads mutants in processes of their own; returns what ended them, and the results of the others."""
    ended, results, end = [], [], first + count
    env = {**os.environ, "OPENCV_LOG_LEVEL": "SILENT"}  # OpenCV reads it when it is imported
    with tempfile.TemporaryDirectory() as folder:
        while first < end:
            number = min(5000, end - first)
            words = [sys.executable, __file__, str(number), str(first), folder]
            done = subprocess.run(words, capture_output=True, text=True, env=env)
            if done.returncode == 0:
                results.append(json.loads(done.stdout))
                first += number
                continue
            last = Path(folder, "number")
            if not last.exists():
                raise RuntimeError(done.stderr)
            bad = int(last.read_text())
            name = mutant(seeds(Path(folder)), bad)[0]
            ended.append(f"mutant {bad} of {name}: exit code {done.returncode}\n{done.stderr[-2000:]}")
            first = bad + 1
    return ended, results


if __name__ == "__main__":
    if len(sys.argv) == 4:
        read_mutants(int(sys.argv[2]), int(sys.argv[1]), Path(sys.argv[3]))
        sys.exit()
    start = time.perf_counter()
    ended, results = fuzz(int(sys.argv[1]), int(sys.argv[2]) if len(sys.argv) > 2 else 0)
    print("\n".join(ended))
    print(f"{len(ended)} of {sys.argv[1]} mutants ended the process; {time.perf_counter() - start:.0f} s")
    if results:
        good, refused = (sum(result[key] for result in results) for key in ("good", "refused"))
        slowest, peak = max(result["slowest"] for result in results), max(result["peak_mb"] for result in results)
        print(f"read {good:,}, refused {refused:,}; slowest {slowest[0]:.2f} s (mutant {slowest[1]}); peak {peak} MB")
    sys.exit(1 if ended else 0)
