"""The options of trunk and recogniser, which every backend has, whatever finds the words in between."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar, Literal

from pydantic import Field, model_validator

from dld_core.config import PartConfig


class ReadingConfig(PartConfig):
    """Base of a backend's options; a preset fills what is neither given nor has a default.

    Attributes:
        presets: values by preset; a subclass declares `preset` with the names it has.
        preset: one of them, and whose bundled weights are loaded.
        recogniser: "bridge" is a pretrained recogniser of lines on pixels (the native ones, where an image is
            read at a smaller size), helped by the shared features; "attention" and "ctc" read the shared
            features alone. Weights that hold a recogniser bring their own kind unless this is given.
        charset: characters that can be read; None for all that the recogniser knows, which are those of
            printable ASCII for attention and CTC.
        max_length: characters read at most in a word.
        backbone: a timm model with features at strides 4, 8, 16 and 32.
        folded_norm: the backbone's batch norms are folded into its convolutions (the same at every
            resolution; wants weights that were trained with norms).
        pixel_mean, pixel_std: normalisation of RGB in [0, 1].
        recognition_channels, encoder_channels, lstm_hidden, lstm_layers: sizes where features are read.
        roi_size: rows and columns of a word that they read.
        decoder_hidden: units of the attention decoder.
        ctc_weight: weight of an auxiliary CTC loss beside attention (0 builds no CTC layer).
        beam_width: texts kept by the search of a CTC decoder.
        region_width: pixels of the lines that the bridge is trained on; longer ones are squeezed.
        margin: what the bridge reads around a region, as a fraction of its height.
        frozen: the bridge's recogniser stays as it is, its adapter alone learns.
        region_jitter: random growth of training regions, as a fraction of the word's height.
        word_threshold: words whose final score lies below this are dropped.
        max_words: words returned at most per image.
        reference_short_side: pixels, what "full" scale means.
        predict_batch: images of equal size read at once; None takes 1 on the CPU and 8 elsewhere.
    """

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    for_bridge: ClassVar[Mapping[str, Any]] = {}
    """What a preset's values are where the recogniser is the bridge."""

    preset: str
    recogniser: Literal["attention", "ctc", "bridge"]
    charset: str | None = None
    max_length: int = Field(32, ge=1, le=256)
    backbone: str
    folded_norm: bool
    pixel_mean: tuple[float, float, float]
    pixel_std: tuple[float, float, float]
    recognition_channels: int = Field(ge=8)
    encoder_channels: tuple[int, int, int]
    lstm_hidden: int = Field(ge=8)
    lstm_layers: int = Field(ge=1)
    roi_size: tuple[Literal[8], int] = (8, 32)
    decoder_hidden: int = Field(192, ge=8)
    ctc_weight: float = Field(0.5, ge=0)
    beam_width: int = Field(8, ge=1)
    region_width: int = Field(160, ge=32, multiple_of=16)
    margin: float = Field(0.12, ge=0, le=0.5)
    frozen: bool = True
    region_jitter: float = Field(0.12, ge=0, le=0.5)
    word_threshold: float = Field(0.0, ge=0, le=1)
    max_words: int = Field(3000, ge=1)
    reference_short_side: int = Field(ge=32)
    predict_batch: int | None = Field(None, ge=1)

    @model_validator(mode="before")
    @classmethod
    def _fill_from_preset(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        chosen = values.get("preset", cls.model_fields["preset"].default)
        usual = dict(cls.presets.get(chosen, {})) if isinstance(chosen, str) else {}
        if usual and values.get("recogniser", usual["recogniser"]) == "bridge":
            usual.update(cls.for_bridge)
        return {**usual, **values}
