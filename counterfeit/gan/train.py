"""Train a generator in one folder: metrics, samples, checkpoints, restarts; killed runs continue where they were."""

import dataclasses
import io
import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, Progress, TimeRemainingColumn
from torch import Tensor
from torch.utils.data import DataLoader

from counterfeit.data.files import write_bytes
from counterfeit.errors import UserError
from counterfeit.gan.finished import NEXT_ATTEMPT, finish, load_checkpoint, load_gan, read_done
from counterfeit.gan.health import diagnose, write_history
from counterfeit.gan.lesson import Lesson, refiner_lesson
from counterfeit.gan.noise_lesson import noise_lesson
from counterfeit.gan.refiner import Refiner
from counterfeit.gan.settings import GanSettings, GanTrainerSettings, Generative
from counterfeit.gan.transplant import Sources

ROW_STEPS = 10  # steps between rows of metrics.csv; checkpoints fall on rows, so that none holds half a mean


def train_generator(
    folder: Path,
    sources: Sources,
    settings: GanSettings,
    seed: int,
    *,
    restarts: int = 2,
    flips: bool,
    trainer: GanTrainerSettings | None = None,
) -> dict[str, Any]:
    """Train a generator of the kind that the settings name, unless ``folder`` holds a finished one.

    Writes ``metrics.csv``, ``samples/<images>.png``, ``last.ckpt``, and at the end ``gan.safetensors`` (the averaged
    generator) and ``done.json``. An attempt that a health check calls failed stops
    and another seed is tried. If the last one fails too, ``done.json`` says ``healthy: false`` with the reason, and
    nothing of it is ever used: what loads it refuses it, or leaves composites plain.

    Args:
        folder: of this run alone.
        sources: training images of both labels; their size is a multiple of 8. ``noise`` and ``dcgan`` use pixels and
            labels only, and take any number of classes.
        settings: how to train.
        seed: source of all randomness.
        restarts: how many times a failed training may start anew.
        flips: whether the product allows mirror images.
        trainer: where to train; on whatever Lightning finds if none.

    Returns:
        What ``done.json`` says, see :func:`read_done`.

    Raises:
        UserError: a label is missing, or the folder holds a run with other settings or a damaged generator.
    """
    classes = int(sources.label.max()) + 1
    if classes < 2 or len(np.unique(sources.label)) < classes:
        raise UserError("the GAN needs genuine and counterfeit images in the training split: one label is missing")
    if (folder / "done.json").exists():
        done = read_done(folder, settings)
        if done["seed"] != seed:
            raise UserError(f"{folder} holds a GAN trained with seed {done['seed']}: choose another --out or remove it")
        if done["healthy"]:
            load_gan(folder, settings)  # refuses what does not belong to these settings
        return done
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    start = load_checkpoint(folder / "last.ckpt", settings, seed)
    for attempt in range(start["attempt"] if start else 0, restarts + 1):
        gan = settings.generative(seed + NEXT_ATTEMPT * attempt, classes)
        recorder = Recorder(folder, gan, sources, settings, seed, attempt, flips)
        recorder.fit(gan, trainer or GanTrainerSettings(), start)
        start = None
        if recorder.reason is None:
            break
        (folder / "last.ckpt").unlink(missing_ok=True)
    finish(folder, gan, settings, seed, attempt, recorder.reason)
    return read_done(folder, settings)


