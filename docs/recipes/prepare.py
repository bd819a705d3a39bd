"""Makes the folders under data/ that the recipes read, from clones of three public repositories.

    python docs/recipes/prepare.py --photos text_data --icdar ICDAR2015 --iiit IIIT5K --val VAL --out data

Wants the extra `rapidocr` (it reads the words of photos that nobody transcribed). The validation set is
given, and everything in it is left out of all else. Deterministic.

    --photos   ruan1998/text_data: train/img_1..1000 are the ICDAR 2015 training photos, the others have
               word masks but no transcriptions
    --icdar    ocr-algorithm-and-data/ICDAR2015: the ground truth of its training set (nothing else is read)
    --iiit     gsy-cv/IIIT5K: word crops of its training set
    --val      a folder with images/, gt/ and lexicons/, named as the challenge names them
"""

from __future__ import annotations

import argparse
import csv
import random
import re
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from rich.progress import track

from dld_core.data.formats.icdar import DONT_CARE, parse
from dld_core.data.formats.problems import Problems
from dld_core.data.synth.export import write_page
from dld_core.decoders.charset import PRINTABLE_ASCII
from dld_core.geometry.polygons import Polygon, order_polygon
from dld_core.types import Sample

Pixels = NDArray[np.uint8]
WIDTH, HEIGHT = 1138, 640  # of the photos of ICDAR 2015 as they are kept here
CHALLENGE = 1280, 720  # pixels of the ground truth
DEV, WORKERS = 50, 2
SURE = 0.9
MASKED = 0.72, 0.76  # of a word's length and height, which its mask covers; from the photos that have both
SMALLEST = 6  # pixels of a word's shorter side, below which nobody reads it


