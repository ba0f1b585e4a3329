"""The learned heads, each as many times as there are cross-fitting folds, trained side by side."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterfeit.backbone import GenuineGaussian, floored

TOP_SHARE = 0.02  # of an image's patches, the highest, that decide its score
LEAST_DISTANCE = 1e-3  # a patch of the genuine bank itself has a distance of 0, which has no logarithm


class ImageHeads(nn.Module):
    """A linear layer on standardised, whitened pooled features for every fold.

    Args:
        features: length of the pooled features.
        rank: directions in which the variance of genuine images is kept.
        folds: number of heads.
    """

    std: Tensor
    centre: Tensor

    def __init__(self, features: int, rank: int, folds: int) -> None:
        super().__init__()
        self.register_buffer("std", torch.ones(features))
        self.register_buffer("centre", torch.zeros(folds, features))
        self.genuine = GenuineGaussian(features, rank, folds)
        self.weight = nn.Parameter(torch.zeros(features, folds))
        self.bias = nn.Parameter(torch.zeros(folds))

    def standardise_to(self, pooled: Tensor, label: Tensor, fold: Tensor, known: GenuineGaussian | None = None) -> None:
        """Take scale and covariance from genuine training images, and for each head the middle between the classes.

        The middle is that of the other folds' images: were it that of all, the weights could stand in for the bias by
        leaning on where a fold's own images are missing from it, and its cross-fitted scores would be turned around.

        Args:
            pooled: ``(N, D)`` of real training images.
            label: ``(N,)``, genuine = 0, counterfeit = 1.
            fold: ``(N,)`` cross-fitting fold of each.
            known: the covariance of these genuine images, where it was estimated before.
        """
        genuine = label == 0
        self.std.copy_(floored(pooled[genuine].std(0)))
        scaled = pooled / self.std
        if known is None:
            self.genuine.fit(scaled[genuine], fold[genuine])
        else:
            self.genuine.load_state_dict(known.state_dict())
        for number in range(len(self.centre)):
            others = fold != number if (fold != number).any() else fold == number
            classes = [scaled[others & (label == value)] for value in (0, 1)]
            self.centre[number] = torch.stack([part.mean(0) for part in classes if len(part)]).mean(0)

    def forward(self, pooled: Tensor) -> Tensor:
        """Logits ``(N, folds)`` of pooled features ``(N, D)``."""
        weight = self.genuine.whitened(self.weight)
        return (pooled / self.std) @ weight - (self.centre * weight.T).sum(1) + self.bias


class PatchHeads(nn.Module):
    """A perceptron with one hidden layer on standardised patches for every fold.

    Args:
        features: length of what is known of a patch, see :func:`with_distances`.
        hidden: units of the hidden layer.
        folds: number of heads.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: int, hidden: int, folds: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.first = nn.Linear(features, hidden * folds)
        self.second = nn.Parameter(torch.randn(folds, hidden) / hidden**0.5)
        self.bias = nn.Parameter(torch.zeros(folds))

    def standardise_to(self, patches: Tensor) -> None:
        """Take mean and deviation from genuine training patches ``(N, C)``."""
        self.mean.copy_(patches.mean(0))
        self.std.copy_(floored(patches.std(0)))

    def forward(self, patches: Tensor) -> Tensor:
        """Logits ``(..., folds)`` of patches ``(..., C)``."""
        weight, bias = self._standardising()
        own = torch.eye(len(self.bias), device=patches.device)[:, :, None] * self.second  # each head sees its own units
        return F.linear(torch.relu(F.linear(patches, weight, bias)), own.flatten(1), self.bias)

    def _standardising(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the first layer on patches that are not standardised: two products do all of a head."""
        weight = self.first.weight / self.std
        return weight, self.first.bias - weight @ self.mean

    def bags(self, patches: Tensor) -> Tensor:
        """Mean of the highest logits of whole images, ``(N, P, C)`` to ``(N, folds)``.

        The same as ``top_mean(self(patches))``, at a third of its cost in training: only the highest patches have a
        gradient, so the others are seen without one.
        """
        with torch.no_grad():
            logits = self(patches)
            highest = logits.topk(top_count(logits.shape[1]), dim=1).indices
        rows = torch.arange(len(patches), device=patches.device).view(-1, 1, 1)
        weight, bias = (x.view(*self.second.shape, *x.shape[1:]) for x in self._standardising())
        hidden = torch.relu(torch.einsum("nckf,khf->nckh", patches[rows, highest], weight) + bias)
        return ((hidden * self.second).sum(-1) + self.bias).mean(1)


def with_distances(patches: Tensor, logarithms: Tensor) -> Tensor:
    """What the patch heads know of a patch: its features, and how far it is from genuine ones.

    A head that sees both can tell what is odd *and* looks counterfeit, patch by patch; added up over the image, the odd
    places of one view and the suspect ones of another need not be the same.

    Args:
        patches: ``(..., C)``.
        logarithms: ``(..., 3)`` of :func:`log_distances`.
    """
    return torch.cat([patches.float(), logarithms.float()], dim=-1)


def log_distances(distances: Tensor) -> Tensor:
    """Logarithms ``(N, G, G, 3)`` of distances ``(N, 3, G, G)`` from genuine patches: a few are very far."""
    return distances.clamp_min(LEAST_DISTANCE).log().permute(0, 2, 3, 1)


def top_mean(values: Tensor, share: float = TOP_SHARE) -> Tensor:
    """Mean of the highest share of the patches: ``(N, P, ...)`` to ``(N, ...)``."""
    return values.topk(top_count(int(values.shape[1]), share), dim=1).values.mean(1)


def top_count(patches: int, share: float = TOP_SHARE) -> int:
    """How many patches are a share of an image's, at least one."""
    return max(1, round(share * patches))
