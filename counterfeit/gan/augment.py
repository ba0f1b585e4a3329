"""What the networks see in training: crops centred on evidence, translated and cut out; all randomness is explicit."""

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import IterableDataset

from counterfeit.gan.networks import LATENT
from counterfeit.gan.transplant import Composites, Sources, draw_composites, to_float

Batch = dict[str, Tensor]

TRANSLATION = 1 / 8  # largest shift, as a part of the side
CUTOUT = 1 / 4  # side of the hole: the usual 1/2 would hide the evidence in most crops


def draw_augmentation(count: int, size: int, generator: torch.Generator) -> Tensor:
    """Random shifts and holes for :func:`diff_augment`.

    Args:
        count: number of images.
        size: side of the images in pixels.
        generator: source of all randomness.

    Returns:
        ``(count, 4)`` int64: shift down, shift right, top and left of the hole, in pixels.
    """
    reach = int(size * TRANSLATION)
    shift = torch.randint(-reach, reach + 1, (count, 2), generator=generator)
    hole = int(size * CUTOUT)
    corner = torch.randint(-(hole // 2), size - hole // 2, (count, 2), generator=generator)
    return torch.cat([shift, corner], dim=1)


def diff_augment(images: Tensor, parameters: Tensor) -> Tensor:
    """Translation and cutout that gradients pass through (Zhao et al. 2020, DiffAugment).

    Args:
        images: ``(N, C, S, S)``.
        parameters: ``(N, 4)`` of :func:`draw_augmentation`; the same tensor treats two batches alike.

    Returns:
        ``(N, C, S, S)``; what is shifted in or cut out is 0.
    """
    size = images.shape[-1]
    place = torch.arange(size, device=images.device)
    row, column = (place[None] - parameters[:, i, None] for i in (0, 1))
    shifted = images.gather(2, row.clamp(0, size - 1)[:, None, :, None].expand_as(images))
    shifted = shifted.gather(3, column.clamp(0, size - 1)[:, None, None, :].expand_as(images))
    visible = ((row >= 0) & (row < size))[:, :, None] & ((column >= 0) & (column < size))[:, None, :]
    top, left = (place[None] - parameters[:, i, None] for i in (2, 3))
    hole = int(size * CUTOUT)
    cut = ((top >= 0) & (top < hole))[:, :, None] & ((left >= 0) & (left < hole))[:, None, :]
    return shifted * (visible & ~cut)[:, None]


def draw_corners(weight: Tensor, size: int, crop: int, generator: torch.Generator) -> Tensor:
    """Top left corners of crops centred on random places of high weight.

    Args:
        weight: ``(N, G, G)``, at least 0: chance of each cell to be the centre; all 0 means anywhere.
        size: side of the images in pixels, which the ``G`` cells cover.
        crop: side of the crops in pixels, at most ``size``.
        generator: source of all randomness.

    Returns:
        ``(N, 2)`` int64, moved inwards where a crop would leave the image.
    """
    grid = weight.shape[-1]
    cell = torch.multinomial(weight.flatten(1) + 1e-8, 1, generator=generator)[:, 0]
    centre = torch.stack([cell // grid, cell % grid], dim=1) + torch.rand(len(cell), 2, generator=generator)
    return (centre * (size / grid) - crop / 2).long().clamp(0, size - crop)


def take_crops(images: Tensor, corners: Tensor, crop: int) -> Tensor:
    """Crops ``(N, C, crop, crop)`` of images ``(N, C, S, S)`` at corners ``(N, 2)``."""
    pairs = zip(images, corners.tolist(), strict=True)
    return torch.stack([image[:, y : y + crop, x : x + crop] for image, (y, x) in pairs])


def highest_cells(evidence: Tensor, quantile: float = 0.85) -> Tensor:
    """Where evidence ``(N, G, G)`` lies above its quantile in each image: ``(N, G, G)`` in {0, 1}."""
    threshold = evidence.flatten(1).quantile(quantile, dim=1)
    return (evidence >= threshold[:, None, None]).float()


def mask_cells(masks: Tensor, grid: int) -> Tensor:
    """Masks ``(N, 1, S, S)`` as weights of cells ``(N, grid, grid)``, strong in the middle of a transplant."""
    return F.adaptive_avg_pool2d(masks, grid)[:, 0].square()


def draw_pool(sources: Sources, count: int, seed: int, flips: bool) -> Composites:
    """The composites that a training sees: ``count`` of counterfeits, then ``count`` of genuine donors."""
    generator = np.random.default_rng([seed, 7])
    return Composites.concatenate([draw_composites(sources, label, count, generator, flips) for label in (1, 0)])


class RefinerBatches(IterableDataset[Batch]):
    """Crops around the evidence of composites and of real images of the same label, half of each label.

    A batch carries every random number that its step needs, so a step depends on the state of the networks, the seed
    and its number alone, and a resumed run equals an uninterrupted one.

    Args:
        sources: the real images.
        pool: composites of both labels.
        crop: side of the crops in pixels; smaller images are taken whole.
        batch_size: even.
        steps: numbers of the steps to be taken.
        seed: source of all randomness.
        flips: whether crops may be mirrored.
    """

    def __init__(
        self, sources: Sources, pool: Composites, crop: int, batch_size: int, steps: range, seed: int, flips: bool
    ) -> None:
        self.sources, self.pool, self.steps, self.seed, self.flips = sources, pool, steps, seed, flips
        self.size = sources.pixels.shape[1]
        self.crop = min(crop, self.size)
        self.label = torch.arange(batch_size) % 2
        self.real_cells = highest_cells(torch.from_numpy(sources.evidence))
        self.pool_cells = mask_cells(pool.masks, self.real_cells.shape[-1])

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Batch]:
        return (self.batch(step) for step in self.steps)

    def batch(self, step: int) -> Batch:
        """The batch of one step: ``composite``, ``mask``, ``real``, ``label``, ``z`` and both augmentations."""
        generator = step_generator(self.seed, step)
        count = len(self.label)
        composite, mask = self.composites(draw_rows(self.pool.label, self.label, generator), generator)
        real = self.reals(draw_rows(self.sources.label, self.label, generator), generator)
        if self.flips:
            mirrored = torch.rand(2, count, 1, 1, 1, generator=generator) < 0.5
            composite, mask = (torch.where(mirrored[0], x.flip(3), x) for x in (composite, mask))
            real = torch.where(mirrored[1], real.flip(3), real)
        return {
            "composite": composite,
            "mask": mask,
            "real": real,
            "label": self.label,
            "z": torch.randn(2, count, LATENT, generator=generator),
            "augment_fake": draw_augmentation(count, self.crop, generator),
            "augment_real": draw_augmentation(count, self.crop, generator),
        }

    def composites(self, rows: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        """Crops ``(N, 3, C, C)`` of the pool's images and ``(N, 1, C, C)`` of their masks."""
        corners = draw_corners(self.pool_cells[rows], self.size, self.crop, generator)
        images, masks = (take_crops(x[rows], corners, self.crop) for x in (self.pool.images, self.pool.masks))
        return images, masks

    def reals(self, rows: Tensor, generator: torch.Generator) -> Tensor:
        """Crops ``(N, 3, C, C)`` of real images."""
        corners = draw_corners(self.real_cells[rows], self.size, self.crop, generator)
        return take_crops(to_float(self.sources.pixels[rows.numpy()]), corners, self.crop)


def step_generator(seed: int, step: int) -> torch.Generator:
    """The source of all randomness of one training step."""
    mixed = int(np.random.SeedSequence([seed, step]).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(mixed >> 1)


def draw_rows(labels: NDArray[np.int64], wanted: Tensor, generator: torch.Generator) -> Tensor:
    """For each wanted label ``(N,)`` a random row of that label among ``labels``: ``(N,)``."""
    rows = {c: torch.from_numpy(np.flatnonzero(labels == c)) for c in set(wanted.tolist())}
    share = torch.rand(len(wanted), generator=generator)
    return torch.stack([rows[c][int(s * len(rows[c]))] for c, s in zip(wanted.tolist(), share.tolist(), strict=True)])
