"""Fine-tune the last stages of the backbone: a second phase on pixels, after which all heads are fitted anew."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import Progress
from torch import Tensor, nn
from torch.nn import functional as F
from torch.utils.data import DataLoader, IterableDataset

from counterfeit.backbone import Backbone
from counterfeit.detector.batches import Batch

Augment = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
STEPS_PER_EPOCH = 40
IMAGES = 32  # in a batch
BACKBONE_LR, HEAD_LR = 3e-4, 3e-3  # the peak of one cycle; the head starts from nothing
WARM_UP = 0.2  # of the steps
LEAST_STEPS = 6  # of a cycle, which may be longer than the training: of 5, a fifth leaves the warm-up no length
WEIGHT_DECAY, DROPOUT, SMOOTHING = 0.05, 0.3, 0.1  # a handful of counterfeits is soon known by heart


@dataclass(frozen=True)
class TuningSet:
    """Training images of one arm as pixels.

    Attributes:
        pixels: ``(M, S, S, 3)`` uint8.
        label: ``(M,)``, genuine = 0, counterfeit = 1.
        probability: ``(M,)`` chance of each image in a draw, with sum 1.
    """

    pixels: NDArray[np.uint8]
    label: NDArray[np.int64]
    probability: NDArray[np.float64]

    def __len__(self) -> int:
        return len(self.label)


class PixelBatches(IterableDataset[Batch]):
    """Augmented images, each batch a pure function of the seed and its number.

    Args:
        images: of the arm.
        augment: an image ``(S, S, 3)`` uint8 and a seed to another view of it.
        seed: source of all randomness.
    """

    def __init__(self, images: TuningSet, augment: Augment, seed: int) -> None:
        self.images, self.augment, self.seed, self.epoch = images, augment, seed, 0

    def __len__(self) -> int:
        return STEPS_PER_EPOCH

    def __iter__(self) -> Iterator[Batch]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        for step in range(STEPS_PER_EPOCH):
            yield self.draw(np.random.default_rng([self.seed, epoch, step, 3]))

    def draw(self, generator: np.random.Generator) -> Batch:
        """One batch: ``images`` ``(N, 3, S, S)`` in [0, 1], with their ``label``."""
        images = self.images
        rows = generator.choice(len(images), IMAGES, p=images.probability)
        seeds = generator.integers(2**48, size=IMAGES)
        views = [self.augment(images.pixels[row], int(seed)) for row, seed in zip(rows, seeds, strict=True)]
        return {
            "images": torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float() / 255,
            "label": torch.from_numpy(images.label[rows]).float(),
        }


class BackboneTuning(pl.LightningModule):
    """The last stages of a backbone, a copy of the one given, and a linear layer on its pooled features learn jointly.

    Statistics of normalisation layers stay as they are: they are those of far more images.

    Args:
        backbone: pretrained.
        stages: how many stages learn, counted from the end.
        std: ``(D,)`` deviations of the pooled features of genuine photographs.
    """

    std: Tensor

    def __init__(self, backbone: Backbone, stages: int, std: Tensor) -> None:
        super().__init__()
        self.backbone = copy.deepcopy(backbone).eval()
        self.tuned = [parameter.requires_grad_() for parameter in self.backbone.last_stages(stages)]
        self.register_buffer("std", std.clone())
        self.head = nn.Linear(len(std), 1)
        nn.init.zeros_(self.head.weight)

    def forward(self, images: Tensor) -> Tensor:
        """Logits ``(N,)`` of images ``(N, 3, S, S)`` in [0, 1]."""
        pooled = self.backbone(images)[0] / self.std
        logits: Tensor = self.head(F.dropout(pooled, DROPOUT, self.training))
        return logits.squeeze(1)

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """Binary cross-entropy with smoothed labels."""
        target = batch["label"] * (1 - SMOOTHING) + SMOOTHING / 2
        loss = F.binary_cross_entropy_with_logits(self(batch["images"]), target)
        self.log("loss_tuning", loss, on_step=False, on_epoch=True, batch_size=len(target))
        return loss

    def configure_optimizers(self) -> Any:
        """AdamW with one cycle of the learning rate (Smith and Topin 2018)."""
        groups: list[dict[str, Any]] = [{"params": self.tuned}, {"params": self.head.parameters()}]
        rates = [BACKBONE_LR, HEAD_LR]
        steps = max(int(self.trainer.estimated_stepping_batches), LEAST_STEPS)
        optimizer = torch.optim.AdamW(groups, lr=BACKBONE_LR, weight_decay=WEIGHT_DECAY)
        cycle = torch.optim.lr_scheduler.OneCycleLR(optimizer, rates, total_steps=steps, pct_start=WARM_UP)
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": cycle, "interval": "step"}}


class Steps(pl.Callback):
    """Counts a trainer's steps on a progress bar.

    Args:
        bar: that is shown meanwhile.
        name: of what is trained.
    """

    def __init__(self, bar: Progress, name: str) -> None:
        self.bar, self.task = bar, bar.add_task(name, total=None)

    def on_train_start(self, trainer: pl.Trainer, pl_module: pl.LightningModule) -> None:
        """Now it is known how many there are."""
        self.bar.update(self.task, total=trainer.estimated_stepping_batches)

    def on_train_batch_end(self, trainer: pl.Trainer, *_: Any, **__: Any) -> None:
        """Perhaps one step further: a step may be of several batches."""
        self.bar.update(self.task, completed=trainer.global_step)


def finetune(tuning: BackboneTuning, trainer: pl.Trainer, images: TuningSet, augment: Augment, seed: int) -> Backbone:
    """The tuned backbone, frozen again.

    No heads of before fit it. Nor has any training image an honest score afterwards, as every fold has been seen: weigh
    the views on validation.

    Args:
        tuning: of a copy of the pretrained backbone; changed in place.
        trainer: freshly made; its epochs have 40 steps of 32 images each.
        images: of the arm.
        augment: an image ``(S, S, 3)`` uint8 and a seed to another view of it.
        seed: of the batches; dropout draws from torch's generator, which the caller seeds.
    """
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
        trainer.callbacks.append(Steps(bar, "tuning the backbone"))  # type: ignore[attr-defined]
        trainer.fit(tuning, DataLoader(PixelBatches(images, augment, seed), batch_size=None))
    return tuning.backbone.cpu().eval().requires_grad_(False)
