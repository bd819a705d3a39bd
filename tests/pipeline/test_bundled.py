"""The bundled weights really read, through the public way in."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from dld_core import DLDWrapper
from dld_core.results.page import Page

ROOT = Path(__file__).resolve().parents[2]
STREET = ROOT / "docs" / "images" / "street.jpg"


@pytest.fixture(scope="module")
def dld() -> DLDWrapper:
    return DLDWrapper(backend="maskrcnn")


@pytest.fixture(scope="module")
def page(dld: DLDWrapper) -> Page:
    return dld.spot(STREET, scale="full")


def test_the_readme_s_picture_is_read(page: Page) -> None:
    texts = {word.text for word in page.words}
    assert {"COFFEE", "STREET", "MARKET", "OPEN", "Cake"} <= texts
    coffee = next(word for word in page.words if word.text == "COFFEE")
    left, top = coffee.array.min(0)
    right, bottom = coffee.array.max(0)
    assert 620 < left < 660 < 770 < right < 800
    assert 415 < top < 440 < 450 < bottom < 470


def test_the_page_tells_what_it_took(page: Page) -> None:
    told = json.loads(page.to_json())
    assert (told["width"], told["height"], told["device"]) == (1280, 720, "cpu")
    assert told["gflops"] == told["gflops_full"] > 1
    assert told["timings_ms"]["total"] > 0
    assert {"text", "score", "polygon"} <= set(told["words"][0])


def test_a_smaller_scale_costs_less_and_keeps_pixels_of_the_original(dld: DLDWrapper, page: Page) -> None:
    small = dld.spot(STREET, scale=0.5)
    assert small.gflops is not None
    assert page.gflops is not None
    assert small.gflops < 0.99 * page.gflops
    coffee = next(word for word in small.words if word.text == "COFFEE")
    assert np.linalg.norm(coffee.array.mean(0) - [715, 446]) < 15


def test_the_company_of_an_image_does_not_matter(dld: DLDWrapper, page: Page) -> None:
    cut = np.asarray(Image.open(STREET))[380:700, 560:860]
    pages = dld.spot([cut, STREET, np.zeros((40, 60, 3), np.uint8), cut], scale="full")
    assert [w.text for w in pages[1].words] == [w.text for w in page.words]
    assert [w.polygon for w in pages[1].words] == [w.polygon for w in page.words]
    assert pages[0].words == pages[3].words
    assert pages[2].words == []


def test_threads_share_one_wrapper(dld: DLDWrapper) -> None:
    cuts = [np.asarray(Image.open(STREET))[380:700, x : x + 260] for x in (560, 580, 600, 620)]
    alone = [dld.spot(cut, scale=0.4).words for cut in cuts]
    with ThreadPoolExecutor(8) as pool:
        together = list(pool.map(lambda cut: dld.spot(cut, scale=0.4).words, cuts * 2))
    assert together == alone * 2


def test_saved_and_loaded_it_reads_the_same(dld: DLDWrapper, tmp_path: Path) -> None:
    dld.save(tmp_path / "model")
    again = DLDWrapper.load(tmp_path / "model")
    for scale in ("auto", 0.7):
        one, other = dld.spot(STREET, scale=scale), again.spot(STREET, scale=scale)
        assert (one.scale, one.words) == (other.scale, other.words)


def test_weights_stay_small_and_have_a_card() -> None:
    parts = ("dld_backends", "dld_core", "dld_plugins")
    weights = [file for part in parts for file in (ROOT / part).rglob("*.safetensors")]
    assert len(weights) >= 5
    assert sum(file.stat().st_size for file in weights) < 60e6
    assert all(file.with_suffix(".md").is_file() for file in weights)


@pytest.mark.parametrize(
    ("backend", "more"),
    [("maskrcnn", {"MARKET", "STREET", "Fresh", "Cake"}), ("segmentation", {"BAKERY", "STREET", "Cake"})],
)
def test_a_student_and_its_selector_are_the_default(backend: str, more: set[str]) -> None:
    dld = DLDWrapper(backend)
    assert (dld.scale, dld.selector is not None) == ("auto", True)
    chosen, full = dld.spot(STREET), dld.spot(STREET, scale="full")
    assert chosen.scale < full.scale == 1.0
    both = {"COFFEE", "CORNER", "Bread", "Daily", "OPEN", "Espresso"}
    assert both | more <= {word.text for word in chosen.words}
    assert chosen.gflops is not None
    assert full.gflops is not None
    assert chosen.gflops < 0.99 * full.gflops
    taught, teacher = dld.spotter.state_dict(), dld.teacher.state_dict()  # type: ignore[attr-defined]
    assert any(not torch.equal(taught[name], teacher[name]) for name in teacher)


def test_the_lighter_spotter_reads_the_picture_for_less(page: Page) -> None:
    light = DLDWrapper(backend="segmentation").spot(STREET)
    read = {word.text for word in light.words}
    assert {"COFFEE", "STREET", "CORNER", "BAKERY", "OPEN", "Bread", "Daily"} <= read
    assert light.gflops is not None
    assert page.gflops is not None
    assert light.gflops < page.gflops
