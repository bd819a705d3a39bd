"""Rectified features to context states: a light CNN that folds the height, then a BiLSTM over columns."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from dld_core.decoders.precision import full_precision


def conv_norm_relu(
    inputs: int, outputs: int, kernel: int | tuple[int, int] = 3, **kwargs: object
) -> nn.Sequential:
    """Convolution, batch norm, ReLU; same padding for odd kernels unless told otherwise."""
    sides = (kernel, kernel) if isinstance(kernel, int) else kernel
    kwargs.setdefault("padding", (sides[0] // 2, sides[1] // 2))
    conv = nn.Conv2d(inputs, outputs, kernel, bias=False, **kwargs)  # type: ignore[arg-type]
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU(inplace=True))


def separable_norm_relu(inputs: int, outputs: int) -> nn.Sequential:
    """A 3x3 convolution made light: one filter per channel, then a mix of channels, norm and ReLU."""
    per_channel = nn.Conv2d(inputs, inputs, 3, padding=1, groups=inputs, bias=False)
    return nn.Sequential(per_channel, nn.BatchNorm2d(inputs), *conv_norm_relu(inputs, outputs, 1))


class SequenceEncoder(nn.Module):
    """[N, C, 8, W] region features to [N, W, D] context states (CRNN, arXiv 1507.05717, made light).

    Args:
        inputs: C.
        channels: outputs of the convolutions; every one halves the height (8 -> 4 -> 2 -> 1).
        hidden: units of each direction of the BiLSTM; D = 2 * hidden.
        layers: stacked BiLSTM layers.
    """

    def __init__(
        self, inputs: int, channels: Sequence[int] = (128, 160, 192), hidden: int = 128, layers: int = 2
    ) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for outputs in channels[:-1]:
            blocks.append(conv_norm_relu(inputs, outputs, stride=(2, 1)))
            inputs = outputs
        blocks.append(conv_norm_relu(inputs, channels[-1], (2, 1), padding=0))
        self.cnn = nn.Sequential(*blocks)
        self.lstm = nn.LSTM(channels[-1], hidden, num_layers=layers, bidirectional=True, batch_first=True)
        self.features = 2 * hidden

    def forward(self, regions: Tensor) -> Tensor:
        """Region features [N, C, 8, W] to float32 states [N, W, D]; N may be 0."""
        if regions.shape[0] == 0:
            # an empty view rather than new zeros: a batch without words keeps its graph
            return regions.float().mean((1, 2)).unsqueeze(2).expand(-1, -1, self.features)
        columns = self.cnn(regions).squeeze(2).transpose(1, 2)
        with full_precision(columns.device):  # recurrences are short and want float32
            states: Tensor = self.lstm(columns.float())[0]
        return states
