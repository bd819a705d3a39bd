"""What the runtimes keep in memory is bounded."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest


@pytest.mark.parametrize(("given", "kept"), [(None, "256"), ("7", "7")])
def test_kernels_kept_are_bounded_unless_the_user_says_otherwise(given: str | None, kept: str) -> None:
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    environment = {key: value for key, value in os.environ.items() if key != name}
    script = f"import os, dld_core.pipeline.wrapper; print(os.environ[{name!r}])"
    found = subprocess.run(
        [sys.executable, "-c", script],
        env=environment | ({} if given is None else {name: given}),
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout.strip() == kept
