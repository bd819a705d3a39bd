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
        import cv2
    except ImportError as error:
        raise MissingExtraError(_what_to_do(error)) from error
    return cv2


def _what_to_do(error: ImportError) -> str:
    if isinstance(error, ModuleNotFoundError) and error.name == "cv2":
        return "OpenCV is not installed: pip install opencv-python-headless"
    reinstall = "pip install --force-reinstall opencv-python-headless"
    return explain(error) or f"OpenCV is installed but cannot be loaded ({error}): {reinstall}"
