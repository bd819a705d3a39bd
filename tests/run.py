"""Every check that a change must pass: style, types, tests. Stops at the first that fails.

python tests/run.py [pytest options]
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CHECKS = (["ruff", "check", "."], ["ruff", "format", "--check", "."], ["mypy"], ["pytest", *sys.argv[1:]])


def main() -> int:
    """Run the checks one after another; the exit status of the first that fails, else 0."""
    for check in CHECKS:
        print("$", *check, flush=True)
        status = subprocess.run([sys.executable, "-m", *check], cwd=ROOT, check=False).returncode
        if status:
            return status
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
