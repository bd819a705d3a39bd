"""A folder of rendered pages: drawn once, read many times in random views."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from dld_core.config import write_file
from dld_core.types import Sample

_QUALITY = 95


class PageCache:
    """Pages by number, one file each; a page that is missing or damaged is drawn again.

    Files lie in a folder named after the renderer's options, so changed options never meet old
    pages. Several processes may use one cache: files appear whole or not at all.
    """

    def __init__(self, folder: str | Path, options: Mapping[str, Any]) -> None:
        key = json.dumps(dict(options), sort_keys=True, default=str)
        self.folder = Path(folder) / hashlib.sha256(key.encode()).hexdigest()[:12]

    def get(self, number: int, render: Callable[[], Sample]) -> Sample:
        """Page `number`, from its file or else from `render`, which must always give the same page."""
        path = self.folder / f"{number // 1000:04d}" / f"{number:07d}.npz"
        try:
            return unpack(path.read_bytes(), str(number))
        except (OSError, ValueError, KeyError):
            data = pack(render())
            write_file(path, data)
            # What is stored is slightly lossy: return that, so that the first view equals the later ones.
            return unpack(data, str(number))


def pack(sample: Sample) -> bytes:
    """A sample as npz bytes: the picture as JPEG, polygons flat, texts as JSON; nothing pickled."""
    bgr = cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR)
    _, jpeg = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    points = np.concatenate(sample.polygons) if sample.polygons else np.zeros((0, 2), np.float32)
    buffer = io.BytesIO()
    np.savez(
        buffer,
        jpeg=jpeg,
        points=points,
        counts=np.array([len(p) for p in sample.polygons], dtype=np.int64),
        ignore=sample.ignore,
        texts=np.frombuffer(json.dumps(sample.texts).encode(), dtype=np.uint8),
    )
    return buffer.getvalue()


def unpack(data: bytes, name: str) -> Sample:
    """The sample of `pack`. Raises ValueError or KeyError when the bytes are damaged."""
    import zipfile

    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            stored = {key: arrays[key] for key in arrays.files}
    except (zipfile.BadZipFile, EOFError) as error:
        raise ValueError(f"damaged page {name}") from error
    image = cv2.imdecode(stored["jpeg"], cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"damaged page {name}")
    counts = stored["counts"]
    polygons = np.split(stored["points"], np.cumsum(counts)[:-1]) if len(counts) else []
    rgb = cv2.cvtColor(image, cv2.COLOR_BGR2RGB).astype(np.uint8, copy=False)
    texts = json.loads(stored["texts"].tobytes().decode())
    return Sample(rgb, polygons, texts, stored["ignore"].astype(np.bool_), name)
