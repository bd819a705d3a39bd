"""EasyOCR as a spotter, on a stand-in with the signatures of easyocr 1.7."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from fake_engines import install_easyocr

from dld_core import ConfigError, DLDWrapper, WeightsError
from dld_core.pipeline.models import find_selector
from dld_core.selection import DenseSelector
from dld_core.selection.file import save_selector
from dld_core.testing import SpotterContract, samples
from dld_plugins.easyocr import EasyOCRSpotter, words_of

BOX = [[10, 10], [90, 10], [90, 30], [10, 30]]


@pytest.fixture(autouse=True)
def engine(monkeypatch: pytest.MonkeyPatch) -> None:
    install_easyocr(monkeypatch)


class TestEasyOCROnAFake(SpotterContract):
    def make(self) -> EasyOCRSpotter:
        return EasyOCRSpotter.create(weights=None)


def test_the_image_is_neither_enlarged_nor_shrunk() -> None:
    spotter = EasyOCRSpotter.create()
    for height, width in ((60, 90), (40, 3000)):
        spotter.predict([samples.page(height, width)])
        call = spotter._reader.calls[-1]
        assert call == {"shape": (height, width, 3), "canvas_size": max(height, width), "mag_ratio": 1.0}


def test_the_detector_is_as_precise_as_asked_and_answers_in_full_precision() -> None:
    for precision, inside in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
        spotter = EasyOCRSpotter.create(precision=precision)
        spotter.predict([samples.page(60, 90)])
        craft = spotter._reader.craft
        assert craft.given.is_contiguous(memory_format=torch.channels_last)
        assert craft.computed.dtype == inside
        assert {part.dtype for part in spotter._reader.maps} == {torch.float32}


def test_it_loads_quietly_and_never_downloads_unless_told() -> None:
    assert EasyOCRSpotter.create()._reader.made == {"gpu": False, "download_enabled": False, "verbose": False}
    assert EasyOCRSpotter.create(device="cuda:1", download=True)._reader.made["gpu"] == "cuda:1"


def test_its_selector_chooses_wherever_its_models_lie(tmp_path: Path) -> None:
    (tmp_path / "craft.pth").touch()
    for weights in ("bundled", tmp_path):
        assert DLDWrapper("easyocr", weights=weights).spot(samples.page(300, 400)).scale in (0.4, 0.6, 0.8)
    assert DLDWrapper("easyocr", languages=("fr",)).selector is None
    assert DLDWrapper(EasyOCRSpotter.create()).selector is None  # what is ready comes as it is
    own = find_selector("bundled", EasyOCRSpotter.create(), "bundled", "cpu")
    assert own is not None
    save_selector(
        DenseSelector(own.config.model_copy(update={"gamma": 9.0})), tmp_path / "selector.safetensors"
    )
    beside = DLDWrapper("easyocr", weights=tmp_path).selector
    assert beside is not None
    assert beside.config.gamma == 9.0


def test_it_does_not_complain_of_every_image(recwarn: pytest.WarningsRecorder) -> None:
    EasyOCRSpotter.create().predict([samples.page(60, 90)])
    assert not recwarn.list


def test_blanks_split_what_was_joined() -> None:
    spotter = EasyOCRSpotter.create()
    first, second = spotter.predict([samples.page(120, 160)])[0]
    assert (first.text, second.text) == ("ab", "cd")
    assert first.polygon[1][0] < second.polygon[0][0]


def test_the_charset_has_each_character_once_and_only_those_allowed() -> None:
    assert EasyOCRSpotter.create().charset == "0abcd"
    assert EasyOCRSpotter.create(allowed="abz").charset == "ab"


def test_missing_models_are_told_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="download=true"):
        EasyOCRSpotter.create(weights=tmp_path)
    with pytest.raises(WeightsError, match="no folder"):
        EasyOCRSpotter.create(weights=tmp_path / "nowhere")


def test_a_language_that_it_does_not_know_is_told() -> None:
    with pytest.raises(ConfigError, match=r"languages=\['xx'\].*is not supported"):
        EasyOCRSpotter.create(languages=["xx"])


@pytest.mark.parametrize(
    "found",
    [
        None,
        [],
        [None],
        [(BOX, "ab")],
        [(BOX, None, 0.5)],
        [(BOX, "", 0.5)],
        [([[math.nan] * 2] * 4, "ab", 0.5)],
        [(None, "ab", 0.5)],
        [(BOX[:3], "ab ab", 0.5)],
        [(BOX, "ab", 0.1)],
    ],
)
def test_broken_and_doubtful_answers_give_no_words(found: Any) -> None:
    assert list(words_of(found, 100, 50, "ab", min_score=0.2)) == []


def test_one_broken_word_does_not_take_the_others_with_it() -> None:
    found = [(BOX, None, 0.5), (BOX, "ab", 0.5)]
    assert [word.text for word in words_of(found, 100, 50, "ab")] == ["ab"]
