"""Turn ImageNet weights of a timm classifier into a start for a spotter's trunk.

    python -m dld_backends.detection.pretrained tf_efficientnet_lite0 CHECKPOINT.pth OUT.safetensors

The weights are matched to timm's by order and shape (other ports of a network use other names). Batch
norms are folded into the convolutions, as in a trunk with `folded_norm`.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import timm
import torch
from safetensors.torch import save_file
from torch import Tensor

from dld_core.errors import WeightsError
from dld_core.runtimes.folding import fold_norms


def trunk_weights(backbone: str, state: dict[str, Tensor], prefix: str = "trunk.body.") -> dict[str, Tensor]:
    """Names and tensors of a folded trunk.

    Args:
        backbone: timm name.
        state: a classifier's state dict of the same architecture, in order of its layers.
        prefix: put before every name.

    Raises:
        WeightsError: the tensors do not match the architecture one by one.
    """
    classifier = timm.create_model(backbone)
    own = [k for k in classifier.state_dict() if not k.endswith("num_batches_tracked")]
    given = [k for k in state if not k.endswith("num_batches_tracked")]
    wanted = classifier.state_dict()
    if len(own) != len(given) or any(
        wanted[a].shape != state[b].shape for a, b in zip(own, given, strict=True)
    ):
        raise WeightsError(
            f"these weights are not those of timm's {backbone}: tensors differ in number or shape"
        )
    full = {a: state[b] for a, b in zip(own, given, strict=True)}
    body = timm.create_model(backbone, features_only=True, out_indices=(1, 2, 3, 4))
    features = {k: v for k, v in full.items() if k in body.state_dict()}
    body.load_state_dict(features, strict=False)
    fold_norms(body.eval())
    return {prefix + k: v.detach().clone().contiguous() for k, v in body.state_dict().items()}


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("backbone")
    parser.add_argument("checkpoint", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    state = torch.load(arguments.checkpoint, map_location="cpu", weights_only=True)
    save_file(trunk_weights(arguments.backbone, state), arguments.out)


if __name__ == "__main__":
    main()
