"""Step 3, read: the spotter reads what was planned, images of one size together, one thread at a time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch

from dld_core.errors import DLDError
from dld_core.pipeline.models import Models
from dld_core.pipeline.plan import Plan
from dld_core.runtimes.norms import use_scale
from dld_core.types import Word

Reading = tuple[list[Word], float]
"""Words in pixels of what the spotter was given, and the milliseconds that they took."""


class Reader:
    """Calls the spotters of a wrapper.

    Args:
        models: who can read.
        backend: the name of the spotter, for messages.
    """

    def __init__(self, models: Models, backend: str) -> None:
        self.models = models
        self.backend = backend
        self.turn: AbstractContextManager[Any] = (
            nullcontext() if models.student.thread_safe else threading.Lock()
        )
        self._process = os.getpid()

    def read(self, plans: Sequence[Plan]) -> list[Reading]:
        """The words of images of one size, model and scale.

        Raises:
            DLDError: the process was forked after the spotter had been loaded, or the spotter breaks its
                contract.
        """
        if os.getpid() != self._process:
            raise DLDError(
                "this DLDWrapper was made in another process, and a forked copy of its threads would wait "
                "for ever; make a wrapper in each worker, or start workers with the 'spawn' method"
            )
        spotter = self.models.get(plans[0].model)
        start = time.perf_counter()
        # Not inference_mode: what a spotter caches there could never enter a later training step.
        with self.turn, torch.no_grad(), use_scale(plans[0].scale):
            found = spotter.predict_at([plan.tensor() for plan in plans], [plan.size for plan in plans])
        if len(found) != len(plans):
            raise DLDError(
                f"the backend {self.backend} gave {len(found)} results for {len(plans)} images; "
                "predict must return one list of words per image"
            )
        each = (time.perf_counter() - start) * 1e3 / len(plans)
        return [(words, each) for words in found]

    def read_each(self, plans: Sequence[Plan]) -> list[Reading | Exception]:
        """The same; where reading them together fails, the images one by one, and the error of each that
        fails.
        """
        try:
            return list(self.read(plans))
        except Exception as error:  # whatever one image did to an engine, the others still count
            return [error] if len(plans) == 1 else [self.read_each([plan])[0] for plan in plans]
