"""Mutated image files: a result or an ImageError, each within 10 s, all of them within 1 GiB.

python tests/fuzz/test_fuzz_images.py COUNT SEED        (what the test runs in a process of its own)
"""

from __future__ import annotations

import io
import json
import random
import resource
import struct
import subprocess
import sys
import time
import zlib
from collections.abc import Callable
from itertools import islice
from typing import Any

import numpy as np
import pytest
from PIL import Image

from dld_core.errors import ImageError
from dld_core.images import load_image, load_pages, open_image

SECONDS, BYTES = 10.0, 2**30
QUICK = 1500
"""Mutations without --fuzz."""
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


def mutated(content: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """A file with some damage, near its beginning as often as anywhere."""
    data = bytearray(content)
    for _ in range(rng.randint(1, 3)):
        at = rng.randrange(min(len(data), rng.choice((64, len(data)))))
        kind = rng.random()
        if kind < 0.5:
            data[at] = rng.randrange(256)
        elif kind < 0.75:
            order, (form, size) = rng.choice("<>"), rng.choice((("H", 2), ("I", 4)))
            data[at : at + size] = struct.pack(order + form, rng.choice(EXTREME) & (256**size - 1))
        elif kind < 0.85:
            del data[at : at + rng.randint(1, 40)]
        elif kind < 0.95:
            data[at:at] = rng.choice(others)[at : at + rng.randint(1, 40)]
        else:
            del data[max(at, 12) :]
        data = data or bytearray(b"\0")
    return with_checksums(bytes(data)) if data.startswith(b"\x89PNG") and rng.random() < 0.8 else bytes(data)


def with_checksums(png: bytes) -> bytes:
    """A PNG whose chunks have the right checksums, so that damage reaches the decoder."""
    data, at = bytearray(png), 8
    while at + 12 <= len(data):
        end = at + 8 + int.from_bytes(data[at : at + 4], "big")
        data[end : end + 4] = zlib.crc32(data[at + 4 : end]).to_bytes(4, "big")
        at = end + 4
    return bytes(data)


def read(content: bytes) -> tuple[int, float]:
    """How many readings of a file succeed, and the seconds of computing that the slowest took."""
    openers: list[Callable[[], object]] = [
        lambda: open_image(content, exif=False),
        lambda: load_image(content).pixels,
        lambda: list(islice(load_pages(content), 5)),
    ]
    fine, slowest = 0, 0.0
    for opener in openers:
        start = time.process_time()
        try:
            opener()
            fine += 1
        except ImageError:
            pass
        slowest = max(slowest, time.process_time() - start)
    return fine, slowest


def main(count: int, seed: int) -> None:
    """Print the slowest reading, the peak memory and how many readings succeeded."""
    rng, files = random.Random(seed), samples()
    slowest, fine = 0.0, 0
    for index in range(count):
        content = mutated(files[index % len(files)], files, rng)
        successes, seconds = read(content)
        assert seconds < SECONDS, content.hex()
        slowest, fine = max(slowest, seconds), fine + successes
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(json.dumps({"slowest": slowest, "peak": peak, "fine": fine}))


def test_samples_open() -> None:
    assert {read(content)[0] for content in samples()} == {3}


def test_mutated_images_give_a_result_or_our_error(request: pytest.FixtureRequest) -> None:
    count = int(request.config.getoption("--fuzz", default=None) or QUICK)
    command = [sys.executable, "-W", "error", __file__, str(count), "7"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stderr == ""
    found = json.loads(done.stdout)
    assert found["peak"] < BYTES
    assert found["fine"] > count / 4, "most files are so damaged that nothing is tested"


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
