"""What a beam search costs: python benchmarks/beam_search.py [--words 256] [--width 5] [--threads N]

Against greedy reading with the same decoder, and against the plain way, word by word, whose hypotheses must
be the same. Attention: the bundled Mask R-CNN spotter's decoder on words of rendered pages. CTC: random
weights that tell letters apart. The best of five, on a machine that does nothing else, with as many threads
as torch uses: time on the clock (the plain way has no use for a second thread), or CPU time with one.
"""

from __future__ import annotations

import argparse
import itertools
import time
from collections.abc import Callable
from typing import TypeVar

import torch
from plain_beam_search import Scored, attention_beam_search, ctc_beam_search
from torch import Tensor

from dld_backends.maskrcnn import MaskRCNNSpotter
from dld_backends.recognition.attention import AttentionDecoder
from dld_core.data.synth import PageRenderer, SynthConfig
from dld_core.decoders.charset import PRINTABLE_ASCII, Charset
from dld_core.decoders.ctc import CTCDecoder
from dld_core.interfaces import SequenceDecoder
from dld_core.types import Batch, Hypotheses

Clock = Callable[[], float]
D = TypeVar("D", bound=SequenceDecoder)
COLUMNS, FEATURES = 32, 256
GREEDY_BAR, PLAIN_BAR = 8.0, 20.0


def main() -> None:
    """Print one line per decoder; the exit code is 1 where a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--words", type=int, default=256)
    parser.add_argument("--width", type=int, default=5)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    clock = time.process_time if given.threads == 1 else time.perf_counter
    print(f"{given.words} words, width {given.width}, {given.threads} threads")
    print(f"{'decoder':12}{'greedy':>10}{'beam':>10}{'times':>8}{'plain':>10}{'times':>8}  same hypotheses")
    attention, states = read_pages(given.words)
    ctc = make_ctc(given.width)
    fine = [
        compare("attention", attention, states, attention_beam_search, given.width, clock),
        compare("ctc", ctc, contexts(given.words), ctc_beam_search, given.width, clock),
    ]
    raise SystemExit(0 if all(fine) else 1)


@torch.no_grad()
def read_pages(words: int) -> tuple[AttentionDecoder, Tensor]:
    """The bundled decoder, and the states [N, T, D] of so many words of rendered pages."""
    spotter = MaskRCNNSpotter.create()
    pages = PageRenderer(SynthConfig.parse({"page_size": [448, 448]}))
    states: list[Tensor] = []
    for number in itertools.count():
        states.append(spotter.recognize(Batch.collate([pages.page(number)])).context)
        if sum(map(len, states)) >= words:
            break
    assert isinstance(spotter.decoder, AttentionDecoder)
    return spotter.decoder, torch.cat(states)[:words]


def make_ctc(width: int) -> CTCDecoder:
    """A decoder that says something in about every second column."""
    torch.manual_seed(0)
    decoder = CTCDecoder(Charset(PRINTABLE_ASCII), FEATURES, beam_width=width).eval()
    with torch.no_grad():
        decoder.classify.weight.mul_(6)
        decoder.classify.bias[0] += 8
    return decoder


def contexts(words: int) -> Tensor:
    """States [N, T, D] that change slowly from column to column, as an encoder's do."""
    generator = torch.Generator().manual_seed(1)
    noise = torch.randn((words, COLUMNS + 2, FEATURES), generator=generator)
    return (noise[:, :-2] + noise[:, 1:-1] + noise[:, 2:]) / 3**0.5


def compare(
    name: str,
    decoder: D,
    context: Tensor,
    plainly: Callable[[D, Tensor, int], list[Scored]],
    width: int,
    clock: Clock,
) -> bool:
    """Time and check one decoder; whether it is within both bars."""
    greedy = seconds(lambda: decoder.beam_search(context, 1), 5, clock)
    beam = seconds(lambda: decoder.beam_search(context, width), 5, clock)
    start = clock()
    wanted = plainly(decoder, context, width)
    plain = clock() - start
    same = agreeing(decoder.beam_search(context, width), wanted)
    print(
        f"{name:12}{greedy * 1e3:8.0f}ms{beam * 1e3:8.0f}ms{beam / greedy:8.1f}"
        f"{plain * 1e3:8.0f}ms{plain / beam:8.0f}  {same} of {len(context)}",
        flush=True,
    )
    fast = plain >= PLAIN_BAR * beam or torch.get_num_threads() == 1  # the bar is for two threads and more
    return beam <= GREEDY_BAR * greedy and fast and same == len(context)


def agreeing(found: Hypotheses, plain: list[Scored]) -> int:
    """For how many words all hypotheses and their order agree, and their scores to a thousandth."""
    count = 0
    for row, wanted in enumerate(plain):
        own = [
            (found.tokens[row, i, : int(found.lengths[row, i])].tolist(), float(found.log_probs[row, i]))
            for i in range(found.tokens.shape[1])
            if found.log_probs[row, i] > -torch.inf
        ]
        same = len(own) == len(wanted) and all(
            a[0] == b[0] and abs(a[1] - b[1]) < 1e-3 for a, b in zip(own, wanted, strict=True)
        )
        count += same
    return count


def seconds(run: Callable[[], object], times: int, clock: Clock) -> float:
    """The shortest of so many runs."""
    taken = []
    for _ in range(times):
        start = clock()
        run()
        taken.append(clock() - start)
    return min(taken)


if __name__ == "__main__":
    main()
