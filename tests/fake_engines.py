"""Stand-ins for OCR engines, with the engines' own interfaces: they read one line round the dark pixels."""

from __future__ import annotations

import subprocess
import sys
import types
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

LINE = "ab cd"
Box = tuple[int, int, int, int]


def dark_box(pixels: np.ndarray) -> Box | None:
    """left, top, right, bottom of the dark pixels, one pixel too large on every side, as engines are."""
    assert pixels.dtype == np.uint8
    assert pixels.flags.c_contiguous
    rows, columns = np.nonzero(pixels.max(2) < 100)
    if len(rows) < 20:
        return None
    return columns.min() - 1, rows.min() - 1, columns.max() + 2, rows.max() + 2


def quad(box: Box) -> list[list[float]]:
    """Its corners, clockwise from the top left."""
    left, top, right, bottom = (float(value) for value in box)
    return [[left, top], [right, top], [right, bottom], [left, bottom]]


class FakeDetector:
    """Its `text_det`: makes what resizes for it anew for every image."""

    def get_preprocess(self) -> Any:
        return types.SimpleNamespace(resize=lambda pixels: pixels)


class FakeRapidOCR:
    """`rapidocr.RapidOCR`: remembers its parameters and what it saw; `answer` overrides what it says."""

    answer: Any = None

    def __init__(self, params: dict[str, Any]) -> None:
        self.params = params
        self.seen: list[np.ndarray] = []
        self.detected: list[tuple[int, int]] = []
        decoder = types.SimpleNamespace(character=["blank", "a", "b", "c", "d", "é", " "])
        self.text_det = FakeDetector()
        self.text_rec = types.SimpleNamespace(postprocess_op=decoder)

    def __call__(self, pixels: np.ndarray, use_det: bool = True) -> Any:
        self.seen.append(pixels)
        if use_det:
            self.detected.append(self.text_det.get_preprocess().resize(pixels).shape[:2])
        if self.answer is not None:
            return self.answer
        box = dark_box(pixels)
        if box is None or not use_det:
            return types.SimpleNamespace(boxes=None, txts=None, scores=None, word_results=(("", 1.0, None),))
        left, top, right, bottom = box
        middle = (left + right) // 2
        first, second = quad((left, top, middle, bottom)), quad((middle, top, right, bottom))
        return types.SimpleNamespace(
            boxes=np.array([quad(box)]),
            txts=(LINE,),
            scores=(0.75,),
            word_results=([("ab", 0.1, first), ("cd", 0.2, second)],),
        )


def install_rapidocr(patch: pytest.MonkeyPatch, folder: Path) -> Path:
    """Put the fake in place of rapidocr and onnxruntime; gives the folder of its (empty) models."""
    models = folder / "models"
    models.mkdir(parents=True, exist_ok=True)
    for part in ("det", "rec", "cls"):
        (models / f"fake_{part}.onnx").touch()
    module, runtime = types.ModuleType("rapidocr"), types.ModuleType("onnxruntime")
    module.__file__ = str(folder / "__init__.py")
    module.RapidOCR = FakeRapidOCR  # type: ignore[attr-defined]
    runtime.get_available_providers = lambda: ["CPUExecutionProvider"]  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "rapidocr", module)
    patch.setitem(sys.modules, "onnxruntime", runtime)
    return models


