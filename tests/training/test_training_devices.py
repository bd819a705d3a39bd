"""Two processes, one loop: they must learn what one process learns from the same batches."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import torch
from safetensors.torch import load_file
from tiny_training import TinySpotter, write_photos

from dld_core.training import TrainConfig, train


def learn(folder: Path, accumulate: int) -> None:
    """Three steps of a spotter without dropout (whose draws differ between the processes)."""
    torch.manual_seed(0)
    spotter = TinySpotter()
    spotter.trunk[3] = torch.nn.Identity()
    source = {"kind": "icdar", "images": str(folder / "images"), "gt": str(folder / "gt")}
    values = {"backend": "tiny", "data": [source], "sizes": 64, "batch_size": 2, "workers": 0, "steps": 3}
    more: dict[str, object] = {
        "precision": "32-true",
        "accelerator": "cpu",
        "accumulate": accumulate,
        "warmup_steps": 0,
    }
    # A bias before a norm has no gradient but rounding noise, which Adam would blow up to whole steps.
    more["optimizer"] = {"eps": 1e-3}
    train(TrainConfig.parse({**values, **more}), folder / f"run-{accumulate}", spotter=spotter, quiet=True)


def test_two_processes_learn_what_one_learns(tmp_path: Path) -> None:
    write_photos(tmp_path, count=8)
    launcher = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    done = subprocess.run(
        [*launcher, __file__, str(tmp_path)],
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).parents[1])},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    learn(tmp_path, accumulate=2)
    many = load_file(tmp_path / "run-1" / "model.safetensors")
    one = load_file(tmp_path / "run-2" / "model.safetensors")
    start = TinySpotter().state_dict()
    for name in (name for name, _ in TinySpotter().named_parameters()):
        torch.testing.assert_close(many[name], one[name], atol=1e-5, rtol=1e-4)
        assert not torch.equal(many[name], start[name])


if __name__ == "__main__":
    learn(Path(sys.argv[1]), accumulate=1)
    os._exit(0)  # what was learnt is on disk; how the interpreter winds down gloo's threads is not our test
