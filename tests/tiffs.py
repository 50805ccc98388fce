"""A small writer of TIFF files of every layout, for tests of reading them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


def pack_bits(data: bytes) -> bytes:
    """The compression PackBits: runs of equal bytes and of others."""
    out, i = bytearray(), 0
    while i < len(data):
        run = 1
        while run < 128 and i + run < len(data) and data[i + run] == data[i]:
            run += 1
        if run > 1:
            out += bytes([257 - run, data[i]])
        else:
            while i + run < len(data) and run < 128 and data[i + run] != data[i + run - 1]:
                run += 1
            out += bytes([run - 1]) + data[i : i + run] + b"\x80"  # and what says nothing
        i += run
    return bytes(out)


def lzw(data: bytes) -> bytes:
    """The compression LZW, with codes that widen one early, as TIFF wants."""
    table: dict[bytes, int] = {}
    codes: list[tuple[int, int]] = [(256, 9)]
    bits, prefix = 9, b""
    for i in range(len(data)):
        longer = data[i : i + 1] if not prefix else prefix + data[i : i + 1]
        if len(longer) == 1 or longer in table:
            prefix = longer
            continue
        codes.append((prefix[0] if len(prefix) == 1 else table[prefix], bits))
        table[longer] = 258 + len(table)
        bits = (258 + len(table)).bit_length() if 258 + len(table) < 4095 else 12
        if len(table) == 4094 - 258:
            codes.append((256, 12))
            table, bits = {}, 9
        prefix = data[i : i + 1]
    codes += [(prefix[0] if len(prefix) == 1 else table[prefix], bits)] if prefix else []
    codes.append((257, (259 + len(table)).bit_length() if prefix else bits))
    text = "".join(f"{code:0{width}b}" for code, width in codes)
    return int(text.ljust(-len(text) // 8 * -8, "0"), 2).to_bytes(-(-len(text) // 8), "big")


#: Compressions by their numbers.
COMPRESS: dict[int, Callable[[bytes], bytes]] = {1: bytes, 5: lzw, 8: zlib.compress, 32773: pack_bits}


def _encoded(block: NDArray[Any], bits: int, predictor: int, order: str) -> bytes:
    if predictor == 2:
        block = np.concatenate([block[:, :1], np.diff(block, axis=1)], axis=1)
    if bits < 8:
        high = np.unpackbits(block[..., None].astype(np.uint8), axis=-1)[..., 8 - bits :]
        return np.packbits(high.reshape(len(block), -1), axis=1).tobytes()
    return block.astype(block.dtype.newbyteorder(order)).tobytes()


def write_tiff(
    path: Path,
    image: NDArray[Any],
    photometric: int,
    *,
    compression: int = 1,
    tile: tuple[int, int] | None = None,
    rows: int | None = None,
    planar: bool = False,
    predictor: int = 1,
    bits: int | None = None,
    order: str = "<",
    big: bool = False,
    compress: Callable[[NDArray[Any]], bytes] | None = None,
    tags: Mapping[int, tuple[int, list[int]]] | None = None,
) -> None:
    """Writes (H, W, samples) uint8 or uint16.

    Args:
        tile: width and height of tiles; strips of ``rows`` rows (all, if None) without it.
        compress: makes the bytes of a strip or tile; by default that of ``compression``.
        tags: further tags, their types and values; they replace those that are written anyhow.
    """
    height, width, samples = image.shape
    bits = bits or image.itemsize * 8
    size = tile or (width, rows or height)
    planes = [image[:, :, i : i + 1] for i in range(samples)] if planar else [image]
    blocks = []
    for plane in planes:
        for y in range(0, height, size[1]):
            for x in range(0, width, size[0]):
                block = plane[y : y + size[1], x : x + size[0]]
                if tile:
                    missing = (size[1] - block.shape[0], size[0] - block.shape[1])
                    block = np.pad(block, ((0, missing[0]), (0, missing[1]), (0, 0)), mode="edge")
                raw = compress(block) if compress else COMPRESS[compression](_encoded(block, bits, predictor, order))
                blocks.append(raw)
    out = bytearray(16 if big else 8)
    starts = []
    for raw in blocks:
        starts.append(len(out))
        out += raw + b"\0" * (len(raw) % 2)
    lengths = [len(raw) for raw in blocks]
    long = 16 if big else 4
    entries: dict[int, tuple[int, list[int]]] = {
        256: (4, [width]),
        257: (4, [height]),
        258: (3, [bits] * samples),
        259: (3, [compression]),
        262: (3, [photometric]),
        277: (3, [samples]),
        284: (3, [2 if planar else 1]),
        317: (3, [predictor]),
    }
    if tile:
        entries |= {322: (4, [size[0]]), 323: (4, [size[1]]), 324: (long, starts), 325: (long, lengths)}
    else:
        entries |= {273: (long, starts), 278: (4, [size[1]]), 279: (long, lengths)}
    _finish(out, entries | dict(tags or {}), order, big)
    path.write_bytes(out)


def _finish(out: bytearray, entries: Mapping[int, tuple[int, list[int]]], order: str, big: bool) -> None:
    """Adds the directory of tags, and the header that says where it is."""
    letters = {1: "B", 3: "H", 4: "I", 7: "B", 16: "Q"}
    room, offset = (8, "Q") if big else (4, "I")
    directory = b""
    for tag, (kind, values) in sorted(entries.items()):
        raw = struct.pack(f"{order}{len(values)}{letters[kind]}", *values)
        if len(raw) > room:
            start = len(out)
            out += raw + b"\0" * (len(raw) % 2)
            raw = struct.pack(f"{order}{offset}", start)
        directory += struct.pack(f"{order}HH{offset}", tag, kind, len(values)) + raw.ljust(room, b"\0")
    header = (b"II" if order == "<" else b"MM") + struct.pack(f"{order}H", 43 if big else 42)
    header += struct.pack(f"{order}HHQ", 8, 0, len(out)) if big else struct.pack(f"{order}I", len(out))
    out[: len(header)] = header
    out += struct.pack(f"{order}{'Q' if big else 'H'}", len(entries)) + directory + b"\0" * room
