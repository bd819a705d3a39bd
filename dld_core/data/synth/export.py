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
from dld_core.data.synth.config import SynthConfig
from dld_core.data.synth.page import PageRenderer
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
    """The annotations of a page, one line per word: x1,y1,...,xn,yn,text with one decimal; ### is don't-care.

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
    _, data = cv2.imencode(
        image.suffix, cv2.cvtColor(sample.image, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 95]
    )
    for path, content in ((image, data.tobytes()), (gt, icdar_text(sample).encode())):
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
    renderer = PageRenderer(config)
    render = partial(_render_and_write, out=out, seed=seed, encoding=encoding)
    for words in _map(render, renderer, missing, workers):
        done(words)
    _write_preview(renderer, out, seed, min(pages, _SHEET * 3))
    return len(missing)


def _prepare(config: SynthConfig, out: Path, seed: int, encoding: Encoding) -> None:
    """Make the folders, and refuse one that holds pages of other options."""
    wanted = {"seed": seed, "encoding": encoding, "config": config.model_dump(mode="json")}
    record = out / _RECORD
    try:
        for folder in (out / "images", out / "gt"):
            folder.mkdir(parents=True, exist_ok=True)
        if not record.exists():
            record.write_text(json.dumps(wanted, indent=2) + "\n", encoding="utf-8")
        found = json.loads(record.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"cannot write into {out}: {error.strerror}; choose another folder") from None
    except ValueError:
        raise DataError(f"{record} is damaged; delete it, or choose another folder") from None
    if found != wanted:
        raise ConfigError(
            f"{out} holds pages of other options or another seed (see {record}); choose another folder"
        )


def _render_and_write(
    renderer: PageRenderer, number: int, *, out: Path, seed: int, encoding: Encoding
) -> int:
    sample = renderer.page(page_seed(seed, number))
    write_page(sample, *page_files(out, seed, number, encoding))
    return len(sample.texts)


_worker_renderer: PageRenderer | None = None


def _start_worker(renderer: PageRenderer) -> None:
    """Each process keeps the renderer it was sent, and leaves the cores to the other processes."""
    global _worker_renderer
    cv2.setNumThreads(1)
    _worker_renderer = renderer


def _in_worker(render: Callable[[PageRenderer, int], int], number: int) -> int:
    assert _worker_renderer is not None
    return render(_worker_renderer, number)


def _map(
    render: Callable[[PageRenderer, int], int], renderer: PageRenderer, numbers: list[int], workers: int
) -> Iterator[int]:
    if workers <= 1 or len(numbers) < 2:
        yield from (render(renderer, number) for number in numbers)
        return
    with ProcessPoolExecutor(
        workers, mp_context=get_context("spawn"), initializer=_start_worker, initargs=(renderer,)
    ) as pool:
        waiting = iter(numbers)
        # In slices, so that an interruption does not wait for a million queued pages.
        while batch := list(islice(waiting, 32 * workers)):
            yield from pool.map(partial(_in_worker, render), batch)


def draw_labels(sample: Sample) -> NDArray[np.uint8]:
    """The page with its polygons: green for words, red for don't-care, a dot where the text starts."""
    image = sample.image.copy()
    for polygon, ignore in zip(sample.polygons, sample.ignore, strict=True):
        tone = (255, 40, 40) if ignore else (40, 255, 60)
        cv2.polylines(image, [np.round(polygon).astype(np.int32)], True, tone, 1, cv2.LINE_AA)
        start = (round(float(polygon[0, 0])), round(float(polygon[0, 1])))
        cv2.circle(image, start, 2, tone, -1)
    return image


def contact_sheet(samples: list[Sample]) -> NDArray[np.uint8]:
    """Pages with their polygons, four to a row, RGB uint8."""
    thumbs = []
    for sample in samples:
        drawn = draw_labels(sample)
        scale = _THUMB / max(drawn.shape[:2])
        small = cv2.resize(drawn, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pad = ((0, _THUMB - small.shape[0]), (0, _THUMB - small.shape[1]), (0, 0))
        thumbs.append(np.pad(np.asarray(small, np.uint8), pad))
    columns = min(_SHEET, len(thumbs))
    thumbs += [np.zeros_like(thumbs[0])] * (-len(thumbs) % columns)
    return np.vstack([np.hstack(thumbs[at : at + columns]) for at in range(0, len(thumbs), columns)])


def _write_preview(renderer: PageRenderer, out: Path, seed: int, count: int) -> None:
    path = out / "preview.jpg"
    if path.exists():
        return
    sheet = contact_sheet([renderer.page(page_seed(seed, number)) for number in range(count)])
    _, data = cv2.imencode(".jpg", cv2.cvtColor(sheet, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, 88])
    path.write_bytes(data.tobytes())
