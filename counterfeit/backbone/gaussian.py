"""How genuine images vary as a whole: the covariance of their pooled features."""

import torch
from torch import Tensor, nn

SHRINKAGE = 5.0  # of the mean variance, added everywhere: a handful of counterfeits says nothing of small directions


class GenuineGaussian(nn.Module):
    """A shrunken covariance for every cross-fitting fold, of the genuine images in the others, to whiten a linear head.

    With few counterfeits and many genuine images, the ways in which genuine images vary are the best known part of the
    problem. A linear head that learns on whitened features starts from them, as linear discriminant analysis does.

    The covariance is kept as its largest directions and one variance for all others, which the kept ones get on top.

    Args:
        features: length of a feature vector.
        rank: directions kept.
        folds: number of cross-fitting folds.
    """

    basis: Tensor
    variance: Tensor
    rest: Tensor
    average: Tensor

    def __init__(self, features: int, rank: int, folds: int) -> None:
        super().__init__()
        self.register_buffer("basis", torch.zeros(folds, rank, features))
        self.register_buffer("variance", torch.zeros(folds, rank))
        self.register_buffer("rest", torch.ones(folds))
        self.register_buffer("average", torch.ones(folds))

    def fit(self, features: Tensor, fold: Tensor) -> None:
        """Estimate the covariances.

        Args:
            features: ``(N, D)`` of genuine images.
            fold: ``(N,)`` cross-fitting fold of each.
        """
        for number in range(len(self.basis)):
            others = features[fold != number]
            self._fit_fold(number, others if len(others) > 1 else features)

    def _fit_fold(self, number: int, features: Tensor) -> None:
        _, singular, directions = torch.linalg.svd(features - features.mean(0), full_matrices=False)
        variance = singular.square() / len(features)
        kept, width = min(self.basis.shape[1], len(variance)), features.shape[1]
        self.basis[number].zero_()[:kept] = directions[:kept]
        self.variance[number].zero_()[:kept] = variance[:kept]
        self.rest[number] = variance[kept:].sum() / max(width - kept, 1)
        self.average[number] = variance.sum().clamp_min(1e-6) / width

    def whitened(self, weight: Tensor) -> Tensor:
        """Weights for plain features that do what ``weight`` does on whitened ones.

        Args:
            weight: ``(D, folds)`` for features in which genuine images have variance 1 on average.

        Returns:
            ``(D, folds)``.
        """
        width = self.basis.shape[2]
        floor = self.rest + SHRINKAGE * self.average
        small, gain = floor.rsqrt(), (self.variance + floor[:, None]).rsqrt()
        remaining = (self.average * width - self.variance.sum(1)).clamp_min(0) / floor
        scale = ((remaining + (self.variance * gain.square()).sum(1)) / width).rsqrt()
        along = torch.einsum("krd,dk->kr", self.basis, weight) * (gain - small[:, None])
        return (weight * small + torch.einsum("kr,krd->dk", along, self.basis)) * scale
