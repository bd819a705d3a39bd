"""RapidOCR by its own API, at its defaults and with the detector that `dld export --backend ppocr` wrote.

    python benchmarks/rapidocr_with_student.py --exported exported --images IMAGES --gt GT [--sides 768,960]

Both read every image in turn; the first is read once before, to warm up. Scores follow the rules of ICDAR
2015, without a lexicon, on the words of each line.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from rapidocr import RapidOCR

from dld_core.decoders.charset import PRINTABLE_ASCII
from dld_core.evaluation import ImageWords, read_ground_truth, score
from dld_core.evaluation.reading import annotated_images
from dld_core.images import open_image
from dld_plugins.rapidocr import words_of


def main() -> None:
    """Print one line for each engine."""
    given = _arguments()
    engines = {"RapidOCR as it comes": _engine(given.threads)}
    for side in map(int, given.sides.split(",")):
        for unclip in map(float, given.unclip.split(",")):
            options = _exported(given.exported, side, unclip, given.box)
            engines[f"exported, long side {side}, unclip {unclip:g}"] = _engine(given.threads, **options)
    truth = dict(islice(read_ground_truth(given.gt).items(), given.limit))
    _report(engines, annotated_images(given.images, truth)[0], truth)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    for name in ("exported", "images", "gt"):
        parser.add_argument(f"--{name}", type=Path, required=True)
    parser.add_argument("--sides", default="768")
    parser.add_argument("--unclip", default="1.1")
    parser.add_argument("--box", type=float, default=0.45)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--limit", type=int)
    return parser.parse_args()


def _exported(folder: Path, side: int, unclip: float, box: float) -> dict[str, Any]:
    """What docs/engines.md tells users of RapidOCR to give it."""
    return {
        "Det.model_path": str(next(folder.glob("*.det.onnx"))),
        "Det.limit_type": "max",
        "Det.limit_side_len": side,
        "Det.unclip_ratio": unclip,
        "Det.box_thresh": box,
    }


def _engine(threads: int, **options: Any) -> RapidOCR:
    usual = {
        "Global.log_level": "critical",
        "Global.return_word_box": True,
        "EngineConfig.onnxruntime.intra_op_num_threads": threads,
    }
    return RapidOCR(params={**usual, **options})


def _report(
    engines: Mapping[str, RapidOCR], files: Mapping[str, Path], truth: Mapping[str, ImageWords]
) -> None:
    read: dict[str, dict[str, ImageWords]] = {name: {} for name in engines}
    spent: dict[str, list[float]] = {name: [] for name in engines}
    for stem in (next(iter(files)), *files):
        image = np.ascontiguousarray(open_image(files[stem], exif=False)[..., ::-1])
        for name, engine in engines.items():
            start = time.perf_counter()
            found = engine(image)
            spent[name].append((time.perf_counter() - start) * 1e3)
            words = words_of(found, image.shape[1], image.shape[0], PRINTABLE_ASCII)
            read[name][stem] = ImageWords.from_words(list(words))
    stock = np.mean(next(iter(spent.values()))[1:])
    for name in engines:
        result = score(truth, read[name])
        mean = np.mean(spent[name][1:])
        print(
            f"{name:42} detection {result.detection.hmean:.3f} end-to-end {result.e2e.hmean:.3f} "
            f"mean {mean:.0f} ms, {mean / stock:.2f} of stock's"
        )


if __name__ == "__main__":
    main()
