"""Reading a folder of annotated images with a backend."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dld_core.config import write_file
from dld_core.errors import DataError, ImageError
from dld_core.evaluation.files import bare_name
from dld_core.evaluation.words import ImageWords
from dld_core.images import list_images, open_image
from dld_core.results.page import Page
from dld_core.types import Word

Track = Callable[[Iterable[tuple[str, Path]]], Iterable[tuple[str, Path]]]


def annotated_images(folder: str | Path, names: Collection[str]) -> tuple[dict[str, Path], list[str]]:
    """The image file of every annotated name, and images that nobody annotated.

    A name that no image has is that of one with a prefix: `gt_x.txt` may be the ground truth of gt_x.jpg.

    Raises:
        ImageError: the folder is absent or holds no images.
        DataError: some annotated images are not there, or two files share a name.
    """
    files: dict[str, Path] = {}
    for path in list_images(folder):
        if path.stem in files:
            raise DataError(f"{files[path.stem]} and {path} are the same image by name; keep one of them")
        files[path.stem] = path
    bare = Counter(map(bare_name, files))
    by_bare_name = {bare_name(stem): stem for stem in files if bare[bare_name(stem)] == 1}
    stems = {name: name if name in files else by_bare_name.get(bare_name(name), "") for name in names}
    missing = [name for name, stem in stems.items() if not stem]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(names)} annotated images are not in {folder} "
            f"({', '.join(missing[:5])}); add them, or remove their ground truth"
        )
    used = set(stems.values())
    return {name: files[stem] for name, stem in stems.items()}, [stem for stem in files if stem not in used]


@dataclass(slots=True)
class Readings:
    """What a backend read in many images, and what that took.

    Attributes:
        words: by image name.
        pages: by image name, as the backend returned them.
        errors: by image name, why one could not be read.
        seconds: wall time from opening the first image to the last word.
    """

    words: dict[str, ImageWords] = field(default_factory=dict)
    pages: dict[str, Page] = field(default_factory=dict)
    errors: dict[str, str] = field(default_factory=dict)
    seconds: float = 0.0

    def cost(self) -> dict[str, Any]:
        """Mean cost, speed and the histogram of scales, for the json; None where the backend cannot tell."""
        pages = list(self.pages.values())
        scales = Counter(f"{page.scale:g}" for page in pages)
        return {
            "mean_gflops": _mean([page.gflops for page in pages]),
            "mean_gflops_full": _mean([page.gflops_full for page in pages]),
            "images_per_second": len(pages) / self.seconds if self.seconds else 0.0,
            "scales": dict(sorted(scales.items(), key=lambda item: float(item[0]))),
        }


def read_all(
    images: Mapping[str, Path],
    spot: Callable[[NDArray[np.uint8]], Page],
    track: Track | None = None,
) -> Readings:
    """Read every image, as its pixels are stored (annotations know no EXIF turning).

    Args:
        images: files by name.
        spot: turns RGB uint8 [H, W, 3] into a page.
        track: wraps the iteration, for a progress bar.
    """
    result = Readings()
    items = images.items()
    start = time.perf_counter()
    for name, path in track(items) if track else items:
        try:
            page = spot(open_image(path, exif=False))
        except ImageError as error:
            result.errors[name] = str(error)
            continue
        result.pages[name] = page
        result.words[name] = ImageWords.from_words(page.words)
    result.seconds = time.perf_counter() - start
    return result


def prediction_lines(words: Iterable[Word]) -> list[str]:
    """Lines `x1,y1,...,score,text` of what was read, in whole pixels; `--score-column` reads them back."""
    return [
        ",".join(f"{int(value)}" for point in word.polygon for value in point)
        + f",{word.score:.4f},{_one_line(word.text)}"
        for word in words
    ]


def write_predictions(folder: Path, readings: Readings) -> None:
    """One `res_NAME.txt` per image."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, page in readings.pages.items():
        text = "".join(f"{line}\n" for line in prediction_lines(page.words))
        write_file(folder / f"res_{name}.txt", text)


def _one_line(text: str) -> str:
    return " ".join(text.split("\n")).replace("\r", " ")


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None
