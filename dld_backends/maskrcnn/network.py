"""The parts of the Mask R-CNN text spotter, built from its options."""

from __future__ import annotations

from torch import nn

from dld_backends.maskrcnn.config import MaskRCNNConfig
from dld_backends.maskrcnn.heads import BoxHead, MaskHead
from dld_backends.maskrcnn.proposals import build_rpn
from dld_backends.maskrcnn.trunk import Trunk
from dld_backends.recognition.attention import AttentionDecoder
from dld_backends.recognition.branch import RecognitionBranch
from dld_backends.recognition.encoder import SequenceEncoder
from dld_core.decoders.charset import Charset


class Network(nn.Module):
    """Trunk, proposals, box and mask heads, and the recognition branch."""

    def __init__(self, config: MaskRCNNConfig) -> None:
        super().__init__()
        self.trunk = Trunk(config)
        self.rpn = build_rpn(config)
        self.box_head = BoxHead(config)
        self.mask_head = MaskHead(config)
        characters = Charset(config.charset)
        encoder = SequenceEncoder(
            config.recognition_channels, config.encoder_channels, config.lstm_hidden, config.lstm_layers
        )
        decoder = AttentionDecoder(
            characters, encoder.features, config.decoder_hidden, max_length=config.max_length
        )
        self.reader = RecognitionBranch(
            config.fpn_channels + (config.detail_channels[1] if config.detail_channels else 0),
            config.recognition_channels,
            encoder,
            decoder,
            characters,
            config.roi_size,
            ctc_weight=config.ctc_weight,
        )
