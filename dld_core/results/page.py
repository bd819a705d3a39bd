"""What was read in one image, and what it took."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dld_core.config import write_file
from dld_core.errors import DataError
from dld_core.types import Word

SCHEMA_VERSION = "1"  # of Page.to_dict; raised when a key changes its meaning or goes, not when one is added


@dataclass(slots=True)
class Page:
    """What was read in one image, and what it took.

    Attributes:
        words: in reading order; polygons in pixels of the original image as seen (after EXIF
            turning), whatever size was read.
        width, height: of that image, pixels. 0 where it could not be opened (see `error`).
        image: its path or name; None for what came from memory.
        page: its number in that file, from 1.
        backend, weights: what read it.
        model: "teacher" or "student", whichever read it; "" where none did.
        scale: the size fed to the spotter, as a fraction of the full size: the image's own, or that to which
            a small image is enlarged.
        working_size: (width, height) fed to the spotter, pixels.
        gflops: FLOPs / 1e9 of reading it, a multiply-add counted as 2; None where the engine cannot tell.
        gflops_full: the same at full scale.
        timings_ms: milliseconds by stage ("decode", "resize", "spot", "total"); in a batch, "spot" is the
            time of the batch divided by its images.
        device: what really computed it ("cpu", "cuda:0").
        escalated_from: the scale of a first reading that came out unsure; None where there was one reading.
        notes: sentences about what was done to the image, such as a capped working size.
        error: why there are no words, for an image of a list that could not be read; else None.
    """

    words: list[Word]
    width: int
    height: int
    image: str | None = None
    backend: str = ""
    scale: float = 1.0
    working_size: tuple[int, int] = (0, 0)
    model: str = ""
    gflops: float | None = None
    gflops_full: float | None = None
    timings_ms: dict[str, float] = field(default_factory=dict)
    device: str = ""
    weights: str | None = None
    escalated_from: float | None = None
    notes: list[str] = field(default_factory=list)
    error: str | None = None
    page: int = 1
    schema_version: str = SCHEMA_VERSION

    @property
    def warnings(self) -> list[str]:
        """The notes: what a reader of the page should know."""
        return self.notes

    @property
    def text(self) -> str:
        """All words, one a line."""
        return "\n".join(word.text for word in self.words)

    def to_dict(self) -> dict[str, Any]:
        """Plain values, as the `--json` of `dld spot` prints them; `from_dict` is the way back."""
        return {
            "schema_version": self.schema_version,
            "image": self.image,
            "page": self.page,
            "width": self.width,
            "height": self.height,
            "backend": self.backend,
            "weights": self.weights,
            "device": self.device,
            "model": self.model,
            "scale": self.scale,
            "escalated_from": self.escalated_from,
            "working_size": list(self.working_size),
            "gflops": self.gflops,
            "gflops_full": self.gflops_full,
            "timings_ms": dict(self.timings_ms),
            "words": [
                {"text": w.text, "score": w.score, "polygon": [list(p) for p in w.polygon]}
                for w in self.words
            ],
            "notes": list(self.notes),
            "warnings": list(self.warnings),
            "error": self.error,
        }

    def to_json(self, indent: int | None = None) -> str:
        """`to_dict` as JSON (strict: no NaN), text kept as it is. Bytes of a file name that are no UTF-8 are
        escaped.
        """
        values = self.to_dict()
        if self.image is not None:
            values["image"] = os.fsencode(self.image).decode("utf-8", "backslashreplace")
        return json.dumps(values, ensure_ascii=False, allow_nan=False, indent=indent)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Page:
        """A page from `to_dict`. Unknown keys (of a later version) are left out.

        Raises:
            DataError: a key is missing or has another shape, or the schema version is not known.
        """
        version = str(values.get("schema_version", SCHEMA_VERSION))
        if version != SCHEMA_VERSION:
            raise DataError(
                f"this page has schema version {version!r}, and only {SCHEMA_VERSION!r} is known; "
                "read it with the version of dld that wrote it"
            )
        known = {name: values[name] for name in cls.__dataclass_fields__ if name in values}
        try:
            known["words"] = [_word_from_dict(word) for word in values["words"]]
            known["working_size"] = tuple(int(side) for side in values.get("working_size", (0, 0)))
            return cls(**known)
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"this is not a page ({type(error).__name__}: {error}); "
                "give what Page.to_dict or dld spot --json wrote"
            ) from error

    def draw(self, image: Any = None, path: str | Path | None = None) -> NDArray[np.uint8]:
        """The picture with its words outlined and labelled, RGB uint8 [H, W, 3].

        Args:
            image: the picture (anything `open_image` takes, any size); by default the file `self.image`.
            path: where to save the result as well.

        Raises:
            ImageError: the picture cannot be opened, or none is known.
        """
        from dld_core.results.drawing import draw_page, save_picture  # cv2 and Pillow are slow to load

        picture = draw_page(self, image)
        if path is not None:
            save_picture(picture, path)
        return picture

    def save(self, path: str | Path, image: Any = None) -> None:
        """Write the page: as JSON where `path` ends in .json, else as the drawn picture."""
        target = Path(path)
        if target.suffix.lower() == ".json":
            write_file(target, self.to_json(indent=2) + "\n")
        else:
            self.draw(image, target)


def _word_from_dict(values: Mapping[str, Any]) -> Word:
    polygon = tuple((float(x), float(y)) for x, y in values["polygon"])
    return Word(str(values["text"]), float(values["score"]), polygon)
