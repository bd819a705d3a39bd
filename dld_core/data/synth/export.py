"""Rendered pages on disk: images, ICDAR txt files, a record of the options, and a preview."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import islice
from multiprocessing import get_context
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from dld_core.config import write_file
from dld_core.data.formats.icdar import DONT_CARE, text_field
from dld_core.data.photometric import encoded
from dld_core.data.synth.config import SynthConfig
from dld_core.data.synth.page import PageRenderer, render_page
from dld_core.errors import ConfigError, DataError
from dld_core.types import Sample

Encoding = Literal["jpg", "png"]
PAGES_PER_SEED = 1_000_000
_RECORD = "synth.json"
_SHEET, _THUMB = 4, 480


def page_seed(seed: int, number: int) -> int:
    """The renderer's seed of page `number` (from 0) of a set; sets of different seeds share no page."""
    return seed * PAGES_PER_SEED + number


def page_files(out: Path, seed: int, number: int, encoding: Encoding) -> tuple[Path, Path]:
    """Image and annotation file of a page."""
    stem = f"synth_{seed}_{number:06d}"
    return out / "images" / f"{stem}.{encoding}", out / "gt" / f"gt_{stem}.txt"


def icdar_text(sample: Sample) -> str:
    """The annotations of a page, one line per word: x1,y1,...,xn,yn,text with one decimal; ### to ignore it.

    Where words of four and of more points meet, a text that begins with a number is quoted (as the
    competition's scripts read it), so that no reader takes it for coordinates.
    """
    quads = all(len(polygon) == 4 for polygon in sample.polygons)
    lines = []
    for polygon, text, ignore in zip(sample.polygons, sample.texts, sample.ignore, strict=True):
        points = ",".join(f"{value:.1f}".removesuffix(".0") for value in polygon.ravel())
        lines.append(f"{points},{DONT_CARE if ignore else text_field(text, quads)}\n")
    return "".join(lines)


def write_page(sample: Sample, image: Path, gt: Path) -> None:
    """Write one page; each file appears whole or not at all, the annotations last."""
    for path, content in ((image, encoded(sample.image, image.suffix)), (gt, icdar_text(sample))):
        write_file(path, content)


def write_pages(
    config: SynthConfig,
    out: Path,
    pages: int,
    seed: int = 0,
    *,
    workers: int = 1,
    encoding: Encoding = "jpg",
    done: Callable[[int], None] = lambda words: None,
) -> int:
    """Render a set of pages into `out/images` and `out/gt`, and `out/preview.jpg`; pages that stand are kept.

    Args:
        config: what pages look like.
        out: folder, made if needed.
        pages: how many pages the set has, at most a million.
        seed: of the set.
        workers: processes; 1 renders in this one.
        encoding: "jpg" (quality 95) or "png".
        done: called after each page with the number of its words (0 for a page that stood already).

    Returns:
        How many pages were rendered now.

    Raises:
        ConfigError: the folder holds pages of other options, or too many pages are asked for.
        DataError: no fonts, a folder without pictures, or the folder cannot be written.
    """
    if not 0 < pages <= PAGES_PER_SEED:
        raise ConfigError(f"a set has 1 to {PAGES_PER_SEED} pages, got {pages}; use several seeds for more")
    _prepare(config, out, seed, encoding)
    files = {number: page_files(out, seed, number, encoding) for number in range(pages)}
    missing = [number for number, (image, gt) in files.items() if not (image.exists() and gt.exists())]
    for _ in range(pages - len(missing)):
        done(0)
    PageRenderer(config)  # wrong options must show now, not in a worker
    render = partial(_render_and_write, config=config, out=out, seed=seed, encoding=encoding)
    for words in _map(render, missing, workers):
        done(words)
    if not (out / "preview.jpg").exists():
        seeds = [page_seed(seed, number) for number in range(min(pages, _SHEET * 3))]
        sheet = contact_sheet([render_page(each, config) for each in seeds])
        write_file(out / "preview.jpg", encoded(sheet, ".jpg", 88))
    return len(missing)


def _prepare(config: SynthConfig, out: Path, seed: int, encoding: Encoding) -> None:
    """Make the folders, and refuse one that holds pages of other options."""
    wanted = {"seed": seed, "encoding": encoding, "config": config.model_dump(mode="json")}
    record = out / _RECORD
    try:
        for folder in (out / "images", out / "gt"):
            folder.mkdir(parents=True, exist_ok=True)
        if not record.exists():
            write_file(record, json.dumps(wanted, indent=2) + "\n")
        found = json.loads(record.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot write into {out}: {error.strerror}; choose another folder") from None
    except ValueError:
        raise DataError(f"{record} is damaged; delete it, or choose another folder") from None
    if found != wanted:
        raise ConfigError(
            f"{out} holds pages of other options or another seed (see {record}); choose another folder"
        )


def _render_and_write(number: int, *, config: SynthConfig, out: Path, seed: int, encoding: Encoding) -> int:
    sample = render_page(page_seed(seed, number), config)
    write_page(sample, *page_files(out, seed, number, encoding))
    return len(sample.texts)


def _map(render: Callable[[int], int], numbers: list[int], workers: int) -> Iterator[int]:
    if workers <= 1 or len(numbers) < 2:
        yield from map(render, numbers)
        return
    # Each process leaves the cores to the others.
    with ProcessPoolExecutor(workers, get_context("spawn"), cv2.setNumThreads, (1,)) as pool:
        waiting = iter(numbers)
        # In slices, so that an interruption does not wait for a million queued pages.
        while batch := list(islice(waiting, 32 * workers)):
            yield from pool.map(render, batch)


def draw_labels(sample: Sample) -> NDArray[np.uint8]:
    """The page with its polygons: green for words, red for ignore regions, a dot where the text starts."""
    image = sample.image.copy()
    for polygon, ignore in zip(sample.polygons, sample.ignore, strict=True):
        tone = (255, 40, 40) if ignore else (40, 255, 60)
        cv2.polylines(image, [np.round(polygon).astype(np.int32)], True, tone, 1, cv2.LINE_AA)
        start = (round(float(polygon[0, 0])), round(float(polygon[0, 1])))
        cv2.circle(image, start, 2, tone, -1)
    return image


def contact_sheet(samples: list[Sample]) -> NDArray[np.uint8]:
    """Pages with their polygons, four to a row, RGB uint8."""
    columns = min(_SHEET, len(samples))
    sheet = np.zeros((-(-len(samples) // columns) * _THUMB, columns * _THUMB, 3), np.uint8)
    for number, sample in enumerate(samples):
        scale = _THUMB / max(sample.image.shape[:2])
        small = cv2.resize(draw_labels(sample), None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        top, left = (_THUMB * place for place in divmod(number, columns))
        sheet[top : top + small.shape[0], left : left + small.shape[1]] = small
    return sheet
