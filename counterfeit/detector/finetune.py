"""Fine-tune the last stages of the backbone: a short second phase on pixels, after which all heads are fitted anew."""

import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytorch_lightning as pl
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from counterfeit.backbone import Backbone
from counterfeit.detector.batches import Batch
from counterfeit.detector.module import Detector, member_loss

Augment = Callable[[NDArray[np.uint8], int], NDArray[np.uint8]]
STEPS_PER_EPOCH = 10
IMAGES = 16  # in a batch
BACKBONE_LR, HEADS_LR = 1e-4, 3e-4  # small: pretrained features are better than what a handful of counterfeits teach


@dataclass(frozen=True)
class TuningSet:
    """Training images of one arm as pixels.

    Attributes:
        pixels: ``(M, S, S, 3)`` uint8.
        label: ``(M,)``, genuine = 0, counterfeit = 1.
        probability: ``(M,)`` chance of each image in a draw, with sum 1.
        folds: ``(M, 2)`` cross-fitting folds that an image was made from.
    """

    pixels: NDArray[np.uint8]
    label: NDArray[np.int64]
    probability: NDArray[np.float64]
    folds: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.label)


class PixelBatches(IterableDataset[Batch]):
    """Augmented images, each batch a pure function of the seed and its number.

    Args:
        images: of the arm.
        folds: number of heads.
        augment: an image ``(S, S, 3)`` uint8 and a seed to another view of it.
        seed: source of all randomness.
    """

    def __init__(self, images: TuningSet, folds: int, augment: Augment, seed: int) -> None:
        self.images, self.augment, self.seed, self.epoch = images, augment, seed, 0
        self._member = 1.0 - (np.arange(folds)[None, None] == images.folds[:, :, None]).any(1).astype(np.float32)

    def __len__(self) -> int:
        return STEPS_PER_EPOCH

    def __iter__(self) -> Iterator[Batch]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        for step in range(STEPS_PER_EPOCH):
            yield self.draw(np.random.default_rng([self.seed, epoch, step, 3]))

    def draw(self, generator: np.random.Generator) -> Batch:
        """One batch: ``images`` ``(N, 3, S, S)`` in [0, 1], with their ``label`` and their ``member`` mask."""
        images = self.images
        rows = generator.choice(len(images), IMAGES, p=images.probability)
        seeds = generator.integers(2**48, size=IMAGES)
        views = [self.augment(images.pixels[row], int(seed)) for row, seed in zip(rows, seeds, strict=True)]
        return {
            "images": torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float() / 255,
            "label": torch.from_numpy(images.label[rows]).float(),
            "member": torch.from_numpy(self._member[rows]),
        }


class BackboneTuning(pl.LightningModule):
    """The image heads and the last stages of a backbone, copies of a trained detector's, learning jointly.

    Statistics of normalisation layers stay as they are: batches are small.

    Args:
        detector: trained on the frozen backbone.
        stages: how many stages learn, counted from the end.
    """

    def __init__(self, detector: Detector, stages: int) -> None:
        super().__init__()
        self.backbone, self.image_heads = copy.deepcopy(detector.backbone), copy.deepcopy(detector.image_heads)
        self.penalty = detector.image_penalty
        self.tuned = [parameter.requires_grad_() for parameter in self.backbone.last_stages(stages)]

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        """The image heads' loss, as in :meth:`Detector.training_step`."""
        loss = member_loss(self.image_heads(self.backbone(batch["images"])[0]), batch["label"], batch["member"])
        self.log("loss_tuning", loss, on_step=False, on_epoch=True, batch_size=len(batch["label"]))
        return loss + 0.5 * self.penalty * self.image_heads.weight.square().sum(0).mean()

    def configure_optimizers(self) -> Any:
        """Adam at a constant small learning rate, without weight decay."""
        groups = [
            {"params": self.tuned, "lr": BACKBONE_LR},
            {"params": self.image_heads.parameters(), "lr": HEADS_LR},
        ]
        return torch.optim.Adam(groups)


def finetune(detector: Detector, trainer: pl.Trainer, images: TuningSet, augment: Augment, seed: int) -> Backbone:
    """A copy of the detector's backbone with ``model.unfreeze`` stages tuned, frozen again.

    The detector is left as it is: its heads do not fit the tuned backbone. Nor has any training image an honest score
    afterwards, as every fold has been seen: weigh the views on validation.

    Args:
        detector: trained on the frozen backbone.
        trainer: freshly made; its epochs have 10 steps of 16 images each.
        images: of the arm.
        augment: an image ``(S, S, 3)`` uint8 and a seed to another view of it.
        seed: source of all randomness.
    """
    tuning = BackboneTuning(detector, int(detector.hparams["unfreeze"]))
    trainer.fit(tuning, DataLoader(PixelBatches(images, detector.folds, augment, seed), batch_size=None))
    return tuning.backbone.cpu().eval().requires_grad_(False)
