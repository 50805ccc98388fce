"""Reading images in pieces: the pixels of OpenCV for every kind of file, in any order, and errors that help."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from rotx._rust import ImageReader
from rotx.images.window_cache import open_image
from tiffs import write_tiff

Pixels = NDArray[np.uint8]
WIDTH, HEIGHT = 83, 57


def picture(samples: int = 3, dtype: type = np.uint8, seed: int = 0) -> NDArray[Any]:
    """Smooth colours with noise: (H, W, samples)."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    most = np.iinfo(dtype).max
    waves = [np.sin(x / (5 + i) + i) * np.cos(y / (7 - i)) for i in range(samples)]
    noise = rng.normal(0, 0.05, (HEIGHT, WIDTH, samples))
    return (np.clip(np.stack(waves, -1) / 2 + 0.5 + noise, 0, 1) * most).astype(dtype)


def whole(path: Path) -> Pixels:
    reader = open_image(path)
    return reader.read(0, 0, reader.width, reader.height)


def check(path: Path, expected: Pixels | None = None) -> Pixels:
    """The whole equals OpenCV's (or what is expected), and pieces in any order equal the whole."""
    if expected is None:
        expected = cv2.imread(str(path), cv2.IMREAD_COLOR)
        assert expected is not None, "OpenCV reads it"
    pixels = whole(path)
    assert pixels.shape == expected.shape
    different = np.flatnonzero((pixels != expected).any((1, 2)))
    assert not len(different), f"rows {different[:5]}: {pixels[different[0], :2]} is not {expected[different[0], :2]}"
    reader, rng = open_image(path), np.random.default_rng(len(path.name))
    for _ in range(12):
        x0, x1 = sorted(rng.integers(0, reader.width + 1, 2))
        y0, y1 = sorted(rng.integers(0, reader.height + 1, 2))
        piece = reader.read(int(x0), int(y0), int(x1 - x0), int(y1 - y0))
        np.testing.assert_array_equal(piece, expected[y0:y1, x0:x1], str((x0, y0, x1, y1)))
    for y in range(0, reader.height, 10):
        rows = min(10, reader.height - y)
        np.testing.assert_array_equal(reader.read(0, y, reader.width, rows), expected[y : y + rows])
    return pixels


# --- PNG ---------------------------------------------------------------------------------------------------------


def png(image: NDArray[Any], kind: int, bits: int, chunks: bytes = b"", *, interlaced: bool = False) -> bytes:
    """A PNG of (H, W, samples) whose samples are bytes even if they are of fewer bits."""

    def chunk(name: bytes, data: bytes) -> bytes:
        return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))

    def rows(image: NDArray[Any]) -> bytes:
        if bits < 8:
            packed = np.unpackbits(image.astype(np.uint8)[..., None], axis=-1)[..., 8 - bits :]
            lines = np.packbits(packed.reshape(len(image), -1), axis=1)
        else:
            lines = np.frombuffer(image.astype(f">u{bits // 8}").tobytes(), np.uint8).reshape(len(image), -1)
        return b"".join(b"\0" + line.tobytes() for line in lines)

    steps = [(0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2)]
    passes = [image[y::dy, x::dx] for x, y, dx, dy in steps] if interlaced else [image]
    data = zlib.compress(b"".join(rows(p) for p in passes if p.size))
    head = struct.pack(">IIBBBBB", image.shape[1], image.shape[0], bits, kind, 0, 0, interlaced)
    parts = b"".join(chunk(b"IDAT", data[i : i + 1000]) for i in range(0, len(data), 1000))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunks + parts + chunk(b"IEND", b"")


def png_chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


PALETTE = np.random.default_rng(1).integers(0, 256, (256, 3), dtype=np.uint8)


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("kind", "samples", "bits"),
    [
        (0, 1, 1),
        (0, 1, 2),
        (0, 1, 4),
        (0, 1, 8),
        (0, 1, 16),
        (2, 3, 8),
        (2, 3, 16),
        (4, 2, 8),
        (4, 2, 16),
        (6, 4, 8),
        (6, 4, 16),
        (3, 1, 1),
        (3, 1, 2),
        (3, 1, 4),
        (3, 1, 8),
    ],
)
def test_png(tmp_path: Path, kind: int, samples: int, bits: int, interlaced: bool) -> None:
    image = picture(samples, np.uint16 if bits == 16 else np.uint8) >> max(0, 8 - bits)
    chunks = png_chunk(b"PLTE", PALETTE[: 1 << min(bits, 8)].tobytes()) if kind == 3 else b""
    path = tmp_path / "a.png"
    path.write_bytes(png(image, kind, bits, chunks, interlaced=interlaced))
    check(path)


