"""Every error a user can meet. Each message names what is wrong and what to do about it.

The command line ends with `exit_code`: 2 usage, 3 bad input, 4 a missing extra.
"""

from __future__ import annotations


class DLDError(Exception):
    """Base of all errors raised on purpose. `str(error)` is a whole sentence with the fix in it."""

    exit_code = 1


class ConfigError(DLDError):
    """An option or a config file is wrong: unknown key, bad type, out of range."""

    exit_code = 2


class UnknownPartError(DLDError):
    """No part of that name is registered (the message lists those that are, and the nearest)."""

    exit_code = 2


class DuplicatePartError(DLDError):
    """Two distributions offer a part under one name; neither wins."""

    exit_code = 2


class BrokenPluginError(DLDError):
    """A registered part could not be imported; the cause is chained."""

    exit_code = 4


class MissingExtraError(DLDError):
    """An optional dependency is absent; the message holds the install line."""

    exit_code = 4


class ImageError(DLDError):
    """An image cannot be read (absent, empty, truncated, not an image, too large). Names the file."""

    exit_code = 3


class DataError(DLDError):
    """An annotation or prediction file is malformed. Names file, line and fix."""

    exit_code = 3


class WeightsError(DLDError):
    """Weights are missing, damaged or do not fit the model."""

    exit_code = 3


class DeviceError(DLDError):
    """The device asked for is not there."""

    exit_code = 2


class TrainingError(DLDError):
    """Training cannot go on (a NaN loss, a checkpoint of another config)."""

    exit_code = 1


_KNOWN = (
    (
        ("libGL.so", "libgthread-2.0", "libglib-2.0"),
        "OpenCV cannot start because this machine lacks the system library {detail}; install it "
        "(Debian and Ubuntu: `apt install libgl1 libglib2.0-0`) or use the build that needs no display: "
        "`pip uninstall -y opencv-python && pip install opencv-python-headless`.",
    ),
    (
        ("operator torchvision::nms does not exist", "torchvision::nms"),
        "torch and torchvision come from different builds (torchvision's compiled operators did not load); "
        "reinstall both together: `pip install --force-reinstall torch torchvision`, from the same index.",
    ),
)


def explain(error: BaseException) -> str | None:
    """The sentence for the first known failure in `error` or in its chain of causes, else None."""
    for link in chain(error):
        text = str(link)
        for marks, sentence in _KNOWN:
            mark = next((m for m in marks if m in text), None)
            if mark is not None:
                return sentence.format(detail=mark)
    return None


def chain(error: BaseException) -> list[BaseException]:
    """`error`, then what caused it, and so on, outermost first."""
    links: list[BaseException] = []
    current: BaseException | None = error
    while current is not None and current not in links:
        links.append(current)
        current = current.__cause__ or (None if current.__suppress_context__ else current.__context__)
    return links
