"""Problems between annotations and image files: missing, unreadable, of another size, turned, unlabelled."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from dld_core.data.formats.model import AnnotatedImage, Dataset
from dld_core.data.formats.problems import Problems
from dld_core.data.formats.sizes import Header, read_header
from dld_core.errors import ImageError

_TURNS = {2: "mirrored", 3: "turned by 180°", 4: "flipped", 5: "mirrored and turned by 90°"}
_TURNS |= {6: "turned by 90°", 7: "mirrored and turned by 90°", 8: "turned by 90°"}


Track = Callable[[Sequence[AnnotatedImage]], Iterable[AnnotatedImage]]


def check_images(
    dataset: Dataset, problems: Problems, *, decode: bool = True, track: Track = iter
) -> dict[int, tuple[int, int]]:
    """Report what is wrong with the images; (width, height) of the others by `id` of their entry.

    Args:
        dataset: what was read.
        problems: where trouble goes.
        decode: read the pixels too, which finds truncated files.
        track: wraps the images, to show how far the work is.
    """
    sizes = {}
    if _none_found(dataset):
        folder = dataset.images[0].path.parent
        message = f"none of the {len(dataset.images)} annotated images was found (looked in {folder})"
        problems.warning(
            "no-images",
            dataset.root,
            "",
            message,
            "pass their folder: --images DIR; only the labels are checked",
        )
    else:
        for image in track(dataset.images):
            size = _check_image(image, problems, decode)
            if size is not None:
                sizes[id(image)] = size
    for path in dataset.unlabelled:
        message = "no annotation speaks of this image"
        problems.warning(
            "image-without-gt", path, "", message, "annotate it (an empty file if it has no text)"
        )
    stated = {id(i): (i.width, i.height) for i in dataset.images if i.width and i.height}
    return {**stated, **sizes}


def _none_found(dataset: Dataset) -> bool:
    return bool(dataset.images) and not any(image.path.is_file() for image in dataset.images)


def _check_image(image: AnnotatedImage, problems: Problems, decode: bool) -> tuple[int, int] | None:
    """The stored (width, height), or None where the image cannot be had."""
    file = image.source or image.path
    if not image.path.is_file():
        message = f"the image {image.name} is not there (looked for {image.path})"
        fix = "put it there, remove the annotation, or pass the right folder: --images DIR"
        problems.error("missing-image", file, image.where, message, fix)
        return None
    header = _read(image, problems, decode)
    if header is None:
        return None
    _check_turn(image, header, problems)
    stated = (image.width or header.width, image.height or header.height)
    if stated != (header.width, header.height):
        message = (
            f"the annotations say {image.name} is {stated[0]}x{stated[1]}, "
            f"but it has {header.width}x{header.height} pixels"
        )
        fix = "use the image that was annotated, or correct the size"
        problems.error("size-mismatch", file, image.where, message, fix)
    return header.width, header.height


def _read(image: AnnotatedImage, problems: Problems, decode: bool) -> Header | None:
    """The header, of the decoded pixels if asked; a file that cannot be read is reported."""
    from dld_core.images import open_image

    header = read_header(image.path)
    if header is not None and not decode:
        return header
    try:
        height, width = open_image(image.path, exif=False).shape[:2]
    except ImageError as error:
        problems.error("unreadable-image", image.path, "", str(error).rstrip("."), "replace the file")
        return None
    return Header(width, height, header.orientation if header else 1)


def _check_turn(image: AnnotatedImage, header: Header, problems: Problems) -> None:
    if header.orientation == 1:
        return
    message = (
        f"EXIF orientation {header.orientation}: viewers show it {_TURNS[header.orientation]}, "
        "but labels refer to the pixels as stored"
    )
    fix = "if it was annotated in a viewer, save the image turned and without the tag"
    problems.warning("exif-orientation", image.path, "", message, fix)
