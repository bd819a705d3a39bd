"""The training loop: one for a CPU, one GPU and several (lightning-fabric)."""

from __future__ import annotations

import errno
import math
import time
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

import torch
from lightning_fabric import Fabric
from torch import Tensor, nn

from dld_core.data.dataset import BatchStream, batches
from dld_core.errors import TrainingError
from dld_core.interfaces import BUNDLED, TrainableSpotter
from dld_core.pipeline.folder import MODEL, Index, differing_options, write_index
from dld_core.plugins.hooks import hooks
from dld_core.training import checkpoint
from dld_core.training.checkpoint import Checkpoint, save_batch
from dld_core.training.config import TrainConfig
from dld_core.training.log import Logbook, Reporter
from dld_core.training.optim import Average, build_optimizer, freeze, learning_rate, set_rate
from dld_core.training.runtime import Clock, Interrupt, build_trainable, make_fabric, seed_everything
from dld_core.training.tasks import Step, Task, read_trace, total_loss
from dld_core.training.teachable import check_words
from dld_core.training.validation import Validator
from dld_core.training.weights import initialise, save_weights
from dld_core.types import Batch, TrainOutput

_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS, errno.EACCES, errno.EPERM)


@dataclass
class TrainResult:
    """How a run ended.

    Attributes:
        out: its folder.
        step: steps taken in all.
        words: words seen in all.
        reason: "steps" (all taken), "time" (minutes used up) or "interrupted".
        weights: the file of what was learnt.
        metrics: the last values logged.
        chief: whether this process is the one that writes (of several, the first).
    """

    out: Path
    step: int
    words: int
    reason: str
    weights: Path
    metrics: dict[str, float] = field(default_factory=dict)
    chief: bool = True


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
        out: folder of the run: model.safetensors (averaged weights) and dld.json; checkpoints/, metrics.csv.
        resume: go on from the newest checkpoint in `out`, exactly; start anew where there is none.
        max_minutes: stop after that time from now; `schedule: time` decays the rate to end then.
        devices: processes, one per device; None takes torchrun's number, else one.
        spotter: teach this one instead of building `config.backend`.
        quiet: no progress on stderr.

    Raises:
        ConfigError, DataError, WeightsError, DeviceError: something named in the config is wrong.
        TrainingError: the folder holds another run or cannot be written, or a loss is not finite.
    """
    fabric = make_fabric(config, devices)
    fabric.launch()
    return run_and_close(Trainer(fabric, config, Path(out), resume, max_minutes, spotter, quiet))


def run_and_close(trainer: Trainer) -> TrainResult:
    """Run, and close the process group: one left open may abort a process whose peer has already gone."""
    result = trainer.run()
    group = torch.distributed
    if group.is_available() and group.is_initialized():
        group.barrier()
        group.destroy_process_group()
    return result


class Trainer:
    """State of a run. Use `train`.

    Attributes:
        kind: of the run, for hooks.
        weights_file: what the averaged weights are called.
        others: what learns beside the spotter, by name: it is optimised and saved in checkpoints.
    """

    kind = "train"
    weights_file = MODEL

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
        self.best = -math.inf
        self.waited = 0.0
        self.others: dict[str, nn.Module] = {}
        self.chief = fabric.is_global_zero
        self.reporter = Reporter(config.log_seconds, quiet or not self.chief)
        if config.threads:
            torch.set_num_threads(config.threads)
        found = self._find_checkpoint(resume)
        self.stream = self._stream()
        self._build(spotter, fresh=found is None)
        elapsed = self._restore(found) if found else 0.0
        self.clock = Clock(config, elapsed, max_minutes)

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
        weights = BUNDLED if config.init and config.init.bundled else None
        self.spotter = (
            build_trainable(config.backend, weights, config.options) if spotter is None else spotter
        )
        check_words(self.stream.sources, self.spotter, config.backend, self.reporter.log)
        self._start(fresh)
        self.still = freeze(self.spotter, config.freeze)
        self.spotter.to(self.fabric.device)
        if config.channels_last:
            self.spotter.to(memory_format=torch.channels_last)
        self.validator = self._validator()
        self.average = Average(self.spotter, config.ema)
        optimizer = build_optimizer(self.spotter, config)
        for other in self.others.values():
            decay = config.optimizer.weight_decay
            optimizer.add_param_group(
                {"params": list(other.parameters()), "weight_decay": decay, "factor": 1.0}
            )
        self.module, self.optimizer = self.fabric.setup(self._task(), optimizer)

    def _stream(self) -> BatchStream:
        """Where batches come from."""
        config = self.config
        return BatchStream(config.data, config.batch_size, config.sizes, config.seed)

    def _start(self, fresh: bool) -> None:
        """Give the spotter the weights that it starts from; a run that goes on gets its own later."""
        init = self.config.init
        if init and fresh and not init.bundled:
            report = initialise(self.spotter, init)
            self.reporter.log(f"weights from {init.path}: {report}")

    def _task(self) -> Task:
        """What a step computes."""
        return Task(self.spotter, self.config)

    def _validator(self) -> Validator | None:
        """Who looks at held-out samples, if anybody."""
        validation = self.config.validation
        return Validator(self.spotter, self.config, validation) if validation else None

    def _restore(self, path: Path) -> float:
        """Take everything from a checkpoint; returns the seconds that its run has taken."""
        content = checkpoint.load(path)
        checkpoint.check_config(path, content.config, self.config)
        try:
            self.spotter.load_state_dict(content.model)
            self.average.load(content.ema, content.ema_updates)
            for name, other in self.others.items():
                other.load_state_dict(content.others[name])
            self.optimizer.load_state_dict(content.optimizer)
        except (RuntimeError, KeyError, ValueError, TypeError, AttributeError) as error:
            raise TrainingError(
                f"{path} does not fit this run ({error}); start anew with 'init: {path}'"
            ) from error
        self.step, self.data_index, self.words = content.step, content.data_index, content.words
        self.best = content.best
        self.reporter.log(f"going on from {path} (step {self.step}, {self.words} words seen)")
        return content.elapsed

    # -- running --------------------------------------------------------------------------------------------

    def run(self) -> TrainResult:
        """Train until the end, the time limit or an interruption; save and export in every case."""
        data = self._data()
        with ExitStack() as stack:
            stack.enter_context(self.reporter)
            self.interrupt = stack.enter_context(Interrupt())
            self.log = (
                Logbook(self.out, self.clock, self.reporter, self.step, self.words) if self.chief else None
            )
            if self.log:
                stack.callback(self.log.close)
            hooks.run_configured(self.kind, self.config.model_dump(mode="json", serialize_as_any=True))
            begun = self.step
            try:
                reason = self._loop(data)
                weights = self.save()
            except Exception as error:
                # Hours of work must not be lost to a failing disk or a killed worker.
                if self.step > begun and not isinstance(error, TrainingError):
                    with suppress(Exception):
                        self.save()
                if isinstance(error, OSError) and error.errno in _UNWRITABLE:
                    raise TrainingError(
                        f"cannot write {error.filename or self.out} ({error.strerror}); make room, and go on "
                        f"with --resume: {len(checkpoint.saved(self.out))} checkpoints are whole"
                    ) from error
                raise
            self.reporter.log(f"stopped after {self.step} steps ({reason}); weights in {weights}")
        metrics = dict(self.log.recent) if self.log else {}
        return TrainResult(self.out, self.step, self.words, reason, weights, metrics, self.chief)

    def _loop(self, data: Iterator[Batch]) -> str:
        self.last_saved = time.monotonic()
        while (reason := self._reason_to_stop()) is None:
            self.module.train()
            for module in self.still:
                module.eval()
            if self._step(data):
                self._validate()
                if time.monotonic() - self.last_saved >= 60 * self.config.checkpoint_minutes:
                    self.save()
        return reason

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

    def _reason_to_stop(self) -> str | None:
        reason = None
        if self.interrupt.asked:
            reason = "interrupted"
        elif self.step >= self.config.steps:
            reason = "steps"
        elif self.clock.over:
            reason = "time"
        if self.fabric.world_size == 1:
            return reason
        # All must leave together, so anybody's wish to stop counts for all.
        wishes: list[str | None] = [None] * self.fabric.world_size
        torch.distributed.all_gather_object(wishes, reason)
        return next((wish for wish in wishes if wish is not None), None)

    # -- one step -------------------------------------------------------------------------------------------

    def _step(self, data: Iterator[Batch]) -> bool:
        """One step; False when its losses or gradients were not finite and it was left out."""
        progress = self._shared(self.clock.progress(self.step))
        rate = learning_rate(self.config, self.step, progress)
        set_rate(self.optimizer, rate)
        before = self.data_index, self.words
        try:
            output = self._accumulate(data, progress)
        except Exception:
            self.data_index, self.words = before  # the step was not taken: it is to be taken again
            raise
        norm = self._clip(output) if output else None
        if output is None or norm is None:
            return False
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.average.update(self.spotter)
        self.step += 1
        self._log_step(output, {"lr": rate, "grad_norm": norm})
        return True

    def _accumulate(self, data: Iterator[Batch], progress: float) -> TrainOutput | None:
        """Gradients of `accumulate` batches; the last one's losses, or None when they were not finite."""
        fabric, times = self.fabric, self.config.accumulate
        for micro in range(times):
            asked = time.monotonic()
            self.batch = next(data).to(fabric.device)
            self.waited += time.monotonic() - asked
            self.data_index += fabric.world_size
            # Randomness inside the model is a function of the step alone: an exact resumption needs no
            # generator's state, of any rank or device. (Not earlier: a loader draws when it starts.)
            seed_everything(self.config.seed, self.step, micro, fabric.global_rank)
            with fabric.no_backward_sync(self.module, enabled=micro + 1 < times):
                output: TrainOutput = self.module(Step(self.batch, progress))
                hooks.losses_computed(self.step + 1, output.losses)
                loss = total_loss(output.losses)
                if not self._all_finite(loss):
                    self._leave_out(output.losses, "loss")
                    return None
                fabric.backward(loss / times)
            self.words += sum(int((~i).sum()) for i in self.batch.ignore) * fabric.world_size
        return output

    def _clip(self, output: TrainOutput) -> float | None:
        """Limit the gradient's norm; returns what it was, or None when it was not finite."""
        learning = [p for p in self.module.parameters() if p.grad is not None]
        norm = nn.utils.clip_grad_norm_(learning, self.config.optimizer.clip or math.inf)
        if self._all_finite(norm):
            return float(norm)
        self._leave_out(output.losses, "gradient")
        return None

    def _shared(self, value: float) -> float:
        """The first process's value (the clocks of several differ)."""
        return float(self.fabric.broadcast(value)) if self.fabric.world_size > 1 else value

    def _all_finite(self, value: Tensor) -> bool:
        fine = torch.isfinite(value.detach()).float()
        if self.fabric.world_size > 1:
            fine = self.fabric.all_reduce(fine, reduce_op="mean")  # type: ignore[assignment]
        return float(fine) == 1.0

    def _leave_out(self, losses: dict[str, Tensor], what: str) -> None:
        """Undo a step that is not finite and keep its batch. Raises TrainingError when it is one too many."""
        self.optimizer.zero_grad(set_to_none=True)
        self.average.restore_buffers(self.spotter)  # the forward pass may have spoilt the norms' statistics
        path = save_batch(self.batch, self.out / f"nan_batch_{self.step}_{self.fabric.global_rank}.pt")
        values = ", ".join(f"{name} {float(loss.detach()):.4g}" for name, loss in losses.items())
        text = f"the {what} of step {self.step + 1} is not finite ({values}); its batch is in {path}"
        self.bad_steps += 1
        if self.bad_steps > self.config.skip_bad_steps:
            saved = self.save()
            raise TrainingError(
                f"{text}, the weights before it in {saved}. Lower 'lr', or go on without that batch by "
                "--resume ('skip_bad_steps' does so by itself)"
            )
        self.reporter.log(f"{text}; left out")

    # -- logging and saving ---------------------------------------------------------------------------------

    def _log_step(self, output: TrainOutput, values: dict[str, float]) -> None:
        """Log every `log_steps` steps; hooks hear of every step."""
        due = self.log is not None and (self.step % self.config.log_steps == 0 or self.step == 1)
        if not due and not hooks.listening("step_ended"):
            return
        losses = {name: float(loss.detach()) for name, loss in output.losses.items()}
        hooks.step_ended(self.step, {**losses, **values})
        if due and self.log:
            self.module.eval()
            reading = read_trace(self.spotter, output.trace, limit=64)
            if reading.words:
                values = {**values, "word_accuracy": reading.accuracy}
            self.log.steps(self.step, self.words, self.waited, losses, values)

    def _validate(self) -> None:
        """Validate when it is time, and keep the best weights."""
        if self.validator is None or self.log is None or self.step % self.validator.every:
            return
        found = self.validator(self.average.state)
        self.log.validation(self.step, self.words, found)
        value = self.validator.merit(found)
        if value is not None and value > self.best:
            self.best = value
            self._export(self.out / "best", best=value)

    def save(self) -> Path:
        """A checkpoint and the averaged weights; only the first process writes. Raises OSError."""
        self.last_saved = time.monotonic()
        if not self.chief:
            return self.out / self.weights_file
        content = Checkpoint(
            model=self.spotter.state_dict(),
            ema=self.average.state,
            ema_updates=self.average.updates,
            others={name: other.state_dict() for name, other in self.others.items()},
            optimizer=self.optimizer.state_dict(),
            step=self.step,
            data_index=self.data_index,
            words=self.words,
            best=self.best,
            elapsed=self.clock.elapsed,
            config=checkpoint.dump_config(self.config),
        )
        checkpoint.save(self.out, content, self.config.keep)
        return self._export(self.out)

    def _export(self, folder: Path, **more: float) -> Path:
        """The averaged weights, and what they are."""
        config = self.config
        path = folder / self.weights_file
        save_weights(path, self.average.state, config.backend, config.options, config.half)
        options = differing_options(self.spotter.config_type.parse(config.options))
        about = {"step": self.step, "words": self.words, "seconds": round(self.clock.elapsed, 1), **more}
        provenance = {"command": f"dld {self.kind}", **about}
        write_index(folder, Index(backend=config.backend, options=options, provenance=provenance))
        return path
