"""Every threshold and rule of an evaluation in one frozen model, so that a score can be repeated.

The defaults are those of the ICDAR 2015 end-to-end challenge (Robust Reading Competition, task 4.4).
"""

from __future__ import annotations

from typing import Any

from pydantic import Field

from dld_core.config import PartConfig

# What the challenge lets an annotation lose at either end, and what word spotting turns into spaces.
SPECIAL_CHARACTERS = "!?.:,*\"()·[]/'"


class Protocol(PartConfig):
    """How predictions are compared with ground truth.

    Attributes:
        iou: a detection may match a word when their intersection over union is above this, in (0, 1).
        dont_care_overlap: a detection is left out of the count when more than this share of its own area lies
            in one don't-care word; None means the same number as `iou`, as the method's authors score.
        special_characters: characters that a ground truth may lose at its two ends (end-to-end) and that word
            spotting takes for spaces.
        min_word_length: word spotting does not care for words of fewer letters.
        word_spotting: whether detection and recognition are counted on the words that word spotting cares
            for instead of on all readable words. Both end-to-end and word spotting are always computed.
        whole_pixels: coordinates are cut to whole pixels towards zero, as the challenge's script does.
    """

    iou: float = Field(default=0.5, gt=0, lt=1)
    dont_care_overlap: float | None = Field(default=None, gt=0, lt=1)
    special_characters: str = SPECIAL_CHARACTERS
    min_word_length: int = Field(default=3, ge=1)
    word_spotting: bool = False
    whole_pixels: bool = True

    @property
    def overlap_limit(self) -> float:
        """The don't-care threshold in force."""
        return self.iou if self.dont_care_overlap is None else self.dont_care_overlap

    def describe(self) -> dict[str, Any]:
        """The rules in force, for the json: every field, with `dont_care_overlap` as a number."""
        return {
            **self.model_dump(),
            "dont_care_overlap": self.overlap_limit,
            "matching": "greedy in ground-truth order, first free detection above iou",
            "case_sensitive": False,
        }
