"""COCO-Text v2 json: `imgs`, `anns` and `imgToAnns` by id; polygons in `mask`, don't-care by `legibility`."""

from __future__ import annotations

from typing import Any, ClassVar

from dld_core.data.formats.base import Losses, own_extras, place_of, private
from dld_core.data.formats.cocolike import CocoLikeFormat
from dld_core.data.formats.coordinates import Polygon, flat
from dld_core.data.formats.jsonfile import At
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord

_SHARED = frozenset({"language", "legibility", "class"})
_KNOWN = frozenset({"mask", "bbox", "utf8_string", "image_id", "id", "area"}) | _SHARED


class CocoTextFormat(CocoLikeFormat):
    """COCO-Text v2."""

    name: ClassVar[str] = "cocotext"
    summary: ClassVar[str] = "COCO-Text v2: one json with imgs, anns (mask, legibility, language), imgToAnns"
    file_name: ClassVar[str] = "cocotext.v2.json"
    signature: ClassVar[tuple[str, ...]] = ('"anns"', '"imgs"', '"legibility"')
    numeric_ids: ClassVar[bool] = True
    polygon_keys: ClassVar[tuple[str, ...]] = ("mask", "polygon")
    top_defaults: ClassVar[dict[str, Any]] = {"cats": {}, "info": {}}

    def make_word(self, polygon: Polygon, entry: dict[str, Any], at: At) -> AnnotatedWord:
        """See CocoLikeFormat."""
        extra = {key: entry[key] for key in _SHARED if isinstance(entry.get(key), str)}
        extra |= private(self.name, entry, _KNOWN | {"polygon"}) | self.derived(polygon, entry)
        text = (at / "utf8_string").text(entry.get("utf8_string"))
        unread = entry.get("legibility") == "illegible" or "utf8_string" not in entry
        return AnnotatedWord(polygon, text, unread, extra, at.place)

    def annotation(self, word: AnnotatedWord, image: AnnotatedImage, losses: Losses) -> dict[str, Any]:
        """See CocoLikeFormat."""
        where = place_of(word, image.source)
        extra = own_extras(self.name, word.extra, _SHARED, losses, where)
        entry = {"mask": flat(word.polygon), "class": "others", "language": "na", **extra}
        if word.ignore and entry.get("legibility", "illegible") == "legible" and word.text:
            losses.add("don't-care flags of words marked legible", where)
        entry.setdefault("legibility", "illegible" if word.ignore else "legible")
        if not word.ignore and entry["legibility"] == "illegible":
            entry["legibility"] = "legible"
            losses.add("legibility: a word that counts was marked illegible", where)
        if not (word.ignore and word.text in ("", "###")):
            entry["utf8_string"] = word.text
        return entry
