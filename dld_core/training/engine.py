"""The training loop: one for a CPU, one GPU and several (lightning-fabric)."""

from __future__ import annotations

import os
import random
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from dld_core.data.dataset import BatchStream, batches
from dld_core.errors import DLDError, TrainingError
from dld_core.hooks import hooks
from dld_core.interfaces import TrainableSpotter
from dld_core.training import checkpoint
from dld_core.training.config import TrainConfig
from dld_core.training.interrupt import Interrupt
from dld_core.training.metrics import Board, MetricsFile
from dld_core.training.optim import Average, build_optimizer, freeze, learning_rate, set_rate
from dld_core.training.progress import Reporter, duration
from dld_core.training.tasks import Parcel, Task, read_trace, total_loss
from dld_core.training.validation import Validator
from dld_core.training.weights import export, initialise
from dld_core.types import Batch, TrainOutput


@dataclass
class TrainResult:
    """How a run ended.

    Attributes:
        out: its folder.
        step: steps taken in all.
        words: words seen in all.
        reason: "steps" (all taken), "time" (minutes used up) or "interrupted".
        weights: the exported model.safetensors.
        metrics: the last values logged.
    """

    out: Path
    step: int
    words: int
    reason: str
    weights: Path
    metrics: dict[str, float] = field(default_factory=dict)


def train(
    config: TrainConfig,
    out: str | Path,
    *,
    resume: bool = False,
    max_minutes: float | None = None,
    devices: int | None = None,
    spotter: TrainableSpotter | None = None,
    quiet: bool = False,
) -> TrainResult:
    """Teach a spotter.

    Args:
        config: what and how.
        out: folder of the run: checkpoints/, metrics.csv, model.safetensors (averaged weights), config.json.
        resume: go on from the newest checkpoint in `out`, exactly; start anew where there is none.
        max_minutes: stop after that time from now; `schedule: time` decays the rate to end then.
        devices: processes, one per device; None takes torchrun's number, else one.
        spotter: teach this one instead of building `config.backend`.
        quiet: no progress on stderr.

    Raises:
        ConfigError, DataError, WeightsError: something named in the config is wrong.
        TrainingError: the folder holds another run, or a loss is not finite.
    """
    fabric = _make_fabric(config, devices)
    fabric.launch()
    return Trainer(fabric, config, Path(out), resume, max_minutes, spotter, quiet).run()


