"""Where the segmentation spotter's time goes, and how long each runtime takes, on a page of 50 words.

    python benchmarks/segmentation_speed.py --threads 2 [--weights FILE] [--calibrate FOLDER]

All spotters read the page in turn, round after round, so that a noisy machine hurts them alike. So that the
page has 50 words whatever the weights, regions are cut from the drawn map of its true words, in the place of
the network's own map, which is computed all the same. Post-processing is what no network does: cutting
regions, laying grids, decoding, putting words together.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dld_backends.maskrcnn import MaskRCNNSpotter
from dld_backends.segmentation import SegmentationSpotter, onnx_spotter, pages
from dld_core.cli.calibration import calibration_pages
from dld_core.data.synth import PageRenderer, SynthConfig
from dld_core.decoders import ctc, roi_sampling
from dld_core.decoders.targets import draw_targets
from dld_core.errors import WeightsError
from dld_core.interfaces import Spotter
from dld_core.types import Sample

HEIGHT, WIDTH, WORDS = 720, 1280, 50
STEPS = {  # name -> the places where it is called from
    "regions": ((pages, "find_regions"),),
    "grids": ((roi_sampling, "region_grids"), (onnx_spotter, "region_grids")),
    "decoding": ((ctc, "best_texts"), (onnx_spotter, "best_texts")),
    "words": ((pages, "read_words"),),
}


def main() -> None:
    """Print one line for each spotter."""
    given = _arguments()
    torch.set_num_threads(given.threads)
    cv2.setNumThreads(given.threads)
    page = _page()
    image = torch.from_numpy(np.ascontiguousarray(page.image.transpose(2, 0, 1)))
    with TemporaryDirectory() as folder, _stopwatches(_map(page)) as spent:
        rounds = _measure(_spotters(given, Path(folder)), image, spent, given.repeats)
    print(f"{WIDTH}x{HEIGHT}, {WORDS} words, {given.threads} threads, median of {given.repeats} rounds, ms")
    print(f"{'':26}{'all':>9}{'least':>9}" + "".join(f"{step:>10}" for step in STEPS) + f"{'share':>9}")
    for name, runs in rounds.items():
        _print_line(name, runs)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=10)
    parser.add_argument("--weights", default="bundled", help="of the segmentation spotter; random if none")
    parser.add_argument("--calibrate", help="images for int8; rendered pages if not given")
    return parser.parse_args()


def _page() -> Sample:
    """The first page that has enough readable words, cut to that many."""
    renderer = PageRenderer(
        SynthConfig.parse({"page_size": (HEIGHT, WIDTH), "words": (90, 120), "system_fonts": False})
    )
    for seed in range(1000):
        page = renderer.page(seed)
        if len(np.flatnonzero(~page.ignore)) >= WORDS and len(_regions(page)) == WORDS:
            return page
    raise SystemExit(f"no page of {WORDS} words among the first thousand")


def _regions(page: Sample) -> list[Any]:
    options = pages.region_options(SegmentationSpotter.config_type.parse({}))
    return pages.find_regions(_map(page), options)[0]


def _map(page: Sample) -> NDArray[np.float32]:
    """The map that a perfect network would draw of the first WORDS readable words."""
    kept = [page.polygons[i] for i in np.flatnonzero(~page.ignore)[:WORDS]]
    config = SegmentationSpotter.config_type.parse({})
    size = HEIGHT, WIDTH
    return draw_targets(kept, [False] * len(kept), size, 1, config.shrink_ratio, config.min_side).text


def _spotters(given: argparse.Namespace, folder: Path) -> dict[str, Spotter]:
    try:
        small = SegmentationSpotter.create(weights=given.weights, preset="small")
    except WeightsError as error:
        if given.weights != "bundled":
            raise
        print(f"random weights: {error}")
        small = SegmentationSpotter.create(weights=None, preset="small")
    files = small.export(folder / "small.onnx", calibration_pages(given.calibrate, HEIGHT, count=4))
    float_one, int8_one = (SegmentationSpotter.create(weights=file) for file in files)
    return {
        "maskrcnn small": MaskRCNNSpotter.create(preset="small"),
        "segmentation small": small,
        "segmentation small, onnx": float_one,
        "segmentation small, int8": int8_one,
    }


@contextmanager
def _stopwatches(drawn: NDArray[np.float32]) -> Iterator[dict[str, float]]:
    """Seconds per step, added up until somebody clears them; regions are cut from the drawn map."""
    spent: dict[str, float] = {}
    before = [(module, name, getattr(module, name)) for places in STEPS.values() for module, name in places]
    for step, places in STEPS.items():
        for module, name in places:
            setattr(module, name, _timed(getattr(module, name), step, spent))
    cut = pages.find_regions
    pages.find_regions = lambda probability, options: cut(drawn, options)
    assemble = pages.read_words

    def read_words(read: Callable[[Any], Any], *rest: Any) -> Any:
        """What is spent in reading is not spent in putting words together."""
        words = assemble(_timed(read, "reading", spent), *rest)
        spent["words"] -= spent.pop("reading", 0.0)
        return words

    pages.read_words = read_words
    try:
        yield spent
    finally:
        for module, name, function in before:
            setattr(module, name, function)


def _timed(function: Callable[..., Any], step: str, spent: dict[str, float]) -> Callable[..., Any]:
    def run(*arguments: Any, **keywords: Any) -> Any:
        start = time.perf_counter()
        result = function(*arguments, **keywords)
        spent[step] = spent.get(step, 0.0) + time.perf_counter() - start
        return result

    return run


def _measure(
    spotters: dict[str, Spotter], image: Tensor, spent: dict[str, float], repeats: int
) -> dict[str, list[dict[str, float]]]:
    """Milliseconds of each step in each round, by spotter; the first two rounds warm up."""
    rounds: dict[str, list[dict[str, float]]] = {name: [] for name in spotters}
    for index in range(repeats + 2):
        for name, spotter in spotters.items():
            spent.clear()
            start = time.perf_counter()
            with torch.no_grad():
                spotter.predict([image])
            taken = {"all": time.perf_counter() - start, **spent}
            if index >= 2:
                rounds[name].append({step: 1e3 * seconds for step, seconds in taken.items()})
    return rounds


def _print_line(name: str, runs: list[dict[str, float]]) -> None:
    whole = [run["all"] for run in runs]
    line = f"{name:26}{statistics.median(whole):9.1f}{min(whole):9.1f}"
    if "regions" in runs[0]:
        line += "".join(f"{statistics.median(run.get(step, 0.0) for run in runs):10.1f}" for step in STEPS)
        shares = [sum(run.get(step, 0.0) for step in STEPS) / run["all"] for run in runs]
        line += f"{statistics.median(shares):9.1%}"
    print(line)


if __name__ == "__main__":
    main()
