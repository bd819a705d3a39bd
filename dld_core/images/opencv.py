"""OpenCV, imported where it is needed and with a message that helps where it cannot be."""

from __future__ import annotations

from typing import Any

from dld_core.errors import MissingExtraError, explain


def import_cv2() -> Any:
    """The module cv2.

    Raises:
        MissingExtraError: OpenCV is not installed, or a shared library it needs (libGL on bare servers,
            which opencv-python asks for and opencv-python-headless does not) is absent.
    """
    try:
        import cv2  # slow to load, and the errors of its system libraries want an explanation
    except ImportError as error:
        fix = "pip install --force-reinstall opencv-python-headless"
        raise MissingExtraError(explain(error) or f"OpenCV cannot be loaded ({error}): {fix}") from error
    return cv2
