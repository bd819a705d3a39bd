"""The conformance kit itself: good parts pass, and each contract catches the parts that break it."""

from __future__ import annotations

import re
import unittest
from pathlib import Path
from typing import Any

import pytest
import torch
from contract_toys import BROKEN, GOOD, ToySpotter, case_for

from dld_core.testing import (
    ContractError,
    DistillerContract,
    ResolutionSelectorContract,
    SpotterContract,
    TrainableSpotterContract,
    contracts_of,
    run_contracts,
)
from dld_core.testing.kit import Contract, contract, require

DOC = Path(__file__).parents[2] / "docs" / "contract.md"
ALL = {
    promised.number: promised
    for case in (TrainableSpotterContract, ResolutionSelectorContract, DistillerContract)
    for promised, _ in contracts_of(case)
}


@pytest.fixture(autouse=True)
def _restore_process() -> Any:
    """Some broken parts meddle with the process; the next test shall not notice."""
    yield
    torch.autograd.set_grad_enabled(True)


@pytest.mark.parametrize("letter", sorted(GOOD))
def test_good_parts_keep_every_contract(letter: str) -> None:
    outcomes = list(run_contracts(case_for(letter, GOOD[letter])))
    assert len(outcomes) > 5
    assert {o.contract.number: o.message for o in outcomes if o.state != "passed"} == {}


@pytest.mark.parametrize(("number", "why", "maker"), BROKEN, ids=[f"{n}-{w}" for n, w, _ in BROKEN])
def test_broken_parts_fail_with_the_number_of_the_contract(number: str, why: str, maker: Any) -> None:
    (outcome,) = run_contracts(case_for(number, maker), {number})
    assert outcome.state == "failed", why
    assert outcome.message
    case = case_for(number, maker)
    method = next(name for promised, name in contracts_of(case) if promised.number == number)
    with pytest.raises(
        ContractError, match=rf"^contract {number} is broken \({re.escape(ALL[number].promise)}\): "
    ):
        getattr(case(), method)()


def test_every_contract_has_a_part_that_breaks_it() -> None:
    assert set(ALL) == {number for number, _, _ in BROKEN}


def test_the_numbers_run_without_gaps() -> None:
    for letter in "STQRD":
        numbers = [int(n[1:]) for n in ALL if n[0] == letter]
        assert numbers == list(range(1, len(numbers) + 1))


def test_the_documentation_lists_every_contract_in_these_words() -> None:
    listed = dict(re.findall(r"^- \*\*([A-Z]\d+)\*\* (.+?)\.(?:\s|$)", DOC.read_text(encoding="utf-8"), re.M))
    assert listed == {number: promised.promise for number, promised in ALL.items()}


def test_what_is_not_declared_is_skipped_not_passed() -> None:
    outcomes = run_contracts(case_for("S", type("Plain", (ToySpotter,), {"thread_safe": False})), {"S14"})
    assert [o.state for o in outcomes] == ["skipped"]


def test_a_spotter_that_finds_nothing_is_not_said_to_have_good_polygons() -> None:
    blind = type("Blind", (ToySpotter,), {"read": lambda self, image: []})
    states = {o.contract.number: o.state for o in run_contracts(case_for("S", blind), {"S4", "S5", "S6"})}
    assert states == {"S4": "passed", "S5": "skipped", "S6": "skipped"}


def test_unwritten_make_is_told() -> None:
    with pytest.raises(ContractError, match="write make"):
        SpotterContract().test_s1_subclasses_what_it_is()


def test_the_order_is_by_number_and_skips_are_known_to_pytest() -> None:
    numbers = [promised.number for promised, _ in contracts_of(SpotterContract)]
    assert numbers[:3] == ["S1", "S2", "S3"]
    assert numbers.index("S2") < numbers.index("S10")

    class Skipping(SpotterContract):
        def make(self) -> Any:
            raise unittest.SkipTest("not here")

    assert {o.state for o in run_contracts(Skipping)} == {"skipped"}


def test_the_marker_checks_its_number_and_require_speaks() -> None:
    with pytest.raises(ValueError, match="capital letter"):
        contract("s1", "lower case")
    with pytest.raises(AssertionError, match="because"):
        require(False, "because")
    require(True, "never seen")
    assert Contract("S10", "").order > Contract("S2", "").order
