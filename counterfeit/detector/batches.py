"""What one arm trains on, and the batches drawn from it: images, patches with known masks, bags of patches without."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from counterfeit.backbone import Embeddings
from counterfeit.detector.heads import with_distances

Batch = dict[str, Tensor]
POSITIVE, NEGATIVE = 0.6, 0.02  # share of the donor in a patch above and below which its label is taken as known


@dataclass(frozen=True)
class TrainingSet:
    """Embedded training images of one arm, augmented views as images of their own.

    Attributes:
        embeddings: of ``M`` images.
        label: ``(M,)``, genuine = 0, counterfeit = 1.
        weight: ``(M,)`` weight in the image head; the classes are balanced afterwards.
        folds: ``(M, 2)`` cross-fitting folds of all an image was made from (host and donor; twice its own if real).
        masks: ``(M, G, G)`` share of the donor in each patch; NaN throughout where it is not known.
        real: ``(M,)`` whether the image is a photograph.
        original: ``(M,)`` whether it is a photograph itself and not an augmented view of one.
        dose: weight asked for what is learned from the masks, see :func:`part_weights`; 0 where none are known.
    """

    embeddings: Embeddings
    label: NDArray[np.int64]
    weight: NDArray[np.float64]
    folds: NDArray[np.int64]
    masks: NDArray[np.float32]
    real: NDArray[np.bool_]
    original: NDArray[np.bool_]
    dose: float = 0.0

    def __len__(self) -> int:
        return len(self.label)

    @property
    def adds_masks_alone(self) -> bool:
        """Whether images were added to the photographs, and only the mask heads learn from them."""
        return not self.real.all() and not self.weight[~self.real].any()

    @staticmethod
    def concatenate(parts: list["TrainingSet"]) -> "TrainingSet":
        """All parts, one after the other."""
        columns = ("label", "weight", "folds", "masks", "real", "original")
        arrays = {name: np.concatenate([getattr(part, name) for part in parts]) for name in columns}
        dose = max(part.dose for part in parts)
        return TrainingSet(Embeddings.concatenate([part.embeddings for part in parts]), **arrays, dose=dose)

    def image_probability(self) -> NDArray[np.float64]:
        """``(M,)`` chance of each image in a draw in which both classes weigh the same."""
        probability = self.weight.astype(np.float64).copy()
        for label in (0, 1):
            total = probability[self.label == label].sum()
            probability[self.label == label] *= 0.5 / total if total else 0.0
        shared: NDArray[np.float64] = probability / probability.sum()
        return shared


class HeadBatches(IterableDataset[Batch]):
    """A fixed number of batches, each a pure function of the seed and its number.

    Args:
        training: the images of the arm.
        logarithms: ``(M, G, G, 3)`` of their patches' distances from genuine ones, cross-fitted.
        folds: number of heads.
        steps: batches an epoch.
        images: images in a batch.
        patches: patches with known label in a batch.
        bags: whole images of each class in a batch for multiple-instance learning; 0 where a class is absent.
        seed: source of all randomness.
    """

    def __init__(
        self,
        training: TrainingSet,
        logarithms: Tensor,
        folds: int,
        steps: int,
        *,
        images: int,
        patches: int,
        bags: int,
        seed: int,
    ) -> None:
        self.training, self.steps, self.seed = training, steps, seed
        self._patches = torch.from_numpy(training.embeddings.patches).flatten(1, 2)
        self._logarithms = logarithms.flatten(1, 2)
        self.images, self.patches, self.bags = images, patches, bags
        self.epoch = 0
        self._cumulative = np.cumsum(training.image_probability())
        # Column k is 0 where fold k must not learn from the image.
        self._member = 1.0 - (np.arange(folds)[None, None] == training.folds[:, :, None]).any(1).astype(np.float32)
        self._pools = _patch_pools(training)
        real = training.real
        self._bags = [np.flatnonzero(real & (training.label == label)) for label in (0, 1)]

    def __len__(self) -> int:
        return self.steps

    def __iter__(self) -> Iterator[Batch]:
        epoch, self.epoch = self.epoch, self.epoch + 1
        for step in range(self.steps):
            yield self.draw(np.random.default_rng([self.seed, epoch, step]))

    def draw(self, generator: np.random.Generator) -> Batch:
        """One batch: ``pooled``, ``patch`` and ``bag``, each with its ``label`` and its ``member`` mask."""
        training = self.training
        rows = np.searchsorted(self._cumulative, generator.random(self.images) * self._cumulative[-1], side="right")
        batch = {
            "pooled": training.embeddings.pooled[rows],
            "label": training.label[rows],
            "member": self._member[rows],
        }
        if all(len(pool) for pool in self._bags):
            bag = np.concatenate([generator.choice(pool, self.bags) for pool in self._bags])
        else:
            bag = np.empty(0, np.int64)
        batch |= {"bag_label": training.label[bag], "bag_member": self._member[bag]}
        # Last, so that arms that differ in their masks alone share all other draws.
        image, cell, label = self._draw_patches(generator)
        batch |= {"patch_label": label, "patch_member": self._member[image]}
        drawn = {name: torch.from_numpy(np.asarray(value, np.float32)) for name, value in batch.items()}
        return drawn | {"bag": self._seen(bag), "patch": self._seen(image, cell)}

    def _seen(self, *place: NDArray[np.int64]) -> Tensor:
        """What the heads know of the patches of whole images, or of one patch of each."""
        index = tuple(torch.from_numpy(number) for number in place)
        return with_distances(self._patches[index], self._logarithms[index])

    def _draw_patches(
        self, generator: np.random.Generator
    ) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
        positive, *negative = self._pools
        if not len(positive):
            return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.float32)
        count = self.patches // 3
        pools = [positive, *(pool for pool in negative if len(pool))]
        each = (self.patches - count) // (len(pools) - 1)
        drawn = [
            pool[generator.integers(len(pool), size=n)] for pool, n in zip(pools, [count] + [each] * 9, strict=False)
        ]
        label = np.zeros(sum(map(len, drawn)), np.float32)
        label[:count] = 1
        rows = np.concatenate(drawn)
        cells = self.training.masks[0].size
        return rows // cells, rows % cells, label


def _patch_pools(training: TrainingSet) -> list[NDArray[np.int64]]:
    """Flat patch numbers: positive; negative of genuine photographs, around the evidence, of genuine composites."""
    masks = training.masks.reshape(len(training), -1)
    counterfeit = (training.label == 1)[:, None]
    with np.errstate(invalid="ignore"):  # NaN, not known, is neither above nor below
        positive = counterfeit & (masks > POSITIVE)
        around = counterfeit & (masks < NEGATIVE)
    genuine = np.broadcast_to(~counterfeit, masks.shape)
    real = training.real[:, None]
    return [np.flatnonzero(pool) for pool in (positive, genuine & real, around, genuine & ~real)]