class Trainer:
    """State of a run. Use `train`."""

    def __init__(
        self,
        fabric: Fabric,
        config: TrainConfig,
        out: Path,
        resume: bool = False,
        max_minutes: float | None = None,
        spotter: TrainableSpotter | None = None,
        quiet: bool = False,
    ) -> None:
        self.fabric, self.config, self.out = fabric, config, out
        self.step = self.data_index = self.words = self.bad_steps = 0
        self.elapsed = 0.0
        self.chief = fabric.is_global_zero
        self.reporter = Reporter(config.log_seconds, quiet or not self.chief)
        if config.threads:
            torch.set_num_threads(config.threads)
        found = self._find_checkpoint(resume)
        self.stream = BatchStream(config.data, config.batch_size, config.sizes, config.seed)
        self._build(spotter, fresh=found is None)
        if found is not None:
            self._restore(found)
        self.deadline = self._deadline(max_minutes)

    # -- building -------------------------------------------------------------------------------------------

    def _find_checkpoint(self, resume: bool) -> Path | None:
        found = checkpoint.saved(self.out)
        if found and not resume:
            raise TrainingError(
                f"{self.out} already holds a run; add --resume to go on with it, "
                "or choose another folder with --out"
            )
        return found[-1] if found else None

    def _build(self, spotter: TrainableSpotter | None, fresh: bool) -> None:
        config = self.config
        seed_everything(config.seed)
        self.spotter = spotter if spotter is not None else build_spotter(config)
        if config.init and fresh:
            report = initialise(self.spotter, config.init)
            self.reporter.say(f"weights from {config.init.path}: {report}")
        self.still = freeze(self.spotter, config.freeze)
        self.spotter.to(self.fabric.device)
        if config.channels_last:
            self.spotter.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.validator = Validator(self.spotter, config, config.validation) if config.validation else None
        self.average = Average(self.spotter, config.ema) if config.ema else None
        optimizer = build_optimizer(self.spotter, config)
        self.module, self.optimizer = self.fabric.setup(Task(self.spotter, config), optimizer)

    def _restore(self, path: Path) -> None:
        content = checkpoint.load(path)
        checkpoint.check_config(path, content["config"], self.config)
        self.spotter.load_state_dict(content["model"])
        if self.average and content["ema"]:
            self.average.load(content["ema"], content["ema_updates"])
        self.optimizer.load_state_dict(content["optimizer"])
        self.step, self.data_index = content["step"], content["data_index"]
        self.words, self.elapsed = content["words"], content["elapsed"]
        self.reporter.say(f"going on from {path} (step {self.step}, {self.words} words seen)")

    def _deadline(self, max_minutes: float | None) -> float | None:
        """Seconds of running time, over all resumptions, at which to stop."""
        limits = []
        if max_minutes is not None:
            limits.append(self.elapsed + 60 * max_minutes)
        if self.config.max_minutes is not None:
            limits.append(60 * self.config.max_minutes)
        return min(limits, default=None)

    # -- running --------------------------------------------------------------------------------------------

    def run(self) -> TrainResult:
        """Train until the end, the time limit or an interruption; save and export in every case."""
        config = self.config
        self.started = time.monotonic() - self.elapsed
        self.last_saved = time.monotonic()
        self.recent: dict[str, float] = {}
        with ExitStack() as stack:
            stack.enter_context(self.reporter)
            self.interrupt = stack.enter_context(Interrupt())
            if self.chief:
                self.metrics = MetricsFile(self.out / "metrics.csv", self.step)
                self.board = Board(self.out / "tensorboard")
                stack.callback(self.board.close)
            hooks.run_configured("train", config.model_dump(mode="json", serialize_as_any=True))
            data = self._data()
            mark = (time.monotonic(), self.words)
            while (reason := self._reason_to_stop()) is None:
                self._set_train_mode()
                output = self._step(data)
                if output is None:
                    continue
                mark = self._log(output, mark)
                self._look()
                if time.monotonic() - self.last_saved >= 60 * config.checkpoint_minutes:
                    self.save()
            weights = self.save()
            self.reporter.say(f"stopped after {self.step} steps ({reason}); weights in {weights}")
        return TrainResult(self.out, self.step, self.words, reason, weights, dict(self.recent))

    def _data(self) -> Iterator[Batch]:
        fabric, config = self.fabric, self.config
        method = config.worker_start
        if method is None and fabric.device.type != "cpu":
            method = "spawn"  # a forked process cannot use a GPU's driver, and may hang on its locks
        return batches(
            self.stream,
            start=self.data_index + fabric.global_rank,
            stride=fabric.world_size,
            workers=config.workers,
            nice=config.worker_nice,
            prefetch=config.prefetch,
            method=method,
        )

    def _progress(self) -> float:
        """How much of the run is done (0-1), by the measure that the schedule names."""
        by_steps = self.step / self.config.steps
        if self.config.schedule == "time" and self.deadline:
            return max(by_steps, self._now() / self.deadline)
        return by_steps

    def _now(self) -> float:
        return time.monotonic() - self.started

    def _reason_to_stop(self) -> str | None:
        reason = None
        if self.interrupt.asked:
            reason = "interrupted"
        elif self.step >= self.config.steps:
            reason = "steps"
        elif self.deadline is not None and self._now() >= self.deadline:
            reason = "time"
        if self.fabric.world_size > 1:
            # All must leave together; anybody's wish to stop counts.
            reasons = self._gather(reason)
            reason = next((r for r in reasons if r is not None), None)
        return reason

    def _gather(self, value: str | None) -> list[str | None]:
        found: list[str | None] = [None] * self.fabric.world_size
        torch.distributed.all_gather_object(found, value)
        return found

    def _set_train_mode(self) -> None:
        self.module.train()
        for module in self.still:
            module.eval()

    def _step(self, data: Iterator[Batch]) -> TrainOutput | None:
        """One step; None when its losses were bad and it was left out."""
        config, fabric = self.config, self.fabric
        # Randomness inside the model is a function of the step alone: an exact resumption needs no
        # generator's state, of any rank or device.
        seed_everything(hash_seed(config.seed, self.step, fabric.global_rank))
        rate = learning_rate(config, self.step, self._shared(self._progress()))
        set_rate(self.optimizer, rate)
        for micro in range(config.accumulate):
            batch = next(data).to(fabric.device)
            self.data_index += fabric.world_size
            with fabric.no_backward_sync(self.module, enabled=micro + 1 < config.accumulate):
                output: TrainOutput = self.module(Parcel(batch))
                hooks.losses_computed(self.step + 1, output.losses)
                loss = total_loss(output.losses)
                if not self._all_finite(loss):
                    self._bad(batch, output.losses, "loss")
                    return None
                fabric.backward(loss / config.accumulate)
            self.words += sum(int((~i).sum()) for i in batch.ignore) * fabric.world_size
        if config.optimizer.clip is not None:
            norm = nn.utils.clip_grad_norm_(
                [p for p in self.spotter.parameters() if p.grad is not None], config.optimizer.clip
            )
            if not self._all_finite(norm):
                self._bad(batch, output.losses, "gradient")
                return None
            self.recent["grad_norm"] = float(norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.average:
            self.average.update(self.spotter)
        self.step += 1
        self.recent["lr"] = rate
        if hooks.listening("step_ended"):
            hooks.step_ended(
                self.step, self.recent | {n: float(v.detach()) for n, v in output.losses.items()}
            )
        return output

    def _shared(self, value: float) -> float:
        """Rank 0's value, where there are several (their clocks differ)."""
        if self.fabric.world_size == 1:
            return value
        return float(self.fabric.broadcast(torch.tensor(value, device=self.fabric.device)))

    def _all_finite(self, value: Tensor) -> bool:
        fine = bool(torch.isfinite(value.detach()))
        if self.fabric.world_size == 1:
            return fine
        flag = torch.tensor(float(fine), device=self.fabric.device)
        return float(self.fabric.all_reduce(flag, reduce_op="sum")) == self.fabric.world_size

    def _bad(self, batch: Batch, losses: dict[str, Tensor], what: str) -> None:
        """Keep the batch of a step that is not finite; stop, or leave the step out."""
        self.optimizer.zero_grad(set_to_none=True)
        path = self.out / f"nan_batch_{self.step}_{self.fabric.global_rank}.pt"
        save_batch(batch, path)
        values = ", ".join(f"{name} {float(loss.detach()):.4g}" for name, loss in losses.items())
        self.bad_steps += 1
        if self.bad_steps <= self.config.skip_bad_steps:
            self.reporter.say(
                f"step {self.step} left out: its {what} is not finite ({values}); batch in {path}"
            )
            return
        saved = self.save()
        raise TrainingError(
            f"the {what} of step {self.step} is not finite ({values}); its batch is in {path}, the weights "
            f"before it in {saved}. Lower 'lr', or set 'skip_bad_steps' and go on with --resume"
        )

    # -- telling --------------------------------------------------------------------------------------------

    def _log(self, output: TrainOutput, mark: tuple[float, int]) -> tuple[float, int]:
        """Write a row every `log_steps` steps, a line when one is due."""
        if not self.chief or (self.step % self.config.log_steps and self.step != 1):
            return mark
        now = time.monotonic()
        losses = {name: float(loss.detach()) for name, loss in output.losses.items()}
        self.module.eval()
        reading = read_trace(self.spotter, output.trace, limit=64)
        speed = (self.words - mark[1]) / max(now - mark[0], 1e-9)
        row: dict[str, float | int] = {
            "step": self.step,
            "seconds": round(self._now(), 1),
            "words": self.words,
        }
        self.recent |= {"loss": sum(losses.values()), **losses, "words_per_second": speed}
        if reading.words:
            self.recent["word_accuracy"] = reading.accuracy
        self.metrics.write({**row, **self.recent})
        self.board.write(self.step, self.recent)
        if self.reporter.due():
            self.reporter.show(self.step, min(self._overall(), 1.0), self._line(losses))
        return (now, self.words)

    def _overall(self) -> float:
        by_time = self._now() / self.deadline if self.deadline else 0.0
        return max(self.step / self.config.steps, by_time)

    def _line(self, losses: dict[str, float]) -> str:
        done = self._overall()
        left = self._now() * (1 - done) / done if done > 0 else 0.0
        parts = [f"loss {sum(losses.values()):.3f}"]
        parts += [f"{name} {value:.3f}" for name, value in losses.items()] if len(losses) > 1 else []
        if "word_accuracy" in self.recent:
            parts.append(f"words right {100 * self.recent['word_accuracy']:.0f}%")
        parts.append(f"{self.recent['words_per_second']:.0f} words/s")
        parts.append(f"lr {self.recent['lr']:.2e}")
        return "  ".join([*parts, f"left {duration(left)}"])

    def _look(self) -> None:
        """Validate when it is time."""
        if self.validator is None or self.step % self.validator.every or not self.chief:
            return
        found = self.validator(self.average.state if self.average else self.spotter.state_dict())
        self.recent |= found
        self.metrics.write({"step": self.step, "words": self.words, **found})
        self.board.write(self.step, found)
        self.reporter.say(f"step {self.step}: " + "  ".join(f"{k} {v:.4f}" for k, v in found.items()))

    # -- saving ---------------------------------------------------------------------------------------------

    def save(self) -> Path:
        """A checkpoint and the exported weights; only the first process writes."""
        self.last_saved = time.monotonic()
        weights = self.out / "model.safetensors"
        if not self.chief:
            return weights
        model = self.spotter.state_dict()
        content: dict[str, Any] = {
            "model": model,
            "ema": self.average.state if self.average else None,
            "ema_updates": self.average.updates if self.average else 0,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "data_index": self.data_index,
            "words": self.words,
            "elapsed": self._now(),
            "config": checkpoint.dump_config(self.config),
        }
        checkpoint.save(self.out, content, self.config.keep)
        about = {"step": self.step, "words": self.words, "seconds": round(self._now(), 1)}
        return export(
            self.out,
            self.average.state if self.average else model,
            self.config.backend,
            self.config.options,
            {**about, "training": self.config.model_dump(mode="json", serialize_as_any=True)},
            self.config.half,
        )


def _make_fabric(config: TrainConfig, devices: int | None) -> Fabric:
    under_torchrun = "LOCAL_WORLD_SIZE" in os.environ
    local = int(os.environ["LOCAL_WORLD_SIZE"]) if under_torchrun else (devices or 1)
    nodes = int(os.environ.get("GROUP_WORLD_SIZE", "1")) if under_torchrun else 1
    strategy: Any = "auto"
    if local * nodes > 1:
        from lightning_fabric.strategies import DDPStrategy

        # A warm-up of the recogniser leaves the detector's parameters without gradients.
        strategy = DDPStrategy(find_unused_parameters=True)
    try:
        return Fabric(
            accelerator=config.accelerator,
            devices=local,
            num_nodes=nodes,
            strategy=strategy,
            precision=config.precision,
        )
    except (RuntimeError, ValueError) as error:
        raise TrainingError(f"cannot use {local} x {config.accelerator}: {error}") from error


def build_spotter(config: TrainConfig) -> TrainableSpotter:
    """The backend named in the config, with random weights. Raises TrainingError when it cannot be taught."""
    from dld_core.registry import backends

    spotter = backends.get(config.backend).create(weights=None, device="cpu", **config.options)
    if not isinstance(spotter, TrainableSpotter):
        raise TrainingError(f"the backend {config.backend!r} only predicts; choose one that can be trained")
    return spotter


def seed_everything(seed: int) -> None:
    random.seed(seed)
    np.random.seed(seed & 0xFFFFFFFF)
    torch.manual_seed(seed)


def hash_seed(*parts: int) -> int:
    """A 63-bit seed that differs for different parts."""
    return int(np.random.SeedSequence(parts).generate_state(1, np.uint64)[0] >> 1)


def save_batch(batch: Batch, path: Path) -> None:
    """Store a batch as tensors and plain values (torch.load with weights_only=True reads it)."""
    path.parent.mkdir(parents=True, exist_ok=True)
    cpu = batch.to("cpu")
    content = {"images": cpu.images, "polygons": cpu.polygons, "texts": cpu.texts, "ignore": cpu.ignore}
    torch.save({**content, "names": cpu.names}, path)


def load_batch(path: Path) -> Batch:
    """Read a batch of `save_batch` again."""
    try:
        return Batch(**torch.load(path, weights_only=True))
    except Exception as error:
        raise DLDError(f"{path} does not hold a batch: {error}") from error
