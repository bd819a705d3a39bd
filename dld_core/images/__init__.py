"""Open any image safely, resize it in one antialiased way, list the images of a folder or pattern."""

from dld_core.images.files import IMAGE_SUFFIXES, list_images
from dld_core.images.opencv import import_cv2
from dld_core.images.opening import ImageLimits, ImageSource, LoadedImage, load_image, open_image
from dld_core.images.resizing import Fit, WorkingLimits, full_factor, pad, resize, scale_to

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
    "open_image",
    "pad",
    "resize",
    "scale_to",
]
