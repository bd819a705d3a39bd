"""The conformance kit: what a third-party part must keep, as classes that its own tests subclass.

    from dld_core.testing import SpotterContract

    class TestMine(SpotterContract):
        def make(self):
            return MySpotter.create(weights=None)

In: a part. Out: the contracts that it breaks, by the numbers of docs/contract.md. `dld check NAME` runs the
same contracts on an installed part.
"""

from dld_core.testing.decoder import SequenceDecoderContract
from dld_core.testing.distiller import DistillerContract
from dld_core.testing.kit import ContractError, Outcome, contracts_of, run_contracts
from dld_core.testing.selector import ResolutionSelectorContract
from dld_core.testing.spotter import SpotterContract
from dld_core.testing.trainable import TrainableSpotterContract

__all__ = [
    "ContractError",
    "DistillerContract",
    "Outcome",
    "ResolutionSelectorContract",
    "SequenceDecoderContract",
    "SpotterContract",
    "TrainableSpotterContract",
    "contracts_of",
    "run_contracts",
]