@pytest.mark.parametrize(("kind", "samples", "trns"), [(0, 1, b"\0\x80"), (2, 3, b"\0\1\0\2\0\3"), (3, 1, b"\0\x80")])
def test_png_with_transparent_colour(tmp_path: Path, kind: int, samples: int, trns: bytes) -> None:
    chunks = png_chunk(b"PLTE", PALETTE.tobytes()) if kind == 3 else b""
    path = tmp_path / "a.png"
    path.write_bytes(png(picture(samples), kind, 8, chunks + png_chunk(b"tRNS", trns)))
    check(path)


# --- JPEG --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("subsampling", ["4:4:4", "4:2:2", "4:2:0", "4:4:0", "4:1:1"])
@pytest.mark.parametrize("progressive", [False, True])
@pytest.mark.parametrize("restart", [0, 3])
def test_jpeg(tmp_path: Path, subsampling: str, progressive: bool, restart: int) -> None:
    factor = {"4:4:4": "444", "4:2:2": "422", "4:2:0": "420", "4:4:0": "440", "4:1:1": "411"}[subsampling]
    options = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, getattr(cv2, f"IMWRITE_JPEG_SAMPLING_FACTOR_{factor}")]
    options += [cv2.IMWRITE_JPEG_PROGRESSIVE, int(progressive), cv2.IMWRITE_JPEG_RST_INTERVAL, restart]
    path = tmp_path / "a.jpg"
    cv2.imwrite(str(path), picture(), options)
    check(path)


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_jpeg_of_other_colours(tmp_path: Path, mode: str) -> None:
    path = tmp_path / "a.jpg"
    image = picture(1)[:, :, 0] if mode == "L" else picture(4)
    Image.fromarray(image, mode).save(path, quality=90)
    check(path)


def test_jpeg_ycck_and_rgb(tmp_path: Path) -> None:
    """The Adobe marker says which of the two a file of four, or of three, samples is."""
    path, file = tmp_path / "a.jpg", io.BytesIO()
    Image.fromarray(picture(4), "CMYK").save(file, "jpeg")
    at = file.getvalue().index(b"Adobe")
    path.write_bytes(file.getvalue()[: at + 11] + b"\2" + file.getvalue()[at + 12 :])
    check(path)
    plain = cv2.imencode(".jpg", picture())[1].tobytes()
    adobe = b"\xff\xee\0\x0eAdobe\0\x64\0\0\0\0\0"
    path.write_bytes(plain[:2] + adobe + plain[20:])  # without JFIF, which says YCbCr
    check(path)


# --- orientation -------------------------------------------------------------------------------------------------

TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda a: a,
    2: lambda a: a[:, ::-1],
    3: lambda a: a[::-1, ::-1],
    4: lambda a: a[::-1],
    5: lambda a: a.transpose(1, 0, 2),
    6: lambda a: np.rot90(a, -1),
    7: lambda a: a[::-1, ::-1].transpose(1, 0, 2),
    8: lambda a: np.rot90(a),
}


@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("suffix", ["png", "jpg", "tif"])
def test_orientation(tmp_path: Path, orientation: int, suffix: str) -> None:
    path, plain = tmp_path / f"a.{suffix}", tmp_path / f"plain.{suffix}"
    image, exif = Image.fromarray(picture()), Image.Exif()
    exif[274] = orientation
    image.save(plain)
    image.save(path, exif=exif)
    expected = TURNS.get(orientation, TURNS[1])(cv2.imread(str(plain)))
    check(path, expected)
    if suffix != "tif" or orientation < 5:  # OpenCV 5 cannot load a TIFF that lies on its side
        np.testing.assert_array_equal(cv2.imread(str(path)), expected)


