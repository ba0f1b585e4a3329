"""How genuine patches vary at every place of the image: where products align, a sharper question than "anywhere"."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from counterfeit.backbone.scales import floored, patch_sample

NEIGHBOURHOOD = 50.0  # genuine images that the covariance of the 3 x 3 places around counts as
EVERYWHERE = 1.0  # genuine images that the mean covariance of all places counts as: orders what few leave open
FLOOR = 0.02  # of the mean variance, added everywhere: directions almost without any would decide alone
QUIET = 0.05  # of the variance of all places, the least that any counts as: plain backgrounds hardly vary
CHANNELS = 256  # compared at most: a covariance has the square of them at every place
DIRECTIONS = 4  # one in so many is kept, those along which genuine patches vary least
CHUNK = 128  # images in one product


class GenuinePlaces(nn.Module):
    """A Gaussian of genuine patches at every place, and Mahalanobis distances from it (PaDiM, Defard et al. 2021).

    Distances are measured along a quarter of the directions, those in which genuine patches vary least (Rippel et al.
    2021): they tell counterfeits as well as all of them, with a quarter of the numbers.

    A genuine training image is compared with Gaussians of the other cross-fitting folds only. These are as many numbers
    again for every fold, too many for a checkpoint: who scores training images after loading brings them along.

    Args:
        features: length of a patch feature; of more than 256 channels, 256 evenly spaced ones are compared.
        grid: places a side.
        folds: number of cross-fitting folds.

    Attributes:
        average: ``(P, C)`` of genuine patches at each of the ``P`` places.
        whitening: ``(P, K, C)`` what takes patches less the average, in units of ``scale``, to ``K`` directions of unit
            variance.
        scale: mean deviation of the channels; without it small features would leave the range of half precision.
        crossed: average and whitening of the Gaussians without each fold, empty before :meth:`fit`.
    """

    average: Tensor
    whitening: Tensor
    scale: Tensor
    channels: Tensor

    def __init__(self, features: int, grid: int, folds: int) -> None:
        super().__init__()
        self.grid, self.folds, width = grid, folds, min(features, CHANNELS)
        kept = -(-width // DIRECTIONS)
        self.every = width == features
        channels = torch.linspace(0, features - 1, width).round().long()
        self.register_buffer("channels", channels, persistent=False)
        self.register_buffer("average", torch.zeros(grid**2, width))
        self.register_buffer("whitening", torch.zeros(grid**2, kept, width, dtype=torch.half))
        self.register_buffer("scale", torch.ones(()))
        self.crossed: list[tuple[Tensor, Tensor]] = []

    def fit(self, patches: Tensor, fold: Tensor) -> None:
        """Estimate the Gaussians of all genuine images, and those without each fold.

        Args:
            patches: ``(N, G, G, C)`` of genuine training images.
            fold: ``(N,)`` cross-fitting fold of each image.
        """
        sample = patch_sample(patches)[:, self.channels]
        mean, std = sample.mean(0), floored(sample.std(0))  # to sum up small numbers; no Gaussian keeps these units
        self.scale.copy_(std.mean())
        moments = self._moments(patches, fold, mean, std)
        directions = self.whitening.shape[1]

        def gaussian(left_out: int | None = None) -> tuple[Tensor, Tensor]:
            average, whitening = moments.gaussians(directions, left_out)
            return average * std + mean, (whitening * (self.scale / std)).to(self.whitening)

        average, whitening = gaussian()
        self.average.copy_(average)
        self.whitening.copy_(whitening)
        self.crossed = [gaussian(number) for number in range(self.folds)]

    def take_over(self, known: "GenuinePlaces") -> None:
        """Become like another, able to leave out folds as well."""
        self.load_state_dict(known.state_dict())
        self.crossed = known.crossed

    def forward(self, patches: Tensor, fold: Tensor | None = None) -> Tensor:
        """Distances of every patch from the genuine ones at its place.

        Args:
            patches: ``(N, G, G, C)``.
            fold: ``(N,)`` fold to leave out for each image; ``None`` compares with all genuine images.

        Returns:
            ``(N, G, G)``, root mean squares over the directions in units of their deviation: below 1 in genuine images.
        """
        if fold is None:
            return self._distances(patches, self.average, self.whitening)
        if not self.crossed:
            raise RuntimeError(
                "the Gaussians without each fold are not in a checkpoint: set `crossed` to those of the fit"
            )
        found = patches.new_empty(patches.shape[:3], dtype=torch.float)
        for number, gaussian in enumerate(self.crossed):
            rows = fold == number
            found[rows] = self._distances(patches[rows], *(x.to(patches.device) for x in gaussian))
        return found

    def _distances(self, patches: Tensor, average: Tensor, whitening: Tensor) -> Tensor:
        chosen = patches if self.every else patches[..., self.channels]
        at_place = chosen.float().flatten(1, 2).permute(1, 2, 0)  # images last: a scored batch has few of them
        white = torch.bmm(whitening.float(), (at_place - average[:, :, None]) / self.scale)
        return white.square().mean(1).clamp_min(1e-12).sqrt().T.reshape(-1, self.grid, self.grid)

    def _moments(self, patches: Tensor, fold: Tensor, mean: Tensor, std: Tensor) -> "_Moments":
        places, width = self.average.shape
        total, square = torch.zeros(self.folds, places, width), torch.zeros(self.folds, places, width, width)
        for number in range(self.folds):
            for rows in torch.split(torch.nonzero(fold == number)[:, 0], CHUNK):
                scaled = (patches[rows][..., self.channels].float() - mean) / std
                at_place = scaled.flatten(1, 2).transpose(0, 1)
                total[number] += at_place.sum(1)
                square[number].baddbmm_(at_place.mT, at_place)
        return _Moments(torch.bincount(fold, minlength=self.folds).float(), total, square)


@dataclass(frozen=True)
class _Moments:
    """Sums over the genuine images of each fold, of patches in units of their channels.

    Attributes:
        count: ``(K,)`` images.
        total: ``(K, P, C)`` sums of patches.
        square: ``(K, P, C, C)`` sums of their outer products.
    """

    count: Tensor
    total: Tensor
    square: Tensor

    def gaussians(self, directions: int, left_out: int | None = None) -> tuple[Tensor, Tensor]:
        """Averages and what takes columns less these to unit variance along the directions of least variance.

        Args:
            directions: how many of them, ``K``.
            left_out: a fold that is not counted.

        Returns:
            ``(P, C)`` and ``(P, K, C)``.
        """
        kept = torch.ones(len(self.count))
        if left_out is not None and self.count[left_out] < self.count.sum():  # or all images are of one fold
            kept[left_out] = 0.0
        count, total, square = (torch.tensordot(kept, sums, 1) for sums in (self.count, self.total, self.square))
        average = total / count
        square.div_(count)
        # Each fold's own: units that know an image turn the directions, which tells it from one to come.
        unit = floored((square.diagonal(dim1=1, dim2=2).mean(0) - average.mean(0).square()).clamp_min(0).sqrt())
        covariance = square.sub_(average[:, :, None] * average[:, None])
        covariance.div_(unit[:, None] * unit)
        everywhere, trusted = covariance.mean(0), float(count) + NEIGHBOURHOOD
        covariance.lerp_(_around(covariance), NEIGHBOURHOOD / trusted)
        covariance.lerp_(everywhere, EVERYWHERE / (EVERYWHERE + trusted))
        variance = covariance.diagonal(dim1=1, dim2=2).mean(1)
        variance = variance.clamp_min(max(QUIET * float(variance.mean()), 1e-6))
        covariance.diagonal(dim1=1, dim2=2).add_(FLOOR * variance[:, None])
        whitening = covariance.new_empty(len(covariance), directions, covariance.shape[2])
        for place, values in enumerate(covariance):  # one by one: some builds of MKL hang on a batch
            along, direction = torch.linalg.eigh(values)
            whitening[place] = (direction[:, :directions] / (unit[:, None] * along[:directions].sqrt())).T
        return average, whitening


def _around(values: Tensor) -> Tensor:
    """Means over the 3 x 3 places around each place, fewer at the border: ``(P, C, C)``, whatever its values are."""
    grid = math.isqrt(len(values))
    sums, counted = values.reshape(grid, grid, -1), torch.ones(grid, grid, 1)
    for dim in (0, 1):
        sums, counted = _with_neighbours(sums, dim), _with_neighbours(counted, dim)
    return sums.div_(counted).view_as(values)


def _with_neighbours(values: Tensor, dim: int) -> Tensor:
    """Each slice and those before and behind it, added up; pooling takes four times as long in this layout."""
    sums, length = values.clone(), values.shape[dim] - 1
    sums.narrow(dim, 1, length).add_(values.narrow(dim, 0, length))
    sums.narrow(dim, 0, length).add_(values.narrow(dim, 1, length))
    return sums