class Recorder(pl.Callback):
    """One attempt: feeds the trainer, writes what it shows, checkpoints, and stops it when it is ill.

    ``reason`` says after :meth:`fit` why the attempt failed, ``None`` if it is healthy.
    """

    lesson: Lesson

    def __init__(
        self,
        folder: Path,
        gan: Generative,
        sources: Sources,
        settings: GanSettings,
        seed: int,
        attempt: int,
        flips: bool,
    ) -> None:
        self.folder, self.settings, self.seed, self.attempt = folder, settings, seed, attempt
        own_seed = seed + NEXT_ATTEMPT * attempt
        if isinstance(gan, Refiner):
            self.lesson = refiner_lesson(gan, sources, settings.pool, own_seed, flips)
        else:
            self.lesson = noise_lesson(gan, sources, own_seed, flips)
        self.optimizers: list[dict[str, Any]] = []
        self.history: list[dict[str, float]] = []
        self.window: list[dict[str, Tensor]] = []
        self.reason: str | None = None

    def fit(self, gan: Generative, where: GanTrainerSettings, start: dict[str, Any] | None) -> None:
        """Train from ``start``, or from the beginning, to the end of the budget or until a health check fails."""
        if start:
            gan.load_state_dict(start["module"], strict=False)
            self.optimizers, self.history = start["optimizers"], start["history"]
        steps, kind = range(int(gan.step), gan.total_steps), self.settings.kind
        batches = self.lesson.batches(steps)
        trainer = pl.Trainer(
            **where.options(),
            max_epochs=1,
            logger=False,
            callbacks=[self],
            enable_checkpointing=False,
            enable_progress_bar=False,
            enable_model_summary=False,
        )
        console = Console(stderr=True)
        shown = "{task.description}", BarColumn(), "{task.fields[speed]:.0f} images/s", TimeRemainingColumn()
        self.bar = Progress(*shown, console=console, transient=True, disable=not console.is_terminal)
        self.task = self.bar.add_task(kind, total=gan.total_steps, completed=steps.start, speed=0.0)
        with self.bar, warnings.catch_warnings():
            # Batches are crops of arrays in memory: workers would only cost. The frozen backbone is in eval mode.
            warnings.filterwarnings("ignore", message=".*does not have many workers|.*`__len__` defined|.*in eval mode")
            trainer.fit(gan, DataLoader(batches, batch_size=None))
        gan.to("cpu")
        if not console.is_terminal:
            print(f"{kind}: {gan.images_seen} images, {self.reason or 'healthy'}", file=sys.stderr)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Put the optimisers back where a killed run left them."""
        for optimizer, state in zip(trainer.optimizers, self.optimizers, strict=False):
            optimizer.load_state_dict(state)
        self.clock = time.perf_counter()

    def on_train_batch_end(
        self,
        trainer: pl.Trainer,
        pl_module: pl.LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Now and then a row of metrics, a grid of samples, a checkpoint."""
        assert isinstance(pl_module, Generative)
        gan, step, size = pl_module, int(pl_module.step), self.settings.batch_size
        last = step == gan.total_steps
        self.window.append(outputs)
        self.bar.update(self.task, completed=step)
        if crossed(step * size, size, self.settings.sample_every) or last:
            shown = step * size if last else step * size // self.settings.sample_every * self.settings.sample_every
            Image.fromarray(self.lesson.grid()).save(self.folder / "samples" / f"{shown:06d}.png")
        if step % ROW_STEPS and not last:
            return
        self.row(gan)
        self.reason = (self.lesson.judge or diagnose)(self.history, last)
        trainer.should_stop = self.reason is not None
        if crossed(step * size, ROW_STEPS * size, self.settings.checkpoint_every) and not last and not self.reason:
            self.checkpoint(gan, trainer.optimizers)

    def row(self, gan: Generative) -> None:
        """Means of the losses since the last row, measurements of the state, speed."""
        seconds = time.perf_counter() - self.clock
        row = {name: float(torch.stack([w[name] for w in self.window]).mean()) for name in self.window[0]}
        speed = len(self.window) * self.settings.batch_size / seconds
        row |= self.lesson.measure() | {"images_per_second": speed}
        self.history.append({"step": float(gan.step), "images": float(gan.images_seen), **row})
        write_history(self.folder / "metrics.csv", self.history)
        self.bar.update(self.task, speed=speed)
        self.window, self.clock = [], time.perf_counter()

    def checkpoint(self, gan: Generative, optimizers: list[torch.optim.Optimizer]) -> None:
        """Write ``last.ckpt`` whole or not at all."""
        state = {
            "module": gan.weights(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "history": self.history,
            "seed": self.seed,
            "attempt": self.attempt,
            "settings": dataclasses.asdict(self.settings),
        }
        content = io.BytesIO()
        torch.save(state, content)
        write_bytes(self.folder / "last.ckpt", content.getvalue())


def crossed(images: int, before: int, every: int) -> bool:
    """Whether a multiple of ``every`` images lies among the last ``before`` images."""
    return images // every > (images - before) // every