def test_orientation_after_the_pixels_of_a_png(tmp_path: Path) -> None:
    path, exif = tmp_path / "a.png", b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0"
    content = png(picture(), 2, 8)
    path.write_bytes(content[:-12] + png_chunk(b"eXIf", exif) + content[-12:])
    assert whole(path).shape == (WIDTH, HEIGHT, 3)
    check(path)


# --- TIFF --------------------------------------------------------------------------------------------------------

LAYOUTS: dict[str, dict[str, Any]] = {
    "one strip": {},
    "strips": {"rows": 5},
    "tiles": {"tile": (32, 16)},
    "a tile that is larger": {"tile": (128, 64)},
    "strips of planes": {"rows": 7, "planar": True},
    "tiles of planes": {"tile": (16, 32), "planar": True},
}
KINDS: dict[str, tuple[int, int, type, dict[str, Any]]] = {
    "grey": (1, 1, np.uint8, {}),
    "inverted": (0, 1, np.uint8, {}),
    "grey 16": (1, 1, np.uint16, {}),
    "inverted 16": (0, 1, np.uint16, {}),
    "grey and alpha": (1, 2, np.uint8, {"tags": {338: (3, [2])}}),
    "rgb": (2, 3, np.uint8, {}),
    "rgb 16": (2, 3, np.uint16, {}),
    "rgb and alpha": (2, 4, np.uint8, {"tags": {338: (3, [2])}}),
    "rgb 16 and alpha": (2, 4, np.uint16, {"tags": {338: (3, [2])}}),
    "rgb by alpha": (2, 4, np.uint8, {"tags": {338: (3, [1])}}),
    "rgb and another": (2, 4, np.uint8, {"tags": {338: (3, [0])}}),
    "cmyk": (5, 4, np.uint8, {}),
    "palette": (3, 1, np.uint8, {"tags": {320: (3, [int(c) * 257 for c in PALETTE.T.ravel()])}}),
}


@pytest.mark.parametrize("compression", [1, 5, 8, 32773])
@pytest.mark.parametrize(
    ("kind", "layout"),
    [(k, layout) for k in KINDS for layout in LAYOUTS if KINDS[k][1] > 1 or "planes" not in layout],
)
def test_tiff(tmp_path: Path, kind: str, layout: str, compression: int) -> None:
    photometric, samples, dtype, options = KINDS[kind]
    path = tmp_path / "a.tif"
    order = "<" if compression in (1, 8) else ">"
    predictor = 2 if compression in (5, 8) else 1
    options = {**LAYOUTS[layout], **options, "compression": compression, "order": order, "predictor": predictor}
    image = picture(samples, dtype)
    write_tiff(path, image, photometric, **options)
    check(path, grey(image, photometric) if photometric < 2 else None)


def grey(image: NDArray[Any], photometric: int) -> Pixels:
    """What grey is to become. OpenCV 5.0, by libtiff, shears tiles of 16 bits and of alpha at the right edge of the
    image, takes planes of grey and alpha for one, and does not read 2 and 4 bits."""
    upper = image[:, :, :1] >> (image.itemsize * 8 - 8)
    return np.repeat(255 - upper if photometric == 0 else upper, 3, 2).astype(np.uint8)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("photometric", [0, 1, 3])
