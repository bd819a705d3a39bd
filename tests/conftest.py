"""Options of the test run."""

from __future__ import annotations

import pytest


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--fuzz N`: how many broken inputs each test in tests/fuzz/ makes; without it, some seconds' worth."""
    parser.addoption("--fuzz", type=int, default=None, metavar="N", help="broken inputs per fuzz test")
    parser.addoption("--fuzz-seed", type=int, default=0, metavar="SEED", help="of the broken inputs")


@pytest.fixture
def fuzz_rounds(request: pytest.FixtureRequest) -> int | None:
    """How many broken inputs a test is to make; None leaves it to the test."""
    rounds: int | None = request.config.getoption("--fuzz")
    return rounds


@pytest.fixture
def fuzz_seed(request: pytest.FixtureRequest) -> int:
    """The seed of the broken inputs."""
    seed: int = request.config.getoption("--fuzz-seed")
    return seed
