"""Open any image safely, page by page where it has pages; resize it in one antialiased way.

In: a path, folder, pattern, bytes, file, array, Pillow picture or tensor. Out: RGB uint8 [H, W, 3] and notes.
Others call `list_images`, `load_image`, `load_pages`, `open_image`, `resize`, `scale_to`.
"""

from dld_core.images.files import IMAGE_SUFFIXES, list_images
from dld_core.images.opencv import import_cv2
from dld_core.images.opening import ImageLimits, ImageSource, LoadedImage, load_image, open_image
from dld_core.images.pages import load_pages, parse_pages
from dld_core.images.resizing import Fit, WorkingLimits, full_factor, resize, scale_to

__all__ = [
    "IMAGE_SUFFIXES",
    "Fit",
    "ImageLimits",
    "ImageSource",
    "LoadedImage",
    "WorkingLimits",
    "full_factor",
    "import_cv2",
    "list_images",
    "load_image",
    "load_pages",
    "open_image",
    "parse_pages",
    "resize",
    "scale_to",
]
