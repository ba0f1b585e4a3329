"""What the training loop asks of a generator's kind: batches, measurements, a grid of samples; here the refiner's."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from counterfeit.gan.augment import Batch, RefinerBatches, draw_corners, draw_pool, take_crops
from counterfeit.gan.health import Metrics
from counterfeit.gan.networks import LATENT
from counterfeit.gan.refiner import Refiner
from counterfeit.gan.transplant import Sources, to_pixels

PROBED = 12  # composites on which each row is measured


@dataclass(frozen=True)
class Lesson:
    """What one training learns from and how it is judged.

    Attributes:
        batches: the batches of the given steps.
        measure: metrics of the current state, for a row of ``metrics.csv``.
        grid: samples as one picture ``(H, W, 3)`` uint8.
        judge: why a history must be called failed, or ``None``; with whether no row will follow. The checks of the
            refiner unless given.
    """

    batches: Callable[[range], IterableDataset[Batch]]
    measure: Callable[[], dict[str, float]]
    grid: Callable[[], NDArray[np.uint8]]
    judge: Callable[[Sequence[Metrics], bool], str | None] | None = None


def refiner_lesson(refiner: Refiner, sources: Sources, pool: int, seed: int, flips: bool) -> Lesson:
    """Refine composites: three counterfeits above three genuine are shown; host, transplant, refined, donor.

    Args:
        refiner: to be trained.
        sources: training images of both labels.
        pool: composites of each label to learn from.
        seed: source of all randomness.
        flips: whether the product allows mirror images.
    """
    composites = draw_pool(sources, pool, seed, flips)
    few = min(PROBED // 2, pool)
    probed = torch.tensor([*range(few), *range(pool, pool + few)])  # of both labels

    def batches(steps: range) -> RefinerBatches:
        return RefinerBatches(sources, composites, refiner.size, refiner.batch_size, steps, seed, flips)

    def grid() -> NDArray[np.uint8]:
        rows = probed.view(2, -1)[:, :3].flatten()
        z = torch.randn(len(rows), LATENT, generator=torch.Generator().manual_seed(seed))
        images = composites.images[rows]
        host, donor = (sources.pixels[which[rows.numpy()]] for which in (composites.host, composites.donor))
        columns = [host, to_pixels(images), to_pixels(refiner.sample(images, composites.masks[rows], z)), donor]
        return np.concatenate([np.concatenate(list(column)) for column in columns], axis=1)

    probe = probes(batches(range(0)), probed)
    return Lesson(batches, lambda: refiner.measure(*probe), grid)


def probes(batches: RefinerBatches, rows: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Crops on which every row is measured: composites, their masks, and their donors as they were pasted.

    Args:
        batches: whose sources and pool are meant.
        rows: ``(N,)`` rows of the pool.
    """
    pool = batches.pool
    generator = torch.Generator().manual_seed(batches.seed)
    corners = draw_corners(batches.pool_cells[rows], batches.size, batches.crop, generator)
    composites, masks, donors = (
        take_crops(x[rows], corners, batches.crop) for x in (pool.images, pool.masks, pool.donated)
    )
    return composites, masks, donors
