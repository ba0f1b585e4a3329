"""Distances are measured once for the images of a seed, and only where images and folds are the same."""

import torch

from counterfeit.backbone import GenuineDistances
from counterfeit.detector import Remembered

GRID, CHANNELS, FOLDS = 3, 6, 2


def made(seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    pooled, patches = torch.randn(8, 5, generator=generator), torch.randn(8, GRID, GRID, CHANNELS, generator=generator)
    return pooled, patches, torch.arange(8) % FOLDS


def test_the_same_images_are_not_measured_again_and_others_are(monkeypatch):
    genuine = GenuineDistances(CHANNELS, 8, FOLDS, GRID)
    _, patches, fold = made(0)
    genuine.fit(patches, fold, torch.Generator().manual_seed(0))
    measured = []
    forward = GenuineDistances.forward

    def counted(self, patches, fold=None):
        measured.append(len(patches))
        return forward(self, patches, fold)

    monkeypatch.setattr(GenuineDistances, "forward", counted)
    known = Remembered()
    for images, folds in ((1, False), (1, True), (2, False)):
        pooled, patches, fold = made(images)
        asked = (pooled, patches, fold if folds else None)
        first, again = (known.distances(genuine, *asked) for _ in range(2))
        assert torch.equal(first, again)
        assert torch.equal(first, forward(genuine, patches, asked[2]))
    assert len(measured) == 3
    pooled, patches, fold = made(1)
    moved = known.distances(genuine, pooled, patches, fold.flip(0))  # other folds left out
    assert torch.equal(moved, forward(genuine, patches, fold.flip(0)))
