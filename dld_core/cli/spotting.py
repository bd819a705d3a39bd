"""The work behind `dld spot`: find the images, read them one after the other, write what was read."""

from __future__ import annotations

import io
import json
import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Self

import torch
from rich.console import Console
from rich.progress import Progress

from dld_core.cli.building import parse_scale
from dld_core.cli.names import output_names
from dld_core.config import write_file
from dld_core.errors import ConfigError, ImageError
from dld_core.images import ImageSource, load_pages, parse_pages
from dld_core.images.files import list_images
from dld_core.pipeline.request import Scale
from dld_core.pipeline.wrapper import DLDWrapper
from dld_core.results.page import Page
from dld_core.runtimes.devices import resolve_device

Format = Literal["table", "object", "array", "lines"]


@dataclass(frozen=True, slots=True)
class Job:
    """What to read and where the results go.

    Attributes:
        paths: the image files, each once.
        names: the name of each one's files in `out`, unique.
        missing: sentences about arguments that named nothing.
        scale: for the wrapper.
        format: what to print.
        out: folder for files, or None.
        skip_existing: leave out images that `out` holds results of.
        pages: of files with several, as `parse_pages` gives them; None reads the first.
    """

    paths: list[Path]
    names: list[str]
    missing: list[str]
    scale: Scale | None
    format: Format
    out: Path | None
    skip_existing: bool
    pages: tuple[range, ...] | None = None

    @classmethod
    def checked(
        cls,
        images: list[str],
        *,
        scale: str | None,
        json: bool,
        jsonl: bool,
        out: Path | None,
        skip_existing: bool,
        pages: str | None = None,
    ) -> Self:
        """From the command line. Raises ConfigError for options that do not go together."""
        if json and jsonl:
            raise ConfigError("--json and --jsonl exclude each other; give one of them")
        if skip_existing and out is None:
            raise ConfigError("--skip-existing looks into the folder of --out; give that too")
        paths, missing = _find(images)
        form: Format = "lines" if jsonl else _json_format(images) if json else "table"
        names = output_names(paths)
        wanted = None if pages is None else parse_pages(pages)
        return cls(paths, names, missing, parse_scale(scale), form, out, skip_existing, wanted)

    def sources(self, todo: Sequence[tuple[Path, str]]) -> Iterator[tuple[str, ImageSource]]:
        """(name of the output files, what is read) for each image, or each page of each."""
        for path, name in todo:
            if self.pages is None:
                yield name, path
                continue
            pages = load_pages(path, self.pages)
            while True:
                try:
                    page = next(pages, None)
                except ImageError as error:
                    yield name, _Unreadable(path, error)
                    continue
                if page is None:
                    break
                yield name if page.page == 1 else f"{name}-p{page.page}", page

    def todo(self) -> list[tuple[Path, str]]:
        """Paths and names that are still to be read."""
        pairs = list(zip(self.paths, self.names, strict=True))
        if self.out is None or not self.skip_existing:
            return pairs
        return [(path, name) for path, name in pairs if not (self.out / f"{name}.json").exists()]


def _json_format(images: list[str]) -> Format:
    """One plain file gives an object; anything that may be several gives an array, however many there are."""
    return "object" if len(images) == 1 and Path(images[0]).expanduser().is_file() else "array"


def _find(images: list[str]) -> tuple[list[Path], list[str]]:
    """Every image named, once, in order; and what is wrong with arguments that name none."""
    found: dict[str, Path] = {}
    missing = []
    for source in images:
        try:
            for path in list_images(source):
                found.setdefault(os.path.realpath(path), path)
        except ImageError as error:
            missing.append(str(error))
    return list(found.values()), missing


def run(
    job: Job, backend: str, weights: str | None, device: str, threads: int | None, options: dict[str, Any]
) -> int:
    """Read everything; returns how many images or arguments failed.

    Raises:
        ImageError: not one image was found.
        DLDError: the wrapper cannot be made.
    """
    if not job.paths:
        raise ImageError("; ".join(job.missing))
    for sentence in job.missing:
        _tell(sentence)
    if job.out is not None:
        _make_folder(job.out)
    todo = job.todo()
    if len(todo) < len(job.paths):
        _tell(f"{len(job.paths) - len(todo)} of {len(job.paths)} images are done already and left out")
    failed = len(job.missing)
    if todo:
        with _wrapper(job, backend, weights, device, threads, options) as dld:
            failed += _read(job, todo, dld)
    elif job.format == "array":
        print("[]")
    return failed


