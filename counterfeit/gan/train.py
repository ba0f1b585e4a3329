"""Train a refiner in one folder: metrics, samples, checkpoints, restarts; killed runs continue where they were."""

import dataclasses
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

from counterfeit.errors import UserError
from counterfeit.gan.augment import RefinerBatches, draw_corners, draw_pool, take_crops
from counterfeit.gan.finished import NEXT_ATTEMPT, finish, load_checkpoint, load_refiner, read_done
from counterfeit.gan.health import diagnose, write_history
from counterfeit.gan.networks import LATENT
from counterfeit.gan.refiner import Refiner
from counterfeit.gan.settings import GanSettings, GanTrainerSettings
from counterfeit.gan.transplant import Composites, Sources, to_float, to_pixels

__all__ = ["GanSettings", "Recorder", "load_refiner", "train_refiner"]

ROW_STEPS = 10  # steps between rows of metrics.csv; checkpoints fall on rows, so that none holds half a mean
PROBED = 12  # composites on which each row is measured


def train_refiner(
    folder: Path,
    sources: Sources,
    settings: GanSettings,
    seed: int,
    *,
    restarts: int = 2,
    flips: bool,
    trainer: GanTrainerSettings | None = None,
) -> dict[str, Any]:
    """Train a refiner, unless ``folder`` holds a finished one.

    Writes ``metrics.csv``, ``samples/<images>.png`` (host, transplant, refined, donor), ``last.ckpt``, and at the end
    ``gan.safetensors`` (the averaged generator) and ``done.json``. An attempt that a health check calls failed stops
    and another seed is tried. If the last one fails too, ``done.json`` says ``healthy: false`` with the reason, and
    nothing of it is ever used: :func:`load_refiner` refuses it, and :func:`load_generator` leaves composites plain.

    Args:
        folder: of this run alone.
        sources: training images of both labels; their size is a multiple of 8.
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
    if len(np.unique(sources.label)) < 2:
        raise UserError("the GAN needs genuine and counterfeit images in the training split: one label is missing")
    if (folder / "done.json").exists():
        done = read_done(folder, settings)
        if done["healthy"]:
            load_refiner(folder, settings)  # refuses what does not belong to these settings
        return done
    (folder / "samples").mkdir(parents=True, exist_ok=True)
    start = load_checkpoint(folder / "last.ckpt", settings, seed)
    for attempt in range(start["attempt"] if start else 0, restarts + 1):
        refiner = settings.refiner(seed + NEXT_ATTEMPT * attempt)
        recorder = Recorder(folder, sources, settings, seed, attempt, flips)
        recorder.fit(refiner, trainer or GanTrainerSettings(), start)
        start = None
        if recorder.reason is None:
            break
        (folder / "last.ckpt").unlink(missing_ok=True)
    finish(folder, refiner, settings, seed, attempt, recorder.reason)
    return read_done(folder, settings)


class Recorder(pl.Callback):
    """One attempt: feeds the trainer, writes what it shows, checkpoints, and stops it when it is ill.

    ``reason`` says after :meth:`fit` why the attempt failed, ``None`` if it is healthy.
    """

    def __init__(
        self, folder: Path, sources: Sources, settings: GanSettings, seed: int, attempt: int, flips: bool
    ) -> None:
        self.folder, self.sources, self.settings, self.flips = folder, sources, settings, flips
        self.seed, self.attempt, self.own_seed = seed, attempt, seed + NEXT_ATTEMPT * attempt
        self.pool = draw_pool(sources, settings.pool, self.own_seed, flips)
        few = min(PROBED // 2, settings.pool)
        self.probed = torch.tensor([*range(few), *range(settings.pool, settings.pool + few)])  # of both labels
        self.optimizers: list[dict[str, Any]] = []
        self.history: list[dict[str, float]] = []
        self.window: list[dict[str, Tensor]] = []
        self.reason: str | None = None

    def fit(self, refiner: Refiner, where: GanTrainerSettings, start: dict[str, Any] | None) -> None:
        """Train from ``start``, or from the beginning, to the end of the budget or until a health check fails."""
        if start:
            refiner.load_state_dict(start["module"], strict=False)
            self.optimizers, self.history = start["optimizers"], start["history"]
        steps, settings = range(int(refiner.step), refiner.total_steps), self.settings
        batches = RefinerBatches(
            self.sources, self.pool, settings.crop, settings.batch_size, steps, self.own_seed, self.flips
        )
        self.probe = self.probes(batches)
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
        self.task = self.bar.add_task("refiner", total=refiner.total_steps, completed=steps.start, speed=0.0)
        with self.bar, warnings.catch_warnings():
            # Batches are crops of arrays in memory: workers would only cost. The frozen backbone is in eval mode.
            warnings.filterwarnings("ignore", message=".*does not have many workers|.*`__len__` defined|.*in eval mode")
            trainer.fit(refiner, DataLoader(batches, batch_size=None))
        refiner.to("cpu")
        if not console.is_terminal:
            print(f"refiner: {refiner.images_seen} images, {self.reason or 'healthy'}", file=sys.stderr)

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
        assert isinstance(pl_module, Refiner)
        refiner, step, size = pl_module, int(pl_module.step), self.settings.batch_size
        last = step == refiner.total_steps
        self.window.append(outputs)
        self.bar.update(self.task, completed=step)
        if crossed(step * size, size, self.settings.sample_every) or last:
            shown = step * size if last else step * size // self.settings.sample_every * self.settings.sample_every
            self.grid(refiner).save(self.folder / "samples" / f"{shown:06d}.png")
        if step % ROW_STEPS and not last:
            return
        self.row(refiner)
        self.reason = diagnose(self.history, finished=last)
        trainer.should_stop = self.reason is not None
        if crossed(step * size, ROW_STEPS * size, self.settings.checkpoint_every) and not last and not self.reason:
            self.checkpoint(refiner, trainer.optimizers)

    def probes(self, batches: RefinerBatches) -> tuple[Tensor, Tensor, Tensor]:
        """Crops on which every row is measured: composites, their masks, and their donors as they were pasted."""
        pool, rows = self.pool, self.probed
        donors = to_float(self.sources.pixels[pool.donor[rows.numpy()]])
        if self.flips:
            donors = as_pasted(donors, pool, rows)
        corners = draw_corners(
            batches.pool_cells[rows], batches.size, batches.crop, torch.Generator().manual_seed(self.own_seed)
        )
        composites, masks, donors = (
            take_crops(x, corners, batches.crop) for x in (pool.images[rows], pool.masks[rows], donors)
        )
        return composites, masks, donors

    def row(self, refiner: Refiner) -> None:
        """Means of the losses since the last row, measurements on fixed composites, speed."""
        seconds = time.perf_counter() - self.clock
        row = {name: float(torch.stack([w[name] for w in self.window]).mean()) for name in self.window[0]}
        speed = len(self.window) * self.settings.batch_size / seconds
        row |= refiner.measure(*self.probe) | {"images_per_second": speed}
        self.history.append({"step": float(refiner.step), "images": float(refiner.images_seen), **row})
        write_history(self.folder / "metrics.csv", self.history)
        self.bar.update(self.task, speed=speed)
        self.window, self.clock = [], time.perf_counter()

    def checkpoint(self, refiner: Refiner, optimizers: list[torch.optim.Optimizer]) -> None:
        """Write ``last.ckpt`` whole or not at all."""
        state = {
            "module": refiner.weights(),
            "optimizers": [optimizer.state_dict() for optimizer in optimizers],
            "history": self.history,
            "seed": self.seed,
            "attempt": self.attempt,
            "settings": dataclasses.asdict(self.settings),
        }
        written = self.folder / "last.ckpt.part"
        torch.save(state, written)
        written.replace(self.folder / "last.ckpt")

    def grid(self, refiner: Refiner) -> Image.Image:
        """Three counterfeits above three genuine; host, transplant, refined, donor from left to right."""
        rows = self.probed.view(2, -1)[:, :3].flatten()
        z = torch.randn(len(rows), LATENT, generator=torch.Generator().manual_seed(self.own_seed))
        images = self.pool.images[rows]
        host, donor = (self.sources.pixels[which[rows.numpy()]] for which in (self.pool.host, self.pool.donor))
        refined = to_pixels(refiner.sample(images, self.pool.masks[rows], z))
        columns = [host, to_pixels(images), refined, donor]
        return Image.fromarray(np.concatenate([np.concatenate(list(column)) for column in columns], axis=1))


def as_pasted(donors: Tensor, pool: Composites, rows: Tensor) -> Tensor:
    """Donors ``(N, 3, S, S)`` mirrored where the composites in ``rows`` of the pool show them so."""
    composites, masks, mirrored = pool.images[rows], pool.masks[rows], donors.flip(3)
    near, far = (((image - composites).abs() * masks).sum((1, 2, 3), keepdim=True) for image in (donors, mirrored))
    return torch.where(near <= far, donors, mirrored)


def crossed(images: int, before: int, every: int) -> bool:
    """Whether a multiple of ``every`` images lies among the last ``before`` images."""
    return images // every > (images - before) // every
