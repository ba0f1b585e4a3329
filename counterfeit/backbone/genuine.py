"""Patches of genuine images, and how far any patch is from them: the one-class view and the source of evidence maps."""

from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from counterfeit.backbone.coreset import greedy_coreset, nearest_distances
from counterfeit.backbone.places import GenuinePlaces
from counterfeit.backbone.scales import floored, patch_sample


class GenuineBank(nn.Module):
    """A coreset of genuine patches of unit length, kept in buffers so that a checkpoint carries it.

    Each entry remembers its cross-fitting fold: a genuine training image is compared with the other folds only, or it
    would find itself and look more genuine than any image to come.

    Args:
        features: length of a patch feature.
        size: entries kept; a greedy coreset of 512 to 1024 measured as good as 16 000 random patches.
        folds: number of cross-fitting folds.
    """

    entries: Tensor
    fold: Tensor

    def __init__(self, features: int, size: int, folds: int) -> None:
        super().__init__()
        self.folds = folds
        self.register_buffer("entries", torch.zeros(size, features))
        self.register_buffer("fold", torch.zeros(size, dtype=torch.long))

    def fit(
        self,
        patches: Tensor,
        fold: Tensor,
        generator: torch.Generator,
        pool: int = 16384,
        moved: Callable[[Tensor, Tensor], Tensor] | None = None,
    ) -> None:
        """Choose the entries from genuine images.

        Args:
            patches: ``(N, G, G, C)`` of genuine training images.
            fold: ``(N,)`` cross-fitting fold of each image.
            generator: source of all randomness.
            pool: random patches from which the coreset is chosen.
            moved: drawn patches ``(n, C)`` and the images ``(n,)`` they are of to what is compared; the patches
                themselves if none.
        """
        grid = patches.shape[1] * patches.shape[2]
        count = patches.shape[0] * grid
        drawn = torch.randperm(count, generator=generator)[:pool].sort().values
        points = patches.reshape(count, -1)[drawn].float()
        points = F.normalize(moved(points, drawn // grid) if moved else points, dim=1)
        chosen = greedy_coreset(points, len(self.entries), generator)
        chosen = chosen.repeat(-(-len(self.entries) // len(chosen)))[: len(self.entries)]  # tiny sets repeat entries
        self.entries.copy_(points[chosen])
        self.fold.copy_(fold[drawn[chosen] // grid])

    def distances(self, patches: Tensor, fold: Tensor | None = None) -> Tensor:
        """Distance of every patch to the nearest genuine one.

        Args:
            patches: ``(N, G, G, C)``.
            fold: ``(N,)`` fold to leave out for each image, -1 for none; ``None`` compares all with the whole bank.

        Returns:
            ``(N, G, G)`` in [0, 2]: the chord between directions, 0 for a patch that is in the bank.
        """
        shape = patches.shape[:-1]
        flat = F.normalize(patches.float(), dim=-1).flatten(0, -2)
        if fold is None:
            return nearest_distances(flat, self.entries)[:, 0].view(shape)
        every = nearest_distances(flat, self.entries, self.fold, self.folds).view(*shape, self.folds + 1)
        column = torch.where(fold < 0, self.folds, fold)
        return every.gather(-1, column.view(-1, 1, 1, 1).expand(*shape, 1))[..., 0]


class GenuineDistances(nn.Module):
    """How far the patches of an image are from genuine ones, in three ways that find different counterfeits.

    *Relative* patches lack the average of their own image: what is odd about a place, whatever the light and the
    material of the whole. *Absolute* patches keep it, each channel scaled by how genuine patches vary: what is odd
    about the whole image, wherever that shows. Both are then scaled to unit length: directions are compared. *Placed*
    patches are compared with those of genuine images at the same place: what is odd here, though it may be common
    elsewhere. That is sharpest where products align.

    Args:
        features: length of a patch feature.
        size: entries kept, half of them in the bank of each kind.
        folds: number of cross-fitting folds.
        grid: patches a side.
    """

    mean: Tensor
    std: Tensor

    def __init__(self, features: int, size: int, folds: int, grid: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(features))
        self.register_buffer("std", torch.ones(features))
        self.relative = GenuineBank(features, -(-size // 2), folds)
        self.absolute = GenuineBank(features, -(-size // 2), folds)
        self.placed = GenuinePlaces(features, grid, folds)

    def fit(
        self, patches: Tensor, fold: Tensor, generator: torch.Generator, placed: GenuinePlaces | None = None
    ) -> None:
        """Take mean and deviation of the channels, both banks and the Gaussians from genuine images.

        Args:
            patches: ``(N, G, G, C)`` of genuine training images.
            fold: ``(N,)`` cross-fitting fold of each image.
            generator: source of all randomness.
            placed: the Gaussians of these images and folds, where they were estimated before.
        """
        sample = patch_sample(patches)
        self.mean.copy_(sample.mean(0))
        self.std.copy_(floored(sample.std(0)))
        # Only the patches that are drawn are moved: a copy of all of them would take gigabytes.
        average = torch.cat([part.float().mean((1, 2)) for part in torch.split(patches, 256)])
        self.relative.fit(patches, fold, generator, moved=lambda points, image: points - average[image] + self.mean)
        self.absolute.fit(patches, fold, generator, moved=lambda points, image: self._absolute(points))
        if placed is None:
            self.placed.fit(patches, fold)
        else:
            self.placed.take_over(placed)

    def take_over(self, known: "GenuineDistances") -> None:
        """Become like another, able to leave out folds as well."""
        self.load_state_dict(known.state_dict())
        self.placed.take_over(known.placed)

    def forward(self, patches: Tensor, fold: Tensor | None = None) -> Tensor:
        """Distances of every patch from genuine ones.

        Args:
            patches: ``(N, G, G, C)``.
            fold: ``(N,)`` fold to leave out for each image; ``None`` compares with all genuine images.

        Returns:
            ``(N, 3, G, G)``: to the nearest relative and to the nearest absolute patch, in [0, 2], and from those at
            the same place as :class:`GenuinePlaces` gives it.
        """
        relative = self.relative.distances(self._relative(patches), fold)
        absolute = self.absolute.distances(self._absolute(patches), fold)
        return torch.stack([relative, absolute, self.placed(patches, fold)], dim=1)

    def _relative(self, patches: Tensor) -> Tensor:
        patches = patches.float()
        return patches - patches.mean((1, 2), keepdim=True) + self.mean

    def _absolute(self, patches: Tensor) -> Tensor:
        return (patches.float() - self.mean) / self.std


def cross_fitting_folds(label: Tensor, group: list[str], folds: int, generator: torch.Generator) -> Tensor:
    """Deal groups into folds, each class evenly: ``(N,)`` in ``range(folds)``, one fold a group.

    Args:
        label: ``(N,)``, genuine = 0, counterfeit = 1.
        group: ``N`` names.
        folds: number of folds.
        generator: shuffles the groups.
    """
    names = sorted(set(group))
    position = {name: i for i, name in enumerate(names)}
    member = torch.tensor([position[g] for g in group])
    counts = torch.stack([torch.bincount(member[label == c], minlength=len(names)) for c in (0, 1)], dim=1)
    shuffled = torch.randperm(len(names), generator=generator)
    # Groups with counterfeits first, the larger before the smaller: few counterfeits are dealt most evenly.
    rank = counts[:, 1] * len(group) + counts[:, 0]
    order = shuffled[rank[shuffled].argsort(descending=True, stable=True)]
    filled = torch.zeros(folds, 2)
    fold_of = torch.empty(len(names), dtype=torch.long)
    for i in order.tolist():
        scarce = 1 if counts[i, 1] else 0
        fold_of[i] = min(range(folds), key=lambda k: (filled[k, scarce].item(), filled[k, 1 - scarce].item()))
        filled[fold_of[i]] += counts[i]
    return fold_of[member]
