"""Tesseract as a spotter, through its program: no binding to install, and any number at a time.

An image goes in as a PNM picture on the standard input, exactly as large as it is, and words come back as
tab-separated lines. The program starts anew for every image (about a tenth of a second), since its command
line cannot be kept running.
"""

from __future__ import annotations

import os
import subprocess
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from pydantic import Field
from torch import Tensor

from dld_core.config import PartConfig
from dld_core.errors import DLDError, MissingExtraError
from dld_core.interfaces import BundledPart, Spotter
from dld_core.pipeline.models import bundled_part_file
from dld_core.types import Word
from dld_plugins.engines import engine, tessdata

_SELECTORS = Path(__file__).parent / "weights"
_WORD = "5"  # the level of words among pages, blocks, paragraphs and lines
_COLUMNS = 12
# Where the language data do not tell their characters: Latin-1, and what typesetters use (euro, quotes,
# dashes, bullet, ellipsis, trade mark).
_TYPESET = (0x20AC, 0x2018, 0x2019, 0x201C, 0x201D, 0x201E, 0x2013, 0x2014, 0x2022, 0x2026, 0x2122)
_LATIN = "".join(map(chr, (*range(33, 127), *range(161, 173), *range(174, 256), *_TYPESET)))


class TesseractConfig(PartConfig):
    """Options of the Tesseract spotter.

    Attributes:
        binary: the program, a name on the PATH or a path.
        language: Tesseract's codes, joined with "+" ("eng+deu").
        page_mode: how text is looked for (`--psm`): 11 anywhere, as in photos; 3 in columns, as in scans.
        dpi: the resolution that it takes the image to have.
        threads: of one program (`OMP_THREAD_LIMIT`); more than one rarely pays.
        min_score: words read with less confidence are left out; in photos it reads leaves and bricks.
        timeout: seconds that one image may take.
        reference_short_side: the short side in pixels that "full" stands for.
    """

    binary: str = "tesseract"
    language: str = Field("eng", pattern=r"^\w+(\+\w+)*$")
    page_mode: int = Field(11, ge=1, le=13)
    dpi: int = Field(150, ge=70, le=2400)
    threads: int = Field(1, ge=1)
    min_score: float = Field(0.5, ge=0, le=1)
    timeout: float = Field(120.0, gt=0)
    reference_short_side: int = Field(1080, ge=32)


class TesseractSpotter(Spotter):
    """Reads words with Tesseract 4 or 5 (its LSTM networks). Predict-only.

    Thread-safe: each image is read by a process of its own.
    """

    config_type = TesseractConfig
    thread_safe = True
    weights_are_its_own = True

    def __init__(self, config: TesseractConfig, folder: Path | None = None) -> None:
        self.config = config
        self.reference_short_side = config.reference_short_side
        self._binary = tessdata.program(config.binary)
        self._folder = folder
        found, available = tessdata.languages(self._binary, folder)
        tessdata.check_languages(config.language, available)
        self.charset = tessdata.characters(found, config.language) or _LATIN
        self._readable = frozenset(self.charset)
        self.device = "cpu"

    @classmethod
    def missing(cls) -> str | None:
        """What it needs and is not installed, with the install line."""
        try:
            tessdata.program("tesseract")
        except MissingExtraError as error:
            return str(error)
        return None

    @classmethod
    def create(
        cls, weights: str | Path | None = "bundled", device: str = "cpu", **options: Any
    ) -> TesseractSpotter:
        """Find the program and its language data.

        Args:
            weights: a folder of `.traineddata` files; "bundled" or None for those of the installation.
            device: it computes on the CPU whatever is asked (see `device`).

        Raises:
            MissingExtraError: there is no such program.
            WeightsError: the language has no data.
        """
        del device
        config = TesseractConfig.parse(options, where="backend tesseract")
        return cls(config, None if weights in (None, "bundled") else Path(str(weights)))

    def bundled_part(self, part: BundledPart) -> Path | None:
        """The selector made with its English data and `page_mode` 11."""
        usual = self.config.language == "eng" and self.config.page_mode == 11
        return bundled_part_file(_SELECTORS, "tesseract", part) if usual else None

    def predict(self, images: Sequence[Tensor]) -> list[list[Word]]:
        """Read image by image, each at the size that it has. Raises DLDError where the program fails."""
        return [[] if engine.too_small(image) else self._read(image) for image in images]

    def _read(self, image: Tensor) -> list[Word]:
        pixels = engine.to_rgb(image)
        height, width = pixels.shape[:2]
        lines = self._run(b"P6 %d %d 255\n" % (width, height) + pixels.tobytes())
        return list(words_of(lines, width, height, self._readable, self.config.min_score))

    def _run(self, picture: bytes) -> str:
        try:
            run = subprocess.run(
                self._command(),
                input=picture,
                capture_output=True,
                timeout=self.config.timeout,
                env={**os.environ, "OMP_THREAD_LIMIT": str(self.config.threads)},
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DLDError(
                f"Tesseract took longer than {self.config.timeout:g} s for one image; "
                "read it at a smaller scale, or raise the option timeout"
            ) from None
        except OSError as error:
            raise DLDError(f"{self._binary} cannot be started: {error}; install Tesseract again") from error
        if run.returncode != 0:
            told = run.stderr.decode("utf-8", "replace").strip() or f"exit status {run.returncode}"
            raise DLDError(f"Tesseract could not read the image: {told}")
        return run.stdout.decode("utf-8", "replace")

    def _command(self) -> list[str]:
        place = [] if self._folder is None else ["--tessdata-dir", str(self._folder)]
        mode = ["--psm", str(self.config.page_mode), "--oem", "1", "--dpi", str(self.config.dpi)]
        wanted = ["-c", "tessedit_create_tsv=1"]  # not the config file "tsv", which --tessdata-dir may lack
        return [self._binary, "stdin", "stdout", *place, "-l", self.config.language, *mode, *wanted]


def words_of(
    lines: str, width: int, height: int, charset: Collection[str], min_score: float = 0.0
) -> Iterator[Word]:
    """The words of Tesseract's tab-separated answer: level, five counters, box, confidence, text."""
    for line in lines.splitlines():
        cells = line.split("\t", _COLUMNS - 1)
        if len(cells) != _COLUMNS or cells[0] != _WORD:
            continue
        try:
            left, top, across, down = (float(cell) for cell in cells[6:10])
            score = float(cells[10]) / 100
        except ValueError:
            continue
        right, bottom = left + across, top + down
        box = ((left, top), (right, top), (right, bottom), (left, bottom))
        word = engine.word(cells[11], score, box, width, height, charset)
        if word is not None and word.score >= min_score:
            yield word
