"""docTR recognition: a folder of word images and labels.json, crop -> text. Words are cut out to write it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar

import numpy as np
from numpy.typing import NDArray

from dld_core.data.formats.base import Losses, own_extras, place_of
from dld_core.data.formats.coordinates import rectangle
from dld_core.data.formats.doctr import DoctrFormat, looks_like_recognition
from dld_core.data.formats.jsonfile import encode_json
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset
from dld_core.data.formats.pairing import safe_name
from dld_core.data.formats.perfile import without_suffix
from dld_core.data.formats.quads import to_quad
from dld_core.errors import ImageError
from dld_core.images.crops import crop_quad


class DoctrRecognitionFormat(DoctrFormat):
    """docTR, recognition."""

    name: ClassVar[str] = "doctr-recognition"
    summary: ClassVar[str] = "docTR recognition: images/ of words cut out and labels.json, crop -> text"
    copies_images: ClassVar[bool] = False

    def fits(self, file: Path) -> bool:
        """See JsonSetFormat."""
        return looks_like_recognition(file)

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """See Format. Crops are always written, to images/; don't-care and empty words are left out."""
        folder = target / self.image_folder
        folder.mkdir(parents=True, exist_ok=True)
        own_extras(self.name, dataset.extra, frozenset(), losses, str(dataset.root))
        labels: dict[str, str] = {}
        for image in dataset.images:
            own_extras(self.name, image.extra, frozenset(), losses, image.name)
            for name, word in _cut_out(image, folder, losses):
                labels[name] = word.text
        (target / self.file_name).write_bytes(encode_json(labels))
        return [target / self.file_name, *(folder / name for name in labels)]


def _cut_out(image: AnnotatedImage, folder: Path, losses: Losses) -> Iterator[tuple[str, AnnotatedWord]]:
    """Write the crop of every readable word; its name and word."""
    words = [word for word in image.words if _is_kept(word, image, losses)]
    pixels = _open(image, losses) if words else None
    if pixels is None:
        return
    height, width = pixels.shape[:2]
    stem = without_suffix(safe_name(image.name))
    for number, word in enumerate(words, start=1):
        if np.array_equal(word.polygon, rectangle(0, 0, width, height)):  # it is a crop already
            name, content = safe_name(image.name), image.path.read_bytes()
        else:
            quad = to_quad(word.polygon, losses, place_of(word, image.source))
            name, content = stem.with_name(f"{stem.name}_{number}.png"), _png(crop_quad(pixels, quad))
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
        yield name.as_posix(), word


def _is_kept(word: AnnotatedWord, image: AnnotatedImage, losses: Losses) -> bool:
    where = place_of(word, image.source)
    if word.ignore or not word.text:
        losses.add("don't-care words and words without a text", where)
        return False
    own_extras("doctr-recognition", word.extra, frozenset(), losses, where)
    return True


def _open(image: AnnotatedImage, losses: Losses) -> NDArray[np.uint8] | None:
    from dld_core.images import open_image

    try:
        return open_image(image.path, exif=False)
    except ImageError:
        losses.add("images that cannot be read, and their words", str(image.path))
        return None


def _png(pixels: NDArray[np.uint8]) -> bytes:
    import io

    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()
