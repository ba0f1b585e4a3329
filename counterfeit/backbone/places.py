"""How genuine patches vary at every place of the image: where products align, a sharper question than "anywhere"."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterfeit.backbone.scales import floored, patch_sample

NEIGHBOURHOOD = 50.0  # genuine images that the covariance of the 3 x 3 places around counts as
FLOOR = 0.02  # of the mean variance, added everywhere: directions almost without any would decide alone
CHANNELS = 256  # compared at most: a covariance has the square of them at every place
CHUNK = 128  # images in one product


class GenuinePlaces(nn.Module):
    """A Gaussian of genuine patches at every place, and Mahalanobis distances from it (PaDiM, Defard et al. 2021).

    A genuine training image is compared with Gaussians of the other cross-fitting folds only. These are as many numbers
    again for every fold, too many for a checkpoint: after loading, :meth:`cross_fit` makes them again where they are
    needed.

    Args:
        features: length of a patch feature; of more than 256 channels, 256 evenly spaced ones are compared.
        grid: places a side.
        folds: number of cross-fitting folds.
    """

    average: Tensor
    whitening: Tensor
    channels: Tensor

    def __init__(self, features: int, grid: int, folds: int) -> None:
        super().__init__()
        self.grid, self.folds, width = grid, folds, min(features, CHANNELS)
        channels = torch.linspace(0, features - 1, width).round().long()
        self.register_buffer("channels", channels, persistent=False)
        self.register_buffer("average", torch.zeros(grid**2, width))
        self.register_buffer("whitening", torch.zeros(grid**2, width, width, dtype=torch.half))
        self.crossed: list[tuple[Tensor, Tensor]] = []

    def fit(self, patches: Tensor, fold: Tensor) -> None:
        """Estimate the Gaussians of all genuine images, and those without each fold.

        Args:
            patches: ``(N, G, G, C)`` of genuine training images.
            fold: ``(N,)`` cross-fitting fold of each image.
        """
        moments = _Moments.of(patches, fold, self.folds, self.channels)
        average, whitening = moments.gaussians()
        self.average.copy_(average)
        self.whitening.copy_(whitening)
        self._cross(moments)

    def cross_fit(self, patches: Tensor, fold: Tensor) -> None:
        """Estimate again, as :meth:`fit` did, what a checkpoint does not carry."""
        self._cross(_Moments.of(patches, fold, self.folds, self.channels))

    def _cross(self, moments: "_Moments") -> None:
        without = (moments.gaussians(number) for number in range(self.folds))
        self.crossed = [(average, whitening.to(self.whitening)) for average, whitening in without]

    def forward(self, patches: Tensor, fold: Tensor | None = None) -> Tensor:
        """Distances of every patch from the genuine ones at its place.

        Args:
            patches: ``(N, G, G, C)``.
            fold: ``(N,)`` fold to leave out for each image; ``None`` compares with all genuine images.

        Returns:
            ``(N, G, G)``, in root mean squares of whitened channels: a little below 1 in genuine images.
        """
        flat = patches[..., self.channels].float().flatten(1, 2).transpose(0, 1)
        if fold is None:
            return self._distances(flat, self.average, self.whitening)
        if not self.crossed:
            raise RuntimeError("the Gaussians without each fold are not in a checkpoint: call cross_fit first")
        found = flat.new_empty(len(patches), self.grid, self.grid)
        for number, gaussian in enumerate(self.crossed):
            rows = fold == number
            average, whitening = (x.to(flat.device) for x in gaussian)
            found[rows] = self._distances(flat[:, rows], average, whitening)
        return found

    def _distances(self, flat: Tensor, average: Tensor, whitening: Tensor) -> Tensor:
        white = torch.bmm(flat - average[:, None], whitening.to(flat.dtype))
        return white.square().mean(-1).clamp_min(1e-12).sqrt().T.reshape(-1, self.grid, self.grid)


@dataclass(frozen=True)
class _Moments:
    """Sums over the genuine images of each fold, of patches in units of their channels.

    Attributes:
        mean: ``(C,)`` of all patches, and their deviations.
        std: ``(C,)``.
        count: ``(K,)`` images.
        total: ``(K, P, C)`` sums of patches.
        square: ``(K, P, C, C)`` sums of their outer products.
    """

    mean: Tensor
    std: Tensor
    count: Tensor
    total: Tensor
    square: Tensor

    @staticmethod
    def of(patches: Tensor, fold: Tensor, folds: int, channels: Tensor) -> "_Moments":
        channels = channels.to(patches.device)
        sample = patch_sample(patches)[:, channels]
        mean, std = sample.mean(0), floored(sample.std(0))
        places, width = patches.shape[1] * patches.shape[2], len(channels)
        total, square = torch.zeros(folds, places, width), torch.zeros(folds, places, width, width)
        for number in range(folds):
            for rows in torch.split(torch.nonzero(fold == number)[:, 0], CHUNK):
                flat = (patches[rows][..., channels].float() - mean) / std
                flat = flat.flatten(1, 2).transpose(0, 1)
                total[number] += flat.sum(1)
                square[number].baddbmm_(flat.mT, flat)
        return _Moments(mean, std, torch.bincount(fold, minlength=folds).float(), total, square)

    def gaussians(self, left_out: int | None = None) -> tuple[Tensor, Tensor]:
        """Averages ``(P, C)`` and what takes patches less these to unit variance, ``(P, C, C)``, without one fold."""
        kept = [number for number in range(len(self.count)) if number != left_out and self.count[number]]
        chosen = kept or range(len(self.count))  # all images are of one fold
        count, total, square = (x[list(chosen)].sum(0) for x in (self.count, self.total, self.square))
        average = total / count
        covariance = square / count - average[:, :, None] * average[:, None]
        grid = math.isqrt(len(average))
        maps = covariance.flatten(1).T.reshape(1, -1, grid, grid)
        around = F.avg_pool2d(maps, 3, 1, 1, count_include_pad=False)[0].flatten(1).T.view_as(covariance)
        covariance = covariance.lerp(around, NEIGHBOURHOOD / (NEIGHBOURHOOD + float(count))).double()
        variance = covariance.diagonal(dim1=1, dim2=2).mean(1).clamp_min(1e-6)
        one = torch.eye(covariance.shape[1], dtype=torch.double)
        whitening = torch.empty_like(square)
        for place in range(len(covariance)):  # one by one: some builds of MKL hang on a batch
            root = torch.linalg.cholesky(covariance[place] + FLOOR * variance[place] * one)
            whitening[place] = torch.linalg.solve_triangular(root, one, upper=False).T
        return self.mean + self.std * average, whitening / self.std[:, None]