def _make_folder(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ConfigError(f"--out {out} cannot be made ({error.strerror}); choose another folder") from None


def _wrapper(
    job: Job, backend: str, weights: str | None, device: str, threads: int | None, options: dict[str, Any]
) -> DLDWrapper:
    if threads is not None:
        torch.set_num_threads(threads)
    device = resolve_device(device)
    # On a CPU a batch saves no time, and one by one the results come sooner.
    batch_size = 1 if device == "cpu" else 8
    return DLDWrapper(backend, weights, device, scale=job.scale, batch_size=batch_size, **options)


def _read(job: Job, todo: list[tuple[Path, str]], dld: DLDWrapper) -> int:
    failed = 0
    printer = _Printer(job.format)
    waiting: deque[tuple[str, ImageSource]] = deque()

    def sources() -> Iterator[ImageSource]:
        for name, source in job.sources(todo):
            waiting.append((name, source))
            yield source

    with _progress(len(todo)) as progress:
        for page in dld.stream(sources()):
            name, source = waiting.popleft()
            error = page.error or _write(page, job.out, name, source)
            if error is not None:
                failed += 1
                image = page.image or name
                _tell(error if image in error else f"{image}: {error}", progress)
            printer.add(page)
            if progress is not None:
                progress.advance(progress.task_ids[0])
    printer.end()
    return failed


class _Unreadable(io.BytesIO):
    """A page of a file that cannot be read, in its place among the others; opening it tells why."""

    def __init__(self, path: Path, error: ImageError) -> None:
        super().__init__()
        self.name = str(path)
        self._error = error

    def read(self, size: int | None = -1, /) -> bytes:
        """Raises the error."""
        raise self._error


def _write(page: Page, out: Path | None, name: str, source: ImageSource) -> str | None:
    """Write the picture, then the JSON (so that where it is, both are); returns what went wrong."""
    if out is None:
        return None
    try:
        page.draw(source, out / f"{name}.jpg")
        write_file(out / f"{name}.json", page.to_json(indent=2) + "\n")
    except ImageError as error:
        return str(error)
    except OSError as error:
        return f"cannot write into {out} ({error.strerror}); check the folder"
    except Exception as error:  # whatever one page holds, the others are still written
        return f"cannot be written into {out} ({type(error).__name__}: {error})"
    return None


@contextmanager
def _progress(images: int) -> Iterator[Progress | None]:
    """A bar on stderr, for several images and a person watching."""
    if images < 2 or not sys.stderr.isatty():
        yield None
        return
    # Where stdout is the same terminal, rich prints it above the bar; anywhere else it must not touch it.
    redirected = sys.stdout.isatty()
    with Progress(console=Console(stderr=True), redirect_stdout=redirected) as progress:
        progress.add_task("reading", total=images)
        yield progress


def _tell(sentence: str, progress: Progress | None = None) -> None:
    if progress is None:
        print(f"dld: {sentence}", file=sys.stderr)
    else:
        progress.console.print(f"dld: {sentence}", markup=False, highlight=False, soft_wrap=True)


class _Printer:
    """Prints pages to stdout as they come."""

    def __init__(self, form: Format) -> None:
        self.form = form
        self.count = 0

    def add(self, page: Page) -> None:
        """Print one page."""
        if self.form == "table":
            text = _table(page)
        elif self.form == "array":
            text = ("[\n" if self.count == 0 else ",\n") + _portable(page.to_json())
        else:
            text = _portable(page.to_json(indent=2 if self.form == "object" else None))
        print(text, end="" if self.form == "array" else "\n", flush=True)
        self.count += 1

    def end(self) -> None:
        """Close the array."""
        if self.form == "array":
            print("\n]")


def _portable(text: str) -> str:
    """JSON as standard output can take it: escaped where its encoding is not Unicode's."""
    if (sys.stdout.encoding or "").lower().replace("-", "").startswith("utf"):
        return text
    return json.dumps(json.loads(text))


def _table(page: Page) -> str:
    """One page for people: a line about the image, then a line per word."""
    if page.error is not None:
        return f"{page.image}  not read"
    facts = [
        f"{page.width}x{page.height}",
        f"{page.model} at scale {page.scale:g}",
        f"{len(page.words)} word{'' if len(page.words) == 1 else 's'}",
        f"{page.timings_ms.get('total', 0.0):.0f} ms",
        *([] if page.gflops is None else [f"{page.gflops:.1f} GFLOPs"]),
        page.device,
    ]
    longest = max((len(_quoted(word.text)) for word in page.words), default=0)
    lines = [f"{page.image}  {'  '.join(facts)}"]
    lines += [f"  note: {note}" for note in page.notes]
    for word in page.words:
        points = " ".join(f"{x:.0f},{y:.0f}" for x, y in word.polygon)
        lines.append(f"  {word.score:4.2f}  {_quoted(word.text):<{longest}}  {points}")
    return "\n".join(lines)


def _quoted(text: str) -> str:
    """The text as it is, or quoted where spaces or control characters would confuse the columns."""
    return text if text and text.isprintable() and " " not in text else json.dumps(text, ensure_ascii=False)
