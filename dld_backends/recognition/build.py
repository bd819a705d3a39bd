"""The recogniser that a config names."""

from __future__ import annotations

from dld_backends.recognition.attention import AttentionDecoder
from dld_backends.recognition.branch import RecognitionBranch
from dld_backends.recognition.bridge import BridgeRecogniser
from dld_backends.recognition.config import ReadingConfig
from dld_backends.recognition.encoder import SequenceEncoder
from dld_backends.recognition.recogniser import Recogniser
from dld_core.decoders.charset import PRINTABLE_ASCII, Charset
from dld_core.decoders.ctc import CTCDecoder
from dld_core.interfaces import SequenceDecoder


def build_recogniser(
    config: ReadingConfig, fine: int, detail: int = 0, separable: bool = False
) -> Recogniser:
    """A recogniser for maps of so many channels.

    Args:
        fine, detail: channels of `ReadingMaps.fine` and `.detail`.
        separable: see `RecognitionBranch`.
    """
    c = config
    if c.recogniser == "bridge":
        return BridgeRecogniser(
            fine, detail, c.charset, c.max_length, c.beam_width, c.region_width, c.margin, c.frozen
        )
    characters = Charset(PRINTABLE_ASCII if c.charset is None else c.charset)
    channels = c.recognition_channels
    encoder = SequenceEncoder(channels + detail, c.encoder_channels, c.lstm_hidden, c.lstm_layers)
    decoder: SequenceDecoder
    if c.recogniser == "attention":
        decoder = AttentionDecoder(characters, encoder.features, c.decoder_hidden, max_length=c.max_length)
    else:
        decoder = CTCDecoder(characters, encoder.features, c.max_length, c.beam_width)
    weight = c.ctc_weight if c.recogniser == "attention" else 0.0
    return RecognitionBranch(
        fine,
        channels,
        encoder,
        decoder,
        characters,
        c.roi_size,
        ctc_weight=weight,
        separable=separable,
        detail=detail,
    )