@pytest.mark.parametrize("layout", ["strips", "tiles"])
@pytest.mark.parametrize("compression", [1, 8])
def test_tiff_of_few_bits(tmp_path: Path, bits: int, photometric: int, layout: str, compression: int) -> None:
    colours = PALETTE[: 1 << bits].T.ravel().astype(int) * 257
    tags = {320: (3, colours.tolist())} if photometric == 3 else {}
    path = tmp_path / "a.tif"
    options = {**LAYOUTS[layout], "bits": bits, "tags": tags, "compression": compression}
    image = picture(1) >> (8 - bits)
    write_tiff(path, image, photometric, **options)
    if photometric == 3:
        check(path, PALETTE[image[:, :, 0], ::-1])
        return
    if bits == 1:
        check(path)
    check(path, grey((image.astype(int) * 255 // (2**bits - 1)).astype(np.uint8), photometric))


@pytest.mark.parametrize("layout", ["one strip", "strips", "tiles"])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("order", ["<", ">"])
def test_tiff_headers(tmp_path: Path, layout: str, big: bool, order: str) -> None:
    path = tmp_path / "a.tif"
    write_tiff(path, picture(3, np.uint16), 2, order=order, big=big, **LAYOUTS[layout])
    check(path)
    write_tiff(path, picture(3, np.uint16), 2, order=order, big=big, compression=8, predictor=2, **LAYOUTS[layout])
    check(path)


@pytest.mark.parametrize("tile", [None, (32, 16)])
@pytest.mark.parametrize("samples", [1, 3])
@pytest.mark.parametrize("photometric", [6, 2])
def test_tiff_of_jpeg(tmp_path: Path, tile: tuple[int, int] | None, samples: int, photometric: int) -> None:
    def compress(block: Pixels) -> bytes:
        block = block[:, :, ::-1] if samples == 3 else block
        factor = cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420 if photometric == 6 else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444
        content = cv2.imencode(".jpg", block, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, factor])[1].tobytes()
        return content[:2] + content[20:]  # without JFIF, which libtiff does not write

    path = tmp_path / "a.tif"
    photometric = photometric if samples == 3 else 1
    tags = {530: (3, [2, 2])} if photometric == 6 else {}
    write_tiff(path, picture(samples), photometric, compression=7, tile=tile, rows=16, compress=compress, tags=tags)
    check(path)


def test_tiff_of_jpeg_by_pillow(tmp_path: Path) -> None:
    """libtiff writes the tables once, for all strips."""
    path = tmp_path / "a.tif"
    Image.fromarray(picture()).save(path, compression="jpeg", quality=90)
    check(path)


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits", None])
@pytest.mark.parametrize("pages", [1, 3])
def test_tiff_by_pillow(tmp_path: Path, compression: str | None, pages: int) -> None:
    path = tmp_path / "a.tif"
    images = [Image.fromarray(picture(seed=seed)) for seed in range(pages)]
    images[0].save(path, compression=compression, save_all=True, append_images=images[1:])
    check(path)


def test_tiff_of_more_bands(tmp_path: Path) -> None:
    """OpenCV refuses more than four samples; the first three are the picture."""
    path = tmp_path / "a.tif"
    for layout in LAYOUTS.values():
        write_tiff(path, picture(6), 2, compression=8, tags={338: (3, [0, 0, 0])}, **layout)
        check(path, picture(6)[:, :, 2::-1])


# --- BMP ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["1", "L", "P", "RGB", "RGBA"])
@pytest.mark.parametrize("top_down", [False, True])
def test_bmp(tmp_path: Path, mode: str, top_down: bool) -> None:
    path = tmp_path / "a.bmp"
    image = Image.fromarray(picture(4), "RGBA")
    image = image.convert("RGB").quantize(13) if mode == "P" else image.convert(mode)
    image.save(path)
    if top_down:
        content = bytearray(path.read_bytes())
        content[22:26] = struct.pack("<i", -HEIGHT)
        path.write_bytes(content)
    check(path)
    for channels in (1, 3, 4):
        cv2.imwrite(str(path), picture(channels))
        check(path)


def test_bmp_of_4_bits_and_of_os2(tmp_path: Path) -> None:
    path, indices = tmp_path / "a.bmp", picture(1)[:, :, 0] >> 4
    stride = -(-WIDTH * 4 // 32) * 4
    pairs = np.pad(indices, ((0, 0), (0, stride * 2 - WIDTH)))
    rows = ((pairs[:, ::2] << 4) | pairs[:, 1::2])[::-1].tobytes()
    colours = PALETTE[:16]
    head = struct.pack("<IiiHHIIIIII", 40, WIDTH, HEIGHT, 1, 4, 0, 0, 0, 0, 0, 0)
    quads = np.pad(colours, ((0, 0), (0, 1))).tobytes()
    path.write_bytes(b"BM" + struct.pack("<IHHI", 0, 0, 0, 54 + 64) + head + quads + rows)
    check(path, colours[indices])
    head = struct.pack("<IHHHH", 12, WIDTH, HEIGHT, 1, 4)
    path.write_bytes(b"BM" + struct.pack("<IHHI", 0, 0, 0, 26 + 48) + head + colours.tobytes() + rows)
    check(path, colours[indices])


# --- what cannot be read -----------------------------------------------------------------------------------------


def files(tmp_path: Path) -> dict[str, bytes]:
    """A small file of every format."""
    found = {}
    for suffix, options in {
        "png": [],
        "jpg": [],
        "progressive.jpg": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
        "restart.jpg": [cv2.IMWRITE_JPEG_RST_INTERVAL, 4],
        "bmp": [],
    }.items():
        found[suffix] = cv2.imencode(f".{suffix.split('.')[-1]}", picture(), options)[1].tobytes()
    found["interlaced.png"] = png(picture(), 2, 8, interlaced=True)
    for compression in (1, 5, 8, 32773):
        for layout in ("strips", "tiles"):
            path = tmp_path / "a"
            write_tiff(path, picture(), 2, compression=compression, **LAYOUTS[layout])
            found[f"{layout}{compression}.tif"] = path.read_bytes()
    path = tmp_path / "a.tif"
    Image.fromarray(picture()).save(path, compression="jpeg")
    found["jpeg.tif"] = path.read_bytes()
    return found


def test_files_that_are_cut_off(tmp_path: Path) -> None:
    """Wherever a file ends too early, that is said; nothing is filled up with grey."""
    path = tmp_path / "cut"
    for name, content in files(tmp_path).items():
        if name.endswith("tif"):  # their directories are at the end; so that only pixels are missing, they go first
            continue
        path.write_bytes(content)
        whole(path)
        for length in [*range(8, len(content) - 1, max(1, len(content) // 60)), len(content) - 1, len(content) - 2]:
            path.write_bytes(content[:length])
            with pytest.raises(ValueError, match=r"is cut off|claims|damaged") as error:
                whole(path)
            if length > len(content) // 2:
                assert "is cut off" in str(error.value), (name, length, len(content))


def test_tiffs_that_are_cut_off(tmp_path: Path) -> None:
    for name, content in files(tmp_path).items():
        if not name.endswith("tif"):
            continue
        path = tmp_path / "cut.tif"
        for length in range(8, len(content) - 4, max(1, len(content) // 60)):
            path.write_bytes(content[:length])
            with pytest.raises(ValueError, match=r"is cut off|claims|cannot hold"):
                whole(path)


@pytest.mark.parametrize("name", ["png", "interlaced.png", "jpg", "progressive.jpg", "restart.jpg"])
def test_damaged_middle(tmp_path: Path, name: str) -> None:
    """Pixels that a wrong byte has taken along are not passed off as those of the image."""
    content, path = bytearray(files(tmp_path)[name]), tmp_path / "a"
    middle = len(content) // 2
    content[middle : middle + 40] = b"\xff\xd0" * 20 if name.endswith("jpg") else bytes(40)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"damaged|CRC|cut off"):
        whole(path)


def test_harmless_oddities_of_jpeg(tmp_path: Path) -> None:
    """Bytes before a marker and after the end are passed over, as everywhere."""
    content, path = cv2.imencode(".jpg", picture())[1].tobytes(), tmp_path / "a.jpg"
    at = content.index(b"\xff\xdb")
    path.write_bytes(content[:at] + b"\0\0\0" + content[at:] + b"\0" * 100)
    check(path)


def test_lying_headers(tmp_path: Path) -> None:
    """A small file that claims a huge image is refused before memory is taken for it."""
    path = tmp_path / "a"
    content = bytearray(png(picture(), 2, 8))
    content[16:24] = struct.pack(">II", 100_000, 100_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"claims 100,000 x 100,000 pixels, more than its [\d,]+ bytes can hold"):
        ImageReader(path)
    content = bytearray(cv2.imencode(".jpg", picture(), [cv2.IMWRITE_JPEG_PROGRESSIVE, 1])[1].tobytes())
    at = content.index(b"\xff\xc2")
    content[at + 5 : at + 9] = struct.pack(">HH", 60_000, 60_000)
    path.write_bytes(content)
    with pytest.raises(ValueError, match="claims 60,000 x 60,000 pixels"):
        ImageReader(path)
    content = bytearray(cv2.imencode(".bmp", picture())[1].tobytes())
    content[18:26] = struct.pack("<ii", 100_000, 100_000)
    path.write_bytes(content)
    with pytest.raises(ValueError, match=r"a: claims 100,000 x 100,000 pixels, more than its [\d,]+ bytes can hold"):
        open_image(path)
    for compression in (1, 5, 8, 32773):
        size = {256: (4, [100_000]), 257: (4, [100_000]), 278: (4, [100_000])}
        write_tiff(path, picture(), 2, compression=compression, tags=size)
        with pytest.raises(ValueError, match=r"claims 100,000 x 100,000 pixels|cannot hold|cut off"):
            ImageReader(path)


def test_what_is_not_read_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    for tags, message in (
        ({339: (3, [3])}, "floating point numbers.*gdal_translate -ot Byte -scale"),
        ({339: (3, [2])}, "signed numbers"),
        ({259: (3, [50000])}, r"compressed by ZSTD \(50000\).*COMPRESS=DEFLATE"),
        ({259: (3, [34925])}, "LZMA"),
        ({262: (3, [8])}, "photometric interpretation 8"),
        ({258: (3, [32, 32, 32])}, "32 bits"),
        ({258: (3, [5, 6, 5])}, "unequal bits"),
        ({262: (3, [6])}, "YCbCr with 3 samples of 8 bits without JPEG"),
        ({278: (4, [0])}, "tiles of 83 x 0"),
        ({257: (4, [0])}, "83 x 0 pixels"),
    ):
        write_tiff(path, picture(), 2, tags=tags)
        with pytest.raises(ValueError, match=message):
            ImageReader(path)
    write_tiff(path, picture(), 2, compression=8, tags={317: (3, [3])})
    with pytest.raises(ValueError, match="predictor 3"):
        ImageReader(path)
    write_tiff(path, picture()[..., :2], 1, tags={259: (3, [7])})
    with pytest.raises(ValueError, match="is a TIFF of 2 samples of 8 bits in JPEG, which is not read"):
        ImageReader(path)
    bmp = bytearray(cv2.imencode(".bmp", picture())[1].tobytes())
    bmp[30] = 1
    path.write_bytes(bmp)
    with pytest.raises(ValueError, match=r"a\.tif: holds no image that OpenCV can read"):
        whole(path)
    with pytest.raises(ValueError, match="is a BMP, which OpenCV reads whole"):
        ImageReader(path)
    for content, message in (
        (b"", "is empty"),
        (b"GIF89a...", "is no PNG, JPEG, TIFF or BMP"),
        (b"\x89PNG", "cut off"),
    ):
        path.write_bytes(content)
        with pytest.raises(ValueError, match=message):
            ImageReader(path)
    with pytest.raises(ValueError, match="no such file"):
        ImageReader(tmp_path / "none.png")


def test_names_and_use_after_an_error(tmp_path: Path) -> None:
    """Files are known by what they hold, whatever they are called; a reader that failed can be asked again."""
    path = tmp_path / "Zürich 図 1__1024__0___0.jpg"
    path.write_bytes(cv2.imencode(".png", picture())[1].tobytes())
    np.testing.assert_array_equal(whole(path), picture())
    content = bytearray(files(tmp_path)["jpg"])
    content[len(content) // 2 :] = b"\xff\xd0" * 100
    path.write_bytes(content)
    reader = ImageReader(path)
    first = reader.read(0, 0, WIDTH, 8)
    for _ in range(2):
        with pytest.raises(ValueError, match="damaged"):
            reader.read(0, 0, WIDTH, HEIGHT)
    np.testing.assert_array_equal(reader.read(0, 0, WIDTH, 8), first)


# --- real images -------------------------------------------------------------------------------------------------


def test_real_images(shared: Path) -> None:
    """A patch of a large JPEG, and an image of DOTA."""
    path = shared / "data/large_images/bmng.jpg"
    patch = ImageReader(path).read(1000, 500, 1024, 1024)
    np.testing.assert_array_equal(patch, cv2.imread(str(path))[500:1524, 1000:2024])
    path = shared / "data/dota_whole/lin_sinorodin/val/images/P0003.png"
    np.testing.assert_array_equal(whole(path), cv2.imread(str(path)))
