"""The pages of a TIFF and the frames of an animation, one image each."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from dld_core.errors import ConfigError, ImageError
from dld_core.images.opening import (
    ImageLimits,
    ImageSource,
    LoadedImage,
    Opened,
    Request,
    decoded,
    in_memory,
    opened,
    turn_to,
)

_SUBFILE_TYPE = 0x00FE  # a tag of TIFF
_NO_PAGE = 1 | 4  # its bits for a copy at lower resolution, and for a mask
_RANGE = re.compile(r"(\d{1,9})(-(\d{1,9})?)?")


def parse_pages(text: str) -> tuple[range, ...]:
    """The page numbers, from 1, that "all", "3", "1-3,5" or "7-" (to the last) stands for.

    Raises:
        ConfigError: anything else.
    """
    if text.strip() == "all":
        return (range(1, sys.maxsize),)
    ranges = []
    for part in text.replace(" ", "").split(","):
        found = _RANGE.fullmatch(part)
        first, dash, last = found.groups() if found else ("0", None, None)
        end = int(last or sys.maxsize - 1) if dash else int(first)
        if not 1 <= int(first) <= end:
            raise ConfigError(f"pages must be 'all' or numbers from 1 such as '1-3,5' or '7-', not {text!r}")
        ranges.append(range(int(first), end + 1))
    return tuple(ranges)


def load_pages(
    source: ImageSource,
    pages: str | Sequence[range] = "all",
    *,
    exif: bool = True,
    limits: ImageLimits | None = None,
) -> Iterator[LoadedImage]:
    """The pages of a file or the frames of an animation, each decoded when its turn comes, in their order.

    Thumbnails and masks in a TIFF and the preview in an MPO are no pages. An array or Pillow picture is one.

    Args:
        pages: "all", or a selection (`parse_pages`). Selected pages beyond the end of the file are ignored.

    Raises:
        ConfigError: `pages` is no selection.
        ImageError: by `next`: the file cannot be opened, has none of the selected pages or more than
            `limits.max_pages` of them, or a page is damaged. The next `next` goes on with the page after it.
    """
    wanted = parse_pages(pages) if isinstance(pages, str) else pages
    return _Pages(_pages(source, wanted, exif, limits or ImageLimits()))


class _Pages(Iterator[LoadedImage]):
    """Raises the errors among the pages, which would end a generator."""

    def __init__(self, found: Iterator[LoadedImage | ImageError]) -> None:
        self._found = found

    def __next__(self) -> LoadedImage:
        page = next(self._found)
        if isinstance(page, ImageError):
            raise page
        return page


def _pages(
    source: Any, wanted: Sequence[range], exif: bool, limits: ImageLimits
) -> Iterator[LoadedImage | ImageError]:
    """Pages, and errors in place of those that are damaged."""
    if (loaded := in_memory(source)) is not None:
        yield loaded
        return
    last = max(part.stop for part in wanted) - 1
    count = number = 0
    with opened(source, limits) as found:
        while number < last:
            try:
                if not turn_to(found, number + 1):
                    break
            except ImageError as error:  # nor can those after it be found
                yield error
                return
            number += 1
            if not any(number in part for part in wanted) or _is_beside(found):
                continue
            if count == limits.max_pages:
                yield ImageError(
                    f"{found.label} holds more than the {limits.max_pages} pages that are read at most; "
                    "select fewer, or raise the limit with ImageLimits(max_pages=...)"
                )
                return
            count += 1
            yield _page(found, Request(exif, limits, number))
    if count == 0:
        raise ImageError(f"{found.label} has {number} pages, and none of those asked for; select others")


def _is_beside(found: Opened) -> bool:
    """Whether the current frame of a TIFF is a thumbnail or mask of a page, and none itself."""
    kind = getattr(found.picture, "tag_v2", {}).get(_SUBFILE_TYPE, 0)
    return isinstance(kind, int) and bool(kind & _NO_PAGE)


def _page(found: Opened, request: Request) -> LoadedImage | ImageError:
    try:
        return decoded(found, request)
    except ImageError as error:
        return error
