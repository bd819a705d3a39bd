"""RapidOCR as a spotter: on a fake always, on the real engine where it is installed."""

from __future__ import annotations

import functools
import importlib.util
import socket
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fake_engines import LINE, FakeRapidOCR, install_rapidocr, quad
from torch import Tensor

from dld_core import ConfigError, WeightsError
from dld_core.testing import SpotterContract, compare, samples
from dld_plugins.rapidocr import RapidOCRSpotter, words_of

INSTALLED = all(importlib.util.find_spec(name) for name in ("rapidocr", "onnxruntime", "onnx"))
real = pytest.mark.skipif(not INSTALLED, reason='the real engine is absent: pip install "dld[rapidocr]"')
CHARSET = "abcd中文"
BOX = [[10.0, 10.0], [90.0, 10.0], [90.0, 30.0], [10.0, 30.0]]


@pytest.fixture
def folder(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    return install_rapidocr(monkeypatch, tmp_path)


class TestRapidOCROnAFake(SpotterContract):
    @pytest.fixture(autouse=True)
    def engine(self, folder: Path) -> None:
        self.folder = folder

    def make(self) -> RapidOCRSpotter:
        return RapidOCRSpotter.create(weights=self.folder)

    def test_s15_tells_its_cost(self) -> None:
        pytest.skip("the fake has no graphs to count; TestRapidOCR counts the real ones")


class TestRapidOCROfSmallImagesOnAFake(TestRapidOCROnAFake):
    def make(self) -> RapidOCRSpotter:
        return RapidOCRSpotter.create(weights=self.folder, shrink="both")


@functools.cache
def shared(**options: Any) -> RapidOCRSpotter:
    return RapidOCRSpotter.create(threads=1, **options)


@real
class TestRapidOCR(SpotterContract):
    @pytest.fixture(autouse=True)
    def counts_go_nowhere_else(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("DLD_HOME", str(tmp_path))

    def make(self) -> RapidOCRSpotter:
        return shared()  # loading takes a second, and no contract may change it

    def images(self) -> list[Tensor]:
        return samples.pages()[2:]


@real
class TestRapidOCROfSmallImages(TestRapidOCR):
    def make(self) -> RapidOCRSpotter:
        return shared(shrink="both")


def test_nothing_is_left_to_the_engine_that_changes_the_size(folder: Path) -> None:
    params = RapidOCRSpotter.create(weights=folder, threads=3)._engine.params
    assert params["Global.use_preprocess_img"] is False
    assert params["Global.use_vertical_padding"] is False
    assert params["Det.limit_type"] == "max"
    assert params["Det.limit_side_len"] > 10**6
    assert params["EngineConfig.onnxruntime.intra_op_num_threads"] == 3
    stock = RapidOCRSpotter.create(weights=folder, own_resizing=True)
    assert (
        not {"Global.use_preprocess_img", "Det.limit_type", "Det.limit_side_len"}
        & stock._engine.params.keys()
    )
    assert stock.flops(64, 64) is None
    assert stock._engine.params["Det.unclip_ratio"] == 1.6 > params["Det.unclip_ratio"]


def test_the_detector_alone_can_be_shrunk(folder: Path) -> None:
    spotter = RapidOCRSpotter.create(weights=folder)
    image = samples.page(320, 480)
    assert spotter.reads_native
    words = spotter.predict_at([image], [(150, 225)])[0]
    assert spotter._engine.detected[-1] == (160, 224)
    assert spotter._engine.seen[-1].shape == (320, 480, 3)
    assert compare.difference(words, spotter.predict([image])[0]) is None  # pixels of the image as given
    assert spotter._engine.detected[-1] == (320, 480)
    assert not RapidOCRSpotter.create(weights=folder, own_resizing=True).reads_native
    assert not RapidOCRSpotter.create(weights=folder, shrink="both").reads_native


def test_models_are_given_by_path_so_that_nothing_is_downloaded(folder: Path) -> None:
    params = RapidOCRSpotter.create()._engine.params
    assert {params[f"{part}.model_path"] for part in ("Det", "Rec", "Cls")} == set(map(str, folder.iterdir()))


def test_pixels_come_as_bgr(folder: Path) -> None:
    spotter = RapidOCRSpotter.create(weights=folder)
    red = torch.zeros(3, 20, 30, dtype=torch.uint8)
    red[0] = 200
    spotter.predict([red])
    assert spotter._engine.seen[-1][0, 0].tolist() == [0, 0, 200]


def test_a_gpu_that_onnxruntime_cannot_use_is_not_claimed(folder: Path) -> None:
    assert RapidOCRSpotter.create(weights=folder, device="cuda:0").device == "cpu"


def test_options_reach_the_engine_and_wrong_ones_are_refused(folder: Path) -> None:
    spotter = RapidOCRSpotter.create(weights=folder, min_score=0.2, turn=False, reference_short_side=960)
    assert spotter._engine.params["Global.text_score"] == 0.2
    assert spotter._engine.params["Global.use_cls"] is False
    assert spotter.reference_short_side == 960
    with pytest.raises(ConfigError, match="did you mean 'threads'"):
        RapidOCRSpotter.create(weights=folder, thread=2)


def test_a_folder_without_models_is_told(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match=r"'det' in its name, and holds none"):
        RapidOCRSpotter.create(weights=tmp_path)
    (folder / "second_rec.onnx").touch()
    with pytest.raises(WeightsError, match=r"fake_rec.onnx, second_rec.onnx"):
        RapidOCRSpotter.create(weights=folder)


def test_an_engine_that_cannot_be_built_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(self: Any, params: Any) -> None:
        raise RuntimeError("not a graph")

    monkeypatch.setattr(FakeRapidOCR, "__init__", broken)
    with pytest.raises(WeightsError, match="not a graph"):
        RapidOCRSpotter.create(weights=folder)


def answer(**values: Any) -> types.SimpleNamespace:
    whole = {"boxes": np.array([BOX]), "txts": (LINE,), "scores": (0.9,), "word_results": ()}
    return types.SimpleNamespace(**{**whole, **values})


def read(found: Any) -> list[tuple[str, float]]:
    return [(word.text, word.score) for word in words_of(found, 100, 50, CHARSET)]


def test_the_engine_s_words_are_taken_with_the_score_of_their_line() -> None:
    pieces = [("ab", 0.1, BOX), ("cd", 0.2, BOX)]
    assert read(answer(word_results=(pieces,))) == [("ab", 0.9), ("cd", 0.9)]


@pytest.mark.parametrize("results", [(), None, (("", 1.0, None),), ([],), ([("zz", 1.0, BOX)],)])
def test_lines_that_it_did_not_cut_are_cut_in_proportion(results: Any) -> None:
    first, second = words_of(answer(word_results=results), 100, 50, CHARSET)
    assert (first.text, second.text) == ("ab", "cd")
    assert first.polygon[1] == (42.0, 10.0)  # 2 of 5 characters of 80 pixels
    assert second.polygon[0] == (58.0, 10.0)


def test_lines_without_cuts_do_not_shift_the_others() -> None:
    found = answer(
        boxes=np.array([BOX, BOX]), txts=("ab", "cd"), scores=(0.9, 0.8), word_results=([("cd", 1.0, BOX)],)
    )
    assert read(found) == [("ab", 0.9), ("cd", 0.8)]


def test_single_characters_are_joined_between_blanks() -> None:
    pieces = [(c, 1.0, quad((10 * i, 0, 10 * i + 10, 9))) for i, c in enumerate("中文a")]
    first, second = words_of(answer(txts=("中文 a",), word_results=(pieces,)), 100, 50, CHARSET)
    assert (first.text, second.text) == ("中文", "a")
    assert first.polygon == ((0, 0), (20, 0), (20, 9), (0, 9))


@pytest.mark.parametrize(
    "found",
    [
        None,
        answer(boxes=None),
        answer(txts=None),
        answer(scores=None),
        answer(boxes=np.array([np.full((4, 2), np.nan)])),
        answer(txts=(None,)),
        answer(txts=("",)),
        answer(boxes=np.zeros((1, 2, 2))),
        answer(boxes=np.zeros((0, 4, 2)), txts=(), scores=()),
    ],
)
def test_broken_answers_give_no_words(found: Any) -> None:
    assert read(found) == []


@real
def test_the_detector_never_sees_more_than_the_image(monkeypatch: pytest.MonkeyPatch) -> None:
    spotter = shared()
    shapes = []
    session = spotter._engine.text_det.session
    monkeypatch.setattr(
        spotter._engine.text_det, "session", lambda x: (shapes.append(x.shape), session(x))[1]
    )
    for height, width in ((160, 240), (97, 131), (40, 420), (300, 70)):
        spotter.predict([samples.page(height, width)])
        _, _, rows, columns = shapes.pop()
        assert (rows, columns) == (round(height / 32) * 32, round(width / 32) * 32)
    assert not shapes


@real
def test_it_works_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: Any, **options: Any) -> None:
        raise AssertionError("a socket was opened")

    monkeypatch.setattr(socket, "socket", refuse)
    spotter = RapidOCRSpotter.create(threads=1)
    assert [word.text for word in spotter.predict([samples.page(160, 240)])[0]] == list(samples.WORDS)


@real
def test_its_flops_are_those_of_its_graphs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from dld_plugins.engines.onnx_cost import flops

    monkeypatch.setenv("DLD_HOME", str(tmp_path))
    spotter = RapidOCRSpotter.create(threads=1)
    files = spotter.files
    assert spotter.flops(97, 150) == flops(files.detector, [(1, 3, 96, 160)])[0]
    reading = flops(files.reader, [(2, 3, 48, 320)])[0] + flops(files.turner, [(2, 3, 48, 192)])[0]
    assert spotter.flops(97, 150, 2) - spotter.flops(97, 150) == pytest.approx(reading)
