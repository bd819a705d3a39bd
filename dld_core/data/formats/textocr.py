"""TextOCR json: like COCO-Text, with string ids, polygons in `points`, and "." for what cannot be read."""

from __future__ import annotations

from typing import Any, ClassVar

from dld_core.data.formats.base import Losses, marked_text, own_extras, place_of, private
from dld_core.data.formats.cocolike import CocoLikeFormat
from dld_core.data.formats.coordinates import Polygon, flat
from dld_core.data.formats.jsonfile import At
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord

_KNOWN = frozenset({"points", "bbox", "utf8_string", "image_id", "id", "area"})


class TextOcrFormat(CocoLikeFormat):
    """TextOCR."""

    name: ClassVar[str] = "textocr"
    summary: ClassVar[str] = "TextOCR: one json with imgs, anns (points, utf8_string), imgToAnns"
    file_name: ClassVar[str] = "TextOCR.json"
    signature: ClassVar[tuple[str, ...]] = ('"anns"', '"imgs"')
    foreign: ClassVar[tuple[str, ...]] = ('"legibility"',)
    numeric_ids: ClassVar[bool] = False
    polygon_keys: ClassVar[tuple[str, ...]] = ("points",)
    top_defaults: ClassVar[dict[str, Any]] = {}

    def make_word(self, polygon: Polygon, entry: dict[str, Any], at: At) -> AnnotatedWord:
        """See CocoLikeFormat."""
        extra = private(self.name, entry, _KNOWN) | self.derived(polygon, entry)
        text = (at / "utf8_string").text(entry.get("utf8_string"))
        return AnnotatedWord(polygon, text, text == ".", extra, at.place)

    def annotation(self, word: AnnotatedWord, image: AnnotatedImage, losses: Losses) -> dict[str, Any]:
        """See CocoLikeFormat."""
        where = place_of(word, image.source)
        extra = own_extras(self.name, word.extra, frozenset(), losses, where)
        text = marked_text(word, (".",), losses, where)
        return {"points": flat(word.polygon), "utf8_string": text, **extra}
