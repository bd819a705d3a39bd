"""PPOCRLabel: `Label.txt`, one image per line: path, a tab, and a json list of transcription and points.

Paths count from the folder above the one that holds the file ("photos/img_1.jpg" in photos/Label.txt).
Don't-care is the transcription "###" or "*".
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

from dld_core.data.formats.base import Format, Losses, ReadOptions, own_extras, place_of, private
from dld_core.data.formats.coordinates import pairs
from dld_core.data.formats.jsonfile import MAX_JSON_BYTES, At, encode_json, parse_json
from dld_core.data.formats.jsonset import annotated
from dld_core.data.formats.model import AnnotatedImage, AnnotatedWord, Dataset
from dld_core.data.formats.pairing import ImageFinder, label_files
from dld_core.data.formats.perfile import sniff_lines
from dld_core.data.formats.problems import Problems
from dld_core.data.formats.textfile import read_text, split_lines

DONT_CARE = ("###", "*")
_KNOWN = frozenset({"transcription", "points"})


class PpocrLabelFormat(Format):
    """PPOCRLabel's Label.txt."""

    name: ClassVar[str] = "ppocrlabel"
    summary: ClassVar[str] = "PPOCRLabel: Label.txt, one image per line, path<TAB>json"
    image_folder: ClassVar[str] = ""

    def sniff(self, path: Path) -> float:
        """See Format."""
        return 0.95 * any(sniff_lines(file, _fits) > 0 for file in _files(path)[:20])

    def read(self, path: Path, problems: Problems, options: ReadOptions) -> Dataset:
        """See Format."""
        dataset, files = Dataset(self.name, path), _files(path)
        finder = ImageFinder(path, options.images)
        if not files:
            fix = "give the folder that holds it, or another --format"
            problems.error("no-annotations", path, "", "there is no Label.txt of PPOCRLabel", fix)
        for file in files:
            text = read_text(file, problems, encoding=options.encoding, limit=MAX_JSON_BYTES)
            for number, line in split_lines(text or ""):
                image = self._image(line, file, f"line {number}", problems, finder)
                if image is not None:
                    dataset.images.append(image)
        if files:  # crop_img holds the words that the tool cut out
            unlabelled = finder.unlabelled(image.path for image in dataset.images)
            dataset.unlabelled = [image for image in unlabelled if image.parent.name != "crop_img"]
        return dataset

    def _image(
        self, line: str, file: Path, where: str, problems: Problems, finder: ImageFinder
    ) -> AnnotatedImage | None:
        name, tab, content = line.partition("\t")
        if not tab:
            message = "there is no tab between the path and the json"
            problems.error("bad-record", file, where, message, 'write path<TAB>[{"transcription": ...}]')
            return None
        at = At(file, problems, prefix=where)
        image = annotated(name.strip(), at, finder)
        image.name, image.where = image.name.removeprefix(f"{file.parent.name}/"), where
        shapes = parse_json(content, file, where, problems)
        for place, shape in at.objects([] if shapes is None else shapes):
            word = _word(shape, place)
            if word is not None:
                image.words.append(word)
        return image

    def write(self, dataset: Dataset, target: Path, losses: Losses) -> list[Path]:
        """See Format."""
        target.mkdir(parents=True, exist_ok=True)
        lines = [self._line(image, target, losses) for image in dataset.images]
        own_extras(self.name, dataset.extra, frozenset(), losses, str(dataset.root))
        (target / "Label.txt").write_bytes(b"".join(lines))
        return [target / "Label.txt"]

    def _line(self, image: AnnotatedImage, target: Path, losses: Losses) -> bytes:
        own_extras(self.name, image.extra, frozenset(), losses, image.name)
        shapes = [_shape(word, losses, place_of(word, image.source)) for word in image.words]
        name = image.name.replace("\t", " ").replace("\n", " ")
        return f"{target.resolve().name}/{name}\t".encode("utf-8", "replace") + encode_json(shapes)


def _files(path: Path) -> list[Path]:
    """Label.txt where a folder has one, else the txt files whose lines look right."""
    named = [path / "Label.txt"] if path.is_dir() else []
    if any(file.is_file() for file in named):
        return named
    files = label_files(path, ".txt")
    return [file for file in files if sniff_lines(file, _fits) > 0] or ([] if path.is_dir() else files)


def _fits(line: str) -> bool:
    return line.partition("\t")[2].lstrip().startswith("[")


def _word(shape: dict[str, Any], at: At) -> AnnotatedWord | None:
    if "points" not in shape:
        at.error("missing-key", "there are no 'points'", 'write "points": [[x, y], ...]')
        return None
    polygon = (at / "points").polygon(shape["points"])
    if polygon is None:
        return None
    text = (at / "transcription").text(shape.get("transcription"))
    extra = private("ppocrlabel", shape, _KNOWN)
    if extra.get("ppocrlabel.difficult") is False:
        del extra["ppocrlabel.difficult"]
    ignore = text in DONT_CARE or shape.get("difficult") is True
    if "transcription" not in shape:
        extra["no_text"] = True
    return AnnotatedWord(polygon, text, ignore, extra, at.place)


def _shape(word: AnnotatedWord, losses: Losses, where: str) -> dict[str, Any]:
    extra = own_extras("ppocrlabel", word.extra, frozenset(), losses, where)
    text = word.text
    if word.ignore and text not in DONT_CARE and extra.get("difficult") is not True:
        if text not in ("", "#", "."):
            losses.add("texts of don't-care words", where)
        text = DONT_CARE[0]
    elif not word.ignore and text in DONT_CARE:
        losses.add(f"words that read {text!r} became don't-care", where)
    return {"transcription": text, "points": pairs(word.polygon), "difficult": False, **extra}
