"""Which rows of the recogniser's classifier are computed: those that are asked for, and no more than needed.

Small's classifier has 18,710 rows, which take as long as a third of the network. A few hundred of them say
all
that Latin text needs, and in their logits it shows whether another row can win: where a column holds a letter
of theirs, or nothing, the largest is 20 in the mean, and where it holds a Chinese character 4.
"""

from __future__ import annotations

import unicodedata

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from dld_core.errors import ConfigError

SURE = 18.0
"""The logit from which the largest of the first rows is the largest of all.

Settled on 900 rendered lines of six scripts: texts of lines are those of all rows (see docs/engines.md).
"""
_COLUMNS = 256  # computed with all rows at once, to save memory
_SIGNS = 0x3100  # code points from here on are letters of scripts or symbols of theirs
SCRIPTS = {
    "latin": ("LATIN",),
    "greek": ("GREEK",),
    "chinese": ("CJK", "FULLWIDTH", "IDEOGRAPHIC"),
    "japanese": ("CJK", "FULLWIDTH", "IDEOGRAPHIC", "HIRAGANA", "KATAKANA", "HALFWIDTH"),
}
"""Beginnings of the Unicode names of a script's characters."""


def is_first(character: str) -> bool:
    """Whether its row is always computed: letters of Latin and Greek, signs, and what resembles them."""
    return character < "\u2190" or "\uff00" <= character < "\ufff0"


def wanted(charset: str, known: str) -> frozenset[str]:
    """The characters that a restriction leaves.

    Args:
        charset: the name of a script, whose letters count with ASCII and signs; or the characters themselves.
        known: what can be read.

    Raises:
        ConfigError: no script has that name and it is no list of known characters.
    """
    if charset in SCRIPTS:
        return frozenset(c for c in known if c.isascii() or _is_of(c, SCRIPTS[charset]))
    strange = "".join(sorted(set(charset) - set(known)))
    if strange or len(set(charset)) < len(charset):
        fault = f"holds {strange!r}, which it cannot read" if strange else "names a character twice"
        raise ConfigError(
            f"charset {charset!r} {fault}; give auto, all, {', '.join(sorted(SCRIPTS))}, or the "
            "characters to read"
        )
    return frozenset(charset)


def _is_of(character: str, beginnings: tuple[str, ...]) -> bool:
    sign = unicodedata.category(character)[0] != "L" and ord(character) < _SIGNS
    return sign or unicodedata.name(character, "").startswith(beginnings)


def best_tokens(classify: nn.Linear, context: Tensor, first: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
    """Of every column the best token, its probability, and the probability of the last token, the space.

    Args:
        context: [N, T, D].
        first: ids [R] of the rows that suffice for most columns, ascending, the last one included; None to
            compute all everywhere.

    Returns:
        Three [N, T].
    """
    flat = context.float().flatten(0, 1)
    if first is None:
        logits = classify(flat)
        found = [logits.argmax(1), *_probabilities(logits)]
    else:
        logits = F.linear(flat, classify.weight[first], classify.bias[first])
        found = [first[logits.argmax(1)], *_probabilities(logits)]
        for some in torch.split((logits.amax(1) < SURE).nonzero().flatten(), _COLUMNS):
            for whole, part in zip(found, best_tokens(classify, flat[some, None], None), strict=True):
                whole[some] = part[:, 0]
    token, sure, space = (value.unflatten(0, context.shape[:2]) for value in found)
    return token, sure, space


def _probabilities(logits: Tensor) -> tuple[Tensor, Tensor]:
    total = logits.logsumexp(1)
    return (logits.amax(1) - total).exp(), (logits[:, -1] - total).exp()
