"""Text files of a folder or a zip, by image name."""

from __future__ import annotations

import codecs
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from dld_core.errors import DataError
from dld_core.evaluation.unpacking import FAULTS, Archive

# One image's words take some kilobytes; anything this large is another kind of file.
LARGEST_FILE = 32 * 1024 * 1024
_NUMBERS = re.compile("([0-9]+)")
_PREFIX = re.compile(r"^(?:(?:poly|gt|res|pred|voc|new)_)+")


@dataclass(slots=True)
class TextFile:
    """One file: the image it speaks of, the path to show in messages, and what it says.

    Attributes:
        data: UTF-8 without BOM and zero bytes, lines ended by newlines alone.
    """

    image: str
    path: str
    data: bytes

    @property
    def text(self) -> str:
        """What the file says."""
        return self.data.decode()


@dataclass(slots=True)
class Problems:
    """Faults found while reading; reported together, because mending them one by one is tedious."""

    shown: int = 20
    found: list[str] = field(default_factory=list)

    def add(self, where: str, line: int | None, what: str) -> None:
        """Note one fault, where it is and how to mend it."""
        self.found.append(f"{where}{'' if line is None else f':{line}'}: {what}")

    def raise_if_any(self) -> None:
        """Raise one DataError that lists the first of them."""
        if not self.found:
            return
        if len(self.found) == 1:
            raise DataError(self.found[0])
        head = "\n  ".join(self.found[: self.shown])
        rest = len(self.found) - self.shown
        more = f"\n  ... and {rest} more" if rest > 0 else ""
        raise DataError(f"{len(self.found)} problems in the files:\n  {head}{more}")


def image_name(file: str) -> str:
    """The image that a file speaks of: `gt_img_7.txt`, `res_img_7.txt`, `img_7.txt` -> `img_7`."""
    return _PREFIX.sub("", file.replace("\\", "/").rsplit("/", 1)[-1].rsplit(".", 1)[0])


def read_texts(source: str | Path, what: str, problems: Problems) -> list[TextFile]:
    """Read every `.txt` of a folder or a zip (not below it), in natural order of the names.

    Args:
        source: the folder or zip.
        what: what the files are, for messages ("ground truth").
        problems: takes files that are binary, too large or speak of an image twice.

    Raises:
        DataError: there is no such folder or zip, or it holds no `.txt`.
    """
    path = Path(source)
    if not path.exists():
        raise DataError(f"the {what} {path} does not exist; give a folder or a zip of .txt files")
    entries = _folder(path, problems) if path.is_dir() else _zip(path, what, problems)
    files: dict[str, TextFile] = {}
    found = sorted(entries, key=lambda entry: natural(entry[0]))
    sound = _is_sound(b"\n".join(data for _, _, data in found))
    for name, shown, data in found:
        text = _plain(data) if sound else _checked(data, shown, problems)
        image = image_name(name)
        if image in files:
            problems.add(
                shown, None, f"{files[image].path} speaks of the same image {image}; keep one of them"
            )
        elif text is not None:
            files[image] = TextFile(image, shown, text)
    if not files and not problems.found:
        raise DataError(f"the {what} {path} holds no .txt files; expected one per image, such as img_1.txt")
    return list(files.values())


def read_text(path: Path, problems: Problems) -> str:
    """One file's text; an empty string and a problem where it is none."""
    try:
        size = path.stat().st_size
        data = path.read_bytes() if size <= LARGEST_FILE else None
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}; check the path") from None
    if data is None:
        problems.add(str(path), None, _too_large(size))
        return ""
    return (_checked(data, str(path), problems) or b"").decode()


def natural(name: str) -> list[str | int]:
    """A sorting key that puts img_2 before img_10: text and numbers in turn."""
    parts: list[str | int] = [*_NUMBERS.split(name)]
    parts[1::2] = map(int, parts[1::2])
    return parts


def _folder(path: Path, problems: Problems) -> Iterator[tuple[str, str, bytes]]:
    with os.scandir(path) as entries:
        for entry in entries:
            if not _is_text(entry.name) or not entry.is_file():
                continue
            size = entry.stat().st_size
            if size > LARGEST_FILE:
                problems.add(entry.path, None, _too_large(size))
                continue
            with open(entry.path, "rb") as file:
                yield entry.name, entry.path, file.read()


def _zip(path: Path, what: str, problems: Problems) -> Iterator[tuple[str, str, bytes]]:
    try:
        archive = Archive(path)
    except FAULTS as error:
        raise DataError(f"the {what} {path} is neither a folder nor a readable zip ({error})") from None
    for entry in archive:
        name = entry.filename.rsplit("/", 1)[-1]
        if not _is_text(name) or "__MACOSX" in entry.filename:
            continue
        shown = f"{path}!{entry.filename}"
        if entry.file_size > LARGEST_FILE:
            problems.add(shown, None, _too_large(entry.file_size))
            continue
        try:
            yield name, shown, archive.read(entry)
        except FAULTS as error:
            problems.add(shown, None, f"cannot be unpacked ({error}); write the zip again")


def _is_text(name: str) -> bool:
    return name.lower().endswith(".txt") and not name.startswith(".")


def _too_large(size: int) -> str:
    return (
        f"{size / 1e6:.0f} MB is more than the {LARGEST_FILE / 1e6:.0f} MB an image's words can take; "
        "this is not an annotation file"
    )


def _is_sound(data: bytes) -> bool:
    """Whether bytes are UTF-8 text: the quick look at many files at once."""
    try:
        return "\0" not in data.decode()
    except UnicodeDecodeError:
        return False


def _plain(data: bytes) -> bytes:
    """A file's text without what programs put around it: the BOM, and returns at the ends of lines."""
    return data.removeprefix(codecs.BOM_UTF8).replace(b"\r", b"")


def _checked(data: bytes, shown: str, problems: Problems) -> bytes | None:
    """A file's plain text; None (and a problem) where it holds none."""
    try:
        data.decode()
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        problems.add(shown, line, f"byte {data[error.start]:#04x} is not UTF-8; save the file as UTF-8 text")
        return None
    if b"\0" in data:
        line = data.count(b"\n", 0, data.index(b"\0")) + 1
        problems.add(shown, line, "holds zero bytes: this is a binary file")
        return None
    return _plain(data)
