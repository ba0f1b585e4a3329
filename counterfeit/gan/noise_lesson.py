"""What the generators from noise learn from and how they are judged: whole images and their classes."""

from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F
from torch.utils.data import IterableDataset

from counterfeit.gan.augment import Batch, draw_augmentation, draw_rows, step_generator
from counterfeit.gan.dcgan import Dcgan
from counterfeit.gan.health import WINDOW, Metrics, find_nan, recent_mean
from counterfeit.gan.lesson import Lesson
from counterfeit.gan.noise import NoiseGan
from counterfeit.gan.noise_networks import ramp
from counterfeit.gan.transplant import Sources, to_float, to_pixels

COMPARED = 64  # real and generated images that are compared for each row
SMALL = 8  # pixels a side at which they are compared
SHOWN = 8  # images of each class in a grid
COLLAPSED_SPREAD = 0.1  # distance between generated images as a part of that between real ones
WON_LOSS = 0.02  # discriminator's loss without penalties, below which the generator learns nothing more


def noise_lesson(gan: NoiseGan | Dcgan, sources: Sources, seed: int, flips: bool) -> Lesson:
    """Make whole images: real ones above generated ones are shown, a pair of rows for each class.

    Args:
        gan: to be trained.
        sources: training images; of them only pixels and labels are used, and labels are class numbers.
        seed: source of all randomness.
        flips: whether the product allows mirror images.
    """
    generator = torch.Generator().manual_seed(seed)
    compared, shown = torch.arange(COMPARED) % gan.classes, torch.arange(gan.classes).repeat_interleave(SHOWN)
    z = torch.randn(len(shown) + COMPARED, gan.latent, generator=generator)
    every = NoiseBatches(sources, gan, range(0), seed, flips)
    real = every.reals(draw_rows(sources.label, compared, generator))
    beside = every.reals(draw_rows(sources.label, shown, generator))

    def grid() -> NDArray[np.uint8]:
        rows = [to_pixels(x) for x in (beside, gan.sample(shown, z[: len(shown)]))]
        both = np.stack([x.reshape(gan.classes, SHOWN, gan.size, gan.size, 3) for x in rows], 1)
        picture: NDArray[np.uint8] = both.transpose(0, 1, 3, 2, 4, 5).reshape(-1, SHOWN * gan.size, 3)
        return picture

    def judge(history: Sequence[Metrics], finished: bool) -> str | None:
        return diagnose_noise(history, gan.total_steps)

    def measure() -> dict[str, float]:
        return compare_statistics(real, gan.sample(compared, z[len(shown) :]))

    return Lesson(lambda steps: NoiseBatches(sources, gan, steps, seed, flips), measure, grid, judge)


class NoiseBatches(IterableDataset[Batch]):
    """Real images, their classes in turn, and all random numbers that a step needs.

    Args:
        sources: training images and class numbers.
        gan: its size, classes, batch size and length of z count.
        steps: numbers of the steps to be taken.
        seed: source of all randomness.
        flips: whether images may be mirrored.
        part: which of how many equal parts of every batch, where several processes share the work.
    """

    def __init__(
        self,
        sources: Sources,
        gan: NoiseGan | Dcgan,
        steps: range,
        seed: int,
        flips: bool,
        part: tuple[int, int] = (0, 1),
    ) -> None:
        self.sources, self.steps, self.seed, self.flips, self.part = sources, steps, seed, flips, part
        self.size, self.latent = gan.size, gan.latent
        self.label = torch.arange(gan.batch_size) % gan.classes

    def __len__(self) -> int:
        return len(self.steps)

    def __iter__(self) -> Iterator[Batch]:
        return (self.batch(step) for step in self.steps)

    def batch(self, step: int) -> Batch:
        """The batch of one step: ``real``, ``label``, ``z`` and both augmentations."""
        generator = step_generator(self.seed, step)
        count = len(self.label)
        real = self.reals(draw_rows(self.sources.label, self.label, generator))
        if self.flips:
            mirrored = torch.rand(count, 1, 1, 1, generator=generator) < 0.5
            real = torch.where(mirrored, real.flip(3), real)
        whole = {
            "real": real,
            "label": self.label,
            "z": torch.randn(count, self.latent, generator=generator),
            "augment_fake": draw_augmentation(count, self.size, generator),
            "augment_real": draw_augmentation(count, self.size, generator),
        }
        rank, world = self.part
        return {name: value[rank::world] for name, value in whole.items()}

    def reals(self, rows: Tensor) -> Tensor:
        """Whole images ``(N, 3, size, size)`` in [0, 1] of some rows."""
        images = to_float(self.sources.pixels[rows.numpy()])
        return F.interpolate(images, (self.size, self.size), mode="bilinear", antialias=True, align_corners=False)


def compare_statistics(real: Tensor, generated: Tensor) -> dict[str, float]:
    """How generated images are spread beside real ones, both ``(N, 3, S, S)`` in [0, 1], at 8 x 8 pixels.

    Returns:
        ``distance``, the Fréchet distance between two Gaussians with diagonal covariance, a pixel's share of it;
        ``spread``, the mean distance between generated images as a part of that between real ones.
    """
    first, second = (F.adaptive_avg_pool2d(x, SMALL).flatten(1) for x in (real, generated))
    gap = (first.mean(0) - second.mean(0)).square() + (first.std(0) - second.std(0)).square()
    spread = torch.pdist(second).mean() / torch.pdist(first).mean().clamp_min(1e-6)
    return {"distance": gap.mean().sqrt().item(), "spread": spread.item()}


def diagnose_noise(history: Sequence[Metrics], total_steps: int) -> str | None:
    """The first reason for which the training of a generator from noise must be called failed, or ``None``.

    Args:
        history: rows, oldest first, with the columns ``step``, ``images``, ``loss_discriminator`` and ``spread``.
        total_steps: of the whole training; before its second half only numbers that are not finite are a reason, and
            the spread is not judged before classes are told: the real images differ by their classes, too.
    """
    if not history:
        return None
    if reason := find_nan(history):
        return reason
    if len(history) < 2 * WINDOW or history[-1]["step"] < total_steps / 2:
        return None
    # Means: the spread of a training from noise that ends well swings about the limit.
    spread, loss = recent_mean(history, "spread"), recent_mean(history, "loss_discriminator")
    told = ramp(int(history[-WINDOW]["step"]), total_steps) == 1
    if told and spread < COLLAPSED_SPREAD:
        return f"collapsed: generated images differ by {spread:.0%} of the difference between real ones"
    return f"discriminator_won: loss {loss:.3f}" if loss < WON_LOSS else None
