"""A teacher's readings in the tokens of a student whose decoder spells otherwise (attention and CTC, say)."""

from __future__ import annotations

from dld_core.decoders.charset import PRINTABLE_ASCII
from dld_core.interfaces import SequenceDecoder
from dld_core.types import Hypotheses


def same_tokens(one: SequenceDecoder, other: SequenceDecoder) -> bool:
    """Whether the tokens of one decoder mean the same to the other."""
    if (one.pad_id, one.vocabulary_size) != (other.pad_id, other.vocabulary_size):
        return False
    letters = list(PRINTABLE_ASCII)
    first, second = one.encode(letters), other.encode(letters)
    return first.shape == second.shape and bool((first == second).all())


def map_tokens(said: Hypotheses, teacher: SequenceDecoder, student: SequenceDecoder) -> Hypotheses:
    """The same texts in the student's tokens; characters outside its charset are left out."""
    words, count, length = said.tokens.shape
    if not words:
        return said
    texts = teacher.decode(said.tokens.reshape(words * count, length))
    tokens = student.encode(texts).reshape(words, count, -1).to(said.tokens.device)
    return Hypotheses(tokens, (tokens != student.pad_id).sum(-1), said.log_probs)
