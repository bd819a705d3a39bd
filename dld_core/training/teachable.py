"""Whether the words of the data can be taught: letters that a model lacks would vanish without a trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from dld_core.data import pseudo_labels
from dld_core.data.sources import ImagesSourceConfig, PhotosSource, Source, SynthSource
from dld_core.decoders.charset import coverage
from dld_core.errors import ConfigError
from dld_core.interfaces import Spotter

_PAGES = 2  # of a renderer that are looked at


def check_words(
    sources: Sequence[Source], spotter: Spotter, name: str, log: Callable[[str], None] = lambda _: None
) -> None:
    """Log how many words hold letters that a spotter lacks, and which.

    Raises:
        ConfigError: there are words, and none of them can be taught.
    """
    found = coverage((text for source in sources for text in _texts(source)), spotter.charset)
    if not found.missing or not spotter.charset:
        return
    if not found.readable:
        raise ConfigError(
            f"no word of the data can be taught: {found}. {name} knows {len(spotter.charset)} characters; "
            "choose a backend (or its option 'charset') that has these, or set 'ignore_text: true' for the "
            "data to teach where words are and not what they say"
        )
    log(f"warning: {found}; these words are left out of reading, since {name} lacks these characters")


def _texts(source: Source) -> Iterator[str]:
    """Transcriptions that are to be taught; of rendered pages, those of the first few."""
    if isinstance(source, PhotosSource) and not source.config.ignore_text:
        if isinstance(source.config, ImagesSourceConfig):
            for path in source.config.paths():
                page = pseudo_labels.find(source.config.labels or "", path)
                yield from (
                    w.text for w in (page.words if page else ()) if w.score >= source.config.confidence
                )
        for item in source.annotated:
            yield from (word.text for word in item.words if not word.ignore)
    elif isinstance(source, SynthSource) and not source.config.ignore_text:
        for number in range(_PAGES):
            yield from source.whole(number, (256, 256)).texts
