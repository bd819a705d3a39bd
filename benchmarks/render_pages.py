"""How many training pages a core renders per second: `python benchmarks/render_pages.py [--mosaic]`."""

from __future__ import annotations

import argparse
import time

import cv2

from dld_core.data.synth import PageRenderer, SynthConfig


def main() -> None:
    """Print pages and words per second of CPU time, one thread."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pages", type=int, default=100)
    parser.add_argument("--backgrounds", help="folder of photos")
    parser.add_argument("--mosaic", action="store_true", help="512x512 word mosaics instead of 640x640 pages")
    arguments = parser.parse_args()
    kind = {"word_mosaic": True, "page_size": (512, 512)} if arguments.mosaic else {"words": (25, 25)}
    renderer = PageRenderer(SynthConfig.parse({**kind, "backgrounds": arguments.backgrounds}))
    cv2.setNumThreads(1)
    for seed in range(20):  # fonts, photos and lookup tables fill their caches
        renderer.page(1_000_000 + seed)
    start = time.process_time()
    words = sum(len(renderer.page(seed).texts) for seed in range(arguments.pages))
    seconds = time.process_time() - start
    print(f"{arguments.pages / seconds:.1f} pages/s, {words / seconds:.0f} words/s, {words} words in all")


if __name__ == "__main__":
    main()
