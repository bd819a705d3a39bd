"""Image files of every format, broken at random: a result or an ImageError, in bounded time and memory."""

from __future__ import annotations

import io
import random
import struct
import zlib
from itertools import islice
from typing import Any

import numpy as np
from mutate import mutated, survives
from PIL import Image

from dld_core.images import load_image, load_pages, open_image

EXTREME = (0, 1, 0x7F, 0xFF, 0x7FFF, 0xFFFF, 0x7FFFFFFF, 0xFFFFFFFF)


def samples() -> list[bytes]:
    """Small files of all formats, depths and structures."""
    rng = np.random.default_rng(0)
    noise = Image.fromarray(rng.integers(0, 256, (40, 52, 3), np.uint8))
    clear = Image.fromarray(rng.integers(0, 256, (40, 52, 4), np.uint8))
    wide = Image.fromarray(rng.integers(0, 4096, (40, 52), np.uint16))
    exif = Image.Exif()
    exif[0x0112] = 6
    more: dict[str, Any] = {"save_all": True, "append_images": [noise.rotate(90), noise.rotate(180)]}
    kinds: list[tuple[Image.Image, str, dict[str, Any]]] = [
        (noise, "JPEG", {"exif": exif}),
        (noise, "JPEG", {"progressive": True}),
        (noise.convert("CMYK"), "JPEG", {}),
        (noise, "PNG", {"exif": exif}),
        (clear, "PNG", {}),
        (wide, "PNG", {}),
        (noise.quantize(16), "PNG", {"transparency": bytes(range(16))}),
        (noise, "PNG", more),
        (noise, "TIFF", {"exif": exif}),
        *((noise, "TIFF", {"compression": c} | more) for c in ("tiff_lzw", "jpeg", "tiff_adobe_deflate")),
        (noise.convert("1"), "TIFF", {"compression": "group4"}),
        (wide.convert("I"), "TIFF", {}),
        (Image.fromarray(np.asarray(wide) / np.float32(4095)), "TIFF", {}),
        (noise, "WEBP", {"exif": exif}),
        (clear, "WEBP", {"lossless": True}),
        (noise, "WEBP", more),
        (noise, "GIF", {}),
        (noise.quantize(8), "GIF", more | {"transparency": 0, "disposal": 2}),
        (noise, "BMP", {}),
        (noise.quantize(8), "BMP", {}),
        (noise, "PPM", {}),
        (noise, "JPEG2000", {}),
        (clear, "ICO", {}),
    ]
    files = []
    for picture, kind, options in kinds:
        buffer = io.BytesIO()
        picture.save(buffer, kind, **options)
        files.append(buffer.getvalue())
    return files


def broken(content: bytes, rng: random.Random) -> bytes:
    """A file with some damage, to the numbers of its header as often as to any bytes."""
    if rng.random() < 0.5:
        data = bytearray(content)
        for _ in range(rng.randint(1, 3)):
            at, (form, size) = rng.randrange(min(len(data), 96)), rng.choice((("B", 1), ("H", 2), ("I", 4)))
            data[at : at + size] = struct.pack(rng.choice("<>") + form, rng.choice(EXTREME) % 256**size)
    else:
        data = bytearray(mutated(content, rng))
    return with_checksums(bytes(data)) if data.startswith(b"\x89PNG") and rng.random() < 0.8 else bytes(data)


def with_checksums(png: bytes) -> bytes:
    """A PNG whose chunks have the right checksums, so that damage reaches the decoder."""
    data, at = bytearray(png), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(data)


def read(content: bytes) -> None:
    open_image(content, exif=False)
    load_image(content)
    list(islice(load_pages(content), 5))


def test_samples_open() -> None:
    for content in samples():
        read(content)


def test_any_image(fuzz_rounds: int | None, fuzz_seed: int) -> None:
    rng, files, fine = random.Random(f"images {fuzz_seed}"), samples(), 0
    rounds = fuzz_rounds or 600
    for index in range(rounds):
        content = broken(files[index % len(files)], rng)
        fine += survives(content[:200], read, content)
    assert fine > rounds / 10, "most files are so damaged that nothing is tested"
