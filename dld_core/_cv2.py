"""OpenCV, imported where it is needed and with a message that helps where it cannot be."""

from __future__ import annotations

from typing import Any

from dld_core.errors import MissingExtraError

_REINSTALL = "pip install --force-reinstall opencv-python-headless"


def import_cv2() -> Any:
    """The module cv2.

    Raises:
        MissingExtraError: OpenCV is not installed, or a shared library it needs (libGL on bare servers,
            which opencv-python asks for and opencv-python-headless does not) is absent.
    """
    try:
        import cv2
    except ImportError as error:
        raise MissingExtraError(explain_import_error(error)) from error
    return cv2


def explain_import_error(error: ImportError) -> str:
    """What to do about an OpenCV that does not import, as one sentence."""
    if isinstance(error, ModuleNotFoundError) and error.name == "cv2":
        return "OpenCV is not installed: pip install opencv-python-headless"
    text = str(error)
    if any(library in text for library in ("libGL", "libgthread", "libglib", "libSM", "libXext")):
        package = "libgl1" if "libGL" in text else "libgl1 libglib2.0-0 libsm6 libxext6"
        return (
            f"OpenCV cannot be loaded because a system library is missing ({text}): install {package} "
            f"(Debian/Ubuntu: apt-get install {package}) or replace opencv-python by opencv-python-headless "
            f"(pip uninstall -y opencv-python && {_REINSTALL})"
        )
    return f"OpenCV is installed but cannot be loaded ({text}): {_REINSTALL}"
