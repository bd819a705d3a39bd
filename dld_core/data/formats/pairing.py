"""Which image an annotation file speaks of, by name: img_7.jpg <-> gt_img_7.txt, res_img_7.txt, img_7.txt."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dld_core.data.formats.problems import Problems
from dld_core.images.files import IMAGE_SUFFIXES

IMAGE_FOLDERS = ("images", "imgs", "img", "image", "jpegimages")
LABEL_FOLDERS = ("gt", "gts", "labels", "label", "annotations", "annotation", "ann", "txt", "groundtruth")
_NOT_LABELS = re.compile(
    r"(readme|licen[cs]e|lexicon|classes|.*vocabulary|conversion-report\.json$)", re.IGNORECASE
)
_PREFIX = re.compile(r"^(?:poly_gt_|rect_gt_|gt_|res_)", re.IGNORECASE)


def natural_key(name: str) -> tuple[tuple[int, int | str], ...]:
    """Sorts img_2 before img_10."""
    parts = re.split(r"(\d+)", name)
    return tuple((0, int(part)) if part.isdecimal() else (1, part) for part in parts if part)


def is_image(path: Path) -> bool:
    """Whether the name ends as an image's does."""
    return path.suffix.lower() in IMAGE_SUFFIXES


def list_images(folder: Path) -> list[Path]:
    """All images under a folder, at any depth, in natural order; hidden files are left out."""
    found = (p for p in folder.rglob("*") if is_image(p) and not p.name.startswith(".") and p.is_file())
    return sorted(found, key=lambda p: natural_key(p.as_posix()))


def label_stem(path: Path) -> str:
    """The name of the image without its suffix: gt_img_7.txt, img_7.jpg.txt -> img_7."""
    stem = path.stem
    if is_image(Path(stem)):
        stem = Path(stem).stem
    return _PREFIX.sub("", stem, count=1)


def subfolder(root: Path, names: Sequence[str]) -> Path | None:
    """The first direct subfolder of one of these names, whatever its case."""
    if not root.is_dir():
        return None
    by_name = {p.name.lower(): p for p in sorted(root.iterdir()) if p.is_dir()}
    return next((by_name[name] for name in names if name in by_name), None)


def image_folder(path: Path, images: Path | None = None) -> Path:
    """The folder to look for images in, given what the user named as annotations (a file or folder).

    `images` wins; then a subfolder called images, imgs...; then the folder itself if it has images; then a
    sibling called images, imgs...
    """
    if images is not None:
        return images
    folder = path if path.is_dir() else path.parent
    inner = subfolder(folder, IMAGE_FOLDERS)
    if inner is not None or (folder.is_dir() and any(map(is_image, folder.iterdir()))):
        return inner or folder
    return subfolder(folder.parent, IMAGE_FOLDERS) or folder


def label_files(path: Path, suffix: str) -> list[Path]:
    """The annotation files that a path means: itself, or those in its gt/labels folder, in it, or below.

    Readme, licence and lexicon files are no annotations.
    """
    if not path.is_dir():
        return [path]
    folders = (subfolder(path, LABEL_FOLDERS), path)
    for folder in (f for f in folders if f is not None):
        if found := _with_suffix(folder.iterdir(), suffix):
            return found
    return _with_suffix(path.rglob("*"), suffix)


def _with_suffix(paths: Iterable[Path], suffix: str) -> list[Path]:
    named = (p for p in paths if p.suffix.lower() == suffix and not _NOT_LABELS.match(p.name))
    found = (p for p in named if not p.name.startswith(".") and p.is_file())
    return sorted(found, key=lambda p: natural_key(p.as_posix()))


@dataclass(slots=True)
class Pairing:
    """Annotation files with their images.

    Attributes:
        pairs: (annotation file, image); the image is None where none was found.
        unlabelled: images that no annotation file speaks of.
    """

    pairs: list[tuple[Path, Path | None]] = field(default_factory=list)
    unlabelled: list[Path] = field(default_factory=list)


def pair(labels: Sequence[Path], images: Sequence[Path], problems: Problems) -> Pairing:
    """Pair annotation files with images by name.

    A label takes the image of its own stem before that of its stem without a gt_ or res_ prefix. Where
    several images fit, one in a folder of the same name as the label's wins, then the first, with a warning.
    """
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_stem[image.stem].append(image)
    result = Pairing()
    taken: set[Path] = set()
    for label in labels:
        candidates = by_stem.get(label.stem) or by_stem.get(label_stem(label)) or []
        chosen = _choose(label, candidates, problems)
        result.pairs.append((label, chosen))
        if chosen is not None:  # its twin of another suffix was named in a warning already
            taken.update(c for c in candidates if c.with_suffix("") == chosen.with_suffix(""))
    result.unlabelled = [image for image in images if image not in taken]
    return result


def _choose(label: Path, candidates: list[Path], problems: Problems) -> Path | None:
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    named = [c for c in candidates if c.name == label.stem]  # img_7.jpg.txt says which
    beside = [c for c in candidates if c.parent.name == label.parent.name]
    image = (named or beside or candidates)[0]
    if len(named or beside or candidates) > 1:
        names = ", ".join(str(c) for c in candidates)
        message = f"several images fit this file ({names}); {image.name} is taken"
        problems.warning("ambiguous-image", label, "", message, "keep one of them or rename the others")
    return image


def safe_name(name: str) -> Path:
    """An image's name as a relative path that stays inside the folder it is joined to."""
    parts = name.replace("\\", "/").split("/")
    kept = [part for part in parts if part not in ("", ".", "..") and not part.endswith(":")]
    return Path(*kept) if kept else Path("unnamed")


class ImageFinder:
    """Where the image is that an annotation file names, whatever folder its names count from."""

    def __init__(self, path: Path, images: Path | None = None) -> None:
        """`path` is the annotation file or folder, `images` the folder of images the user named."""
        folder = path if path.is_dir() else path.parent
        near = [image_folder(path), folder, folder.parent]
        self.folders = [images] if images is not None else list(dict.fromkeys(near))

    def find(self, name: str) -> Path:
        """The image; where none exists, the place it is first expected at.

        Leading folders of the name are dropped one by one ("Images/train/img1.jpg" may lie in a folder
        that holds train/img1.jpg, or img1.jpg).
        """
        parts = name.replace("\\", "/").split("/")
        for folder in self.folders:
            for start in range(len(parts)):
                candidate = folder / "/".join(parts[start:])
                if candidate.is_file():
                    return candidate
        return self.folders[0] / "/".join(parts)

    def unlabelled(self, found: Iterable[Path]) -> list[Path]:
        """The images of the first folder that are not among those found."""
        folder = self.folders[0]
        known = {path.resolve() for path in found}
        return [p for p in list_images(folder) if p.resolve() not in known] if folder.is_dir() else []
