"""A small set of patches that stands for many, and distances to it (Roth et al. 2022, PatchCore)."""

import torch
from torch import Tensor


def greedy_coreset(features: Tensor, size: int, generator: torch.Generator, projection: int = 32) -> Tensor:
    """Indices of a subset that covers the features: farthest-point selection on a random projection.

    Args:
        features: ``(N, D)``.
        size: how many to choose; all of them when there are no more.
        generator: source of the projection and of the first point.
        projection: dimensions kept by the Gaussian random projection, which preserves distances well enough to choose.

    Returns:
        ``(min(size, N),)`` int64 indices in the order chosen.
    """
    count = len(features)
    if count <= size:
        return torch.arange(count)
    matrix = torch.randn(features.shape[1], projection, generator=generator) / projection**0.5
    points = features.float() @ matrix
    chosen = torch.empty(size, dtype=torch.long)
    chosen[0] = torch.randint(count, (1,), generator=generator)
    nearest = torch.full((count,), torch.inf)
    for i in range(1, size):
        step = points - points[chosen[i - 1]]
        torch.minimum(nearest, step.square_().sum(1), out=nearest)
        chosen[i] = nearest.argmax()
    return chosen


def nearest_distances(patches: Tensor, bank: Tensor, fold: Tensor | None = None, folds: int = 0) -> Tensor:
    """Euclidean distance of each patch to its nearest neighbour in the bank, also with each fold of the bank left out.

    Args:
        patches: ``(N, D)``.
        bank: ``(M, D)``.
        fold: ``(M,)`` fold of each bank entry, in ``range(folds)``.
        folds: number of folds; 0 for the whole bank only.

    Returns:
        ``(N, folds + 1)``: column ``k`` without fold ``k`` of the bank, the last column with all of it.
    """
    if not folds:
        return _nearest(patches, bank)[:, None]
    if fold is None:
        raise ValueError("folds without a fold of each bank entry")
    within = torch.stack([_nearest(patches, bank[fold == k]) for k in range(folds)], dim=1)
    without = [within[:, torch.arange(folds) != k].amin(1) for k in range(folds)]
    return torch.stack([*without, within.amin(1)], dim=1)


def _nearest(patches: Tensor, bank: Tensor, chunk: int = 8192) -> Tensor:
    if not len(bank):
        return torch.full((len(patches),), torch.inf)
    norm = bank.square().sum(1)
    parts = []
    # One piece stays whole: an exported graph takes any number of patches, where a split would fix it.
    for part in torch.split(patches, chunk) if len(patches) > chunk else [patches]:
        # |p - b|^2 = |p|^2 + |b|^2 - 2 p.b ; the smallest over b needs |p|^2 once only.
        cross = torch.addmm(norm[None], part, bank.T, alpha=-2.0)
        parts.append((cross.amin(1) + part.square().sum(1)).clamp_min_(0).sqrt_())
    return torch.cat(parts) if len(parts) > 1 else parts[0]
