"""A folder of rendered pages: rendered once, read many times in random views."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import cv2
import numpy as np

from dld_core.config import write_file
from dld_core.data.photometric import encoded
from dld_core.types import Sample

_QUALITY = 95


class PageCache:
    """Pages by number, one file each; a page that is missing or damaged is rendered again.

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
    """A sample as npz bytes: the picture as JPEG, the labels as JSON; nothing pickled."""
    polygons = [polygon.tolist() for polygon in sample.polygons]
    labels = json.dumps({"polygons": polygons, "texts": sample.texts, "ignore": sample.ignore.tolist()})
    parts = (encoded(sample.image, ".jpg", _QUALITY), labels.encode())
    jpeg, text = (np.frombuffer(part, np.uint8) for part in parts)
    buffer = io.BytesIO()
    np.savez(buffer, jpeg=jpeg, labels=text)
    return buffer.getvalue()


def unpack(data: bytes, name: str) -> Sample:
    """The sample of `pack`. Raises ValueError or KeyError when the bytes are damaged."""
    try:
        with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
            jpeg, labels = arrays["jpeg"], json.loads(arrays["labels"].tobytes())
    except (BadZipFile, EOFError) as error:
        raise ValueError(f"damaged page {name}") from error
    image = cv2.imdecode(jpeg, cv2.IMREAD_COLOR)
    if image is None:
        raise ValueError(f"damaged page {name}")
    polygons = [np.array(polygon, np.float32) for polygon in labels["polygons"]]
    ignore = np.array(labels["ignore"], np.bool_)
    rgb = np.asarray(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), np.uint8)
    return Sample(rgb, polygons, labels["texts"], ignore, name)
