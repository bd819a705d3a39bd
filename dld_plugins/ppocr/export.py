"""What was taught here as ONNX files that RapidOCR itself takes, so that its users need nothing else."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from dld_core.errors import ConfigError, WeightsError
from dld_plugins.ppocr.networks import reader_graph

if TYPE_CHECKING:
    from dld_plugins.ppocr.spotter import PPOCRSpotter


def export(spotter: PPOCRSpotter, file: Path) -> Path:
    """Write NAME.det.onnx and NAME.rec.onnx for a NAME.onnx; their folder, which RapidOCR's spotter takes.

    Raises:
        ConfigError: the preset is "tiny", whose detector wants other pixels than RapidOCR gives it; or
            RapidOCR's spotter would take files of that name for others.
        MissingExtraError: onnx is not installed.
        WeightsError: the files cannot be written, or the folder holds those of another export.
    """
    if spotter.config.preset != "small":
        raise ConfigError("only the preset 'small' can be exported: RapidOCR feeds other detectors wrongly")
    stem, folder = file.name.removesuffix(".onnx"), file.parent
    if any(part in stem for part in ("det", "rec", "cls")):
        raise ConfigError(
            f"RapidOCR's spotter tells files by det, rec and cls in their names; rename {stem!r}"
        )
    _refuse_others(folder, stem)
    networks = {
        "det": spotter.detector.as_graph().to_onnx(spotter.detector.shape),
        "rec": reader_graph(spotter.reader, spotter.decoder).to_onnx(spotter.reader.shape),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for part, content in networks.items():
            (folder / f"{stem}.{part}.onnx").write_bytes(content)
    except OSError as error:
        raise WeightsError(f"cannot write to {folder}: {error.strerror or error}") from None
    return folder


def _refuse_others(folder: Path, stem: str) -> None:
    own = {f"{stem}.{part}.onnx" for part in ("det", "rec")}
    found = {path.name for part in ("det", "rec") for path in folder.glob(f"*{part}*.onnx")}
    if found - own:
        raise WeightsError(
            f"{folder} holds {', '.join(sorted(found - own))} already, and RapidOCR's spotter takes a folder "
            "with one detector and one recogniser; export to another"
        )
