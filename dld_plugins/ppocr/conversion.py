"""From ONNX files to graphs that are proven to compute the same, once for each file."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from dld_core.config import home, replacing
from dld_core.errors import WeightsError
from dld_core.runtimes.graph import Graph, OnnxModule
from dld_plugins.engines.engine import require

TOLERANCE = 1e-3  # of the largest output; what is seen is some 1e-5


def convert(path: str | Path, shape: Sequence[int]) -> Graph:
    """The graph of an ONNX file, compared with onnxruntime on noise of this shape when first converted.

    What was proven is kept as safetensors in the cache folder, for this file and version of torch; the next
    time neither onnx nor onnxruntime is needed.

    Raises:
        MissingExtraError: it has to be converted, and onnx or onnxruntime is not installed.
        WeightsError: the file cannot be read or converted, or the graph answers differently.
    """
    try:
        digest = hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise WeightsError(f"{path} cannot be read ({error.strerror}); install its package again") from error
    kept = home() / "ppocr" / f"{digest}-torch{torch.__version__}.safetensors"
    # A file that is absent or damaged, in whatever way, is made again.
    with contextlib.suppress(Exception):
        return Graph.load(kept)
    graph = Graph.of_onnx(path)
    gap = difference(graph, path, shape)
    if not gap <= TOLERANCE:
        raise WeightsError(
            f"{path} converted to PyTorch answers differently from onnxruntime (by {gap:.1e} of its "
            "largest output); use the backend rapidocr, and report the versions of torch and the file"
        )
    _keep(graph, kept)
    return graph


def difference(graph: Graph, path: str | Path, shape: Sequence[int]) -> float:
    """The largest difference to onnxruntime on seeded noise, as a fraction of the largest output."""
    runtime = require("onnxruntime", "onnx")
    noise = np.random.default_rng(0).uniform(-1, 1, tuple(shape)).astype(np.float32)
    options = runtime.SessionOptions()
    options.log_severity_level, options.intra_op_num_threads = 4, torch.get_num_threads()
    session = runtime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    (expected,) = session.run([graph.output], {graph.input: noise})
    with torch.no_grad():
        found = OnnxModule(graph).eval()(torch.from_numpy(noise)).numpy()
    return float(np.abs(found - expected).max() / max(np.abs(expected).max(), 1e-9))


def _keep(graph: Graph, path: Path) -> None:
    """Write it whole or not at all; without a cache it is converted again next time."""
    with contextlib.suppress(OSError), replacing(path) as unfinished:
        graph.save(unfinished)
