"""Failures of the environment that have one known cause, each told as a sentence that holds the fix."""

from __future__ import annotations

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