class FakeCraft(torch.nn.Module):
    """Its detector: two maps of an image, each as precise as its convolutions are."""

    def __init__(self) -> None:
        super().__init__()
        self.convolution = torch.nn.Conv2d(3, 2, 1)

    def forward(self, image: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        self.given = image
        maps = self.computed = self.convolution(image)
        return maps.permute(0, 2, 3, 1), maps


class FakeReader:
    """`easyocr.Reader`, with the arguments of version 1.7."""

    answer: Any = None
    made: dict[str, Any]

    def __init__(
        self,
        lang_list: list[str],
        gpu: Any = True,
        model_storage_directory: str | None = None,
        user_network_directory: str | None = None,
        recog_network: str = "standard",
        download_enabled: bool = True,
        detector: bool = True,
        recognizer: bool = True,
        verbose: bool = True,
        quantize: bool = True,
        cudnn_benchmark: bool = False,
    ) -> None:
        if "xx" in lang_list:
            raise ValueError({"xx"}, "is not supported")
        if model_storage_directory and not list(Path(model_storage_directory).glob("*.pth")):
            raise FileNotFoundError(f"Missing {model_storage_directory}/craft.pth and downloads disabled")
        self.made = {"gpu": gpu, "download_enabled": download_enabled, "verbose": verbose}
        self.character = "0abcd b"
        self.detector: Any = FakeCraft()
        self.craft = self.detector
        self.calls: list[dict[str, Any]] = []

    def readtext(
        self,
        image: np.ndarray,
        decoder: str = "greedy",
        beamWidth: int = 5,  # noqa: N803
        batch_size: int = 1,
        workers: int = 0,
        allowlist: str | None = None,
        blocklist: str | None = None,
        detail: int = 1,
        rotation_info: Any = None,
        paragraph: bool = False,
        min_size: int = 20,
        contrast_ths: float = 0.1,
        adjust_contrast: float = 0.5,
        filter_ths: float = 0.003,
        text_threshold: float = 0.7,
        low_text: float = 0.4,
        link_threshold: float = 0.4,
        canvas_size: int = 2560,
        mag_ratio: float = 1.0,
        slope_ths: float = 0.1,
        ycenter_ths: float = 0.5,
        height_ths: float = 0.5,
        width_ths: float = 0.5,
    ) -> Any:
        self.calls.append({"shape": image.shape, "canvas_size": canvas_size, "mag_ratio": mag_ratio})
        with torch.no_grad():
            self.maps = self.detector(torch.zeros(1, 3, 8, 8))
        warnings.warn("'pin_memory' argument is set as true but no accelerator is found", stacklevel=2)
        torch.randint(9, ())  # as its loader of crops does for a seed
        if self.answer is not None:
            return self.answer
        box = dark_box(image)
        return [] if box is None else [(quad(box), LINE, np.float64(0.5))]


def install_easyocr(patch: pytest.MonkeyPatch) -> None:
    """Put the fake in place of easyocr."""
    module = types.ModuleType("easyocr")
    module.Reader = FakeReader  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "easyocr", module)


class FakeTesseract:
    """The program behind `subprocess.run`: languages, or tab-separated words of a PNM picture."""

    def __init__(self) -> None:
        self.commands: list[list[str]] = []
        self.answer: bytes | None = None
        self.status = 0

    def run(self, command: list[str], input: bytes = b"", **options: Any) -> Any:
        assert options["timeout"] > 0  # nothing may hang for ever
        self.commands.append(command)
        if "--list-langs" in command:
            told = b'List of available languages in "/nowhere/" (2):\neng\nosd\n'
            return subprocess.CompletedProcess(command, 0, told, b"")
        answer = self.words(input) if self.answer is None else self.answer
        return subprocess.CompletedProcess(command, self.status, answer, b"told on stderr")

    @staticmethod
    def words(picture: bytes) -> bytes:
        header, pixels = picture.split(b"\n", 1)
        kind, width, height, most = header.split()
        assert (kind, most) == (b"P6", b"255")
        box = dark_box(np.frombuffer(pixels, np.uint8).reshape(int(height), int(width), 3))
        return b"" if box is None else line_of(box).encode()


def line_of(box: Box, text: str = "abé", score: object = 96.5) -> str:
    """One word as Tesseract prints it, after a line that is no word."""
    left, top, right, bottom = box
    place = f"{left}\t{top}\t{right - left}\t{bottom - top}"
    return f"4\t1\t1\t1\t1\t0\t{place}\t-1\t\n5\t1\t1\t1\t1\t1\t{place}\t{score}\t{text}\n"


def install_tesseract(patch: pytest.MonkeyPatch) -> FakeTesseract:
    """Put the fake in place of the program."""
    fake = FakeTesseract()
    patch.setattr("shutil.which", lambda name: f"/usr/bin/{name}")
    patch.setattr("subprocess.run", fake.run)
    return fake
