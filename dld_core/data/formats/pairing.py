"""Which image an annotation file speaks of, by name: img_7.jpg <-> gt_img_7.txt, res_img_7.txt, img_7.txt."""

from __future__ import annotations

import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from dld_core.data.formats.files import listed, natural_key
from dld_core.data.formats.problems import At, Problems
from dld_core.images import IMAGE_SUFFIXES

IMAGE_FOLDERS = ("images", "imgs", "img", "image", "jpegimages")
LABEL_FOLDERS = ("gt", "gts", "labels", "label", "annotations", "annotation", "ann", "txt", "groundtruth")
MAX_DEPTH = 32  # folders of a name that are tried one by one
_NOT_LABELS = re.compile(
    r"(readme|licen[cs]e|lexicon|classes|.*vocabulary|conversion-report\.json$)", re.IGNORECASE
)
_PREFIX = re.compile(r"^(?:poly_gt|rect_gt|poly|gt|res|pred|voc|new)_(?=.)", re.IGNORECASE)


def is_image(name: Path | str) -> bool:
    """Whether the name ends as an image's does."""
    return os.path.splitext(name)[1].lower() in IMAGE_SUFFIXES


def without_suffix(name: Path) -> Path:
    """The name less the suffix of an image (a dot in a name without one stays: "receipt.12")."""
    return name.with_suffix("") if is_image(name) else name


def without_prefix(stem: str) -> str:
    """The stem less one gt_, res_, ...: gt_img_7 -> img_7, gt_gt_7 -> gt_7."""
    return _PREFIX.sub("", stem, count=1)


def label_stem(file: str) -> str:
    """The stem of the image that an annotation file speaks of: gt_img_7.txt, img_7.jpg.txt -> img_7."""
    return without_prefix(without_suffix(Path(Path(file.replace("\\", "/")).stem)).name)


def files_below(folder: Path, keep: Callable[[str], bool]) -> list[Path]:
    """The regular files under a folder, at any depth, whose names are to be kept, in natural order.

    Hidden files are left out.
    """
    names = (Path(root, name) for root, _, names in os.walk(folder) for name in names if keep(name))
    return _sorted_files(names)


def _sorted_files(paths: Iterable[Path]) -> list[Path]:
    found = (path for path in paths if not path.name.startswith(".") and os.path.isfile(path))
    return sorted(found, key=lambda path: natural_key(path.as_posix()))


def list_images(folder: Path) -> list[Path]:
    """All images under a folder, at any depth, in natural order; none where there is no folder."""
    return files_below(folder, is_image)


def subfolder(root: Path, names: Sequence[str]) -> Path | None:
    """The first direct subfolder of one of these names, whatever its case."""
    paths = listed(root) if os.access(root, os.R_OK | os.X_OK) else []
    by_name = {path.name.lower(): path for path in paths if os.path.isdir(path)}
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
    if inner is not None or any(map(is_image, listed(folder))):
        return inner or folder
    return subfolder(folder.parent, IMAGE_FOLDERS) or folder


def label_files(path: Path, suffix: str) -> list[Path]:
    """The annotation files that a path means: itself, or those in its gt/labels folder, in it, or below.

    Readme, licence and lexicon files are no annotations.
    """
    if not path.is_dir():
        return [path]
    for folder in (subfolder(path, LABEL_FOLDERS), path):
        if folder is not None:
            found = _sorted_files(file for file in listed(folder) if _is_label(file.name, suffix))
            if found:
                return found
    return files_below(path, lambda name: _is_label(name, suffix))


def _is_label(name: str, suffix: str) -> bool:
    return name.lower().endswith(suffix) and not _NOT_LABELS.match(name)


def pair(labels: Sequence[Path], images: Sequence[Path], problems: Problems) -> list[Path | None]:
    """The image of each annotation file, by name; None where there is none.

    The stem of the file itself, or that without its gt_ or res_: what finds more images of the set goes
    first. Where several images fit, one in a folder of the same name as the label's wins, then the first,
    with a warning.
    """
    by_stem: dict[str, list[Path]] = defaultdict(list)
    for image in images:
        by_stem[image.stem].append(image)
    stems = [label_stem(label.name) for label in labels]
    bare = sum(stem in by_stem for stem in set(stems)) > sum(label.stem in by_stem for label in labels)
    found = []
    for label, stem in zip(labels, stems, strict=True):
        first, second = (stem, label.stem) if bare else (label.stem, stem)
        found.append(_choose(label, by_stem.get(first) or by_stem.get(second) or [], problems))
    return found


def _choose(label: Path, candidates: list[Path], problems: Problems) -> Path | None:
    if len(candidates) <= 1:
        return candidates[0] if candidates else None
    named = [c for c in candidates if c.name == label.stem]  # img_7.jpg.txt says which
    beside = [c for c in candidates if c.parent.name == label.parent.name]
    fitting = named or beside or candidates
    if len(fitting) > 1:
        names = ", ".join(str(c) for c in candidates)
        message = f"several images fit this file ({names}); {fitting[0].name} is taken"
        At(label, problems).warning("ambiguous-image", message, "keep one of them or rename the others")
    return fitting[0]


def safe_name(name: str) -> Path:
    """An image's name as a relative path that stays inside the folder it is joined to."""
    parts = name.replace("\\", "/").replace("\0", "").split("/")
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
        parts = name.replace("\\", "/").split("/")[-MAX_DEPTH:]
        for folder in self.folders:
            for start in range(len(parts)):
                candidate = folder / "/".join(parts[start:])
                if os.path.isfile(candidate):
                    return candidate
        return self.folders[0] / "/".join(parts)

    def unlabelled(self, found: Iterable[Path]) -> list[Path]:
        """The images of the first folder that are not among those found."""
        known = {os.path.realpath(path) for path in found if os.path.isfile(path)}
        return [path for path in list_images(self.folders[0]) if os.path.realpath(path) not in known]