def main() -> None:
    args = _arguments()
    _refuse_old(args.out)
    held = {_number(path) for path in (args.val / "images").iterdir()}
    _mirror(args.val, args.out / "val")
    rest = [n for n in range(1, 1001) if n not in held]
    dev = set(random.Random(0).sample(rest, DEV))
    for name, numbers in (("ic15-dev", sorted(dev)), ("ic15", [n for n in rest if n not in dev])):
        _each(partial(_challenge_photo, args.photos, args.icdar, args.out / name), numbers, name)
    others = [*range(1001, 1901), *range(1901, 2551)]
    _each(partial(_other_photo, args.photos, args.out / "photos"), others, "photos")
    _each(partial(_background, args.out), _stems(args.out), "backgrounds")
    _crops(args.out, args.iiit)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    for name in ("photos", "icdar", "iiit", "val"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--out", type=Path, default=Path("data"))
    return parser.parse_args()


def _refuse_old(out: Path) -> None:
    """What an earlier run left in these folders could be held out now."""
    old = [name for name in ("ic15", "ic15-dev", "photos", "backgrounds", "crops") if (out / name).exists()]
    if old:
        raise SystemExit(f"{out} holds {', '.join(old)} already; remove them, or give another --out")


def _number(path: Path) -> int:
    return int(re.findall(r"\d+", path.stem)[-1])


def _mirror(source: Path, target: Path) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    if source.resolve() != target.resolve():
        shutil.copytree(source, target, dirs_exist_ok=True)


def _each(work: Any, items: Sequence[Any], name: str) -> None:
    with ProcessPoolExecutor(WORKERS, initializer=cv2.setNumThreads, initargs=(1,)) as pool:
        for _ in track(pool.map(work, items, chunksize=4), name, total=len(items)):
            pass


# --- photos of the challenge -----------------------------------------------------------------------


def _challenge_photo(photos: Path, icdar: Path, out: Path, number: int) -> None:
    squeezed = _read(photos / "train" / f"img_{number}.jpg")
    image = cv2.resize(squeezed, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    file = icdar / "End2End" / "TrainingSet" / "Gts" / f"gt_img_{number}.txt"
    words = parse(file.read_text(encoding="utf-8-sig"), file, Problems(), points=4)
    shrink = np.array([WIDTH / CHALLENGE[0], HEIGHT / CHALLENGE[1]], np.float32)
    _write(out, f"img_{number}", image, [(w.polygon * shrink, None if w.ignore else w.text) for w in words])


# --- photos with masks alone -----------------------------------------------------------------------


def _other_photo(photos: Path, out: Path, number: int) -> None:
    part = "train" if number <= 1900 else "validation"
    image = _read(photos / part / f"img_{number}.jpg")
    mask = _read(photos / f"{part}_mask" / f"img_{number}.jpg")[..., 0]
    if mask.shape != image.shape[:2]:
        return
    found = cv2.findContours((mask > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)[-2]
    quads = [_whole(order_polygon(cv2.boxPoints(cv2.minAreaRect(contour)))) for contour in found]
    words = [(quad, _agreed(image, quad)) for quad in quads if min(_sides(quad)) > 2]
    _write(out, f"img_{number}", image, words)


def _whole(masked: Polygon) -> Polygon:
    """The word that a mask, which is smaller all round, belongs to."""
    (length, height), (long, tall) = _sides(masked), MASKED
    along, down = (masked[1] - masked[0]) / max(length, 1), (masked[3] - masked[0]) / max(height, 1)
    along, down = along * (length + 1) / long / 2, down * (height + 1) / tall / 2
    return masked.mean(0) + np.stack([-along - down, along - down, along + down, down - along])


def _agreed(image: Pixels, quad: Polygon) -> str | None:
    """What two readings of a word, of two crops of it, both say and are sure of."""
    if min(_sides(quad)) < SMALLEST:
        return None
    readings = [_reader()(_cut(image, quad, grow)[..., ::-1].copy()) for grow in (0.0, 0.15)]
    (first,), (second,) = (reading.txts or ("",) for reading in readings)
    sure = min(score for reading in readings for score in reading.scores or (0.0,)) >= SURE
    return first if sure and first == second and set(first) <= set(PRINTABLE_ASCII) else None


_ENGINE: list[Any] = []


def _reader() -> Any:
    """RapidOCR's recogniser; one a process."""
    if not _ENGINE:
        from rapidocr import RapidOCR

        options = {"use_det": False, "use_cls": False, "use_rec": True}
        threads = {"EngineConfig.onnxruntime.intra_op_num_threads": 1}
        engine = RapidOCR(params={"Global.log_level": "error", **threads})
        _ENGINE.append(partial(engine, **options))
    return _ENGINE[0]


# --- backgrounds and crops -------------------------------------------------------------------------


def _stems(out: Path) -> list[tuple[str, str]]:
    return [
        (name, path.stem[3:]) for name in ("ic15", "photos") for path in sorted((out / name / "gt").iterdir())
    ]


def _background(out: Path, of: tuple[str, str]) -> None:
    """The largest rectangle without text, of those that end where a word does, if it is large enough."""
    name, stem = of
    image = _read(out / name / "images" / f"{stem}.jpg")
    boxes = [
        np.concatenate([p.min(0) - 4, p.max(0) + 4]) for p, _ in _words(out / name / "gt" / f"gt_{stem}.txt")
    ]
    x0, y0, x1, y1 = _largest_free(image.shape[1], image.shape[0], boxes)
    if min(x1 - x0, y1 - y0) >= 320 or not boxes:
        _save(out / "backgrounds" / f"{name}_{stem}.jpg", image[y0:y1, x0:x1])


def _largest_free(width: int, height: int, boxes: Sequence[NDArray[Any]]) -> tuple[int, int, int, int]:
    best, area = (0, 0, 0, 0), 0.0
    tops = sorted({0, *(int(np.clip(np.ceil(b[3]), 0, height)) for b in boxes)})
    bottoms = sorted({height, *(int(np.clip(b[1], 0, height)) for b in boxes)})
    for top in tops:
        for bottom in (b for b in bottoms if b > top):
            inside = sorted((b[0], b[2]) for b in boxes if b[3] > top and b[1] < bottom)
            left = 0.0
            for start, end in [*inside, (float(width), float(width))]:
                if (start - left) * (bottom - top) > area:
                    best, area = (int(left), top, int(start), bottom), (start - left) * (bottom - top)
                left = max(left, end)
    return best


def _crops(out: Path, iiit: Path) -> None:
    folder = out / "crops"
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "labels.tsv").open("w", encoding="utf-8", newline="") as file:
        labels = csv.writer(file, delimiter="\t", quoting=csv.QUOTE_NONE, quotechar=None, lineterminator="\n")
        for name, crop, text in track([*_word_crops(out), *_iiit_crops(iiit)], "crops"):
            _save(folder / name, crop)
            labels.writerow([name, text])


def _word_crops(out: Path) -> Iterator[tuple[str, Pixels, str]]:
    for name, stem in _stems(out):
        image = _read(out / name / "images" / f"{stem}.jpg")
        for index, (quad, text) in enumerate(_words(out / name / "gt" / f"gt_{stem}.txt")):
            if text is not None and min(_sides(quad)) >= SMALLEST:
                yield f"{name}_{stem}_{index}.jpg", _cut(image, quad, 0.1), text


def _iiit_crops(iiit: Path) -> Iterator[tuple[str, Pixels, str]]:
    for line in (iiit / "train.tags").read_text(encoding="utf-8").splitlines():
        name, _, text = line.partition(" ")
        yield f"iiit_{Path(name).stem}.jpg", _read(iiit / name), text.strip()


# --- pictures and words ----------------------------------------------------------------------------


def _words(file: Path) -> list[tuple[Polygon, str | None]]:
    words = parse(file.read_text(encoding="utf-8"), file, Problems(), points=4)
    return [(word.polygon, None if word.ignore else word.text) for word in words]


def _sides(quad: Polygon) -> tuple[float, float]:
    """Length and height."""
    return float(np.linalg.norm(quad[1] - quad[0])), float(np.linalg.norm(quad[3] - quad[0]))


def _cut(image: Pixels, quad: Polygon, grow: float) -> Pixels:
    """The word, upright, with a margin of so much of its height."""
    length, height = _sides(quad)
    margin = grow * height
    right, down = (quad[1] - quad[0]) / max(length, 1), (quad[3] - quad[0]) / max(height, 1)
    corners = np.float32([quad[0], quad[1], quad[3]]) + margin * np.float32(
        [-right - down, right - down, down - right]
    )
    width, tall = max(round(length + 2 * margin), 1), max(round(height + 2 * margin), 1)
    matrix = cv2.getAffineTransform(corners.astype(np.float32), np.float32([[0, 0], [width, 0], [0, tall]]))
    return np.asarray(cv2.warpAffine(image, matrix, (width, tall), borderMode=cv2.BORDER_REPLICATE))


def _read(path: Path) -> Pixels:
    image = cv2.imread(str(path))
    if image is None:
        raise SystemExit(f"cannot read {path}; check out the folder that holds it")
    return np.asarray(image[..., ::-1])


def _save(path: Path, image: Pixels) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), image[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 95])


def _write(out: Path, stem: str, image: Pixels, words: Sequence[tuple[Polygon, str | None]]) -> None:
    """An image with its annotations; a text of None is don't-care."""
    quads = [np.asarray(quad, np.float32) for quad, _ in words]
    ignored = np.array([text is None for _, text in words], bool)
    sample = Sample(image, quads, [text or DONT_CARE for _, text in words], ignored)
    files = out / "images" / f"{stem}.jpg", out / "gt" / f"gt_{stem}.txt"
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
    write_page(sample, *files)


if __name__ == "__main__":
    main()
